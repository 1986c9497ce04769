//! Content hashes: 128 bits of XXH3, to see changes; not for security.

mod transaction;

pub(crate) use transaction::{TransactionCells, VANISHED, content_hashes, same_core};

use arrow::array::{Array, StringArray};
use arrow::buffer::NullBuffer;
use sluice_model::NativeBatch;
use twox_hash::XxHash3_128;

/// 128 bits of XXH3.
pub(crate) fn hash(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot(bytes)
}

/// The half of a name's hash that goes before each value under this name.
fn tag(name: &str) -> [u8; 8] {
    // Truncation is meant: 64 bits distinguish a table's few columns.
    (hash(name.as_bytes()) as u64).to_le_bytes()
}

/// A number that orders identities as their texts do if these are 32 hexadecimal digits, else in some fixed order.
pub(crate) fn request_ordinal(id: &str) -> u128 {
    if id.len() == 32
        && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        && let Ok(number) = u128::from_str_radix(id, 16)
    {
        return number;
    }
    hash(id.as_bytes())
}

/// A hash of each record: its fields that aren't null, in the order of their paths.
///
/// A new column without values, or another order of columns, changes nothing.
pub(crate) fn native_hashes(batch: &NativeBatch) -> Vec<u128> {
    // Columns without values count as if they weren't there.
    let filled = batch.columns.iter().filter(|column| column.text.null_count() < batch.rows);
    let mut columns: Vec<(&str, TextCells<'_>)> =
        filled.map(|column| (column.path.as_str(), TextCells::of(&column.path, &column.text))).collect();
    columns.sort_unstable_by_key(|(path, _)| *path);
    let mut scratch = Vec::with_capacity(4096);
    let mut hashes = Vec::with_capacity(batch.rows);
    for row in 0..batch.rows {
        scratch.clear();
        columns.iter().for_each(|(_, cells)| cells.push(&mut scratch, row));
        hashes.push(hash(&scratch));
    }
    hashes
}

/// The cells of a column as they lie in memory, under the tag of its path.
struct TextCells<'a> {
    tag: [u8; 8],
    offsets: &'a [i32],
    bytes: &'a [u8],
    nulls: Option<&'a NullBuffer>,
}

impl<'a> TextCells<'a> {
    fn of(path: &str, texts: &'a StringArray) -> Self {
        let nulls = texts.nulls().filter(|nulls| nulls.null_count() > 0);
        Self { tag: tag(path), offsets: texts.value_offsets(), bytes: texts.value_data(), nulls }
    }

    /// A row's cell; nothing if it is null.
    fn push(&self, scratch: &mut Vec<u8>, row: usize) {
        if self.nulls.is_none_or(|nulls| nulls.is_valid(row)) {
            // Offsets are never negative.
            push_bytes(scratch, &self.tag, &self.bytes[self.offsets[row] as usize..self.offsets[row + 1] as usize]);
        }
    }
}

/// A hash of each record's key and account. Without a key, or where it is all null, the content is the key.
///
/// Where records of one response share a key but not their content, each gets a key made of both: a key that turns out
/// not to be one must not make records overwrite each other at every read, whatever their order.
pub(crate) fn native_keys(batch: &NativeBatch, account: &str, key: &[String], contents: &[u128]) -> Vec<u128> {
    let columns: Vec<([u8; 8], &StringArray)> =
        key.iter().filter_map(|path| batch.column(path).map(|column| (tag(path), &column.text))).collect();
    let mut scratch = Vec::with_capacity(256);
    let account_tag = tag("_account");
    let mut keys: Vec<u128> = Vec::with_capacity(batch.rows);
    for (row, content) in contents.iter().enumerate() {
        scratch.clear();
        push_text(&mut scratch, &account_tag, account);
        let bare = scratch.len();
        for (tag, text) in &columns {
            if text.is_valid(row) {
                push_text(&mut scratch, tag, text.value(row));
            }
        }
        if scratch.len() == bare {
            scratch.extend_from_slice(&content.to_le_bytes());
        }
        keys.push(hash(&scratch));
    }
    disambiguate(&mut keys, contents);
    keys
}

fn disambiguate(keys: &mut [u128], contents: &[u128]) {
    let mut order: Vec<u32> = (0..u32::try_from(keys.len()).unwrap_or(u32::MAX)).collect();
    order.sort_unstable_by_key(|row| keys[*row as usize]);
    let mut ambiguous: Vec<u32> = Vec::new();
    for group in order.chunk_by(|a, b| keys[*a as usize] == keys[*b as usize]) {
        let first = contents[group[0] as usize];
        if group.iter().any(|row| contents[*row as usize] != first) {
            ambiguous.extend(group);
        }
    }
    for row in ambiguous {
        let (key, content) = (keys[row as usize], contents[row as usize]);
        keys[row as usize] = hash(&[key.to_le_bytes(), content.to_le_bytes()].concat());
    }
}

fn push_text(scratch: &mut Vec<u8>, tag: &[u8; 8], text: &str) {
    push_bytes(scratch, tag, text.as_bytes());
}

/// Tag, length and bytes of a value.
fn push_bytes(scratch: &mut Vec<u8>, tag: &[u8; 8], bytes: &[u8]) {
    let mut head = [0_u8; 16];
    head[..8].copy_from_slice(tag);
    head[8..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    scratch.reserve(head.len() + bytes.len());
    scratch.extend_from_slice(&head);
    scratch.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use sluice_model::{Kinds, NativeColumn};

    use super::*;

    fn column(path: &str, cells: &[Option<&str>]) -> NativeColumn {
        NativeColumn { path: path.to_owned(), text: StringArray::from(cells.to_vec()), kinds: Kinds::TEXT }
    }

    #[test]
    fn order_of_columns_and_empty_columns_do_not_count() {
        let a = column("a", &[Some("1")]);
        let b = column("b", &[Some("2")]);
        let plain = NativeBatch { rows: 1, columns: vec![a.clone(), b.clone()] };
        let other = NativeBatch { rows: 1, columns: vec![b, column("c", &[None]), a] };
        assert_eq!(native_hashes(&plain), native_hashes(&other));
    }

    #[test]
    fn a_hash_is_of_tags_lengths_and_bytes() {
        let a = StringArray::from(vec![Some("of another response"), None, Some("é"), Some("")]).slice(1, 3);
        let column = |path: &str, text: StringArray| NativeColumn { path: path.to_owned(), text, kinds: Kinds::TEXT };
        let b = StringArray::from(vec!["12", "3", ""]);
        let batch = NativeBatch { rows: 3, columns: vec![column("b", b), column("a", a)] };
        let expected = |cells: &[(&str, &str)]| {
            let parts = cells.iter().map(|(path, text)| {
                [tag(path).as_slice(), (text.len() as u64).to_le_bytes().as_slice(), text.as_bytes()].concat()
            });
            hash(&parts.collect::<Vec<_>>().concat())
        };
        let rows = [[("b", "12")].as_slice(), &[("a", "é"), ("b", "3")], &[("a", ""), ("b", "")]];
        assert_eq!(native_hashes(&batch), rows.map(expected));
    }

    #[test]
    fn values_do_not_run_into_each_other() {
        let one = NativeBatch { rows: 1, columns: vec![column("a", &[Some("12")]), column("b", &[Some("3")])] };
        let two = NativeBatch { rows: 1, columns: vec![column("a", &[Some("1")]), column("b", &[Some("23")])] };
        assert_ne!(native_hashes(&one), native_hashes(&two));
    }

    #[test]
    fn keys_do_not_depend_on_the_order_of_records() {
        let keys = |values: &[Option<&str>]| {
            let cells = vec![Some("k"); values.len()];
            let batch = NativeBatch { rows: values.len(), columns: vec![column("id", &cells), column("v", values)] };
            let mut keys = native_keys(&batch, "uk", &["id".to_owned()], &native_hashes(&batch));
            keys.sort_unstable();
            keys
        };
        assert_eq!(keys(&[Some("1"), Some("2"), Some("3")]), keys(&[Some("3"), Some("1"), Some("2")]));
        let (three, two) = (keys(&[Some("1"), Some("2"), Some("3")]), keys(&[Some("2"), Some("1")]));
        assert!(two.iter().all(|key| three.contains(key)), "a further content changes no other one's key");
    }

    #[test]
    fn different_contents_under_one_key_have_keys_of_their_own_and_equal_ones_have_not() {
        let cells = [Some("k"), Some("k"), Some("k"), Some("l"), None, None];
        let values = [Some("1"), Some("2"), Some("1"), Some("1"), Some("1"), Some("2")];
        let batch = NativeBatch { rows: 6, columns: vec![column("id", &cells), column("v", &values)] };
        let contents = native_hashes(&batch);
        let keys = native_keys(&batch, "uk", &["id".to_owned()], &contents);
        assert_eq!(keys[0], keys[2]);
        assert_ne!(keys[0], keys[1]);
        assert_ne!(keys[0], keys[3]);
        assert_ne!(keys[4], keys[5], "without a key the content is the key");
        assert_ne!(native_keys(&batch, "de", &["id".to_owned()], &contents)[0], keys[0]);
    }
}
