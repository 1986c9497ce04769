//! The layout's inputs as the guest is given them: text columns, lent and not copied.

use std::borrow::Cow;

use arrow::array::{Array, StringArray};
use sluice_model::NativeBatch;

/// A text column of the contract: n + 1 offsets from 0, bytes, and a bitmap that is empty if no value is null.
pub(crate) struct Input<'a> {
    pub(crate) offsets: Cow<'a, [u32]>,
    pub(crate) bytes: &'a [u8],
    pub(crate) valid: Cow<'a, [u8]>,
}

/// The columns at `paths`, in that order; one that no record has is all null.
pub(crate) fn inputs<'a>(paths: &[String], native: &'a NativeBatch) -> Vec<Input<'a>> {
    let input = |path: &String| match native.column(path) {
        Some(column) => Input::of(&column.text),
        None => Input::nulls(native.rows),
    };
    paths.iter().map(input).collect()
}

impl<'a> Input<'a> {
    fn of(text: &'a StringArray) -> Self {
        // Arrow's offsets are never negative, so the same bits are read as unsigned. A slice's don't begin at 0.
        let offsets: &[u32] = text.offsets().inner().inner().typed_data();
        let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
        Self {
            offsets: match first {
                0 => Cow::Borrowed(offsets),
                _ => offsets.iter().map(|offset| offset - first).collect(),
            },
            bytes: &text.values()[first as usize..last as usize],
            valid: bitmap(text),
        }
    }

    fn nulls(rows: usize) -> Self {
        Self { offsets: Cow::Owned(vec![0; rows + 1]), bytes: &[], valid: Cow::Owned(vec![0; rows.div_ceil(8)]) }
    }
}

fn bitmap(text: &StringArray) -> Cow<'_, [u8]> {
    let Some(nulls) = text.nulls().filter(|nulls| nulls.null_count() > 0) else { return Cow::Borrowed(&[]) };
    let bytes = nulls.len().div_ceil(8);
    if nulls.offset() == 0 {
        Cow::Borrowed(&nulls.validity()[..bytes])
    } else {
        // A slice's bitmap begins inside a byte.
        Cow::Owned(nulls.inner().sliced().as_slice()[..bytes].to_vec())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use sluice_model::{Kinds, NativeColumn};

    use super::*;

    fn native(text: StringArray) -> NativeBatch {
        let column = NativeColumn { path: "a".to_owned(), text, kinds: Kinds::TEXT };
        NativeBatch { rows: column.text.len(), columns: vec![column] }
    }

    fn paths(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn whole_columns_are_lent() {
        let native = native(vec![Some("ab"), None, Some("")].into());
        let inputs = inputs(&paths(&["a"]), &native);
        assert_eq!(*inputs[0].offsets, [0, 2, 2, 2]);
        assert_eq!(inputs[0].bytes, b"ab");
        assert_eq!(*inputs[0].valid, [0b101]);
        assert!(matches!(inputs[0].offsets, Cow::Borrowed(_)));
        assert!(matches!(inputs[0].valid, Cow::Borrowed(_)));
    }

    #[test]
    fn slices_are_moved_to_the_start() {
        let whole: StringArray = vec![Some("ab"), None, Some("c"), Some("d")].into();
        let native = native(whole.slice(1, 3));
        let inputs = inputs(&paths(&["a"]), &native);
        assert_eq!(*inputs[0].offsets, [0, 0, 1, 2]);
        assert_eq!(inputs[0].bytes, b"cd");
        assert_eq!(inputs[0].valid[0] & 0b111, 0b110);
    }

    #[test]
    fn a_column_without_nulls_has_no_bitmap() {
        let whole: StringArray = vec![None, Some("a")].into();
        assert!(inputs(&paths(&["a"]), &native(whole.slice(1, 1)))[0].valid.is_empty());
    }

    #[test]
    fn a_path_that_no_record_has_is_null_in_all_rows() {
        let native = native(vec!["x"; 9].into());
        let inputs = inputs(&paths(&["b", "a"]), &native);
        assert_eq!(*inputs[0].offsets, [0; 10]);
        assert_eq!(*inputs[0].valid, [0, 0]);
        assert_eq!(inputs[1].bytes, b"xxxxxxxxx");
    }
}
