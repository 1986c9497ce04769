//! Cells of a column with substitutes in the place of what they held.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, MapArray, PrimitiveArray, StringArray, StructArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use arrow::error::ArrowError;

/// A column in which `replace` gives other texts, and which rows it does for; none if it gives none.
///
/// Texts, and the values of maps of texts; whole numbers are replaced as texts that are numbers again. Columns of other
/// types have no texts.
pub(super) fn replaced(
    column: &ArrayRef,
    replace: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<(ArrayRef, Vec<usize>)>, ArrowError> {
    match column.data_type() {
        DataType::Utf8 => Ok(replaced_texts(column.as_string(), replace)),
        DataType::Int64 => {
            let column = column.as_primitive::<Int64Type>();
            Ok(replaced_as_texts::<Int64Type>(
                column,
                &|number| Some(number.to_string()),
                &|text| text.parse().ok(),
                replace,
            ))
        }
        DataType::Float64 => {
            let column = column.as_primitive::<Float64Type>();
            Ok(replaced_as_texts::<Float64Type>(column, &|number| whole(number), &|text| text.parse().ok(), replace))
        }
        DataType::Decimal128(_, scale) => {
            let unit = 10_i128.checked_pow(u32::try_from(*scale).unwrap_or_default()).unwrap_or(1);
            let shown = |number: i128| (number % unit == 0).then(|| (number / unit).to_string());
            let parsed = |text: &str| text.parse::<i128>().ok()?.checked_mul(unit);
            Ok(replaced_as_texts::<Decimal128Type>(column.as_primitive(), &shown, &parsed, replace))
        }
        DataType::Map(..) => replaced_values(column.as_map(), replace),
        _ => Ok(None),
    }
}

fn replaced_texts(texts: &StringArray, replace: &dyn Fn(&str) -> Option<String>) -> Option<(ArrayRef, Vec<usize>)> {
    let found: Vec<(usize, String)> =
        texts.iter().enumerate().filter_map(|(row, text)| text.and_then(replace).map(|text| (row, text))).collect();
    found.first()?;
    let rows: Vec<usize> = found.iter().map(|(row, _)| *row).collect();
    let mut found = found.into_iter().peekable();
    let texts: StringArray = texts
        .iter()
        .enumerate()
        .map(|(row, text)| match found.next_if(|(changed, _)| *changed == row) {
            Some((_, text)) => Some(text),
            None => text.map(str::to_owned),
        })
        .collect();
    Some((Arc::new(texts), rows))
}

/// The digits of a whole number that a double holds exactly.
fn whole(number: f64) -> Option<String> {
    (number.fract() == 0.0 && number.abs() < 9e15).then(|| format!("{number:.0}"))
}

/// Numbers, by how they are written as texts.
fn replaced_as_texts<T: ArrowPrimitiveType>(
    numbers: &PrimitiveArray<T>,
    shown: &dyn Fn(T::Native) -> Option<String>,
    parsed: &dyn Fn(&str) -> Option<T::Native>,
    replace: &dyn Fn(&str) -> Option<String>,
) -> Option<(ArrayRef, Vec<usize>)> {
    let mut rows = Vec::new();
    let replaced: PrimitiveArray<T> = numbers
        .iter()
        .enumerate()
        .map(|(row, number)| {
            let other = number.and_then(shown).and_then(|text| replace(&text)).and_then(|text| parsed(&text));
            rows.extend(other.map(|_| row));
            other.or(number)
        })
        .collect();
    let replaced = replaced.with_data_type(numbers.data_type().clone());
    (!rows.is_empty()).then(|| (Arc::new(replaced) as ArrayRef, rows))
}

fn replaced_values(
    maps: &MapArray,
    replace: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<(ArrayRef, Vec<usize>)>, ArrowError> {
    let (DataType::Map(field, is_sorted), entries) = (maps.data_type(), maps.entries()) else { return Ok(None) };
    let [keys, values] = entries.columns() else { return Ok(None) };
    if values.data_type() != &DataType::Utf8 {
        return Ok(None);
    }
    let Some((values, changed)) = replaced_texts(values.as_string(), replace) else { return Ok(None) };
    let entries = StructArray::try_new(entries.fields().clone(), vec![keys.clone(), values], entries.nulls().cloned())?;
    let offsets = maps.offsets();
    let mut rows: Vec<usize> =
        changed.iter().map(|at| offsets.partition_point(|offset| *offset as usize <= *at).saturating_sub(1)).collect();
    rows.dedup();
    let maps = MapArray::try_new(field.clone(), offsets.clone(), entries, maps.nulls().cloned(), *is_sorted)?;
    Ok(Some((Arc::new(maps), rows)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::{Decimal128Array, Float64Array, Int64Array, MapBuilder, StringBuilder};

    use super::*;

    fn star(text: &str) -> Option<String> {
        text.contains('7').then(|| text.replace('7', "9"))
    }

    #[test]
    fn texts_numbers_and_values_of_maps_are_replaced() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("a7")]));
        let (changed, rows) = replaced(&texts, &star).unwrap().unwrap();
        assert_eq!((changed.as_string::<i32>().value(2), changed.is_null(1), rows), ("a9", true, vec![2]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(17), None, Some(1)]));
        let (changed, rows) = replaced(&numbers, &star).unwrap().unwrap();
        assert_eq!((changed.as_primitive::<Int64Type>().value(0), rows), (19, vec![0]));
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![17.0, 17.5]));
        let (changed, rows) = replaced(&doubles, &star).unwrap().unwrap();
        assert_eq!((changed.as_primitive::<Float64Type>().value(0), rows), (19.0, vec![0]));
        let decimals = Decimal128Array::from(vec![1_700, 1_750]).with_precision_and_scale(18, 2).unwrap();
        let (changed, rows) = replaced(&(Arc::new(decimals) as ArrayRef), &star).unwrap().unwrap();
        assert_eq!((changed.as_primitive::<Decimal128Type>().value(0), rows), (1_900, vec![0]));
        let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for values in [vec![], vec!["a"], vec!["b", "7", "7"]] {
            for value in values {
                maps.keys().append_value("7");
                maps.values().append_value(value);
            }
            maps.append(true).unwrap();
        }
        let maps: ArrayRef = Arc::new(maps.finish());
        let (changed, rows) = replaced(&maps, &star).unwrap().unwrap();
        let entries = changed.as_map().value(2);
        let values: Vec<_> = entries.column(1).as_string::<i32>().iter().flatten().collect();
        assert_eq!((values, rows), (vec!["b", "9", "9"], vec![2]));
        assert_eq!(entries.column(0).as_string::<i32>().value(0), "7", "a sub-id's name is no value");
        assert!(replaced(&changed, &star).unwrap().is_none());
    }
}
