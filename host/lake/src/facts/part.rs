//! A part of a response's facts.

use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;

use super::FactBatch;
use crate::error::Error;
use crate::versions::table_name;

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
}
