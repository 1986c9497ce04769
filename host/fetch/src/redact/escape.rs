//! One escape: a backslash of JSON or JavaScript, a reference of XML or HTML, a byte of a URL.

use sluice_model::{begins_character_name, named_character};

/// Kinds of escapes.
pub(super) const BACKSLASH: u8 = 1;
pub(super) const REFERENCE: u8 = 2;
pub(super) const PERCENT: u8 = 4;
pub(super) const ALL: u8 = BACKSLASH | REFERENCE | PERCENT;

/// The longest escape: `&#xD83D;&#xDE00;`, two references for one character.
pub(super) const LONGEST_ESCAPE: usize = 16;
/// The longest reference: `&#x000000041;`. One with more zeros is shortened before.
const LONGEST_REFERENCE: usize = 14;

/// The next place of what may begin an escape.
pub(super) fn next_marker(text: &[u8], from: usize) -> Option<usize> {
    memchr::memchr3(b'\\', b'&', b'%', text.get(from..)?).map(|at| from + at)
}

/// An escape at the beginning of a text.
pub(super) struct Escape {
    pub(super) kind: u8,
    /// Its bytes in the text.
    pub(super) length: usize,
    utf8: [u8; 4],
    utf8_length: usize,
}

impl Escape {
    /// The escape that a text begins with.
    pub(super) fn at(text: &[u8]) -> Option<Self> {
        match text.first()? {
            b'\\' => Self::backslash(text),
            b'&' => Self::reference(text),
            _ => Some(Self::byte(PERCENT, 3, hexadecimal(text.get(1..3)?)? as u8)),
        }
    }

    /// The character that it stands for, in UTF-8.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.utf8[..self.utf8_length]
    }

    fn byte(kind: u8, length: usize, byte: u8) -> Self {
        Self { kind, length, utf8: [byte, 0, 0, 0], utf8_length: 1 }
    }

    fn character(kind: u8, length: usize, c: char) -> Self {
        let mut utf8 = [0; 4];
        let utf8_length = c.encode_utf8(&mut utf8).len();
        Self { kind, length, utf8, utf8_length }
    }

    /// RFC 8259 section 7, and JavaScript's `\xHH`. Any other character stands for itself.
    fn backslash(text: &[u8]) -> Option<Self> {
        let byte = match text.get(1)? {
            b'u' => return Self::utf16(text),
            b'x' => hexadecimal(text.get(2..4)?)? as u8,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            other if other.is_ascii_punctuation() => *other,
            _ => return None,
        };
        Some(Self::byte(BACKSLASH, if text[1] == b'x' { 4 } else { 2 }, byte))
    }

    /// `\uXXXX`, or two of them for a character beyond the first 65,536.
    fn utf16(text: &[u8]) -> Option<Self> {
        let unit = |from: usize| hexadecimal(text.get(from..from + 4)?);
        let first = unit(2)?;
        if let Some(c) = char::from_u32(first) {
            return Some(Self::character(BACKSLASH, 6, c));
        }
        let second = text.get(6..8).filter(|escape| *escape == b"\\u").and_then(|_| unit(8))?;
        let c = surrogate_pair(first, second)?;
        Some(Self::character(BACKSLASH, 12, c))
    }

    /// `&#65;`, `&#x41;`, two of them for the halves of a surrogate pair, and the names of HTML.
    fn reference(text: &[u8]) -> Option<Self> {
        let (name, length) = reference_name(text)?;
        let Some(number) = name.strip_prefix(b"#") else {
            let ascii = NAMED.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, c)| char::from(*c));
            let c = ascii.or_else(|| named_character(std::str::from_utf8(name).ok()?))?;
            return Some(Self::character(REFERENCE, length, c));
        };
        let first = reference_number(number)?;
        if let Some(c) = char::from_u32(first) {
            return Some(Self::character(REFERENCE, length, c));
        }
        let (name, more) = text.get(length..).filter(|rest| rest.starts_with(b"&")).and_then(reference_name)?;
        let second = reference_number(name.strip_prefix(b"#")?)?;
        let c = surrogate_pair(first, second)?;
        Some(Self::character(REFERENCE, length + more, c))
    }
}

/// The name of a reference at the beginning of a text, and the reference's length.
fn reference_name(text: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr::memchr(b';', text.get(..text.len().min(LONGEST_REFERENCE))?)?;
    Some((text.get(1..end)?, end + 1))
}

fn reference_number(number: &[u8]) -> Option<u32> {
    let (digits, radix) = match number {
        [b'x' | b'X', digits @ ..] => (digits, 16),
        digits => (digits, 10),
    };
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

fn surrogate_pair(first: u32, second: u32) -> Option<char> {
    let pair = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    char::decode_utf16(pair).next()?.ok()
}

/// Whether a reference may begin with `&` and this.
pub(super) fn begins_reference(start: &[u8]) -> bool {
    let names = || std::str::from_utf8(start).is_ok_and(begins_character_name);
    matches!(start, [] | [b'#', ..]) || NAMED.iter().any(|(name, _)| name.as_bytes().starts_with(start)) || names()
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(16 * value + char::from(*digit).to_digit(16)?))
}

/// The names of ASCII characters (HTML, section 13.5).
const NAMED: [(&str, u8); 36] = [
    ("amp", b'&'),
    ("lt", b'<'),
    ("gt", b'>'),
    ("quot", b'"'),
    ("apos", b'\''),
    ("AMP", b'&'),
    ("LT", b'<'),
    ("GT", b'>'),
    ("QUOT", b'"'),
    ("excl", b'!'),
    ("num", b'#'),
    ("dollar", b'$'),
    ("percnt", b'%'),
    ("lpar", b'('),
    ("rpar", b')'),
    ("ast", b'*'),
    ("plus", b'+'),
    ("comma", b','),
    ("period", b'.'),
    ("sol", b'/'),
    ("colon", b':'),
    ("semi", b';'),
    ("equals", b'='),
    ("quest", b'?'),
    ("commat", b'@'),
    ("lsqb", b'['),
    ("lbrack", b'['),
    ("bsol", b'\\'),
    ("rsqb", b']'),
    ("rbrack", b']'),
    ("Hat", b'^'),
    ("lowbar", b'_'),
    ("grave", b'`'),
    ("lcub", b'{'),
    ("verbar", b'|'),
    ("rcub", b'}'),
];
