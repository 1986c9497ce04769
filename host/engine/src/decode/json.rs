//! JSON and NDJSON.

use jiter::{Jiter, JiterError, JiterErrorType, JsonErrorType, Peek};
use sluice_model::Kinds;

use super::place::{Step, pointer_names, pointer_steps};
use super::table::{NodeId, ROOT, Table};
use super::{DecodeError, MAX_DEPTH, begins, cut};

const FORMAT: &str = "JSON";

/// Reads the records at `place` into `table`.
///
/// The steps before the first `*` must lead somewhere, and those behind it in at least one of the members, if there
/// are any. A null at the place means no records, an array its elements, an object one record.
pub(super) fn read_document(place: &str, body: &[u8], table: &mut Table) -> Result<(), DecodeError> {
    let steps = pointer_steps(place)?;
    let mut reader = Reader::new(body, table)?;
    let peek = reader.peek()?;
    let found = reader.records_at(&steps, peek, false).map_err(|error| match error {
        DecodeError::NoRecords { found, .. } => DecodeError::NoRecords { place: cut(place), found },
        error => error,
    })?;
    reader.json.finish().map_err(|error| reader.explain(error))?;
    if found { Ok(()) } else { Err(DecodeError::NothingAt { place: cut(place) }) }
}

/// Reads one record per line into `table`.
pub(super) fn read_lines(body: &[u8], table: &mut Table) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body, table)?;
    while reader.json.finish().is_err() {
        let peek = reader.peek()?;
        reader.record(peek)?;
    }
    Ok(())
}

/// The value at a JSON Pointer; see [`super::value_at`].
pub(super) fn value_at(body: &[u8], place: &str) -> Option<String> {
    let names = pointer_names(place).ok()?;
    let steps: Vec<Step> = names.into_iter().map(Step::Member).collect();
    let mut json = Jiter::new(without_bom(body));
    let peek = json.peek().ok()?;
    let value = find(&mut json, &steps, peek).ok()?;
    json.finish().ok()?;
    value
}

fn find(json: &mut Jiter<'_>, steps: &[Step], peek: Peek) -> Result<Option<String>, JiterError> {
    let mut value = None;
    match (steps.split_first(), peek) {
        (None, Peek::Null) => json.known_null()?,
        (None, Peek::String) => value = Some(json.known_str()?.to_owned()),
        (None, _) => {
            let start = json.current_index();
            json.known_skip(peek)?;
            value = std::str::from_utf8(json.slice_to_current(start)).ok().map(str::to_owned);
        }
        (Some((Step::Member(name), rest)), Peek::Object) => {
            let mut next = json.known_object()?.map(|key| key == name);
            while let Some(is_it) = next {
                let peek = json.peek()?;
                match is_it {
                    true => value = find(json, rest, peek)?,
                    false => json.known_skip(peek)?,
                }
                next = json.next_key()?.map(|key| key == name);
            }
        }
        (Some((step, rest)), Peek::Array) => {
            let (mut next, mut at) = (json.known_array()?, 0);
            while let Some(peek) = next {
                match step.index() == Some(at) {
                    true => value = find(json, rest, peek)?,
                    false => json.known_skip(peek)?,
                }
                (next, at) = (json.array_step()?, at + 1);
            }
        }
        _ => json.known_skip(peek)?,
    }
    Ok(value)
}

struct Reader<'a, 't> {
    body: &'a [u8],
    json: Jiter<'a>,
    table: &'t mut Table,
}

impl<'a, 't> Reader<'a, 't> {
    fn new(body: &'a [u8], table: &'t mut Table) -> Result<Self, DecodeError> {
        let body = without_bom(body);
        // The parser doesn't look into what it skips, and skipped arrays become text.
        std::str::from_utf8(body).map_err(|error| match error.error_len() {
            Some(_) => DecodeError::Charset { charset: "UTF-8", at: Some(error.valid_up_to()) },
            None => DecodeError::CutShort { at: body.len() },
        })?;
        Ok(Self { body, json: Jiter::new(body), table })
    }

    fn peek(&mut self) -> Result<Peek, DecodeError> {
        self.json.peek().map_err(|error| explain(self.body, error))
    }

    #[cold]
    fn explain(&self, error: JiterError) -> DecodeError {
        explain(self.body, error)
    }

    fn skip(&mut self, peek: Peek) -> Result<(), DecodeError> {
        self.json.known_skip(peek).map_err(|error| explain(self.body, error))
    }

    /// Reads the records at `steps` from the value that `peek` begins, and says whether the place is there.
    /// `many`: a `*` was passed, so a scalar is a record among others.
    fn records_at(&mut self, steps: &[Step], peek: Peek, many: bool) -> Result<bool, DecodeError> {
        let Some((step, rest)) = steps.split_first() else {
            return self.records(peek, many).map(|()| true);
        };
        match (step, peek) {
            (_, Peek::Array) => self.records_in_array(step, rest, many),
            (_, Peek::Object) => self.records_in_object(step, rest, many),
            _ => self.skip(peek).map(|()| false),
        }
    }

    fn records_in_array(&mut self, step: &Step, rest: &[Step], many: bool) -> Result<bool, DecodeError> {
        let any = *step == Step::Any;
        let (index, mut at, mut found) = (step.index(), 0, false);
        let mut next = self.json.known_array().map_err(|error| self.explain(error))?;
        found |= any && next.is_none();
        while let Some(peek) = next {
            match any || index == Some(at) {
                true => found |= self.records_at(rest, peek, many || any)?,
                false => self.skip(peek)?,
            }
            next = self.json.array_step().map_err(|error| self.explain(error))?;
            at += 1;
        }
        Ok(found)
    }

    fn records_in_object(&mut self, step: &Step, rest: &[Step], many: bool) -> Result<bool, DecodeError> {
        let is_it = |key: &str| match step {
            Step::Any => true,
            Step::Member(name) => key == name,
        };
        let any = *step == Step::Any;
        let (mut seen, mut found) = (false, false);
        let mut next = match self.json.known_object() {
            Ok(key) => key.map(is_it),
            Err(error) => return Err(self.explain(error)),
        };
        found |= any && next.is_none();
        while let Some(enter) = next {
            let peek = self.peek()?;
            if enter && seen && !any {
                // Rows of the first one may be in the table already, and it is anyone's guess which is meant.
                return Err(self.malformed("a name on the way to the records stands twice"));
            }
            match enter {
                true => found |= self.records_at(rest, peek, many || any)?,
                false => self.skip(peek)?,
            }
            seen |= enter;
            next = match self.json.next_key() {
                Ok(key) => key.map(is_it),
                Err(error) => return Err(self.explain(error)),
            };
        }
        Ok(found)
    }

    fn records(&mut self, peek: Peek, many: bool) -> Result<(), DecodeError> {
        match peek {
            Peek::Array => {
                let mut next = self.json.known_array().map_err(|error| self.explain(error))?;
                while let Some(peek) = next {
                    self.record(peek)?;
                    next = self.json.array_step().map_err(|error| self.explain(error))?;
                }
                Ok(())
            }
            Peek::Null => self.skip(peek),
            Peek::Object => self.record(peek),
            _ if many => self.record(peek),
            _ => {
                self.skip(peek)?;
                let found = match peek {
                    Peek::String => "a string",
                    Peek::True | Peek::False => "a boolean",
                    _ => "a number",
                };
                Err(DecodeError::NoRecords { place: String::new(), found })
            }
        }
    }

    /// One record: the fields of an object, or whatever else it is as its `value`.
    fn record(&mut self, peek: Peek) -> Result<(), DecodeError> {
        match peek {
            Peek::Object => self.object(ROOT, 0)?,
            _ => {
                let node = self.table.child(ROOT, &mut 0, "value")?;
                self.value(node, peek, 0)?;
            }
        }
        self.table.end_record()
    }

    fn object(&mut self, node: NodeId, depth: usize) -> Result<(), DecodeError> {
        if depth >= MAX_DEPTH {
            return Err(self.malformed("it nests too deep"));
        }
        let mut cursor = 0;
        let mut next = match self.json.known_object() {
            Ok(Some(name)) => Some(self.table.child(node, &mut cursor, name)?),
            Ok(None) if node != ROOT => return self.table.put(node, b"{}", Kinds::JSON),
            Ok(None) => None,
            Err(error) => return Err(self.explain(error)),
        };
        while let Some(member) = next {
            let peek = self.peek()?;
            self.value(member, peek, depth)?;
            next = match self.json.next_key() {
                Ok(Some(name)) => Some(self.table.child(node, &mut cursor, name)?),
                Ok(None) => None,
                Err(error) => return Err(self.explain(error)),
            };
        }
        Ok(())
    }

    #[inline]
    fn value(&mut self, node: NodeId, peek: Peek, depth: usize) -> Result<(), DecodeError> {
        let error = match peek {
            Peek::String => match self.json.known_str() {
                Ok(text) => return self.table.put(node, text.as_bytes(), Kinds::TEXT),
                Err(error) => error,
            },
            Peek::Object => return self.object(node, depth + 1),
            Peek::Array => {
                let start = self.json.current_index();
                match self.json.known_skip(peek) {
                    Ok(()) => return self.table.put(node, self.json.slice_to_current(start), Kinds::JSON),
                    Err(error) => error,
                }
            }
            Peek::Null => match self.json.known_null() {
                Ok(()) => {
                    self.table.put_null(node);
                    return Ok(());
                }
                Err(error) => error,
            },
            Peek::True | Peek::False => match self.json.known_bool(peek) {
                Ok(true) => return self.table.put(node, b"true", Kinds::BOOLEAN),
                Ok(false) => return self.table.put(node, b"false", Kinds::BOOLEAN),
                Err(error) => error,
            },
            _ => match self.json.known_number_bytes(peek) {
                Ok(text) => return self.table.put_number(node, text),
                Err(error) => error,
            },
        };
        Err(self.explain(error))
    }

    #[cold]
    fn malformed(&self, reason: &str) -> DecodeError {
        DecodeError::Malformed { format: FORMAT, at: self.json.current_index(), reason: reason.into() }
    }
}

fn without_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

#[cold]
fn explain(body: &[u8], error: JiterError) -> DecodeError {
    let text = body.trim_ascii_start();
    let reason = match error.error_type {
        JiterErrorType::JsonError(reason) => reason,
        JiterErrorType::WrongType { .. } => JsonErrorType::ExpectedSomeValue,
    };
    let end = matches!(
        reason,
        JsonErrorType::EofWhileParsingList
            | JsonErrorType::EofWhileParsingObject
            | JsonErrorType::EofWhileParsingString
            | JsonErrorType::EofWhileParsingValue
    );
    match text.first() {
        None => DecodeError::Empty { format: FORMAT },
        Some(b'{' | b'[' | b'"') if end => DecodeError::CutShort { at: body.len() },
        Some(b'{' | b'[' | b'"') => {
            DecodeError::Malformed { format: FORMAT, at: error.index, reason: reason.to_string() }
        }
        Some(_) => DecodeError::OtherFormat { format: FORMAT, begins: begins(body) },
    }
}
