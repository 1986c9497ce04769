//! JSON and NDJSON.

use sluice_model::Kinds;

use super::charset::{self, mark_length};
use super::clock::Clock;
use super::decoded::{BodyLayout, Decoded, TornRows};
use super::marked;
use super::notes::{NoteKind, NoteSet};
use super::path::first_name;
use super::place::{Step, pointer_steps};
use super::repair::Marks;
use super::scan::{ScanError, Scanner, Text};
use super::table::{NodeId, ROOT, Table};
use super::{DecodeError, MAX_DEPTH, begins, cut};

const FORMAT: &str = "JSON";

/// Where the records are.
#[derive(Clone, Copy)]
pub(super) enum Records<'a> {
    /// At a JSON Pointer in which `*` goes through every member.
    ///
    /// The steps before the first `*` must lead somewhere, and those behind it in at least one of the members, if
    /// there are any. An array is its elements, an object one record, if it has a field of the layout. Null is no
    /// list, unless there are lists beside it, behind a `*`.
    At(&'a str),
    /// One per line.
    Lines,
}

/// Reads the records of a body: as UTF-8 first, and only if that fails in another character set.
pub(super) fn decode(layout: &BodyLayout<'_>, records: Records<'_>, body: &[u8]) -> Result<Decoded, DecodeError> {
    let error = match attempt(layout, records, body, Marks::default()) {
        Ok(decoded) => return Ok(decoded),
        Err(error) => error,
    };
    let may_be_text = matches!(
        error,
        DecodeError::Charset { .. }
            | DecodeError::CutShort { .. }
            | DecodeError::Malformed { .. }
            | DecodeError::OtherFormat { .. }
    );
    let Some(text) = may_be_text.then(|| charset::json_text(layout.charset, body)).flatten() else {
        return Err(error);
    };
    attempt(layout, records, text.text.as_bytes(), text.marks).map_err(|error| match error {
        DecodeError::CutShort { .. } => DecodeError::CutShort { at: body.len() },
        error => error,
    })
}

fn attempt(layout: &BodyLayout<'_>, records: Records<'_>, body: &[u8], marks: Marks) -> Result<Decoded, DecodeError> {
    let mut table = Table::new(body.len(), Clock::new(layout.deadline));
    let mut reader = Reader::new(body, &mut table, marks);
    match records {
        Records::At(place) => reader.read_document(layout, place)?,
        Records::Lines => reader.read_lines()?,
    }
    reader.finish()?;
    let cut_at_end = matches!(records, Records::Lines) && !matches!(body.last(), None | Some(b'\n' | b'\r'));
    let (batch, notes) = table.finish(layout.expected(), false)?;
    Ok(Decoded { batch, notes, cut_at_end, torn: TornRows::default() })
}

/// Why reading stopped.
enum Stop {
    /// The scanner can't continue.
    ScanError(ScanError),
    /// A limit, or something else that isn't about grammar.
    Error(DecodeError),
    /// There is no list of records at the place, but this.
    NotAList(&'static str),
}

impl From<ScanError> for Stop {
    fn from(fault: ScanError) -> Self {
        Self::ScanError(fault)
    }
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Self {
        Self::Error(error)
    }
}

struct Reader<'a, 't> {
    scanner: Scanner<'a>,
    table: &'t mut Table,
    buffer: Vec<u8>,
    /// Characters that the body has in another character set.
    marks: Marks,
    /// There is an object at the place.
    is_one: bool,
    /// How many nulls stand where lists could.
    nulls: u64,
}

impl<'a, 't> Reader<'a, 't> {
    fn new(body: &'a [u8], table: &'t mut Table, marks: Marks) -> Self {
        Self { scanner: Scanner::new(body), table, buffer: Vec::new(), marks, is_one: false, nulls: 0 }
    }

    fn read_document(&mut self, layout: &BodyLayout<'_>, place: &str) -> Result<(), DecodeError> {
        let steps = pointer_steps(place)?;
        let read = self.records_at(&steps, false).map_err(|stop| self.explain(stop, place))?;
        if !self.scanner.is_over() {
            return Err(self.explain(ScanError::Bad("something follows the value").into(), place));
        }
        if !read {
            return Err(DecodeError::NothingAt { place: cut(place) });
        }
        let not_a_list = |found| Err(DecodeError::NotAList { place: cut(place), found });
        match (self.is_one, self.nulls) {
            (true, _) if !has_known_field(self.table, layout) => not_a_list("an object without a field of the layout"),
            (_, 1..) if self.table.rows() == 0 => not_a_list("null"),
            (_, nulls @ 1..) => {
                self.table.note_outside(NoteKind::NullList, nulls);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn read_lines(&mut self) -> Result<(), DecodeError> {
        while !self.scanner.is_over() {
            self.scanner.skip_mark();
            if !self.scanner.is_over() {
                self.record().map_err(|stop| self.explain(stop, ""))?;
            }
        }
        Ok(())
    }

    /// Notes what is odd outside of the records, and looks at what is in no column.
    fn finish(&mut self) -> Result<(), DecodeError> {
        self.note_skipped();
        let odd = self.marks.left();
        if odd > 0 {
            self.table.note_outside(NoteKind::Charset, odd);
        }
        // Values that were replaced are in no column, so they weren't checked to be UTF-8.
        if self.table.has_taken_back() && std::str::from_utf8(self.scanner.body).is_err() {
            return Err(NOT_UTF_8);
        }
        Ok(())
    }

    /// Passes over a value that isn't kept.
    fn skip(&mut self) -> Result<(), Stop> {
        let start = self.scanner.at;
        self.scanner.skip()?;
        self.note_skipped();
        let skipped = self.scanner.body.get(start..self.scanner.at).unwrap_or_default();
        match std::str::from_utf8(skipped) {
            Ok(_) => Ok(()),
            Err(_) => Err(NOT_UTF_8.into()),
        }
    }

    /// Notes what was odd in what isn't kept.
    fn note_skipped(&mut self) {
        for kind in std::mem::take(&mut self.scanner.odd).kinds() {
            self.table.note_outside(kind, 1);
        }
    }

    /// Reads the records at `steps` from the value here, and decides whether the place is there.
    /// `many`: a `*` was passed, so a scalar is a record among others.
    fn records_at(&mut self, steps: &[Step], many: bool) -> Result<bool, Stop> {
        let open = self.scanner.peek()?;
        let Some((step, rest)) = steps.split_first() else {
            return self.records(open, many).map(|()| true);
        };
        let close = match open {
            b'{' => b'}',
            b'[' => b']',
            _ => return self.skip().map(|()| false),
        };
        let any = *step == Step::Any;
        let (mut at, mut seen, mut found) = (0, false, false);
        let mut more = self.scanner.enter(close)?;
        found |= any && !more;
        while more {
            self.table.check_time(self.scanner.at)?;
            let is_it = match open {
                b'{' => step.is_named(&mut self.scanner)?,
                _ => any || step.index() == Some(at),
            };
            if is_it && seen && !any {
                // Rows of the first one may be in the table already, and which one is meant isn't known.
                return Err(ScanError::Bad("a name on the way to the records stands twice").into());
            }
            found |= if is_it { self.records_at(rest, many || any)? } else { self.skip().map(|()| false)? };
            seen |= is_it;
            more = self.scanner.more(close)?;
            at += 1;
        }
        Ok(found)
    }

    fn records(&mut self, open: u8, many: bool) -> Result<(), Stop> {
        match open {
            b'[' => {
                let mut more = self.scanner.enter(b']')?;
                while more {
                    self.record()?;
                    more = self.scanner.more(b']')?;
                }
                Ok(())
            }
            b'{' => {
                self.is_one = !many;
                self.record()
            }
            b'n' => {
                self.nulls += 1;
                self.skip()
            }
            _ if many => self.record(),
            _ => {
                self.skip()?;
                Err(Stop::NotAList(match open {
                    b'"' => "a string",
                    b't' | b'f' => "a boolean",
                    _ => "a number",
                }))
            }
        }
    }

    /// One record: the fields of an object, or whatever else it is as its `value`.
    fn record(&mut self) -> Result<(), Stop> {
        let open = self.scanner.peek()?;
        let start = self.scanner.at;
        self.table.check_time(start)?;
        if open == b'{' {
            self.object(ROOT, 0)?;
        } else {
            let node = self.table.child(ROOT, &mut 0, "value")?;
            self.value(node, 0)?;
        }
        if self.marks.is_before(self.scanner.at) {
            let again = Scanner { body: self.scanner.body, at: start, odd: NoteSet::default() };
            marked::note_fields(again, self.scanner.at, &mut self.marks, self.table)?;
        }
        Ok(self.table.end_record()?)
    }

    fn object(&mut self, node: NodeId, depth: usize) -> Result<(), Stop> {
        if depth >= MAX_DEPTH {
            return Err(ScanError::Bad("it nests too deep").into());
        }
        self.table.check_time(self.scanner.at)?;
        let mut cursor = 0;
        let mut more = self.scanner.enter(b'}')?;
        if !more && node != ROOT {
            return Ok(self.table.put(node, b"{}", Kinds::JSON)?);
        }
        while more {
            self.scanner.peek()?;
            let member = match self.table.expected(node, cursor) {
                Some(name) if self.scanner.take_name(name) => self.table.next_child(node, &mut cursor)?,
                _ => self.member(node, &mut cursor)?,
            };
            self.value(member, depth)?;
            more = self.scanner.more(b'}')?;
        }
        Ok(())
    }

    /// Takes a name that isn't the expected one, or is written in another way.
    fn member(&mut self, node: NodeId, cursor: &mut usize) -> Result<NodeId, Stop> {
        let text = self.scanner.name()?;
        let name = resolve(&self.scanner, &text, &mut self.buffer);
        let Ok(name) = std::str::from_utf8(name) else { return Err(NOT_UTF_8.into()) };
        let member = self.table.child(node, cursor, name)?;
        let odd = std::mem::take(&mut self.scanner.odd);
        if !odd.is_empty() {
            self.table.note_all(member, odd);
        }
        Ok(member)
    }

    #[inline]
    fn value(&mut self, node: NodeId, depth: usize) -> Result<(), Stop> {
        match self.scanner.peek()? {
            b'"' => {
                let text = self.scanner.string()?;
                if text.escaped {
                    self.escaped(node, &text)?
                } else {
                    self.table.put(node, &self.scanner.body[text.span], Kinds::TEXT)?
                }
            }
            b'{' => self.object(node, depth + 1)?,
            b'[' => {
                let start = self.scanner.at;
                self.scanner.skip()?;
                if self.scanner.odd.is_empty() {
                    self.table.put(node, &self.scanner.body[start..self.scanner.at], Kinds::JSON)?
                } else {
                    self.odd_array(node, start)?
                }
            }
            b'n' => match self.scanner.word("null") {
                Ok(()) => self.table.put_null(node),
                Err(fault) => self.no_number(node, self.scanner.at, fault)?,
            },
            b't' => {
                self.scanner.word("true")?;
                self.table.put(node, b"true", Kinds::BOOLEAN)?;
            }
            b'f' => {
                self.scanner.word("false")?;
                self.table.put(node, b"false", Kinds::BOOLEAN)?;
            }
            _ => {
                let start = self.scanner.at;
                match self.scanner.number() {
                    Ok(number) => self.table.put_number(node, self.scanner.body, &number)?,
                    Err(fault) => self.no_number(node, start, fault)?,
                }
            }
        }
        Ok(())
    }

    /// Keeps a string with escapes, or with something odd.
    fn escaped(&mut self, node: NodeId, text: &Text) -> Result<(), Stop> {
        self.scanner.unescape(text, &mut self.buffer);
        self.table.put(node, &self.buffer, Kinds::TEXT)?;
        // The table notes NULs itself, since they may be written as escapes too.
        self.scanner.odd.remove(NoteKind::Nul);
        self.note_odd(node);
        Ok(())
    }

    #[cold]
    fn odd_array(&mut self, node: NodeId, start: usize) -> Result<(), Stop> {
        let json = self.scanner.cleaned(start);
        self.note_odd(node);
        Ok(self.table.put(node, &json, Kinds::JSON)?)
    }

    #[cold]
    fn no_number(&mut self, node: NodeId, start: usize, fault: ScanError) -> Result<(), Stop> {
        self.scanner.no_number(start, fault)?;
        self.table.put_null(node);
        self.note_odd(node);
        Ok(())
    }

    fn note_odd(&mut self, node: NodeId) {
        if !self.scanner.odd.is_empty() {
            self.table.note_all(node, std::mem::take(&mut self.scanner.odd));
        }
    }

    #[cold]
    fn explain(&self, stop: Stop, place: &str) -> DecodeError {
        let Scanner { body, at, .. } = self.scanner;
        let fault = match stop {
            Stop::ScanError(fault) => fault,
            Stop::Error(error) => return error,
            Stop::NotAList(found) => return DecodeError::NotAList { place: cut(place), found },
        };
        let text = body.get(mark_length(body)..).unwrap_or_default().trim_ascii_start();
        match (text.first(), fault) {
            (None, _) => DecodeError::Empty { format: FORMAT },
            (Some(b'{' | b'[' | b'"'), ScanError::End) => DecodeError::CutShort { at: body.len() },
            (Some(b'{' | b'[' | b'"'), ScanError::Bad(reason)) => {
                DecodeError::Malformed { format: FORMAT, at, reason: reason.into() }
            }
            (Some(_), _) => DecodeError::OtherFormat { format: FORMAT, begins: begins(body) },
        }
    }
}

/// Some text of the body isn't UTF-8: it is read once more in another character set.
const NOT_UTF_8: DecodeError = DecodeError::Charset { charset: "UTF-8" };

/// Whether the one record has a field of the layout, or the layout names none. An error's object has none.
fn has_known_field(table: &Table, layout: &BodyLayout<'_>) -> bool {
    let mut known = layout.known().peekable();
    known.peek().is_none() || known.any(|path| table.find(ROOT, &first_name(path)).is_some())
}

/// A string's text: the body's own bytes, unless there are escapes.
#[inline]
fn resolve<'b>(scanner: &Scanner<'b>, text: &Text, buffer: &'b mut Vec<u8>) -> &'b [u8] {
    if !text.escaped {
        return &scanner.body[text.span.clone()];
    }
    scanner.unescape(text, buffer);
    buffer
}
