//! What the lake holds of the keys of one pass: of each, the latest row's hash and place, and a fact's money.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::{Array, BinaryArray, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use object_store::path::Path;
use sluice_model::Fact;

use super::Response;
use super::diff::{FieldDiff, Rows, compare};
use super::money::{Groups, MoneyColumns, summed_columns};
use crate::append::{Chosen, Observed};
use crate::error::Error;
use crate::hash::{VANISHED, request_ordinal};
use crate::index::{KeyMap, key_prefix};
use crate::lineage::observed;
use crate::month;
use crate::scan::{read_columns, read_rows};
use crate::table::{DataFile, Table};

/// The keys of a pass: one of so many parts of all keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyShard {
    pub(super) part: u32,
    pub(super) of: u32,
}

impl KeyShard {
    /// Whether a key belongs to it.
    pub(super) fn holds(self, key: u128) -> bool {
        // The map takes its buckets from the lower half.
        key_prefix(key) % u64::from(self.of.max(1)) == u64::from(self.part)
    }
}

/// What the replay found of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplayFinding {
    /// Nothing yet.
    Nothing,
    /// Only in responses that are older than the latest row.
    Older,
    /// In the response of the latest row, or a newer one.
    Judged,
}

/// A key's latest row, and what the candidate makes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyState {
    pub(super) content: u128,
    /// The content that the candidate gives, as far as it went.
    pub(super) current: u128,
    pub(super) observed: Observed,
    /// The latest version; 0 where there is none, or in a table without versions.
    pub(super) version: i32,
    /// The month of the key's home partition.
    pub(super) month: i32,
    /// Its file and the row in it, see [`KeyStates::files`].
    pub(super) file: u32,
    pub(super) row: u32,
    /// What its money counts for, and its amount in millionths (`commission_effective` of a transaction): in the lake, and as the
    /// candidate gives it.
    pub(super) money: [(u32, i64); 2],
    /// The mapped columns in which the two differ, by their places.
    pub(super) fields: u64,
    /// The response that it was found in last.
    pub(super) response: u32,
    pub(super) found: ReplayFinding,
}

/// The file of what the lake doesn't hold.
const NO_FILE: u32 = u32::MAX;

impl KeyState {
    /// A key that the lake doesn't hold.
    fn absent(observed: Observed, month: i32, response: u32) -> Self {
        Self {
            content: 0,
            current: 0,
            observed,
            version: 0,
            month,
            file: NO_FILE,
            row: 0,
            money: [(0, 0); 2],
            fields: 0,
            response,
            found: ReplayFinding::Judged,
        }
    }

    /// Whether the lake holds it.
    pub(super) fn is_there(&self) -> bool {
        self.file != NO_FILE
    }

    /// Whether the lake shows it. A transaction is shown as a tombstone too; another fact that was taken back is as good as none.
    pub(super) fn is_shown(&self, fact: Fact) -> bool {
        self.is_there() && (fact == Fact::Transactions || self.content != VANISHED)
    }

    /// Whether it comes from one of these responses and the candidate doesn't map it. What has no content is gone
    /// already.
    pub(super) fn is_gone(&self, mapped: &HashSet<Observed>) -> bool {
        self.found != ReplayFinding::Judged && self.content != VANISHED && mapped.contains(&self.observed)
    }

    fn rank(&self) -> (i32, Observed) {
        (self.version, self.observed)
    }
}

/// The latest rows of a table, by key.
#[derive(Default)]
pub(super) struct KeyStates {
    pub(super) rows: KeyMap<KeyState>,
    /// Further contents of rows that are as late as the latest: a table without versions can't order them.
    pub(super) ties: HashMap<u128, Vec<u128>>,
    pub(super) files: Vec<Path>,
}

impl KeyStates {
    /// The latest facts of a kind and of a network, with their money.
    pub(super) async fn facts(
        table: &Table,
        fact: Fact,
        network: &str,
        part: KeyShard,
        groups: &mut Groups,
    ) -> Result<Self, Error> {
        let mut names = vec![fact.key(), "version", "content_hash", "observed_at", "request_id"];
        names.extend(summed_columns(fact));
        let mut latest = Self::default();
        for file in table.files().into_iter().filter(|file| file.network() == Some(network)) {
            let place = latest.open(&file);
            let mut first_row = 0;
            for batch in read(table, &file.path, &names).await? {
                let keys = Keys::of(table, &batch, fact.key(), "content_hash", "observed_at", "request_id")?;
                let versions: &Int32Array = typed(table, &batch, "version")?;
                let money = MoneyColumns::of(fact, table, &batch)?;
                for row in 0..batch.num_rows() {
                    let key = keys.key(row)?;
                    if !part.holds(key) {
                        continue;
                    }
                    let mut kept = keys.kept(row, place, first_row)?;
                    kept.version = versions.value(row);
                    kept.money = [groups.place(money.as_ref(), row); 2];
                    latest.take(key, kept);
                }
                first_row += count(&batch);
            }
        }
        Ok(latest)
    }

    /// The latest records of a native table.
    pub(super) async fn records(table: &Table, part: KeyShard) -> Result<Self, Error> {
        let names = ["_key", "_content_hash", "_observed_at", "_request_id"];
        let mut latest = Self::default();
        for file in table.files() {
            let place = latest.open(&file);
            let mut first_row = 0;
            for batch in read(table, &file.path, &names).await? {
                let keys = Keys::of(table, &batch, "_key", "_content_hash", "_observed_at", "_request_id")?;
                for row in 0..batch.num_rows() {
                    let key = keys.key(row)?;
                    if part.holds(key) {
                        latest.take(key, keys.kept(row, place, first_row)?);
                    }
                }
                first_row += count(&batch);
            }
        }
        Ok(latest)
    }

    /// Judges a response's rows, each with key, content hash and month, and returns the places of those that are to be written,
    /// rising. Of the rows of a key only the last counts.
    pub(super) fn compare_rows(
        &mut self,
        response: &Response<'_>,
        rows: usize,
        row: impl Fn(usize) -> (u128, u128, i32),
    ) -> Vec<u32> {
        let Response { origin, part, number, .. } = *response;
        let seen = observed(origin);
        let mut differing: Vec<u32> = Vec::new();
        for place in (0..rows).rev() {
            let (key, content, month) = row(place);
            if part.holds(key) && self.compare_row(key, content, seen, month, number) {
                differing.push(u32::try_from(place).unwrap_or(u32::MAX));
            }
        }
        differing.reverse();
        differing
    }

    /// Judges a row of a response, the last of its key there, and returns whether it is to be written: it isn't older
    /// than the latest row, and differs from what the candidate gave for the key before, or from the lake.
    fn compare_row(&mut self, key: u128, content: u128, seen: Observed, month: i32, response: u32) -> bool {
        let Some(kept) = self.rows.get_mut(&key) else {
            self.rows.insert(key, KeyState { current: content, ..KeyState::absent(seen, month, response) });
            return true;
        };
        if kept.response == response {
            return false;
        }
        kept.response = response;
        if seen < kept.observed {
            // Equal rows without an id may have been numbered in another order: the same is given all the same.
            kept.found = if content == kept.content { ReplayFinding::Judged } else { ReplayFinding::Older };
            return false;
        }
        kept.found = ReplayFinding::Judged;
        let before = std::mem::replace(&mut kept.current, content);
        let tied = before == kept.content && self.ties.get(&key).is_some_and(|ties| ties.contains(&content));
        if tied {
            kept.current = before;
        }
        before != content && !tied
    }

    /// Records of each key the columns in which what was chosen differs from what is there. `places`: file and row of what
    /// is there, and the row of what comes instead.
    pub(super) async fn compare_fields(
        &mut self,
        table: &Table,
        fact: Fact,
        places: BTreeMap<(u32, u32), u32>,
        (chosen, after): (&[Chosen], &RecordBatch),
        (changed, fields): (&mut Rows, &mut BTreeMap<String, FieldDiff>),
    ) -> Result<(), Error> {
        let name = table.name();
        let places: Vec<(u32, u32, u32)> = places.into_iter().map(|((file, row), new)| (file, row, new)).collect();
        for places in places.chunk_by(|a, b| a.0 == b.0) {
            let rows: Vec<u32> = places.iter().map(|(_, row, _)| *row).collect();
            let before = self.read(table, places[0].0, &rows).await?;
            let Some(schema) = before.first().map(RecordBatch::schema) else { continue };
            let before = concat_batches(&schema, &before).map_err(|source| Error::rows(name, source))?;
            let picked = UInt32Array::from_iter_values(places.iter().map(|(.., row)| *row));
            let picked = take_record_batch(after, &picked).map_err(|source| Error::rows(name, source))?;
            let differing = compare(fact, name, (&before, &picked), changed, fields)?;
            for ((.., row), differing) in places.iter().zip(differing) {
                if let Some(kept) = self.rows.get_mut(&chosen[*row as usize].key) {
                    kept.fields = differing;
                }
            }
        }
        Ok(())
    }

    /// The rows of a file in the order of `rows`, which rises.
    pub(super) async fn read(&self, table: &Table, file: u32, rows: &[u32]) -> Result<Vec<RecordBatch>, Error> {
        let Some(path) = self.files.get(file as usize) else { return Ok(Vec::new()) };
        let schema = table.schema()?;
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let read = read_rows(table.store(), path, &names, rows).await;
        read.map_err(|source| unreadable(table, path, source))
    }

    fn open(&mut self, file: &DataFile) -> (u32, i32) {
        let place = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        self.files.push(file.path.clone());
        let value = |name: &str| file.partitions.get(name).cloned().flatten();
        let month = value("month").or_else(|| value("_month")).unwrap_or_default();
        (place, month::code(&month))
    }

    fn take(&mut self, key: u128, kept: KeyState) {
        let latest = self.rows.entry(key).or_insert(kept);
        if kept.rank() > latest.rank() {
            *latest = kept;
            self.ties.remove(&key);
        } else if kept.rank() == latest.rank() && kept.content != latest.content {
            self.ties.entry(key).or_default().push(kept.content);
        }
    }
}

/// How many rows the files of a table hold by their statistics, those of one network if it is parted by it.
pub(super) fn row_count(table: &Table, network: &str) -> u64 {
    let rows = |file: &DataFile| {
        let stats: serde_json::Value = serde_json::from_str(file.stats.as_deref()?).ok()?;
        stats.get("numRecords")?.as_u64()
    };
    let of_network = |file: &DataFile| file.network().is_none_or(|name| name == network);
    table.files().iter().filter(|file| of_network(file)).filter_map(rows).sum()
}

/// The columns that place a row among those of its key.
struct Keys<'a> {
    table: &'a Table,
    keys: &'a dyn Array,
    contents: &'a BinaryArray,
    observed: &'a TimestampMicrosecondArray,
    requests: &'a StringArray,
}

impl<'a> Keys<'a> {
    fn of(
        table: &'a Table,
        batch: &'a RecordBatch,
        key: &str,
        content: &str,
        observed: &str,
        request: &str,
    ) -> Result<Self, Error> {
        Ok(Self {
            table,
            keys: batch.column_by_name(key).map(AsRef::as_ref).ok_or_else(|| wrong(table, key, "in every file"))?,
            contents: typed(table, batch, content)?,
            observed: typed(table, batch, observed)?,
            requests: typed(table, batch, request)?,
        })
    }

    fn key(&self, row: usize) -> Result<u128, Error> {
        key_at(self.keys, row).ok_or_else(|| wrong(self.table, "key", "128 bits wide"))
    }

    fn kept(&self, row: usize, (file, month): (u32, i32), first_row: u32) -> Result<KeyState, Error> {
        let content = number(self.contents.value(row));
        let content = content.ok_or_else(|| wrong(self.table, "content hash", "16 bytes long"))?;
        Ok(KeyState {
            content,
            current: content,
            observed: Observed { at: self.observed.value(row), request: request_ordinal(self.requests.value(row)) },
            version: 0,
            month,
            file,
            row: first_row.saturating_add(u32::try_from(row).unwrap_or(u32::MAX)),
            money: [(0, 0); 2],
            fields: 0,
            response: 0,
            found: ReplayFinding::Nothing,
        })
    }
}

/// A key that is kept as 16 bytes or as 32 hexadecimal digits.
pub(super) fn key_at(keys: &dyn Array, row: usize) -> Option<u128> {
    if let Some(keys) = keys.as_any().downcast_ref::<BinaryArray>() {
        return number(keys.value(row));
    }
    let keys = keys.as_any().downcast_ref::<StringArray>()?;
    u128::from_str_radix(keys.value(row), 16).ok()
}

fn number(bytes: &[u8]) -> Option<u128> {
    bytes.try_into().ok().map(u128::from_be_bytes)
}

fn count(batch: &RecordBatch) -> u32 {
    u32::try_from(batch.num_rows()).unwrap_or(u32::MAX)
}

pub(super) async fn read(table: &Table, path: &Path, names: &[&str]) -> Result<Vec<RecordBatch>, Error> {
    read_columns(table.store(), path, names).await.map_err(|source| unreadable(table, path, source))
}

pub(super) fn typed<'a, A: Array + 'static>(table: &Table, batch: &'a RecordBatch, name: &str) -> Result<&'a A, Error> {
    let column = batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<A>());
    column.ok_or_else(|| wrong(table, name, "of the type that this version writes"))
}

pub(super) fn wrong(table: &Table, column: &str, expected: &str) -> Error {
    Error::Column {
        table: table.name().to_owned(),
        column: column.to_owned(),
        found: "something else".to_owned(),
        expected: expected.to_owned(),
    }
}

fn unreadable(table: &Table, path: &Path, source: parquet::errors::ParquetError) -> Error {
    Error::DataFile { table: table.name().to_owned(), path: path.to_string(), source }
}
