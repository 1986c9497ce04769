//! Rows of many responses as one column, copied run by run.

use arrow::array::{Array, ArrayData, ArrayRef, MutableArrayData, make_array, new_null_array};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::append::Chosen;

/// Rows of one response that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) source: u32,
    pub(crate) start: u32,
    pub(crate) rows: u32,
}

/// The chosen rows in their order, as runs.
pub(crate) fn runs(chosen: &[Chosen]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for row in chosen {
        match runs.last_mut() {
            Some(run) if run.source == row.source && run.start + run.rows == row.row => run.rows += 1,
            _ => runs.push(Run { source: row.source, start: row.row, rows: 1 }),
        }
    }
    runs
}

/// A column of `data_type` from each response's own; null where a response doesn't have it.
pub(crate) fn gather(
    data_type: &DataType,
    sources: &[Option<&dyn Array>],
    runs: &[Run],
) -> Result<ArrayRef, ArrowError> {
    let total = runs.iter().map(|run| run.rows as usize).sum();
    let mut places = vec![None; sources.len()];
    let mut data: Vec<ArrayData> = Vec::with_capacity(sources.len());
    for (place, source) in places.iter_mut().zip(sources) {
        if let Some(source) = source {
            *place = Some(data.len());
            data.push(source.to_data());
        }
    }
    if data.is_empty() {
        return Ok(new_null_array(data_type, total));
    }
    let mut column = MutableArrayData::new(data.iter().collect(), true, total);
    for run in runs {
        let (start, rows) = (run.start as usize, run.rows as usize);
        match places[run.source as usize] {
            Some(place) => column.try_extend(place, start, start + rows)?,
            None => column.try_extend_nulls(rows)?,
        }
    }
    Ok(make_array(column.freeze()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{AsArray, StringArray};

    use super::*;

    #[test]
    fn rows_keep_their_order() {
        let runs = runs(&[Chosen::at(0, 1), Chosen::at(0, 2), Chosen::at(1, 0), Chosen::at(2, 0), Chosen::at(0, 0)]);
        assert_eq!(runs.len(), 4);
        let first = StringArray::from(vec![Some("a"), None, Some("c")]);
        let last = StringArray::from(vec!["z"]);
        let column = gather(&DataType::Utf8, &[Some(&first), None, Some(&last)], &runs).unwrap();
        let cells: Vec<Option<&str>> = column.as_string::<i32>().iter().collect();
        assert_eq!(cells, [None, Some("c"), None, Some("z"), Some("a")]);
    }
}
