//! What other writers may have made of a table: features that Sluice doesn't honour.
//!
//! It reads data files past the log and removes them by their names: rows that a deletion vector hides would come back
//! and be counted twice, columns that are mapped would be empty. So such a table is refused, by everything that opens it.

use std::collections::BTreeSet;

use deltalake::kernel::{Metadata, Protocol};

use super::Table;
use crate::error::Error;

/// Features that are kept to, or that only say what a column may be.
const HONOURED: [&str; 3] = ["appendOnly", "invariants", "timestampNtz"];
/// The versions of the protocol whose features are listed in it.
const LISTED: (i32, i32) = (3, 7);

/// Refuses a table with a feature that Sluice doesn't honour, by the feature's name.
///
/// # Errors
/// [`Error::Unhonoured`].
pub fn require_honoured(table: &str, protocol: &Protocol, metadata: &Metadata) -> Result<(), Error> {
    match unhonoured(protocol, metadata) {
        Some(what) => Err(Error::Unhonoured { table: table.to_owned(), what }),
        None => Ok(()),
    }
}

/// What isn't honoured, in words; none if all is.
fn unhonoured(protocol: &Protocol, metadata: &Metadata) -> Option<String> {
    let (reader, writer) = (protocol.min_reader_version(), protocol.min_writer_version());
    let listed = [protocol.reader_features(), protocol.writer_features()].into_iter().flatten().flatten();
    let mut features: BTreeSet<String> = listed.map(ToString::to_string).collect();
    features.retain(|feature| !HONOURED.contains(&feature.as_str()));
    let mapping = metadata.configuration().get("delta.columnMapping.mode");
    if mapping.is_some_and(|mode| mode != "none") {
        features.insert("columnMapping".to_owned());
    }
    let features: Vec<String> = features.into_iter().collect();
    match features.as_slice() {
        [] if reader > 1 && reader != LISTED.0 => Some(format!("the reader version {reader}")),
        [] if writer > 2 && writer != LISTED.1 => Some(format!("the writer version {writer}")),
        [] => None,
        [one] => Some(format!("the feature {one}")),
        several => Some(format!("the features {}", several.join(", "))),
    }
}

impl Table {
    /// Refuses the snapshot if it has a feature that isn't honoured.
    pub(super) fn require_honoured(&self) -> Result<(), Error> {
        match &self.state {
            Some(state) => require_honoured(&self.name, state.protocol(), state.metadata()),
            None => Ok(()),
        }
    }
}
