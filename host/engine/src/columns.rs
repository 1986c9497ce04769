//! Columns of a guest as Arrow arrays: checked, then wrapped without copying.
//!
//! Every function takes a guest's column and how many rows there should be, and returns the array or the rule of the
//! contract that it breaks. Arrow's plain constructors panic on bad lengths, so none is used before a check.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Int64Array, MapArray, StringArray, StructArray, UInt32Array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field};
use sluice_model::money_type;

use crate::contract::wire;

/// The array, or which rule is broken.
pub(crate) type Checked<T> = Result<T, String>;

/// Largest amount of `decimal(18, 6)`, in millionths.
const MAX_MICROS: i64 = 10_i64.pow(18) - 1;
/// Millionths of one.
const ONE: i64 = 1_000_000;

/// Which rows are valid; none if all are.
pub(crate) fn validity(bitmap: Vec<u8>, rows: usize) -> Checked<Option<NullBuffer>> {
    if bitmap.is_empty() {
        return Ok(None);
    }
    if bitmap.len() != rows.div_ceil(8) {
        return Err(format!("its bitmap has {} bytes for {rows} rows", bitmap.len()));
    }
    let nulls = NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bitmap), 0, rows));
    Ok(Some(nulls).filter(|nulls| nulls.null_count() > 0))
}

/// Rising offsets of `rows` values, the last of them at most `end`.
pub(crate) fn offsets(offsets: Vec<u32>, rows: usize, end: usize) -> Checked<OffsetBuffer<i32>> {
    if offsets.len() != rows + 1 {
        return Err(format!("it has {} offsets for {rows} rows", offsets.len()));
    }
    if offsets.windows(2).any(|pair| pair[0] > pair[1]) {
        return Err("its offsets fall".to_owned());
    }
    let last = offsets.last().copied().unwrap_or(0);
    if last as usize > end || last > i32::MAX as u32 {
        return Err(format!("its last offset is {last}, behind its end {end}"));
    }
    // The same bits are read as signed: the largest is checked above.
    Ok(OffsetBuffer::new(ScalarBuffer::new(Buffer::from_vec(offsets), 0, rows + 1)))
}

/// Text, UTF-8 checked.
pub(crate) fn text(column: wire::TextColumnResult, rows: usize) -> Checked<StringArray> {
    let offsets = offsets(column.offsets, rows, column.bytes.len())?;
    let valid = validity(column.valid, rows)?;
    StringArray::try_new(offsets, Buffer::from_vec(column.bytes), valid).map_err(|_| "it isn't UTF-8".to_owned())
}

/// Money, from millionths.
pub(crate) fn money(column: wire::MoneyColumn, rows: usize) -> Checked<Decimal128Array> {
    same_length(column.values.len(), rows)?;
    let valid = validity(column.valid, rows)?;
    let is_valid = |row: usize| valid.as_ref().is_none_or(|valid| valid.is_valid(row));
    let mut values = Vec::with_capacity(rows);
    for (row, &micros) in column.values.iter().enumerate() {
        let fits = (-MAX_MICROS..=MAX_MICROS).contains(&micros);
        if !fits && is_valid(row) {
            return Err(format!("row {row} is {micros} millionths, more than decimal(18, 6) holds"));
        }
        values.push(if fits { i128::from(micros) } else { 0 });
    }
    Decimal128Array::try_new(values.into(), valid)
        .map(|array| array.with_data_type(money_type()))
        .map_err(|error| error.to_string())
}

/// Whole numbers, from millionths.
pub(crate) fn whole(column: wire::MoneyColumn, rows: usize) -> Checked<Int64Array> {
    same_length(column.values.len(), rows)?;
    let valid = validity(column.valid, rows)?;
    let is_valid = |row: usize| valid.as_ref().is_none_or(|valid| valid.is_valid(row));
    let broken = column.values.iter().enumerate().find(|&(row, micros)| micros % ONE != 0 && is_valid(row));
    if let Some((row, micros)) = broken {
        return Err(format!("row {row} is {micros} millionths, which is no whole number"));
    }
    let values: Vec<i64> = column.values.iter().map(|micros| micros / ONE).collect();
    Int64Array::try_new(values.into(), valid).map_err(|error| error.to_string())
}

/// Booleans from 0 and 1.
pub(crate) fn boolean(column: wire::ByteColumn, rows: usize) -> Checked<BooleanArray> {
    let (values, valid) = bytes(column, rows, 2)?;
    Ok(BooleanArray::new(values.iter().map(|&value| value == 1).collect(), valid))
}

/// Bytes below `cases`, wherever they are valid.
fn bytes(column: wire::ByteColumn, rows: usize, cases: usize) -> Checked<(Vec<u8>, Option<NullBuffer>)> {
    same_length(column.values.len(), rows)?;
    let valid = validity(column.valid, rows)?;
    let is_valid = |row: usize| valid.as_ref().is_none_or(|valid| valid.is_valid(row));
    let outside = column.values.iter().enumerate().find(|&(row, &value)| usize::from(value) >= cases && is_valid(row));
    match outside {
        Some((row, value)) => Err(format!("row {row} is {value}, of {cases} cases")),
        None => Ok((column.values, valid)),
    }
}

/// Ordinals of an enum, and the names that they stand for.
pub(crate) fn words(column: wire::ByteColumn, rows: usize, names: &[&str]) -> Checked<(Vec<u8>, ArrayRef)> {
    let (ordinals, valid) = bytes(column, rows, names.len())?;
    let array = named(ordinals.iter().map(|&ordinal| usize::from(ordinal)), names, valid)?;
    Ok((ordinals, array))
}

/// The names that ordinals stand for. The ordinals are in range.
pub(crate) fn names(ordinals: impl ExactSizeIterator<Item = usize>, names: &[&str]) -> Checked<ArrayRef> {
    named(ordinals, names, None)
}

fn named(
    ordinals: impl ExactSizeIterator<Item = usize>,
    names: &[&str],
    valid: Option<NullBuffer>,
) -> Checked<ArrayRef> {
    let rows = ordinals.len();
    let mut ends = Vec::with_capacity(rows + 1);
    // Most names are some eight bytes.
    let mut bytes = Vec::with_capacity(rows * 8);
    ends.push(0_u32);
    for ordinal in ordinals {
        bytes.extend_from_slice(names.get(ordinal).copied().unwrap_or_default().as_bytes());
        ends.push(u32::try_from(bytes.len()).map_err(|_| "it has too many rows".to_owned())?);
    }
    let names = text(wire::TextColumnResult { offsets: ends, bytes, valid: Vec::new() }, rows)?;
    match valid {
        None => Ok(Arc::new(names)),
        Some(valid) => {
            let (offsets, bytes, _) = names.into_parts();
            let names = StringArray::try_new(offsets, bytes, Some(valid)).map_err(|error| error.to_string())?;
            Ok(Arc::new(names))
        }
    }
}

/// The same name in all rows.
pub(crate) fn constant(name: &str, rows: usize) -> Checked<ArrayRef> {
    names(std::iter::repeat_n(0, rows), &[name])
}

/// Indices below `records`.
pub(crate) fn indices(values: Vec<u32>, records: usize) -> Checked<UInt32Array> {
    match values.iter().find(|&&value| value as usize >= records) {
        Some(value) => Err(format!("it names record {value} of {records}")),
        None => Ok(UInt32Array::new(values.into(), None)),
    }
}

/// Maps of texts, of the schema's type.
pub(crate) fn map(column: wire::MapColumn, rows: usize, data_type: &DataType) -> Checked<MapArray> {
    let DataType::Map(entries, ordered) = data_type else { return Err("its schema is no map".to_owned()) };
    let DataType::Struct(fields) = entries.data_type() else { return Err("its schema has no entries".to_owned()) };
    let pairs = column.keys.offsets.len().saturating_sub(1);
    let offsets = offsets(column.offsets, rows, pairs)?;
    let keys = text(column.keys, pairs).map_err(|what| format!("keys: {what}"))?;
    let values = text(column.values, pairs).map_err(|what| format!("values: {what}"))?;
    if keys.null_count() > 0 {
        return Err("keys: it has nulls".to_owned());
    }
    let pairs: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(values)];
    let pairs = StructArray::try_new(fields.clone(), pairs, None).map_err(|error| error.to_string())?;
    MapArray::try_new(Arc::<Field>::clone(entries), offsets, pairs, None, *ordered).map_err(|error| error.to_string())
}

pub(crate) fn same_length(length: usize, rows: usize) -> Checked<()> {
    if length == rows { Ok(()) } else { Err(format!("it has {length} values for {rows} rows")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use sluice_model::{ValidationStatus, mapped_transactions_schema};

    use super::*;

    fn column(offsets: &[u32], bytes: &[u8], valid: &[u8]) -> wire::TextColumnResult {
        wire::TextColumnResult { offsets: offsets.to_vec(), bytes: bytes.to_vec(), valid: valid.to_vec() }
    }

    #[test]
    fn text_is_wrapped() {
        let array = text(column(&[0, 1, 1, 3], b"abc", &[0b101]), 3).unwrap();
        assert_eq!(array.iter().collect::<Vec<_>>(), [Some("a"), None, Some("bc")]);
    }

    #[test]
    fn bad_text_is_refused() {
        let refused = |offsets: &[u32], bytes: &[u8], valid: &[u8], rows| {
            text(column(offsets, bytes, valid), rows).expect_err("it is malformed")
        };
        assert_eq!(refused(&[0, 1], b"ab", &[], 2), "it has 2 offsets for 2 rows");
        assert_eq!(refused(&[], b"", &[], 0), "it has 0 offsets for 0 rows");
        assert_eq!(refused(&[0, 2, 1], b"ab", &[], 2), "its offsets fall");
        assert_eq!(refused(&[0, 3], b"ab", &[], 1), "its last offset is 3, behind its end 2");
        assert_eq!(refused(&[0, u32::MAX], b"ab", &[], 1), "its last offset is 4294967295, behind its end 2");
        assert_eq!(refused(&[0, 1], &[0xff], &[], 1), "it isn't UTF-8");
        assert_eq!(refused(&[0, 1, 2], "é".as_bytes(), &[], 2), "it isn't UTF-8");
        assert_eq!(refused(&[0, 1], b"a", &[1, 0], 1), "its bitmap has 2 bytes for 1 rows");
    }

    #[test]
    fn money_keeps_its_millionths() {
        let array = money(wire::MoneyColumn { values: vec![-1, 2_500_000], valid: vec![] }, 2).unwrap();
        assert_eq!(array.data_type(), &money_type());
        assert_eq!(array.value_as_string(0), "-0.000001");
        assert_eq!(array.value_as_string(1), "2.500000");
    }

    #[test]
    fn numbers_are_whole_unless_they_are_null() {
        let with = |valid: Vec<u8>| whole(wire::MoneyColumn { values: vec![-2_000_000, 1_500_000], valid }, 2);
        assert_eq!(with(vec![]).unwrap_err(), "row 1 is 1500000 millionths, which is no whole number");
        let array = with(vec![0b01]).unwrap();
        assert_eq!((array.value(0), array.is_null(1)), (-2, true));
    }

    #[test]
    fn too_much_money_is_refused_unless_it_is_null() {
        let with = |valid: Vec<u8>| money(wire::MoneyColumn { values: vec![i64::MIN, MAX_MICROS], valid }, 2);
        assert!(with(vec![]).is_err());
        assert!(with(vec![0b10]).unwrap().is_null(0));
    }

    #[test]
    fn ordinals_stay_in_range() {
        let with = |values: &[u8], valid: &[u8]| {
            let column = wire::ByteColumn { values: values.to_vec(), valid: valid.to_vec() };
            words(column, 2, ValidationStatus::NAMES)
        };
        assert_eq!(with(&[0, 3], &[]).unwrap().0, [0, 3]);
        assert_eq!(with(&[0, 4], &[]).unwrap_err(), "row 1 is 4, of 4 cases");
        assert_eq!(with(&[0], &[]).unwrap_err(), "it has 1 values for 2 rows");
        assert_eq!(with(&[0, 0], &[3]).unwrap().1.null_count(), 0);
    }

    #[test]
    fn a_null_word_is_null_whatever_its_ordinal_says() {
        let column = wire::ByteColumn { values: vec![0, 9], valid: vec![1] };
        let array = words(column, 2, ValidationStatus::NAMES).unwrap().1;
        let array = array.as_any().downcast_ref::<StringArray>().unwrap();
        assert_eq!(array.iter().collect::<Vec<_>>(), [Some("pending"), None]);
    }

    #[test]
    fn names_stand_for_ordinals() {
        let array = names([1, 0].into_iter(), ValidationStatus::NAMES).unwrap();
        let array = array.as_any().downcast_ref::<StringArray>().unwrap();
        assert_eq!(array.iter().flatten().collect::<Vec<_>>(), ["approved", "pending"]);
        assert_eq!(constant("x", 3).unwrap().len(), 3);
    }

    #[test]
    fn records_are_among_those_that_there_are() {
        assert!(indices(vec![0, 2], 3).is_ok());
        assert_eq!(indices(vec![3], 3).unwrap_err(), "it names record 3 of 3");
    }

    #[test]
    fn maps_have_the_schemas_type() {
        let schema = mapped_transactions_schema();
        let data_type = schema.field_with_name("sub_ids").unwrap().data_type();
        let with = |offsets: &[u32], keys, values| {
            map(wire::MapColumn { offsets: offsets.to_vec(), keys, values }, 2, data_type)
        };
        let array = with(&[0, 0, 1], column(&[0, 1], b"k", &[]), column(&[0, 0], b"", &[0])).unwrap();
        assert_eq!(array.data_type(), data_type);
        assert_eq!((array.value(0).len(), array.value(1).len()), (0, 1));
        assert!(with(&[0, 0, 2], column(&[0, 1], b"k", &[]), column(&[0, 0], b"", &[])).is_err());
        assert!(with(&[0, 0, 1], column(&[0, 1], b"k", &[0]), column(&[0, 0], b"", &[])).is_err());
        assert!(with(&[0, 0, 1], column(&[0, 1], b"k", &[]), column(&[0], b"", &[])).is_err());
        assert!(with(&[0, 0, 0], column(&[], b"", &[]), column(&[], b"", &[])).is_err());
    }
}
