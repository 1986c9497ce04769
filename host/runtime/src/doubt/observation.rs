//! What a mapped response is like, in some hundred numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Decimal128Array, RecordBatch, StringArray};
use arrow::datatypes::{Date32Type, Decimal128Type};
use sluice_model::unified::has_filled_pair;
use sluice_model::{BodyFindings, Fact, Kinds, Mapped, NativeBatch};

use super::facts::{FactSums, count_days};
use super::magnitude::Magnitude;
use super::profile::{Codes, Day};

/// Columns of unified transactions of which it is known how often they are filled. Those on which money hangs come first.
pub(super) const COLUMNS: [&str; 12] = [
    "commission_amount",
    "commission_currency",
    "sale_amount",
    "sale_currency",
    "status_raw",
    "advertiser_id",
    "order_id",
    "sub_ids",
    "click_id",
    "clicked_at",
    "modified_at",
    "validated_at",
];

/// The place of `sub_ids`.
pub(super) const SUB_IDS: usize = 7;

/// Fields of a record of which it is known how often they are filled; further ones are left out.
const MAX_PATHS: usize = 1_000;
/// Bytes of the paths of these fields: names may be values, as long as the network likes.
pub(super) const MAX_PATH_BYTES: usize = 128 << 10;

/// A native field: how many records have a value there, and of which types the values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathSeen {
    pub(super) path: Arc<str>,
    pub(super) filled: u64,
    pub(super) kinds: Kinds,
}

/// What some responses are like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// How many responses it is of.
    pub responses: u64,
    /// Records in them.
    pub records: u64,
    /// Unified transactions in them.
    pub transactions: u64,
    pub(super) columns: [u64; COLUMNS.len()],
    pub(super) paths: Vec<PathSeen>,
    /// Transactions by the currency of their commission, else of their sale; none of those without one.
    pub(super) currencies: Codes,
    /// Transactions by the currency of their sale.
    pub(super) sale_currencies: Codes,
    pub(super) commission: Magnitude,
    pub(super) sale: Magnitude,
    pub(super) unknown_statuses: u64,
    /// Transactions of which the network writes the commission's currency otherwise than as its code, as points.
    pub(super) written_codes: u64,
    /// Responses whose end nothing marked: the connection was closed.
    pub(super) closed: u64,
    /// Responses whose last line has no end.
    pub(super) open_ended: u64,
    /// Of these, responses whose last line has too few fields besides: they are cut.
    pub(super) cut: u64,
    /// Responses with rows that have too few fields.
    pub(super) torn: u64,
    /// By the transaction's day, as days since 1970.
    pub(super) days: BTreeMap<i32, Day>,
    /// Commission by currency, in millionths.
    pub(super) money: BTreeMap<String, i128>,
    /// Facts of other kinds.
    pub(super) facts: BTreeMap<Fact, FactSums>,
    /// Of these, payments and aggregates by their day, as days since 1970.
    pub(super) fact_days: BTreeMap<i32, u64>,
}

impl Observation {
    /// What a mapped response is like. The number of nulls of a column is known; amounts, currencies, days and statuses
    /// are read once.
    pub fn of(mapped: &Mapped) -> Self {
        let mut seen = Self { responses: 1, records: mapped.native.rows as u64, ..Self::default() };
        seen.paths = paths(&mapped.native);
        if let Some(rows) = &mapped.transactions {
            seen.add_transactions(rows);
        }
        for (fact, rows) in &mapped.facts {
            seen.facts.insert(*fact, FactSums::of(*fact, rows));
            count_days(*fact, rows, &mut seen.fact_days);
        }
        seen
    }

    /// Records how a response's body ended. `closed`: by the end of the connection.
    pub fn note_end(&mut self, findings: &BodyFindings, closed: bool) {
        self.closed += u64::from(closed);
        self.open_ended += u64::from(findings.is_open);
        self.cut += u64::from(findings.is_torn);
        self.torn += u64::from(findings.torn_rows > 0);
    }

    fn add_transactions(&mut self, rows: &RecordBatch) {
        let count = rows.num_rows();
        self.transactions = count as u64;
        for (filled, name) in self.columns.iter_mut().zip(COLUMNS) {
            *filled = rows.column_by_name(name).map_or(0, |column| (count - column.null_count()) as u64);
        }
        if let Some(sub_ids) = rows.column_by_name("sub_ids").and_then(|column| column.as_map_opt()) {
            self.columns[SUB_IDS] = (0..count).filter(|row| has_filled_pair(sub_ids, *row)).count() as u64;
        }
        let written = rows.column_by_name("commission_currency_raw");
        self.written_codes = written.map_or(0, |column| (count - column.null_count()) as u64);
        let statuses = rows.column_by_name("validation_status").and_then(|column| column.as_string_opt::<i32>());
        let is_unknown = |status: &Option<&str>| *status == Some("unknown");
        self.unknown_statuses = statuses.map_or(0, |statuses| statuses.iter().filter(is_unknown).count() as u64);
        let money =
            |name: &str| rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<Decimal128Type>());
        if let Some(sales) = money("sale_amount") {
            present(sales).for_each(|(_, amount)| self.sale.add(amount));
        }
        if let Some(commissions) = money("commission_amount") {
            present(commissions).for_each(|(_, amount)| self.commission.add(amount));
            self.add_days(rows, commissions);
        }
        self.add_currencies(rows, money("commission_amount"));
    }

    fn add_days(&mut self, rows: &RecordBatch, commissions: &Decimal128Array) {
        let Some(days) = rows.column_by_name("transaction_day").and_then(|c| c.as_primitive_opt::<Date32Type>()) else {
            return;
        };
        // Neighbours are mostly of one day.
        let mut current: Option<(i32, Day)> = None;
        for (row, day) in days.values().iter().enumerate() {
            let amount = if commissions.is_valid(row) { commissions.value(row).unsigned_abs() } else { 0 };
            match &mut current {
                Some((of, sums)) if of == day => sums.add(amount),
                _ => {
                    let mut sums = Day::default();
                    sums.add(amount);
                    if let Some((of, before)) = current.replace((*day, sums)) {
                        self.days.entry(of).or_default().merge(&before);
                    }
                }
            }
        }
        if let Some((of, sums)) = current {
            self.days.entry(of).or_default().merge(&sums);
        }
    }

    fn add_currencies(&mut self, rows: &RecordBatch, commissions: Option<&Decimal128Array>) {
        let text = |name: &str| rows.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        let (Some(own), Some(sales)) = (text("commission_currency"), text("sale_currency")) else { return };
        let mut sums = Vec::new();
        for row in 0..rows.num_rows() {
            let code = match (own.is_valid(row), sales.is_valid(row)) {
                (true, _) => own.value(row),
                (false, true) => sales.value(row),
                (false, false) => continue,
            };
            let amount = commissions.filter(|amounts| amounts.is_valid(row)).map_or(0, |amounts| amounts.value(row));
            let sum = sum_of(&mut sums, code);
            sum.count += 1;
            sum.amount += amount;
        }
        for CodeSum { code, count, amount } in sums {
            let code = code.to_ascii_uppercase();
            *self.money.entry(code.clone()).or_default() += amount;
            *self.currencies.entry(code).or_default() += count;
        }
        add_codes(&mut self.sale_currencies, sales);
    }

    /// Adds what further responses are like.
    pub fn merge(&mut self, other: &Self) {
        self.responses += other.responses;
        self.records += other.records;
        self.transactions += other.transactions;
        self.unknown_statuses += other.unknown_statuses;
        self.written_codes += other.written_codes;
        self.closed += other.closed;
        self.open_ended += other.open_ended;
        self.cut += other.cut;
        self.torn += other.torn;
        self.columns.iter_mut().zip(other.columns).for_each(|(own, more)| *own += more);
        self.commission.merge(&other.commission);
        self.sale.merge(&other.sale);
        for (code, count) in &other.currencies {
            *self.currencies.entry(code.clone()).or_default() += count;
        }
        for (code, count) in &other.sale_currencies {
            *self.sale_currencies.entry(code.clone()).or_default() += count;
        }
        for (code, sum) in &other.money {
            *self.money.entry(code.clone()).or_default() += sum;
        }
        for (day, sums) in &other.days {
            self.days.entry(*day).or_default().merge(sums);
        }
        for (fact, sums) in &other.facts {
            self.facts.entry(*fact).or_default().merge(sums);
        }
        for (day, count) in &other.fact_days {
            *self.fact_days.entry(*day).or_default() += count;
        }
        if self.paths.is_empty() {
            self.paths.clone_from(&other.paths);
            return;
        }
        let mut place = 0;
        for seen in &other.paths {
            place = self.merge_path(place, seen);
        }
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let maps = self.days.len() * size_of::<(i32, Day)>() + self.currencies.len() * size_of::<(String, u64)>();
        size_of::<Self>() + self.path_bytes() + self.paths.len() * size_of::<PathSeen>() + maps
    }

    fn path_bytes(&self) -> usize {
        self.paths.iter().map(|seen| seen.path.len()).sum()
    }

    /// Adds a field, which is looked for in a place first, and gives the place of the next one. Responses of a stream mostly have
    /// their fields in one order, but for those that one of them lacks.
    fn merge_path(&mut self, place: usize, seen: &PathSeen) -> usize {
        let is_there = self.paths.get(place).is_some_and(|known| known.path == seen.path);
        let at = if is_there { Some(place) } else { self.paths.iter().position(|known| known.path == seen.path) };
        match at {
            Some(at) => {
                self.paths[at].filled += seen.filled;
                self.paths[at].kinds.insert(seen.kinds);
                at + 1
            }
            None => {
                if self.paths.len() < MAX_PATHS && self.path_bytes() + seen.path.len() <= MAX_PATH_BYTES {
                    self.paths.push(seen.clone());
                }
                place
            }
        }
    }

    /// The commission by currency, as a JSON object of decimal numbers in text.
    pub fn money_json(&self) -> String {
        money_json(&self.money)
    }

    pub(super) fn path(&self, path: &str) -> Option<&PathSeen> {
        self.paths.iter().find(|seen| *seen.path == *path)
    }
}

/// Sums of millionths by currency as a JSON object of decimal numbers in text.
pub(crate) fn money_json(money: &BTreeMap<String, i128>) -> String {
    let decimal = |sum: &i128| {
        let (sign, sum) = (if *sum < 0 { "-" } else { "" }, sum.unsigned_abs());
        format!("{sign}{}.{:02}", sum / 1_000_000, sum % 1_000_000 / 10_000)
    };
    let texts: BTreeMap<&str, String> = money.iter().map(|(code, sum)| (code.as_str(), decimal(sum))).collect();
    serde_json::to_string(&texts).unwrap_or_default()
}

/// What a response has of one currency.
struct CodeSum<'a> {
    code: &'a str,
    count: u64,
    amount: i128,
}

/// The sum of a currency's code. There are few, in whatever order they come, and the last one is mostly the next one too.
fn sum_of<'a, 'b>(sums: &'b mut Vec<CodeSum<'a>>, code: &'a str) -> &'b mut CodeSum<'a> {
    let at = sums.iter().position(|sum| sum.code == code).unwrap_or_else(|| {
        sums.push(CodeSum { code, count: 0, amount: 0 });
        sums.len() - 1
    });
    &mut sums[at]
}

/// Counts codes.
pub(super) fn add_codes(counts: &mut Codes, codes: &StringArray) {
    let mut sums = Vec::new();
    for code in codes.iter().flatten() {
        sum_of(&mut sums, code).count += 1;
    }
    for CodeSum { code, count, .. } in sums {
        *counts.entry(code.to_ascii_uppercase()).or_default() += count;
    }
}

fn present(amounts: &Decimal128Array) -> impl Iterator<Item = (usize, i128)> + '_ {
    let values = amounts.values().iter().enumerate();
    values.filter(|(row, _)| amounts.is_valid(*row)).map(|(row, amount)| (row, *amount))
}

/// How many texts aren't empty: delimited text has no other way to say that there is no value.
fn with_text(texts: &StringArray) -> usize {
    let filled = texts.value_offsets().windows(2).filter(|ends| ends[1] > ends[0]).count();
    filled.min(texts.len() - texts.null_count())
}

fn paths(native: &NativeBatch) -> Vec<PathSeen> {
    let mut left = MAX_PATH_BYTES;
    let columns = native.columns.iter().take(MAX_PATHS).take_while(|column| {
        let fits = column.path.len() <= left;
        left = left.saturating_sub(column.path.len());
        fits
    });
    let seen = columns.map(|column| PathSeen {
        path: column.path.as_str().into(),
        filled: with_text(&column.text) as u64,
        kinds: column.kinds,
    });
    seen.collect()
}

#[cfg(test)]
mod tests {
    use sluice_model::NativeColumn;

    use super::super::profile::Profile;
    use super::*;

    #[test]
    fn names_of_fields_that_are_as_long_as_the_network_likes_take_little_memory() {
        let seen = |page: usize| {
            let column = |field: usize| NativeColumn {
                path: format!("{page}.{field}.{}", "x".repeat(4_000)),
                text: StringArray::from(vec![Some("1")]),
                kinds: Kinds::TEXT,
            };
            let native = NativeBatch { rows: 1, columns: (0..MAX_PATHS).map(column).collect() };
            Observation { responses: 1, records: 1, paths: paths(&native), ..Observation::default() }
        };
        let (mut all, mut profile) = (Observation::default(), Profile::default());
        for page in 0..5 {
            let seen = seen(page);
            assert!(!seen.paths.is_empty());
            all.merge(&seen);
            profile.add(&seen);
        }
        assert!(all.bytes() < 2 * MAX_PATH_BYTES, "{}", all.bytes());
        assert!(profile.to_json().len() < 3 * MAX_PATH_BYTES, "{}", profile.to_json().len());
    }
}
