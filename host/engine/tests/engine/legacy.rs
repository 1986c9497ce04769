//! Components of earlier contracts, as they were compiled then, beside those of this day.

use bytes::Bytes;
use sluice_engine::Connector;
use sluice_guests::{Guest, case, repository};
use sluice_model::{Axis, Digest, Format, Mapped, Op, Response, Verdict};

use crate::{engine, slice_of};

/// The newest contract, which isn't frozen yet.
const DRAFT: &str = "0.3.0-draft.4";
const BODY: &[u8] = br#"{"data":[{"id":"1"},{"id":"2"}]}"#;

fn mapped(connector: &Connector) -> Mapped {
    let slice = slice_of(connector.network());
    let request = connector.plan(&slice).unwrap().remove(0);
    let native = connector.decode("sales", &[], BODY).unwrap();
    let response =
        Response { status: 200, headers: vec![], body: Bytes::from_static(BODY), records: Some(2), problem: None };
    connector.map(&slice, &request, &response, native).unwrap()
}

/// Asks a kept component for everything, and compares its rows with those beside it.
fn kept(name: &str, contract: &str, cursor: &str) -> Connector {
    let component = case(name).unwrap().component.unwrap();
    let kept = engine().load(&component, name).unwrap();
    let manifest = kept.manifest();
    assert_eq!((manifest.network.as_str(), manifest.version.as_str(), kept.contract()), (name, contract, contract));
    assert_eq!((manifest.tokens[0].name.as_str(), manifest.tokens[0].lifetime_secs), ("session", Some(3_600)));
    let request = kept.plan(&slice_of(kept.network())).unwrap().remove(0);
    assert_eq!(request.url[1], Op::Setting("id".to_owned()));
    let response =
        Response { status: 200, headers: vec![], body: Bytes::from_static(BODY), records: Some(2), problem: None };
    let judgement = kept.follow(&slice_of(kept.network()), &request, &response).unwrap();
    assert!(matches!(judgement.verdict, Verdict::More(more) if more[0].key == "page-2"));
    assert_eq!(judgement.cursor.as_deref(), Some(cursor));
    let expected = std::fs::read_to_string(repository().join("tests/guests").join(name).join("rows.txt")).unwrap();
    let rows = rows(&mapped(&kept));
    // Columns that came to the schema later are none of theirs, and null.
    let (known, later): (Vec<&str>, Vec<&str>) = rows.lines().partition(|line| {
        let name = line.split_once(':').map_or("", |(name, _)| name);
        expected.lines().any(|known| known.split_once(':').is_some_and(|(known, _)| known == name))
    });
    assert_eq!(known.join("\n"), expected.trim_end());
    let is_null =
        |line: &&str| line.split_once(':').is_some_and(|(_, values)| values.trim_matches([' ', '|']).is_empty());
    assert!(later.iter().all(is_null), "{later:?}");
    kept
}

#[test]
fn a_component_of_contract_0_1_gives_the_rows_that_it_gave() {
    kept("legacy-0-1", "0.1.0", "c-1");
}

#[test]
fn a_component_of_contract_0_2_gives_the_rows_that_it_gave() {
    let kept = kept("legacy-0-2", "0.2.0", "c-2");
    let stream = &kept.manifest().streams[0];
    assert_eq!((&stream.complete_windows[..], stream.history_days), (&[Axis::Transaction][..], Some(14)));
}

#[test]
fn components_of_all_contracts_serve_in_one_engine() {
    let engine = engine();
    let of = |contract: &str| {
        let guest = Guest::new("beside", &serde_json::json!({ "contract": contract }));
        let loaded = engine.load(&guest.component().unwrap(), "beside.wasm").unwrap();
        assert_eq!(loaded.contract(), contract);
        loaded
    };
    let oldest = of("0.1.0");
    for newer in ["0.2.0", DRAFT].map(of) {
        assert_eq!(oldest.manifest(), newer.manifest());
        assert_eq!(mapped(&oldest).native.rows, mapped(&newer).native.rows);
    }
}

/// The same transactions in the words of two contracts.
#[test]
fn columns_that_are_named_as_data_give_the_rows_of_named_fields() {
    let engine = engine();
    let of = |contract: &str, answer: serde_json::Value| {
        let description = serde_json::json!({
            "contract": contract, "stream": {"unified": true}, "map-response": {"ok": answer},
        });
        engine.load(&Guest::new("beside", &description).component().unwrap(), "beside.wasm").unwrap()
    };
    let ids = serde_json::json!({"offsets": [0, 3, 6], "bytes": "t-1t-2"});
    let codes = serde_json::json!({"offsets": [0, 5, 5], "bytes": "SAVE5", "valid": [1]});
    let at = serde_json::json!({"values": [1_767_225_600_000_000_i64, 1_767_229_200_000_000_i64], "bases": [0, 1]});
    let ordinals = |ordinal: u8| serde_json::json!({"values": [ordinal, ordinal]});
    let fields = of(
        "0.2.0",
        serde_json::json!({"transactions": {
            "records": [0, 1], "timezone": "Europe/Berlin", "timezone-basis": "declared", "transaction-id": ids,
            "kind": ordinals(0), "validation-status": ordinals(1), "payment-status": ordinals(4), "transacted-at": at,
            "voucher-code": codes, "is-locked": ordinals(1),
        }}),
    );
    let column = |name: &str, kind: &str, values: &serde_json::Value| serde_json::json!({"name": name, "values": {kind: values}});
    let data = of(
        DRAFT,
        serde_json::json!({"facts": [{
            "fact": "transactions", "records": [0, 1], "timezone": "Europe/Berlin", "timezone-basis": "declared",
            "columns": [
                column("voucher_code", "text", &codes), column("is_locked", "flag", &ordinals(1)),
                column("transacted_at", "time", &at), column("kind", "words", &ordinals(0)),
                column("validation_status", "words", &ordinals(1)), column("payment_status", "words", &ordinals(4)),
                column("transaction_id", "text", &ids),
            ],
        }]}),
    );
    let (fields, data) = (rows(&mapped(&fields)), rows(&mapped(&data)));
    assert!(fields.contains("voucher_code: SAVE5 |"), "{fields}");
    assert_eq!(fields, data);
}

/// Where rows have all fields, a contract says since 0.3: before, unquoted ones do.
#[test]
fn rows_of_earlier_contracts_have_all_fields_where_they_are_unquoted() {
    let layout = |contract: &str, delimited: serde_json::Value| {
        let stream = serde_json::json!({"layout": {"format": {"delimited": delimited}}});
        let guest = Guest::new("rows", &serde_json::json!({ "contract": contract, "stream": stream }));
        let connector = engine().load(&guest.component().unwrap(), "rows.wasm").unwrap();
        match &connector.manifest().streams[0].layout.format {
            Format::Delimited(delimited) => (delimited.exact_fields, delimited.optional.clone()),
            other => panic!("{other:?}"),
        }
    };
    let of = |quote: &str| serde_json::json!({"delimiter": "|", "quote": quote, "charset": "utf-8"});
    for contract in ["0.1.0", "0.2.0"] {
        assert_eq!((layout(contract, of("")).0, layout(contract, of("'")).0), (true, false), "{contract}");
    }
    let stated = serde_json::json!({
        "delimiter": ",", "quote": "'", "charset": "utf-8", "exact-fields": true, "optional": ["voucher"],
    });
    assert_eq!(layout(DRAFT, stated), (true, vec!["voucher".to_owned()]));
}

/// Which settings identify an account, a contract says since 0.3: before, the required ones do, but for the currency.
#[test]
fn settings_of_earlier_contracts_identify_if_they_are_required() {
    let identify = |contract: &str, stated: Option<bool>| {
        let setting = |name: &str, required: bool| {
            let mut setting = serde_json::json!({"name": name, "meaning": "what it is", "required": required});
            if let Some(stated) = stated {
                setting["identifies"] = stated.into();
            }
            setting
        };
        let settings = [setting("site", true), setting("currency", true), setting("zone", false)];
        let guest =
            Guest::new("settings", &serde_json::json!({"contract": contract, "manifest": {"settings": settings}}));
        let connector = engine().load(&guest.component().unwrap(), "settings.wasm").unwrap();
        connector.manifest().settings.iter().map(|setting| setting.identifies).collect::<Vec<_>>()
    };
    for contract in ["0.1.0", "0.2.0"] {
        assert_eq!(identify(contract, None), [true, false, false], "{contract}");
    }
    assert_eq!(identify(DRAFT, Some(true)), [true; 3]);
    assert_eq!(identify(DRAFT, Some(false)), [false; 3]);
}

#[test]
fn a_complete_window_of_contract_0_1_is_one_of_the_transactions_date() {
    let complete = |axes: serde_json::Value| {
        let guest = Guest::new("old", &serde_json::json!({"stream": {"axes": axes, "complete-windows": true}}));
        let old = engine().load(&guest.component().unwrap(), "old.wasm").unwrap();
        old.manifest().streams[0].complete_windows.clone()
    };
    assert_eq!(complete(serde_json::json!(["modified", "transaction"])), [Axis::Transaction]);
    assert_eq!(complete(serde_json::json!(["modified"])), []);
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
fn the_contracts_are_frozen() {
    for (version, digest) in [("0.1", "a88a1d853fc8"), ("0.2", "54b5772ecc9b")] {
        let file = repository().join(format!("wit/v{version}/connector.wit"));
        let wit = std::fs::read_to_string(file).unwrap();
        let output: Vec<&str> =
            wit.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("///")).collect();
        let found = Digest::of(output.join("\n").as_bytes());
        assert_eq!(found.short(), digest, "only comments of contract {version} may change: see wit/README.md");
    }
}
