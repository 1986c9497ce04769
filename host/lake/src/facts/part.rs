//! A part of a response's facts, and items under other ids.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use sluice_model::{Fact, RawObject};

use super::FactBatch;
use crate::error::Error;
use crate::versions::{table_name, texts};

impl FactBatch {
    /// How many facts it has.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Key, content hash and month of a fact.
    pub(crate) fn keyed_row(&self, row: usize) -> (u128, u128, i32) {
        (self.keys[row], self.contents[row], self.months[row])
    }

    /// Some of the facts only.
    pub(crate) fn some(&self, rows: &[u32]) -> Result<Self, Error> {
        let of = |numbers: &[u128]| rows.iter().map(|row| numbers[*row as usize]).collect();
        let taken = take_record_batch(&self.rows, &UInt32Array::from(rows.to_vec()));
        Ok(Self {
            fact: self.fact,
            rows: taken.map_err(|source| Error::rows(&table_name(self.fact), source))?,
            keys: of(&self.keys),
            contents: of(&self.contents),
            months: rows.iter().map(|row| self.months[*row as usize]).collect(),
        })
    }

    /// Gives items to transactions under their new ids. Where an item's own id begins with the old one, it does with the new.
    pub(crate) fn rename_transactions(
        &mut self,
        origin: &RawObject,
        renamed: &HashMap<String, String>,
    ) -> Result<(), Error> {
        let (id, of) = (self.fact.id(), Fact::Transactions.id());
        let (own, transactions) = (texts(self.fact, &self.rows, id)?, texts(self.fact, &self.rows, of)?);
        let new = |row: usize| renamed.get(transactions.value(row));
        if (0..self.len()).all(|row| new(row).is_none()) {
            return Ok(());
        }
        let own_id = |row: usize| match (new(row), own.value(row).strip_prefix(transactions.value(row))) {
            (Some(new), Some(rest)) => format!("{new}{rest}"),
            _ => own.value(row).to_owned(),
        };
        let transaction_id = |row: usize| new(row).map_or_else(|| transactions.value(row), String::as_str);
        let ids: StringArray = (0..self.len()).map(|row| Some(own_id(row))).collect();
        let transaction_ids: StringArray = (0..self.len()).map(|row| Some(transaction_id(row))).collect();
        let rows = with_texts(self.fact, &self.rows, [(id, ids), (of, transaction_ids)])?;
        *self = Self::keyed(origin, self.fact, rows)?;
        Ok(())
    }
}

/// Rows with other texts in two of their columns.
fn with_texts(fact: Fact, rows: &RecordBatch, columns: [(&str, StringArray); 2]) -> Result<RecordBatch, Error> {
    let failed = |source| Error::rows(&table_name(fact), source);
    let mut arrays: Vec<ArrayRef> = rows.columns().to_vec();
    for (name, texts) in columns {
        let place = rows.schema().index_of(name).map_err(failed)?;
        arrays[place] = Arc::new(texts);
    }
    RecordBatch::try_new(rows.schema(), arrays).map_err(failed)
}
