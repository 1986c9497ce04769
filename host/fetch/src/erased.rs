//! Values that were erased: found in a text by keyed digests of its tokens, and replaced by stand-ins.
//!
//! A *token* is what stands between two delimiters: a run of letters, digits, `-`, `_`, `.`, `+`, `@`, `~` and of all that isn't
//! ASCII. A value is found where it is one or more whole tokens, so `12` isn't found in `1234.12`, nor `M1` in `M1_s5`; in
//! `M1|s5` it is. Escapes of JSON, XML and URLs are resolved up to three times, as [`crate::redact`] does.
//!
//! Who holds the digests and their key can test a guess, and can't read a value from them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use chrono::NaiveDate;
use hmac::{Hmac, Mac};
use rand::Rng;
use sha2::Sha256;
use sluice_model::Secret;

use crate::redact::{in_all_escapes, is_escape};

/// Letters of a stand-in.
const LETTERS: usize = 16;
/// What a stand-in begins with.
const PREFIX: &str = "erased-";
/// The bounds of stand-ins of numbers: 15 digits, which a double holds exactly, and far above the ids of people.
const NUMBERS: Range<u64> = 900_000_000_000_000..1_000_000_000_000_000;
/// Digits by which a stand-in is longer if its number has more than 64 bits.
const MORE_DIGITS: usize = 6;
/// The fewest bytes of a value: shorter ones are words, statuses and amounts.
const MIN_BYTES: usize = 4;
/// The fewest bytes of a value of digits.
const MIN_DIGITS: usize = 5;
/// The most bytes of a value.
const MAX_BYTES: usize = 500;

/// A value that was erased, by its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasedValue {
    /// HMAC-SHA256 of the value in hexadecimal.
    pub digest: String,
    /// Its bytes.
    pub bytes: usize,
    /// How many tokens it has: so many in a row are hashed together.
    pub tokens: usize,
    /// Whether it is of digits only: it may also stand for an amount.
    pub is_number: bool,
    /// Whether it has both letters and digits: it is no amount, no status and no name of a shop.
    pub is_distinctive: bool,
    /// What is there instead of it.
    pub stand_in: String,
}

/// Why a value can't be erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unerasable {
    /// It is too short: it would be found in what has nothing to do with it.
    Short,
    /// It is too long.
    Long,
    /// It begins or ends with a character that no token has.
    Edges,
    /// It is a stand-in: what was erased before isn't erased again.
    StandIn,
    /// It is an amount or a date.
    Amount,
}

impl fmt::Display for Unerasable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => write!(
                f,
                "it has fewer than {MIN_BYTES} characters, or fewer than {MIN_DIGITS} digits and nothing else"
            ),
            Self::Long => write!(f, "it has more than {MAX_BYTES} bytes"),
            Self::Edges => f.write_str("it begins or ends with a character that separates values"),
            Self::Amount => f.write_str("it is an amount or a date"),
            Self::StandIn => f.write_str("it is what an erasure put in the place of a value"),
        }
    }
}

/// Values that were erased, and the key of their digests. Cheap to search for: a token is hashed only if it is as long as a value.
#[derive(Clone)]
pub struct Erased {
    key: Secret,
    values: Vec<ErasedValue>,
}

impl Default for Erased {
    /// No values.
    fn default() -> Self {
        Self::new(Secret::new(String::new()), Vec::new())
    }
}

impl fmt::Debug for Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Erased").field("values", &self.values.len()).finish_non_exhaustive()
    }
}

/// A value in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Occurrence {
    range: Range<usize>,
    /// Its place among the values.
    value: usize,
}

impl Erased {
    /// Values under a key: a random text.
    pub fn new(key: Secret, values: Vec<ErasedValue>) -> Self {
        Self { key, values }
    }

    /// Other values under the same key.
    #[must_use]
    pub fn of(&self, values: Vec<ErasedValue>) -> Self {
        let mut erased = Self { key: self.key.clone(), values: Vec::new() };
        values.into_iter().for_each(|value| erased.add(value));
        erased
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// In the order in which they were added, each digest once.
    pub fn values(&self) -> &[ErasedValue] {
        &self.values
    }

    /// Only the values that can be no amount.
    #[must_use]
    pub fn without_numbers(&self) -> Self {
        self.of(self.values.iter().filter(|value| !value.is_number).cloned().collect())
    }

    /// Only the values that can be amounts.
    #[must_use]
    pub fn numbers(&self) -> Self {
        self.of(self.values.iter().filter(|value| value.is_number).cloned().collect())
    }

    /// Only the values that can be nothing but identifiers.
    #[must_use]
    pub fn distinctive(&self) -> Self {
        self.of(self.values.iter().filter(|value| value.is_distinctive).cloned().collect())
    }

    /// A value with its digest and a stand-in: the one that it has, or a random one.
    ///
    /// # Errors
    /// A value that would be found where it isn't meant.
    pub fn value(&self, value: &str) -> Result<ErasedValue, Unerasable> {
        let bytes = value.as_bytes();
        let is_number = bytes.iter().all(u8::is_ascii_digit);
        if value.starts_with(PREFIX) || self.values.iter().any(|known| known.stand_in == value) {
            return Err(Unerasable::StandIn);
        }
        if bytes.len() < if is_number { MIN_DIGITS } else { MIN_BYTES } {
            return Err(Unerasable::Short);
        }
        if bytes.len() > MAX_BYTES {
            return Err(Unerasable::Long);
        }
        if !bytes.first().is_some_and(|byte| is_token(*byte)) || !bytes.last().is_some_and(|byte| is_token(*byte)) {
            return Err(Unerasable::Edges);
        }
        if !is_number && (value.parse::<f64>().is_ok() || value.parse::<NaiveDate>().is_ok()) {
            return Err(Unerasable::Amount);
        }
        let digest = self.digest(bytes);
        if let Some(known) = self.values.iter().find(|known| known.digest == digest) {
            return Ok(known.clone());
        }
        let tokens = tokens(bytes).len();
        let is_distinctive = value.contains(|c: char| c.is_ascii_digit()) && value.contains(char::is_alphabetic);
        Ok(ErasedValue { digest, bytes: bytes.len(), tokens, is_number, is_distinctive, stand_in: stand_in(value) })
    }

    /// Adds a value, unless one of the same digest is there.
    pub fn add(&mut self, value: ErasedValue) {
        if !self.values.iter().any(|known| known.digest == value.digest) {
            self.values.push(value);
        }
    }

    /// The digests of the values that stand in a text.
    pub fn digests_in(&self, text: &[u8]) -> BTreeSet<String> {
        self.places(text).into_iter().map(|place| self.values[place.value].digest.clone()).collect()
    }

    /// How often values stand in a text.
    pub fn count(&self, text: &[u8]) -> usize {
        self.places(text).len()
    }

    /// A text with stand-ins; none if no value stands in it.
    pub fn replaced(&self, text: &[u8]) -> Option<Vec<u8>> {
        self.replaced_where(text, |_| true)
    }

    /// The same at those places, counted from 0, that are `wanted`.
    pub fn replaced_where(&self, text: &[u8], wanted: impl Fn(usize) -> bool) -> Option<Vec<u8>> {
        let places = self.places(text);
        let places: Vec<&Occurrence> =
            places.iter().enumerate().filter(|(at, _)| wanted(*at)).map(|(_, place)| place).collect();
        places.first()?;
        let mut replaced = Vec::with_capacity(text.len());
        let mut copied = 0;
        for Occurrence { range, value } in places {
            replaced.extend_from_slice(&text[copied..range.start]);
            replaced.extend_from_slice(self.values[*value].stand_in.as_bytes());
            copied = range.end;
        }
        replaced.extend_from_slice(&text[copied..]);
        Some(replaced)
    }

    /// A text with stand-ins; none if no value stands in it.
    pub fn replaced_text(&self, text: &str) -> Option<String> {
        let replaced = self.replaced(text.as_bytes())?;
        Some(String::from_utf8_lossy(&replaced).into_owned())
    }

    fn digest(&self, value: &[u8]) -> String {
        // HMAC takes keys of any length.
        let mac = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes());
        mac.map(|mac| hex::encode(mac.chain_update(value).finalize().into_bytes())).unwrap_or_default()
    }

    /// The places of values, in order, without overlaps.
    fn places(&self, text: &[u8]) -> Vec<Occurrence> {
        let shortest = self.values.iter().map(|value| value.bytes).min().unwrap_or(usize::MAX);
        if text.len() < shortest {
            return Vec::new();
        }
        let mut places: Vec<Occurrence> = Vec::new();
        in_all_escapes(text, |text, is_last, source| {
            for found in self.in_text(text, is_last) {
                places.push(Occurrence { range: source(found.range), ..found });
            }
        });
        places.sort_by_key(|place| (place.range.start, std::cmp::Reverse(place.range.end)));
        let mut end = 0;
        places.retain(|place| {
            let is_free = place.range.start >= end;
            if is_free {
                end = place.range.end;
            }
            is_free
        });
        places
    }

    /// The places of values in a text as it is. Before the last round, one that an escape follows isn't known to be whole.
    fn in_text(&self, text: &[u8], is_last: bool) -> Vec<Occurrence> {
        let tokens = tokens(text);
        let mut places = Vec::new();
        for (first, token) in tokens.iter().enumerate() {
            for (value, known) in self.values.iter().enumerate() {
                let Some(last) = tokens.get(first + known.tokens - 1) else { continue };
                let range = token.start..last.end;
                let Some(candidate) = unquoted(&text[range.clone()], known.bytes) else { continue };
                if !is_last && is_escape(&text[range.end..]) {
                    continue;
                }
                if self.digest(&candidate) == known.digest {
                    places.push(Occurrence { range, value });
                    break;
                }
            }
        }
        places
    }
}

/// A response's headers as they describe another body of these bytes, which isn't encoded.
pub fn replaced_headers(headers: &[(String, String)], bytes: u64) -> Vec<(String, String)> {
    let described = headers.iter().filter(|(name, _)| name != "content-encoding");
    described
        .map(|(name, value)| match name.as_str() {
            "content-length" => (name.clone(), bytes.to_string()),
            _ => (name.clone(), value.clone()),
        })
        .collect()
}

/// A text of these bytes: as it stands, or with its quotes doubled as in CSV. None if it is longer or shorter.
fn unquoted(text: &[u8], bytes: usize) -> Option<Cow<'_, [u8]>> {
    if text.len() == bytes {
        return Some(Cow::Borrowed(text));
    }
    let doubled = text.windows(2).filter(|pair| pair == b"\"\"").count();
    if doubled == 0 || text.len() < bytes || text.len() > bytes + doubled {
        return None;
    }
    let mut single = Vec::with_capacity(bytes);
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        single.push(*byte);
        rest = if *byte == b'"' { after.strip_prefix(b"\"").unwrap_or(after) } else { after };
    }
    (single.len() == bytes).then_some(Cow::Owned(single))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b"-_.+@~".contains(&byte)
}

fn tokens(text: &[u8]) -> Vec<Range<usize>> {
    let mut tokens = Vec::new();
    let mut start = None;
    for (at, byte) in text.iter().enumerate() {
        match (is_token(*byte), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                tokens.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    tokens.extend(start.map(|from| from..text.len()));
    tokens
}

/// A random text. One for digits has digits, as many zeros before them, and as many that it is a number where the value is one:
/// a column of numbers holds it, and one of texts where it held the value.
fn stand_in(value: &str) -> String {
    let mut random = rand::rng();
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        let zero = if value.starts_with('0') { "0" } else { "" };
        let more = if value.parse::<i64>().is_err() { MORE_DIGITS } else { 0 };
        let more: String = (0..more).map(|_| char::from(random.random_range(b'0'..=b'9'))).collect();
        return format!("{zero}{}{more}", random.random_range(NUMBERS));
    }
    let letters: String = (0..LETTERS).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect();
    format!("{PREFIX}{letters}")
}

#[cfg(test)]
mod tests;
