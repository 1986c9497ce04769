//! An XML document while it is read.

use std::collections::HashMap;

use quick_xml::errors::{Error, IllFormedError, SyntaxError};
use quick_xml::events::attributes::{AttrError, Attribute};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

use super::clock::Clock;
use super::entity::{self, Entity};
use super::notes::NoteKind;
use super::repair::Marks;
use super::xml_record::Record;
use super::{DecodeError, MAX_DEPTH, MAX_FIELDS, begins, cut, is_html};

const FORMAT: &str = "XML";
/// Up to so many attributes of an element are compared with each other.
const FEW_ATTRIBUTES: usize = 32;
/// How many prefixes of encodings are remembered: a document has two or three.
const MAX_PREFIXES: usize = 64;

/// A document, and what was noticed in it.
pub(super) struct Document<'a> {
    reader: Reader<&'a [u8]>,
    text: &'a str,
    /// Characters that the body has in another character set.
    pub(super) marks: Marks,
    /// Where the next of them is in `text`; none is at the greatest number.
    next_mark: usize,
    /// Where `text` begins in the text of the marks.
    base: usize,
    /// How many marks were passed in records.
    inside: u64,
    /// How many marks were passed before records.
    pub(super) outside: u64,
    /// Prefixes whose attributes say how the document is encoded, beside the usual ones.
    prefixes: Vec<Box<[u8]>>,
    /// An element on the way to the records, or in one, refers to another.
    pub(super) has_references: bool,
    clock: Clock,
}

impl<'a> Document<'a> {
    pub(super) fn open(text: &'a str, marks: Marks, base: usize, clock: Clock) -> Result<Self, DecodeError> {
        match text.trim_start().chars().next() {
            None => return Err(DecodeError::Empty { format: FORMAT }),
            Some('<') if is_html(text) => return Err(DecodeError::Html { format: FORMAT }),
            Some('<') => {}
            Some(_) => return Err(DecodeError::OtherFormat { format: FORMAT, begins: begins(text.as_bytes()) }),
        }
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.allow_dangling_amp = true;
        let (prefixes, has_references) = (Vec::new(), false);
        let next_mark = usize::MAX;
        let mut document =
            Self { reader, text, marks, next_mark, base, inside: 0, outside: 0, prefixes, has_references, clock };
        document.pass_marks(0);
        Ok(document)
    }

    /// Passes the marks before `end`, and returns how many they were.
    fn pass_marks(&mut self, end: usize) -> u64 {
        let passed = self.marks.pass(self.base + end);
        self.next_mark = self.marks.next().map_or(usize::MAX, |next| next - self.base);
        passed
    }

    /// How many characters were marked.
    pub(super) fn all_marks(&self) -> u64 {
        self.inside + self.outside + self.marks.left()
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or_default()
    }

    /// Reads the element that `start` begins, up to its end.
    pub(super) fn element(&mut self, start: &BytesStart<'_>, record: &mut Record) -> Result<(), DecodeError> {
        record.clear();
        let begun = self.position().saturating_sub(start.len() + 2);
        if self.next_mark < begun {
            self.outside += self.pass_marks(begun);
        }
        self.open_element(start, record)?;
        let mut depth = 1;
        while depth > 0 {
            match self.event()? {
                Event::Start(start) => {
                    depth += 1;
                    self.check_depth(depth)?;
                    self.open_element(&start, record)?;
                }
                Event::End(_) => {
                    depth -= 1;
                    record.close();
                }
                Event::Text(text) => {
                    if text.first() == Some(&b'&') {
                        record.mark(NoteKind::Entity);
                    }
                    record.text(&text.xml10_content().map_err(|_| self.malformed("bad text"))?)?;
                }
                Event::CData(text) => record.text(&text.xml10_content().map_err(|_| self.malformed("bad text"))?)?,
                Event::GeneralRef(reference) => self.reference(&reference, record)?,
                Event::Eof => return Err(self.cut_short()),
                _ => {}
            }
            if self.next_mark < self.position() {
                self.note_marks(record);
            }
        }
        Ok(())
    }

    /// Takes marks up to here as those of the open element.
    #[cold]
    fn note_marks(&mut self, record: &mut Record) {
        self.inside += self.pass_marks(self.position());
        record.mark(NoteKind::Charset);
    }

    fn reference(&mut self, reference: &BytesRef<'_>, record: &mut Record) -> Result<(), DecodeError> {
        let name = reference.decode().unwrap_or_default();
        let (letter, kind) = match entity::resolve(&name) {
            Entity::Known(letter) => return record.text(letter.encode_utf8(&mut [0; 4])),
            Entity::Odd(letter, kind) => (letter, kind),
            Entity::Unknown => {
                record.mark(NoteKind::Entity);
                return ["&", &*name, ";"].into_iter().try_for_each(|piece| record.text(piece));
            }
        };
        let rest = self.text.get(self.position()..).unwrap_or_default();
        if let Some((letter, _)) = entity::surrogate_pair(&name, rest) {
            self.event()?;
            return record.text(letter.encode_utf8(&mut [0; 4]));
        }
        record.mark(kind);
        record.text(letter.encode_utf8(&mut [0; 4]))
    }

    fn open_element(&mut self, start: &BytesStart<'_>, record: &mut Record) -> Result<(), DecodeError> {
        let name = local_name(start).ok_or_else(|| self.malformed("an element has no name"))?;
        record.open(name)?;
        // The check for names that stand twice compares each with all before it.
        for (at, attribute) in start.attributes().enumerate() {
            match attribute {
                Ok(_) if at >= FEW_ATTRIBUTES => return self.many_attributes(start, record),
                Ok(attribute) => self.attribute(&attribute, record)?,
                Err(AttrError::Duplicated(..)) => return self.many_attributes(start, record),
                Err(error) => return Err(self.explain(error.into())),
            }
        }
        Ok(())
    }

    /// Many attributes, or some that stand twice: the last one counts.
    #[cold]
    fn many_attributes(&mut self, start: &BytesStart<'_>, record: &mut Record) -> Result<(), DecodeError> {
        record.drop_attributes();
        let all = start.attributes().with_checks(false).take(MAX_FIELDS + 1).collect::<Result<Vec<_>, _>>();
        let all = all.map_err(|error| self.explain(error.into()))?;
        if all.len() > MAX_FIELDS {
            return Err(DecodeError::Limit { limit: "10000 attributes in one element" });
        }
        let last: HashMap<_, _> = all.iter().enumerate().map(|(at, attribute)| (attribute.key, at)).collect();
        if last.len() < all.len() {
            record.mark(NoteKind::DuplicateName);
        }
        let kept = all.iter().enumerate().filter(|(at, attribute)| last.get(&attribute.key) == Some(at));
        kept.map(|(_, attribute)| attribute).try_for_each(|attribute| self.attribute(attribute, record))
    }

    #[inline]
    fn attribute(&mut self, attribute: &Attribute<'_>, record: &mut Record) -> Result<(), DecodeError> {
        let (local, prefix) = attribute.key.decompose();
        let prefix = prefix.map(|prefix| prefix.into_inner()).unwrap_or_default();
        let local = std::str::from_utf8(local.into_inner()).unwrap_or_default();
        match (prefix, local) {
            (b"", "xmlns") => Ok(()),
            (b"xmlns", _) => {
                self.declare(local, &attribute.value);
                Ok(())
            }
            (b"", "href") if attribute.value.starts_with(b"#") => {
                self.has_references = true;
                record.add_reference(&String::from_utf8_lossy(&attribute.value))
            }
            (b"", _) => self.data(local, attribute, record),
            (_, "nil") => match attribute.value.trim_ascii() {
                b"true" | b"1" => {
                    record.set_nil(true);
                    Ok(())
                }
                b"false" | b"0" => Ok(()),
                _ => self.data(local, attribute, record),
            },
            (b"xsi", _) => Ok(()),
            _ if self.is_encoding(prefix) => {
                self.has_references |= local == "ref";
                Ok(())
            }
            _ => self.data(local, attribute, record),
        }
    }

    fn data(&self, local: &str, attribute: &Attribute<'_>, record: &mut Record) -> Result<(), DecodeError> {
        match attribute.unescape_value() {
            Ok(value) => record.add_attribute(local, &value),
            Err(_) => {
                let (value, odd) = entity::unescape(&String::from_utf8_lossy(&attribute.value));
                record.add_attribute(local, &value)?;
                record.mark_last(odd);
                Ok(())
            }
        }
    }

    fn is_encoding(&self, prefix: &[u8]) -> bool {
        prefix.eq_ignore_ascii_case(b"SOAP-ENC")
            || prefix == b"soapenc"
            || self.prefixes.iter().any(|known| **known == *prefix)
    }

    /// Remembers a prefix whose attributes are no data.
    #[cold]
    fn declare(&mut self, prefix: &str, namespace: &[u8]) {
        let namespace = std::str::from_utf8(namespace).unwrap_or_default();
        let is_encoding = namespace.ends_with("XMLSchema-instance")
            || namespace.trim_end_matches('/').ends_with("soap/encoding")
            || namespace.ends_with("soap-encoding");
        if is_encoding
            && self.prefixes.len() < MAX_PREFIXES
            && !self.prefixes.iter().any(|known| **known == *prefix.as_bytes())
        {
            self.prefixes.push(prefix.as_bytes().into());
        }
    }

    /// Takes the declarations of an element on the way to the records, and decides whether it is nil.
    pub(super) fn note_declarations(&mut self, start: &BytesStart<'_>) -> bool {
        let mut is_nil = false;
        for attribute in start.attributes().with_checks(false).flatten() {
            let (local, prefix) = attribute.key.decompose();
            let prefix = prefix.map(|prefix| prefix.into_inner()).unwrap_or_default();
            match (prefix, local.into_inner()) {
                (b"xmlns", local) => self.declare(std::str::from_utf8(local).unwrap_or_default(), &attribute.value),
                (b"", b"href") => self.has_references |= attribute.value.starts_with(b"#"),
                (b"", _) => {}
                (_, b"nil") => is_nil |= matches!(attribute.value.trim_ascii(), b"true" | b"1"),
                (_, b"ref") => self.has_references |= self.is_encoding(prefix),
                _ => {}
            }
        }
        is_nil
    }

    pub(super) fn soap_fault(&mut self, start: &BytesStart<'_>) -> DecodeError {
        let mut record = Record::default();
        match self.element(start, &mut record) {
            Ok(()) => DecodeError::SoapFault { reason: cut(record.fault_reason().trim()) },
            Err(error) => error,
        }
    }

    pub(super) fn check_depth(&self, depth: usize) -> Result<(), DecodeError> {
        if depth > MAX_DEPTH { Err(self.malformed("it nests too deep")) } else { Ok(()) }
    }

    pub(super) fn event(&mut self) -> Result<Event<'a>, DecodeError> {
        self.clock.check(self.position())?;
        match self.reader.read_event() {
            Ok(Event::DocType(_)) => Err(self.malformed("it declares a document type")),
            Ok(event) => Ok(event),
            Err(error) => Err(self.explain(error)),
        }
    }

    #[cold]
    fn explain(&self, error: Error) -> DecodeError {
        match error {
            Error::Syntax(SyntaxError::InvalidBangMarkup) => self.malformed("unknown markup behind `<!`"),
            Error::Syntax(_) | Error::IllFormed(IllFormedError::MissingEndTag(_)) => self.cut_short(),
            error => self.malformed(&error.to_string()),
        }
    }

    #[cold]
    pub(super) fn malformed(&self, reason: &str) -> DecodeError {
        DecodeError::Malformed { format: FORMAT, at: self.position(), reason: cut(reason) }
    }

    #[cold]
    pub(super) fn cut_short(&self) -> DecodeError {
        DecodeError::CutShort { at: self.text.len() }
    }
}

/// An element's name without its prefix.
pub(super) fn local_name<'s>(start: &'s BytesStart<'_>) -> Option<&'s str> {
    std::str::from_utf8(start.local_name().into_inner()).ok().filter(|name| !name.is_empty())
}
