//! Why a request got no response.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// Why a request got no response, or why its body can't be used. It never contains a secret: what it quotes is redacted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client could not be built: a failure of this host.
    #[error("cannot build the HTTP client")]
    Client(#[source] Arc<reqwest::Error>),
    /// The operator's settings of a network are invalid.
    #[error("network `{network}`: {reason}")]
    Settings {
        /// The network's id.
        network: String,
        /// What is wrong.
        reason: String,
    },
    /// A connector's request can't be rendered.
    #[error("connector `{network}`: request `{request}`, {place}: {reason}")]
    Template {
        /// The network's id.
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
        /// The network's id.
        network: String,
        /// The operator's name for the account.
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
        /// The network's id.
        network: String,
        /// The operator's name for the account.
        account: String,
        /// The request's key.
        request: String,
        /// The setting's name.
        setting: String,
    },
    /// A host that the connector's manifest, the operator or both don't allow.
    #[error("connector `{network}` may not ask `{host}`: {}", who_refuses(.manifest, .operator))]
    Host {
        /// The network's id.
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
        /// The network's id.
        network: String,
        /// The host, with its port if it isn't 443.
        host: String,
    },
    /// A redirect that may not be followed.
    #[error("cannot follow a redirect of `{host}` (network `{network}`): {reason}")]
    Redirect {
        /// The network's id.
        network: String,
        /// The host that redirects.
        host: String,
        /// Why it isn't followed.
        reason: String,
    },
    /// No connection could be established.
    #[error("cannot connect to `{host}`")]
    Connect {
        /// The host, with its port if it isn't 443.
        host: String,
        /// The client's error, without its URL.
        #[source]
        source: Arc<reqwest::Error>,
    },
    /// The host exceeded a time limit.
    #[error("`{host}` took longer than {limit:?} to {what}")]
    Timeout {
        /// The host, with its port if it isn't 443.
        host: String,
        /// What it didn't complete in that time.
        what: Wait,
        /// How long it was given, by the setting of `[fetch]` for this step.
        limit: Duration,
    },
    /// The connection failed before the response's headers were complete, or the response isn't HTTP.
    #[error("the connection to `{host}` failed")]
    Transport {
        /// The host, with its port if it isn't 443.
        host: String,
        /// The client's error, without its URL.
        #[source]
        source: Arc<reqwest::Error>,
    },
    /// The body ended before its `Content-Length`, before its last chunk, or inside its content encoding.
    #[error("the body from `{host}` ended after {received} bytes{}", of_expected(.expected))]
    Truncated {
        /// The host, with its port if it isn't 443.
        host: String,
        /// Bytes received.
        received: u64,
        /// Its `Content-Length`.
        expected: Option<u64>,
    },
    /// A response beyond a size limit.
    #[error("the {what} from `{host}` is larger than {max} bytes")]
    TooLarge {
        /// The host, with its port if it isn't 443.
        host: String,
        /// `body`, `unpacked body`, `headers`.
        what: &'static str,
        /// The limit.
        max: u64,
    },
    /// A body whose compression ratio exceeds the limit.
    #[error("the body from `{host}` unpacks to more than {max_ratio} times its size")]
    Bomb {
        /// The host, with its port if it isn't 443.
        host: String,
        /// The limit.
        max_ratio: u32,
    },
    /// A body that takes too long to unpack, or to search for secrets.
    #[error("the body from `{host}` takes too long to unpack or to search for secrets")]
    SlowBody {
        /// The host, with its port if it isn't 443.
        host: String,
    },
    /// A body that can't be written to a file while it is received, or read from it.
    #[error("cannot keep a body in a file while it is received")]
    Spool {
        /// The failure.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// A body whose content encoding can't be undone.
    #[error("cannot unpack the body from `{host}` as `{encoding}`")]
    Unpack {
        /// The host, with its port if it isn't 443.
        host: String,
        /// Its content encoding.
        encoding: String,
        /// The decoder's error; none if the encoding is unknown.
        #[source]
        source: Option<Arc<std::io::Error>>,
    },
    /// The network rejects the account's secrets.
    #[error(
        "network `{network}` refuses the secrets of account `{account}` (sign-in `{token}`, status {status}): {reason}"
    )]
    Credentials {
        /// The network's id.
        network: String,
        /// The operator's name for the account.
        account: String,
        /// The token source.
        token: String,
        /// HTTP status.
        status: u16,
        /// The redacted start of the response, or its shape.
        reason: String,
    },
    /// A sign-in whose response has no token.
    #[error(
        "cannot sign in to network `{network}` for account `{account}` (sign-in `{token}`, status {status}): {reason}"
    )]
    SignIn {
        /// The network's id.
        network: String,
        /// The operator's name for the account.
        account: String,
        /// The token source.
        token: String,
        /// HTTP status.
        status: u16,
        /// The redacted start of the response, or its shape.
        reason: String,
        /// The pause that the network asks for.
        retry_after: Option<Duration>,
        /// Sign-ins in a row that were answered with status 2xx and no token.
        attempts: u32,
    },
    /// The network asks for a longer pause than [`FetchOptions::max_retry_wait`](crate::FetchOptions::max_retry_wait).
    #[error("the network asks for a pause of {pause:?}, longer than a run waits: not before {}", utc(.until))]
    Deferred {
        /// The pause that the network asks for.
        pause: Duration,
        /// The moment at which it ends.
        until: DateTime<Utc>,
    },
    /// The token store failed. No token is used before it is stored.
    #[error("cannot {doing} the tokens of sign-in `{token}` (network `{network}`, account `{account}`)")]
    TokenStore {
        /// The network's id.
        network: String,
        /// The operator's name for the account.
        account: String,
        /// The token source.
        token: String,
        /// `store`, `read` or `obtain`.
        doing: &'static str,
        /// The store's error.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Stored tokens that another key has sealed.
    #[error("the key doesn't open the stored tokens of sign-in `{token}` (network `{network}`, account `{account}`)")]
    Sealed {
        /// The network's id.
        network: String,
        /// The operator's name for the account.
        account: String,
        /// The token source.
        token: String,
    },
    /// A sign-in that needs a durable token store, because its refresh token would be lost with the process.
    #[error("the refresh token of sign-in `{token}` (network `{network}`, account `{account}`) needs a token store")]
    NoTokenStore {
        /// The network's id.
        network: String,
        /// The operator's name for the account.
        account: String,
        /// The token source.
        token: String,
        /// The setting that provides one.
        hint: String,
    },
}

/// The step at which a host exceeded its time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Accepting the connection.
    Connect,
    /// Sending the response's headers.
    Answer,
    /// Sending the next bytes of a body.
    Read,
    /// Sending the whole response.
    Whole,
}

impl Wait {
    /// The setting of `[fetch]` that sets the limit.
    pub(crate) fn setting(self) -> &'static str {
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
            Self::Connect => "accept a connection",
            Self::Answer => "send its headers",
            Self::Read => "send more of its body",
            Self::Whole => "answer in full",
        })
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

fn utc(moment: &DateTime<Utc>) -> impl fmt::Display {
    moment.format("%Y-%m-%d %H:%M:%S UTC")
}
