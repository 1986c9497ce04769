//! What mapping a response gives.

use arrow::array::RecordBatch;

use crate::layout::NativeBatch;

/// The outcome of mapping one response.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// Every field of every record.
    pub native: NativeBatch,
    /// Unified transactions in the schema of [`crate::mapped_transactions_schema`], if the stream has any.
    pub transactions: Option<RecordBatch>,
    /// Records that could not be mapped.
    pub rejects: Vec<Reject>,
    /// Status words that the connector doesn't know.
    pub unknown_statuses: Vec<String>,
    /// How many records the network states for a planned request and all that follow from it.
    pub total: Option<u64>,
}

/// A record that could not be mapped. It is kept in `meta.rejects`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its place in the response, from 0.
    pub record_index: u32,
    /// Why.
    pub reason: String,
}
