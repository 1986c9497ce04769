//! What the JSON decoder promises.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use sluice_model::{Format, Kinds, Layout, NativeBatch};

use super::{DecodeError, decode, value_at};

fn layout(format: Format) -> Layout {
    Layout { format, pins: vec![], inputs: vec![], key: vec![] }
}

fn json(place: &str, body: &str) -> Result<NativeBatch, DecodeError> {
    decode(&layout(Format::Json(place.into())), body.as_bytes())
}

fn refused(place: &str, body: &str) -> String {
    json(place, body).unwrap_err().to_string()
}

fn cells<'a>(batch: &'a NativeBatch, path: &str) -> Vec<Option<&'a str>> {
    batch.column(path).unwrap_or_else(|| panic!("no column {path}")).text.iter().collect()
}

fn kinds(batch: &NativeBatch, path: &str) -> Kinds {
    batch.column(path).unwrap().kinds
}

fn union(kinds: &[Kinds]) -> Kinds {
    let mut all = Kinds::default();
    kinds.iter().for_each(|kind| all.insert(*kind));
    all
}

#[test]
fn every_field_keeps_its_literal_text() {
    let body = r#" [ {"id": 1001, "amount": {"value": 10.50, "currency": "GBP"}, "paid": true, "tags": [ 1, "a" ],
        "note": "a\"b\u00e9\n", "none": null, "extra": {}, "a.b\\c": 1e3 } ] "#;
    let batch = json("", body).unwrap();
    let rows: Vec<_> =
        batch.columns.iter().map(|c| (c.path.as_str(), c.text.iter().next().unwrap(), c.kinds)).collect();
    assert_eq!(
        rows,
        [
            ("id", Some("1001"), Kinds::INTEGER),
            ("amount.value", Some("10.50"), Kinds::FLOAT),
            ("amount.currency", Some("GBP"), Kinds::TEXT),
            ("paid", Some("true"), Kinds::BOOLEAN),
            ("tags", Some(r#"[ 1, "a" ]"#), Kinds::JSON),
            ("note", Some("a\"bé\n"), Kinds::TEXT),
            ("none", None, Kinds::NULL),
            ("extra", Some("{}"), Kinds::JSON),
            (r"a\.b\\c", Some("1e3"), Kinds::FLOAT),
        ]
    );
}

#[test]
fn missing_and_null_are_null() {
    let batch = json("", r#"[{"a":1},{"a":null,"b":"x"},{}]"#).unwrap();
    assert_eq!(batch.rows, 3);
    assert_eq!(cells(&batch, "a"), [Some("1"), None, None]);
    assert_eq!(kinds(&batch, "a"), union(&[Kinds::INTEGER, Kinds::NULL]));
    assert_eq!(cells(&batch, "b"), [None, Some("x"), None]);
}

#[test]
fn a_scalar_and_an_object_share_a_path() {
    let batch = json("", r#"[{"a":"x"},{"a":{"b":1}}]"#).unwrap();
    assert_eq!(cells(&batch, "a"), [Some("x"), None]);
    assert_eq!(cells(&batch, "a.b"), [None, Some("1")]);
}

#[test]
fn the_last_of_two_names_counts() {
    let body = r#"[{"a":1,"b":"x","a":22},{"a":{"b":1,"c":2},"a":{"c":3}},{"a":{"b":1},"a":"y"},{"a":"z","a":null}]"#;
    let batch = json("", body).unwrap();
    assert_eq!(cells(&batch, "a"), [Some("22"), None, Some("y"), None]);
    assert_eq!(cells(&batch, "b"), [Some("x"), None, None, None]);
    assert_eq!(cells(&batch, "a.b"), [None; 4]);
    assert_eq!(cells(&batch, "a.c"), [None, Some("3"), None, None]);
}

#[test]
fn records_that_are_no_objects_have_a_value() {
    let batch = json("", r#"[7,"x",[1, 2],null,{"value":true}]"#).unwrap();
    assert_eq!(cells(&batch, "value"), [Some("7"), Some("x"), Some("[1, 2]"), None, Some("true")]);
    let all = [Kinds::INTEGER, Kinds::TEXT, Kinds::JSON, Kinds::NULL, Kinds::BOOLEAN];
    assert_eq!(kinds(&batch, "value"), union(&all));
}

#[test]
fn integers_that_no_float_holds_are_text_beside_floats() {
    let batch = json("", r#"[{"a":9007199254740993,"b":9007199254740993,"c":1},{"a":1.5,"b":1,"c":1.5}]"#).unwrap();
    assert!(kinds(&batch, "a").intersects(Kinds::TEXT));
    assert_eq!(kinds(&batch, "b"), Kinds::INTEGER);
    assert_eq!(kinds(&batch, "c"), union(&[Kinds::INTEGER, Kinds::FLOAT]));
}

#[test]
fn places_lead_to_records() {
    let body =
        r#"{"data":{"publisherCommissions":{"count":2,"records":[{"id":1},{"id":2}]}},"x":[[{"id":3}],[{"id":4}]]}"#;
    assert_eq!(cells(&json("/data/publisherCommissions/records", body).unwrap(), "id"), [Some("1"), Some("2")]);
    assert_eq!(cells(&json("/data/publisherCommissions/records/1", body).unwrap(), "id"), [Some("2")]);
    assert_eq!(cells(&json("/data/publisherCommissions", body).unwrap(), "count"), [Some("2")]);
    assert_eq!(cells(&json("/x/*", body).unwrap(), "id"), [Some("3"), Some("4")]);
    assert_eq!(cells(&json("/x/*/0", body).unwrap(), "id"), [Some("3"), Some("4")]);
    assert_eq!(cells(&json("/a~1b", r#"{"a/b":[{"id":1}]}"#).unwrap(), "id"), [Some("1")]);
}

#[test]
fn a_star_goes_through_members() {
    let body = r#"{"2024":{"rows":[{"id":1}]},"2025":{"rows":[{"id":2},{"id":3}]},"total":5}"#;
    assert_eq!(json("/*/rows", body).unwrap().rows, 3);
    assert_eq!(refused("/*/lines", body), "nothing at `/*/lines`");
    assert_eq!(json("/*/rows", "{}").unwrap().rows, 0);
    assert_eq!(refused("/*/rows", r#"[{"rows":null},{"other":1}]"#), "no list of records at /*/rows: it is null");
    assert_eq!(json("/*/rows", r#"[{"rows":null},{"rows":[{"id":1}]}]"#).unwrap().rows, 1);
    assert_eq!(cells(&json("/ids/*", r#"{"ids":{"a":1,"b":2}}"#).unwrap(), "value"), [Some("1"), Some("2")]);
}

#[test]
fn a_missing_place_and_null_are_no_empty_lists() {
    assert_eq!(refused("/data", r#"{"data":null}"#), "no list of records at /data: it is null");
    assert_eq!(json("", "null").unwrap_err(), DecodeError::NotAList { place: String::new(), found: "null" });
    assert_eq!(refused("", "\u{feff}null"), "no list of records at the top: it is null");
    assert_eq!(json("/data", r#"{"data":[]}"#).unwrap().rows, 0);
    assert_eq!(json("/data", r#"{"data":{}}"#).unwrap().rows, 1);
    assert_eq!(refused("/data/rows", r#"{"data":null,"errors":[]}"#), "nothing at `/data/rows`");
    assert_eq!(refused("/data", r#"{"error":"no"}"#), "nothing at `/data`");
    assert_eq!(refused("/data/7", r#"{"data":[]}"#), "nothing at `/data/7`");
    assert_eq!(refused("/data", r#"{"data":"no"}"#), "no list of records at /data: it is a string");
    assert!(refused("data", "{}").contains("is no place for records"));
    assert!(refused("/data", r#"{"data":[{}],"data":[]}"#).ends_with("a name on the way to the records stands twice"));
}

#[test]
fn broken_bodies_are_refused() {
    assert_eq!(refused("", r#"[{"a":1},{"a"#), "body is cut short at byte 12");
    assert_eq!(refused("", r#"[{"a":1}"#), "body is cut short at byte 8");
    assert_eq!(refused("/b", r#"{"b":[],"a":tru"#), "body is cut short at byte 15");
    assert_eq!(refused("", r#"[{"a":1}] x"#), "bad JSON at byte 10: something follows the value");
    assert_eq!(refused("", " <!DOCTYPE html>"), "no JSON: it begins with `<!DOCTYPE html>`");
    assert_eq!(refused("", "Not found"), "no JSON: it begins with `Not found`");
    assert_eq!(refused("", "no records"), "no JSON: it begins with `no records`");
    assert_eq!(refused("", " \n"), "no JSON: the body is empty");
    for bad in ["NaNs", "+1", "01", "1.", ".5", "'a'", "infinit"] {
        assert!(refused("", &format!("[{{\"a\":{bad}}}]")).starts_with("bad JSON at byte"), "{bad}");
    }
    for bad in [r#"[{"a":1,}]"#, r#"[{"a":1},]"#, r#"[{a:1}]"#, r#"[{"a" 1}]"#, r#"[{"a":[1,]}]"#] {
        assert!(refused("", bad).starts_with("bad JSON at byte"), "{bad}");
    }
    let half = decode(&layout(Format::Json(String::new())), b"[{\"a\":\"\xc3").unwrap_err();
    assert_eq!(half.to_string(), "body is cut short at byte 8");
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    assert_eq!(json("", "\u{feff}[{\"a\":1}]").unwrap().rows, 1);
    assert_eq!(value_at("\u{feff}{\"a\":1}".as_bytes(), "/a").as_deref(), Some("1"));
}

#[test]
fn deep_nesting_is_refused() {
    let deep = |depth| format!("[{}1{}]", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert_eq!(json("", &deep(128)).unwrap().columns[0].path.len(), 255);
    assert!(refused("", &deep(129)).ends_with("it nests too deep"));
    assert!(refused("", &"[".repeat(100_000)).starts_with("bad JSON at byte"));
    assert!(refused("", &r#"[{"a":"#.repeat(100_000)).starts_with("bad JSON at byte"));
    assert_eq!(value_at("[".repeat(100_000).as_bytes(), "/0/0"), None);
}

#[test]
fn lines_are_records() {
    let lines = |body: &str| decode(&layout(Format::Ndjson), body.as_bytes());
    let batch = lines("{\"a\":1}\n\n  \r\n{\"a\":2}\r\n{\"b\":\"x\"}").unwrap();
    assert_eq!(cells(&batch, "a"), [Some("1"), Some("2"), None]);
    assert_eq!(lines("\n").unwrap().rows, 0);
    assert_eq!(lines("{\"a\":1}\n{\"a\":").unwrap_err().to_string(), "body is cut short at byte 13");
    assert_eq!(lines("<html>").unwrap_err().to_string(), "no JSON: it begins with `<html>`");
}

#[test]
fn values_are_found() {
    let body = br#"{"a":{"b":[10,{"c":"x\ny"}],"n":null,"o":{ "p":1 },"t":true},"m~/n":1.50,"a2":1,"d":1,"d":"two"}"#;
    let at = |place: &str| value_at(body, place);
    assert_eq!(at("/a/b/0").as_deref(), Some("10"));
    assert_eq!(at("/a/b/1/c").as_deref(), Some("x\ny"));
    assert_eq!(at("/a/b/1").as_deref(), Some(r#"{"c":"x\ny"}"#));
    assert_eq!(at("/a/o").as_deref(), Some(r#"{ "p":1 }"#));
    assert_eq!(at("/a/t").as_deref(), Some("true"));
    assert_eq!(at("/m~0~1n").as_deref(), Some("1.50"));
    assert_eq!(at("/d").as_deref(), Some("two"));
    assert_eq!(at("").map(|all| all.len()), Some(body.len()));
    for none in ["/a/n", "/a/x", "/a/b/2", "/a/b/00", "/a/b/-", "/a2/x", "/"] {
        assert_eq!(at(none), None, "{none}");
    }
    assert_eq!(value_at(br#"{"a":1"#, "/a"), None);
}
