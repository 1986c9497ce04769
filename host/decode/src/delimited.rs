//! CSV and its relatives.

use sluice_model::{Delimited, Kinds};

use super::charset::{self, Text, mark_length, without_padding};
use super::clock::Clock;
use super::decoded::{BodyLayout, Decoded, TornRow, TornRows};
use super::header::{Header, named};
use super::notes::NoteKind;
use super::repair::Marks;
use super::rows::{Lines, Row, Rows};
use super::table::Table;
use super::{DecodeError, begins, is_html};

const FORMAT: &str = "delimited text";
/// How many torn rows are listed, if they are records all the same.
const MAX_LISTED: usize = 1 << 16;
/// How many torn rows a body may have, if they are none.
const MAX_TORN: usize = 1 << 22;

/// Reads one record per row.
///
/// Rows that are too long get columns `column_27`, counted from 1; values that a short row lacks are null. A header's
/// second `name` becomes `name_2`, a nameless field `column_3`. With exact fields, neither kind of row is a record, but for
/// one with empty fields behind those of the header.
pub(super) fn decode(layout: &BodyLayout<'_>, format: &Delimited, body: &[u8]) -> Result<Decoded, DecodeError> {
    if !format.delimiter.is_ascii() || format.quote.is_some_and(|quote| !quote.is_ascii()) {
        return Err(DecodeError::BadDelimiter);
    }
    let Text { text, marks, .. } = charset::text(&format.charset, layout.charset, body)?;
    let whole = without_padding(&text);
    let mut table = Table::new(body.len(), Clock::new(layout.deadline));
    if whole.len() < text.len() {
        table.note_outside(NoteKind::Nul, 1);
    }
    let start = mark_length(whole.as_bytes());
    refuse_other_formats(whole.get(start..).unwrap_or_default())?;
    let start = skip_lines(whole, start, format.skip_lines);
    let mut rows = Rows::new(format, whole, start);
    let header = read_header(layout, format, &mut rows, whole, &mut table)?;
    let torn = read_rows(layout, rows, header, whole, marks, &mut table)?;
    let cut_at_end = !whole.is_empty() && !whole.ends_with(['\n', '\r']);
    let (batch, notes) = table.finish(layout.expected(), false)?;
    Ok(Decoded { batch, notes, cut_at_end, torn })
}

/// Another format would make a header of one line and no rows, which looks like an empty day.
fn refuse_other_formats(text: &str) -> Result<(), DecodeError> {
    match text.trim_start().chars().next() {
        Some('<') if is_html(text) => Err(DecodeError::Html { format: FORMAT }),
        Some('<' | '{' | '[') => Err(DecodeError::OtherFormat { format: FORMAT, begins: begins(text.as_bytes()) }),
        _ => Ok(()),
    }
}

/// Where the text behind so many lines begins, each ended by CR LF, LF or CR, and behind byte-order marks.
fn skip_lines(text: &str, mut start: usize, lines: u32) -> usize {
    for _ in 0..lines {
        let rest = text.get(start..).unwrap_or_default();
        start += match rest.find(['\n', '\r']) {
            Some(end) if rest.get(end..).is_some_and(|rest| rest.starts_with("\r\n")) => end + 2,
            Some(end) => end + 1,
            None => rest.len(),
        };
    }
    start + mark_length(text.as_bytes().get(start..).unwrap_or_default())
}

/// The columns, as the layout gives them or else the first line that isn't blank.
fn read_header(
    layout: &BodyLayout<'_>,
    format: &Delimited,
    rows: &mut Rows<'_>,
    text: &str,
    table: &mut Table,
) -> Result<Header, DecodeError> {
    let mut names = format.header.clone();
    while names.is_empty() {
        let Some(row) = rows.next()? else {
            // A text without a header is none, not one without rows.
            return if layout.known().next().is_none() {
                Ok(Header::default())
            } else {
                Err(DecodeError::Empty { format: FORMAT })
            };
        };
        if !row.is_blank() {
            let found = row.fields().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
            names = named(layout, found, format.quote.is_some(), || begins(text.as_bytes()))?;
        }
    }
    let mut header = Header::default();
    names.iter().try_for_each(|name| header.add(name, table))?;
    Ok(header)
}

/// Reads the rows behind the header into `table`, and gives those that are torn.
fn read_rows(
    layout: &BodyLayout<'_>,
    mut rows: Rows<'_>,
    mut header: Header,
    text: &str,
    mut marks: Marks,
    table: &mut Table,
) -> Result<TornRows, DecodeError> {
    let (expected, excluded) = (header.len(), layout.exact_fields);
    let mut torn = TornRows { expected, excluded, ..TornRows::default() };
    let mut lines = Lines::new(text);
    while let Some(row) = rows.next()? {
        table.check_time(row.span.start)?;
        if row.is_blank() && expected > 1 {
            continue;
        }
        torn.is_last = row.len() < expected;
        if row.len() != expected && !row.ends_in_delimiters(expected) {
            note_torn(&mut torn, &row, &mut lines)?;
            if excluded {
                continue;
            }
        }
        for (at, field) in row.fields().enumerate() {
            let node = header.node(at, table)?;
            table.put(node, field, Kinds::TEXT)?;
        }
        let span = row.span;
        if marks.is_before(span.end) {
            note_marks(&mut rows, text, span, &mut marks, &mut header, table)?;
        }
        table.end_record()?;
    }
    let outside = marks.left();
    if outside > 0 {
        table.note_outside(NoteKind::Charset, outside);
    }
    Ok(torn)
}

#[cold]
fn note_torn(torn: &mut TornRows, row: &Row<'_>, lines: &mut Lines<'_>) -> Result<(), DecodeError> {
    torn.total += 1;
    if torn.excluded && torn.total > MAX_TORN {
        return Err(DecodeError::Limit { limit: "4194304 rows with another number of fields than the header" });
    }
    if torn.excluded || torn.rows.len() < MAX_LISTED {
        let fields = u32::try_from(row.len()).unwrap_or(u32::MAX);
        torn.rows.push(TornRow { line: lines.of(row.span.start), fields });
    }
    Ok(())
}

/// Notes the fields of a row in which characters of another character set stand.
#[cold]
fn note_marks(
    rows: &mut Rows<'_>,
    text: &str,
    row: std::ops::Range<usize>,
    marks: &mut Marks,
    header: &mut Header,
    table: &mut Table,
) -> Result<(), DecodeError> {
    let outside = marks.pass(row.start);
    if outside > 0 {
        table.note_outside(NoteKind::Charset, outside);
    }
    let end = row.end;
    let places = std::iter::from_fn(|| {
        let place = marks.next().filter(|place| *place < end)?;
        marks.pass(place + 1);
        Some(place)
    });
    for field in rows.fields_at(text, row, places) {
        let node = header.node(field, table)?;
        table.note(node, NoteKind::Charset);
    }
    Ok(())
}

#[cfg(test)]
#[path = "delimited_tests.rs"]
mod tests;
