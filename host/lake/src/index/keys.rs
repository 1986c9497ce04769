//! Keys of rows: hashes of 128 bits.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use parquet::bloom_filter::Sbbf;

/// Keys are hashes already.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

pub(crate) type KeyMap<V> = HashMap<u128, V, BuildHasherDefault<KeyHasher>>;
pub(crate) type KeySet = HashSet<u128, BuildHasherDefault<KeyHasher>>;

/// The first 8 of a key's 16 bytes. Keys are hashes: two of one table have the same ones as good as never.
pub(crate) fn key_prefix(key: u128) -> u64 {
    (key >> 64) as u64
}

/// How many times longer a list must be for its numbers to be looked up instead of passed over.
const LOOKED_UP: usize = 16;

/// Whether two lists of rising numbers have one in common.
pub(super) fn share_any(one: &[u64], other: &[u64]) -> bool {
    let (few, many) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    if few.len().saturating_mul(LOOKED_UP) < many.len() {
        return few.iter().any(|number| many.binary_search(number).is_ok());
    }
    let (mut at_few, mut at_many) = (0, 0);
    while at_few < few.len() && at_many < many.len() {
        let (a, b) = (few[at_few], many[at_many]);
        if a == b {
            return true;
        }
        // No branch: which is smaller can't be foreseen.
        at_few += usize::from(a < b);
        at_many += usize::from(b < a);
    }
    false
}

/// Keys as the filters of a column have them: one after another, each of the same width.
pub(crate) struct FilterKeys {
    bytes: Vec<u8>,
    width: usize,
}

impl FilterKeys {
    pub(crate) fn of(column: &str, keys: impl Iterator<Item = u128>) -> Self {
        // The only key that is kept as text is `transaction_key`.
        let text = column == "transaction_key";
        let mut bytes = Vec::new();
        for key in keys {
            if text { bytes.extend(to_hex(key)) } else { bytes.extend(key.to_be_bytes()) }
        }
        Self { bytes, width: if text { 32 } else { 16 } }
    }

    /// Whether a file with these filters may hold one of them.
    pub(crate) fn may_be_in(&self, filters: &[Sbbf]) -> bool {
        let mut keys = self.bytes.chunks_exact(self.width);
        keys.any(|key| filters.iter().any(|filter| filter.check(key)))
    }
}

/// The 32 hexadecimal digits of a key.
pub(crate) fn to_hex(key: u128) -> [u8; 32] {
    let mut text = [0; 32];
    // 16 bytes fill 32 digits.
    let _ = hex::encode_to_slice(key.to_be_bytes(), &mut text);
    text
}

/// The key that 32 hexadecimal digits spell.
pub(crate) fn parse_hex(text: &str) -> Option<u128> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lists_share_what_both_have(
            few in prop::collection::btree_set(0..60_u64, 0..8),
            many in prop::collection::btree_set(0..600_u64, 0..300),
            some in prop::collection::btree_set(0..60_u64, 0..12),
        ) {
            let lists: Vec<Vec<u64>> = [&few, &many, &some].map(|set| set.iter().copied().collect()).into();
            for (one, other, shared) in [
                (0, 1, !few.is_disjoint(&many)),
                (1, 2, !many.is_disjoint(&some)),
                (0, 2, !few.is_disjoint(&some)),
            ] {
                prop_assert_eq!(share_any(&lists[one], &lists[other]), shared);
                prop_assert_eq!(share_any(&lists[other], &lists[one]), shared);
            }
        }
    }
}
