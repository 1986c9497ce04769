//! How the state store fails.

use sluice_model::ErrorKind;

/// Why an operation on the state store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error("the state store failed")]
    Database(#[from] sqlx::Error),
    /// The database can't be opened.
    #[error("cannot open the state store {url}")]
    Open {
        /// Its URL, without a password.
        url: String,
        /// The database's reason.
        source: sqlx::Error,
    },
    /// The tables can't be brought to this version.
    #[error("cannot make the state store's tables")]
    Migrate(#[source] sqlx::Error),
    /// The tables are not those of any version that this one knows.
    #[error("{message}")]
    Schema {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// A stored value can't be read, or a value can't be stored.
    #[error("the state store holds a value that can't be read: {0}")]
    Value(String),
    /// The key that seals refresh tokens can't be used.
    #[error("{message}")]
    Key {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// Another process worked on a network, or on accounts of it, for longer than `lease_wait_secs`.
    #[error("network `{network}` is in use by {holder}: gave up after {wait_secs} s")]
    InUse {
        /// The network's name in the settings.
        network: String,
        /// Who works on it.
        holder: Box<crate::LeaseHolder>,
        /// Seconds for which it was waited for.
        wait_secs: u64,
        /// Seconds after which the lease of a process that has ended expires.
        ttl_secs: u64,
    },
    /// A lease was lost while work was done under it.
    #[error("the lease of network `{network}` was lost: {why}")]
    LeaseLost {
        /// The network's name in the settings.
        network: String,
        /// How.
        why: String,
        /// Whether the store couldn't be reached; otherwise another process took the lease over.
        is_unreachable: bool,
    },
}

impl Error {
    /// Whether it is mended in the settings, or where they lead: the store itself, not who uses it.
    pub fn is_settings(&self) -> bool {
        !matches!(self, Self::Value(_) | Self::InUse { .. } | Self::LeaseLost { is_unreachable: false, .. })
    }

    /// What it needs.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Schema { .. } | Self::Key { .. } => ErrorKind::Settings,
            _ => ErrorKind::Host,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Database(error) | Self::Open { source: error, .. } | Self::Migrate(error) => {
                Some(crate::database::hint(error))
            }
            Self::Schema { hint, .. } => Some((*hint).to_owned()),
            Self::Key { hint, .. } => Some(hint.clone()),
            Self::Value(_) => None,
            Self::InUse { holder, ttl_secs, .. } => Some(holder.hint(*ttl_secs)),
            Self::LeaseLost { network, .. } => Some(format!(
                "nothing more is written by this run; the next run of `{network}` resumes it with what is in raw. If the \
                 host is too busy to renew in time, raise lease_secs under [state] in sluice.toml"
            )),
        }
    }

    pub(crate) fn value(error: impl std::fmt::Display) -> Self {
        Self::Value(error.to_string())
    }
}
