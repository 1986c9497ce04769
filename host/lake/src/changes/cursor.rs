//! A place in the change feed.

use std::fmt;
use std::str::FromStr;

/// After so many rows of a commit to the table of versions; after all of it where that is 0. As text it is opaque to those
/// who keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeCursor {
    /// The table's id: another one may be made in its place.
    pub(crate) table: String,
    /// The commit.
    pub(crate) version: u64,
    /// Rows of it.
    pub(crate) rows: u64,
}

impl fmt::Display for ChangeCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.version, self.rows, self.table)
    }
}

impl FromStr for ChangeCursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '.');
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or(());
        let (version, rows) = (number()?, number()?);
        let table = parts.next().filter(|id| !id.is_empty()).ok_or(())?.to_owned();
        Ok(Self { table, version, rows })
    }
}
