//! `sluice explain`: the history of a transaction.

mod render;

pub(super) use render::request_text;

use std::io::Write;

use sluice_runtime::explain;
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::Settings;

use crate::arguments::ExplainArgs;

/// Prints every version of a transaction: its cause, what changed, the request and the record that it came from.
///
/// # Errors
/// A name that fits none or several, or the lake's failure. Evidence that is gone is printed as such.
pub(super) async fn explain(settings: &Settings, args: &ExplainArgs, json: bool) -> Result<(), Failure> {
    let explanation = explain::explain(settings, &args.transaction).await?;
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &render::json(&explanation)).map_err(Failure::failed)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", render::text(&explanation))?;
    }
    Ok(out.flush()?)
}
