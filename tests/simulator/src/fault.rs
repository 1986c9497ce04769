//! Faults: which requests fail, how often and how. All drawn from the request itself, so that order doesn't matter.

use crate::dice::{Dice, hash};
use serde::{Deserialize, Serialize};

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// 429, a third without `Retry-After`, else with 0 and rarely 1 second. Rakuten's lists: 403, with 0 seconds.
    Status429,
    /// 500 with a text.
    Status500,
    /// The proper answer, late.
    Slow,
    /// `Content-Length` says more than is sent; the connection closes.
    Truncated,
    /// The body ends in its middle, with the right `Content-Length`.
    InvalidBody,
    /// A maintenance page at 200.
    HtmlAt200,
    /// The network's own way to say an error at 200.
    ErrorAt200,
    /// The credential counts as expired, once: 401 (Awin, CJ, Rakuten), a SOAP Fault (TradeTracker). The account's bearer or
    /// session is forgotten at the first one after the clock advanced. Where there's nothing to expire (logins) it is a 500, and on
    /// ShareASale an error at 200.
    ExpiredToken,
    /// The connection closes without an answer.
    Reset,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Status429,
        Self::Status500,
        Self::Slow,
        Self::Truncated,
        Self::InvalidBody,
        Self::HtmlAt200,
        Self::ErrorAt200,
        Self::ExpiredToken,
        Self::Reset,
    ];

    /// The fault of a name as `Serialize` writes it (`status429`, `html-at200` …).
    pub fn of(name: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
    }
}

/// Which requests fail.
///
/// A request is known by method, path, query and body: headers (signature, its date, session, bearer) don't count.
/// A chosen request fails its first 1 to `max_per_request` attempts, then works for good.
#[derive(Debug, Clone)]
pub struct FaultPlan {
    /// The share of requests that fail, 0 to 1.
    pub share: f64,
    /// The ways to fail; one is drawn per request. None means no faults.
    pub kinds: Vec<Fault>,
    /// The most failures of one request.
    pub max_per_request: u32,
    /// How late a slow answer is.
    pub slow_millis: u64,
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self { share: 0.0, kinds: Vec::new(), max_per_request: 1, slow_millis: 50 }
    }
}

impl FaultPlan {
    /// A plan of all kinds.
    pub fn all(share: f64, max_per_request: u32) -> Self {
        Self { share, kinds: Fault::ALL.to_vec(), max_per_request, ..Self::default() }
    }

    /// The fault of this attempt (counted from 0) at a request.
    pub(crate) fn draw(&self, seed: u64, identity: u64, attempt: u32) -> Option<Fault> {
        if self.kinds.is_empty() || self.max_per_request == 0 {
            return None;
        }
        let mut dice = Dice::of(seed, &["fault", &identity.to_string()]);
        #[expect(clippy::cast_precision_loss, reason = "a draw between 0 and 1 needs no more than 53 bits")]
        let chosen = ((dice.next() >> 11) as f64) < self.share * ((1_u64 << 53) as f64);
        let kind = *dice.pick(&self.kinds);
        let failures = if kind == Fault::ExpiredToken { 1 } else { 1 + dice.below(u64::from(self.max_per_request)) };
        (chosen && u64::from(attempt) < failures).then_some(kind)
    }
}

/// The identity of a request for the plan.
pub(crate) fn identity(network: &str, method: &str, path_and_query: &str, body: &[u8]) -> u64 {
    hash(0, &[network, method, path_and_query, &String::from_utf8_lossy(body)])
}

/// A body that ends in its middle: within a line, so that a table's last row lacks columns.
pub(crate) fn cut(body: &[u8]) -> Vec<u8> {
    let middle = body.len() / 2;
    let start = body.get(..middle).and_then(|half| half.iter().rposition(|byte| *byte == b'\n')).map_or(0, |at| at + 1);
    let tail = body.get(start..).unwrap_or_default();
    let line = tail.iter().position(|byte| *byte == b'\n').unwrap_or(tail.len());
    let end = start + line / 2;
    let kept = body.get(..end).unwrap_or_default().to_vec();
    if kept.is_empty() { b"<".to_vec() } else { kept }
}
