//! Where rows came from: the connector that mapped them, and the columns of all tables of the ledger that record it.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, StringBuilder};
use sluice_model::{Digest, RawObject};

use crate::append::{Chosen, IncomingRow, Observed};
use crate::hash::request_ordinal;
use crate::month;

/// The connector that mapped something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorRef {
    /// Its network id.
    pub name: String,
    /// Its version, as its manifest states it.
    pub version: String,
    /// Its component's digest.
    pub digest: Digest,
}

/// When a response was observed.
pub(crate) fn observed(origin: &RawObject) -> Observed {
    Observed { at: origin.received_at.timestamp_micros(), request: request_ordinal(&origin.request_id) }
}

/// This host's clock, microseconds since 1970.
pub(crate) fn now_micros() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// The partition of each row.
pub(crate) fn month_names(chosen: &[Chosen]) -> ArrayRef {
    let mut names = StringBuilder::with_capacity(chosen.len(), chosen.len() * 8);
    for rows in chosen.chunk_by(|one, next| one.month == next.month) {
        names.append_value_n(month::name(rows[0].month), rows.len());
    }
    Arc::new(names.finish())
}

/// A text for each row, which is the same for all rows of a response.
pub(crate) fn response_texts<T: AsRef<str>>(chosen: &[Chosen], text: impl Fn(u32) -> T) -> ArrayRef {
    let mut texts = StringBuilder::with_capacity(chosen.len(), chosen.len() * 32);
    for rows in chosen.chunk_by(|one, next| one.source == next.source) {
        texts.append_value_n(text(rows[0].source), rows.len());
    }
    Arc::new(texts.finish())
}

/// Numbers as 16 bytes each.
pub(crate) fn binary(numbers: impl ExactSizeIterator<Item = u128>) -> ArrayRef {
    let mut builder = BinaryBuilder::with_capacity(numbers.len(), numbers.len() * 16);
    numbers.for_each(|number| builder.append_value(number.to_be_bytes()));
    Arc::new(builder.finish())
}

/// The rows of one response as candidates.
pub(crate) fn candidates<'a>(
    source: u32,
    keys: &'a [u128],
    contents: &'a [u128],
    months: &'a [i32],
) -> impl Iterator<Item = IncomingRow> + 'a {
    let rows = (0..).zip(keys.iter().zip(contents).zip(months));
    rows.map(move |(row, ((key, content), month))| IncomingRow {
        key: *key,
        content: *content,
        source,
        row,
        month: *month,
    })
}
