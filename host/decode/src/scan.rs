//! A JSON scanner: spans of a body, no values.
//!
//! It checks the grammar (RFC 8259), but not that strings are UTF-8: the caller checks the spans that it keeps.
//! What is often met and has one meaning all the same is taken, and kept in [`Scanner::odd`]: halves of surrogate
//! pairs, control characters and unknown escapes in strings, `NaN` and `Infinity`, NULs behind the end. All of that is
//! seen where plain JSON would be an error, so that plain JSON pays nothing for it.

use std::ops::Range;

use super::MAX_DEPTH;
use super::charset::mark_length;
use super::notes::{NoteKind, NoteSet};

/// Why scanning stopped at [`Scanner::at`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ScanError {
    /// The end of the body.
    End,
    /// It isn't JSON.
    Bad(&'static str),
}

/// A string's span between its quotes.
pub(super) struct Text {
    pub(super) span: Range<usize>,
    /// It has escapes, or something odd.
    pub(super) escaped: bool,
}

/// A number's span, and how it is written.
pub(super) struct Number {
    pub(super) span: Range<usize>,
    pub(super) integer: bool,
    pub(super) exponent: bool,
}

/// A place in a body.
pub(super) struct Scanner<'a> {
    pub(super) body: &'a [u8],
    pub(super) at: usize,
    /// What was odd in what was taken since this was emptied.
    pub(super) odd: NoteSet,
}

impl<'a> Scanner<'a> {
    /// Starts behind byte-order marks, if there are any.
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { body, at: mark_length(body), odd: NoteSet::default() }
    }

    /// Passes over a byte-order mark here: files with one each are joined.
    #[inline]
    pub(super) fn skip_mark(&mut self) {
        if self.body.get(self.at) == Some(&0xef) {
            self.at += mark_length(self.body.get(self.at..).unwrap_or_default());
        }
    }

    /// The next byte that isn't white space, not taken.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<u8, ScanError> {
        loop {
            match self.body.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(ScanError::End),
            }
        }
    }

    /// Whether nothing but white space and padding is left.
    #[inline]
    pub(super) fn is_over(&mut self) -> bool {
        match self.peek() {
            Err(_) => true,
            Ok(0 | 0x1a) => self.is_padding(),
            Ok(_) => false,
        }
    }

    /// Enters an object or array, and returns whether it has a member.
    #[inline]
    pub(super) fn enter(&mut self, close: u8) -> Result<bool, ScanError> {
        self.at += 1;
        let empty = self.peek()? == close;
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// Skips a member, and returns whether another one follows.
    #[inline]
    pub(super) fn more(&mut self, close: u8) -> Result<bool, ScanError> {
        match self.peek()? {
            b',' => {
                self.at += 1;
                Ok(true)
            }
            byte if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(ScanError::Bad("expected a comma or the end of an object or array")),
        }
    }

    /// Takes `"name":` if exactly that follows.
    #[inline]
    pub(super) fn take_name(&mut self, name: &str) -> bool {
        let Some(rest) = self.body.get(self.at..) else { return false };
        let taken = match rest.strip_prefix(b"\"") {
            Some(rest) => rest.starts_with(name.as_bytes()) && rest[name.len()..].starts_with(b"\":"),
            None => false,
        };
        if taken {
            self.at += name.len() + 3;
        }
        taken
    }

    /// Takes a member's name and the colon.
    pub(super) fn name(&mut self) -> Result<Text, ScanError> {
        if self.peek()? != b'"' {
            return Err(ScanError::Bad("expected a name in quotes"));
        }
        let name = self.string()?;
        if self.peek()? != b':' {
            return Err(ScanError::Bad("expected a colon"));
        }
        self.at += 1;
        Ok(name)
    }

    /// Takes a string, from its quote on.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text, ScanError> {
        let start = self.at + 1;
        let (mut at, mut escaped) = (start, false);
        loop {
            at = self.find_special(at);
            match self.body.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Text { span: start..at, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at = at;
                    let escape = self.escape()?;
                    at += escape.length;
                    if let Some(kind) = escape.odd {
                        self.odd.insert(kind);
                    }
                }
                Some(control) => {
                    // Marked as escaped, so that the caller checks it for what is odd.
                    escaped = true;
                    self.odd.insert(if *control == 0 { NoteKind::Nul } else { NoteKind::Control });
                    at += 1;
                }
                None => {
                    self.at = at;
                    return Err(ScanError::End);
                }
            }
        }
    }

    /// Where, from `at` on, the next quote, backslash or control character is, or the end.
    #[inline]
    pub(super) fn find_special(&self, mut at: usize) -> usize {
        const ONES: u64 = u64::from_le_bytes([1; 8]);
        const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
        // Eight bytes at a time: the lowest byte that is marked is one (those above it may not be).
        while let Some(chunk) = self.body.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*chunk);
            let quote = word ^ (ONES * u64::from(b'"'));
            let backslash = word ^ (ONES * u64::from(b'\\'));
            let marked = (quote.wrapping_sub(ONES) & !quote)
                | (backslash.wrapping_sub(ONES) & !backslash)
                | (word.wrapping_sub(ONES * 0x20) & !word);
            match marked & HIGH {
                0 => at += 8,
                marks => return at + marks.trailing_zeros() as usize / 8,
            }
        }
        let rest = self.body.get(at..).unwrap_or_default();
        at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20)).unwrap_or(rest.len())
    }

    /// Takes a number, from its first byte on.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number, ScanError> {
        let start = self.at;
        let (mut integer, mut exponent) = (true, false);
        self.at += usize::from(self.body.get(start) == Some(&b'-'));
        match self.body.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.skip_digits()?,
            None => return Err(ScanError::End),
            Some(_) => return Err(ScanError::Bad("expected a value")),
        }
        if self.body.get(self.at) == Some(&b'.') {
            integer = false;
            self.at += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.body.get(self.at) {
            (integer, exponent) = (false, true);
            self.at += 1;
            self.at += usize::from(matches!(self.body.get(self.at), Some(b'+' | b'-')));
            self.skip_digits()?;
        }
        // What may follow a value is checked by the caller; digits and points may not follow a number.
        match self.body.get(self.at) {
            Some(b'0'..=b'9' | b'.') => Err(ScanError::Bad("malformed number")),
            _ => Ok(Number { span: start..self.at, integer, exponent }),
        }
    }

    #[inline]
    fn skip_digits(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.body.get(self.at) {
            self.at += 1;
        }
        match (self.at > start, self.at < self.body.len()) {
            (true, _) => Ok(()),
            (false, true) => Err(ScanError::Bad("expected a digit")),
            (false, false) => Err(ScanError::End),
        }
    }

    /// Takes `true`, `false` or `null`.
    #[inline]
    pub(super) fn word(&mut self, word: &str) -> Result<(), ScanError> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else if word.as_bytes().starts_with(rest) {
            Err(ScanError::End)
        } else {
            Err(ScanError::Bad("expected a value"))
        }
    }

    /// Takes a value, whatever it is.
    pub(super) fn skip(&mut self) -> Result<(), ScanError> {
        self.skip_within(0)
    }

    fn skip_within(&mut self, depth: usize) -> Result<(), ScanError> {
        let (open, start) = (self.peek()?, self.at);
        match open {
            b'"' => self.string().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null").or_else(|fault| self.no_number(start, fault)),
            b'{' | b'[' if depth >= MAX_DEPTH => Err(ScanError::Bad("it nests too deep")),
            b'{' | b'[' => {
                let close = if open == b'{' { b'}' } else { b']' };
                let mut more = self.enter(close)?;
                while more {
                    if open == b'{' {
                        self.name()?;
                    }
                    self.skip_within(depth + 1)?;
                    more = self.more(close)?;
                }
                Ok(())
            }
            _ => self.number().map(drop).or_else(|fault| self.no_number(start, fault)),
        }
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
