//! Finds values in a text after its escapes are resolved: a network may write any character of a secret as an escape.
//!
//! JSON's and JavaScript's backslashes, the character references of XML and HTML, and the percent-encoding of URLs are
//! resolved together, and up to three times: texts are nested, such as a URL in a JSON string in a JSON string. A value
//! that itself holds an escape would be resolved with them, so for it the kinds are resolved one by one as well.

use std::ops::Range;

use super::candidates::{Pairs, areas};

/// Kinds of escapes.
const BACKSLASH: u8 = 1;
const REFERENCE: u8 = 2;
const PERCENT: u8 = 4;
const ALL: u8 = BACKSLASH | REFERENCE | PERCENT;
/// The kinds that are resolved in each round. The first plan is enough for values that hold nothing that may be taken for
/// an escape.
const PLANS: [[u8; 3]; 7] = [
    [ALL, ALL, ALL],
    [BACKSLASH, REFERENCE, PERCENT],
    [BACKSLASH, PERCENT, REFERENCE],
    [REFERENCE, BACKSLASH, PERCENT],
    [REFERENCE, PERCENT, BACKSLASH],
    [PERCENT, BACKSLASH, REFERENCE],
    [PERCENT, REFERENCE, BACKSLASH],
];
/// The text is resolved in parts of this size, so that a large one needs no second copy of it.
const PART_BYTES: usize = 1 << 20;
/// The most bytes for which one byte of a value can stand in the text, over all rounds: `&#x000041;` whose characters are
/// escaped again is longer, and isn't found.
const BYTES_PER_BYTE: usize = 36;

/// The longest escape: `&#x000000041;`, or two of `\uXXXX`.
pub(super) const LONGEST_ESCAPE: usize = 14;

/// What the forms that are searched are like.
#[derive(Clone, Copy)]
pub(super) struct Sought<'a> {
    /// Bytes of the longest one.
    pub(super) longest: usize,
    /// Whether one may hold what begins an escape.
    pub(super) ambiguous: bool,
    /// Which bytes stand side by side in them.
    pub(super) pairs: &'a Pairs,
}

/// The places in `text` at which `find` finds something after escapes are resolved: sorted and without overlaps.
pub(super) fn in_escapes(
    text: &[u8],
    sought: &Sought<'_>,
    find: impl Fn(&[u8]) -> Vec<Range<usize>>,
) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let overlap = sought.longest * BYTES_PER_BYTE;
    let part = PART_BYTES.max(4 * overlap);
    let plans = &PLANS[..if sought.ambiguous { PLANS.len() } else { 1 }];
    for area in areas(text, sought, overlap) {
        let mut start = area.start;
        loop {
            let end = area.end.min(start + part);
            for plan in plans {
                for place in in_part(&text[start..end], plan, &find) {
                    places.push(start + place.start..start + place.end);
                }
            }
            if end == area.end {
                break;
            }
            start = end - overlap;
        }
    }
    merged(places)
}

/// How many bytes at the end of a text that was cut may be the start of what `partial` knows, as they are or after escapes
/// are resolved;
/// an escape that was cut is one of them. `partial` says how many bytes at the end of a text may be a start.
pub(super) fn partial_in_escapes(text: &[u8], longest: usize, partial: impl Fn(&[u8]) -> usize) -> usize {
    let tail = &text[text.len().saturating_sub(longest * BYTES_PER_BYTE)..];
    let cut = tail.len() - cut_escape(tail);
    let (tail, cut) = (&tail[..cut], tail.len() - cut);
    let mut rounds: Vec<Resolved> = Vec::new();
    let mut most = partial(tail);
    for kinds in PLANS[0] {
        let Some(next) = resolve(rounds.last().map_or(tail, |last| &last.text), kinds) else { break };
        let end = next.text.len();
        let bytes = partial(&next.text);
        rounds.push(next);
        if bytes > 0 {
            let place = rounds.iter().rev().fold(end - bytes..end, |place, round| round.source(place));
            most = most.max(tail.len() - place.start);
        }
    }
    cut + most
}

/// How many bytes at the end of a text are an escape that isn't complete.
fn cut_escape(text: &[u8]) -> usize {
    let end = &text[text.len().saturating_sub(LONGEST_ESCAPE)..];
    let cut = (0..end.len()).find(|at| {
        matches!(end[*at], b'\\' | b'&' | b'%')
            && Escape::at(&end[*at..]).is_none()
            && end[at + 1..].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'#' | b'\\'))
    });
    cut.map_or(0, |at| end.len() - at)
}

/// A text with its escapes resolved once; none if it has no escapes.
pub(super) fn resolved(text: &[u8]) -> Option<Vec<u8>> {
    resolve(text, ALL).map(|resolved| resolved.text)
}

fn in_part(text: &[u8], plan: &[u8], find: &impl Fn(&[u8]) -> Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut rounds: Vec<Resolved> = Vec::new();
    let mut places = Vec::new();
    for kinds in plan {
        if let Some(next) = resolve(rounds.last().map_or(text, |last| &last.text), *kinds) {
            let found = find(&next.text);
            rounds.push(next);
            let source = |place| rounds.iter().rev().fold(place, |place, round| round.source(place));
            places.extend(found.into_iter().map(source));
        }
    }
    places
}

fn merged(mut places: Vec<Range<usize>>) -> Vec<Range<usize>> {
    places.sort_unstable_by_key(|place| (place.start, place.end));
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(places.len());
    for place in places {
        match merged.last_mut() {
            Some(last) if place.start < last.end => last.end = last.end.max(place.end),
            _ => merged.push(place),
        }
    }
    merged
}

/// A text without its escapes.
struct Resolved {
    text: Vec<u8>,
    /// Its pieces in order: copied ones and resolved escapes alternate as they come.
    pieces: Vec<Piece>,
}

/// A piece of a resolved text: up to the next one's beginning.
struct Piece {
    at: usize,
    /// Where it was in the text before.
    source: Range<usize>,
    is_escape: bool,
}

impl Resolved {
    /// Where a place was before. An escape counts as a whole.
    fn source(&self, place: Range<usize>) -> Range<usize> {
        let piece = |at: usize| {
            let after = self.pieces.partition_point(|piece| piece.at <= at);
            self.pieces.get(after.saturating_sub(1))
        };
        let start = piece(place.start).map_or(0, |piece| match piece.is_escape {
            true => piece.source.start,
            false => piece.source.start + (place.start - piece.at),
        });
        let last = place.end.saturating_sub(1);
        let end = piece(last).map_or(start, |piece| match piece.is_escape {
            true => piece.source.end,
            false => piece.source.start + (place.end - piece.at),
        });
        start..end
    }

    fn push(&mut self, bytes: &[u8], source: Range<usize>, is_escape: bool) {
        if !bytes.is_empty() {
            self.pieces.push(Piece { at: self.text.len(), source, is_escape });
            self.text.extend_from_slice(bytes);
        }
    }
}

/// Whether a value may be taken for an escape, or for the beginning of one, where it stands in a text.
///
/// 1. After a backslash an escape of the value's next character may stand, which begins with a backslash or another sign:
///    two backslashes are an escape.
/// 2. After `%` and `&` no escape can stand within an escape: what makes one are characters of the value as they are, and
///    those after the value.
pub(super) fn is_ambiguous(value: &[u8]) -> bool {
    std::iter::successors(next_marker(value, 0), |at| next_marker(value, at + 1)).any(|at| {
        let rest = &value[at + 1..];
        match value[at] {
            b'&' if rest.contains(&b';') => Escape::at(&value[at..]).is_some(),
            b'&' => matches!(rest, [] | [b'#', ..]) || NAMED.iter().any(|(name, _)| name.as_bytes().starts_with(rest)),
            b'%' => rest.iter().take(2).all(u8::is_ascii_hexdigit),
            _ => true,
        }
    })
}

/// Resolves each escape of these kinds once; none if there are none.
fn resolve(text: &[u8], kinds: u8) -> Option<Resolved> {
    let mut resolved = Resolved { text: Vec::new(), pieces: Vec::new() };
    let (mut copied, mut from) = (0, 0);
    while let Some(at) = next_marker(text, from) {
        let Some(escape) = Escape::at(&text[at..]).filter(|escape| escape.kind & kinds != 0) else {
            from = at + 1;
            continue;
        };
        if resolved.pieces.is_empty() {
            resolved.text.reserve(text.len());
        }
        resolved.push(&text[copied..at], copied..at, false);
        let end = at + escape.length;
        resolved.push(escape.bytes(), at..end, true);
        (copied, from) = (end, end);
    }
    if copied == 0 {
        return None;
    }
    resolved.push(&text[copied..], copied..text.len(), false);
    Some(resolved)
}

/// The next place of what may begin an escape.
pub(super) fn next_marker(text: &[u8], from: usize) -> Option<usize> {
    memchr::memchr3(b'\\', b'&', b'%', text.get(from..)?).map(|at| from + at)
}

/// An escape at the beginning of a text.
pub(super) struct Escape {
    kind: u8,
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
        let pair = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
        let c = char::decode_utf16(pair).next()?.ok()?;
        Some(Self::character(BACKSLASH, 12, c))
    }

    /// `&#65;`, `&#x41;` and the names of ASCII characters in HTML.
    fn reference(text: &[u8]) -> Option<Self> {
        let end = memchr::memchr(b';', text.get(..text.len().min(LONGEST_ESCAPE))?)?;
        let name = text.get(1..end)?;
        let number = |digits: &[u8], radix| {
            let digits = std::str::from_utf8(digits).ok()?;
            char::from_u32(u32::from_str_radix(digits, radix).ok()?)
        };
        let c = match name {
            [b'#', b'x' | b'X', digits @ ..] => number(digits, 16)?,
            [b'#', digits @ ..] => number(digits, 10)?,
            name => {
                let (_, c) = NAMED.iter().find(|(known, _)| known.as_bytes() == name)?;
                char::from(*c)
            }
        };
        Some(Self::character(REFERENCE, end + 1, c))
    }
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
