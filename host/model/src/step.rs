//! The named steps of a run, of a rebuild, of publishing, of the feed and of an erasure: where they may be interrupted.

macro_rules! steps {
    (
        run { $($(#[$doc:meta])+ $step:ident = $name:literal,)+ }
        rebuild { $($(#[$rebuild_doc:meta])+ $rebuild_step:ident = $rebuild_name:literal,)+ }
        publish { $($(#[$publish_doc:meta])+ $publish_step:ident = $publish_name:literal,)+ }
        feed { $($(#[$feed_doc:meta])+ $feed_step:ident = $feed_name:literal,)+ }
        erase { $($(#[$erase_doc:meta])+ $erase_step:ident = $erase_name:literal,)+ }
    ) => {
        /// A point that is passed when what it names is done. A run that dies at one is resumed from there, a rebuild,
        /// an outlet and an erasure begin again; a test dies at each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Step {
            $($(#[$doc])+ $step,)+
            $($(#[$rebuild_doc])+ $rebuild_step,)+
            $($(#[$publish_doc])+ $publish_step,)+
            $($(#[$feed_doc])+ $feed_step,)+
            $($(#[$erase_doc])+ $erase_step,)+
        }

        impl Step {
            /// Those of a run, in the order in which it first passes them.
            pub const ALL: &[Self] = &[$(Self::$step),+];

            /// Those that only a rebuild passes.
            pub const OF_REBUILD: &[Self] = &[$(Self::$rebuild_step),+];

            /// Those of publishing to an outside database.
            pub const OF_PUBLISHING: &[Self] = &[$(Self::$publish_step),+];

            /// Those of sending the change feed.
            pub const OF_FEED: &[Self] = &[$(Self::$feed_step),+];

            /// Those of an erasure.
            pub const OF_ERASURE: &[Self] = &[$(Self::$erase_step),+];

            /// Its name, kebab-case.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$step => $name,)+
                    $(Self::$rebuild_step => $rebuild_name,)+
                    $(Self::$publish_step => $publish_name,)+
                    $(Self::$feed_step => $feed_name,)+
                    $(Self::$erase_step => $erase_name,)+
                }
            }
        }
    };
}

steps! {
    run {
        /// The run and its slices are noted in the state store; nothing was sent.
        Planned = "planned",
        /// The connector's bytes are in the lake; its activation isn't recorded yet.
        ConnectorKept = "connector-kept",
        /// A response has come and is nowhere but in memory.
        ResponseCame = "response-came",
        /// A response's body is in raw, without an envelope.
        BodyKept = "body-kept",
        /// A response is in raw, and its body isn't decoded.
        ResponseKept = "response-kept",
        /// A response's records are decoded, and the connector hasn't judged it.
        ResponseDecoded = "response-decoded",
        /// A response's envelope has its outcome, and nothing was derived from it.
        OutcomeKept = "outcome-kept",
        /// A slice was read to its end and has its marker.
        SliceRead = "slice-read",
        /// Data files of a table are written, and no commit names them.
        FilesWritten = "files-written",
        /// Rows of a native table are committed, and its new columns are not in `meta.columns`.
        NativeCommitted = "native-committed",
        /// All native tables are committed, and their columns noted.
        ColumnsNoted = "columns-noted",
        /// New versions are committed.
        UnifiedCommitted = "unified-committed",
        /// Rejects are committed.
        RejectsCommitted = "rejects-committed",
        /// Vanished transactions have their tombstones; what is missing for the first time isn't recorded.
        VanishedMarked = "vanished-marked",
        /// The latest state has followed the versions: all that the run does to the tables is done.
        LatestCaughtUp = "latest-caught-up",
        /// The run's requests are in `meta.requests`.
        RequestsIndexed = "requests-indexed",
        /// What the run read is in `meta.coverage`.
        CoverageNoted = "coverage-noted",
        /// The run is in `meta.runs`, and still in the state store as unfinished.
        RunNoted = "run-noted",
    }
    rebuild {
        /// All new tables are beside the old ones, and none is in its place.
        TablesBuilt = "tables-built",
        /// A new table is in the place of the old one.
        TableReplaced = "table-replaced",
        /// All new tables are in their place, and what is left beside them is still there.
        TablesReplaced = "tables-replaced",
        /// The rebuild is in `meta.runs`; what is left beside the tables is still there, and a queued one is still queued.
        RebuildNoted = "rebuild-noted",
    }
    publish {
        /// New rows are in a staging table of the published database's transaction.
        RowsStaged = "rows-staged",
        /// They are merged, and the place is written; the transaction isn't committed.
        RowsMerged = "rows-merged",
        /// The transaction is committed.
        Published = "published",
    }
    feed {
        /// A receiver of the change feed accepted a batch, and its place isn't kept.
        BatchAccepted = "batch-accepted",
    }
    erase {
        /// Bodies without the values are in raw, and no envelope names them.
        BodiesRewritten = "bodies-rewritten",
        /// The values' digests and stand-ins are in the state store.
        ErasureNoted = "erasure-noted",
        /// A table is rewritten; its earlier versions are there.
        TableErased = "table-erased",
        /// All tables are rewritten.
        TablesErased = "tables-erased",
        /// An envelope names a body without the values.
        EnvelopeRewritten = "envelope-rewritten",
        /// The bodies with the values are deleted.
        BodiesDeleted = "bodies-deleted",
        /// The earlier versions of a table are deleted.
        HistoryForgotten = "history-forgotten",
        /// The state store holds the values no more; the erasure isn't noted as done.
        StateErased = "state-erased",
    }
}
