//! Whether a response says the same without a value: who bought may change, what was bought and earned may not.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use sluice_fetch::Erased;
use sluice_model::{Fact, Mapped, NativeBatch, row_hash};

/// Words in the name of a field by which a number in it is an amount or a count.
const AMOUNTS: [&str; 14] = [
    "amount",
    "price",
    "commission",
    "value",
    "total",
    "sum",
    "revenue",
    "earning",
    "payout",
    "fee",
    "tax",
    "vat",
    "cost",
    "quantity",
];
/// Ordinals of equal rows whose ids follow from that of the first.
const ORDINALS: u64 = 64;

/// What a value stood in.
#[derive(Default)]
pub(super) struct Difference {
    /// The paths of fields.
    pub(super) paths: BTreeSet<String>,
    /// Ids of transactions that are hashes of a row's parts, before and after.
    pub(super) ids: Vec<(String, String)>,
}

/// How two mappings of a response differ, before and after values were replaced.
///
/// # Errors
/// What differs that may not: the value stands for something else there.
pub(super) fn difference(before: &Mapped, after: &Mapped, is_number: bool) -> Result<Difference, String> {
    if before.native.rows != after.native.rows || before.rejects.len() != after.rejects.len() {
        return Err("its number of records".to_owned());
    }
    let mut difference = Difference { paths: paths(&before.native, &after.native)?, ids: Vec::new() };
    if let Some(path) = difference.paths.iter().find(|path| is_number && is_amount(path)) {
        return Err(format!("the field `{path}`"));
    }
    match (&before.transactions, &after.transactions) {
        (None, None) => {}
        (Some(before), Some(after)) if before.num_rows() == after.num_rows() => {
            compare(Fact::Transactions, before, after)?;
            difference.ids = hashed_ids(before, after);
        }
        _ => return Err("its number of transactions".to_owned()),
    }
    for fact in Fact::OTHERS {
        match (before.facts.get(&fact), after.facts.get(&fact)) {
            (None, None) => {}
            (Some(before), Some(after)) if before.num_rows() == after.num_rows() => compare(fact, before, after)?,
            _ => return Err(format!("its number of {}", fact.name())),
        }
    }
    Ok(difference)
}

/// Whether rows hold one of the values: then their body writes it in a way that isn't searched.
pub(super) fn holds(erased: &Erased, mapped: &Mapped) -> bool {
    let is_held = |texts: &StringArray| texts.iter().flatten().any(|text| erased.count(text.as_bytes()) > 0);
    let transactions = mapped.transactions.iter().map(|rows| (Fact::Transactions, rows));
    let mut facts = transactions.chain(mapped.facts.iter().map(|(fact, rows)| (*fact, rows)));
    mapped.native.columns.iter().any(|column| is_held(&column.text))
        || facts.any(|(fact, rows)| {
            let mut personal = fact.personal_columns().iter().filter_map(|name| texts(rows.column_by_name(name)?));
            personal.any(is_held)
        })
}

/// The texts of a column: its own, or the values of its maps.
fn texts(column: &ArrayRef) -> Option<&StringArray> {
    match column.data_type() {
        DataType::Map(..) => column.as_map().values().as_string_opt(),
        _ => column.as_string_opt(),
    }
}

/// The paths of the fields in which records differ.
fn paths(before: &NativeBatch, after: &NativeBatch) -> Result<BTreeSet<String>, String> {
    let mut paths = BTreeSet::new();
    if before.columns.len() != after.columns.len() {
        return Err("the fields of its records".to_owned());
    }
    for column in &before.columns {
        let other = after.column(&column.path).ok_or_else(|| "the fields of its records".to_owned())?;
        if column.text != other.text {
            paths.insert(column.path.clone());
        }
    }
    Ok(paths)
}

fn is_amount(path: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or(path);
    let (mut words, mut was_upper) = (String::with_capacity(last.len() + 4), false);
    for c in last.chars() {
        if c.is_uppercase() && !was_upper {
            words.push(' ');
        }
        was_upper = c.is_uppercase();
        words.extend(if c.is_alphanumeric() { c.to_lowercase().next() } else { Some(' ') });
    }
    let is_amount = |word: &str| AMOUNTS.iter().any(|amount| word.trim_end_matches('s').ends_with(amount));
    words.rsplit(' ').next() != Some("id") && words.split(' ').any(is_amount)
}

fn compare(fact: Fact, before: &RecordBatch, after: &RecordBatch) -> Result<(), String> {
    for (place, field) in before.schema().fields().iter().enumerate() {
        let same = before.column(place).to_data() == after.column(place).to_data();
        if !same && !fact.personal_columns().contains(&field.name().as_str()) {
            return Err(format!("`{}` of its {}", field.name(), fact.name()));
        }
    }
    Ok(())
}

/// Ids that the network doesn't give, which follow from all of a row, before and after.
fn hashed_ids(before: &RecordBatch, after: &RecordBatch) -> Vec<(String, String)> {
    let text =
        |rows: &RecordBatch, name: &str| rows.column_by_name(name).and_then(|c| c.as_string_opt::<i32>()).cloned();
    let (Some(old), Some(new), Some(bases)) =
        (text(before, "transaction_id"), text(after, "transaction_id"), text(before, "id_basis"))
    else {
        return Vec::new();
    };
    let rows = (0..old.len()).filter(|row| bases.value(*row) == "row-hash" && old.value(*row) != new.value(*row));
    let mut ids = Vec::new();
    for row in rows {
        let of = |id: &str, ordinal| row_hash::with_ordinal(id, ordinal);
        ids.extend((0..ORDINALS).map(|ordinal| (of(old.value(row), ordinal), of(new.value(row), ordinal))));
    }
    ids
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sluice_model::{Kinds, NativeColumn, Secret};

    use super::*;

    fn mapped(cells: &[(&str, &str)]) -> Mapped {
        let columns = cells.iter().map(|(path, text)| NativeColumn {
            path: (*path).to_owned(),
            text: StringArray::from(vec![*text]),
            kinds: Kinds::TEXT,
        });
        Mapped { native: NativeBatch { rows: 1, columns: columns.collect() }, ..Mapped::default() }
    }

    #[test]
    fn a_number_in_an_amount_is_none_of_an_id() {
        let before = mapped(&[("clickRef", "12345"), ("sale.amountCents", "12345")]);
        let found = |after: &Mapped, is_number| difference(&before, after, is_number).map(|found| found.paths);
        let after = mapped(&[("clickRef", "9"), ("sale.amountCents", "12345")]);
        assert_eq!(found(&after, true).unwrap(), BTreeSet::from(["clickRef".to_owned()]));
        let after = mapped(&[("clickRef", "9"), ("sale.amountCents", "9")]);
        assert_eq!(found(&after, true).unwrap_err(), "the field `sale.amountCents`");
        assert!(found(&after, false).is_ok(), "a word is no amount");
        let paths = ["sale_amounts", "orderTotal", "TOTALPRICE", "consumerRef", "totalId", "amountPaid"];
        assert_eq!(paths.map(is_amount), [true, true, true, false, false, true]);
        assert!(found(&mapped(&[("clickRef", "9")]), true).is_err());
    }

    #[test]
    fn rows_that_still_hold_a_value_are_seen() {
        let mut erased = Erased::new(Secret::new("key".to_owned()), Vec::new());
        let value = erased.value("member-1").unwrap();
        let stand_in = value.stand_in.clone();
        erased.add(value);
        assert!(holds(&erased, &mapped(&[("a", "x"), ("clickRef", "u|member-1")])));
        assert!(!holds(&erased, &mapped(&[("a", "x"), ("clickRef", stand_in.as_str())])));
    }
}
