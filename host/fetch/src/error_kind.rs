//! What an error needs, for alarms and exit codes.

use sluice_model::ErrorKind;

use crate::error::Error;

impl Error {
    /// What it needs.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Client(_) | Self::TokenStore { .. } => ErrorKind::Host,
            Self::Settings { .. }
            | Self::MissingSetting { .. }
            | Self::PrivateAddress { .. }
            | Self::Sealed { .. }
            | Self::NotKept { .. } => ErrorKind::Settings,
            Self::MissingSecret { .. } | Self::Credentials { .. } => ErrorKind::Credentials,
            // A host that the manifest names, and the operator doesn't.
            Self::Host { manifest: true, .. } => ErrorKind::Settings,
            Self::Template { .. } | Self::Host { .. } => ErrorKind::Guest,
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Transport { .. }
            | Self::Truncated { .. }
            | Self::Redirect { .. } => ErrorKind::Network,
            Self::TooLarge { .. } | Self::Bomb { .. } | Self::Unpack { .. } => ErrorKind::Format,
            // A sign-in that is answered as ever, only without a token.
            Self::SignIn { status, .. } => ErrorKind::of_status(*status).unwrap_or(ErrorKind::Format),
        }
    }

    /// Whether the settings and secrets of this host are to blame, and not what the network makes of them.
    pub fn is_local(&self) -> bool {
        self.kind() == ErrorKind::Settings || matches!(self, Self::MissingSecret { .. })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::Wait;

    #[test]
    fn what_failed_has_a_kind() {
        let (network, account) = (|| "shop".to_owned(), || "main".to_owned());
        let sign_in = |status| Error::SignIn {
            network: network(),
            account: account(),
            token: "access".to_owned(),
            status,
            reason: "no token".to_owned(),
            retry_after: None,
            attempts: 1,
        };
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
        let slow = Error::Timeout { host: "shop".into(), what: Wait::Answer, limit: Duration::from_secs(1) };
        for (error, kind, is_local) in [
            (secret, ErrorKind::Credentials, true),
            (refused, ErrorKind::Credentials, false),
            (sign_in(429), ErrorKind::Quota, false),
            (sign_in(503), ErrorKind::Network, false),
            (sign_in(200), ErrorKind::Format, false),
            (host(true, false), ErrorKind::Settings, true),
            (host(false, true), ErrorKind::Guest, false),
            (slow, ErrorKind::Network, false),
            (Error::TooLarge { host: "shop".into(), what: "body", max: 1 }, ErrorKind::Format, false),
        ] {
            assert_eq!((error.kind(), error.is_local()), (kind, is_local), "{error}");
        }
    }
}
