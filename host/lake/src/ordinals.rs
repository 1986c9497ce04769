//! Equal rows without an id, numbered over all responses of a slice.
//!
//! A connector numbers them within one response, since it is pure: two equal rows on two pages get one id, and would be
//! one row. Here each response's ordinals continue those of the slice's other responses. In which order these come
//! doesn't matter: equal rows have equal contents, so only their number counts. A response that comes again, from raw or
//! by a retry, gets the ordinals that it had.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use sluice_model::{Fact, row_hash};

use crate::error::Error;
use crate::prepare::Prepared;
use crate::unified::{self, Keyed};

/// The `id_basis` of rows to which the network gives no id.
const ROW_HASH: &str = "row-hash";

/// The ordinals given so far in slices of one run.
#[derive(Default)]
pub(crate) struct Ordinals {
    slices: HashMap<String, SliceOrdinals>,
}

#[derive(Default)]
struct SliceOrdinals {
    /// The next ordinal of each base.
    next: HashMap<String, u64>,
    /// The first ordinals of the bases of each request's response.
    first: HashMap<String, HashMap<String, u64>>,
}

impl Ordinals {
    /// Numbers a response's rows without an id after those of the slice's other responses. Their items go with them.
    pub(crate) fn number(&mut self, prepared: &mut Prepared) -> Result<(), Error> {
        let Some((rows, keyed)) = &mut prepared.transactions else { return Ok(()) };
        let bases = rows.column_by_name("id_basis").and_then(|column| column.as_string_opt::<i32>());
        let Some(bases) = bases else { return Ok(()) };
        let places: Vec<usize> = (0..rows.num_rows()).filter(|row| bases.value(*row) == ROW_HASH).collect();
        if places.is_empty() {
            return Ok(());
        }
        let ids = unified::ids(rows)?;
        let split = row_hash::split(places.iter().map(|row| ids.value(*row)));
        let slice = self.slices.entry(prepared.origin.slice.id()).or_default();
        let firsts = slice.firsts(&prepared.origin.request_id, &split);
        let mut numbered: Vec<String> = ids.iter().map(|id| id.unwrap_or_default().to_owned()).collect();
        let mut has_changed = false;
        for (row, id) in places.iter().zip(&split) {
            let first = firsts.get(id.base).copied().unwrap_or_default();
            if first > 0 {
                numbered[*row] = row_hash::with_ordinal(id.base, first + id.ordinal);
                has_changed = true;
            }
        }
        if has_changed {
            let changed = places.iter().filter(|row| ids.value(**row) != numbered[**row]);
            let renamed: HashMap<String, String> =
                changed.map(|row| (ids.value(*row).to_owned(), numbered[*row].clone())).collect();
            for batch in prepared.facts.iter_mut().filter(|batch| batch.fact == Fact::Items) {
                batch.rename_transactions(&prepared.origin, &renamed)?;
            }
            *rows = with_ids(rows, StringArray::from(numbered))?;
            let Keyed { keys, contents, .. } = Keyed::of(&prepared.origin, rows, 0)?;
            (keyed.keys, keyed.contents) = (keys, contents);
        }
        Ok(())
    }

    /// Another run's responses come.
    pub(crate) fn clear(&mut self) {
        self.slices.clear();
    }
}

impl SliceOrdinals {
    fn firsts(&mut self, request_id: &str, ids: &[row_hash::RowId<'_>]) -> &HashMap<String, u64> {
        let Self { next, first } = self;
        first.entry(request_id.to_owned()).or_insert_with(|| {
            let mut counts: HashMap<&str, u64> = HashMap::new();
            for id in ids {
                let count = counts.entry(id.base).or_default();
                *count = (*count).max(id.ordinal + 1);
            }
            let mut firsts = HashMap::new();
            for (base, count) in counts {
                let given = next.entry(base.to_owned()).or_default();
                if *given > 0 {
                    firsts.insert(base.to_owned(), *given);
                }
                *given += count;
            }
            firsts
        })
    }
}

fn with_ids(rows: &RecordBatch, ids: StringArray) -> Result<RecordBatch, Error> {
    let failed = |source| Error::rows(unified::TABLE, source);
    let place = rows.schema().index_of("transaction_id").map_err(failed)?;
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns[place] = Arc::new(ids);
    RecordBatch::try_new(rows.schema(), columns).map_err(failed)
}
