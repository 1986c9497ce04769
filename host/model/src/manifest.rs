//! A connector's description of itself.

use serde::{Deserialize, Serialize};

use crate::layout::Layout;
use crate::request::Request;
use crate::transaction::{PaymentStatus, ValidationStatus};

/// Everything the host knows of a connector before it runs it. See `wit/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The network's slug, kebab-case.
    pub network: String,
    /// The network's own name.
    pub title: String,
    /// The connector's version.
    pub version: String,
    /// Hosts that its requests may go to; `*.example.com` for a host per tenant.
    pub hosts: Vec<String>,
    /// What it reads.
    pub streams: Vec<Stream>,
    /// The settings of an account.
    pub settings: Vec<Setting>,
    /// The secrets of an account.
    pub secrets: Vec<SecretSlot>,
    /// Sign-ins that the host does for it.
    pub tokens: Vec<TokenSource>,
    /// The network's documented limit.
    pub rate: Option<Rate>,
    /// Cron expression, UTC.
    pub schedule: String,
    /// How far back each look-back rule reads.
    pub look_back: Vec<LookBack>,
    /// The network's status words.
    pub statuses: Vec<StatusWord>,
}

impl Manifest {
    /// The stream that the connector calls so.
    pub fn stream(&self, name: &str) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.name == name)
    }
}

/// One kind of record that a network offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// snake_case: names the native table.
    pub name: String,
    /// Whether its records become unified transactions.
    pub unified: bool,
    /// The dates a window can filter on, the default first.
    pub axes: Vec<Axis>,
    /// Those on which an answer holds everything in the window.
    pub complete_windows: Vec<Axis>,
    /// Longest window of one slice.
    pub max_window_secs: Option<u32>,
    /// How many days of history the network keeps.
    pub history_days: Option<u32>,
    /// Smallest unit of a window.
    pub grain: Grain,
    /// IANA zone of the window's local times.
    pub timezone: String,
    /// Where its records are in a body.
    pub layout: Layout,
}

impl Stream {
    /// Whether an answer over a window of this date holds everything in it.
    pub fn is_complete(&self, axis: Axis) -> bool {
        self.complete_windows.contains(&axis)
    }

    /// How many windows, none longer than the network answers, a time of so many seconds is cut into. Those of days are
    /// whole days.
    pub fn windows_in(&self, secs: u64) -> u64 {
        let longest = self.max_window_secs.filter(|secs| *secs > 0).map(u64::from);
        let longest = longest.map(|longest| match self.grain {
            Grain::Second => longest,
            Grain::Day => (longest / 86_400).max(1) * 86_400,
        });
        longest.map_or(1, |longest| secs.div_ceil(longest).max(1))
    }
}

/// The date that a window filters on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// The event.
    Transaction,
    /// The last change, posting or processing.
    Modified,
    /// The decision.
    Validation,
    /// The payout.
    Payment,
    /// A snapshot without a window.
    None,
}

impl Axis {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Transaction, Self::Modified, Self::Validation, Self::Payment, Self::None];

    /// Its name in settings, tables and the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Modified => "modified",
            Self::Validation => "validation",
            Self::Payment => "payment",
            Self::None => "none",
        }
    }
}

/// Smallest unit of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grain {
    /// Any second.
    Second,
    /// Whole days in the stream's zone.
    Day,
}

/// A setting of an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Its key in `networks/<name>.json`.
    pub name: String,
    /// What it is, for people.
    pub meaning: String,
    /// Whether an account must have it.
    pub required: bool,
    /// What holds without it.
    pub default: Option<String>,
    /// Whether it identifies the account: two accounts with equal values of all such settings are one.
    pub identifies: bool,
}

/// A secret of an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecretSlot {
    /// Its key in `networks/<name>.json`.
    pub name: String,
    /// What it is, for people.
    pub meaning: String,
    /// Whether an account must have it.
    pub required: bool,
}

/// A sign-in whose outcome the host keeps and puts on requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenSource {
    /// Its name in templates.
    pub name: String,
    /// The request that signs in.
    pub request: Request,
    /// Where its answer has the token.
    pub value: TokenPlace,
    /// Where its answer has its lifetime in seconds.
    pub lifetime: Option<TokenPlace>,
    /// Its lifetime in seconds if the response doesn't state it.
    pub lifetime_secs: Option<u32>,
    /// Where its answer has a refresh token.
    pub refresh_value: Option<TokenPlace>,
    /// The request that spends the refresh token.
    pub refresh: Option<Request>,
    /// Whether every answer brings a new value, in a body of at most 1 MiB if it is in the body.
    pub rotates: bool,
}

/// A place in a sign-in's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenPlace {
    /// JSON Pointer.
    Json(String),
    /// Local element names joined by `.`.
    Xml(String),
    /// A response header.
    Header(String),
    /// The cookies that the answer sets.
    Cookies,
    /// The whole body.
    Body,
}

/// So many requests in so many seconds, so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests in `per_secs`.
    pub requests: u32,
    /// Seconds.
    pub per_secs: u32,
    /// Requests in flight at once.
    pub concurrency: u32,
}

/// How often how many days are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookBack {
    /// How often.
    pub every_secs: u32,
    /// How many days.
    pub days: u32,
    /// Which date.
    pub axis: Axis,
}

/// A status word of the network, mapped to the unified statuses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusWord {
    /// The network's word, verbatim.
    pub token: String,
    /// The advertiser's decision.
    pub validation: ValidationStatus,
    /// The publisher's money.
    pub payment: PaymentStatus,
    /// Whether it can no longer change.
    pub locked: Option<bool>,
}
