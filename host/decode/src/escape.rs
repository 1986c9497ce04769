//! Escapes in strings of JSON.

use super::notes::{NoteKind, NoteSet};
use super::scan::{ScanError, Scanner, Text};

/// What an escape means, and how long it is.
pub(super) struct Escape {
    character: char,
    pub(super) length: usize,
    pub(super) odd: Option<NoteKind>,
}

impl Escape {
    /// Half of a surrogate pair.
    const LONE: Self = Self { character: char::REPLACEMENT_CHARACTER, length: 6, odd: Some(NoteKind::LoneSurrogate) };
    /// A backslash that is one.
    const BAD: Self = Self { character: '\\', length: 1, odd: Some(NoteKind::BadEscape) };
}

impl Scanner<'_> {
    /// What the escape here means.
    #[cold]
    pub(super) fn escape(&self) -> Result<Escape, ScanError> {
        let character = match self.body.get(self.at + 1).ok_or(ScanError::End)? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Ok(Escape::BAD),
        };
        Ok(Escape { character, length: 2, odd: None })
    }

    fn unicode_escape(&self) -> Result<Escape, ScanError> {
        let Some(first) = self.hex(self.at + 2)? else { return Ok(Escape::BAD) };
        if let Some(character) = char::from_u32(first) {
            return Ok(Escape { character, length: 6, odd: None });
        }
        for (at, want) in [(6, b'\\'), (7, b'u')] {
            match self.body.get(self.at + at) {
                Some(byte) if *byte == want => {}
                Some(_) => return Ok(Escape::LONE),
                None => return Err(ScanError::End),
            }
        }
        let second = match (first, self.hex(self.at + 8)?) {
            (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) => second,
            _ => return Ok(Escape::LONE),
        };
        let character = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
        Ok(character.map_or(Escape::LONE, |character| Escape { character, length: 12, odd: None }))
    }

    /// The number that four hexadecimal digits give, if there are four.
    fn hex(&self, at: usize) -> Result<Option<u32>, ScanError> {
        let mut code = 0;
        for at in at..at + 4 {
            match char::from(*self.body.get(at).ok_or(ScanError::End)?).to_digit(16) {
                Some(digit) => code = code * 16 + digit,
                None => return Ok(None),
            }
        }
        Ok(Some(code))
    }

    /// The text of a string that was taken, its escapes resolved, in `buffer`.
    #[cold]
    pub(super) fn unescape(&self, text: &Text, buffer: &mut Vec<u8>) {
        buffer.clear();
        let mut inner = Scanner { body: self.body, at: text.span.start, odd: NoteSet::default() };
        while inner.at < text.span.end {
            let special = inner.find_special(inner.at).min(text.span.end);
            buffer.extend_from_slice(&inner.body[inner.at..special]);
            inner.at = special;
            match inner.body.get(special) {
                Some(b'\\') if special < text.span.end => {
                    // The string was checked when it was taken.
                    let Ok(escape) = inner.escape() else { break };
                    buffer.extend_from_slice(escape.character.encode_utf8(&mut [0; 4]).as_bytes());
                    inner.at += escape.length;
                }
                Some(control) if special < text.span.end => {
                    buffer.push(*control);
                    inner.at += 1;
                }
                _ => break,
            }
        }
    }
}
