//! Rejects: those of the lake beside the candidate's. All of a network's are held in memory: they are few, or
//! something is so wrong that a replay is not what is needed first.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{BinaryArray, Int64Array, StringArray};
use sluice_model::{Change, RawObject, Reject};

use super::apply::Staged;
use super::diff::{RejectExample, Rejects};
use super::kept::{key_at, read, typed, wrong};
use crate::append::{Chosen, Source};
use crate::error::Error;
use crate::hash::hash;
use crate::lake::Lake;
use crate::lineage::ConnectorRef;
use crate::meta::{RejectRow, RejectRows};
use crate::month;
use crate::table::Table;

/// The table of rejects beside the candidate's.
pub(super) struct RejectSide {
    pub(super) table: Table,
    pub(super) staged: Staged,
    /// What the lake holds, by place, and whether the candidate rejects it too.
    kept: HashMap<u128, (RejectExample, bool)>,
    /// The keys of the table's rows.
    keys: HashSet<u128>,
    /// Those that have an outcome.
    resolved: HashSet<u128>,
    /// Of these, what the candidate rejects again.
    pub(super) reopened: Vec<u128>,
    /// Bodies that were mapped.
    bodies: HashSet<u128>,
    new: HashSet<u128>,
    new_rejects: Rejects,
    rows: RejectRows,
}

impl RejectSide {
    pub(super) async fn open(lake: &Lake, network: &str) -> Result<Self, Error> {
        let table = Table::open(lake, "meta", "rejects").await?;
        let mut side = Self {
            staged: Staged::default(),
            kept: HashMap::new(),
            keys: HashSet::new(),
            resolved: lake.resolved_rejects().await?.into_keys().collect(),
            reopened: Vec::new(),
            bodies: HashSet::new(),
            new: HashSet::new(),
            new_rejects: Rejects::default(),
            rows: RejectRows::default(),
            table,
        };
        side.staged.compare(&side.table);
        let names = ["account", "stream", "raw_object", "record_index", "reason", "_key"];
        for file in side.table.files() {
            if file.network() != Some(network) {
                continue;
            }
            for batch in read(&side.table, &file.path, &names).await? {
                let text = |name| typed::<StringArray>(&side.table, &batch, name);
                let (accounts, streams, bodies) = (text("account")?, text("stream")?, text("raw_object")?);
                let reasons = text("reason")?;
                let places: &Int64Array = typed(&side.table, &batch, "record_index")?;
                let keys: &BinaryArray = typed(&side.table, &batch, "_key")?;
                for row in 0..batch.num_rows() {
                    let reject = RejectExample {
                        stream: streams.value(row).to_owned(),
                        account: accounts.value(row).to_owned(),
                        raw_object: bodies.value(row).to_owned(),
                        record_index: places.value(row),
                        reason: reasons.value(row).to_owned(),
                    };
                    let key = key_at(keys, row).ok_or_else(|| wrong(&side.table, "_key", "128 bits wide"))?;
                    side.keys.insert(key);
                    if !side.resolved.contains(&key) {
                        side.kept.insert(place(&reject), (reject, false));
                    }
                }
            }
        }
        Ok(side)
    }

    /// Takes the rejects of a response that was mapped.
    pub(super) fn mapped(&mut self, origin: &Arc<RawObject>, connector: &ConnectorRef, rejects: &[Reject]) {
        self.bodies.insert(body(&origin.slice.account, &origin.slice.stream, &origin.body.to_hex()));
        for reject in rejects {
            self.take(origin, i64::from(reject.record_index), &reject.reason);
        }
        self.rows.add(0, origin.clone(), connector, rejects.to_vec());
    }

    /// Takes a response that could not be mapped at all.
    pub(super) fn failed(&mut self, origin: &Arc<RawObject>, connector: &ConnectorRef, reason: &str) {
        self.take(origin, RejectRow::WHOLE, reason);
        self.rows.add_whole(0, origin.clone(), connector, reason);
    }

    fn take(&mut self, origin: &RawObject, record_index: i64, reason: &str) {
        let reject = RejectExample {
            stream: origin.slice.stream.clone(),
            account: origin.slice.account.clone(),
            raw_object: origin.body.to_hex(),
            record_index,
            reason: reason.to_owned(),
        };
        let place = place(&reject);
        if let Some((_, again)) = self.kept.get_mut(&place) {
            *again = true;
        } else if self.new.insert(place) {
            self.new_rejects.add(|| reject);
        }
    }

    /// Puts the rejects that the table lacks into files that no snapshot has yet.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        self.rows.make_incoming();
        let mut chosen: Vec<Chosen> = Vec::new();
        for row in &self.rows.incoming().rows {
            if self.resolved.remove(&row.key) {
                self.reopened.push(row.key);
            }
            if self.keys.insert(row.key) {
                let (key, content, source, row) = (row.key, row.content, row.source, row.row);
                chosen.push(Chosen {
                    key,
                    content,
                    source,
                    row,
                    version: 0,
                    month: month::NONE,
                    change: Change::MappingChange,
                });
            }
        }
        if !chosen.is_empty() {
            self.table.create_if_missing(&self.rows.table_spec()).await?;
            let schema = self.staged.schema(&self.table)?;
            let shaped = self.rows.shape(self.table.name(), &schema, &chosen)?;
            let adds = self.table.write_files(&shaped.rows, Some("_key")).await?;
            self.staged.add(&shaped.rows.schema(), shaped.new_fields, adds);
        }
        self.rows.clear();
        Ok(())
    }

    /// The candidate's further rejects, and those of the lake that it maps.
    pub(super) fn compared(&mut self) -> (Rejects, Rejects) {
        let kept = std::mem::take(&mut self.kept).into_values();
        let mut gone: Vec<RejectExample> = kept.filter(|(_, again)| !again).map(|(reject, _)| reject).collect();
        gone.retain(|reject| self.bodies.contains(&body(&reject.account, &reject.stream, &reject.raw_object)));
        gone.sort_by(|a, b| (&a.raw_object, a.record_index).cmp(&(&b.raw_object, b.record_index)));
        let mut gone_rejects = Rejects::default();
        gone.into_iter().for_each(|reject| gone_rejects.add(|| reject));
        (std::mem::take(&mut self.new_rejects), gone_rejects)
    }
}

fn body(account: &str, stream: &str, raw_object: &str) -> u128 {
    hash(format!("{account}\n{stream}\n{raw_object}").as_bytes())
}

fn place(reject: &RejectExample) -> u128 {
    let RejectExample { account, stream, raw_object, record_index, .. } = reject;
    hash(format!("{account}\n{stream}\n{raw_object}\n{record_index}").as_bytes())
}
