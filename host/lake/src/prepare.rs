//! A mapped response made ready for the tables: keys and hashes are made where it was mapped, on as many threads as
//! map, so that the committer only compares numbers.

mod orphans;
mod repaired;
mod states;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Decimal128Type;
use sluice_model::{Fact, Layout, Mapped, NativeBatch, Notes, RawObject, Reject};

pub use states::TransactionState;

use orphans::without_orphans;
use repaired::{reject_repaired, repaired_keys, without_repaired};

use crate::error::Error;
use crate::facts::FactBatch;
use crate::hash::{native_hashes, native_keys};
use crate::lineage::ConnectorRef;
use crate::month;
use crate::native::{Declared, KeyedRecords};
use crate::unified::{self, Keyed};
use crate::versions::{record_index, table_name};

/// Rows of one id whose commissions are shown.
const MAX_SHOWN: usize = 4;
/// How the reason begins why such rows are rejected.
const CONFLICT: &str = "the response holds transaction `";

/// A mapped response, ready for the tables.
pub struct Prepared {
    pub(crate) origin: Arc<RawObject>,
    pub(crate) connector: ConnectorRef,
    pub(crate) native: NativeBatch,
    /// What is odd about the records.
    pub(crate) notes: Notes,
    pub(crate) records: KeyedRecords,
    /// What the connector's layout says of its fields.
    pub(crate) declared: Declared,
    pub(crate) transactions: Option<(RecordBatch, Keyed)>,
    /// Facts of other kinds.
    pub(crate) facts: Vec<FactBatch>,
    pub(crate) rejects: Vec<Reject>,
    /// Keys of transactions that were rejected for their contents: they were there all the same.
    conflicting: HashSet<u128>,
    bytes: usize,
}

impl Prepared {
    /// Makes keys and hashes of a response's records and transactions. CPU work: some milliseconds per megabyte.
    ///
    /// Transactions of one id with different contents in one response are both rejected, as other facts are: which one is right
    /// isn't known. So are their items, and records of whose key characters were replaced while they were read.
    ///
    /// # Errors
    /// [`Error::Column`] for transactions or other facts of another schema.
    pub fn of(
        origin: Arc<RawObject>,
        layout: &Layout,
        connector: ConnectorRef,
        mut mapped: Mapped,
    ) -> Result<Self, Error> {
        reject_unreadable(layout, &mut mapped)?;
        let Mapped { native, transactions, facts, mut rejects, findings, .. } = mapped;
        let notes = findings.notes;
        let mut months = vec![month::NONE; native.rows];
        let (mut prepared, mut conflicting) = (None, HashSet::new());
        if let Some(rows) = transactions.filter(|rows| rows.num_rows() > 0) {
            let (rows, mut keyed, conflicts) = without_conflicts(&origin, rows, native.rows, &mut rejects)?;
            conflicting = conflicts;
            months = std::mem::take(&mut keyed.record_months);
            prepared = (rows.num_rows() > 0).then_some((rows, keyed));
        }
        let facts = facts.into_iter().map(|(fact, rows)| {
            let rows = without_orphans(&origin, fact, rows, &conflicting, &mut rejects)?;
            FactBatch::of(&origin, fact, rows, &mut rejects)
        });
        let mut facts = facts.collect::<Result<Vec<_>, Error>>()?;
        facts.retain(|batch| batch.rows.num_rows() > 0);
        let contents = native_hashes(&native);
        let keys = native_keys(&native, &origin.slice.account, &layout.key, &contents);
        let rows = prepared.as_ref().map_or(0, |(rows, _)| rows.get_array_memory_size());
        let rows = rows + facts.iter().map(FactBatch::bytes).sum::<usize>();
        let numbers = native.rows * 48 + prepared.as_ref().map_or(0, |(rows, _)| rows.num_rows() * 64);
        let texts: usize = rejects.iter().map(|reject| reject.reason.len() + 32).sum();
        Ok(Self {
            declared: Declared::of(layout),
            bytes: native.bytes() + rows + numbers + texts + notes.bytes() + 1024,
            origin,
            connector,
            records: KeyedRecords { keys, contents, months },
            native,
            notes,
            transactions: prepared,
            facts,
            rejects,
            conflicting,
        })
    }

    /// The response.
    pub fn origin(&self) -> &Arc<RawObject> {
        &self.origin
    }

    /// Records that are rejected.
    pub fn rejects(&self) -> u64 {
        self.rejects.len() as u64
    }

    /// The records that are rejected, and why.
    pub fn rejected(&self) -> &[Reject] {
        &self.rejects
    }

    /// Why transactions of one id are rejected that have different contents: a reason for each id.
    pub fn conflicts(&self) -> Vec<&str> {
        let has_conflicts = !self.conflicting.is_empty();
        let reasons = self.rejects.iter().filter(|_| has_conflicts).map(|reject| reject.reason.as_str());
        let conflicts: BTreeSet<&str> = reasons.filter(|reason| reason.starts_with(CONFLICT)).collect();
        conflicts.into_iter().collect()
    }

    /// The months of its transactions and other facts, as numbers that follow each other. Facts without a month have none.
    pub fn months(&self) -> BTreeSet<i32> {
        let transactions: &[i32] = self.transactions.as_ref().map_or(&[][..], |(_, keyed)| &keyed.months);
        let all = std::iter::once(transactions).chain(self.facts.iter().map(FactBatch::months));
        // Rows come in clusters: most are of the month of the one before.
        let changes = all.flat_map(|months| months.chunk_by(|one, next| one == next)).filter_map(<[i32]>::first);
        changes.copied().filter(|of| *of != month::NONE).collect()
    }

    /// Key and content hash of each record.
    pub fn records(&self) -> impl Iterator<Item = (u128, u128)> + '_ {
        self.records.keys.iter().copied().zip(self.records.contents.iter().copied())
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many transactions it holds.
    pub(crate) fn rows(&self) -> usize {
        self.transactions.as_ref().map_or(0, |(rows, _)| rows.num_rows())
    }

    /// How many facts of other kinds it holds.
    pub(crate) fn fact_rows(&self) -> usize {
        self.facts.iter().map(|facts| facts.rows.num_rows()).sum()
    }

    /// The keys of all transactions that the network reports in it.
    pub(crate) fn reported(&self) -> impl Iterator<Item = u128> + '_ {
        let keys = self.transactions.as_ref().map_or(&[][..], |(_, keyed)| &keyed.keys);
        keys.iter().chain(&self.conflicting).copied()
    }
}

/// Makes rejects of records whose key or id was repaired while they were read, and takes out what they gave.
fn reject_unreadable(layout: &Layout, mapped: &mut Mapped) -> Result<(), Error> {
    let notes = &mapped.findings.notes;
    let mut repaired = repaired_keys(&mapped.native, &layout.key, notes);
    if let Some(rows) = mapped.transactions.take() {
        mapped.transactions = Some(without_repaired(Fact::Transactions, rows, notes, &mut repaired)?);
    }
    for (fact, rows) in std::mem::take(&mut mapped.facts) {
        mapped.facts.insert(fact, without_repaired(fact, rows, notes, &mut repaired)?);
    }
    reject_repaired(repaired, &mut mapped.rejects);
    Ok(())
}

/// Makes rejects of what the tables don't take, as [`Prepared::of`] does: transactions and other facts of one id with different
/// contents, and those whose id or record isn't known.
///
/// # Errors
/// [`Error::Column`] for transactions or other facts of another schema.
pub fn reject_conflicts(origin: &RawObject, layout: &Layout, mapped: &mut Mapped) -> Result<(), Error> {
    reject_unreadable(layout, mapped)?;
    let mut conflicting = HashSet::new();
    if let Some(rows) = mapped.transactions.take() {
        let (rows, _, conflicts) = without_conflicts(origin, rows, mapped.native.rows, &mut mapped.rejects)?;
        mapped.transactions = Some(rows);
        conflicting = conflicts;
    }
    for (fact, rows) in std::mem::take(&mut mapped.facts) {
        let rows = without_orphans(origin, fact, rows, &conflicting, &mut mapped.rejects)?;
        let batch = FactBatch::of(origin, fact, rows, &mut mapped.rejects)?;
        mapped.facts.insert(fact, batch.rows);
    }
    Ok(())
}

/// The transactions whose id has one content in the response, with their keys; the others are rejects, and their keys
/// come last.
fn without_conflicts(
    origin: &RawObject,
    rows: RecordBatch,
    records: usize,
    rejects: &mut Vec<Reject>,
) -> Result<(RecordBatch, Keyed, HashSet<u128>), Error> {
    let keyed = Keyed::of(origin, &rows, records)?;
    let conflicting = conflicting(&keyed.keys, &keyed.contents);
    if conflicting.is_empty() {
        return Ok((rows, keyed, HashSet::new()));
    }
    let reasons = reasons(&rows, &keyed, &conflicting, unified::ids(&rows)?);
    let kept = without_rejected(Fact::Transactions, &rows, &keyed.keys, &reasons, rejects)?;
    let Keyed { record_months, .. } = keyed;
    let keyed = Keyed { record_months, ..Keyed::of(origin, &kept, records)? };
    Ok((kept, keyed, conflicting))
}

/// Why the rows of each of these keys are rejected, with their number and their commissions.
fn reasons(rows: &RecordBatch, keyed: &Keyed, conflicting: &HashSet<u128>, ids: &StringArray) -> HashMap<u128, String> {
    let amounts = rows.column_by_name("commission_amount").and_then(|c| c.as_primitive_opt::<Decimal128Type>());
    let currencies = rows.column_by_name("commission_currency").and_then(|c| c.as_string_opt::<i32>());
    let mut places: HashMap<u128, Vec<usize>> = HashMap::new();
    for (row, key) in keyed.keys.iter().enumerate().filter(|(_, key)| conflicting.contains(key)) {
        places.entry(*key).or_default().push(row);
    }
    let commission = |row: usize| {
        let amount = amounts.filter(|amounts| amounts.is_valid(row)).map(|amounts| amounts.value(row))?;
        let currency = currencies.filter(|codes| codes.is_valid(row)).map_or("", |codes| codes.value(row));
        let (sign, amount) = (if amount < 0 { "-" } else { "" }, amount.unsigned_abs());
        let part = format!("{:06}", amount % 1_000_000);
        let (cents, rest) = part.split_at(2);
        let (whole, rest) = (amount / 1_000_000, rest.trim_end_matches('0'));
        Some(format!("{sign}{whole}.{cents}{rest} {currency}").trim_end().to_owned())
    };
    let reason = |rows: &[usize]| {
        let id: String = rows.first().map_or("", |row| ids.value(*row)).chars().take(100).collect();
        let shown = rows.iter().take(MAX_SHOWN).map(|row| commission(*row).unwrap_or_else(|| "none".to_owned()));
        let more = if rows.len() > MAX_SHOWN { ", …" } else { "" };
        format!(
            "{CONFLICT}{id}` more than once, with different contents: {} rows, commissions {}{more}",
            rows.len(),
            shown.collect::<Vec<_>>().join(", ")
        )
    };
    places.into_iter().map(|(key, rows)| (key, reason(&rows))).collect()
}

/// Keys of a response that stand for different contents.
pub(crate) fn conflicting(keys: &[u128], contents: &[u128]) -> HashSet<u128> {
    let mut pairs: Vec<(u128, u128)> = keys.iter().copied().zip(contents.iter().copied()).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].0).collect()
}

/// The rows whose key isn't among `reasons`. The others are rejects: one of each record and key, however many rows these have.
pub(crate) fn without_rejected(
    fact: Fact,
    rows: &RecordBatch,
    keys: &[u128],
    reasons: &HashMap<u128, String>,
    rejects: &mut Vec<Reject>,
) -> Result<RecordBatch, Error> {
    let places = record_index(fact, rows)?;
    let mut seen = HashSet::new();
    for (row, key) in keys.iter().enumerate() {
        let Some(reason) = reasons.get(key) else { continue };
        let record_index = places.value(row);
        if seen.insert((record_index, *key)) {
            rejects.push(Reject { record_index, reason: reason.clone() });
        }
    }
    let mask: BooleanArray = keys.iter().map(|key| Some(!reasons.contains_key(key))).collect();
    filter_record_batch(rows, &mask).map_err(|source| Error::rows(&table_name(fact), source))
}
