//! What the decoder of delimited text promises.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use sluice_model::{Format, Layout, NativeBatch};

use super::*;
use crate::{Notes, decode, decode_body};

fn format(delimiter: u8) -> Delimited {
    Delimited {
        delimiter,
        quote: Some(b'"'),
        skip_lines: 0,
        header: vec![],
        charset: "utf-8".into(),
        exact_fields: false,
        optional: vec![],
    }
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
    let raw = Delimited { quote: None, exact_fields: true, ..format(b'|') };
    assert_eq!(shown(raw, b"id|v\n1|\"a\n2|b\"c\n"), "id: 1|2; v: \"a|b\"c");
    let single = Delimited { quote: Some(b'\''), ..format(b',') };
    assert_eq!(shown(single, b"id,v\n1,'a,\"b'\n"), "id: 1; v: a,\"b");
}

#[test]
fn long_and_short_rows_keep_their_values() {
    assert_eq!(shown(format(b','), b"a,b\n1\n1,2,3\n1,2\n"), "a: 1|1|1; b: -|2|2; column_3: -|3|-");
}

#[test]
fn a_row_that_ends_in_a_delimiter_is_whole() {
    let layout = Layout {
        format: Format::Delimited(Delimited { quote: None, exact_fields: true, ..format(b'|') }),
        pins: vec![],
        inputs: vec![],
        key: vec![],
    };
    let read = |body: &str| decode_body(&BodyLayout::from(&layout), body.as_bytes()).unwrap();
    let decoded = read("a|b\n1|2|\n3|4|5\n6\n7|8");
    let torn: Vec<(u32, u32)> = decoded.torn.rows.iter().map(|row| (row.line, row.fields)).collect();
    assert_eq!((decoded.batch.rows, torn, decoded.records()), (2, vec![(3, 3), (4, 1)], 4));
    let findings = decoded.findings(&layout.format);
    assert_eq!((findings.is_open, findings.is_torn, findings.torn_rows), (true, false, 1));
    assert!(read("a|b\n1|2\n3").findings(&layout.format).is_torn, "cut within a row");
    assert!(!read("a|b\n1|2\n3\n").findings(&layout.format).is_torn, "its line has an end");
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
fn an_empty_body_is_no_text_without_rows_where_columns_are_expected() {
    let read = |header: &[&str], body: &[u8]| {
        let header = header.iter().map(|&name| name.to_owned()).collect();
        let format = Format::Delimited(Delimited { header, ..format(b',') });
        decode(&Layout { format, pins: vec![], inputs: vec!["id".into()], key: vec![] }, body)
    };
    for body in [&b""[..], b" \r\n\n", b"\xef\xbb\xbf"] {
        assert_eq!(read(&[], body).unwrap_err().to_string(), "no delimited text: the body is empty");
        assert_eq!(read(&["id", "v"], body).unwrap().rows, 0, "its columns aren't in the body");
    }
    assert_eq!(read(&[], b"id\n").unwrap().rows, 0);
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
    assert_eq!(decode(&layout, b"ID,Comm. Amount\n").unwrap().rows, 0);
    let missing = decode(&layout, b"x,Comm. Amount\n").unwrap_err();
    assert_eq!(missing.to_string(), "header has no column `id`; it has `x`, `Comm. Amount`");
}

/// What the layout with the network's habits gives, and torn rows as `line: fields`.
fn torn(layout: &BodyLayout<'_>, body: &str) -> (usize, Vec<String>) {
    let decoded = decode_body(layout, body.as_bytes()).unwrap();
    let torn = decoded.torn.rows.iter().map(|row| format!("{}: {}", row.line, row.fields));
    (decoded.batch.rows, torn.collect())
}

fn layout_of(format: Delimited) -> Layout {
    Layout { format: Format::Delimited(format), pins: vec![], inputs: vec![], key: vec![] }
}

#[test]
fn rows_without_all_fields_are_reported() {
    let body = "Report\r\n\r\na,b,c\r\n1,2,3\r\n1,\r\n\r\n\"x\ny\",2,3\r\n1,2,3,4\r\n1";
    let quoted = layout_of(Delimited { skip_lines: 1, ..format(b',') });
    let lenient = BodyLayout::from(&quoted);
    let torn_rows = ["5: 2", "9: 4", "10: 1"].map(str::to_owned).to_vec();
    assert_eq!(torn(&lenient, body), (5, torn_rows.clone()));
    let exact = BodyLayout { exact_fields: true, ..lenient };
    assert_eq!(torn(&exact, body), (2, torn_rows));
    let decoded = decode_body(&exact, body.as_bytes()).unwrap();
    let columns: Vec<_> = decoded.batch.columns.iter().map(|column| column.path.as_str()).collect();
    assert_eq!((columns, decoded.torn.expected, decoded.torn.total), (vec!["a", "b", "c"], 3, 3));
    let rejects: Vec<_> = decoded.rejects().map(|reject| (reject.record_index, reject.reason)).collect();
    assert_eq!(rejects[1], (3, "line 9 has more fields than the header: 4 instead of 3".to_owned()));
    assert_eq!(decode_body(&lenient, body.as_bytes()).unwrap().rejects().count(), 0);
}

#[test]
fn a_line_feed_where_nothing_is_quoted_tears_its_row() {
    let layout = layout_of(Delimited { quote: None, exact_fields: true, ..format(b'|') });
    let exact = BodyLayout::from(&layout);
    let body = "id|comment|void\n1|a|\n2|first\nsecond|1\n3|b|\n";
    assert_eq!(torn(&exact, body), (2, vec!["3: 2".to_owned(), "4: 2".to_owned()]));
    assert_eq!(
        shown(Delimited { quote: None, exact_fields: true, ..format(b'|') }, body.as_bytes()).matches('|').count(),
        9
    );
}

#[test]
fn a_text_whose_last_line_has_no_end_is_cut() {
    let layout = layout_of(format(b','));
    let is_cut = |body: &str| decode_body(&BodyLayout::from(&layout), body.as_bytes()).unwrap().cut_at_end;
    assert!(is_cut("a,b\n1,2") && is_cut("a,b") && is_cut("a,b\n1,2\n3"));
    assert!(!is_cut("a,b\n1,2\n") && !is_cut("a,b\r\n1,2\r\n") && !is_cut("a,b\r1,2\r") && !is_cut(""));
}

#[test]
fn single_bytes_of_another_charset_are_noted_where_they_are() {
    let layout = layout_of(Delimited { quote: None, exact_fields: true, ..format(b'|') });
    let read = |charset, body| {
        let layout = BodyLayout { charset, ..BodyLayout::from(&layout) };
        let decoded = decode_body(&layout, body).unwrap();
        let name = decoded.batch.column("name").unwrap().text.iter().map(|name| name.unwrap().to_owned()).collect();
        (name, decoded.notes)
    };
    let body = b"id|name\n1|Caf\xe9 S\xf8nderg\xe5rd\n2|plain\n3|\xff9\n";
    let (names, notes): (Vec<String>, Notes) = read(None, body);
    assert_eq!(names, ["Caf\u{e9} S\u{f8}nderg\u{e5}rd", "plain", "\u{fffd}9"]);
    let found = [0, 1, 2].map(|record| notes.of_record(record));
    assert_eq!(found, [Some("name: charset"), None, Some("name: charset")]);
    let lines: Vec<_> = notes.counts().iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["2 values with bytes of another character set (first in record 0, `name`)"]);
    let (names, notes) = read(Some("ISO-8859-1"), body);
    assert_eq!((names[0].as_str(), notes.is_empty()), ("Caf\u{e9} S\u{f8}nderg\u{e5}rd", true));
}

#[test]
fn marks_are_passed_over_wherever_they_are_seen() {
    let skipping = Delimited { skip_lines: 1, ..format(b',') };
    assert_eq!(shown(skipping.clone(), "Report\n\u{feff}id,v\n1,2\n".as_bytes()), "id: 1; v: 2");
    assert_eq!(shown(skipping, "\u{feff}Report\n\u{feff}\"id\",v\n1,2\n".as_bytes()), "id: 1; v: 2");
    assert_eq!(shown(format(b','), "\r\n\u{feff}\"id\",v\n1,2\n".as_bytes()), "id: 1; v: 2");
    assert_eq!(shown(format(b','), "\"\u{feff}id\",v\n\u{feff}1,2\n".as_bytes()), "id: 1; v: 2");
    assert_eq!(shown(format(b','), b"\xfe\xff\0i\0d\0\n\x001"), "id: 1");
}

#[test]
fn nuls_are_replaced_and_padding_is_none() {
    let layout = layout_of(format(b','));
    let decoded = decode_body(&BodyLayout::from(&layout), b"id,v\n1,a\0b\n\0\0\0").unwrap();
    assert_eq!((decoded.batch.rows, decoded.cut_at_end), (1, false));
    assert_eq!(decoded.batch.column("v").unwrap().text.value(0), "a\u{fffd}b");
    assert_eq!(decoded.notes.of_record(0), Some("v: nul"));
    assert_eq!(decoded.notes.counts()[0].values, 2);
    assert_eq!(decode(&layout, b"id,v\n1,2\n\x1a").unwrap().rows, 1);
}

#[test]
fn columns_have_the_layouts_names() {
    let inputs = vec!["TransID".to_owned(), "BannerPage".to_owned()];
    let layout = Layout { inputs, ..layout_of(format(b'|')) };
    let batch = decode(&layout, b"Trans ID|banner_page|Other\n1|2|3\n").unwrap();
    let columns: Vec<_> = batch.columns.iter().map(|column| (column.path.as_str(), column.text.value(0))).collect();
    assert_eq!(columns, [("TransID", "1"), ("BannerPage", "2"), ("Other", "3")]);
}
