//! What is read though it is odd, and what stays an error.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use sluice_model::{Format, Layout};

use super::{BodyLayout, DecodeError, DecodeErrorKind, Decoded, decode_body, value_at};

fn read(format: Format, body: impl AsRef<[u8]>) -> Result<Decoded, DecodeError> {
    let layout = Layout { format, pins: vec![], inputs: vec![], key: vec![] };
    decode_body(&BodyLayout::from(&layout), body.as_ref())
}

fn json(body: impl AsRef<[u8]>) -> Decoded {
    read(Format::Json(String::new()), body).unwrap()
}

fn xml(place: &str, body: impl AsRef<[u8]>) -> Decoded {
    read(Format::Xml(place.into()), body).unwrap()
}

/// The cells of a column, `-` for null, and the notes of all records.
fn shown(decoded: &Decoded, path: &str) -> String {
    let column = decoded.batch.column(path).unwrap_or_else(|| panic!("no column {path}"));
    let cells: Vec<&str> = column.text.iter().map(|cell| cell.unwrap_or("-")).collect();
    let notes = (0..decoded.batch.rows).filter_map(|record| Some((record, decoded.notes.of_record(record)?)));
    let notes: Vec<String> = notes.map(|(record, note)| format!("{record} {note}")).collect();
    format!("{} [{}]", cells.join("|"), notes.join(", "))
}

#[test]
fn half_an_emoji_is_a_replacement_character() {
    let body = r#"[{"id":1,"clickRefs":{"clickRef":"promo-\ud83d"}},{"id":2,"clickRefs":{"clickRef":"x"}}]"#;
    assert_eq!(shown(&json(body), "clickRefs.clickRef"), "promo-\u{fffd}|x [0 clickRefs.clickRef: lone-surrogate]");
    assert_eq!(shown(&json(r#"[{"a":["\ud83d",1]}]"#), "a"), "[\"\u{fffd}\",1] [0 a: lone-surrogate]");
    assert_eq!(value_at(br#"{"page":"\ud83d","next":"b"}"#, "/next").as_deref(), Some("b"));
    assert_eq!(value_at(br#"{"page":"a\ud83d"}"#, "/page").as_deref(), Some("a\u{fffd}"));
}

#[test]
fn no_number_is_null() {
    let decoded = json(r#"[{"a":NaN,"b":{"c":-Infinity}},{"a":1.5,"b":{"c":[1, Infinity]}}]"#);
    assert_eq!(shown(&decoded, "a"), "-|1.5 [0 a: not-a-number; b.c: not-a-number, 1 b.c: not-a-number]");
    assert_eq!(shown(&decoded, "b.c").split(' ').next(), Some("-|[1,"));
    let lines: Vec<String> = decoded.notes.counts().iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["3 values with `NaN` or `Infinity`, read as null (first in record 0, `a`)"]);
    assert_eq!(value_at(br#"{"sum":NaN,"next":[Infinity]}"#, "/next").as_deref(), Some("[null]"));
    assert_eq!(value_at(br#"{"sum":NaN,"next":1}"#, "/sum"), None);
}

#[test]
fn the_last_of_two_names_counts_and_is_noted() {
    let decoded = json(r#"[{"a":1,"b":{"c":1,"c":2},"a":3},{"a":4}]"#);
    assert_eq!(shown(&decoded, "a"), "3|4 [0 a: duplicate-name; b.c: duplicate-name]");
}

#[test]
fn control_characters_and_odd_escapes_are_kept() {
    let decoded = json("[{\"a\":\"x\ty\nz\",\"b\":\"C:\\dir\"},{\"a\":\"\\t\"}]");
    assert_eq!(shown(&decoded, "a"), "x\ty\nz|\t [0 a: control; b: bad-escape]");
    assert_eq!(shown(&decoded, "b").split(' ').next(), Some("C:\\dir|-"));
}

#[test]
fn nuls_are_replaced_however_they_are_written() {
    let decoded = json("[{\"a\":\"x\0\",\"b\":[\"\0\"]},{\"a\":\"\\u0000y\"}]\0\0\n");
    assert_eq!(shown(&decoded, "a"), "x\u{fffd}|\u{fffd}y [0 a: nul; b: nul, 1 a: nul]");
    assert_eq!(shown(&decoded, "b").split(' ').next(), Some("[\"\u{fffd}\"]|-"));
    assert_eq!(value_at(b"{\"a\":1}\0\0", "/a").as_deref(), Some("1"));
    let decoded = xml("r.s", "<r><s><a>x\0y</a></s><s><a k='\0'>&#0;</a></s></r>\0");
    assert_eq!(shown(&decoded, "a"), "x\u{fffd}y|\u{fffd} [0 a: nul, 1 a: nul; a.@k: nul]");
}

#[test]
fn single_bytes_of_another_charset_are_read() {
    let decoded = json(b"[{\"a\":\"Caf\xe9\",\"b\":[\"\xe9t\xe9\"]},{\"a\":\"\xc3\xa9\"},{\"c\":{\"\xe9x\":\"y\"}}]");
    assert_eq!(shown(&decoded, "a"), "Café|é|- [0 a: charset; b: charset, 2 c.éx: charset]");
    assert_eq!(shown(&decoded, "b").split(' ').next(), Some("[\"été\"]|-|-"));
    let decoded =
        xml("r.s", b"<?xml version='1.0'?><r \xe9='a'><s><a>Caf\xe9</a><b k='\xe9x'/></s><s><a>\xc3\xa9</a></s></r>");
    assert_eq!(shown(&decoded, "a"), "Café|é [0 a: charset; b: charset]");
    assert_eq!(decoded.notes.counts()[0].values, 3);
    assert_eq!(value_at(b"{\"a\":\"Caf\xe9\"}", "/a").as_deref(), Some("Café"));
    assert_eq!(value_at(b"<r><a>Caf\xe9</a></r>", "r.a").as_deref(), Some("Café"));
}

#[test]
fn the_headers_charset_needs_no_note() {
    let layout = |format| Layout { format, pins: vec![], inputs: vec![], key: vec![] };
    for (format, body) in [
        (Format::Json(String::new()), &b"[{\"a\":\"5\x80 \xe9\"}]"[..]),
        (Format::Xml("r.s".into()), b"<r><s><a>5\x80 \xe9</a></s></r>"),
    ] {
        let layout = layout(format);
        let layout = BodyLayout::from(&layout).with_content_type("text/plain; charset=windows-1252");
        assert_eq!(shown(&decode_body(&layout, body).unwrap(), "a"), "5€ é []");
    }
}

#[test]
fn an_unknown_charset_is_taken_for_utf_8() {
    let decoded = xml("r.s", "<?xml version='1.0' encoding='klingon'?><r><s><a>é</a></s></r>");
    assert_eq!(shown(&decoded, "a"), "é []");
    assert_eq!(decoded.notes.counts()[0].record, None);
}

#[test]
fn marks_and_wide_characters_are_read() {
    let wide = |text: &str, little: bool| -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    };
    let body = "[{\"a\":\"é\"}]";
    for body in [
        body.as_bytes().to_vec(),
        format!("\r\n\u{feff}{body}").into_bytes(),
        format!("\u{feff}\u{feff}{body}").into_bytes(),
        format!("\u{ef}\u{bb}\u{bf}{body}").into_bytes(),
        wide(body, true),
        wide(&format!("\u{feff}{body}"), true),
        wide(&format!("\u{feff}{body}"), false),
    ] {
        assert_eq!(shown(&json(&body), "a"), "é []", "{body:?}");
    }
    assert_eq!(value_at(&wide("\u{feff}{\"error\":\"é\"}", true), "/error").as_deref(), Some("é"));
    let lines = read(Format::Ndjson, "\u{feff}{\"a\":1}\n\u{feff}{\"a\":2}\n\u{feff}").unwrap();
    assert_eq!(shown(&lines, "a"), "1|2 []");
    assert_eq!(shown(&xml("r.s", "\n\u{feff}<?xml version='1.0'?>\n<r><s><a>é</a></s></r>"), "a"), "é []");
}

#[test]
fn entities_of_nobody_are_kept_or_html() {
    let body = "<r><s><a>a&nbsp;b</a><b>&foo; & c&d</b></s><s><a>a&#29;b&#55357;&#56832;</a><b u='?x=1&y=2'>&#xd83d;</b></s></r>";
    let decoded = xml("r.s", body);
    assert_eq!(
        shown(&decoded, "a"),
        "a\u{a0}b|a\u{1d}b\u{1f600} [0 a: entity; b: entity, 1 a: control; b: lone-surrogate; b.@u: entity]"
    );
    assert!(shown(&decoded, "b").starts_with("&foo; & c&d|\u{fffd} ["));
    assert!(shown(&decoded, "b.@u").starts_with("-|?x=1&y=2 ["));
    assert_eq!(value_at(b"<r><a>a&foo;b & c</a></r>", "r.a").as_deref(), Some("a&foo;b & c"));
}

#[test]
fn control_characters_in_xml_are_kept_and_noted() {
    let decoded = xml("r.s", "<r><s><a>a\u{1d}b</a></s><s><a>\tc</a><i>1</i><i>\u{1}</i></s></r>");
    assert_eq!(shown(&decoded, "a"), "a\u{1d}b|\tc [0 a: control]");
}

#[test]
fn the_last_of_two_attributes_counts() {
    let decoded = xml("r.s", "<r><s><a k='1' l='2' k='3'>x</a></s></r>");
    assert_eq!(shown(&decoded, "a.@k"), "3 [0 a: duplicate-name]");
    assert_eq!(shown(&decoded, "a.@l"), "2 [0 a: duplicate-name]");
}

#[test]
fn any_prefix_can_say_nil_and_type() {
    let body = r#"<r xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns:e="http://schemas.xmlsoap.org/soap/encoding/">
        <s><a i:nil="1"/><b i:type="x" e:arrayType="y">1</b></s>
        <s><a xmlns:j="http://www.w3.org/2001/XMLSchema-instance" j:nil="true"/><b>2</b></s>
        <s><a k:nil="false">3</a><b/></s></r>"#;
    let decoded = xml("r.s", body);
    assert_eq!(shown(&decoded, "a"), "-|-|3 []");
    let paths: Vec<_> = decoded.batch.columns.iter().map(|column| column.path.as_str()).collect();
    assert_eq!(paths, ["a", "b"]);
}

#[test]
fn references_of_soap_are_resolved() {
    let body = r##"<E:Envelope xmlns:E="e"><E:Body><m:get xmlns:m="m"><return>
        <item><id>1</id><campaign id="ref1"><ID>1001</ID><name>Fiets</name></campaign></item>
        <item><id>2</id><campaign href="#ref1"/></item>
        <item href="#ref2"/></return></m:get>
        <multiRef id="ref2"><id>3</id><campaign href="#ref1"/></multiRef></E:Body></E:Envelope>"##;
    let decoded = xml("Envelope.Body.get.return.item", body);
    assert_eq!(shown(&decoded, "campaign.ID"), "1001|1001|1001 []");
    assert_eq!(shown(&decoded, "id"), "1|2|3 []");
    assert_eq!(decoded.batch.columns.len(), 3);
    let at = value_at(body.as_bytes(), "Envelope.Body.get.return.item.campaign.name");
    assert_eq!(at.as_deref(), Some("Fiets"));
}

#[test]
fn a_list_can_be_a_reference() {
    let body = r##"<E><B><get><getReturn href="#id0"/></get><multiRef id="id0"><item href="#id1"/><item href="#id2"/></multiRef>
        <multiRef id="id1"><n>1</n></multiRef><multiRef id="id2"><n>2</n></multiRef></B></E>"##;
    assert_eq!(shown(&xml("E.B.get.getReturn.item", body), "n"), "1|2 []");
}

#[test]
fn references_that_lead_nowhere_are_null_and_noted() {
    let body = r##"<r><s><c href="#gone"/></s><s><c href="#top">link</c></s><s><c id="x"><c href="#x"/></c></s></r>"##;
    let decoded = xml("r.s", body);
    assert_eq!(shown(&decoded, "c"), "-|link|- [0 c: reference, 2 c.c.c: reference]");
    assert_eq!(shown(&decoded, "c.@href").split(' ').next(), Some("#gone|#top|-"));
    let level = |n: usize| format!("<l id='{n}'>{}</l>", format!("<l href='#{}'/>", n + 1).repeat(10));
    let bomb: String = (0..40).map(level).collect();
    let refused = read(Format::Xml("r.l".into()), format!("<r>{bomb}</r>")).unwrap_err();
    assert_eq!(refused.kind(), DecodeErrorKind::Limit);
}

#[test]
fn an_error_is_no_empty_list() {
    let layout = Layout {
        format: Format::Json(String::new()),
        pins: vec![],
        inputs: vec!["id".into(), r"a\.b.c".into()],
        key: vec![],
    };
    let kind = |body: &[u8]| {
        let decoded = decode_body(&BodyLayout::from(&layout), body);
        decoded.map(|decoded| decoded.batch.rows).map_err(|error| error.kind())
    };
    for body in [&b"null"[..], b"\xef\xbb\xbf{\"error\":\"no\"}", b"{}", b"\"no\"", b"<html>", b"", b"\xff\xfe{\0}\0"] {
        assert_eq!(kind(body), Err(DecodeErrorKind::OtherContent), "{body:?}");
    }
    assert_eq!((kind(b"[]"), kind(b"{\"id\":1}"), kind(b"{\"a.b\":{\"c\":2}}")), (Ok(0), Ok(1), Ok(1)));
    let refused = decode_body(&BodyLayout::from(&layout), b"{\"error\":1}").unwrap_err().to_string();
    assert_eq!(refused, "no list of records at the top: it is an object without a field of the layout");
}

#[test]
fn what_ends_before_its_end_is_cut() {
    let kind = |format: Format, body: &[u8]| read(format, body).map(|_| ()).map_err(|error| error.kind());
    let json = || Format::Json(String::new());
    let xml = || Format::Xml("r.s".into());
    for (format, body) in [
        (json(), &b"[{\"a\":1}"[..]),
        (json(), b"[{\"a\":NaN},{\"a\":\"\\ud83d"),
        (json(), b"[{\"a\":\"Caf\xe9\"},{\"a\":\"\xc3"),
        (json(), b"[{\"a\":Infin"),
        (Format::Ndjson, b"{\"a\":1}\n{\"a\""),
        (xml(), b"<r><s><a>1</a>"),
        (xml(), b"<r><s><a>a &am"),
        (xml(), b"<r><s><a href='#x'/></s><t id='x'>"),
    ] {
        let text = String::from_utf8_lossy(body).into_owned();
        assert_eq!(kind(format, body), Err(DecodeErrorKind::Cut), "{text}");
    }
    assert_eq!(kind(json(), b"[{\"a\":1}}"), Err(DecodeErrorKind::Malformed));
    assert_eq!(kind(xml(), b"<r><s></r>"), Err(DecodeErrorKind::Malformed));
    assert!(read(Format::Ndjson, "{\"a\":1}\n{\"a\":2}").unwrap().cut_at_end);
    assert!(!read(Format::Ndjson, "{\"a\":1}\n").unwrap().cut_at_end);
}

#[test]
fn plain_bodies_have_no_notes() {
    let body = r#"[{"a":"x\u00e9\ud83d\ude00\n","b":[1,"\""],"c":null,"d":{"a":1}},{"a":"é"}]"#;
    assert!(json(body).notes.is_empty());
    assert!(xml("r.s", "<r><s><a k='&lt;'>&#233;&amp;<![CDATA[ & ]]></a>\r\n\t</s></r>").notes.is_empty());
}
