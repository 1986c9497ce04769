//! The pieces of a body: fields, records, elements, lines.
//!
//! What reads them here never fails: bodies that were changed are changed again, and small ones made of them.

mod delimited;
mod json;
mod xml;

use std::ops::Range;

use sluice_model::Format;

/// Most pieces of a body that are known.
const MOST_SPANS: usize = 20_000;
/// How deep pieces are looked for in pieces.
const MOST_DEPTH: usize = 64;

/// In what a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Markup {
    /// JSON, or lines of it.
    Json,
    /// XML or HTML.
    Xml,
    /// Lines of fields with this byte between them.
    Delimited(u8),
}

/// A piece of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Where it is: the same for the same field of all records.
    pub(super) path: String,
    /// Its value.
    pub(super) value: Range<usize>,
    /// The value with its name: what can stand several times.
    pub(super) unit: Range<usize>,
    /// The unit with what separates it from others: what can be left out.
    pub(super) whole: Range<usize>,
    /// What stands between two units.
    pub(super) separator: Option<u8>,
}

impl Markup {
    /// By the layout; where that says nothing, by how the body begins.
    pub(super) fn of(format: Option<&Format>, body: &[u8]) -> Self {
        match format {
            Some(Format::Json(_) | Format::Ndjson) => Self::Json,
            Some(Format::Xml(_)) => Self::Xml,
            Some(Format::Delimited(delimited)) => Self::Delimited(delimited.delimiter),
            Some(Format::Opaque) | None => match body.trim_ascii_start().first() {
                Some(b'{' | b'[') => Self::Json,
                Some(b'<') => Self::Xml,
                _ => Self::Delimited(delimited::likely_delimiter(body)),
            },
        }
    }

    /// The pieces of a body, inner ones before those that hold them.
    pub(super) fn spans(self, body: &[u8]) -> Vec<Span> {
        match self {
            Self::Json => json::spans(body),
            Self::Xml => xml::spans(body),
            Self::Delimited(delimiter) => delimited::spans(body, delimiter),
        }
    }
}
