//! Ids of rows to which a network gives none (`id_basis` `row-hash`), as base and ordinal.
//!
//! A connector is pure per response, so it numbers equal rows within one response only: two equal rows on two pages get
//! the same id. The host numbers them again over all responses of a slice: [`split`] gives the base and the ordinal of
//! each id of a response, and [`with_ordinal`] the id of another ordinal of the same base.
//!
//! ```
//! use sluice_model::row_hash::{split, with_ordinal};
//! let base = "d228cb696f1a8caf78912b704e4a8964";
//! let second = with_ordinal(base, 1);
//! let rows = split([base, second.as_str()]);
//! assert_eq!((rows[1].base, rows[1].ordinal), (base, 1));
//! ```
//!
//! # Format
//! An id is 32 lower-case hexadecimal digits of a 128-bit FNV-1a hash: of ordinal 0 the hash of the row's parts, the
//! *base*; of ordinal n > 0 the base, continued with n as 8 little-endian bytes. `sluice_connector`'s `Output::row_hash`
//! writes it, and has done so since it exists. The ordinal doesn't stand in the id. It follows from the ids before it
//! in the same response, where ordinals of a base come in rising order: the id that continues a base with the next
//! ordinal is that ordinal, and any other id is a base. An id of another connector kit that isn't 32 such digits is a
//! base too, and its hash takes the place of the digits.

use std::collections::HashMap;

/// FNV-1a of 128 bits: <http://www.isthe.com/chongo/tech/comp/fnv/>.
const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// The id of a row, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowId<'a> {
    /// The id of the first row of the same parts.
    pub base: &'a str,
    /// How many rows of the same parts come before it in the response.
    pub ordinal: u64,
}

/// The base and the ordinal of each row's id, in the order of the rows in one response.
///
/// An id that comes twice keeps its base and ordinal: it is the same row to its connector.
pub fn split<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<RowId<'a>> {
    let mut known: HashMap<u128, RowId<'a>> = HashMap::new();
    // The id that the next row of a base would have.
    let mut next: HashMap<u128, RowId<'a>> = HashMap::new();
    let row_of = |id: &'a str| {
        let number = number_of(id);
        if let Some(row) = known.get(&number) {
            return *row;
        }
        let row = next.remove(&number).unwrap_or(RowId { base: id, ordinal: 0 });
        known.insert(number, row);
        let ordinal = row.ordinal + 1;
        next.insert(continued(number_of(row.base), ordinal), RowId { ordinal, ..row });
        row
    };
    ids.into_iter().map(row_of).collect()
}

/// The id of the row of this ordinal, from 0, among those that share a base.
pub fn with_ordinal(base: &str, ordinal: u64) -> String {
    match ordinal {
        0 => base.to_owned(),
        _ => format!("{:032x}", continued(number_of(base), ordinal)),
    }
}

fn number_of(id: &str) -> u128 {
    let is_hash = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let number = if is_hash { u128::from_str_radix(id, 16).ok() } else { None };
    number.unwrap_or_else(|| mixed(OFFSET, id.as_bytes()))
}

fn continued(base: u128, ordinal: u64) -> u128 {
    mixed(base, &ordinal.to_le_bytes())
}

fn mixed(hash: u128, bytes: &[u8]) -> u128 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "d228cb696f1a8caf78912b704e4a8964";
    const B: &str = "343e1662793c64bf6f0d3597ba446f18";

    /// Of three rows with the parts `a` and `bc`, as `sdk/src/row_hash.rs` has them in its tests.
    const IDS: [&str; 3] =
        ["36cc24064d83d94f708145dd58651e3b", "92841e9d4369d8cb539eaf37523e9efa", "4f0af030ab69d8c6125d5bb68ebaab19"];

    fn parts<'a>(ids: &[&'a str]) -> Vec<(&'a str, u64)> {
        split(ids.iter().copied()).into_iter().map(|row| (row.base, row.ordinal)).collect()
    }

    #[test]
    fn ids_of_a_response_are_bases_and_ordinals() {
        let [second, third] = [1, 2].map(|ordinal| with_ordinal(A, ordinal));
        let ids = [A, B, &second, &third];
        assert_eq!(parts(&ids), [(A, 0), (B, 0), (A, 1), (A, 2)]);
        for (id, (base, ordinal)) in ids.iter().zip(parts(&ids)) {
            assert_eq!(*id, with_ordinal(base, ordinal), "the id that exists is kept");
        }
    }

    #[test]
    fn ids_of_the_sdk_are_taken_apart() {
        assert_eq!(parts(&IDS), [(IDS[0], 0), (IDS[0], 1), (IDS[0], 2)]);
    }

    #[test]
    fn an_ordinal_without_those_before_it_is_a_base() {
        let [second, third] = [1, 2].map(|ordinal| with_ordinal(A, ordinal));
        assert_eq!(parts(&[&second, &third]), [(second.as_str(), 0), (third.as_str(), 0)]);
        assert_eq!(parts(&[&second, A]), [(second.as_str(), 0), (A, 0)]);
    }

    #[test]
    fn the_same_id_again_is_the_same_row() {
        let second = with_ordinal(A, 1);
        assert_eq!(parts(&[A, A, &second, A, &second]), [(A, 0), (A, 0), (A, 1), (A, 0), (A, 1)]);
    }

    #[test]
    fn any_text_can_be_a_base() {
        let (text, upper) = ("order 7/2", A.to_uppercase());
        let seconds = [text, &upper, A].map(|base| with_ordinal(base, 1));
        assert_eq!(seconds.each_ref().map(String::len), [32; 3]);
        assert!(seconds[0] != seconds[1] && seconds[1] != seconds[2], "an id with other letters is another id");
        let ids = [text, &seconds[0], &upper, &seconds[1]];
        assert_eq!(parts(&ids), [(text, 0), (text, 1), (&upper, 0), (&upper, 1)]);
    }

    /// What the host does with pages: rows of a base are numbered on over all responses of a slice.
    #[test]
    fn equal_rows_on_two_pages_get_ids_of_their_own_whatever_page_comes_first() {
        let second = with_ordinal(A, 1);
        let pages = [vec![A, second.as_str(), B], vec![A, B]];
        let ids = |order: [usize; 2]| {
            let mut before: HashMap<&str, u64> = HashMap::new();
            let mut ids = Vec::new();
            for page in order.map(|at| &pages[at]) {
                let rows = split(page.iter().copied());
                let of = |row: &RowId| before.get(row.base).copied().unwrap_or_default() + row.ordinal;
                ids.extend(rows.iter().map(|row| with_ordinal(row.base, of(row))));
                rows.iter().for_each(|row| *before.entry(row.base).or_default() += 1);
            }
            ids.sort_unstable();
            ids
        };
        let mut wanted: Vec<String> = [0, 1, 2].map(|ordinal| with_ordinal(A, ordinal)).into();
        wanted.extend([0, 1].map(|ordinal| with_ordinal(B, ordinal)));
        wanted.sort_unstable();
        assert_eq!(ids([0, 1]), wanted);
        assert_eq!(ids([1, 0]), wanted);
    }
}
