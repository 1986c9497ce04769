//! What a body is decoded by, and the result.

use std::time::Instant;

use sluice_model::{BodyFindings, Format, Layout, NativeBatch, Reject};

use super::notes::Notes;

/// A layout, and what is known beside it of one response.
///
/// ```
/// use sluice_decode::{BodyLayout, decode_body};
/// use sluice_model::{Format, Layout};
///
/// let layout = Layout { format: Format::Json(String::new()), pins: vec![], inputs: vec![], key: vec![] };
/// let layout = BodyLayout::from(&layout).with_content_type("application/json;charset=UTF-8");
/// let decoded = decode_body(&layout, br#"[{"id": 1, "ref": "caf\ud83d", "sum": NaN}]"#)?;
/// assert_eq!(decoded.batch.rows, 1);
/// assert_eq!(decoded.notes.of_record(0), Some("ref: lone-surrogate; sum: not-a-number"));
/// # Ok::<(), sluice_decode::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BodyLayout<'a> {
    /// The layout that the connector declares.
    pub layout: &'a Layout,
    /// Delimited text: each row has all fields of the header. One with another number of them is torn, and no record.
    pub exact_fields: bool,
    /// Delimited text: inputs and key paths that a header may lack.
    pub optional: &'a [String],
    /// The character set that the response's headers name. It is used where the layout names UTF-8 and the body isn't.
    pub charset: Option<&'a str>,
    /// When decoding is given up; none: never.
    pub deadline: Option<Instant>,
}

impl<'a> From<&'a Layout> for BodyLayout<'a> {
    fn from(layout: &'a Layout) -> Self {
        let (exact_fields, optional) = match &layout.format {
            Format::Delimited(delimited) => (delimited.exact_fields, delimited.optional.as_slice()),
            _ => (false, &[][..]),
        };
        Self { layout, exact_fields, optional, charset: None, deadline: None }
    }
}

impl<'a> BodyLayout<'a> {
    /// Takes the character set of a `Content-Type`, if it names one.
    pub fn with_content_type(self, content_type: &'a str) -> Self {
        let mut parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
        let charset = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
        let charset = charset.map(|(_, value)| value.trim().trim_matches(['"', '\'']));
        Self { charset: charset.or(self.charset), ..self }
    }

    /// Paths whose columns exist even if no record has them.
    pub(super) fn expected(&self) -> impl Iterator<Item = &'a str> {
        let Layout { pins, inputs, .. } = self.layout;
        pins.iter().map(|pin| pin.path.as_str()).chain(inputs.iter().map(String::as_str))
    }

    /// All paths that the layout names.
    pub(super) fn known(&self) -> impl Iterator<Item = &'a str> {
        self.expected().chain(self.layout.key.iter().map(String::as_str))
    }

    /// Paths without which a mapping gives nothing right.
    pub(super) fn required(&self) -> impl Iterator<Item = &'a str> {
        let Layout { inputs, key, .. } = self.layout;
        let optional = self.optional;
        inputs.iter().chain(key).filter(|path| !optional.contains(path)).map(String::as_str)
    }
}

/// A body's records, and what there is to report of it.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// Every field of every record.
    pub batch: NativeBatch,
    /// What was odd and has been read all the same.
    pub notes: Notes,
    /// Lines, delimited or of JSON: the last one has no line end. Its last value may be cut, and rows be missing.
    pub cut_at_end: bool,
    /// Delimited text: rows with another number of fields than the header.
    pub torn: TornRows,
}

impl Decoded {
    /// How many records the body has, those of torn rows included.
    pub fn records(&self) -> usize {
        self.batch.rows + if self.torn.excluded { self.torn.rows.len() } else { 0 }
    }

    /// What is odd about the body, beside its records.
    pub fn findings(&self, format: &Format) -> BodyFindings {
        let is_short = |row: &&TornRow| (row.fields as usize) < self.torn.expected;
        let short = self.torn.rows.iter().filter(is_short).count();
        BodyFindings {
            notes: self.notes.clone(),
            is_lines: matches!(format, Format::Delimited(_) | Format::Ndjson),
            is_open: self.cut_at_end,
            torn_rows: if self.torn.excluded { short } else { 0 },
            is_torn: self.torn.excluded && self.cut_at_end && self.torn.is_last,
        }
    }

    /// Torn rows that are no records of the batch, as rejects. Their indices follow those of the batch's records.
    pub fn rejects(&self) -> impl Iterator<Item = Reject> {
        let torn = self.torn.excluded.then_some(&self.torn);
        let rows = torn.into_iter().flat_map(|torn| torn.rows.iter());
        rows.enumerate().map(|(nth, row)| Reject {
            record_index: u32::try_from(self.batch.rows + nth).unwrap_or(u32::MAX),
            reason: row.reason(self.torn.expected),
        })
    }
}

/// Rows of a delimited text with another number of fields than its header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TornRows {
    /// How many fields the header has.
    pub expected: usize,
    /// The rows in the body's order: all of them if they are excluded, else the first 65,536.
    pub rows: Vec<TornRow>,
    /// How many there are.
    pub total: usize,
    /// They are no records of the batch, because the layout has `exact_fields`.
    pub excluded: bool,
    /// The body's last row is one of them, and has fewer fields.
    pub is_last: bool,
}

/// A row of delimited text that has another number of fields than the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornRow {
    /// The line of the body on which it begins, from 1.
    pub line: u32,
    /// How many fields it has.
    pub fields: u32,
}

impl TornRow {
    /// What is wrong with it, for people.
    pub fn reason(&self, expected: usize) -> String {
        let Self { line, fields } = self;
        let relation = if (*fields as usize) < expected { "fewer" } else { "more" };
        format!("line {line} has {relation} fields than the header: {fields} instead of {expected}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use sluice_model::Delimited;

    use super::*;

    fn layout(quote: Option<u8>) -> Layout {
        let (charset, exact_fields) = ("utf-8".into(), quote.is_none());
        let (header, optional) = (vec![], vec!["voucher".into()]);
        let format = Delimited { delimiter: b',', quote, skip_lines: 0, header, charset, exact_fields, optional };
        Layout { format: Format::Delimited(format), pins: vec![], inputs: vec![], key: vec![] }
    }

    #[test]
    fn a_layout_says_which_fields_rows_have() {
        let (exact, loose) = (layout(None), layout(Some(b'"')));
        assert!(BodyLayout::from(&exact).exact_fields && !BodyLayout::from(&loose).exact_fields);
        assert_eq!(BodyLayout::from(&loose).optional, ["voucher"]);
    }

    #[test]
    fn a_content_type_names_a_charset() {
        let layout = layout(None);
        let of = |text| BodyLayout::from(&layout).with_content_type(text).charset;
        assert_eq!(of("text/plain; charset=ISO-8859-1"), Some("ISO-8859-1"));
        assert_eq!(of("text/csv;header=present;Charset=\"utf-8\""), Some("utf-8"));
        assert_eq!(of("text/csv"), None);
    }

    #[test]
    fn torn_rows_are_rejects_behind_the_records() {
        let rows = vec![TornRow { line: 31, fields: 7 }, TornRow { line: 32, fields: 27 }];
        let torn = TornRows { expected: 26, total: 2, excluded: true, rows, is_last: false };
        let batch = NativeBatch { rows: 29, columns: vec![] };
        let decoded = Decoded { batch, torn, ..Decoded::default() };
        let rejects: Vec<_> = decoded.rejects().map(|reject| (reject.record_index, reject.reason)).collect();
        assert_eq!(rejects[0], (29, "line 31 has fewer fields than the header: 7 instead of 26".to_owned()));
        assert_eq!(rejects[1], (30, "line 32 has more fields than the header: 27 instead of 26".to_owned()));
        assert_eq!(decoded.records(), 31);
    }
}
