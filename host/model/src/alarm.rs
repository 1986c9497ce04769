//! Alarms: faults that a person should know of, each open for as long as it lasts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How soon a person is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Numbers may be incomplete or wrong.
    Warning,
    /// Nothing goes on until somebody acts.
    Critical,
}

impl Severity {
    /// All, the least first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// Its name in settings, tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The one that [`Self::name`] gives this name for; none for another name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }
}

/// Where an alarm stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmState {
    /// The fault was found, and hasn't lasted as long as its rule requires. Nobody is notified, and no table has it.
    Pending,
    /// The fault lasts, and nobody has taken notice.
    Open,
    /// The fault lasts, and somebody has taken notice.
    Acknowledged,
    /// The fault is gone.
    Resolved,
}

impl AlarmState {
    /// In the order in which an alarm may go through them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Open, Self::Acknowledged, Self::Resolved];

    /// Its name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    /// The one that [`Self::name`] gives this name for; none for another name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A fault that a person should know of. There is one for each rule and subject for as long as the fault lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Names it among all.
    pub alarm_id: String,
    /// The rule that found it: `doubt`, `gap` …
    pub rule: String,
    /// What the rule found it of: `awin/uk/transactions`, a host, a check.
    pub subject: String,
    /// The connector's network id; none if it isn't about one network.
    pub network: Option<String>,
    /// The account's id.
    pub account: Option<String>,
    /// The stream, by its name in the manifest.
    pub stream: Option<String>,
    /// The machine that only itself can judge; none for what every host sees alike.
    pub host: Option<String>,
    /// How soon a person is needed.
    pub severity: Severity,
    /// Where it stands.
    pub state: AlarmState,
    /// What is wrong, on one line.
    pub summary: String,
    /// What shows it: numbers, messages, first rows.
    pub evidence: String,
    /// What to do about it.
    pub advice: String,
    /// When the fault was first found.
    pub opened_at: DateTime<Utc>,
    /// When somebody took notice.
    pub acknowledged_at: Option<DateTime<Utc>>,
    /// Who did.
    pub acknowledged_by: Option<String>,
    /// Until when that holds; then it is open again. None: for as long as the fault lasts.
    pub snoozed_until: Option<DateTime<Utc>>,
    /// When the fault was gone.
    pub resolved_at: Option<DateTime<Utc>>,
    /// When this was noted.
    pub noted_at: DateTime<Utc>,
}
