//! Payments, items and aggregates: what is usual of their amounts and currencies, and what is odd about an answer's.
//!
//! They are few beside transactions, so what the tables have of the same ones says most. A payment isn't worth a hundred times as
//! much the next day: one is enough. Sums of a day grow while the day lasts, so of these three must change, and most that change.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Decimal128Type, TimestampMicrosecondType};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sluice_lake::KnownFact;
use sluice_model::{Axis, Fact, Window};

use super::empty::{Emptied, emptied};
use super::fill::of_all;
use super::known::{has_spread, is_other_unit, is_shifted};
use super::magnitude::Magnitude;
use super::observation::{Observation, add_codes};
use super::profile::{Codes, MAX_DAYS, Profile, WindowsBy};
use super::rules::{Doubts, other_codes, unit};
use super::{Doubt, DoubtKind, DoubtSettings};
use crate::text;

const DAY_SECS: i64 = 86_400;
/// Facts other than payments that must change alike.
const FEW: u64 = 3;

/// The amounts and currencies of facts of a kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FactSums {
    pub(super) amounts: Magnitude,
    pub(super) currencies: Codes,
}

impl FactSums {
    pub(super) fn of(fact: Fact, rows: &RecordBatch) -> Self {
        let mut sums = Self::default();
        let Some((amount, currency)) = fact.amount() else { return sums };
        let amounts = rows.column_by_name(amount).and_then(|column| column.as_primitive_opt::<Decimal128Type>());
        amounts.into_iter().flatten().flatten().for_each(|amount| sums.amounts.add(amount));
        if let Some(codes) = rows.column_by_name(currency).and_then(|column| column.as_string_opt::<i32>()) {
            add_codes(&mut sums.currencies, codes);
        }
        sums
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.amounts.merge(&other.amounts);
        for (code, count) in &other.currencies {
            *self.currencies.entry(code.clone()).or_default() += count;
        }
    }

    pub(super) fn halve(&mut self) {
        self.amounts.halve();
        self.currencies.values_mut().for_each(|count| *count = count.div_ceil(2));
    }
}

/// The columns of the date that a fact is of, the first one that it has. The empty answers of streams with items are those of
/// their transactions, and programmes have no date.
fn dates(fact: Fact) -> &'static [&'static str] {
    match fact {
        Fact::Payments => &["paid_at", "created_at", "due_at"],
        Fact::Aggregates => &["day"],
        Fact::Transactions | Fact::Items | Fact::Programmes => &[],
    }
}

/// Counts facts by the day that they are of, as days since 1970.
pub(super) fn count_days(fact: Fact, rows: &RecordBatch, days: &mut BTreeMap<i32, u64>) {
    let columns: Vec<&ArrayRef> = dates(fact).iter().filter_map(|name| rows.column_by_name(name)).collect();
    for row in (0..rows.num_rows()).filter(|_| !columns.is_empty()) {
        if let Some(day) = columns.iter().find_map(|column| day_of(column, row)) {
            *days.entry(day).or_default() += 1;
        }
    }
}

fn day_of(column: &ArrayRef, row: usize) -> Option<i32> {
    if column.is_null(row) {
        return None;
    }
    if let Some(days) = column.as_primitive_opt::<Date32Type>() {
        return Some(days.value(row));
    }
    let micros = column.as_primitive_opt::<TimestampMicrosecondType>()?.value(row);
    i32::try_from(micros.div_euclid(DAY_SECS * 1_000_000)).ok()
}

/// A column by its kind of facts: `payments.amount`.
fn field(fact: Fact, column: &str) -> String {
    format!("{}.{column}", fact.name())
}

/// `payment` of `payments`.
fn noun(fact: Fact) -> &'static str {
    fact.name().trim_end_matches('s')
}

/// Facts of an answer whose amounts or currencies are unlike what was usual.
pub(super) fn judge_sums(profile: &Profile, rules: &DoubtSettings, seen: &Observation, doubts: &mut Doubts) {
    for (fact, found) in &seen.facts {
        let (Some(known), Some((amount, currency))) = (profile.facts.get(fact.name()), fact.amount()) else { continue };
        if rules.has(DoubtKind::Currency) {
            let column = field(*fact, currency);
            doubts.extend(other_codes((column.as_str(), noun(*fact)), rules, &known.currencies, &found.currencies));
        }
        if rules.has(DoubtKind::Unit) {
            let column = field(*fact, amount);
            doubts.extend(unit((column.as_str(), noun(*fact)), rules, &known.amounts, &found.amounts));
        }
    }
}

/// The kinds of facts of an answer that are worth being compared with what the tables hold of the same ones. That takes reading
/// them, so only payments, which are few, are compared in any case.
pub fn comparable_facts(profile: &Profile, seen: &Observation) -> Vec<Fact> {
    let is_odd = |fact: Fact| {
        let (Some(known), Some(found)) = (profile.facts.get(fact.name()), seen.facts.get(&fact)) else { return false };
        is_shifted(&known.amounts, &found.amounts)
            || has_spread(&known.currencies, &found.currencies)
            || found.currencies.keys().any(|code| !known.currencies.contains_key(code))
    };
    let has_amounts = |fact: &Fact| seen.facts.get(fact).is_some_and(|found| found.amounts.count > 0);
    let kinds = seen.facts.keys().copied().filter(has_amounts);
    kinds.filter(|fact| *fact == Fact::Payments || is_odd(*fact)).collect()
}

/// What is odd about facts that the tables have, and an answer reports otherwise.
pub fn judge_known_facts(fact: Fact, rules: &DoubtSettings, rows: &[KnownFact]) -> Doubts {
    let Some((amount, currency)) = fact.amount() else { return Doubts::new() };
    let least = if fact == Fact::Payments { 1 } else { FEW };
    let doubt = |kind, column: &str, (odd, of): (u64, u64), what: &str| {
        let is_enough = odd >= least && odd as f64 > rules.share * of as f64 && rules.has(kind);
        is_enough.then(|| Doubt {
            kind,
            field: Some(field(fact, column)),
            reason: format!("{} {what}", of_all(odd, of, noun(fact))),
        })
    };
    let currencies = rows.iter().filter_map(|row| row.before.currency.as_ref().zip(row.now.currency.as_ref()));
    let currencies = count(currencies, |(before, now)| !before.eq_ignore_ascii_case(now));
    let amounts = rows.iter().filter_map(|row| row.before.amount.zip(row.now.amount));
    let changed = amounts.filter(|(before, now)| before != now && *before != 0 && *now != 0);
    let units = count(changed, |(before, now)| is_other_unit(*before, *now));
    let what = "that the tables have with another amount would be worth 100 or 1,000 times as much or as little";
    let mut doubts = Doubts::new();
    doubts.extend(doubt(DoubtKind::Currency, currency, currencies, "that the tables have would change the currency"));
    doubts.extend(doubt(DoubtKind::Unit, amount, units, what));
    doubts
}

/// How many are odd, of how many.
fn count<T>(all: impl Iterator<Item = T>, is_odd: impl Fn(&T) -> bool) -> (u64, u64) {
    all.fold((0, 0), |(odd, of), one| (odd + u64::from(is_odd(&one)), of + 1))
}

/// Why an answer without records may be wrong, of a stream that gives facts but no transactions: there were some.
/// `window`: what of it could be read.
pub fn emptied_facts(profile: &Profile, axis: Axis, window: Window, read_at: DateTime<Utc>) -> Option<String> {
    if profile.facts.is_empty() {
        return None;
    }
    if axis != Axis::Transaction
        && let Some(Emptied::Window(records)) = emptied(profile, WindowsBy::Axis(axis), window, read_at)
    {
        return Some(format!("the answer is empty, and its window had {} before", text::count(records, "record")));
    }
    // A network's day may begin and end half a day before ours, or behind it.
    let day = TimeDelta::days(1);
    let inner = Window { since: window.since + day, until: window.until - day };
    let days = profile.fact_days.get(axis.name())?.iter();
    let held: u64 = days.filter(|(day, _)| is_within(**day, inner)).map(|(_, count)| count).sum();
    let held = (held > 0).then(|| text::count(held, "record"))?;
    Some(format!("the answer is empty, and earlier ones had {held} of days in its window"))
}

/// First and last second of a day since 1970.
fn seconds(day: i32) -> (i64, i64) {
    (i64::from(day) * DAY_SECS, (i64::from(day) + 1) * DAY_SECS)
}

fn is_within(day: i32, window: Window) -> bool {
    let (begin, end) = seconds(day);
    window.since.timestamp() <= begin && end <= window.until.timestamp()
}

impl Profile {
    /// Takes over of which days a window that was read whole has facts, instead of what was known of it.
    pub fn learn_fact_days(&mut self, axis: Axis, window: Window, seen: &Observation) {
        if axis == Axis::None || (seen.fact_days.is_empty() && !self.fact_days.contains_key(axis.name())) {
            return;
        }
        let is_in = |day: i32| {
            let (begin, end) = seconds(day);
            begin < window.until.timestamp() && end > window.since.timestamp()
        };
        let known = self.fact_days.entry(axis.name().to_owned()).or_default();
        known.retain(|day, _| !is_in(*day));
        // Facts of other days than the window's are of another date than the one by which the network filters.
        known.extend(seen.fact_days.iter().filter(|(day, _)| is_in(**day)).map(|(day, count)| (*day, *count)));
        while known.len() > MAX_DAYS {
            known.pop_first();
        }
    }
}
