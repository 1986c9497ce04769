//! The rules that find faults.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use sluice_model::Severity;

/// A rule. Its name is that of its settings and in `meta.alarms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A day without transactions, where days like it have some.
    ZeroRows,
    /// A day with far fewer or more transactions or commission than days like it.
    Bands,
    /// Answers that are held back.
    Doubt,
    /// Status words that the connector doesn't know.
    UnknownStatus,
    /// A native table has got a column.
    NewColumns,
    /// A native column that was filled has no values any more.
    VanishedColumns,
    /// Too many records could not be mapped.
    Rejects,
    /// A network refuses an account's secrets.
    Credentials,
    /// Secrets whose last day comes near.
    Expiry,
    /// A run that is due, or was queued, doesn't start.
    Schedule,
    /// Windows that the tables may lack rows of.
    Gap,
    /// An account that wasn't read for two periods of its schedule.
    Stale,
    /// A service that stopped reporting without having ended.
    Host,
    /// Transactions that may be others under another id.
    Duplicates,
    /// Little free space.
    Disk,
    /// A lake that can't be written or read.
    Lake,
    /// A state store that can't be reached.
    State,
    /// A settings file that can't be used.
    Settings,
    /// A machine's clock that jumped.
    Clock,
    /// A check of the operator's own.
    Check,
    /// A receiver of alarms that accepts none.
    Receiver,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 21] = [
        Self::ZeroRows,
        Self::Bands,
        Self::Doubt,
        Self::UnknownStatus,
        Self::NewColumns,
        Self::VanishedColumns,
        Self::Rejects,
        Self::Credentials,
        Self::Expiry,
        Self::Schedule,
        Self::Gap,
        Self::Stale,
        Self::Host,
        Self::Duplicates,
        Self::Disk,
        Self::Lake,
        Self::State,
        Self::Settings,
        Self::Clock,
        Self::Check,
        Self::Receiver,
    ];

    /// Its name in settings, tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::ZeroRows => "zero-rows",
            Self::Bands => "bands",
            Self::Doubt => "doubt",
            Self::UnknownStatus => "unknown-status",
            Self::NewColumns => "new-columns",
            Self::VanishedColumns => "vanished-columns",
            Self::Rejects => "rejects",
            Self::Credentials => "credentials",
            Self::Expiry => "expiry",
            Self::Schedule => "schedule",
            Self::Gap => "gap",
            Self::Stale => "stale",
            Self::Host => "host",
            Self::Duplicates => "duplicates",
            Self::Disk => "disk",
            Self::Lake => "lake",
            Self::State => "state",
            Self::Settings => "settings",
            Self::Clock => "clock",
            Self::Check => "check",
            Self::Receiver => "receiver",
        }
    }

    /// How soon a person is needed, unless the settings say otherwise.
    pub fn severity(self) -> Severity {
        match self {
            Self::NewColumns => Severity::Info,
            Self::Credentials
            | Self::Schedule
            | Self::Host
            | Self::Disk
            | Self::Lake
            | Self::State
            | Self::Settings => Severity::Critical,
            _ => Severity::Warning,
        }
    }

    /// How long a fault lasts before it is an alarm, unless the settings say otherwise: what passes by itself is none.
    pub fn delay(self) -> TimeDelta {
        match self {
            Self::Gap => TimeDelta::hours(1),
            Self::Lake | Self::State => TimeDelta::minutes(1),
            _ => TimeDelta::zero(),
        }
    }

    /// The thresholds that it has in the settings.
    pub fn thresholds(self) -> &'static [&'static str] {
        match self {
            Self::ZeroRows => &["rows", "settle_hours"],
            Self::Bands => &["rows", "factor", "settle_hours"],
            Self::UnknownStatus | Self::Expiry | Self::Duplicates => &["days"],
            Self::NewColumns => &["days", "settle_hours"],
            Self::VanishedColumns => &["days", "rows"],
            Self::Rejects => &["share"],
            Self::Schedule => &["minutes"],
            Self::Disk => &["min_free_mb"],
            Self::Doubt
            | Self::Credentials
            | Self::Gap
            | Self::Stale
            | Self::Host
            | Self::Lake
            | Self::State
            | Self::Settings
            | Self::Clock
            | Self::Check
            | Self::Receiver => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_of_rules_are_those_of_json() {
        for rule in Rule::ALL {
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
        }
    }
}
