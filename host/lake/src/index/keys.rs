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
