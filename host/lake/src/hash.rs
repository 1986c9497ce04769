//! Content hashes: 128 bits of XXH3, to see changes; not for security.

mod transaction;

pub(crate) use transaction::{TransactionCells, VANISHED, content_hashes, same_core};

use arrow::array::{Array, StringArray};
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
    let mut columns: Vec<(&str, [u8; 8], &StringArray)> =
        batch.columns.iter().map(|column| (column.path.as_str(), tag(&column.path), &column.text)).collect();
    columns.sort_unstable_by_key(|(path, ..)| *path);
    let mut scratch = Vec::with_capacity(4096);
    let mut hashes = Vec::with_capacity(batch.rows);
    for row in 0..batch.rows {
        scratch.clear();
        for (_, tag, text) in &columns {
            if text.is_valid(row) {
                push_text(&mut scratch, tag, text.value(row));
            }
        }
        hashes.push(hash(&scratch));
    }
    hashes
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
    scratch.extend_from_slice(tag);
    scratch.extend_from_slice(&(text.len() as u64).to_le_bytes());
    scratch.extend_from_slice(text.as_bytes());
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
