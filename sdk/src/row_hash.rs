//! Ids for rows to which the network gives none.
//!
//! # Format
//! An id is 32 lower-case hexadecimal digits of a 128-bit FNV-1a hash. The *base* is the hash of the row's parts, each
//! ended by the byte `ff`; it is the id of the first row of these parts in a response (ordinal 0). The row of ordinal
//! n > 0 has the base, continued with n as 8 little-endian bytes. Ordinals of a base come in rising order, so the host
//! takes ids apart again by their order in the response and numbers equal rows on over all responses of a slice: a
//! connector sees one response only, and two equal rows on two pages have the same id until then. The host's side is
//! `sluice_model::row_hash`; what stands here is stored for ever, in both.

use std::collections::BTreeMap;

/// FNV-1a of 128 bits: <http://www.isthe.com/chongo/tech/comp/fnv/>. It has to distinguish rows, not to resist
/// whoever makes them: a network that wants two rows to be one can just send one.
const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// How many rows of a response had which hash.
#[derive(Default)]
pub(crate) struct RowHashes(BTreeMap<u128, u64>);

impl RowHashes {
    /// The id of a row by its parts: 32 hex digits, and for the second row of the same parts another.
    pub(crate) fn next(&mut self, parts: &[&str]) -> String {
        let of_parts = parts.iter().fold(OFFSET, |hash, part| {
            // No text holds this byte, so it marks where a part ends.
            mixed(mixed(hash, part.as_bytes()), &[0xff])
        });
        let count = self.0.entry(of_parts).or_default();
        let of_row = match *count {
            0 => of_parts,
            repeated => mixed(of_parts, &repeated.to_le_bytes()),
        };
        *count += 1;
        format!("{of_row:032x}")
    }
}

fn mixed(hash: u128, bytes: &[u8]) -> u128 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of three rows with the parts `a` and `bc`.
    const IDS: [&str; 3] =
        ["36cc24064d83d94f708145dd58651e3b", "92841e9d4369d8cb539eaf37523e9efa", "4f0af030ab69d8c6125d5bb68ebaab19"];

    #[test]
    fn rows_differ_by_their_parts_and_their_number() {
        let mut rows = RowHashes::default();
        let first = rows.next(&["a", "bc"]);
        assert_eq!(first.len(), 32);
        assert_ne!(first, rows.next(&["ab", "c"]));
        let second = rows.next(&["a", "bc"]);
        assert_ne!(first, second);
        assert_ne!(second, rows.next(&["a", "bc"]));
        // Another response that has the same rows gives the same ids.
        let mut again = RowHashes::default();
        assert_eq!([again.next(&["a", "bc"]), again.next(&["a", "bc"])], [first, second]);
    }

    /// The host's `sluice_model::row_hash` has the same ids in its tests.
    #[test]
    fn the_format_is_as_the_host_reads_it() {
        let mut rows = RowHashes::default();
        let ids = [(); 3].map(|()| rows.next(&["a", "bc"]));
        assert_eq!(ids, IDS);
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(mixed(OFFSET, b""), OFFSET);
        assert_eq!(mixed(OFFSET, b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(mixed(OFFSET, b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }
}
