//! A JSON scanner: spans of a body, no values.
//!
//! It checks the grammar (RFC 8259), but not that strings are UTF-8: whoever keeps a span has that checked anyway.

use std::ops::Range;

use super::MAX_DEPTH;

/// Why scanning stopped at [`Scanner::at`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The body is over.
    End,
    /// It isn't JSON.
    Bad(&'static str),
}

/// A string's span between its quotes.
pub(super) struct Text {
    pub(super) span: Range<usize>,
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
}

impl<'a> Scanner<'a> {
    /// Starts behind a byte-order mark, if there is one.
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { body, at: if body.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 } }
    }

    /// The next byte that isn't white space, not taken.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<u8, Fault> {
        loop {
            match self.body.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(Fault::End),
            }
        }
    }

    /// Whether nothing but white space is left.
    pub(super) fn is_over(&mut self) -> bool {
        self.peek().is_err()
    }

    /// Enters an object or array, and says whether it has a member.
    #[inline]
    pub(super) fn enter(&mut self, close: u8) -> Result<bool, Fault> {
        self.at += 1;
        let empty = self.peek()? == close;
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// Goes past a member, and says whether another one follows.
    #[inline]
    pub(super) fn more(&mut self, close: u8) -> Result<bool, Fault> {
        match self.peek()? {
            b',' => {
                self.at += 1;
                Ok(true)
            }
            byte if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(Fault::Bad("expected a comma or the end of an object or array")),
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
    pub(super) fn name(&mut self) -> Result<Text, Fault> {
        if self.peek()? != b'"' {
            return Err(Fault::Bad("expected a name in quotes"));
        }
        let name = self.string()?;
        if self.peek()? != b':' {
            return Err(Fault::Bad("expected a colon"));
        }
        self.at += 1;
        Ok(name)
    }

    /// Takes a string, from its quote on.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text, Fault> {
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
                    at += self.escape()?.1;
                }
                found => {
                    self.at = at;
                    return Err(found.map_or(Fault::End, |_| Fault::Bad("a control character in a string")));
                }
            }
        }
    }

    /// Where, from `at` on, the next quote, backslash or control character is, or the end.
    #[inline]
    fn find_special(&self, mut at: usize) -> usize {
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

    /// The character that the escape here means, and its length.
    #[cold]
    fn escape(&self) -> Result<(char, usize), Fault> {
        let character = match self.body.get(self.at + 1).ok_or(Fault::End)? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(Fault::Bad("unknown escape")),
        };
        Ok((character, 2))
    }

    fn unicode_escape(&self) -> Result<(char, usize), Fault> {
        let first = self.hex(self.at + 2)?;
        if let Some(character) = char::from_u32(first) {
            return Ok((character, 6));
        }
        let lone = Fault::Bad("half of a surrogate pair");
        for (at, want) in [(6, b'\\'), (7, b'u')] {
            match self.body.get(self.at + at) {
                Some(byte) if *byte == want => {}
                Some(_) => return Err(lone),
                None => return Err(Fault::End),
            }
        }
        let second = self.hex(self.at + 8)?;
        match (first, second) {
            (0xd800..=0xdbff, 0xdc00..=0xdfff) => {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                char::from_u32(code).map(|character| (character, 12)).ok_or(lone)
            }
            _ => Err(lone),
        }
    }

    fn hex(&self, at: usize) -> Result<u32, Fault> {
        let mut code = 0;
        for at in at..at + 4 {
            let digit = char::from(*self.body.get(at).ok_or(Fault::End)?).to_digit(16);
            code = code * 16 + digit.ok_or(Fault::Bad("expected four hexadecimal digits"))?;
        }
        Ok(code)
    }

    /// The text of a string that was taken, its escapes resolved, in `buffer`.
    #[cold]
    pub(super) fn unescape(&self, text: &Text, buffer: &mut Vec<u8>) {
        buffer.clear();
        let mut inner = Scanner { body: self.body.get(..text.span.end).unwrap_or_default(), at: text.span.start };
        while inner.at < text.span.end {
            let plain = inner.find_special(inner.at);
            buffer.extend_from_slice(&inner.body[inner.at..plain]);
            inner.at = plain;
            // The string was checked when it was taken, so only its end stops this.
            let Ok((character, length)) = inner.escape() else { break };
            buffer.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            inner.at += length;
        }
    }

    /// Takes a number, from its first byte on.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number, Fault> {
        let start = self.at;
        let (mut integer, mut exponent) = (true, false);
        self.at += usize::from(self.body.get(start) == Some(&b'-'));
        match self.body.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            None => return Err(Fault::End),
            Some(_) => return Err(Fault::Bad("expected a value")),
        }
        if self.body.get(self.at) == Some(&b'.') {
            integer = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.body.get(self.at) {
            (integer, exponent) = (false, true);
            self.at += 1;
            self.at += usize::from(matches!(self.body.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        // What may follow a value is checked by whoever goes on; digits and points may not follow a number.
        match self.body.get(self.at) {
            Some(b'0'..=b'9' | b'.') => Err(Fault::Bad("malformed number")),
            _ => Ok(Number { span: start..self.at, integer, exponent }),
        }
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.body.get(self.at) {
            self.at += 1;
        }
        match (self.at > start, self.at < self.body.len()) {
            (true, _) => Ok(()),
            (false, true) => Err(Fault::Bad("expected a digit")),
            (false, false) => Err(Fault::End),
        }
    }

    /// Takes `true`, `false` or `null`.
    #[inline]
    pub(super) fn word(&mut self, word: &str) -> Result<(), Fault> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else if word.as_bytes().starts_with(rest) {
            Err(Fault::End)
        } else {
            Err(Fault::Bad("expected a value"))
        }
    }

    /// Takes a value, whatever it is.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        self.skip_within(0)
    }

    fn skip_within(&mut self, depth: usize) -> Result<(), Fault> {
        let open = self.peek()?;
        match open {
            b'"' => self.string().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'{' | b'[' if depth >= MAX_DEPTH => Err(Fault::Bad("it nests too deep")),
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
            _ => self.number().map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn unescaped(body: &str) -> Result<String, Fault> {
        let mut scanner = Scanner::new(body.as_bytes());
        let text = scanner.string()?;
        let mut buffer = b"old".to_vec();
        scanner.unescape(&text, &mut buffer);
        Ok(String::from_utf8(buffer).unwrap())
    }

    #[test]
    fn escapes_are_resolved() {
        let body = r#""a\"\\\/\b\f\n\r\t\u00e9\u20AC\ud83d\ude00z" tail"#;
        assert_eq!(unescaped(body).unwrap(), "a\"\\/\u{8}\u{c}\n\r\té€\u{1f600}z");
        for bad in [r#""\x""#, r#""\u00g0""#, r#""\ud83d""#, r#""\ud83dx""#, r#""\ud83d\u0041""#, r#""\ude00\ud83d""#] {
            assert!(matches!(unescaped(bad), Err(Fault::Bad(_))), "{bad}");
        }
        for cut in [r#"""#, r#""a\"#, r#""\u00"#, r#""\ud83d"#, r#""\ud83d\u"#] {
            assert_eq!(unescaped(cut), Err(Fault::End), "{cut}");
        }
    }

    #[test]
    fn specials_are_found_wherever_they_are() {
        for at in 0..40 {
            for special in [b'"', b'\\', 0x00, 0x1f] {
                let mut body = vec![b' '; 48];
                body[..at].fill(0xc3);
                body[at] = special;
                body[at + 1] = b'!';
                assert_eq!(Scanner::new(&body).find_special(0), at);
            }
        }
        assert_eq!(Scanner::new(b"plain text, no end").find_special(0), 18);
    }
}
