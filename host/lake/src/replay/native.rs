//! Native records: the table's latest readings beside the candidate's.

use std::collections::HashSet;

use arrow::array::{AsArray, UInt32Array};
use arrow::compute::take;
use sluice_model::{Change, NativeBatch, NativeColumn, Notes};

use super::Response;
use super::apply::Staged;
use super::diff::NativeDiff;
use super::kept::{KeyShard, KeyStates, ReplayFinding};
use crate::append::{Chosen, Observed, Source};
use crate::error::Error;
use crate::lake::Lake;
use crate::native::{Declared, KeyedRecords, NativeResponse, NativeRows};
use crate::table::Table;

/// Differing records in memory at which they are written.
const FLUSH_ROWS: usize = 32 * 1024;

/// A native table beside the candidate's records.
pub(super) struct NativeSide {
    pub(super) table: Table,
    pub(super) staged: Staged,
    pub(super) diff: NativeDiff,
    latest: KeyStates,
    rows: NativeRows,
}

/// A response's records as the candidate's layout reads them.
pub(super) struct Reading {
    pub(super) declared: Declared,
    pub(super) batch: NativeBatch,
    pub(super) notes: Notes,
    pub(super) keyed: KeyedRecords,
}

impl NativeSide {
    pub(super) async fn open(lake: &Lake, schema: &str, stream: &str, part: KeyShard) -> Result<Self, Error> {
        let table = Table::open(lake, schema, stream).await?;
        let latest = KeyStates::records(&table, part).await?;
        let (mut staged, diff) = (Staged::default(), NativeDiff::default());
        staged.compare(&table);
        Ok(Self { table, staged, diff, latest, rows: NativeRows::default() })
    }

    pub(super) fn limit_columns(&mut self, columns: usize) {
        self.rows.limit_columns(columns);
    }

    pub(super) async fn begin(&mut self, part: KeyShard) -> Result<(), Error> {
        self.latest = KeyStates::records(&self.table, part).await?;
        Ok(())
    }

    /// Judges a response's records and, to `write`, keeps those that differ.
    pub(super) fn add(&mut self, response: &Response<'_>, reading: Reading, write: bool) -> Result<(), Error> {
        let Response { origin, connector, .. } = *response;
        let Reading { declared, batch, notes, keyed: KeyedRecords { keys, contents, months } } = reading;
        let row = |row: usize| (keys[row], contents[row], months[row]);
        let differing = self.latest.compare_rows(response, keys.len(), row);
        if !write || differing.is_empty() {
            return Ok(());
        }
        let of = |numbers: &[u128]| differing.iter().map(|row| numbers[*row as usize]).collect();
        let keyed = KeyedRecords {
            keys: of(&keys),
            contents: of(&contents),
            months: differing.iter().map(|row| months[*row as usize]).collect(),
        };
        let batch = some(&batch, &differing).map_err(|source| Error::rows(self.table.name(), source))?;
        let connector_digest = connector.digest.to_hex();
        let (origin, records) = (origin.clone(), Some(differing));
        self.rows.push(NativeResponse { run: 0, origin, connector_digest, batch, notes, keyed, records }, declared);
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.rows() >= FLUSH_ROWS
    }

    /// Puts the records that wait into files that no snapshot has yet.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        if self.rows.rows() == 0 {
            return Ok(());
        }
        self.rows.make_incoming();
        self.table.create_if_missing(&self.rows.table_spec()).await?;
        let mut chosen: Vec<Chosen> = Vec::with_capacity(self.rows.rows());
        for row in &self.rows.incoming().rows {
            let month = self.latest.rows.get(&row.key).map_or(row.month, |kept| kept.month);
            let (key, content, source, row) = (row.key, row.content, row.source, row.row);
            chosen.push(Chosen { key, content, source, row, version: 0, month, change: Change::MappingChange });
        }
        let mut schema = self.staged.schema(&self.table)?;
        for part in self.rows.parts(&schema, &chosen) {
            let shaped = self.rows.shape(self.table.name(), &schema, part)?;
            let described = self.rows.describe(&shaped.new_fields, part, shaped.beyond.example.as_deref());
            let adds = self.table.write_files(&shaped.rows, Some("_key")).await?;
            schema = shaped.rows.schema();
            self.staged.add(&schema, shaped.new_fields, adds);
            self.staged.described.extend(described);
        }
        self.rows.clear();
        Ok(())
    }

    /// Finds the records that come from these responses and that the candidate doesn't find. They stay in the table.
    pub(super) fn end(&mut self, mapped: &HashSet<Observed>) {
        for kept in self.latest.rows.values() {
            match kept.found {
                ReplayFinding::Judged if !kept.is_there() => self.diff.added += 1,
                ReplayFinding::Judged if kept.current != kept.content => self.diff.changed += 1,
                ReplayFinding::Judged => {}
                _ if kept.is_gone(mapped) => self.diff.removed += 1,
                _ => continue,
            }
            self.diff.compared += 1;
        }
        self.latest = KeyStates::default();
    }
}

fn some(batch: &NativeBatch, rows: &[u32]) -> Result<NativeBatch, arrow::error::ArrowError> {
    let places = UInt32Array::from(rows.to_vec());
    let columns = batch.columns.iter().map(|column| {
        let text = take(&column.text, &places, None)?.as_string().clone();
        Ok(NativeColumn { path: column.path.clone(), text, kinds: column.kinds })
    });
    let columns = columns.collect::<Result<Vec<_>, arrow::error::ArrowError>>()?;
    Ok(NativeBatch { rows: rows.len(), columns })
}
