//! Identities that stay the same after any replay.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A BLAKE3 digest of bytes: names raw bodies and connectors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// BLAKE3 of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest of a value as JSON, without making the text: it may be many times as large.
    pub fn of_json(value: &impl Serialize) -> Self {
        let mut hasher = blake3::Hasher::new();
        match serde_json::to_writer(std::io::BufWriter::new(&mut hasher), value) {
            Ok(()) => Self(*hasher.finalize().as_bytes()),
            Err(_) => Self::of(&[]),
        }
    }

    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// The digest that 64 hexadecimal digits spell.
    pub fn from_hex(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text).ok().map(|hash| Self(*hash.as_bytes()))
    }

    /// The first 128 bits: enough to tell things apart, in half of the space.
    pub fn first_half(self) -> u128 {
        self.0.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
    }

    /// The first 12 hexadecimal digits, for people.
    pub fn short(self) -> String {
        self.to_hex()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("not a digest of 64 hexadecimal digits"))
    }
}

/// The stable key of a transaction: 32 hexadecimal digits of a BLAKE3 over its four names.
///
/// Each part is preceded by its length, so that no two quadruples share an input.
pub fn transaction_key(network: &str, account: &str, stream: &str, transaction_id: &str) -> String {
    key_of(&[network, account, stream, transaction_id])
}

/// The keys of one stream's transactions by their ids, as numbers: the same that [`transaction_key`] spells.
pub fn transaction_keys(network: &str, account: &str, stream: &str) -> impl FnMut(&str) -> u128 {
    let mut text = Vec::with_capacity(256);
    [network, account, stream].iter().for_each(|part| push_part(&mut text, part));
    let stream_ends = text.len();
    move |transaction_id| {
        text.truncate(stream_ends);
        push_part(&mut text, transaction_id);
        Digest::of(&text).first_half()
    }
}

/// The stable id of a request: 32 hexadecimal digits over the run, the slice it belongs to and its key there.
pub fn request_id(run_id: &str, slice_id: &str, request_key: &str) -> String {
    key_of(&[run_id, slice_id, request_key])
}

fn key_of(parts: &[&str]) -> String {
    let mut text = Vec::new();
    parts.iter().for_each(|part| push_part(&mut text, part));
    format!("{:032x}", Digest::of(&text).first_half())
}

fn push_part(text: &mut Vec<u8>, part: &str) {
    text.extend((part.len() as u64).to_le_bytes());
    text.extend(part.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(transaction_key("a", "bc", "s", "1"), transaction_key("ab", "c", "s", "1"));
    }

    #[test]
    fn keys_of_a_stream_are_those_of_its_transactions() {
        let mut keys = transaction_keys("awin", "uk", "transactions");
        for id in ["1001", "", "ä, and more than 64 bytes, so that it fills more than one block of the hash function"]
        {
            assert_eq!(format!("{:032x}", keys(id)), transaction_key("awin", "uk", "transactions", id));
        }
        assert_eq!(transaction_key("awin", "uk", "transactions", "1001"), "2388038324bd96716b78244bd9342b12");
    }

    #[test]
    fn a_digest_survives_its_text() {
        let digest = Digest::of(b"body");
        assert_eq!(Digest::from_hex(&digest.to_hex()), Some(digest));
        assert_eq!(Digest::from_hex("zz"), None);
    }
}
