//! What holds for any body.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::Value;
use sluice_model::{Delimited, Format, Kinds, Layout, NativeBatch, NativeColumn};

use super::{BodyLayout, DecodeError, NoteKind, decode, decode_body, value_at};

fn layout(format: Format) -> Layout {
    Layout { format, pins: vec![], inputs: vec![], key: vec![] }
}

fn delimited(delimiter: u8, quote: Option<u8>) -> Format {
    let (exact_fields, charset) = (quote.is_none(), "utf-8".into());
    Format::Delimited(Delimited {
        delimiter,
        quote,
        skip_lines: 0,
        header: vec![],
        charset,
        exact_fields,
        optional: vec![],
    })
}

fn json_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-100_000i64..100_000).prop_map(|cents| Value::from(cents as f64 / 100.0)),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![vec(inner.clone(), 0..4).prop_map(Value::from), json_object(inner)]
    })
}

fn json_object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let name = prop_oneof!["[abc]", "[a-c.\\\\\"#@ \u{e9}]{0,3}", any::<String>()];
    btree_map(name, inner, 0..6).prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// What a record must become, the slow way.
fn flatten(path: Option<String>, value: &Value, row: &mut BTreeMap<String, Option<(String, Kinds)>>) {
    let path_of = |name: &str| {
        let name = name.replace('\\', "\\\\").replace('.', "\\.");
        path.as_ref().map_or(name.clone(), |path| format!("{path}.{name}"))
    };
    let cell = match value {
        Value::Object(members) if !members.is_empty() || path.is_none() => {
            return members.iter().for_each(|(name, value)| flatten(Some(path_of(name)), value, row));
        }
        Value::Null => None,
        Value::Bool(flag) => Some((flag.to_string(), Kinds::BOOLEAN)),
        Value::String(text) => Some((text.replace('\0', "\u{fffd}"), Kinds::TEXT)),
        Value::Number(number) if number.is_i64() => Some((number.to_string(), Kinds::INTEGER)),
        Value::Number(number) if number.is_u64() => Some((number.to_string(), Kinds::TEXT)),
        Value::Number(number) => Some((number.to_string(), Kinds::FLOAT)),
        Value::Array(_) | Value::Object(_) => Some((value.to_string(), Kinds::JSON)),
    };
    row.insert(path.unwrap_or_else(|| "value".into()), cell);
}

fn check(records: &[Value], batch: &NativeBatch) -> Result<(), TestCaseError> {
    prop_assert_eq!(batch.rows, records.len());
    let mut nulls_expected: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        let mut row = BTreeMap::new();
        flatten(None, record, &mut row);
        for (path, cell) in row {
            let column = batch.column(&path);
            prop_assert!(column.is_some(), "no column {path:?}");
            let kind = cell.as_ref().map_or(Kinds::NULL, |(_, kinds)| *kinds);
            prop_assert!(column.unwrap().kinds.intersects(kind), "{path:?} {cell:?}");
            nulls_expected.entry(path).or_insert_with(|| vec![None; records.len()])[at] = cell.map(|(text, _)| text);
        }
    }
    let found = batch.columns.iter().map(|column| {
        let values = column.text.iter().map(|value| value.map(str::to_owned)).collect();
        (column.path.clone(), values)
    });
    prop_assert_eq!(found.collect::<BTreeMap<String, Vec<_>>>(), nulls_expected);
    Ok(())
}

/// What bodies are made of, whole or broken.
const PIECES: &[&[u8]] = &[
    b"{\"a\":1}",
    b"\"b\"",
    b"1.50",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"\\",
    b"\\u",
    b"d83d",
    b"\"a\":",
    b"null",
    b"true",
    b"-",
    b"1",
    b".",
    b"e",
    b"00",
    b" ",
    b"\n",
    b"\r",
    b";",
    b"<",
    b">",
    b"</",
    b"/>",
    b"<a>",
    b"</a>",
    b"<r>",
    b"</r>",
    b"<a b='1'>",
    b"&",
    b"&#x",
    b";",
    b"&amp;",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"<?xml encoding='utf-16'?>",
    b"<?",
    b"?>",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xc3",
    b"\xe2\x82\xac",
    b"<!DOCTYPE",
    b" xsi:nil='1'",
    b"\0",
];

/// Bytes that look a little like each of the formats.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => proptest::sample::select(PIECES).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_leaves_are_all_there(records in vec(prop_oneof![4 => json_object(json_value()), 1 => json_value()], 0..6)) {
        let body = Value::from(records.clone()).to_string();
        check(&records, &decode(&layout(Format::Json(String::new())), body.as_bytes()).unwrap())?;
        let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
        check(&records, &decode(&layout(Format::Ndjson), lines.as_bytes()).unwrap())?;
        let pretty = serde_json::to_string_pretty(&serde_json::json!({"x": [1], "d~/": {"r": records}})).unwrap();
        let batch = decode(&layout(Format::Json("/d~0~1/r".into())), pretty.as_bytes()).unwrap();
        prop_assert_eq!(batch.rows, records.len());
    }

    #[test]
    fn cut_json_is_never_taken_for_whole(record in json_object(json_value()), share in 0.0..1.0f64) {
        let body = Value::from(vec![record]).to_string().into_bytes();
        let length = ((body.len() - 1) as f64 * share) as usize + 1;
        let cut = &body[..length.min(body.len() - 1)];
        let error = decode(&layout(Format::Json(String::new())), cut).unwrap_err();
        prop_assert_eq!(error, DecodeError::CutShort { at: cut.len() });
    }

    #[test]
    fn what_is_json_is_what_serde_says(inner in bytes()) {
        let body = [b"[", inner.as_slice(), b"]"].concat();
        let theirs = serde_json::from_slice::<Value>(&body);
        let layout = layout(Format::Json(String::new()));
        let ours = decode_body(&BodyLayout::from(&layout), &body);
        // An f64 of theirs can overflow, a text of ours can't.
        let overflows = theirs.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range"));
        // What is read though it isn't JSON is noted.
        let is_allowed = |kind| matches!(kind, NoteKind::DuplicateName | NoteKind::Nul);
        let is_odd = ours.as_ref().is_ok_and(|ours| ours.notes.counts().iter().any(|count| !is_allowed(count.kind)));
        let is_padded = ours.is_ok() && body.contains(&0);
        let agree = ours.is_ok() == theirs.is_ok() || overflows || is_odd || is_padded;
        prop_assert!(agree, "{:?} {:?}", ours.err(), theirs.err());
        prop_assert!(!is_odd || theirs.is_err() || body.starts_with(b"[\xef\xbb\xbf"), "noted without need");
    }

    #[test]
    fn exact_rows_and_rejects_are_all_rows(rows in vec(vec("[a-z]{0,3}", 0..6), 0..12)) {
        let body: String = rows.iter().map(|row| format!("{}\n", row.join("|"))).collect();
        let layout = layout(delimited(b'|', None));
        let exact = BodyLayout::from(&layout);
        let [exact, lenient] = [true, false].map(|exact_fields| {
            decode_body(&BodyLayout { exact_fields, ..exact }, format!("a|b|c\n{body}").as_bytes()).unwrap()
        });
        prop_assert_eq!(exact.records(), lenient.batch.rows);
        prop_assert_eq!(&exact.torn.rows, &lenient.torn.rows);
        let further = exact.batch.columns.iter().skip(3);
        let is_empty = |column: &NativeColumn| column.text.iter().flatten().all(str::is_empty);
        prop_assert!(further.clone().all(is_empty), "a row that ends in delimiters is no torn one");
        for (row, reject) in exact.torn.rows.iter().zip(exact.rejects()) {
            let fields = rows[row.line as usize - 2].len().max(1);
            prop_assert_eq!(row.fields as usize, fields);
            prop_assert!(fields != 3 && reject.record_index as usize >= exact.batch.rows);
        }
    }

    #[test]
    fn one_odd_byte_loses_no_record(names in vec("[A-Za-z]{1,8}", 1..6), byte in 0x80..=0xff_u8, at in any::<proptest::sample::Index>()) {
        let odd = at.index(names.len());
        let text = |n: usize, name: &String| {
            if n == odd { [name.as_bytes(), &[byte], b"x"].concat() } else { name.as_bytes().to_vec() }
        };
        let texts: Vec<Vec<u8>> = names.iter().enumerate().map(|(n, name)| text(n, name)).collect();
        let joined = |before: &[u8], after: &[u8]| {
            texts.iter().flat_map(|text| [before, text, after].concat()).collect::<Vec<u8>>()
        };
        let json = [b"[", joined(b"{\"a\":\"", b"\"},").strip_suffix(b",").unwrap(), b"]"].concat();
        let xml = [b"<r>", joined(b"<s><a>", b"</a></s>").as_slice(), b"</r>"].concat();
        let csv = [b"a|b\n", joined(b"", b"|1\n").as_slice()].concat();
        for (format, body) in [
            (Format::Json(String::new()), json),
            (Format::Xml("r.s".into()), xml),
            (delimited(b'|', None), csv),
        ] {
            let layout = layout(format);
            let decoded = decode_body(&BodyLayout::from(&layout), &body).unwrap();
            prop_assert_eq!(decoded.batch.rows, names.len());
            let noted: Vec<usize> = (0..names.len()).filter(|record| decoded.notes.of_record(*record).is_some()).collect();
            prop_assert_eq!((noted, decoded.notes.of_record(odd)), (vec![odd], Some("a: charset")));
            let column = decoded.batch.column("a").unwrap();
            for (n, name) in names.iter().enumerate().filter(|(n, _)| *n != odd) {
                prop_assert_eq!(column.text.value(n), name);
            }
        }
    }

    #[test]
    fn values_are_at_their_pointers(value in json_object(json_value())) {
        let body = value.to_string();
        for (name, member) in value.as_object().unwrap() {
            let place = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            let want = match member {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            prop_assert_eq!(value_at(body.as_bytes(), &place), want);
        }
    }

    #[test]
    fn no_bytes_panic(body in bytes(), place in "[/~.*@a0-1\\\\]{0,6}") {
        let formats = [
            Format::Json(place.clone()),
            Format::Json(String::new()),
            Format::Json("/*".into()),
            Format::Ndjson,
            Format::Xml(place.clone()),
            Format::Xml("*".into()),
            Format::Xml("r.*".into()),
            delimited(b',', Some(b'"')),
            delimited(b';', None),
            Format::Delimited(Delimited {
                delimiter: b'<', quote: Some(b'<'), skip_lines: 1, header: vec!["a".into()], charset: "gbk".into(),
 exact_fields: true, optional: vec![],
            }),
            Format::Opaque,
        ];
        for format in formats {
            if let Err(error) = decode(&layout(format), &body) {
                let message = error.to_string();
                prop_assert!(message.chars().count() < 200 && !message.contains('\n'), "{message}");
            }
        }
        for place in [place.as_str(), "", "/a", "/0", "*", "*.@b", "r.a"] {
            let _ = value_at(&body, place);
        }
    }

    #[test]
    fn csv_comes_back(rows in vec(vec(any::<String>(), 3), 0..8), delimiter in proptest::sample::select(vec![b',', b';', b'\t', b'|'])) {
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(vec![]);
        writer.write_record(["a", "b", "c"]).unwrap();
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        let body = writer.into_inner().unwrap();
        let batch = decode(&layout(delimited(delimiter, Some(b'"'))), &body).unwrap();
        prop_assert_eq!(batch.rows, rows.len());
        for (at, column) in batch.columns.iter().enumerate() {
            // A byte-order mark at the beginning of a row is none of its text.
            let mark = if at == 0 { '\u{feff}' } else { '\0' };
            let want = rows.iter().map(|row| row[at].strip_prefix(mark).unwrap_or(&row[at]).replace('\0', "\u{fffd}"));
            let found: Vec<String> = column.text.iter().map(|text| text.unwrap().to_owned()).collect();
            prop_assert_eq!(found, want.collect::<Vec<_>>());
        }
    }

    #[test]
    fn xml_texts_come_back(texts in vec("\\PC{0,12}", 1..6)) {
        let element = |text: &String| {
            let text = quick_xml::escape::escape(text.as_str());
            format!("<s k=\"{text}\"><a>{text}</a></s>")
        };
        let body = format!("<r>{}</r>", texts.iter().map(element).collect::<String>());
        let batch = decode(&layout(Format::Xml("r.s".into())), body.as_bytes()).unwrap();
        let want: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_str())).collect();
        for column in &batch.columns {
            prop_assert_eq!(column.text.iter().collect::<Vec<_>>(), want.clone());
        }
    }
}
