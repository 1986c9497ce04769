//! What was usual of the answers of a stream of an account.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sluice_model::{Axis, Kinds, Window};

use super::facts::FactSums;
use super::magnitude::Magnitude;
use super::observation::{COLUMNS, MAX_PATH_BYTES, Observation, SUB_IDS};

/// Records at which all counters are halved: what was usual a year ago counts for little.
const MAX_RECORDS: u64 = 20_000;
/// Days that are remembered.
pub(super) const MAX_DAYS: usize = 120;
/// Windows with records that are remembered of each axis.
const MAX_WINDOWS: usize = 32;
/// How fields are counted: from 1 on, empty texts aren't filled.
const COUNTS: u8 = 1;
/// Native fields that are remembered: those of which names are values come without end.
const MAX_PATHS: usize = 2_000;

/// How often something was filled, of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fill {
    pub(super) of: u64,
    pub(super) filled: u64,
}

impl Fill {
    pub(super) fn add(&mut self, of: u64, filled: u64) {
        self.of += of;
        self.filled += filled;
    }

    fn halve(&mut self) {
        // What was always filled stays so.
        let missing = (self.of - self.filled.min(self.of)).div_ceil(2);
        self.of = (self.of / 2).max(missing);
        self.filled = self.of - missing;
    }

    /// In each of so many or more.
    pub(super) fn is_always(self, least: u64) -> bool {
        self.of >= least && self.filled == self.of
    }

    /// In 99 of 100 or more.
    pub(super) fn is_nearly_always(self) -> bool {
        self.of > 0 && self.filled * 100 >= self.of * 99
    }

    /// In fewer than the rest of a share.
    pub(super) fn lacks_more_than(self, share: f64) -> bool {
        let missing = self.of - self.filled.min(self.of);
        missing as f64 > share * self.of as f64
    }

    /// In 2 of 100 or fewer.
    pub(super) fn is_nearly_never(self) -> bool {
        self.filled * 50 <= self.of
    }
}

/// How many transactions are in which currency.
pub(super) type Codes = BTreeMap<String, u64>;

/// A day's transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Day {
    pub(super) rows: u64,
    /// Of the absolute commissions, in millionths.
    pub(super) sum: u128,
}

impl Day {
    #[inline]
    pub(super) fn add(&mut self, amount: u128) {
        self.rows += 1;
        self.sum = self.sum.saturating_add(amount);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// Whether rows and sums are the same but for a factor.
    pub(super) fn is_about(&self, other: &Self, factor: u128) -> bool {
        let is_near =
            |one: u128, other: u128| one.saturating_mul(factor) >= other && other.saturating_mul(factor) >= one;
        is_near(u128::from(self.rows), u128::from(other.rows)) && is_near(self.sum, other.sum)
    }
}

/// Which windows are compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowsBy {
    /// Those of an axis, as far as the network keeps them.
    Axis(Axis),
    /// Those that the network should no longer know, and answers all the same.
    Beyond(Axis),
}

impl WindowsBy {
    pub(super) fn name(self) -> String {
        match self {
            Self::Axis(axis) => axis.name().to_owned(),
            Self::Beyond(axis) => format!("{} beyond", axis.name()),
        }
    }
}

/// A window that had records when it was read last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WindowSeen {
    pub(super) since: DateTime<Utc>,
    pub(super) until: DateTime<Utc>,
    pub(super) records: u64,
}

/// A native field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PathProfile {
    #[serde(flatten)]
    pub(super) fill: Fill,
    /// The types that its values had, see [`class`], and [`NAMED`] if it was there at all.
    pub(super) types: u8,
}

/// What was usual of the answers of a stream of an account. Profiles of other releases are read as far as they are
/// understood.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// Responses that it was made of, halved with the records.
    pub responses: u64,
    /// Records in them.
    pub records: u64,
    /// Unified transactions in them.
    pub transactions: u64,
    pub(super) columns: BTreeMap<String, Fill>,
    pub(super) paths: BTreeMap<String, PathProfile>,
    pub(super) currencies: Codes,
    /// Transactions by the currency of their sale.
    pub(super) sale_currencies: Codes,
    pub(super) commission: Magnitude,
    pub(super) sale: Magnitude,
    /// Of how many transactions the status was known.
    pub(super) statuses: Fill,
    /// Of how many responses the end was marked, by a length or a last chunk.
    pub(super) marked_ends: Fill,
    /// Of how many the last line had an end.
    pub(super) line_ends: Fill,
    /// Of how many all rows had all fields.
    pub(super) whole_rows: Fill,
    /// Inputs that no record had, and that were reported; `commission_amount` and its currency once a person took some without.
    pub(super) reported: BTreeSet<String>,
    pub(super) days: BTreeMap<i32, Day>,
    /// The latest windows of each axis that had records.
    pub(super) windows: BTreeMap<String, Vec<WindowSeen>>,
    /// Complete days of accepted answers, as they were there, that have none or are unlike those of their weekday.
    pub(super) accepted_days: BTreeMap<i32, Day>,
    /// Doubts of empty answers that were accepted, in whose windows records came since.
    pub(super) refilled: Vec<String>,
    /// Pages of one list may repeat: such an answer was accepted.
    pub(super) repeats_pages: bool,
    /// How many days before or behind its window a transaction may be, as such answers were accepted.
    pub(super) outside_days: i32,
    /// Facts of other kinds, by the name of their kind.
    pub(super) facts: BTreeMap<String, FactSums>,
    /// By axis, how many payments and aggregates are of which days, as days since 1970.
    pub(super) fact_days: BTreeMap<String, BTreeMap<i32, u64>>,
    /// How fields are counted: see [`COUNTS`].
    counts: u8,
}

impl Profile {
    /// The profile in a JSON text; an empty one for a text that is none.
    pub fn from_json(text: &str) -> Self {
        let mut profile: Self = serde_json::from_str(text).unwrap_or_default();
        if profile.counts != COUNTS {
            // What was counted otherwise isn't compared.
            profile.paths.values_mut().for_each(|path| path.fill = Fill::default());
            profile.columns.remove(COLUMNS[SUB_IDS]);
        }
        profile.counts = 0;
        profile
    }

    /// The text that the state store keeps, of the newest form.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&Self { counts: COUNTS, ..self.clone() }).unwrap_or_default()
    }

    /// Adds what undoubted responses are like.
    pub fn add(&mut self, seen: &Observation) {
        // Those that are in the answer are counted below, in what is filled.
        self.paths.values_mut().for_each(|known| known.fill.add(seen.records, 0));
        let mut path_bytes: usize = self.paths.keys().map(String::len).sum();
        for path in &seen.paths {
            let types = class(path.kinds) | if path.kinds == Kinds::default() { 0 } else { NAMED };
            if let Some(known) = self.paths.get_mut(&*path.path) {
                known.fill.filled += path.filled;
                known.types |= types;
            } else if self.paths.len() < MAX_PATHS && path_bytes + path.path.len() <= 2 * MAX_PATH_BYTES {
                path_bytes += path.path.len();
                // Before it was seen first, no record had it.
                let fill = Fill { of: self.records + seen.records, filled: path.filled };
                self.paths.insert(String::from(&*path.path), PathProfile { fill, types });
            }
        }
        for (name, filled) in COLUMNS.into_iter().zip(seen.columns) {
            match self.columns.get_mut(name) {
                Some(known) => known.add(seen.transactions, filled),
                None => _ = self.columns.insert(name.to_owned(), Fill { of: seen.transactions, filled }),
            }
        }
        for (code, count) in &seen.currencies {
            *self.currencies.entry(code.clone()).or_default() += count;
        }
        for (code, count) in &seen.sale_currencies {
            *self.sale_currencies.entry(code.clone()).or_default() += count;
        }
        self.statuses.add(seen.transactions, seen.transactions - seen.unknown_statuses.min(seen.transactions));
        self.marked_ends.add(seen.responses, seen.responses - seen.closed.min(seen.responses));
        self.line_ends.add(seen.responses, seen.responses - seen.open_ended.min(seen.responses));
        self.whole_rows.add(seen.responses, seen.responses - seen.torn.min(seen.responses));
        self.commission.merge(&seen.commission);
        self.sale.merge(&seen.sale);
        for (fact, sums) in &seen.facts {
            self.facts.entry(fact.name().to_owned()).or_default().merge(sums);
        }
        self.responses += seen.responses;
        self.records += seen.records;
        self.transactions += seen.transactions;
        while self.records.max(self.transactions) > MAX_RECORDS {
            self.halve();
        }
    }

    /// Takes over the complete days of a window: what was known of them before is replaced.
    pub(super) fn set_days(&mut self, days: impl IntoIterator<Item = (i32, Day)>) {
        self.days.extend(days);
        while self.days.len() > MAX_DAYS {
            self.days.pop_first();
        }
    }

    /// Takes over how many records a window has by an axis, instead of those of windows within it.
    pub fn set_window(&mut self, by: WindowsBy, window: Window, records: u64) {
        let windows = self.windows.entry(by.name()).or_default();
        if by == WindowsBy::Axis(Axis::None) {
            // It has no windows: each read is of all there is.
            windows.clear();
        }
        windows.retain(|known| known.since < window.since || known.until > window.until);
        if records > 0 {
            windows.push(WindowSeen { since: window.since, until: window.until, records });
        }
        let surplus = windows.len().saturating_sub(MAX_WINDOWS);
        windows.drain(..surplus);
    }

    /// Adds another profile of the same stream, without its days, which are an account's.
    pub fn merge(&mut self, other: &Self) {
        for (path, more) in &other.paths {
            let known = self.paths.entry(path.clone()).or_default();
            known.fill.add(more.fill.of, more.fill.filled);
            known.types |= more.types;
        }
        for (name, more) in &other.columns {
            self.columns.entry(name.clone()).or_default().add(more.of, more.filled);
        }
        for (code, count) in &other.currencies {
            *self.currencies.entry(code.clone()).or_default() += count;
        }
        for (code, count) in &other.sale_currencies {
            *self.sale_currencies.entry(code.clone()).or_default() += count;
        }
        self.statuses.add(other.statuses.of, other.statuses.filled);
        self.commission.merge(&other.commission);
        self.sale.merge(&other.sale);
        for (fact, sums) in &other.facts {
            self.facts.entry(fact.clone()).or_default().merge(sums);
        }
        self.responses += other.responses;
        self.records += other.records;
        self.transactions += other.transactions;
    }

    /// The same, and which inputs were reported.
    pub fn merge_with_reported(&mut self, other: &Self) {
        self.merge(other);
        self.reported.extend(other.reported.iter().cloned());
    }

    fn halve(&mut self) {
        self.paths.values_mut().for_each(|path| path.fill.halve());
        // A field that was in no record for so long is forgotten.
        self.paths.retain(|_, path| path.fill.filled > 0 || path.types != 0);
        self.columns.values_mut().for_each(Fill::halve);
        let codes = self.currencies.values_mut().chain(self.sale_currencies.values_mut());
        codes.for_each(|count| *count = count.div_ceil(2));
        self.statuses.halve();
        self.marked_ends.halve();
        self.line_ends.halve();
        self.whole_rows.halve();
        self.commission.halve();
        self.sale.halve();
        self.facts.values_mut().for_each(FactSums::halve);
        self.responses = self.responses.div_ceil(2);
        self.records /= 2;
        self.transactions /= 2;
    }

    /// Native paths that most records have had, of so many at least.
    pub fn usual_paths(&self, records: u64) -> impl Iterator<Item = &str> {
        let is_usual = move |fill: &Fill| fill.of >= records && fill.filled * 2 >= fill.of;
        self.paths.iter().filter(move |(_, path)| is_usual(&path.fill)).map(|(path, _)| path.as_str())
    }

    /// Takes note that an input was reported that no record has.
    pub fn note_reported(&mut self, path: &str) {
        self.reported.insert(path.to_owned());
    }
}

/// The bit of a field that records had, were it only as null.
pub(super) const NAMED: u8 = 16;

/// The types of values as bits, without [`NAMED`]: numbers are one, whether they are whole or not.
pub(super) fn class(kinds: Kinds) -> u8 {
    let bit = |seen: bool, bit: u8| if seen { bit } else { 0 };
    bit(kinds.intersects(Kinds::BOOLEAN), 1)
        | bit(kinds.intersects(Kinds::INTEGER) || kinds.intersects(Kinds::FLOAT), 2)
        | bit(kinds.intersects(Kinds::TEXT), 4)
        | bit(kinds.intersects(Kinds::JSON), 8)
}
