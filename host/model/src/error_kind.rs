//! Kinds of errors: what a failure needs, kept from where it happens to `meta.runs`, JSON and exit codes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a failure needs. Alarms and retries read the kind; people read the message.
///
/// The order is that in which a person is needed: of the failures of one run, the smallest kind is the run's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// A secret that is missing, or that the network refuses.
    Credentials,
    /// A setting that is missing or wrong, or a right that wasn't granted.
    Settings,
    /// A response that the connector or its layout doesn't understand: the network may have changed its format.
    Format,
    /// The connector trapped, exceeded a limit or broke the contract.
    Guest,
    /// This host: its disk, the lake's store, the state store, or Sluice itself.
    Host,
    /// An answer that would change money implausibly: a person, or a second read, decides. See `sluice doubts`.
    Doubt,
    /// The network's rate limit or quota is used up. A later run succeeds.
    Quota,
    /// The network can't be reached, is too slow, or answers with an error of its own. A later run may succeed.
    Network,
}

impl ErrorKind {
    /// All kinds, in their order.
    pub const ALL: [Self; 8] = [
        Self::Credentials,
        Self::Settings,
        Self::Format,
        Self::Guest,
        Self::Host,
        Self::Doubt,
        Self::Quota,
        Self::Network,
    ];

    /// Its name in tables, JSON and messages, in kebab-case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Settings => "settings",
            Self::Format => "format",
            Self::Guest => "guest",
            Self::Host => "host",
            Self::Doubt => "doubt",
            Self::Quota => "quota",
            Self::Network => "network",
        }
    }

    /// The one that [`Self::name`] gives this name for; none for another name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind of a request that the network answered with this HTTP status, if the status alone decides it.
    pub fn of_status(status: u16) -> Option<Self> {
        match status {
            401 | 403 => Some(Self::Credentials),
            429 => Some(Self::Quota),
            408 | 425 | 500..=599 => Some(Self::Network),
            _ => None,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error and its causes on one line. A cause that its parent has already quoted is left out.
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_those_of_json_and_lead_back() {
        for kind in ErrorKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(ErrorKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(ErrorKind::from_name("weather"), None);
    }

    #[test]
    fn what_a_person_must_mend_comes_before_what_mends_itself() {
        assert!(ErrorKind::ALL.is_sorted());
        assert_eq!(ErrorKind::ALL.iter().min(), Some(&ErrorKind::Credentials));
        assert!(ErrorKind::Host < ErrorKind::Quota && ErrorKind::Quota < ErrorKind::Network);
    }

    #[test]
    fn a_status_distinguishes_credentials_quota_and_network() {
        let kinds = [401, 403, 429, 500, 503, 408, 200, 400, 404].map(ErrorKind::of_status);
        use ErrorKind::{Credentials, Network, Quota};
        assert_eq!(kinds[..6], [Credentials, Credentials, Quota, Network, Network, Network].map(Some));
        assert_eq!(kinds[6..], [None; 3]);
    }
}
