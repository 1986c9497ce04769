//! XML: the way to the records, and the shapes of documents that are refused.

use std::time::Instant;

use quick_xml::events::{BytesStart, Event};

use super::DecodeError;
use super::charset::{self, mark_length, without_padding};
use super::clock::Clock;
use super::cut;
use super::decoded::{BodyLayout, Decoded, TornRows};
use super::notes::NoteKind;
use super::place::element_names;
use super::references;
use super::repair::Marks;
use super::table::Table;
use super::xml_document::{Document, local_name};
use super::xml_record::Record;

const FAULT: [&str; 3] = ["Envelope", "Body", "Fault"];

/// Reads the records of a body.
///
/// The root must have the place's first name, and there must be the element that holds the records; that it holds none
/// means no records. A SOAP fault is an error, and so is a document type: entities are the five predefined ones, and
/// those of HTML by their names. SOAP's references are resolved first, if there are any.
pub(super) fn decode(layout: &BodyLayout<'_>, place: &str, body: &[u8]) -> Result<Decoded, DecodeError> {
    let names = element_names(place)?;
    let text = charset::xml_text(layout.charset, body)?;
    let (content, base) = content(&text.text);
    let clock = Clock::new(layout.deadline);
    let mut table = Table::new(body.len(), clock);
    if text.is_guessed {
        table.note_outside(NoteKind::Charset, 1);
    }
    if content.len() + base < text.text.len() {
        table.note_outside(NoteKind::Nul, 1);
    }
    let mut document = Document::open(content, text.marks, base, clock)?;
    let read = read_records(&mut document, &names, place, &mut table);
    let (has_references, outside) = (document.has_references, document.outside + document.marks.left());
    if has_references
        && !matches!(&read, Err(DecodeError::Limit { .. } | DecodeError::OutOfTime { .. }))
        && let Some(resolved) = references::resolve(content, clock)?
    {
        let mut table = Table::new(resolved.len(), clock);
        // Their places are those of the text before.
        let marks = document.all_marks();
        read_records(&mut Document::open(&resolved, Marks::default(), 0, clock)?, &names, place, &mut table)?;
        return finish(layout, table, marks);
    }
    read?;
    finish(layout, table, outside)
}

fn finish(layout: &BodyLayout<'_>, mut table: Table, marks: u64) -> Result<Decoded, DecodeError> {
    if marks > 0 {
        table.note_outside(NoteKind::Charset, marks);
    }
    let (batch, notes) = table.finish(layout.expected(), true)?;
    Ok(Decoded { batch, notes, cut_at_end: false, torn: TornRows::default() })
}

/// The text between byte-order marks and padding, and where it begins.
fn content(text: &str) -> (&str, usize) {
    let base = mark_length(text.as_bytes());
    (without_padding(text.get(base..).unwrap_or_default()), base)
}

fn read_records(
    document: &mut Document<'_>,
    names: &[String],
    place: &str,
    table: &mut Table,
) -> Result<(), DecodeError> {
    let mut record = Record::default();
    let found = walk(document, names, |document, start| {
        document.element(start, &mut record)?;
        record.put_into(table)?;
        table.end_record().map(|()| true)
    })?;
    match found {
        _ if table.rows() > 0 => Ok(()),
        WalkReport { parent_is_nil: true, .. } => Err(DecodeError::NotAList { place: cut(place), found: "null" }),
        WalkReport { deepest, .. } if deepest + 1 < names.len() => Err(DecodeError::NothingAt { place: cut(place) }),
        // Where any name will do for a parent, an error's or a page's does too.
        WalkReport { is_html: true, .. } if has_wildcard(names) => Err(DecodeError::Html { format: "XML" }),
        WalkReport { beside: Some(found), .. } if has_wildcard(names) => {
            Err(DecodeError::NotAList { place: cut(place), found })
        }
        WalkReport { .. } => Ok(()),
    }
}

/// Whether a parent of the records may have any name.
fn has_wildcard(names: &[String]) -> bool {
    names.iter().rev().skip(1).any(|name| name == "*")
}

/// The value at names; see [`super::value_at`].
pub(super) fn value_at(body: &[u8], place: &str, deadline: Option<Instant>) -> Option<String> {
    let clock = Clock::new(deadline);
    let mut names = element_names(place).ok()?;
    let attribute = names.last().and_then(|name| name.strip_prefix('@')).map(str::to_owned);
    if attribute.is_some() {
        names.pop();
    }
    let text = charset::xml_text(None, body).ok()?;
    let (text, _) = content(&text.text);
    let find = |text: &str| {
        let (mut record, mut value) = (Record::default(), None);
        let mut document = Document::open(text, Marks::default(), 0, clock).ok()?;
        let walked = walk(&mut document, &names, |document, start| {
            document.element(start, &mut record)?;
            value = match &attribute {
                Some(name) => record.attribute(name).map(str::to_owned),
                None => record.value(),
            };
            // A parent that doesn't have the attribute may have a sibling that does.
            Ok(attribute.is_some() && value.is_none())
        });
        Some((walked.ok().and(value), document.has_references))
    };
    let (value, has_references) = find(text)?;
    let resolved = if has_references { references::resolve(text, clock).ok()? } else { None };
    match resolved {
        Some(resolved) => find(&resolved)?.0,
        None => value,
    }
}

/// What a walk met on the way to the records.
#[derive(Clone, Copy, Default)]
struct WalkReport {
    /// How many of the place's names, from the root, were met.
    deepest: usize,
    /// The element that should hold the records is nil.
    parent_is_nil: bool,
    /// What the element that should hold the records has beside them.
    beside: Option<&'static str>,
    /// The root is a web page's.
    is_html: bool,
}

/// Calls `found` at each element whose names from the root are `names`; it reads the element and decides whether to go
/// on.
fn walk<'a>(
    document: &mut Document<'a>,
    names: &[String],
    mut found: impl FnMut(&mut Document<'a>, &BytesStart<'_>) -> Result<bool, DecodeError>,
) -> Result<WalkReport, DecodeError> {
    // Open elements; how many of them, from the root, are those of the place; and of a fault's, which who asks for it is given.
    let (mut depth, mut matched, mut fault) = (0, 0, 0);
    let (mut roots, mut met) = (0, WalkReport::default());
    let asks_for_fault = names.len() >= FAULT.len() && names.iter().zip(FAULT).all(|(name, fault)| name == fault);
    loop {
        match document.event()? {
            Event::Start(start) => {
                let name = local_name(&start).ok_or_else(|| document.malformed("an element has no name"))?;
                if depth == 0 {
                    roots += 1;
                    met.is_html |= name.eq_ignore_ascii_case("html");
                    check_root(document, name, names.first(), roots)?;
                }
                let is_next = matched == depth && names.get(depth).is_some_and(|want| want == "*" || want == name);
                if fault == depth && FAULT.get(depth) == Some(&name) {
                    fault += 1;
                    if fault == FAULT.len() && !asks_for_fault {
                        return Err(document.soap_fault(&start));
                    }
                }
                if is_next && depth + 1 == names.len() {
                    if !found(document, &start)? {
                        return Ok(met);
                    }
                    fault = fault.min(depth);
                    continue;
                }
                if is_next {
                    let is_nil = document.note_declarations(&start);
                    met.deepest = met.deepest.max(depth + 1);
                    met.parent_is_nil |= is_nil && depth + 2 == names.len();
                    matched += 1;
                } else if matched == depth && depth + 1 == names.len() {
                    met.beside = Some("other elements");
                }
                depth += 1;
                document.check_depth(depth)?;
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                (matched, fault) = (matched.min(depth), fault.min(depth));
            }
            Event::Text(text) if text.trim_ascii().is_empty() => {}
            Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) if depth == 0 => {
                return Err(document.malformed("there is text outside of the root"));
            }
            Event::Text(_) | Event::CData(_) if matched == depth && depth + 1 == names.len() => {
                met.beside = met.beside.or(Some("text"));
            }
            Event::Eof if depth > 0 || roots == 0 => return Err(document.cut_short()),
            Event::Eof => return Ok(met),
            _ => {}
        }
    }
}

fn check_root(document: &Document<'_>, name: &str, expected: Option<&String>, roots: usize) -> Result<(), DecodeError> {
    match expected {
        _ if roots > 1 => Err(document.malformed("there are two roots")),
        Some(expected) if expected != "*" && expected != name => {
            Err(DecodeError::OtherRoot { expected: cut(expected), found: cut(name) })
        }
        _ => Ok(()),
    }
}
