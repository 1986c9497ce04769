//! What an error means for alarms, exit codes and further attempts.

use std::time::Duration;

use sluice_model::ErrorKind;

use crate::error::{Error, Wait};
use crate::retry::Retry;

/// Sign-ins in a row that may be answered without a token. One that is a maintenance page deserves a few attempts;
/// an account that is locked for wrong logins is worse than one that is read an hour later.
const MAX_EMPTY_SIGN_INS: u32 = 4;

impl Error {
    /// The kind by which alarms and exit codes are chosen.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Client(_) | Self::TokenStore { .. } | Self::Spool { .. } => ErrorKind::Host,
            Self::Settings { .. }
            | Self::MissingSetting { .. }
            | Self::PrivateAddress { .. }
            | Self::Sealed { .. }
            | Self::NoTokenStore { .. } => ErrorKind::Settings,
            Self::MissingSecret { .. } | Self::Credentials { .. } => ErrorKind::Credentials,
            // A host that the manifest names, and the operator doesn't.
            Self::Host { manifest: true, .. } => ErrorKind::Settings,
            Self::Template { .. } | Self::Host { .. } => ErrorKind::Guest,
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Transport { .. }
            | Self::Truncated { .. }
            | Self::Redirect { .. } => ErrorKind::Network,
            Self::TooLarge { .. } | Self::Bomb { .. } | Self::SlowBody { .. } | Self::Unpack { .. } => {
                ErrorKind::Format
            }
            // Some networks answer 403 to too many requests.
            Self::Deferred { .. } | Self::SignIn { status: 403, retry_after: Some(_), .. } => ErrorKind::Quota,
            // Status 2xx without a token.
            Self::SignIn { status, .. } => ErrorKind::of_status(*status).unwrap_or(ErrorKind::Format),
        }
    }

    /// Whether the cause is a setting or secret on this host, not the network's answer to it.
    pub fn is_local(&self) -> bool {
        self.kind() == ErrorKind::Settings || matches!(self, Self::MissingSecret { .. })
    }

    /// How often the failure is worth another attempt.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Connect { .. } | Self::Timeout { .. } | Self::Transport { .. } | Self::Truncated { .. } => Retry::Yes,
            Self::TokenStore { .. } | Self::SignIn { retry_after: Some(_), .. } => Retry::Yes,
            // A known encoding whose decoder fails: the body may have been damaged in transit.
            Self::Unpack { source: Some(_), .. } => Retry::Once,
            Self::SignIn { status: 200..=299, attempts, .. } if *attempts < MAX_EMPTY_SIGN_INS => Retry::Yes,
            Self::SignIn { status: 408 | 425 | 429 | 500.., .. } => Retry::Yes,
            _ => Retry::Never,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.retry() != Retry::Never
    }

    /// Whether a narrower window may avoid the failure: the response took too long, was cut, or exceeds a size limit.
    pub fn is_too_wide(&self) -> bool {
        match self {
            Self::Timeout { what, .. } => *what != Wait::Connect,
            Self::TooLarge { what, .. } => *what != "headers",
            Self::Truncated { .. } | Self::SlowBody { .. } => true,
            _ => false,
        }
    }

    /// The pause that the network asks for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::SignIn { retry_after, .. } => *retry_after,
            Self::Deferred { pause, .. } => Some(*pause),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in(status: u16, attempts: u32, retry_after: Option<Duration>) -> Error {
        let [network, account, token] = ["shop", "main", "access"].map(str::to_owned);
        Error::SignIn { network, account, token, status, reason: "no token".to_owned(), retry_after, attempts }
    }

    fn slow(what: Wait) -> Error {
        Error::Timeout { host: "shop".into(), what, limit: Duration::from_secs(1) }
    }

    fn too_large(what: &'static str) -> Error {
        Error::TooLarge { host: "shop".into(), what, max: 1 }
    }

    fn unpack(source: Option<&str>) -> Error {
        let source = source.map(|text| std::sync::Arc::new(std::io::Error::other(text.to_owned())));
        Error::Unpack { host: "shop".into(), encoding: "gzip".into(), source }
    }

    fn cut() -> Error {
        Error::Truncated { host: "shop".into(), received: 1, expected: None }
    }

    #[test]
    fn every_error_has_a_kind() {
        let (network, account) = (|| "shop".to_owned(), || "main".to_owned());
        let host = |manifest, operator| Error::Host { network: network(), host: "cdn.shop".into(), manifest, operator };
        let secret = Error::MissingSecret {
            network: network(),
            account: account(),
            request: "page-1".to_owned(),
            slot: "key".to_owned(),
        };
        let refused = Error::Credentials {
            network: network(),
            account: account(),
            token: "access".to_owned(),
            status: 401,
            reason: "wrong".to_owned(),
        };
        for (error, kind, is_local) in [
            (secret, ErrorKind::Credentials, true),
            (refused, ErrorKind::Credentials, false),
            (sign_in(429, 0, None), ErrorKind::Quota, false),
            (sign_in(403, 0, Some(Duration::ZERO)), ErrorKind::Quota, false),
            (sign_in(503, 0, None), ErrorKind::Network, false),
            (sign_in(200, 1, None), ErrorKind::Format, false),
            (host(true, false), ErrorKind::Settings, true),
            (host(false, true), ErrorKind::Guest, false),
            (slow(Wait::Answer), ErrorKind::Network, false),
            (cut(), ErrorKind::Network, false),
            (too_large("body"), ErrorKind::Format, false),
        ] {
            assert_eq!((error.kind(), error.is_local()), (kind, is_local), "{error}");
        }
    }

    #[test]
    fn errors_that_stay_are_final_and_those_that_pass_are_not() {
        for (error, retry, is_too_wide) in [
            (slow(Wait::Connect), Retry::Yes, false),
            (slow(Wait::Answer), Retry::Yes, true),
            (slow(Wait::Whole), Retry::Yes, true),
            (cut(), Retry::Yes, true),
            (too_large("body"), Retry::Never, true),
            (too_large("headers"), Retry::Never, false),
            (unpack(Some("a checksum differs")), Retry::Once, false),
            (unpack(None), Retry::Never, false),
            (sign_in(200, 3, None), Retry::Yes, false),
            (sign_in(200, 4, None), Retry::Never, false),
            (sign_in(503, 0, None), Retry::Yes, false),
            (sign_in(404, 0, None), Retry::Never, false),
            (sign_in(403, 0, Some(Duration::ZERO)), Retry::Yes, false),
        ] {
            assert_eq!((error.retry(), error.is_too_wide()), (retry, is_too_wide), "{error:?}");
        }
    }
}
