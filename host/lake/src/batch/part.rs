//! A table's part of a flush: which table it is, and its rows written on a task of their own.

use std::collections::BTreeSet;

use sluice_model::{Fact, Step};

use super::{TableName, Writers};
use crate::append::{Appended, Appender, RunNumber, Source};
use crate::error::Error;
use crate::facts::FactRows;
use crate::index::IndexColumns;
use crate::meta::RejectRows;
use crate::native::{self, NativeRows};
use crate::table::Fence;
use crate::unified::UnifiedRows;
use crate::versions;

/// A table's part of a flush: its writer, its rows, and what was done with them.
pub(super) struct TablePart<S> {
    pub(super) appender: Appender,
    pub(super) rows: S,
    pub(super) appended: Appended,
}

/// A table that rows are appended to if they are new.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) columns: IndexColumns,
    passed: Step,
}

impl Target {
    pub(super) fn of(schema: &str, name: &str, columns: IndexColumns, passed: Step) -> Self {
        Self { schema: schema.to_owned(), name: name.to_owned(), columns, passed }
    }

    pub(super) fn versions(fact: Fact) -> Self {
        Self::of("unified", fact.versions(), versions::index(fact), Step::UnifiedCommitted)
    }
}

/// Rows of a table that wait.
pub(super) trait GatheredRows: Source + 'static {
    /// Makes incoming rows of them.
    fn make_incoming(&mut self);
}

impl GatheredRows for NativeRows {
    fn make_incoming(&mut self) {
        Self::make_incoming(self);
    }
}

impl GatheredRows for UnifiedRows {
    fn make_incoming(&mut self) {
        Self::make_incoming(self);
    }
}

impl GatheredRows for FactRows {
    fn make_incoming(&mut self) {
        Self::make_incoming(self);
    }
}

impl GatheredRows for RejectRows {
    fn make_incoming(&mut self) {
        Self::make_incoming(self);
    }
}

/// The part of one table among several of its kind: if it fails, the runs that have rows for it do, and no others.
pub(super) type OneOfMany<K, S> = (BTreeSet<RunNumber>, Result<(K, TablePart<S>), Error>);

impl Writers {
    pub(super) fn native_part(
        &mut self,
        table: TableName,
        mut rows: NativeRows,
        fences: &[(RunNumber, Fence)],
    ) -> impl Future<Output = OneOfMany<TableName, NativeRows>> + use<> {
        let (runs, open) = (rows.runs(), self.native.remove(&table).map(|(_, appender)| appender));
        rows.limit_columns(self.options.columns_per_table);
        let target = Target::of(&table.0, &table.1, native::INDEX, Step::NativeCommitted);
        one_of_many(table, runs, self.part(open, target, rows, fences))
    }

    pub(super) fn fact_part(
        &mut self,
        fact: Fact,
        rows: FactRows,
        fences: &[(RunNumber, Fence)],
    ) -> impl Future<Output = OneOfMany<Fact, FactRows>> + use<> {
        let (runs, open) = (rows.runs(), self.facts.remove(&fact).map(|(_, appender)| appender));
        one_of_many(fact, runs, self.part(open, Target::versions(fact), rows, fences))
    }

    /// Writes rows of one table on a task of its own; nothing if there are none and the table wasn't open.
    pub(super) fn part<S: GatheredRows>(
        &self,
        open: Option<Appender>,
        target: Target,
        mut rows: S,
        fences: &[(RunNumber, Fence)],
    ) -> impl Future<Output = Result<Option<TablePart<S>>, Error>> + use<S> {
        let (lake, most_keys, fences) = (self.lake.clone(), self.options.index_keys, fences.to_vec());
        let write = async move {
            rows.make_incoming();
            if rows.incoming().rows.is_empty() && open.is_none() {
                lake.passed(target.passed);
                return Ok(None);
            }
            let mut appender = match open {
                Some(open) => open,
                None => Appender::open(&lake, &target.schema, &target.name, target.columns, most_keys).await?,
            };
            let appended = appender.append(&mut rows, &fences).await?;
            lake.passed(target.passed);
            Ok(Some(TablePart { appender, rows, appended }))
        };
        async move { tokio::spawn(write).await.map_err(|source| Error::Worker { source })? }
    }
}

async fn one_of_many<K, S>(
    table: K,
    runs: BTreeSet<RunNumber>,
    part: impl Future<Output = Result<Option<TablePart<S>>, Error>>,
) -> OneOfMany<K, S> {
    // There is a table only if there are rows of it.
    let written = part.await.and_then(|part| Ok((table, part.ok_or(Error::Stopped)?)));
    (runs, written)
}
