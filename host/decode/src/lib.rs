//! Bodies into columns: every field of every record as literal text, in one pass and without a value tree.
//!
//! A [`Layout`] says where a body's records are. Each becomes a row; each of its fields, however deep, a column
//! named by its path. Numbers are never read as numbers here, so no digit of an amount can get lost.
//!
//! Bodies come from outside, and layouts from guests: nothing in them may panic, nest without end, or make more
//! of little. Hence the limits below. What exceeds them is an error, never a cut table.

mod charset;
mod delimited;
mod json;
#[cfg(test)]
mod json_tests;
mod number;
mod place;
#[cfg(test)]
mod properties;
mod scan;
mod table;
mod xml;
mod xml_record;
#[cfg(test)]
mod xml_tests;

use sluice_model::{Format, Layout, NativeBatch};
use thiserror::Error;

use self::table::Table;

/// How deep records and the way to them may nest.
const MAX_DEPTH: usize = 128;
/// How many paths the records of one body may have.
const MAX_FIELDS: usize = 10_000;
/// How many values one body may become, counting nulls: 512 MiB of offsets.
const MAX_CELLS: usize = 1 << 27;

/// Every field of every record as literal text columns.
///
/// Columns stand in the order in which their paths are first seen. Pinned columns and the mapping's inputs are
/// there even if no record has them. Strings are unescaped; numbers and booleans stay as they are written; arrays
/// and empty objects are JSON text; a missing field and an explicit null are null. If a name stands twice in an
/// object, the last one counts. An opaque body gives no columns.
///
/// In XML, the value of an element without child elements is its text, `""` if it is empty; repeated siblings are
/// one JSON array. Declarations (`xmlns…`, `xsi:…`, `SOAP-ENC:…`) aren't data and give no columns.
pub fn decode(layout: &Layout, body: &[u8]) -> Result<NativeBatch, DecodeError> {
    let mut table = Table::new();
    match &layout.format {
        Format::Json(place) => json::read_document(place, body, &mut table)?,
        Format::Ndjson => json::read_lines(body, &mut table)?,
        Format::Xml(place) => xml::read_document(place, body, &mut table)?,
        Format::Delimited(format) => delimited::read_rows(layout, format, body, &mut table)?,
        Format::Opaque => return Ok(NativeBatch::default()),
    }
    let expected = layout.pins.iter().map(|pin| &pin.path).chain(&layout.inputs);
    table.finish(expected.map(String::as_str)).map_err(|error| match error {
        // Only JSON gets here unchecked: its columns are checked as they become arrays, and not before.
        DecodeError::Charset { at: None, .. } => json::not_utf8(body),
        error => error,
    })
}

/// The value at a JSON Pointer (`place` is empty or starts with `/`), or at local XML names joined by `.`.
///
/// Strings are unescaped, numbers and booleans as they are written, objects, arrays and elements with children
/// JSON text. In XML the last name may be an attribute (`@name`), and of repeated elements the first one counts.
/// None if it isn't there, is null, or if the body is broken.
pub fn value_at(body: &[u8], place: &str) -> Option<String> {
    match place.is_empty() || place.starts_with('/') {
        true => json::value_at(body, place),
        false => xml::value_at(body, place),
    }
}

/// Whether text can be read in a charset of this name: a label of the Encoding Standard.
pub fn is_charset(label: &str) -> bool {
    encoding_rs::Encoding::for_label(label.as_bytes()).is_some()
}

/// Why a body could not be decoded. One short line, whatever the body holds.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The body ends in the middle of something.
    #[error("body is cut short at byte {at}")]
    CutShort {
        /// How many bytes there are.
        at: usize,
    },
    /// The body is in another format than the layout says.
    #[error("no {format}: it begins with `{begins}`")]
    OtherFormat {
        /// The format that the layout says.
        format: &'static str,
        /// The body's first characters.
        begins: String,
    },
    /// The body is empty, where its format can't be.
    #[error("no {format}: the body is empty")]
    Empty {
        /// The format that the layout says.
        format: &'static str,
    },
    /// A web page instead of data.
    #[error("no {format}: it is HTML")]
    Html {
        /// The format that the layout says.
        format: &'static str,
    },
    /// The body breaks its format's rules.
    #[error("bad {format} at byte {at}: {reason}")]
    Malformed {
        /// The format.
        format: &'static str,
        /// Where, from 0, in the body as UTF-8.
        at: usize,
        /// What is wrong.
        reason: String,
    },
    /// The body isn't in the character set that it should be in.
    #[error("body is not {charset}{}", at.map(|at| format!(" at byte {at}")).unwrap_or_default())]
    Charset {
        /// The character set.
        charset: &'static str,
        /// Where, if that is known.
        at: Option<usize>,
    },
    /// No such character set.
    #[error("unknown character set `{label}`")]
    UnknownCharset {
        /// Its label.
        label: String,
    },
    /// The layout names a place that can't be one.
    #[error("`{place}` is no place for records: {reason}")]
    BadPlace {
        /// The place.
        place: String,
        /// Why not.
        reason: &'static str,
    },
    /// The body doesn't have the place where its records should be.
    #[error("nothing at `{place}`")]
    NothingAt {
        /// The place.
        place: String,
    },
    /// Something else stands where the records should be.
    #[error("no records at `{place}`: it is {found}")]
    NoRecords {
        /// The place.
        place: String,
        /// What is there.
        found: &'static str,
    },
    /// The document is another one.
    #[error("root element is `{found}`, not `{expected}`")]
    OtherRoot {
        /// The first name of the layout's place.
        expected: String,
        /// The root's local name.
        found: String,
    },
    /// The first line doesn't have a single field of the layout.
    #[error("header has no field of the layout: it begins with `{begins}`")]
    OtherHeader {
        /// The body's first characters.
        begins: String,
    },
    /// The body ends inside of a quoted field.
    #[error("a quote is open at the end of the body")]
    OpenQuote,
    /// The layout's delimiter or quote can't be one.
    #[error("delimiter and quote must be one ASCII character each")]
    BadDelimiter,
    /// The answer is a SOAP fault.
    #[error("SOAP fault: {reason}")]
    SoapFault {
        /// The fault's text.
        reason: String,
    },
    /// There are more records than one answer may have.
    #[error("body has {records} records, {allowed} are allowed")]
    TooManyRecords {
        /// How many there are.
        records: usize,
        /// How many may be.
        allowed: usize,
    },
    /// The body exceeds a limit.
    #[error("body has more than {limit}")]
    Limit {
        /// The limit.
        limit: &'static str,
    },
}

/// `text` on one line of at most 60 characters, for a message.
fn cut(text: &str) -> String {
    let mut line: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(60).is_some() {
        line.push('…');
    }
    line
}

/// What a body begins with, for a message.
fn begins(body: &[u8]) -> String {
    let head = body.get(..400).unwrap_or(body);
    cut(String::from_utf8_lossy(head).trim_start().trim_start_matches('\u{feff}').trim())
}

/// Whether a text begins like a web page.
fn is_html(text: &str) -> bool {
    let head: String = text.trim_start().chars().take(14).collect::<String>().to_ascii_lowercase();
    head.starts_with("<!doctype html") || head.starts_with("<html")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use arrow::array::Array;
    use sluice_model::{Kind, Kinds, Pin};

    use super::*;

    #[test]
    fn pins_and_inputs_exist_without_a_value() {
        let layout = Layout {
            format: Format::Json(String::new()),
            pins: vec![Pin { path: "amount".into(), kind: Kind::Decimal }],
            inputs: vec!["id".into(), "clickRefs.clickRef".into()],
            key: vec![],
        };
        let batch = decode(&layout, br#"[{"id":1},{"id":2}]"#).unwrap();
        let paths: Vec<_> = batch.columns.iter().map(|column| column.path.as_str()).collect();
        assert_eq!(paths, ["id", "amount", "clickRefs.clickRef"]);
        let amount = batch.column("amount").unwrap();
        assert_eq!((amount.text.len(), amount.text.null_count(), amount.kinds), (2, 2, Kinds::default()));
        assert_eq!(decode(&layout, b"[]").unwrap().columns.len(), 3);
    }

    #[test]
    fn opaque_bodies_give_nothing() {
        let layout = Layout { format: Format::Opaque, pins: vec![], inputs: vec!["id".into()], key: vec![] };
        let batch = decode(&layout, b"\xff\x00").unwrap();
        assert_eq!((batch.rows, batch.columns.len()), (0, 0));
    }

    #[test]
    fn messages_are_one_short_line() {
        let body = format!("<!DOCTYPE html>\n<html>{}", "x".repeat(500));
        let layout = Layout { format: Format::Json(String::new()), pins: vec![], inputs: vec![], key: vec![] };
        let message = decode(&layout, body.as_bytes()).unwrap_err().to_string();
        assert!(message.starts_with("no JSON: it begins with `<!DOCTYPE html> <html>xxx"), "{message}");
        assert!(message.ends_with("x…`") && message.chars().count() < 100, "{message}");
    }

    #[test]
    fn a_value_is_found_by_pointer_or_by_names() {
        assert_eq!(value_at(br#"{"page":{"next":"a\/b"}}"#, "/page/next").as_deref(), Some("a/b"));
        assert_eq!(value_at(b"<page><next>a&amp;b</next></page>", "page.next").as_deref(), Some("a&b"));
        assert_eq!(value_at(b"\xff\xfe<", "page.next"), None);
    }
}
