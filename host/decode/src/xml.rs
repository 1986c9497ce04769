//! XML: the way to the records, and the shapes of documents that are refused.

use quick_xml::errors::{Error, IllFormedError, SyntaxError};
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::place::element_names;
use super::table::Table;
use super::xml_record::Record;
use super::{DecodeError, MAX_DEPTH, begins, charset, cut, is_html};

const FORMAT: &str = "XML";
const FAULT: [&str; 3] = ["Envelope", "Body", "Fault"];

/// Reads the records at `place` into `table`.
///
/// The root must have the place's first name; that nothing else of the place is there means no records. A SOAP fault
/// is an error, and so is a document type: entities are the five predefined ones.
pub(super) fn read_document(place: &str, body: &[u8], table: &mut Table) -> Result<(), DecodeError> {
    let names = element_names(place)?;
    let text = charset::xml_text(body)?;
    let mut record = Record::default();
    Document::open(&text)?.walk(&names, |document, start| {
        document.element(start, &mut record)?;
        record.put_into(table)?;
        table.end_record().map(|()| true)
    })
}

/// The value at names; see [`super::value_at`].
pub(super) fn value_at(body: &[u8], place: &str) -> Option<String> {
    let mut names = element_names(place).ok()?;
    let attribute = names.last().and_then(|name| name.strip_prefix('@')).map(str::to_owned);
    if attribute.is_some() {
        names.pop();
    }
    let text = charset::xml_text(body).ok()?;
    let (mut record, mut value) = (Record::default(), None);
    let walked = Document::open(&text).ok()?.walk(&names, |document, start| {
        document.element(start, &mut record)?;
        value = match &attribute {
            Some(name) => record.attribute(name).map(str::to_owned),
            None => record.value(),
        };
        // A parent that doesn't have the attribute may have a sibling that does.
        Ok(attribute.is_some() && value.is_none())
    });
    walked.ok()?;
    value
}

/// A document while it is read.
struct Document<'a> {
    reader: Reader<&'a [u8]>,
    length: usize,
}

impl<'a> Document<'a> {
    fn open(text: &'a str) -> Result<Self, DecodeError> {
        match text.trim_start().chars().next() {
            None => return Err(DecodeError::Empty { format: FORMAT }),
            Some('<') if is_html(text) => return Err(DecodeError::Html { format: FORMAT }),
            Some('<') => {}
            Some(_) => return Err(DecodeError::OtherFormat { format: FORMAT, begins: begins(text.as_bytes()) }),
        }
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        Ok(Self { reader, length: text.len() })
    }

    /// Calls `found` at each element whose names from the root are `names`; it reads the element and says whether
    /// to go on.
    fn walk(
        mut self,
        names: &[String],
        mut found: impl FnMut(&mut Self, &BytesStart<'_>) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        // Open elements; how many of them, from the root, are those of the place; and those of a fault's place.
        let (mut depth, mut matched, mut fault) = (0, 0, 0);
        let mut roots = 0;
        let asks_for_fault = names.len() >= FAULT.len() && names.iter().zip(FAULT).all(|(name, fault)| name == fault);
        loop {
            match self.event()? {
                Event::Start(start) => {
                    let name = local_name(&start).ok_or_else(|| self.malformed("an element has no name"))?;
                    if depth == 0 {
                        roots += 1;
                        self.check_root(name, names.first(), roots)?;
                    }
                    let is_next = matched == depth && names.get(depth).is_some_and(|want| want == "*" || want == name);
                    if fault == depth && FAULT.get(depth) == Some(&name) {
                        fault += 1;
                        // Who asks for the fault itself is given it.
                        if fault == FAULT.len() && !asks_for_fault {
                            return Err(self.soap_fault(&start));
                        }
                    }
                    if is_next && depth + 1 == names.len() {
                        if !found(&mut self, &start)? {
                            return Ok(());
                        }
                        fault = fault.min(depth);
                        continue;
                    }
                    matched += usize::from(is_next);
                    depth += 1;
                    self.check_depth(depth)?;
                }
                Event::End(_) => {
                    depth = depth.saturating_sub(1);
                    (matched, fault) = (matched.min(depth), fault.min(depth));
                }
                Event::Text(text) if depth == 0 && !text.trim_ascii().is_empty() => {
                    return Err(self.malformed("there is text outside of the root"));
                }
                Event::CData(_) | Event::GeneralRef(_) if depth == 0 => {
                    return Err(self.malformed("there is text outside of the root"));
                }
                Event::Eof if depth > 0 || roots == 0 => return Err(DecodeError::CutShort { at: self.length }),
                Event::Eof => return Ok(()),
                _ => {}
            }
        }
    }

    fn check_root(&self, name: &str, expected: Option<&String>, roots: usize) -> Result<(), DecodeError> {
        match expected {
            _ if roots > 1 => Err(self.malformed("there are two roots")),
            Some(expected) if expected != "*" && expected != name => {
                Err(DecodeError::OtherRoot { expected: cut(expected), found: cut(name) })
            }
            _ => Ok(()),
        }
    }

    fn check_depth(&self, depth: usize) -> Result<(), DecodeError> {
        if depth > MAX_DEPTH { Err(self.malformed("it nests too deep")) } else { Ok(()) }
    }

    /// Reads the element that `start` begins, up to its end.
    fn element(&mut self, start: &BytesStart<'_>, record: &mut Record) -> Result<(), DecodeError> {
        record.clear();
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
                Event::Text(text) => record.text(&text.xml10_content().map_err(|_| self.malformed("bad text"))?)?,
                Event::CData(text) => record.text(&text.xml10_content().map_err(|_| self.malformed("bad text"))?)?,
                Event::GeneralRef(reference) => {
                    let entity = reference.decode().unwrap_or_default();
                    let character = reference.resolve_char_ref().map_err(|error| self.explain(error))?;
                    match (character, quick_xml::escape::resolve_xml_entity(&entity)) {
                        (Some(character), _) => record.text(character.encode_utf8(&mut [0; 4]))?,
                        (None, Some(text)) => record.text(text)?,
                        (None, None) => return Err(self.malformed(&format!("unknown entity `{}`", cut(&entity)))),
                    }
                }
                Event::Eof => return Err(DecodeError::CutShort { at: self.length }),
                _ => {}
            }
        }
        Ok(())
    }

    fn open_element(&self, start: &BytesStart<'_>, record: &mut Record) -> Result<(), DecodeError> {
        let name = local_name(start).ok_or_else(|| self.malformed("an element has no name"))?;
        record.open(name)?;
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| self.explain(error.into()))?;
            let value = attribute.unescape_value().map_err(|error| self.explain(error))?;
            let (local, prefix) = attribute.key.decompose();
            let prefix = prefix.map(|prefix| prefix.into_inner()).unwrap_or_default();
            let local = std::str::from_utf8(local.into_inner()).unwrap_or_default();
            match (prefix, local) {
                (b"", "xmlns") | (b"xmlns", _) => {}
                (b"xsi", "nil") => record.set_nil(value == "true" || value == "1"),
                (b"xsi", _) => {}
                _ if prefix.eq_ignore_ascii_case(b"SOAP-ENC") || prefix == b"soapenc" => {}
                _ => record.add_attribute(local, &value)?,
            }
        }
        Ok(())
    }

    fn soap_fault(&mut self, start: &BytesStart<'_>) -> DecodeError {
        let mut record = Record::default();
        match self.element(start, &mut record) {
            Ok(()) => DecodeError::SoapFault { reason: cut(record.fault_reason().trim()) },
            Err(error) => error,
        }
    }

    fn event(&mut self) -> Result<Event<'a>, DecodeError> {
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
            Error::Syntax(_) | Error::IllFormed(IllFormedError::MissingEndTag(_)) => {
                DecodeError::CutShort { at: self.length }
            }
            error => self.malformed(&error.to_string()),
        }
    }

    #[cold]
    fn malformed(&self, reason: &str) -> DecodeError {
        let at = usize::try_from(self.reader.buffer_position()).unwrap_or_default();
        DecodeError::Malformed { format: FORMAT, at, reason: cut(reason) }
    }
}

fn local_name<'s>(start: &'s BytesStart<'_>) -> Option<&'s str> {
    std::str::from_utf8(start.local_name().into_inner()).ok().filter(|name| !name.is_empty())
}
