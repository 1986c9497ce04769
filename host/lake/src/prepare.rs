//! A mapped response made ready for the tables: keys and hashes are made where it was mapped, on as many threads as
//! map, so that the committer only compares numbers.

mod states;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Decimal128Type;
use sluice_model::{Layout, Mapped, NativeBatch, Notes, RawObject, Reject};

pub use states::TransactionState;

use crate::error::Error;
use crate::hash::{native_hashes, native_keys};
use crate::ledger::ConnectorRef;
use crate::month;
use crate::native::{Declared, KeyedRecords};
use crate::unified::{self, Keyed};

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
    pub(crate) rejects: Vec<Reject>,
    /// Keys of transactions that were rejected for their contents: they were there all the same.
    conflicting: Vec<u128>,
    bytes: usize,
}

impl Prepared {
    /// Makes keys and hashes of a response's records and transactions. CPU work: some milliseconds per megabyte.
    ///
    /// Transactions of one id with different contents in one response are both rejected: which one is right isn't known.
    ///
    /// # Errors
    /// [`Error::Column`] for transactions of another schema.
    pub fn of(origin: Arc<RawObject>, layout: &Layout, connector: ConnectorRef, mapped: Mapped) -> Result<Self, Error> {
        let Mapped { native, transactions, mut rejects, findings, .. } = mapped;
        let notes = findings.notes;
        let mut months = vec![month::NONE; native.rows];
        let (mut prepared, mut conflicting) = (None, Vec::new());
        if let Some(rows) = transactions.filter(|rows| rows.num_rows() > 0) {
            let (rows, mut keyed, conflicts) = without_conflicts(&origin, rows, native.rows, &mut rejects)?;
            conflicting = conflicts;
            months = std::mem::take(&mut keyed.record_months);
            prepared = (rows.num_rows() > 0).then_some((rows, keyed));
        }
        let contents = native_hashes(&native);
        let keys = native_keys(&native, &origin.slice.account, &layout.key, &contents);
        let columns: usize = native.columns.iter().map(|column| column.text.get_array_memory_size()).sum();
        let rows = prepared.as_ref().map_or(0, |(rows, _)| rows.get_array_memory_size());
        let numbers = native.rows * 48 + prepared.as_ref().map_or(0, |(rows, _)| rows.num_rows() * 64);
        let texts: usize = rejects.iter().map(|reject| reject.reason.len() + 32).sum();
        Ok(Self {
            declared: Declared::of(layout),
            bytes: columns + rows + numbers + texts + notes.bytes() + 1024,
            origin,
            connector,
            records: KeyedRecords { keys, contents, months },
            native,
            notes,
            transactions: prepared,
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

    /// The months of its transactions, as numbers that follow each other.
    pub fn months(&self) -> BTreeSet<i32> {
        let months = self.transactions.as_ref().map_or(&[][..], |(_, keyed)| &keyed.months);
        // Rows come in clusters: most are of the month of the one before.
        let changes = months.chunk_by(|one, next| one == next).filter_map(|same| same.first());
        changes.copied().collect()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many transactions it holds.
    pub(crate) fn rows(&self) -> usize {
        self.transactions.as_ref().map_or(0, |(rows, _)| rows.num_rows())
    }

    /// The keys of all transactions that the network reports in it.
    pub(crate) fn reported(&self) -> impl Iterator<Item = u128> + '_ {
        let keys = self.transactions.as_ref().map_or(&[][..], |(_, keyed)| &keyed.keys);
        keys.iter().chain(&self.conflicting).copied()
    }
}

/// Makes transactions of one id with different contents rejects, as [`Prepared::of`] does.
///
/// # Errors
/// [`Error::Column`] for transactions of another schema.
pub fn reject_conflicts(origin: &RawObject, mapped: &mut Mapped) -> Result<(), Error> {
    if let Some(rows) = mapped.transactions.take() {
        let (rows, ..) = without_conflicts(origin, rows, mapped.native.rows, &mut mapped.rejects)?;
        mapped.transactions = Some(rows);
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
) -> Result<(RecordBatch, Keyed, Vec<u128>), Error> {
    let keyed = Keyed::of(origin, &rows, records)?;
    let conflicting = keyed.conflicting();
    if conflicting.is_empty() {
        return Ok((rows, keyed, Vec::new()));
    }
    let is_valid = |row: usize| !conflicting.contains(&keyed.keys[row]);
    let mask: BooleanArray = (0..rows.num_rows()).map(|row| Some(is_valid(row))).collect();
    let (ids, places) = unified::ids_and_places(&rows)?;
    let reasons = reasons(&rows, &keyed, &conflicting, ids);
    for row in (0..rows.num_rows()).filter(|row| !is_valid(*row)) {
        let reason = reasons.get(&keyed.keys[row]).cloned().unwrap_or_default();
        rejects.push(Reject { record_index: places.value(row), reason });
    }
    let kept = filter_record_batch(&rows, &mask).map_err(|source| Error::rows(unified::TABLE, source))?;
    let Keyed { record_months, .. } = keyed;
    let keyed = Keyed { record_months, ..Keyed::of(origin, &kept, records)? };
    Ok((kept, keyed, conflicting.into_iter().collect()))
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

impl Keyed {
    /// Keys that stand for different contents.
    fn conflicting(&self) -> HashSet<u128> {
        let mut pairs: Vec<(u128, u128)> = self.keys.iter().copied().zip(self.contents.iter().copied()).collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].0).collect()
    }
}
