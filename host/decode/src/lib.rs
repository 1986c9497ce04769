//! Bodies into columns: every field of every record as literal text, in one pass and without a value tree.
//!
//! A [`Layout`](sluice_model::Layout) says where a body's records are. Each becomes a row; each of its fields, however
//! deep, a column named by its path. Numbers are never read as numbers here, so no digit of an amount can get lost.
//!
//! Reading is tolerant: what is often met and has one meaning all the same is read, and [noted](Notes). What has no
//! meaning, or ends before its end, is a [`DecodeError`]. Nothing but an empty list is taken for one.
//!
//! Bodies come from outside, and layouts from guests: nothing in them may panic, nest without end, or make more
//! of little. Hence the limits below. What exceeds them is an error, never a cut table.

mod charset;
mod clock;
mod column;
mod decoded;
mod delimited;
mod entity;
mod error;
mod escape;
mod header;
mod json;
#[cfg(test)]
mod json_tests;
mod lenient;
mod lookup;
mod marked;
mod notes;
mod number;
mod path;
mod place;
#[cfg(test)]
mod properties;
mod references;
mod repair;
mod rows;
mod scan;
mod table;
#[cfg(test)]
mod tolerance_tests;
mod xml;
mod xml_document;
mod xml_record;
#[cfg(test)]
mod xml_tests;

use std::time::Instant;

use sluice_model::Format;

pub use decoded::{BodyLayout, Decoded, TornRow, TornRows};
pub use error::{DecodeError, DecodeErrorKind};
pub use notes::{NoteCount, NoteKind, Notes};

/// How deep records and the way to them may nest.
const MAX_DEPTH: usize = 128;
/// How many paths the records of one body may have.
const MAX_FIELDS: usize = 10_000;
/// How many values one body may become, counting nulls: 320 MiB of them.
const MAX_CELLS: usize = 1 << 26;

/// Every field of every record as literal text columns, and what is odd about the body.
///
/// Columns stand in the order in which their paths are first seen. Pinned columns and the mapping's inputs are
/// there even if no record has them. Strings are unescaped; numbers and booleans stay as they are written; arrays
/// and empty objects are JSON text; a missing field and an explicit null are null. If a name occurs twice in an
/// object, the last one counts. An opaque body gives no columns.
///
/// In XML, the value of an element without child elements is its text, `""` if it is empty; repeated siblings are
/// one JSON array. Declarations (`xmlns…`, `xsi:…`, `SOAP-ENC:…`) aren't data and give no columns.
///
/// # Errors
/// Where and why the body doesn't fit the layout.
pub fn decode_body(layout: &BodyLayout<'_>, body: &[u8]) -> Result<Decoded, DecodeError> {
    match &layout.layout.format {
        Format::Json(place) => json::decode(layout, json::Records::At(place), body),
        Format::Ndjson => json::decode(layout, json::Records::Lines, body),
        Format::Xml(place) => xml::decode(layout, place, body),
        Format::Delimited(format) => delimited::decode(layout, format, body),
        Format::Opaque => Ok(Decoded::default()),
    }
}

/// The columns alone. Rows with too few or too many fields are records.
#[cfg(test)]
fn decode(layout: &sluice_model::Layout, body: &[u8]) -> Result<sluice_model::NativeBatch, DecodeError> {
    let layout = BodyLayout { exact_fields: false, ..BodyLayout::from(layout) };
    decode_body(&layout, body).map(|decoded| decoded.batch)
}

/// The value at a JSON Pointer (`place` is empty or starts with `/`), or at local XML names joined by `.`.
///
/// Strings are unescaped, numbers and booleans as they are written, objects, arrays and elements with children
/// JSON text. In XML the last name may be an attribute (`@name`), and of repeated elements the first one counts.
/// None if it isn't there, is null, or if the body is broken. As tolerant as [`decode_body`].
pub fn value_at(body: &[u8], place: &str) -> Option<String> {
    value_until(body, place, None)
}

/// The same, and none if the deadline passes meanwhile.
pub fn value_until(body: &[u8], place: &str, deadline: Option<Instant>) -> Option<String> {
    if place.is_empty() || place.starts_with('/') {
        lookup::value_at(body, place, deadline)
    } else {
        xml::value_at(body, place, deadline)
    }
}

/// Whether text can be read in a charset of this name: a label of the Encoding Standard.
pub fn is_charset(label: &str) -> bool {
    encoding_rs::Encoding::for_label(label.as_bytes()).is_some()
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
    use sluice_model::{Kind, Kinds, Layout, Pin};

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
