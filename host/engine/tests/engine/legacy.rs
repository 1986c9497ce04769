//! Components of earlier contracts, as they were compiled then, beside those of this day.

use bytes::Bytes;
use sluice_engine::Connector;
use sluice_guests::{Guest, case, repository};
use sluice_model::{Axis, Digest, Mapped, Op, Response, Slice, Verdict};

use crate::engine;

const BODY: &[u8] = br#"{"data":[{"id":"1"},{"id":"2"}]}"#;

fn slice(connector: &Connector) -> Slice {
    Slice {
        network: connector.network().to_owned(),
        account: "main".to_owned(),
        stream: "sales".to_owned(),
        settings: vec![("id".to_owned(), "7".to_owned())],
        window: "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z".parse().unwrap(),
        timezone: chrono_tz::UTC,
        axis: Axis::Transaction,
        cursor: None,
    }
}

fn mapped(connector: &Connector) -> Mapped {
    let slice = slice(connector);
    let request = connector.plan(&slice).unwrap().remove(0);
    let native = connector.decode("sales", &request, BODY).unwrap();
    let response =
        Response { status: 200, headers: vec![], body: Bytes::from_static(BODY), records: Some(2), problem: None };
    connector.check_deterministic(&slice, &request, &response, native).unwrap()
}

#[test]
fn a_component_of_contract_0_1_gives_the_rows_that_it_gave() {
    let engine = engine();
    let component = case("legacy-0-1").unwrap().component.unwrap();
    let legacy = engine.load(&component, "legacy-0-1.wasm").unwrap();
    let manifest = legacy.manifest();
    assert_eq!((manifest.network.as_str(), manifest.version.as_str()), ("legacy-0-1", "0.1.0"));
    assert_eq!((manifest.tokens[0].name.as_str(), manifest.tokens[0].lifetime_secs), ("session", Some(3_600)));
    let request = legacy.plan(&slice(&legacy)).unwrap().remove(0);
    assert_eq!(request.url[1], Op::Setting("id".to_owned()));
    let response =
        Response { status: 200, headers: vec![], body: Bytes::from_static(BODY), records: Some(2), problem: None };
    let judgement = legacy.follow(&slice(&legacy), &request, &response).unwrap();
    assert!(matches!(judgement.verdict, Verdict::More(more) if more[0].key == "page-2"));
    assert_eq!(judgement.cursor.as_deref(), Some("c-1"));
    let expected = std::fs::read_to_string(repository().join("tests/guests/legacy-0-1/rows.txt")).unwrap();
    assert_eq!(rows(&mapped(&legacy)), expected.trim_end());
    // One of this day serves beside it.
    let new = Guest::new("new", &serde_json::json!({})).component().unwrap();
    let new = engine.load(&new, "new.wasm").unwrap();
    assert_eq!(mapped(&new).native.rows, mapped(&legacy).native.rows);
}

/// Every value of every row, by column.
fn rows(mapped: &Mapped) -> String {
    let transactions = mapped.transactions.as_ref().unwrap();
    let column = |(field, column): (&std::sync::Arc<arrow::datatypes::Field>, &arrow::array::ArrayRef)| {
        let values: Vec<String> =
            (0..column.len()).map(|row| arrow::util::display::array_value_to_string(column, row).unwrap()).collect();
        format!("{}: {}", field.name(), values.join(" | "))
    };
    let fields = transactions.schema_ref().fields().iter().zip(transactions.columns());
    let lines: Vec<String> = fields.map(column).map(|line| line.trim_end().to_owned()).collect();
    format!("{}\nunknown: {}", lines.join("\n"), mapped.unknown_statuses.join(" "))
}

#[test]
fn the_contract_0_1_is_frozen() {
    let wit = std::fs::read_to_string(repository().join("wit/v0.1/connector.wit")).unwrap();
    let said: Vec<&str> =
        wit.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("///")).collect();
    let digest = Digest::of(said.join("\n").as_bytes());
    assert_eq!(digest.short(), "a88a1d853fc8", "only comments of a released contract may change: see wit/README.md");
}
