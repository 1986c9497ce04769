//! JSON and NDJSON.

use sluice_model::Kinds;

use super::place::{Step, pointer_names, pointer_steps};
use super::scan::{Fault, Scanner, Text};
use super::table::{NodeId, ROOT, Table};
use super::{DecodeError, MAX_DEPTH, begins, cut};

const FORMAT: &str = "JSON";

/// Reads the records at `place` into `table`.
///
/// The steps before the first `*` must lead somewhere, and those behind it in at least one of the members, if there
/// are any. A null at the place means no records, an array its elements, an object one record.
pub(super) fn read_document(place: &str, body: &[u8], table: &mut Table) -> Result<(), DecodeError> {
    let steps = pointer_steps(place)?;
    let mut reader = Reader::new(body, table);
    let read = reader.records_at(&steps, false).map_err(|stop| reader.explain(stop, place))?;
    if !reader.scanner.is_over() {
        return Err(reader.explain(Fault::Bad("something follows the value").into(), place));
    }
    reader.check_taken_back()?;
    if read { Ok(()) } else { Err(DecodeError::NothingAt { place: cut(place) }) }
}

/// Reads one record per line into `table`.
pub(super) fn read_lines(body: &[u8], table: &mut Table) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body, table);
    while !reader.scanner.is_over() {
        reader.record().map_err(|stop| reader.explain(stop, ""))?;
    }
    reader.check_taken_back()
}

/// The value at a JSON Pointer; see [`super::value_at`].
pub(super) fn value_at(body: &[u8], place: &str) -> Option<String> {
    let names = pointer_names(place).ok()?;
    let steps: Vec<Step> = names.into_iter().map(Step::Member).collect();
    let mut scanner = Scanner::new(body);
    let value = find(&mut scanner, &steps).ok()?;
    value.filter(|_| scanner.is_over())
}

fn find(scanner: &mut Scanner<'_>, steps: &[Step]) -> Result<Option<String>, Fault> {
    let (open, start) = (scanner.peek()?, scanner.at);
    let Some((step, rest)) = steps.split_first() else {
        if open == b'"' {
            let (text, mut buffer) = (scanner.string()?, Vec::new());
            scanner.unescape(&text, &mut buffer);
            return Ok(String::from_utf8(buffer).ok());
        }
        scanner.skip()?;
        let value = scanner.body.get(start..scanner.at).filter(|_| open != b'n');
        return Ok(value.and_then(|text| std::str::from_utf8(text).ok()).map(str::to_owned));
    };
    let (mut value, mut at) = (None, 0);
    let close = match open {
        b'{' => b'}',
        b'[' => b']',
        _ => return scanner.skip().map(|()| None),
    };
    let mut more = scanner.enter(close)?;
    while more {
        let is_it = match open {
            b'{' => step.is_named(scanner)?,
            _ => step.index() == Some(at),
        };
        match is_it {
            true => value = find(scanner, rest)?,
            false => scanner.skip()?,
        }
        more = scanner.more(close)?;
        at += 1;
    }
    Ok(value)
}

impl Step {
    /// Takes a member's name, and says whether it is this step.
    fn is_named(&self, scanner: &mut Scanner<'_>) -> Result<bool, Fault> {
        let text = scanner.name()?;
        let Self::Member(name) = self else { return Ok(true) };
        if !text.escaped {
            return Ok(scanner.body.get(text.span) == Some(name.as_bytes()));
        }
        let mut buffer = Vec::new();
        scanner.unescape(&text, &mut buffer);
        Ok(buffer == name.as_bytes())
    }
}

/// Why reading stopped.
enum Stop {
    /// The scanner can't go on.
    Fault(Fault),
    /// A limit, or something else that isn't about grammar.
    Error(DecodeError),
    /// No records stand at the place, but this.
    Scalar(&'static str),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
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
}

impl<'a, 't> Reader<'a, 't> {
    fn new(body: &'a [u8], table: &'t mut Table) -> Self {
        Self { scanner: Scanner::new(body), table, buffer: Vec::new() }
    }

    /// Passes over a value that isn't kept.
    fn skip(&mut self) -> Result<(), Stop> {
        let start = self.scanner.at;
        self.scanner.skip()?;
        let skipped = self.scanner.body.get(start..self.scanner.at).unwrap_or_default();
        match std::str::from_utf8(skipped) {
            Ok(_) => Ok(()),
            Err(_) => Err(not_utf8(self.scanner.body).into()),
        }
    }

    /// Reads the records at `steps` from the value here, and says whether the place is there.
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
            let is_it = match open {
                b'{' => step.is_named(&mut self.scanner)?,
                _ => any || step.index() == Some(at),
            };
            if is_it && seen && !any {
                // Rows of the first one may be in the table already, and it is anyone's guess which is meant.
                return Err(Fault::Bad("a name on the way to the records stands twice").into());
            }
            match is_it {
                true => found |= self.records_at(rest, many || any)?,
                false => self.skip()?,
            }
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
            b'{' => self.record(),
            b'n' => self.skip(),
            _ if many => self.record(),
            _ => {
                self.skip()?;
                Err(Stop::Scalar(match open {
                    b'"' => "a string",
                    b't' | b'f' => "a boolean",
                    _ => "a number",
                }))
            }
        }
    }

    /// One record: the fields of an object, or whatever else it is as its `value`.
    fn record(&mut self) -> Result<(), Stop> {
        if self.scanner.peek()? == b'{' {
            self.object(ROOT, 0)?;
        } else {
            let node = self.table.child(ROOT, &mut 0, "value")?;
            self.value(node, 0)?;
        }
        Ok(self.table.end_record()?)
    }

    fn object(&mut self, node: NodeId, depth: usize) -> Result<(), Stop> {
        if depth >= MAX_DEPTH {
            return Err(Fault::Bad("it nests too deep").into());
        }
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
        match std::str::from_utf8(name) {
            Ok(name) => Ok(self.table.child(node, cursor, name)?),
            Err(_) => Err(not_utf8(self.scanner.body).into()),
        }
    }

    #[inline]
    fn value(&mut self, node: NodeId, depth: usize) -> Result<(), Stop> {
        match self.scanner.peek()? {
            b'"' => {
                let text = self.scanner.string()?;
                let text = resolve(&self.scanner, &text, &mut self.buffer);
                self.table.put(node, text, Kinds::TEXT)?;
            }
            b'{' => self.object(node, depth + 1)?,
            b'[' => {
                let start = self.scanner.at;
                self.scanner.skip()?;
                self.table.put(node, &self.scanner.body[start..self.scanner.at], Kinds::JSON)?;
            }
            b'n' => {
                self.scanner.word("null")?;
                self.table.put_null(node);
            }
            b't' => {
                self.scanner.word("true")?;
                self.table.put(node, b"true", Kinds::BOOLEAN)?;
            }
            b'f' => {
                self.scanner.word("false")?;
                self.table.put(node, b"false", Kinds::BOOLEAN)?;
            }
            _ => {
                let number = self.scanner.number()?;
                self.table.put_number(node, self.scanner.body, &number)?;
            }
        }
        Ok(())
    }

    /// Values that were replaced are in no column, so nobody has looked whether they are UTF-8.
    fn check_taken_back(&self) -> Result<(), DecodeError> {
        match self.table.has_taken_back() && std::str::from_utf8(self.scanner.body).is_err() {
            true => Err(not_utf8(self.scanner.body)),
            false => Ok(()),
        }
    }

    #[cold]
    fn explain(&self, stop: Stop, place: &str) -> DecodeError {
        let Scanner { body, at } = self.scanner;
        let fault = match stop {
            Stop::Fault(fault) => fault,
            Stop::Error(error) => return error,
            Stop::Scalar(found) => return DecodeError::NoRecords { place: cut(place), found },
        };
        let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
        match (text.first(), fault) {
            (None, _) => DecodeError::Empty { format: FORMAT },
            (Some(b'{' | b'[' | b'"'), Fault::End) => DecodeError::CutShort { at: body.len() },
            (Some(b'{' | b'[' | b'"'), Fault::Bad(reason)) => {
                DecodeError::Malformed { format: FORMAT, at, reason: reason.into() }
            }
            (Some(_), _) => DecodeError::OtherFormat { format: FORMAT, begins: begins(body) },
        }
    }
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

/// Where the body stops to be UTF-8.
#[cold]
pub(super) fn not_utf8(body: &[u8]) -> DecodeError {
    match std::str::from_utf8(body) {
        Err(error) if error.error_len().is_none() => DecodeError::CutShort { at: body.len() },
        error => DecodeError::Charset { charset: "UTF-8", at: error.err().map(|error| error.valid_up_to()) },
    }
}
