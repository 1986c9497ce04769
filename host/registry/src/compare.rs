//! What two versions of a connector make of the same response, and how that differs.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Decimal128Type;
use serde::{Deserialize, Serialize};
use sluice_model::{Fact, Mapped};

/// How a candidate's rows differ from the running version's, summed over responses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Comparison {
    /// Slices of which all responses were compared.
    pub slices: u64,
    /// Responses that both mapped.
    pub responses: u64,
    /// Native records.
    pub records: Pair,
    /// Unified transactions.
    pub transactions: Pair,
    /// Facts of other kinds, by their kind.
    pub facts: BTreeMap<String, Pair>,
    /// Transactions and other facts that only the candidate gives.
    pub added: u64,
    /// Those that only the running version gives.
    pub removed: u64,
    /// Those that both give, otherwise.
    pub changed: u64,
    /// In how many changed transactions each field differs, and as `payments.amount` in how many other facts.
    pub fields: BTreeMap<String, u64>,
    /// Responses in which a native column differs, by its path.
    pub columns: BTreeMap<String, u64>,
    /// Commissions by currency, in millionths.
    pub money: BTreeMap<String, Pair>,
    /// What payments pay, and commissions of items and aggregates, by kind and currency (`payments EUR`), in millionths.
    pub fact_money: BTreeMap<String, Pair>,
    /// Records that could not be mapped.
    pub rejects: Pair,
    /// Status words that the connector doesn't know, counted per response.
    pub unknown_statuses: Pair,
    /// Responses on which the candidate failed.
    pub faults: u64,
    /// The first of them.
    pub first_fault: Option<String>,
}

/// A sum by the running version and by the candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// By the version that serves.
    pub running: i64,
    /// By the candidate.
    pub candidate: i64,
}

impl Pair {
    fn add(&mut self, running: usize, candidate: usize) {
        self.running = self.running.saturating_add(i64::try_from(running).unwrap_or(i64::MAX));
        self.candidate = self.candidate.saturating_add(i64::try_from(candidate).unwrap_or(i64::MAX));
    }
}

impl Comparison {
    /// Adds a response that both mapped.
    pub fn add(&mut self, running: &Mapped, candidate: &Mapped) {
        self.responses += 1;
        self.records.add(running.records(), candidate.records());
        self.rejects.add(running.rejects.len(), candidate.rejects.len());
        self.unknown_statuses.add(running.unknown_statuses.len(), candidate.unknown_statuses.len());
        self.add_columns(running, candidate);
        for fact in Fact::ALL {
            self.add_rows(fact, rows_of(running, fact), rows_of(candidate, fact));
        }
    }

    /// Adds the rows of one kind that both give of a response.
    fn add_rows(&mut self, fact: Fact, before: Option<&RecordBatch>, after: Option<&RecordBatch>) {
        let [running, candidate] = [before, after].map(|rows| rows.map_or(0, RecordBatch::num_rows));
        if fact == Fact::Transactions {
            self.transactions.add(running, candidate);
        } else if running + candidate > 0 {
            self.facts.entry(fact.name().to_owned()).or_default().add(running, candidate);
        }
        let [before_rows, after_rows] =
            [before, after].map(|rows| rows.map(|rows| keyed(fact, rows)).unwrap_or_default());
        self.removed += before_rows.keys().filter(|key| !after_rows.contains_key(*key)).count() as u64;
        self.added += after_rows.keys().filter(|key| !before_rows.contains_key(*key)).count() as u64;
        if let (Some(before), Some(after)) = (before, after) {
            self.add_changes(fact, (before, &before_rows), (after, &after_rows));
        }
        for (batch, is_running) in [(before, true), (after, false)] {
            for (currency, micros) in batch.map(|rows| sums(fact, rows)).unwrap_or_default() {
                let pair = match fact {
                    Fact::Transactions => self.money.entry(currency).or_default(),
                    _ => self.fact_money.entry(format!("{} {currency}", fact.name())).or_default(),
                };
                let sum = if is_running { &mut pair.running } else { &mut pair.candidate };
                *sum = sum.saturating_add(micros);
            }
        }
    }

    /// Adds a response on which the candidate failed.
    pub fn add_fault(&mut self, fault: String) {
        self.faults += 1;
        self.first_fault.get_or_insert(fault);
    }

    /// Adds what was compared elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.slices += other.slices;
        self.responses += other.responses;
        self.added += other.added;
        self.removed += other.removed;
        self.changed += other.changed;
        self.faults += other.faults;
        if self.first_fault.is_none() {
            self.first_fault.clone_from(&other.first_fault);
        }
        let sums = [
            (&mut self.records, other.records),
            (&mut self.transactions, other.transactions),
            (&mut self.rejects, other.rejects),
            (&mut self.unknown_statuses, other.unknown_statuses),
        ];
        sums.into_iter().for_each(|(sum, more)| merge(sum, more));
        let maps = [
            (&mut self.money, &other.money),
            (&mut self.facts, &other.facts),
            (&mut self.fact_money, &other.fact_money),
        ];
        for (sums, more) in maps {
            more.iter().for_each(|(name, more)| merge(sums.entry(name.clone()).or_default(), *more));
        }
        for (counts, more) in [(&mut self.fields, &other.fields), (&mut self.columns, &other.columns)] {
            more.iter().for_each(|(name, count)| *counts.entry(name.clone()).or_default() += count);
        }
    }

    /// The share of rows that differ: transactions and other facts, further rejects and records that one of them lacks, of all
    /// records or transactions; at most 1. Other facts don't add to the whole: many items would hide one transaction that differs.
    pub fn share(&self) -> f64 {
        let all = self.transactions.running.max(self.records.running).max(1);
        let rejects = (self.rejects.candidate - self.rejects.running).max(0);
        let records = (self.records.candidate - self.records.running).abs();
        let differing = i64::try_from(self.added + self.removed + self.changed).unwrap_or(i64::MAX);
        let native = if self.columns.is_empty() || self.transactions.running > 0 { 0 } else { 1 };
        (differing.max(rejects).max(records).max(native) as f64 / all as f64).min(1.0)
    }

    /// Whether nothing at all differs.
    pub fn is_empty(&self) -> bool {
        self.share() == 0.0 && self.columns.is_empty() && self.faults == 0
    }

    /// What differs, a line for each.
    pub fn lines(&self) -> Vec<String> {
        let pair = |what: &str, pair: Pair| format!("{what}: {} → {}", pair.running, pair.candidate);
        let mut lines = vec![
            format!("{} slices, {} responses compared", self.slices, self.responses),
            pair("records", self.records),
            pair("transactions", self.transactions),
        ];
        lines.extend(self.facts.iter().map(|(kind, sum)| pair(kind, *sum)));
        lines.push(format!("added {}, removed {}, changed {}", self.added, self.removed, self.changed));
        lines.extend(self.fields.iter().map(|(field, count)| format!("  {field} differs in {count}")));
        let money = |micros: i64| {
            let sign = if micros < 0 { "-" } else { "" };
            let micros = micros.unsigned_abs();
            format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
        };
        lines.extend(self.money.iter().map(|(currency, sum)| {
            format!("commission {currency}: {} → {}", money(sum.running), money(sum.candidate))
        }));
        lines.extend(
            self.fact_money
                .iter()
                .map(|(name, sum)| format!("amount of {name}: {} → {}", money(sum.running), money(sum.candidate))),
        );
        lines.extend(self.columns.iter().map(|(path, count)| format!("column {path} differs in {count} responses")));
        lines.push(pair("rejects", self.rejects));
        lines.push(pair("unknown status words", self.unknown_statuses));
        if let Some(fault) = &self.first_fault {
            lines.push(format!("failed on {} responses, first: {fault}", self.faults));
        }
        lines
    }

    fn add_columns(&mut self, running: &Mapped, candidate: &Mapped) {
        let (before, after) = (&running.native, &candidate.native);
        for column in &before.columns {
            let same = after.column(&column.path).is_some_and(|other| {
                column.kinds == other.kinds && column.text == other.text && before.rows == after.rows
            });
            if !same {
                *self.columns.entry(column.path.clone()).or_default() += 1;
            }
        }
        for column in after.columns.iter().filter(|column| before.column(&column.path).is_none()) {
            *self.columns.entry(column.path.clone()).or_default() += 1;
        }
    }

    fn add_changes(
        &mut self,
        fact: Fact,
        (before, rows): (&RecordBatch, &Keyed<'_>),
        (after, others): (&RecordBatch, &Keyed<'_>),
    ) {
        let schema = before.schema();
        let fields: Vec<_> = schema.fields().iter().map(|field| field.name()).filter(|name| *name != PLACE).collect();
        let pairs: Vec<(usize, usize)> = rows.iter().filter_map(|(key, row)| Some((*row, *others.get(key)?))).collect();
        let mut differs = vec![false; pairs.len()];
        for field in fields {
            let (Some(before), Some(after)) = (before.column_by_name(field), after.column_by_name(field)) else {
                continue;
            };
            let aligned = pairs.len() == before.len() && before.len() == after.len();
            if aligned && pairs.iter().all(|(row, other)| row == other) && before.to_data() == after.to_data() {
                continue;
            }
            for (differs, (row, other)) in differs.iter_mut().zip(&pairs) {
                if before.slice(*row, 1).to_data() != after.slice(*other, 1).to_data() {
                    *differs = true;
                    *self.fields.entry(field_name(fact, field)).or_default() += 1;
                }
            }
        }
        self.changed += differs.iter().filter(|differs| **differs).count() as u64;
    }
}

/// A row's place in the response isn't compared.
const PLACE: &str = "record_index";

/// The rows of a kind.
fn rows_of(mapped: &Mapped, fact: Fact) -> Option<&RecordBatch> {
    if fact == Fact::Transactions { mapped.transactions.as_ref() } else { mapped.facts.get(&fact) }
}

/// A field as [`Comparison::fields`] names it.
fn field_name(fact: Fact, field: &str) -> String {
    if fact == Fact::Transactions { field.to_owned() } else { format!("{}.{field}", fact.name()) }
}

/// Rows by their id, and which of several with that id.
type Keyed<'a> = BTreeMap<(&'a str, usize), usize>;

fn keyed(fact: Fact, batch: &RecordBatch) -> Keyed<'_> {
    let mut seen = BTreeMap::<&str, usize>::new();
    let ids = batch.column_by_name(fact.id()).and_then(|ids| ids.as_string_opt::<i32>());
    let ids = ids.into_iter().flat_map(|ids| (0..ids.len()).map(|row| (ids.value(row), row)));
    ids.map(|(id, row)| {
        let nth = seen.entry(id).or_default();
        *nth += 1;
        ((id, *nth), row)
    })
    .collect()
}

/// Sums of amounts by currency, in millionths.
fn sums(fact: Fact, batch: &RecordBatch) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    let Some((amount, currency)) = fact.amount() else { return sums };
    let amounts = batch.column_by_name(amount).and_then(|c| c.as_primitive_opt::<Decimal128Type>());
    let currencies = batch.column_by_name(currency).and_then(|c| c.as_string_opt::<i32>());
    if let (Some(amounts), Some(currencies)) = (amounts, currencies) {
        for (amount, currency) in amounts.iter().zip(currencies) {
            let sum = sums.entry(currency.unwrap_or("?").to_owned()).or_insert(0_i64);
            let micros = i64::try_from(amount.unwrap_or_default()).unwrap_or(i64::MAX);
            *sum = sum.saturating_add(micros);
        }
    }
    sums
}

fn merge(sum: &mut Pair, more: Pair) {
    sum.running = sum.running.saturating_add(more.running);
    sum.candidate = sum.candidate.saturating_add(more.candidate);
}

#[cfg(test)]
mod tests;
