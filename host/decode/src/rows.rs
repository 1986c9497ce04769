//! Rows of a delimited text.

use std::ops::Range;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use sluice_model::Delimited;

use super::{DecodeError, MAX_FIELDS};

/// Rows of fields, read into buffers that are used again.
pub(super) struct Rows<'a> {
    builder: ReaderBuilder,
    reader: Reader,
    /// Reads rows again. To build one takes as long as to read kilobytes: it is built once, where a row is read again.
    again: Option<Reader>,
    input: &'a [u8],
    ended: bool,
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Where the input ends in the text that it is a part of.
    end: usize,
}

/// One row: its fields joined, and where each ends.
pub(super) struct Row<'r> {
    text: &'r [u8],
    ends: &'r [usize],
    /// Its range in the text, with empty lines before it and its line end.
    pub(super) span: Range<usize>,
}

impl<'a> Rows<'a> {
    /// The rows of `text` from `start` on.
    pub(super) fn new(format: &Delimited, text: &'a str, start: usize) -> Self {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(format.delimiter);
        match format.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        let input = text.as_bytes().get(start..).unwrap_or_default();
        let (fields, ends, reader) = (vec![0; 4096], vec![0; 64], builder.build());
        Self { builder, reader, again: None, input, ended: false, text: fields, ends, end: text.len() }
    }

    /// The next row that isn't an empty line.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, DecodeError> {
        let (mut length, mut fields) = (0, 0);
        let start = self.position();
        while !(self.ended && self.input.is_empty()) {
            if self.input.is_empty() {
                // A last line break ends the row before it, unless that is still inside of quotes.
                (self.ended, self.input) = (true, b"\n");
            }
            let (text, ends) = (&mut self.text[length..], &mut self.ends[fields..]);
            let (result, read, written, ended) = self.reader.read_record(self.input, text, ends);
            self.input = self.input.get(read..).unwrap_or_default();
            (length, fields) = (length + written, fields + ended);
            match result {
                ReadRecordResult::Record => {
                    let span = start..self.position();
                    return Ok(Some(Row { text: &self.text[..length], ends: &self.ends[..fields], span }));
                }
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if fields > MAX_FIELDS => {
                    return Err(DecodeError::Limit { limit: "10000 different fields" });
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
            }
        }
        match length + fields {
            0 => Ok(None),
            _ => Err(DecodeError::OpenQuote),
        }
    }

    #[inline]
    fn position(&self) -> usize {
        if self.ended { self.end } else { self.end - self.input.len() }
    }

    /// Which field of a row each of the ascending `places` in it belongs to, each field once.
    pub(super) fn fields_at(
        &mut self,
        text: &str,
        row: Range<usize>,
        places: impl Iterator<Item = usize>,
    ) -> Vec<usize> {
        let Self { builder, again, .. } = self;
        let again = again.get_or_insert_with(|| builder.build());
        again.reset();
        let (mut output, mut ends) = ([0; 256], [0; 16]);
        let (mut at, mut field, mut found) = (row.start, 0, Vec::new());
        for place in places {
            let place = place.min(row.end);
            while at < place {
                let input = text.as_bytes().get(at..place).unwrap_or_default();
                let (_, read, _, ended) = again.read_record(input, &mut output, &mut ends);
                (at, field) = (at + read, field + ended);
                if read == 0 {
                    break;
                }
            }
            if found.last() != Some(&field) {
                found.push(field);
            }
        }
        found
    }
}

impl Row<'_> {
    /// Its fields, without a byte-order mark before the first, as joined files have it.
    pub(super) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let mark = if self.text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let starts = std::iter::once(mark).chain(self.ends.iter().copied());
        starts.zip(self.ends).map(|(start, end)| self.text.get(start..*end).unwrap_or_default())
    }

    /// How many fields it has.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has more fields than `expected`, and all further ones are empty: it ends in delimiters.
    pub(super) fn ends_in_delimiters(&self, expected: usize) -> bool {
        let end = |at: usize| self.ends.get(at).copied();
        self.ends.len() > expected && expected > 0 && end(expected - 1) == self.ends.last().copied()
    }

    /// A line of nothing, or of spaces.
    #[inline]
    pub(super) fn is_blank(&self) -> bool {
        self.ends.len() <= 1 && self.text.trim_ascii().is_empty()
    }
}

/// Counts the lines of a text, from 1, each ended by CR LF, LF or CR.
pub(super) struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), at: 0, line: 1 }
    }

    /// The line on which the first row from `place` on begins. Places ascend.
    pub(super) fn of(&mut self, place: usize) -> u32 {
        let is_end = |at: usize| self.text.get(at).is_some_and(|byte| matches!(byte, b'\n' | b'\r'));
        let mut place = place.min(self.text.len());
        while is_end(place) {
            place += 1;
        }
        while self.at < place {
            self.line = self.line.saturating_add(u32::from(self.ends_at(self.at)));
            self.at += 1;
        }
        self.line
    }

    fn ends_at(&self, at: usize) -> bool {
        match self.text.get(at) {
            Some(b'\n') => true,
            Some(b'\r') => self.text.get(at + 1) != Some(&b'\n'),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn lines_are_counted_however_they_end() {
        let mut lines = Lines::new("a\nb\r\nc\rd\n\n\ne");
        let found: Vec<u32> = [0, 2, 5, 7, 8, 9].into_iter().map(|place| lines.of(place)).collect();
        assert_eq!(found, [1, 2, 3, 4, 7, 7]);
    }

    #[test]
    fn places_have_fields() {
        let format = Delimited {
            delimiter: b',',
            quote: Some(b'"'),
            skip_lines: 0,
            header: vec![],
            charset: "x".into(),
            exact_fields: false,
            optional: vec![],
        };
        let text = "\n\"é,\"\"x\",b,éé\nc,é";
        let mut rows = Rows::new(&format, text, 0);
        let first = rows.next().unwrap().unwrap().span;
        let second = rows.next().unwrap().unwrap().span;
        assert_eq!((first.clone(), second.clone()), (0..17, 17..21));
        let places: Vec<usize> = text.match_indices('é').map(|(place, _)| place).collect();
        assert_eq!(rows.fields_at(text, first, places[..3].iter().copied()), [0, 2]);
        assert_eq!(rows.fields_at(text, second, places[3..].iter().copied()), [1]);
    }
}
