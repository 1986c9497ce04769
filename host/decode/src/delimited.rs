//! CSV and its relatives.

use std::collections::HashMap;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use sluice_model::{Delimited, Kinds, Layout};

use super::table::{NodeId, ROOT, Table, escape};
use super::{DecodeError, MAX_FIELDS, begins, charset, is_html};

const FORMAT: &str = "delimited text";

/// Reads one record per row into `table`.
///
/// Rows that are too long get columns `column_27`, counted from 1; values that a short row lacks are null. A header's
/// second `name` becomes `name_2`, a nameless field `column_3`.
pub(super) fn read_rows(
    layout: &Layout,
    format: &Delimited,
    body: &[u8],
    table: &mut Table,
) -> Result<(), DecodeError> {
    if !format.delimiter.is_ascii() || format.quote.is_some_and(|quote| !quote.is_ascii()) {
        return Err(DecodeError::BadDelimiter);
    }
    let text = charset::text(&format.charset, body)?;
    refuse_other_formats(&text)?;
    let mut rows = Rows::new(format, skip_lines(&text, format.skip_lines));
    let mut names = format.header.clone();
    while names.is_empty() {
        let Some(row) = rows.next()? else { break };
        if !row.is_blank() {
            names = row.fields().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
            check_header(layout, &names, &text)?;
        }
    }
    let mut header = Header::default();
    names.iter().try_for_each(|name| header.add(name, table))?;
    while let Some(row) = rows.next()? {
        if row.is_blank() && header.nodes.len() > 1 {
            continue;
        }
        for (at, field) in row.fields().enumerate() {
            let node = header.node(at, table)?;
            table.put(node, field, Kinds::TEXT)?;
        }
        table.end_record()?;
    }
    Ok(())
}

/// Another format would make a header of one line and no rows, which looks like an empty day.
fn refuse_other_formats(text: &str) -> Result<(), DecodeError> {
    match text.trim_start().chars().next() {
        Some('<') if is_html(text) => Err(DecodeError::Html { format: FORMAT }),
        Some('<' | '{' | '[') => Err(DecodeError::OtherFormat { format: FORMAT, begins: begins(text.as_bytes()) }),
        _ => Ok(()),
    }
}

/// An error in plain text looks like a header too: one of the fields that the layout knows must be there.
fn check_header(layout: &Layout, names: &[String], text: &str) -> Result<(), DecodeError> {
    let mut known = layout.pins.iter().map(|pin| &pin.path).chain(&layout.inputs).chain(&layout.key).peekable();
    if known.peek().is_none() {
        return Ok(());
    }
    let names: Vec<String> = names.iter().map(|name| escape(name)).collect();
    match known.any(|path| names.contains(path)) {
        true => Ok(()),
        false => Err(DecodeError::OtherHeader { begins: begins(text.as_bytes()) }),
    }
}

/// The text behind so many lines, each ended by CR LF, LF or CR.
fn skip_lines(mut text: &str, lines: u32) -> &str {
    for _ in 0..lines {
        let Some(end) = text.find(['\n', '\r']) else { return "" };
        let rest = text.get(end..).unwrap_or_default();
        text = rest.strip_prefix("\r\n").or_else(|| rest.get(1..)).unwrap_or_default();
    }
    text
}

/// The columns by position.
#[derive(Default)]
struct Header {
    nodes: Vec<NodeId>,
    /// Each name, and how many columns asked for it.
    names: HashMap<String, usize>,
}

impl Header {
    /// Makes the next column, so that it is there without a row too.
    fn add(&mut self, name: &str, table: &mut Table) -> Result<(), DecodeError> {
        let name = match name.trim() {
            "" => format!("column_{}", self.nodes.len() + 1),
            name => name.to_owned(),
        };
        let mut unique = name.clone();
        while self.names.contains_key(&unique) {
            let asked = self.names.entry(name.clone()).or_default();
            *asked += 1;
            unique = format!("{name}_{asked}");
        }
        let node = table.child(ROOT, &mut self.nodes.len(), &unique)?;
        table.declare(node);
        self.nodes.push(node);
        self.names.insert(unique, 1);
        Ok(())
    }

    #[inline]
    fn node(&mut self, at: usize, table: &mut Table) -> Result<NodeId, DecodeError> {
        while self.nodes.len() <= at {
            self.add("", table)?;
        }
        Ok(self.nodes[at])
    }
}

/// Rows of fields, read into buffers that are used again.
struct Rows<'a> {
    reader: Reader,
    input: &'a [u8],
    ended: bool,
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// One row: its fields joined, and where each ends.
struct Row<'r> {
    text: &'r [u8],
    ends: &'r [usize],
}

impl<'a> Rows<'a> {
    fn new(format: &Delimited, input: &'a str) -> Self {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(format.delimiter);
        match format.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        let (text, ends) = (vec![0; 4096], vec![0; 64]);
        Self { reader: builder.build(), input: input.as_bytes(), ended: false, text, ends }
    }

    /// The next row that isn't an empty line.
    fn next(&mut self) -> Result<Option<Row<'_>>, DecodeError> {
        let (mut length, mut fields) = (0, 0);
        while !(self.ended && self.input.is_empty()) {
            if self.input.is_empty() {
                // A last line break ends the row before it, unless that is still inside of quotes.
                (self.ended, self.input) = (true, b"\n");
            }
            let (text, ends) = (&mut self.text[length..], &mut self.ends[fields..]);
            let (result, read, written, ended) = self.reader.read_record(self.input, text, ends);
            self.input = self.input.get(read..).unwrap_or_default();
            (length, fields) = (length + written, fields + ended);
            match result {
                ReadRecordResult::Record => {
                    return Ok(Some(Row { text: &self.text[..length], ends: &self.ends[..fields] }));
                }
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if fields > MAX_FIELDS => {
                    return Err(DecodeError::Limit { limit: "10000 different fields" });
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
            }
        }
        match length + fields {
            0 => Ok(None),
            _ => Err(DecodeError::OpenQuote),
        }
    }
}

impl Row<'_> {
    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends).map(|(start, end)| self.text.get(start..*end).unwrap_or_default())
    }

    /// A line of nothing, or of spaces.
    fn is_blank(&self) -> bool {
        self.ends.len() <= 1 && self.text.trim_ascii().is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use sluice_model::{Format, NativeBatch};

    use super::*;
    use crate::decode;

    fn format(delimiter: u8) -> Delimited {
        Delimited { delimiter, quote: Some(b'"'), skip_lines: 0, header: vec![], charset: "utf-8".into() }
    }

    fn read(format: Delimited, body: &[u8]) -> Result<NativeBatch, DecodeError> {
        decode(&Layout { format: Format::Delimited(format), pins: vec![], inputs: vec![], key: vec![] }, body)
    }

    /// The table as `path: value|value`, `-` for null.
    fn shown(format: Delimited, body: &[u8]) -> String {
        let batch = read(format, body).unwrap();
        let column = |column: &sluice_model::NativeColumn| {
            let values: Vec<_> = column.text.iter().map(|value| value.unwrap_or("-").to_owned()).collect();
            format!("{}: {}", column.path, values.join("|"))
        };
        batch.columns.iter().map(column).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn rows_become_records() {
        let body = b"id,name,note\n1,\"a, \"\"b\"\"\nc\",\r\n\r\n   \n2,x,y";
        assert_eq!(shown(format(b','), body), "id: 1|2; name: a, \"b\"\nc|x; note: |y");
        assert_eq!(shown(format(b';'), b"id;v\r1;a\r2;b\r"), "id: 1|2; v: a|b");
        assert_eq!(shown(format(b'\t'), b"id\tv\n1\ta,b\n"), "id: 1; v: a,b");
        assert_eq!(read(format(b','), b"id\n1").unwrap().column("id").unwrap().kinds, Kinds::TEXT);
    }

    #[test]
    fn quotes_are_text_where_the_network_does_not_quote() {
        let raw = Delimited { quote: None, ..format(b'|') };
        assert_eq!(shown(raw, b"id|v\n1|\"a\n2|b\"c\n"), "id: 1|2; v: \"a|b\"c");
        let single = Delimited { quote: Some(b'\''), ..format(b',') };
        assert_eq!(shown(single, b"id,v\n1,'a,\"b'\n"), "id: 1; v: a,\"b");
    }

    #[test]
    fn long_and_short_rows_keep_their_values() {
        assert_eq!(shown(format(b','), b"a,b\n1\n1,2,3\n1,2\n"), "a: 1|1|1; b: -|2|2; column_3: -|3|-");
    }

    #[test]
    fn names_are_unique_and_escaped() {
        let body = b" id ,id,,Comm. Amount,id,column_3\n1,2,3,4,5,6,7";
        let want = "id: 1; id_2: 2; column_3: 3; Comm\\. Amount: 4; id_3: 5; column_3_2: 6; column_7: 7";
        assert_eq!(shown(format(b','), body), want.replace("\\\\", "\\"));
        assert_eq!(shown(format(b','), b"column_2\n1,2"), "column_2: 1; column_2_2: 2");
    }

    #[test]
    fn headers_can_be_given_and_lines_skipped() {
        let given = Delimited { header: vec!["a".into(), "b".into()], ..format(b',') };
        assert_eq!(shown(given, b"1,2\n3,4"), "a: 1|3; b: 2|4");
        let skipping = Delimited { skip_lines: 2, ..format(b',') };
        assert_eq!(shown(skipping, b"Report \"x\r\n\r\nid,v\n1,2\n"), "id: 1; v: 2");
    }

    #[test]
    fn charsets_are_decoded() {
        let latin = Delimited { charset: "windows-1252".into(), ..format(b';') };
        assert_eq!(shown(latin.clone(), b"name\nCaf\xe9"), "name: Caf\u{e9}");
        assert_eq!(shown(latin, b"\xef\xbb\xbfname\nCaf\xc3\xa9"), "name: Caf\u{e9}");
        let unknown = Delimited { charset: "x".into(), ..format(b';') };
        assert_eq!(read(unknown, b"").unwrap_err().to_string(), "unknown character set `x`");
    }

    #[test]
    fn an_empty_body_has_no_records() {
        for body in [&b""[..], b" \r\n\n", b"id,v", b"id,v\r\n"] {
            assert_eq!(read(format(b','), body).unwrap().rows, 0);
        }
    }

    #[test]
    fn other_formats_and_open_quotes_are_refused() {
        let refused = |body: &[u8]| read(format(b','), body).unwrap_err().to_string();
        assert_eq!(refused(b"\n<!DOCTYPE HTML><p>"), "no delimited text: it is HTML");
        assert_eq!(refused(b"{\"error\":\"key\"}"), "no delimited text: it begins with `{\"error\":\"key\"}`");
        assert_eq!(refused(b"id,v\n1,\"a\n2,b"), "a quote is open at the end of the body");
        assert_eq!(refused(b"id,v\n1,\""), "a quote is open at the end of the body");
        let wide = Delimited { delimiter: 0xa7, ..format(b',') };
        assert_eq!(read(wide, b"").unwrap_err().to_string(), "delimiter and quote must be one ASCII character each");
    }

    #[test]
    fn an_error_in_plain_text_is_no_header() {
        let inputs = vec!["id".to_owned(), r"Comm\. Amount".to_owned()];
        let layout = Layout { format: Format::Delimited(format(b',')), pins: vec![], inputs, key: vec![] };
        let refused = decode(&layout, b"Error: bad key, try again").unwrap_err().to_string();
        assert_eq!(refused, "header has no field of the layout: it begins with `Error: bad key, try again`");
        assert_eq!(decode(&layout, b"x,Comm. Amount\n").unwrap().rows, 0);
    }
}
