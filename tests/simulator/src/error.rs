//! What can go wrong before the simulator serves.

/// Why the simulator couldn't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener couldn't be bound.
    #[error("cannot bind a listener at 127.0.0.1:{port}")]
    Bind {
        /// The port asked for (0 for any).
        port: u16,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// An account names a network that isn't played here.
    #[error(
        "cannot play the network `{0}`: it is none of awin, cj, rakuten, tradetracker, shareasale, and there is no \
         connectors/{0}/simulated.json"
    )]
    UnknownNetwork(String),
    /// Two accounts of a network have the same name.
    #[error("two accounts of `{network}` are named `{name}`")]
    DuplicateAccount {
        /// The network.
        network: String,
        /// The name that is taken.
        name: String,
    },
    /// The span of history can't be expressed.
    #[error("cannot place a history of {days} days before {start}")]
    History {
        /// Days asked for.
        days: u32,
        /// The start of the clock.
        start: chrono::DateTime<chrono::Utc>,
    },
    /// An option of the command line is unknown or can't be read.
    #[error("cannot use the argument `{argument}`: {why}")]
    Argument {
        /// The argument.
        argument: String,
        /// What is wrong with it.
        why: String,
    },
}
