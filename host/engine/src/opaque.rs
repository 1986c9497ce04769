//! Records that a connector read itself, because no layout describes their bodies.

use std::collections::HashSet;

use arrow::array::{Array, StringArray};
use sluice_model::{Kinds, NativeBatch, NativeColumn};

use crate::call::quoted;
use crate::columns::{self, Checked};
use crate::contract::wire::{self, Kind};

/// Most columns of one answer.
const MAX_COLUMNS: usize = 2_000;
/// Longest path, in bytes.
const MAX_PATH: usize = 4_096;

/// The guest's columns as a native batch of as many rows as each of them has.
pub(crate) fn native(wire: Vec<wire::NativeColumn>, max_rows: usize) -> Checked<NativeBatch> {
    if wire.len() > MAX_COLUMNS {
        return Err(format!("{} native columns, {MAX_COLUMNS} are allowed", wire.len()));
    }
    let rows = wire.first().map_or(0, |column| column.values.offsets.len().saturating_sub(1));
    if rows > max_rows {
        return Err(format!("{rows} native records, {max_rows} are allowed"));
    }
    let mut paths = HashSet::new();
    let mut columns = Vec::with_capacity(wire.len());
    for column in wire {
        let named = |what: String| format!("native column {}: {what}", quoted(&column.path));
        if column.path.is_empty() || column.path.len() > MAX_PATH || column.path.chars().any(char::is_control) {
            return Err(named("its path is empty, too long or has control characters".to_owned()));
        }
        if !paths.insert(column.path.clone()) {
            return Err(named("it comes twice".to_owned()));
        }
        let text = columns::text(column.values, rows).map_err(named)?;
        let kinds = kinds(column.kind, &text).map_err(named)?;
        columns.push(NativeColumn { path: column.path, text, kinds });
    }
    Ok(NativeBatch { rows, columns })
}

/// What a column's values are, if they are what the guest says.
///
/// Decimals and times stay text, which loses nothing: a pin makes more of them.
fn kinds(kind: Kind, text: &StringArray) -> Checked<Kinds> {
    let mut kinds = if text.null_count() > 0 { Kinds::NULL } else { Kinds::default() };
    let (seen, is_one): (Kinds, fn(&str) -> bool) = match kind {
        Kind::Boolean => (Kinds::BOOLEAN, |value| matches!(value, "true" | "false")),
        Kind::Int64 => (Kinds::INTEGER, |value| value.parse::<i64>().is_ok()),
        Kind::Float64 => (Kinds::FLOAT, |value| value.parse::<f64>().is_ok_and(f64::is_finite)),
        Kind::Decimal | Kind::Timestamp | Kind::Text => (Kinds::TEXT, |_| true),
    };
    if let Some(value) = text.iter().flatten().find(|value| !is_one(value)) {
        return Err(format!("{} is not of its kind", quoted(value)));
    }
    if text.null_count() < text.len() {
        kinds.insert(seen);
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn column(path: &str, kind: Kind, offsets: &[u32], bytes: &str, valid: &[u8]) -> wire::NativeColumn {
        let values = wire::TextColumnResult {
            offsets: offsets.to_vec(),
            bytes: bytes.as_bytes().to_vec(),
            valid: valid.to_vec(),
        };
        wire::NativeColumn { path: path.to_owned(), kind, values }
    }

    #[test]
    fn columns_keep_their_kinds() {
        let batch = native(
            vec![column("n", Kind::Int64, &[0, 2, 2], "42", &[1]), column("t", Kind::Text, &[0, 1, 2], "ab", &[])],
            10,
        )
        .unwrap();
        assert_eq!(batch.rows, 2);
        let mut kinds = Kinds::NULL;
        kinds.insert(Kinds::INTEGER);
        assert_eq!(batch.column("n").unwrap().kinds, kinds);
        assert_eq!(batch.column("t").unwrap().kinds, Kinds::TEXT);
    }

    #[test]
    fn columns_that_lie_are_refused() {
        let refused = |columns| native(columns, 1).expect_err("it is malformed");
        assert!(refused(vec![column("n", Kind::Int64, &[0, 1], "x", &[])]).contains("not of its kind"));
        assert!(refused(vec![column("", Kind::Text, &[0, 1], "x", &[])]).contains("path is empty"));
        let twice = || column("a", Kind::Text, &[0, 1], "x", &[]);
        assert!(refused(vec![twice(), twice()]).contains("comes twice"));
        assert!(refused(vec![twice(), column("b", Kind::Text, &[0], "", &[])]).contains("1 offsets for 1 rows"));
        assert!(refused(vec![column("a", Kind::Text, &[0, 0, 0], "", &[])]).contains("1 are allowed"));
    }
}
