//! The named steps of a run: where it may be broken off, and goes on.

macro_rules! steps {
    ($($(#[$doc:meta])+ $step:ident = $name:literal,)+) => {
        /// A point of a run that is passed when what it names is done. A run that dies at one goes on from there; a
        /// test dies at each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Step {
            $($(#[$doc])+ $step,)+
        }

        impl Step {
            /// All of them, in the order in which a run first passes them.
            pub const ALL: &[Self] = &[$(Self::$step),+];

            /// Its name, kebab-case.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$step => $name,)+
                }
            }
        }
    };
}

steps! {
    /// The run and its slices are noted in the state store; nothing was sent.
    Planned = "planned",
    /// The connector's bytes are in the lake; nothing tells yet when it became active.
    ConnectorKept = "connector-kept",
    /// A response has come and is nowhere but in memory.
    ResponseCame = "response-came",
    /// A response is in raw, and nothing was derived from it.
    ResponseKept = "response-kept",
    /// A slice was read to its end and has its marker.
    SliceRead = "slice-read",
    /// All that the run does to the tables is committed.
    TablesWritten = "tables-written",
    /// The run's requests are in `meta.requests`.
    RequestsIndexed = "requests-indexed",
    /// What the run read is in `meta.coverage`.
    CoverageNoted = "coverage-noted",
    /// The run is in `meta.runs`, and the state store doesn't know yet that it is over.
    RunNoted = "run-noted",
}
