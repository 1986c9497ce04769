//! A connector that isn't Rust's: tests/guests/javascript, built by `just guests`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;

use arrow::array::{Array, Decimal128Array, StringArray};
use bytes::Bytes;
use sluice_engine::{Engine, EngineOptions};
use sluice_model::{Op, Response, Slice, Verdict};
use sluice_tests::{day_of, target_dir};

#[test]
fn a_javascript_connector_maps_like_any_other() {
    let guests = std::env::var("SLUICE_GUESTS").map_or_else(|_| target_dir().join("guests"), PathBuf::from);
    let wasm = std::fs::read(guests.join("papercup.wasm")).expect("`just guests` builds it");
    let cache_dir = Some(target_dir().join("guests/cache"));
    let engine = Engine::new(EngineOptions { cache_dir, max_instances: 1, ..EngineOptions::default() }).unwrap();
    let papercup = engine.load(&wasm, "papercup.wasm").unwrap();
    let window = "2026-03-01T00:00:00Z/2026-03-03T00:00:00Z".parse().unwrap();
    let slice = Slice { window, ..day_of("papercup", "transactions") };
    let requests = papercup.plan(&slice).unwrap();
    let url = "https://api.papercup.example/sales?since=2026-03-01T00:00:00Z&until=2026-03-03T00:00:00Z";
    assert_eq!(requests[0].url, [Op::Text(url.to_owned())]);

    let body = Bytes::from_static(include_bytes!("../guests/javascript/sales.json"));
    let decoded = papercup.decode("transactions", &[], &body).unwrap();
    assert_eq!(decoded.records(), 7);
    let response = Response { status: 200, headers: vec![], body, records: Some(7), problem: None };
    match papercup.follow(&slice, &requests[0], &response).unwrap().verdict {
        Verdict::More(next) => assert_eq!(next[0].key, "page-2"),
        other => panic!("no second page: {other:?}"),
    }
    let mapped = papercup.map(&slice, &requests[0], &response, decoded).unwrap();
    let transactions = mapped.transactions.unwrap();
    let text = |name: &str| {
        let column = transactions.column_by_name(name).unwrap().as_any().downcast_ref::<StringArray>().unwrap().clone();
        (0..column.len()).map(|row| column.is_valid(row).then(|| column.value(row).to_owned())).collect::<Vec<_>>()
    };
    let commissions = transactions.column_by_name("commission_amount").unwrap();
    let commissions = commissions.as_any().downcast_ref::<Decimal128Array>().unwrap();
    assert_eq!(commissions.values().to_vec(), [2_495_000, 100_000, -2_495_000, 100_000_000]);
    let ids = sluice_guests::expectation("javascript").unwrap().ids;
    assert_eq!(text("transaction_id").into_iter().flatten().collect::<Vec<_>>(), ids);
    assert_eq!(text("advertiser_name")[0].as_deref(), Some("Mug & Móveis"));
    assert_eq!(
        text("time_basis").into_iter().flatten().collect::<Vec<_>>(),
        ["instant", "instant", "local", "instant"]
    );
    assert_eq!(mapped.rejects.iter().map(|reject| reject.record_index).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!(mapped.unknown_statuses, ["mislaid"]);
}
