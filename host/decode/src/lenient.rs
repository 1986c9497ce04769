//! What isn't JSON and is read all the same, off the hot path.

use super::notes::{NoteKind, NoteSet};
use super::scan::{ScanError, Scanner};

/// Words for what is no number.
const NO_NUMBERS: [&str; 3] = ["infinity", "nan", "inf"];

impl Scanner<'_> {
    /// Whether NULs fill the rest, as some servers do with their blocks, or there is DOS's end of a file.
    #[cold]
    pub(super) fn is_padding(&mut self) -> bool {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let is_padding = rest.iter().all(|byte| matches!(byte, 0 | 0x1a) || byte.is_ascii_whitespace());
        if is_padding {
            self.odd.insert(NoteKind::Nul);
            self.at = self.body.len();
        }
        is_padding
    }

    /// Takes `NaN` or `Infinity`, in any case and with a sign, where a value could not be taken because of `fault`.
    #[cold]
    pub(super) fn no_number(&mut self, start: usize, fault: ScanError) -> Result<(), ScanError> {
        let rest = self.body.get(start..).unwrap_or_default();
        let sign = usize::from(matches!(rest.first(), Some(b'+' | b'-')));
        let rest = rest.get(sign..).unwrap_or_default();
        for word in NO_NUMBERS {
            let Some(head) = rest.get(..word.len()) else {
                match word.as_bytes().get(..rest.len()) {
                    Some(begun) if !rest.is_empty() && begun.eq_ignore_ascii_case(rest) => return Err(ScanError::End),
                    _ => continue,
                }
            };
            let goes_on = rest.get(word.len()).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'.');
            if head.eq_ignore_ascii_case(word.as_bytes()) && !goes_on {
                self.at = start + sign + word.len();
                self.odd.insert(NoteKind::NotANumber);
                return Ok(());
            }
        }
        Err(fault)
    }

    /// The value that was taken, from `start` on, as JSON that every parser takes: odd strings are rewritten, and
    /// what is no number as null.
    #[cold]
    pub(super) fn cleaned(&self, start: usize) -> Vec<u8> {
        let end = self.at;
        let mut inner = Scanner { body: self.body, at: start, odd: NoteSet::default() };
        let (mut json, mut buffer) = (Vec::with_capacity(end - start + 16), Vec::new());
        while let Some(byte) = inner.body.get(inner.at).copied().filter(|_| inner.at < end) {
            let from = inner.at;
            match byte {
                b'"' => {
                    let Ok(text) = inner.string() else { break };
                    inner.unescape(&text, &mut buffer);
                    // What isn't UTF-8 stays so, and is found when the column becomes an array.
                    match std::str::from_utf8(&buffer) {
                        Ok(text) if !inner.odd.is_empty() => write_string(&text.replace('\0', "\u{fffd}"), &mut json),
                        _ => json.extend_from_slice(&inner.body[from..inner.at]),
                    }
                    inner.odd = NoteSet::default();
                }
                b'n' | b'N' | b'i' | b'I' | b'+' | b'-' if inner.no_number(from, ScanError::End).is_ok() => {
                    json.extend_from_slice(b"null");
                    inner.odd = NoteSet::default();
                }
                byte => {
                    json.push(byte);
                    inner.at += 1;
                }
            }
        }
        json
    }
}

/// Writes a string in JSON.
pub(super) fn write_string(text: &str, json: &mut Vec<u8>) {
    // Writing a string into memory can't fail.
    let written = serde_json::to_writer(json, text);
    debug_assert!(written.is_ok());
}
