//! Doubt: whether an answer would change money implausibly, by what was usual of its stream and account.
//!
//! An [`Observation`] says what a mapped response is like: which fields are filled, in which currencies and of which size
//! its amounts are. A [`Profile`] is what earlier observations were like. [`judge_response`] compares the two and gives a [`Doubt`]
//! for each rule that an answer breaks. All of this is pure; what is done about a doubt is in `collect::gate` and
//! `crate::doubts`. See `docs/decisions/0022-doubt.md`.

mod accepted;
mod bands;
mod days;
mod empty;
mod facts;
mod fill;
mod inputs;
mod known;
mod magnitude;
mod names;
mod observation;
mod profile;
mod rules;
mod window;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

pub use bands::{SliceView, judge_days};
pub use days::{DayLimits, day_outside_band, quiet_day};
pub use empty::{Emptied, emptied};
pub use facts::{comparable_facts, emptied_facts, judge_known_facts};
pub use fill::{judge_few, judge_few_money};
pub use inputs::{unknown_input, unknown_inputs, unseen_inputs, unseen_text};
pub use known::{is_moved, is_odd, judge_known};
pub use observation::Observation;
pub(crate) use observation::money_json;
pub use profile::{Profile, WindowsBy};
pub use rules::{Doubts, judge_ending, judge_response, suspicion};
pub use window::judge_window;

/// Days of the same weekday that make a band.
const MIN_WEEKDAYS: usize = 4;
/// Records from which on the absence of a field is more than chance.
pub const MIN_RECORDS: u64 = 5;

/// What a doubt of [`DoubtKind::Total`] is about if a page came twice: its `field`, by which an acceptance knows it.
pub(crate) const PAGE: &str = "page";
/// How the reason ends of a page that comes twice: what a network whose pages repeat needs.
pub(crate) const REPEATED_PAGE: &str = "Where its lists repeat, accept it: pages of this account and stream may repeat then. \
                                        `\"doubt\": {\"total\": false}` lets all, and compares no totals";

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DoubtKind {
    /// A field that was filled is empty in all or most records.
    Fill,
    /// A field's values have another type.
    Type,
    /// All or most amounts are in currencies that they never had.
    Currency,
    /// Amounts are of another order of magnitude: another unit, as cents for euros.
    Unit,
    /// Most status words are unknown.
    Status,
    /// Most transactions aren't of the window that was asked for.
    Window,
    /// Nothing is in a window that held transactions.
    Empty,
    /// A body may have been cut off.
    Cut,
    /// Two responses report one transaction differently, and nothing says which is newer.
    Conflict,
    /// Other than as many records as the network states, or the same page twice.
    Total,
    /// Counts or sums of days are far from those of the same account and weekday.
    Bands,
    /// Records have more fields than their table may have columns. It holds nothing back.
    Columns,
}

impl DoubtKind {
    /// All rules, those first that say most about the cause.
    pub const ALL: [Self; 12] = [
        Self::Fill,
        Self::Type,
        Self::Currency,
        Self::Unit,
        Self::Status,
        Self::Window,
        Self::Empty,
        Self::Cut,
        Self::Conflict,
        Self::Total,
        Self::Bands,
        Self::Columns,
    ];

    /// Its name in settings, tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fill => "fill",
            Self::Type => "type",
            Self::Currency => "currency",
            Self::Unit => "unit",
            Self::Status => "status",
            Self::Window => "window",
            Self::Empty => "empty",
            Self::Cut => "cut",
            Self::Conflict => "conflict",
            Self::Total => "total",
            Self::Bands => "bands",
            Self::Columns => "columns",
        }
    }
}

/// Why an answer is doubted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The rule that it breaks.
    pub kind: DoubtKind,
    /// The path in the records, or the column of the unified model; `page` for a page that came twice; none if it is about the
    /// whole answer.
    pub field: Option<String>,
    /// What is odd, with numbers, on one line.
    pub reason: String,
}

impl Doubt {
    /// What it is about, without numbers: alike for all slices in which the same thing happened.
    pub fn title(&self) -> String {
        let field = self.field.as_deref().unwrap_or_default();
        match self.kind {
            DoubtKind::Fill => format!("`{field}` is gone from all or most records"),
            DoubtKind::Type => format!("the values of `{field}` have another type"),
            DoubtKind::Currency => "all or most amounts are in a currency that they never had".to_owned(),
            DoubtKind::Unit => format!("`{field}` is of another order of magnitude"),
            DoubtKind::Status => "most status words are unknown".to_owned(),
            DoubtKind::Window => "most transactions aren't of the window that was asked for".to_owned(),
            DoubtKind::Empty => "the answer for a window that held transactions is empty".to_owned(),
            DoubtKind::Cut => "the body may have been cut off".to_owned(),
            DoubtKind::Conflict => "two responses report one transaction differently".to_owned(),
            DoubtKind::Total if field == PAGE => "a page came twice".to_owned(),
            DoubtKind::Total => "the network states another number of records than came".to_owned(),
            DoubtKind::Bands => "counts or sums of days are far from what is usual".to_owned(),
            DoubtKind::Columns => "records have more fields than their table may have columns".to_owned(),
        }
    }
}

/// `doubt` in `networks/<name>.json`: which rules hold, how much they take, and what is accepted when a second read agrees.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DoubtSettings {
    /// [`DoubtKind::Fill`].
    pub fill: bool,
    /// [`DoubtKind::Type`].
    #[serde(rename = "type")]
    pub types: bool,
    /// [`DoubtKind::Currency`].
    pub currency: bool,
    /// [`DoubtKind::Unit`].
    pub unit: bool,
    /// [`DoubtKind::Status`].
    pub status: bool,
    /// [`DoubtKind::Window`].
    pub window: bool,
    /// [`DoubtKind::Empty`].
    pub empty: bool,
    /// [`DoubtKind::Cut`].
    pub cut: bool,
    /// [`DoubtKind::Conflict`].
    pub conflict: bool,
    /// [`DoubtKind::Total`].
    pub total: bool,
    /// [`DoubtKind::Bands`].
    pub bands: bool,
    /// [`DoubtKind::Columns`].
    pub columns: bool,
    /// Kinds that are accepted when another read agrees, at least an hour later.
    pub auto_accept: Vec<DoubtKind>,
    /// Records from which on an answer says something by itself, and that must be known before; at least 1.
    #[serde(deserialize_with = "positive")]
    pub min_records: u64,
    /// Transactions that each of a day's weekdays must have for too few to be odd; at least 1.
    #[serde(deserialize_with = "positive")]
    pub day_records: u64,
    /// The share of records above which a field, a currency or a status is doubted; from 0 to below 1.
    #[serde(deserialize_with = "share")]
    pub share: f64,
    /// How many times larger or smaller amounts, counts and sums must be; at least 2.
    #[serde(deserialize_with = "factor")]
    pub factor: u32,
    /// How many days before and behind its window a transaction may be.
    pub window_days: u16,
}

fn positive<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(from)?;
    if number > 0 { Ok(number) } else { Err(D::Error::custom("it must be at least 1")) }
}

fn share<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(from)?;
    if (0.0..1.0).contains(&share) { Ok(share) } else { Err(D::Error::custom("a share is from 0 to below 1")) }
}

fn factor<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let factor = u32::deserialize(from)?;
    if factor >= 2 { Ok(factor) } else { Err(D::Error::custom("it must be at least 2")) }
}

impl Default for DoubtSettings {
    fn default() -> Self {
        Self {
            fill: true,
            types: true,
            currency: true,
            unit: true,
            status: true,
            window: true,
            empty: true,
            cut: true,
            conflict: true,
            total: true,
            bands: true,
            columns: true,
            auto_accept: vec![DoubtKind::Empty, DoubtKind::Bands],
            min_records: MIN_RECORDS,
            day_records: 80,
            share: 0.5,
            factor: 20,
            window_days: 2,
        }
    }
}

impl DoubtSettings {
    /// Whether a rule holds.
    pub fn has(&self, kind: DoubtKind) -> bool {
        match kind {
            DoubtKind::Fill => self.fill,
            DoubtKind::Type => self.types,
            DoubtKind::Currency => self.currency,
            DoubtKind::Unit => self.unit,
            DoubtKind::Status => self.status,
            DoubtKind::Window => self.window,
            DoubtKind::Empty => self.empty,
            DoubtKind::Cut => self.cut,
            DoubtKind::Conflict => self.conflict,
            DoubtKind::Total => self.total,
            DoubtKind::Bands => self.bands,
            DoubtKind::Columns => self.columns,
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod settings_tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_unknown_key_of_doubt_is_an_error() {
        let parsed: DoubtSettings = serde_json::from_str(r#"{"currency": false, "auto_accept": ["cut"]}"#).unwrap();
        assert!(!parsed.has(DoubtKind::Currency) && parsed.has(DoubtKind::Fill));
        assert_eq!(parsed.auto_accept, [DoubtKind::Cut]);
        assert!(serde_json::from_str::<DoubtSettings>(r#"{"coin": false}"#).is_err());
        assert!(serde_json::from_str::<DoubtSettings>(r#"{"auto_accept": ["all"]}"#).is_err());
    }

    #[test]
    fn names_of_kinds_are_those_of_json() {
        for kind in DoubtKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
