//! The fields that get no column, because their table has as many as it may: one column of JSON objects.

use arrow::array::{Array, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;

use super::shape::SeenField;
use crate::append::Chosen;

/// The column that such fields share. No field's own column begins with an underscore.
pub(super) const REST: &str = "_rest";

/// The column that such fields share.
pub(super) fn rest_field() -> Field {
    Field::new(REST, DataType::Utf8, true)
}

/// Fields without a column, in the rows that wait.
pub(super) struct Rest<'a> {
    /// By response: the path and the cells of each.
    fields: Vec<Vec<(&'a str, &'a StringArray)>>,
    /// What the column of a path can't hold, and no sibling either: a text or null for each chosen row.
    misfits: Vec<(&'a str, StringArray)>,
}

impl<'a> Rest<'a> {
    pub(super) fn of(responses: usize) -> Self {
        Self { fields: vec![Vec::new(); responses], misfits: Vec::new() }
    }

    /// Takes a field that has no column.
    pub(super) fn take(&mut self, field: &SeenField<'a>) {
        for (response, texts) in &field.columns {
            self.fields[*response].push((field.path, texts));
        }
    }

    /// Takes what a field's column can't hold.
    pub(super) fn take_misfits(&mut self, path: &'a str, texts: StringArray) {
        self.misfits.push((path, texts));
    }

    /// An object for each chosen row, null for a row with none of these fields; none if that is so of all rows.
    pub(super) fn finish(mut self, chosen: &[Chosen]) -> Result<Option<StringArray>, ArrowError> {
        if self.misfits.is_empty() && self.fields.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        for fields in &mut self.fields {
            fields.sort_by_key(|(path, _)| *path);
            fields.dedup_by_key(|(path, _)| *path);
        }
        let mut objects = StringBuilder::new();
        // Reused for all rows.
        let (mut cells, mut json) = (Vec::new(), Vec::new());
        for (place, row) in chosen.iter().enumerate() {
            cells.clear();
            let record = row.row as usize;
            let fields = self.fields[row.source as usize].iter().filter(|(_, texts)| texts.is_valid(record));
            cells.extend(fields.map(|(path, texts)| (*path, texts.value(record))));
            let misfits = self.misfits.iter().filter(|(_, texts)| texts.is_valid(place));
            cells.extend(misfits.map(|(path, texts)| (*path, texts.value(place))));
            if cells.is_empty() {
                objects.append_null();
                continue;
            }
            // By path, so that the order of a response's columns doesn't matter.
            cells.sort_unstable();
            objects.append_value(object(&cells, &mut json)?);
        }
        let objects = objects.finish();
        Ok((objects.null_count() < objects.len()).then_some(objects))
    }
}

/// Writes members as a JSON object into `json`, and gives it.
fn object<'a>(members: &[(&str, &str)], json: &'a mut Vec<u8>) -> Result<&'a str, ArrowError> {
    let failed = |error: serde_json::Error| ArrowError::JsonError(error.to_string());
    json.clear();
    for (name, text) in members {
        json.push(if json.is_empty() { b'{' } else { b',' });
        serde_json::to_writer(&mut *json, name).map_err(failed)?;
        json.push(b':');
        serde_json::to_writer(&mut *json, text).map_err(failed)?;
    }
    json.push(b'}');
    std::str::from_utf8(json).map_err(|error| ArrowError::JsonError(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sluice_model::Kinds;

    use super::*;

    #[test]
    fn each_row_is_an_object_of_what_it_has() {
        let (b, a) = (StringArray::from(vec![Some("1"), None]), StringArray::from(vec![Some("x\"\n"), None]));
        let mut rest = Rest::of(2);
        for (path, texts) in [("b.c", &b), ("a", &a)] {
            rest.take(&SeenField { path, kinds: Kinds::TEXT, columns: vec![(0, texts)] });
        }
        rest.take_misfits("aa", StringArray::from(vec![None, Some("n/a"), None]));
        let objects = rest.finish(&[Chosen::at(1, 0), Chosen::at(0, 0), Chosen::at(0, 1)]).unwrap().unwrap();
        let objects: Vec<Option<&str>> = objects.iter().collect();
        assert_eq!(objects, [None, Some(r#"{"a":"x\"\n","aa":"n/a","b.c":"1"}"#), None]);
    }

    #[test]
    fn rows_that_have_none_need_no_column() {
        let texts = StringArray::from(vec![None, Some("1")]);
        let mut rest = Rest::of(1);
        rest.take(&SeenField { path: "a", kinds: Kinds::TEXT, columns: vec![(0, &texts)] });
        assert!(rest.finish(&[Chosen::at(0, 0)]).unwrap().is_none());
    }
}
