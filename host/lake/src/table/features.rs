//! What other writers may have made of a table: features that Sluice doesn't honour.
//!
//! It reads data files past the log and removes them by their names: rows that a deletion vector hides would come back
//! and be counted twice, columns that are mapped would be empty. So such a table is refused, by everything that opens it.

use std::collections::BTreeSet;

use deltalake::DeltaTableError;
use deltalake::kernel::{Metadata, Protocol};
use deltalake::logstore::LogStoreRef;
use serde_json::Value;

use super::Table;
use crate::error::Error;

/// Features that are kept to, or that only say what a column may be.
const HONOURED: [&str; 3] = ["appendOnly", "invariants", "timestampNtz"];
/// The versions of the protocol whose features are listed in it, of readers and of writers.
const LISTED: (i64, i64) = (3, 7);

/// What a table asks of those who read and write it.
#[derive(Default)]
struct Demands {
    reader: i64,
    writer: i64,
    features: BTreeSet<String>,
}

/// Refuses a table with a feature that Sluice doesn't honour, by the feature's name.
///
/// # Errors
/// [`Error::Unhonoured`].
pub fn require_honoured(table: &str, protocol: &Protocol, metadata: &Metadata) -> Result<(), Error> {
    let listed = [protocol.reader_features(), protocol.writer_features()].into_iter().flatten().flatten();
    let (reader, writer) = (protocol.min_reader_version().into(), protocol.min_writer_version().into());
    let mut demands = Demands { reader, writer, features: listed.map(ToString::to_string).collect() };
    demands.mapping(metadata.configuration().get("delta.columnMapping.mode").map(String::as_str));
    match demands.unhonoured() {
        Some(what) => Err(Error::Unhonoured { table: table.to_owned(), what }),
        None => Ok(()),
    }
}

/// Why a table that the Delta library can't read is refused, if a feature or the protocol's version is the reason: the
/// newest commits say so, whatever else it doesn't understand of them.
pub async fn unhonoured_in_log(table: &str, log: &LogStoreRef) -> Option<Error> {
    let newest = log.get_latest_version(0).await.ok()?;
    let (mut protocol, mut metadata) = (None, None);
    for version in (0..=newest).rev() {
        let commit = log.read_commit_entry(version).await.ok()??;
        let actions = serde_json::Deserializer::from_slice(&commit).into_iter::<Value>();
        for action in actions.map_while(Result::ok) {
            protocol = protocol.or_else(|| action.get("protocol").cloned());
            metadata = metadata.or_else(|| action.get("metaData").cloned());
        }
        if let (Some(protocol), Some(metadata)) = (&protocol, &metadata) {
            let what = Demands::of(protocol, metadata).unhonoured()?;
            return Some(Error::Unhonoured { table: table.to_owned(), what });
        }
    }
    None
}

impl Demands {
    /// Those of a log's actions.
    fn of(protocol: &Value, metadata: &Value) -> Self {
        let version = |name: &str| protocol[name].as_i64().unwrap_or_default();
        let listed = ["readerFeatures", "writerFeatures"].into_iter().filter_map(|name| protocol[name].as_array());
        let features = listed.flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let mut demands = Self { reader: version("minReaderVersion"), writer: version("minWriterVersion"), features };
        demands.mapping(metadata["configuration"]["delta.columnMapping.mode"].as_str());
        demands
    }

    /// Records how columns are mapped to those of files.
    fn mapping(&mut self, mode: Option<&str>) {
        if mode.is_some_and(|mode| mode != "none") {
            self.features.insert("columnMapping".to_owned());
        }
    }

    /// What isn't honoured, in words; none if all is.
    fn unhonoured(self) -> Option<String> {
        let Self { reader, writer, features } = self;
        let features: Vec<String> =
            features.into_iter().filter(|feature| !HONOURED.contains(&feature.as_str())).collect();
        match features.as_slice() {
            _ if reader > LISTED.0 => Some(format!("the reader version {reader}")),
            _ if writer > LISTED.1 => Some(format!("the writer version {writer}")),
            [] if reader > 1 && reader < LISTED.0 => Some(format!("the reader version {reader}")),
            [] if writer > 2 && writer < LISTED.1 => Some(format!("the writer version {writer}")),
            [] => None,
            [one] => Some(format!("the feature {one}")),
            several => Some(format!("the features {}", several.join(", "))),
        }
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

    /// Why the table can't be read.
    pub(super) async fn unreadable_log(&self, source: DeltaTableError) -> Error {
        let refused = unhonoured_in_log(&self.name, &self.log).await;
        refused.unwrap_or_else(|| Error::table("read", &self.name, source))
    }
}
