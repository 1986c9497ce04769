//! Which response of raw is shown, and what of it.

use clap::Args;

/// Rows of a response that are printed unless the command says otherwise.
const ROWS: usize = 500;

/// Which response.
#[derive(Args)]
pub(crate) struct RawArgs {
    /// The digest of its body, or its beginning: `raw_object` in tables and reports
    pub(crate) digest: String,
    /// Of several responses with this body, the one of this request [default: the newest]
    #[arg(long)]
    pub(crate) request: Option<String>,
    /// Show only this record, counted from 0
    #[arg(long)]
    pub(crate) record: Option<usize>,
    /// Print the body byte for byte, and nothing else
    #[arg(long, conflicts_with = "record")]
    pub(crate) body: bool,
    /// Leave out so many bytes of the body
    #[arg(long, requires = "body")]
    pub(crate) skip_bytes: Option<usize>,
    /// Print at most so many bytes of the body
    #[arg(long, requires = "body")]
    pub(crate) max_bytes: Option<usize>,
    /// Print the rows that its connector makes of it: native ones, and the transactions of each
    #[arg(long, conflicts_with_all = ["record", "body"])]
    pub(crate) rows: bool,
    /// Have them made by another version: a digest, its beginning, or a version's name
    #[arg(long, requires = "rows")]
    pub(crate) version: Option<String>,
    /// Leave out the rows of so many records, the first ones
    #[arg(long, requires = "rows", default_value_t = 0)]
    pub(crate) skip: usize,
    /// Print the rows of at most so many records
    #[arg(long, requires = "rows", default_value_t = ROWS)]
    pub(crate) limit: usize,
}
