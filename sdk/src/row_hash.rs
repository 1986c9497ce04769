//! Ids for rows to which the network gives none.

use std::collections::BTreeMap;

/// FNV-1a of 128 bits: <http://www.isthe.com/chongo/tech/comp/fnv/>. It has to tell rows apart, not to be safe from
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
            // No text holds this byte, so it tells where a part ends.
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

    #[test]
    fn rows_are_told_apart_by_their_parts_and_their_number() {
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

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(mixed(OFFSET, b""), OFFSET);
        assert_eq!(mixed(OFFSET, b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(mixed(OFFSET, b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }
}
