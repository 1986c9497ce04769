//! Which rows of a flush are appended, chosen on a snapshot and again on the next one if another writer was first.

use std::collections::{BTreeSet, HashSet};

use arrow::datatypes::SchemaRef;
use deltalake::kernel::Transaction;
use sluice_model::Step;

use super::{Appended, Beyond, Chosen, IncomingRow, RunNumber, Source, is_older};
use crate::error::Error;
use crate::index::{KeyIndex, KeyMap, LatestRow, Partition};
use crate::table::{self, Fence, Proposal, Table};

/// The rows to append, chosen on a snapshot.
pub(super) struct Choice<'a, S> {
    pub(super) index: &'a mut KeyIndex,
    pub(super) source: &'a mut S,
    pub(super) fences: Vec<(RunNumber, Fence)>,
    pub(super) transaction: Transaction,
    pub(super) key: &'static str,
    /// Microseconds since 1970.
    pub(super) now: i64,
    /// The table's columns for which the files of the last attempt were written.
    pub(super) schema: Option<SchemaRef>,
    pub(super) passed: fn(Step),
    pub(super) appended: Appended,
}

impl<S: Source> table::TableChange for Choice<'_, S> {
    async fn propose(&mut self, table: &mut Table, earlier: Option<Proposal>) -> Result<Option<Proposal>, Error> {
        self.leave_out_fenced(table).await?;
        let source = &*self.source;
        let keys: Vec<u128> = distinct_keys(&source.incoming().rows);
        self.index.cover(table, &places(source), &keys).await?;
        let (mut chosen, older) = choose(source, &mut *self.index, self.now);
        // By partition, and there in the order of the responses: so rows are copied in runs, and similar ones are adjacent.
        chosen.sort_unstable_by_key(|row| (row.month, row.source, row.row));
        let schema = table.schema()?;
        let same = chosen == self.appended.chosen && self.schema.as_ref() == Some(&schema);
        self.appended.older = older;
        match earlier {
            // The other writer changed nothing that matters.
            Some(earlier) if same => return Ok(Some(Proposal { fences: self.fences(), ..earlier })),
            // All of it is there: perhaps by these very files, which were merged since and earlier snapshots still name.
            Some(_) if chosen.is_empty() => {}
            Some(earlier) => table.discard_files(&earlier.adds).await,
            None => {}
        }
        self.appended.chosen = chosen;
        self.appended.beyond = Beyond::default();
        if self.appended.chosen.is_empty() {
            return Ok(None);
        }
        let (mut grown, mut adds, mut new_fields) = (schema.clone(), Vec::new(), Vec::new());
        for part in source.parts(&schema, &self.appended.chosen) {
            let shaped = source.shape(table.name(), &grown, part)?;
            adds.extend(table.write_files(&shaped.rows, Some(self.key)).await?);
            grown = shaped.rows.schema();
            new_fields.extend(shaped.new_fields);
            self.appended.beyond.merge(shaped.beyond);
        }
        let known = schema.fields().iter().map(|field| field.as_ref().clone());
        self.appended.fields = known.chain(new_fields.iter().cloned()).collect();
        self.schema = Some(schema);
        (self.passed)(Step::FilesWritten);
        let (transactions, fences) = (vec![self.transaction.clone()], self.fences());
        Ok(Some(Proposal { adds, new_fields, transactions, fences, ..Proposal::default() }))
    }
}

impl<S: Source> Choice<'_, S> {
    /// The leases under which the rows were read.
    fn fences(&self) -> Vec<Fence> {
        let fences: BTreeSet<&Fence> = self.fences.iter().map(|(_, fence)| fence).collect();
        fences.into_iter().cloned().collect()
    }

    /// Leaves out the rows of runs whose lease was taken over by the snapshot's epochs.
    async fn leave_out_fenced(&mut self, table: &mut Table) -> Result<(), Error> {
        let mut fenced = HashSet::new();
        for (run, Fence { resource, epoch, .. }) in &self.fences {
            if let Some(known) = table.epoch(resource).await?.filter(|known| known > epoch) {
                let (table, resource, epoch) = (table.name().to_owned(), resource.clone(), *epoch);
                self.appended.fenced.push((*run, Error::Fenced { table, resource, epoch, known }));
                fenced.insert(*run);
            }
        }
        if !fenced.is_empty() {
            self.source.incoming_mut().leave_out(&fenced);
            self.fences.retain(|(run, _)| !fenced.contains(run));
        }
        Ok(())
    }
}

/// The numbers of partitions by response and month, so that none is named for each row.
#[derive(Default)]
pub(super) struct Homes(KeyMap<u32>);

impl Homes {
    pub(super) fn of(&mut self, index: &mut KeyIndex, source: &impl Source, response: u32, month: i32) -> u32 {
        let place = response_and_month(response, month);
        *self.0.entry(place).or_insert_with(|| index.number(&(source.scope(response).to_owned(), month)))
    }
}

/// A number of its own for each response and month. A [`KeyMap`] takes its lowest bits first, which follow the response.
fn response_and_month(response: u32, month: i32) -> u128 {
    let number = u64::from(month.cast_unsigned()) << 32 | u64::from(response);
    u128::from(number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// The keys of sorted candidates, each once.
fn distinct_keys(candidates: &[IncomingRow]) -> Vec<u128> {
    let mut keys: Vec<u128> = candidates.iter().map(|row| row.key).collect();
    keys.dedup();
    keys
}

fn places(source: &impl Source) -> HashSet<Partition> {
    let mut found: KeyMap<(u32, i32)> = KeyMap::default();
    for row in &source.incoming().rows {
        found.insert(response_and_month(row.source, row.month), (row.source, row.month));
    }
    found.into_values().map(|(response, month)| (source.scope(response).to_owned(), month)).collect()
}

/// Chooses the rows that are new to their key, and the runs of those that differ and are older.
///
/// Rows come sorted by key, response and place. Rows of a key in one response are equal: others were rejected.
fn choose(source: &impl Source, index: &mut KeyIndex, now: i64) -> (Vec<Chosen>, Vec<RunNumber>) {
    let versioned = i32::from(index.versioned());
    let incoming = source.incoming();
    let (mut chosen, mut older, mut homes) = (Vec::new(), Vec::new(), Homes::default());
    for rows in incoming.rows.chunk_by(|a, b| a.key == b.key) {
        let mut latest = index.get(rows[0].key);
        for same_response in rows.chunk_by(|a, b| a.source == b.source) {
            let Some(row) = same_response.last() else { continue };
            let seen = incoming.observed(row.source);
            let Some(change) = source.change(latest.as_ref(), row, now) else {
                let says_else = latest.is_some_and(|known| known.content != row.content && is_older(&known, seen, now));
                older.extend(says_else.then(|| source.incoming().run(row.source)));
                continue;
            };
            let (version, home) = match latest {
                None => (versioned, homes.of(index, source, row.source, row.month)),
                Some(known) => (known.version + versioned, known.home),
            };
            let IncomingRow { key, content, source: response, row, .. } = *row;
            let month = index.month(home);
            latest = Some(LatestRow { content, request: seen.request, observed_at: seen.at, version, home });
            chosen.push(Chosen { key, content, source: response, row, version, month, change });
        }
    }
    (chosen, older)
}
