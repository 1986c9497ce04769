//! What mapping a response gives.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use crate::layout::NativeBatch;
use crate::notes::Notes;
use crate::unified::Fact;

/// The outcome of mapping one response.
#[derive(Clone, Debug, Default)]
pub struct Mapped {
    /// Every field of every record.
    pub native: NativeBatch,
    /// Unified transactions in the schema of [`crate::mapped_transactions_schema`], if the stream has any.
    pub transactions: Option<RecordBatch>,
    /// Facts of other kinds, each in its [`Fact::mapped_schema`].
    pub facts: BTreeMap<Fact, RecordBatch>,
    /// Records that could not be mapped.
    pub rejects: Vec<Reject>,
    /// Status words that the connector doesn't know.
    pub unknown_statuses: Vec<String>,
    /// How many records the network states for a planned request and all that follow from it.
    pub total: Option<u64>,
    /// What is odd about the body.
    pub findings: BodyFindings,
}

impl Mapped {
    /// How many records the response has: those of torn rows, which are rejects and in no column, included.
    pub fn records(&self) -> usize {
        let rows = self.native.rows;
        rows + self.rejects.iter().filter(|reject| reject.record_index as usize >= rows).count()
    }
}

/// What decoding finds odd about a body, beside its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyFindings {
    /// Values that were read all the same.
    pub notes: Notes,
    /// The format consists of lines, so nothing but the last line end marks the body's end.
    pub is_lines: bool,
    /// The last line has no line end: the body may be cut.
    pub is_open: bool,
    /// Rows with fewer fields than the header, where every row has all of them.
    pub torn_rows: usize,
    /// The last line is one of them and has no line end: the body is cut.
    pub is_torn: bool,
}

/// A record that could not be mapped. It is kept in `meta.rejects`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its place in the response, from 0.
    pub record_index: u32,
    /// Why.
    pub reason: String,
}
