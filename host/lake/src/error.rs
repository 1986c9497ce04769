//! What can go wrong with a lake.

use deltalake::DeltaTableError;
use object_store::Error as StoreError;
use parquet::errors::ParquetError;
use sluice_model::ErrorKind;

/// A failure of the lake.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object store to which nothing gives keys.
    #[error("cannot open {url}: no keys for the object store are given")]
    NoStoreKeys {
        /// The lake's URL.
        url: String,
    },
    /// A URL that names no lake.
    #[error("`{url}` names no lake: {reason}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A local lake whose directory can't be made.
    #[error("cannot create the lake's directory {path}")]
    Create {
        /// The directory.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A local lake whose directory can't be opened.
    #[error("cannot open the lake's directory {path}")]
    OpenFolder {
        /// The directory.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A store that lets several writers create one object: each would believe that its commit is in, and all but one
    /// would be lost in silence.
    #[error("the store of {url} loses commits when several write at once")]
    LosesCommits {
        /// The lake.
        url: String,
    },
    /// An object that can't be read or written.
    #[error("cannot {action} {path}")]
    Store {
        /// `read`, `write`, `list` …
        action: &'static str,
        /// The object.
        path: String,
        /// Why.
        source: StoreError,
    },
    /// A table that can't be read or written.
    #[error("cannot {action} table {table}")]
    Table {
        /// `open`, `create`, `write files of`, `commit to` …
        action: &'static str,
        /// `schema.table`.
        table: String,
        /// Why.
        source: Box<DeltaTableError>,
    },
    /// A table that another program gave a feature which Sluice doesn't honour.
    #[error("table {table} has {what}, which Sluice doesn't write")]
    Unhonoured {
        /// `schema.table`.
        table: String,
        /// `the feature deletionVectors`, `the writer version 5` …
        what: String,
    },
    /// A data file that can't be read.
    #[error("cannot read {path} of table {table}")]
    DataFile {
        /// `schema.table`.
        table: String,
        /// The file, from the table's root.
        path: String,
        /// Why.
        source: ParquetError,
    },
    /// Rows that don't fit together.
    #[error("cannot shape rows of table {table}")]
    Rows {
        /// `schema.table`.
        table: String,
        /// Why.
        source: arrow::error::ArrowError,
    },
    /// A column that isn't of the type that was expected.
    #[error("column {column} of table {table} is {found}, not {expected}")]
    Column {
        /// `schema.table`.
        table: String,
        /// Its name in the table.
        column: String,
        /// The type that it has, or `missing`.
        found: String,
        /// The type that it should have.
        expected: String,
    },
    /// Bytes that aren't what was stored.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The object.
        path: String,
        /// How it shows.
        reason: String,
    },
    /// A response of which raw has no longer what it had.
    #[error("raw no longer has {path}")]
    Gone {
        /// The object.
        path: String,
    },
    /// A cursor of the change feed whose place is no longer known.
    #[error(
        "the change feed can't go on after `{cursor}`: the log no longer reaches back to it, or tables were rebuilt"
    )]
    FeedGone {
        /// The cursor in the form in which readers keep it.
        cursor: String,
    },
    /// An envelope that can't be written as JSON.
    #[error("cannot write the envelope of request {request_id} as JSON")]
    Envelope {
        /// The id of the request that it is of.
        request_id: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A slice's marker that can't be written as JSON.
    #[error("cannot write the marker of slice {slice} as JSON")]
    Marker {
        /// The slice's id.
        slice: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Other writers were always first.
    #[error("cannot commit to table {table}: other writers were first in {attempts} attempts")]
    Conflict {
        /// `schema.table`.
        table: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// A commit of rows that were read under a lease which another process has taken over since.
    #[error(
        "table {table} refuses what was read of `{resource}` under its lease of epoch {epoch}: another process took \
         the lease over (epoch {known})"
    )]
    Fenced {
        /// `schema.table`.
        table: String,
        /// What was leased.
        resource: String,
        /// The epoch that the commit carried.
        epoch: i64,
        /// The epoch that the table has.
        known: i64,
    },
    /// A failure that several waited for.
    #[error(transparent)]
    Shared(std::sync::Arc<Error>),
    /// The committer has stopped.
    #[error("the lake's committer has stopped")]
    Stopped,
    /// A version of a key that is there twice: it would count twice.
    #[error("table {table} holds version {version} of transaction {key} more than once, again in {path}")]
    DuplicateVersion {
        /// `schema.table`.
        table: String,
        /// The `transaction_key`.
        key: String,
        /// The version of the transaction, from 1.
        version: i32,
        /// The file that holds it again, from the table's root.
        path: String,
    },
    /// A replay that another writer overtook.
    #[error("cannot commit the replay to table {table}: another writer wrote of the same transactions meanwhile")]
    Overtaken {
        /// `schema.table`.
        table: String,
    },
    /// A run that replayed nothing.
    #[error("no table of {network} holds a replay of run {run_id}")]
    NoReplay {
        /// The network id.
        network: String,
        /// The id of the run that should be a replay.
        run_id: String,
    },
    /// A replay that can't be taken back.
    #[error("cannot take back the replay of run {run_id}: in table {table} {reason}")]
    BuiltUpon {
        /// The id of the replay's run.
        run_id: String,
        /// `schema.table`.
        table: String,
        /// What happened since.
        reason: String,
    },
    /// Work that was cut off because the program ends.
    #[error("cannot finish work in the background")]
    Worker {
        /// Why.
        source: tokio::task::JoinError,
    },
    /// A name that can't be a schema or a table.
    #[error("`{name}` can't name a table")]
    Name {
        /// As it was given.
        name: String,
    },
}

impl Error {
    /// What it needs: the settings where the lake's URL is wrong or its keys are missing, else this host.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Url { .. } | Self::NoStoreKeys { .. } => ErrorKind::Settings,
            _ => ErrorKind::Host,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Url { .. } => {
                Some("set `url` in [lake] of sluice.toml to `file:./lake` or `s3://bucket/prefix`".to_owned())
            }
            Self::Create { path, source } | Self::OpenFolder { path, source } => io_hint(path, source),
            Self::NoStoreKeys { .. } => Some(STORE_KEYS.to_owned()),
            Self::LosesCommits { .. } => Some(
                "it must honour `If-None-Match: *` on PUT, as AWS S3 does; a lake on a local disk is safe too".to_owned(),
            ),
            Self::Store { path, source, .. } => store_hint(path, source),
            Self::Table { table, source, .. } => table_hint(table, source),
            Self::Damaged { path, .. } => Some(format!(
                "restore {path} from a backup, or read its window again: `sluice run NETWORK --since … --until …`"
            )),
            Self::Gone { .. } => Some(
                "if an upkeep deleted it meanwhile, as [raw] keep_days says, run this again; if somebody else did, \
                 restore it from a backup or read its window again"
                    .to_owned(),
            ),
            Self::FeedGone { .. } => Some(
                "take the cursor of `sluice changes --after now`, read unified.transactions, and go on from that cursor"
                    .to_owned(),
            ),
            Self::Conflict { .. } => Some(
                "run fewer writers at once; what wasn't committed is built again from raw by the next run".to_owned(),
            ),
            Self::Fenced { .. } => Some(
                "nothing is lost: the process that took it over reads the same; if this host was suspended or \
                 overloaded, give it more room or a longer `lease_secs`"
                    .to_owned(),
            ),
            Self::Shared(error) => error.hint(),
            Self::DuplicateVersion { .. } => Some(
                "unified.transactions stays as it was before; make all tables anew with `sluice build --from-raw`, and \
                 report this: it is a fault of sluice"
                    .to_owned(),
            ),
            Self::Overtaken { .. } => {
                Some("apply it again: what differs is found again, and nothing is written twice".to_owned())
            }
            Self::NoReplay { .. } => {
                Some("see `sluice runs`: those with command `replay` can be taken back".to_owned())
            }
            Self::BuiltUpon { .. } => Some(
                "apply the version that was there before instead: `sluice replay <network> --version <digest> --apply`"
                    .to_owned(),
            ),
            Self::Name { .. } => Some("use lower-case letters, digits and `_`".to_owned()),
            Self::Column { table, .. } => Some(format!(
                "if another program changed table {table}, give the column back its type, or move the table away and \
                 build it again from raw"
            )),
            Self::Unhonoured { table, .. } => Some(unhonoured_hint(table)),
            Self::DataFile { .. } | Self::Rows { .. } => None,
            Self::Envelope { .. } | Self::Marker { .. } | Self::Worker { .. } | Self::Stopped => None,
        }
    }

    /// Whether it is about an object that isn't there.
    pub(crate) fn is_missing(&self) -> bool {
        match self {
            Self::Gone { .. } | Self::Store { source: StoreError::NotFound { .. }, .. } => true,
            Self::DataFile { source: ParquetError::External(source), .. } => {
                matches!(source.downcast_ref(), Some(StoreError::NotFound { .. }))
            }
            _ => false,
        }
    }

    pub(crate) fn store(action: &'static str, path: impl ToString, source: StoreError) -> Self {
        Self::Store { action, path: path.to_string(), source }
    }

    pub(crate) fn table(action: &'static str, table: &str, source: impl Into<DeltaTableError>) -> Self {
        Self::Table { action, table: table.to_owned(), source: Box::new(source.into()) }
    }

    pub(crate) fn rows(table: &str, source: arrow::error::ArrowError) -> Self {
        Self::Rows { table: table.to_owned(), source }
    }
}

fn table_hint(table: &str, source: &DeltaTableError) -> Option<String> {
    match source {
        DeltaTableError::ObjectStore { source } => store_hint(table, source),
        DeltaTableError::Io { source } => io_hint(table, source),
        _ => None,
    }
}

fn unhonoured_hint(table: &str) -> String {
    format!(
        "nothing was changed; let the program that added it take it off again (Spark: REORG TABLE … APPLY (PURGE), then \
         ALTER TABLE … DROP FEATURE … TRUNCATE HISTORY), or move the folder tables/{} of the lake away and run `sluice \
         build --from-raw`",
        table.replace('.', "/")
    )
}

/// What gives an object store its keys.
const STORE_KEYS: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; or, to use the identity of this machine, \
                          AWS_METADATA_ENDPOINT=http://169.254.169.254";

fn io_hint(path: &str, error: &std::io::Error) -> Option<String> {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::PermissionDenied => Some(format!("let the user that runs sluice write to {path}")),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            Some(format!("{path} is a file: move it away, or point `url` in [lake] of sluice.toml elsewhere"))
        }
        ErrorKind::StorageFull => Some("the disk is full: make room and run again, nothing is lost".to_owned()),
        ErrorKind::ReadOnlyFilesystem => Some(format!("{path} is on a read-only file system")),
        _ => None,
    }
}

fn store_hint(path: &str, error: &StoreError) -> Option<String> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(hint) = current.downcast_ref::<std::io::Error>().and_then(|io| io_hint(path, io)) {
            return Some(hint);
        }
        cause = current.source();
    }
    match error {
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => Some(
            "the object store refuses these credentials: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY \
             and the bucket's policy"
                .to_owned(),
        ),
        StoreError::NotFound { .. } => {
            Some("make the bucket if there is none; check its name, AWS_REGION and AWS_ENDPOINT_URL".to_owned())
        }
        // Without keys, the machine's own are asked for where a cloud would have them.
        StoreError::Generic { store: "S3", source } if source.to_string().contains("http://169.254.") => Some(
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: no keys are given, and this machine has none of its own"
                .to_owned(),
        ),
        StoreError::Generic { store: "S3", .. } => {
            Some("check AWS_ENDPOINT_URL and AWS_REGION; plain http needs AWS_ALLOW_HTTP=true".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_through_all_layers() {
        let io = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error =
            Error::store("write", "raw/x", StoreError::Generic { store: "LocalFileSystem", source: Box::new(io) });
        assert!(error.hint().is_some_and(|hint| hint.contains("disk is full")));
    }
}
