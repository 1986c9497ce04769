//! Hostile guests: each of `tests/guests/` is stopped within its limits, named in one error, and survived.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use arrow::array::{Array, StringArray};
use bytes::Bytes;
use sluice_engine::{Connector, Engine, EngineOptions, Error, Limits};
use sluice_guests::{Case, Guest, Stage, cases};
use sluice_model::{Axis, Mapped, Request, Response, Slice, Verdict};

/// Two records, as every network of these tests gives them.
const BODY: &[u8] = br#"{"data":[{"id":"1"},{"id":"2"}]}"#;
/// Time of one call: enough for any honest guest here, on a busy machine too.
const CALL_TIMEOUT: Duration = Duration::from_millis(300);

fn engine() -> Engine {
    let limits = Limits { call_timeout: CALL_TIMEOUT, ..Limits::default() };
    Engine::new(EngineOptions { limits, max_instances: 2, ..EngineOptions::default() }).unwrap()
}

fn slice(connector: &Connector) -> Slice {
    Slice {
        network: connector.network().to_owned(),
        account: "main".to_owned(),
        stream: connector.manifest().streams[0].name.clone(),
        settings: vec![],
        window: "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z".parse().unwrap(),
        timezone: chrono_tz::UTC,
        axis: Axis::Transaction,
        cursor: None,
    }
}

/// What a run asks of a connector for one response, and where that ended.
fn answered(connector: &Connector, request: &Request) -> Result<Option<Mapped>, (Stage, Error)> {
    let slice = slice(connector);
    let native = connector.decode(&slice.stream, request, BODY).expect("the body fits its layout");
    let body = Bytes::from_static(BODY);
    let response = Response { status: 200, headers: vec![], body, records: Some(2), problem: None };
    let judgement = connector.follow(&slice, request, &response).map_err(|error| (Stage::Follow, error))?;
    if !matches!(judgement.verdict, Verdict::Done | Verdict::More(_)) {
        return Ok(None);
    }
    connector.map(&slice, request, &response, native).map(Some).map_err(|error| (Stage::Map, error))
}

/// Everything that a run asks of a guest, up to the first failure.
fn tried(engine: &Engine, name: &str, component: &[u8]) -> Result<Vec<Mapped>, (Stage, Error)> {
    let connector = engine.load(component, &format!("{name}.wasm")).map_err(|error| (Stage::Load, error))?;
    let requests = connector.plan(&slice(&connector)).map_err(|error| (Stage::Plan, error))?;
    // One after another, and each of them, even if an earlier one fails.
    let all: Vec<_> = requests.iter().map(|request| answered(&connector, request)).collect();
    all.into_iter().filter_map(Result::transpose).collect()
}

/// The ids that an answer gives its rows.
fn ids(mapped: &Mapped) -> Vec<String> {
    let Some(transactions) = &mapped.transactions else { return Vec::new() };
    let column = transactions.column_by_name("transaction_id").unwrap();
    let column = column.as_any().downcast_ref::<StringArray>().unwrap();
    column.iter().flatten().map(str::to_owned).collect()
}

/// What is wrong about what became of a guest.
fn complaint(case: &Case, outcome: &Result<Vec<Mapped>, (Stage, Error)>) -> Option<String> {
    let Case { name, expectation, .. } = case;
    let passes_the_engine = expectation.stopped_in >= Stage::Fetch;
    match outcome {
        Ok(mapped) if passes_the_engine => {
            let ids: Vec<String> = mapped.iter().flat_map(ids).collect();
            (ids != expectation.ids).then(|| format!("{name}: its rows are {ids:?}"))
        }
        Ok(_) => Some(format!("{name}: nothing stopped it")),
        Err((stage, error)) if *stage == expectation.stopped_in => {
            let said = full(error);
            let is_named = said.contains(&format!("connector `{name}"));
            let is_short = said.len() < 500 && !said.contains(char::is_control);
            if expectation.error.as_deref() != Some(said.as_str()) || error.hint().is_none() {
                Some(format!("{name}: the error is {said:?}"))
            } else {
                (!is_named || !is_short).then(|| format!("{name}: the error isn't fit to be read: {said:?}"))
            }
        }
        Err((stage, error)) => Some(format!("{name}: stopped in {stage:?}: {error}")),
    }
}

/// An error with its causes.
fn full(error: &Error) -> String {
    let mut said = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if !said.contains(&cause.to_string()) {
            said = format!("{said}: {cause}");
        }
        source = cause.source();
    }
    said
}

#[test]
fn every_guest_is_stopped_where_it_sins_and_nothing_is_left_of_it() {
    let engine = engine();
    let honest = Guest::new("honest", &serde_json::json!({})).component().unwrap();
    let before = tried(&engine, "honest", &honest).unwrap();
    let complaints: Vec<String> = cases()
        .unwrap()
        .iter()
        .filter_map(|case| {
            let outcome = tried(&engine, &case.name, case.component.as_ref()?);
            let complaint = complaint(case, &outcome);
            drop(outcome);
            // What it took is given back, and who comes after it finds everything as it was.
            let live = engine.live();
            assert_eq!((live.connectors, live.instances, live.memories), (0, 0, 0), "{}", case.name);
            assert!(live.idle_bytes <= 2 * Limits::default().resident_bytes, "{}: {live:?}", case.name);
            let after = tried(&engine, "honest", &honest).unwrap();
            assert_eq!(format!("{after:?}"), format!("{before:?}"), "{}", case.name);
            complaint
        })
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
