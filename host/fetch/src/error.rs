//! What can go wrong between a request and its response.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a request got no response. It never holds a secret: whatever it quotes went through redaction.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client could not be built.
    #[error("cannot build the HTTP client")]
    Client(#[source] Arc<reqwest::Error>),
    /// The operator's settings of a network make no sense.
    #[error("network `{network}`: {reason}")]
    Settings {
        /// The network.
        network: String,
        /// What is wrong.
        reason: String,
    },
    /// A connector's request is no request.
    #[error("connector `{network}`: request `{request}`, {place}: {reason}")]
    Template {
        /// The network.
        network: String,
        /// The request's key.
        request: String,
        /// The part of the request: `url`, ``header `x` ``, `body`.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The account lacks a secret that a request needs.
    #[error("request `{request}` of network `{network}` needs the secret `{slot}`, which account `{account}` lacks")]
    MissingSecret {
        /// The network.
        network: String,
        /// The account.
        account: String,
        /// The request's key.
        request: String,
        /// The secret's slot.
        slot: String,
    },
    /// The account lacks a setting that a request needs.
    #[error(
        "request `{request}` of network `{network}` needs the setting `{setting}`, which account `{account}` lacks"
    )]
    MissingSetting {
        /// The network.
        network: String,
        /// The account.
        account: String,
        /// The request's key.
        request: String,
        /// The setting's name.
        setting: String,
    },
    /// A host that the connector's manifest, the operator or both don't allow.
    #[error("connector `{network}` may not ask `{host}`: {}", who_refuses(.manifest, .operator))]
    Host {
        /// The network.
        network: String,
        /// The host, with its port if it isn't 443.
        host: String,
        /// Whether the manifest allows it.
        manifest: bool,
        /// Whether the operator allows it.
        operator: bool,
    },
    /// A host whose addresses are all private.
    #[error("connector `{network}` may not ask `{host}`: it has no public address")]
    PrivateAddress {
        /// The network.
        network: String,
        /// The host.
        host: String,
    },
    /// A redirect that isn't followed.
    #[error("network `{network}` redirects `{host}` to where it isn't followed: {reason}")]
    Redirect {
        /// The network.
        network: String,
        /// The host that redirects.
        host: String,
        /// Why it isn't followed.
        reason: String,
    },
    /// No connection.
    #[error("cannot connect to `{host}`")]
    Connect {
        /// The host.
        host: String,
        /// What the client says.
        #[source]
        source: Arc<reqwest::Error>,
    },
    /// Too slow.
    #[error("`{host}` took longer than {limit:?} to {what}")]
    Timeout {
        /// The host.
        host: String,
        /// What it did in that time.
        what: Wait,
        /// The limit.
        limit: Duration,
    },
    /// The connection broke before the answer had come.
    #[error("the connection to `{host}` broke")]
    Transport {
        /// The host.
        host: String,
        /// What the client says.
        #[source]
        source: Arc<reqwest::Error>,
    },
    /// The body ended early.
    #[error("the body from `{host}` ended after {received} bytes{}", of_expected(.expected))]
    Truncated {
        /// The host.
        host: String,
        /// Bytes that came.
        received: u64,
        /// Bytes that were announced.
        expected: Option<u64>,
    },
    /// More than is taken.
    #[error("the {what} from `{host}` is larger than {max} bytes")]
    TooLarge {
        /// The host.
        host: String,
        /// `body`, `unpacked body`, `headers`.
        what: &'static str,
        /// The limit.
        max: u64,
    },
    /// A body that unpacks to suspiciously much.
    #[error("the body from `{host}` unpacks to more than {max_ratio} times its size")]
    Bomb {
        /// The host.
        host: String,
        /// The limit.
        max_ratio: u32,
    },
    /// A body that can't be unpacked.
    #[error("cannot unpack the body from `{host}` as `{encoding}`")]
    Unpack {
        /// The host.
        host: String,
        /// Its content encoding.
        encoding: String,
        /// What the decoder says; none if the encoding is unknown.
        #[source]
        source: Option<Arc<std::io::Error>>,
    },
    /// The network doesn't accept the account's secrets.
    #[error(
        "network `{network}` refuses the secrets of account `{account}` (sign-in `{token}`, status {status}): {reason}"
    )]
    Credentials {
        /// The network.
        network: String,
        /// The account.
        account: String,
        /// The token source.
        token: String,
        /// HTTP status.
        status: u16,
        /// The answer's shape.
        reason: String,
    },
    /// A sign-in that gave no token.
    #[error(
        "cannot sign in to network `{network}` for account `{account}` (sign-in `{token}`, status {status}): {reason}"
    )]
    SignIn {
        /// The network.
        network: String,
        /// The account.
        account: String,
        /// The token source.
        token: String,
        /// HTTP status.
        status: u16,
        /// The answer's shape.
        reason: String,
        /// How long the network wants to be left alone.
        retry_after: Option<Duration>,
        /// How many sign-ins in a row were answered without a token.
        attempts: u32,
    },
    /// Tokens that can't be kept or read back just now. None of them is used before it is kept.
    #[error("cannot {doing} the tokens of sign-in `{token}` (network `{network}`, account `{account}`)")]
    TokenStore {
        /// The network.
        network: String,
        /// The account.
        account: String,
        /// The token source.
        token: String,
        /// `keep`, `read`, `finish`.
        doing: &'static str,
        /// What the keeper says.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Kept tokens that the key doesn't open.
    #[error("the key doesn't open the kept tokens of sign-in `{token}` (network `{network}`, account `{account}`)")]
    Sealed {
        /// The network.
        network: String,
        /// The account.
        account: String,
        /// The token source.
        token: String,
    },
    /// A sign-in with a refresh token, which would be lost with the process.
    #[error(
        "the refresh token of sign-in `{token}` (network `{network}`, account `{account}`) has no place to be kept"
    )]
    NotKept {
        /// The network.
        network: String,
        /// The account.
        account: String,
        /// The token source.
        token: String,
        /// The line that would make one.
        hint: String,
    },
}

/// What a host may be too slow at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Taking a connection.
    Connect,
    /// Sending headers.
    Answer,
    /// Sending the next piece of a body.
    Read,
    /// Sending the whole response.
    Whole,
}

impl Wait {
    /// The setting of `[fetch]` that is its limit.
    fn setting(self) -> &'static str {
        match self {
            Self::Connect => "connect_timeout_secs",
            Self::Answer => "answer_timeout_secs",
            Self::Read => "read_timeout_secs",
            Self::Whole => "request_timeout_secs",
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "take a connection",
            Self::Answer => "begin to answer",
            Self::Read => "go on with its body",
            Self::Whole => "answer in full",
        })
    }
}

/// Sign-ins in a row that may be answered without a token.
const MAX_FRUITLESS_SIGN_INS: u32 = 4;

impl Error {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Timeout { .. } | Self::Transport { .. } | Self::Truncated { .. } => true,
            Self::TokenStore { .. } => true,
            Self::Unpack { source, .. } => source.is_some(),
            // A page of maintenance has no token either: that is worth a few tries.
            Self::SignIn { status: 200..=299, attempts, .. } => *attempts < MAX_FRUITLESS_SIGN_INS,
            Self::SignIn { status, .. } => *status == 408 || *status == 429 || *status >= 500,
            _ => false,
        }
    }

    /// How long the network wants to be left alone, if it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::SignIn { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What a person can do, ready to be pasted.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Host { network, host, manifest: true, .. } => {
                Some(format!("add `\"{host}\"` to `hosts` in networks/{network}.json"))
            }
            Self::Host { network, host, operator: true, .. } => {
                Some(format!("add `\"{host}\"` to `hosts` in the manifest of connector `{network}`"))
            }
            Self::Host { network, host, .. } => Some(format!(
                "add `\"{host}\"` to `hosts` in the manifest of connector `{network}` and in networks/{network}.json"
            )),
            Self::PrivateAddress { network, host } => Some(format!(
                "if you mean a sandbox or a proxy of your own, set `\"base_url\": \"https://{host}\"` in networks/{network}.json"
            )),
            Self::MissingSecret { network, account, slot, .. } => Some(format!(
                "add `\"{slot}\": \"env:{}\"` to `secrets` of account `{account}` in networks/{network}.json",
                format!("{network}_{slot}").to_uppercase().replace('-', "_")
            )),
            Self::MissingSetting { network, account, setting, .. } => Some(format!(
                "add `\"{setting}\": \"…\"` to `settings` of account `{account}` in networks/{network}.json"
            )),
            Self::Credentials { network, account, .. } => {
                Some(format!("check the `secrets` of account `{account}` in networks/{network}.json"))
            }
            Self::Timeout { what, .. } => Some(format!(
                "if the network is known to be that slow, raise `{}` under [fetch] in sluice.toml",
                what.setting()
            )),
            Self::TooLarge { what, .. } => {
                let setting = if *what == "headers" { "max_header_bytes" } else { "max_body_bytes" };
                Some(format!(
                    "if the network is known to send that much, raise `{setting}` under [fetch] in sluice.toml"
                ))
            }
            Self::Bomb { .. } => {
                Some("if the network is known to send that, raise `max_ratio` under [fetch] in sluice.toml".to_owned())
            }
            Self::Redirect { network, .. } => Some(format!(
                "look where the network moved to: `hosts` or `base_url` in networks/{network}.json may be out of date"
            )),
            Self::TokenStore { .. } => Some(
                "look at `url` of `[state]` in sluice.toml; a token that was granted is kept at the next try".into(),
            ),
            Self::Sealed { network, account, .. } => Some(format!(
                "put back the `key` of `[state]` that was in sluice.toml when they were kept; if it is lost, delete their \
                 row from the table `tokens` of the state store and give account `{account}` of networks/{network}.json \
                 a new refresh token"
            )),
            Self::NotKept { hint, .. } => Some(hint.clone()),
            _ => None,
        }
    }
}

fn who_refuses(manifest: &bool, operator: &bool) -> &'static str {
    match (manifest, operator) {
        (true, _) => "the operator doesn't allow it",
        (false, true) => "its manifest doesn't name it",
        (false, false) => "neither its manifest nor the operator allows it",
    }
}

fn of_expected(expected: &Option<u64>) -> String {
    expected.map(|bytes| format!(" of {bytes}")).unwrap_or_default()
}
