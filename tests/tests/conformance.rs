//! Every connector, as the component that ships, against its fixtures: `expected.json` beside each case says what
//! it plans, judges and maps. `just bless` takes what it does now as what it shall do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use sluice_engine::{Connector, Engine, EngineOptions};
use sluice_model::{Axis, Mapped, Response, Slice, Window};
use sluice_tests::{connectors_dir, repository, target_dir};

fn connector_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(repository().join("connectors"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

#[test]
fn every_connector_does_what_its_fixtures_say() {
    let mut wrong = Vec::new();
    for (folder, connector) in connectors() {
        let name = connector.network().to_owned();
        assert_eq!(connector.contract(), "0.3.0-draft.4", "{name} speaks the newest contract");
        // A row leaves its window of any other date by changing once more, and has not vanished.
        let complete =
            |stream: &sluice_model::Stream| stream.complete_windows.iter().all(|axis| *axis == Axis::Transaction);
        assert!(
            connector.manifest().streams.iter().all(complete),
            "{name} has complete windows of a date that changes"
        );
        let base: Value = read_json(&folder.join("fixtures/slice.json"));
        check(&folder.join("fixtures/plan.json"), &plan(&connector, &slice(&connector, &base)), &mut wrong);
        let mut cases: Vec<PathBuf> = std::fs::read_dir(folder.join("fixtures"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect();
        cases.sort();
        assert!(cases.len() >= 4, "{name} has too few cases");
        for case in cases {
            let seen = answer(&connector, &base, &case);
            assert_eq!(
                seen,
                answer(&connector, &base, &case),
                "{} maps the same bytes to something else",
                case.display()
            );
            check(&case.join("expected.json"), &seen, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "these differ from what is blessed (`just bless` and read the diff): {wrong:#?}");
}

fn read_json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn check(path: &Path, seen: &Value, wrong: &mut Vec<String>) {
    let seen = format!("{seen:#}\n");
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::write(path, &seen).unwrap();
    }
    if std::fs::read_to_string(path).ok().as_deref() != Some(&seen) {
        wrong.push(path.display().to_string());
    }
}

fn slice(connector: &Connector, at: &Value) -> Slice {
    let text = |name: &str| at[name].as_str().unwrap_or_else(|| panic!("slice.json lacks {name}")).to_owned();
    let stream = connector.manifest().stream(&text("stream")).expect("the slice's stream").clone();
    let axis: Axis = serde_json::from_value(at["axis"].clone()).unwrap();
    Slice {
        network: connector.manifest().network.clone(),
        account: text("account"),
        stream: text("stream"),
        settings: at["settings"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect(),
        window: Window { since: text("since").parse().unwrap(), until: text("until").parse().unwrap() },
        timezone: stream.timezone.parse().unwrap(),
        axis,
        cursor: None,
    }
}

fn plan(connector: &Connector, slice: &Slice) -> Value {
    match connector.plan(slice) {
        Ok(requests) => json!(requests),
        Err(error) => json!({"error": error.to_string()}),
    }
}

/// The slice of a case.
fn with_overrides(base: &Value, about: &Value) -> Value {
    let mut at = base.clone();
    if let Some(overrides) = about["slice"].as_object() {
        at.as_object_mut().unwrap().extend(overrides.clone());
    }
    at
}

/// What the connector makes of a case: its judgement and its rows.
fn answer(connector: &Connector, base: &Value, case: &Path) -> Value {
    let about = read_json(&case.join("response.json"));
    let slice = slice(connector, &with_overrides(base, &about));
    let mut request = connector.plan(&slice).unwrap()[about["plan_request"].as_u64().unwrap_or(0) as usize].clone();
    // A response to a later request of the slice: a page, or what a lookup led to.
    if let Some(state) = about["state"].as_str() {
        state.clone_into(&mut request.state);
        request.yields_records = true;
    }
    let headers = about["headers"].as_object().cloned().unwrap_or_default();
    let mut response = Response {
        status: about["status"].as_u64().unwrap() as u16,
        headers: headers.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect(),
        body: Bytes::from(std::fs::read(case.join("body")).unwrap()),
        records: None,
        problem: None,
    };
    let decoded = match connector.decode(&slice.stream, &response.headers, &response.body) {
        Ok(decoded) if (200..300).contains(&response.status) => Some(decoded),
        Ok(_) => None,
        Err(error) => {
            response.problem = Some(error.to_string());
            None
        }
    };
    response.records = decoded.as_ref().map(|decoded| decoded.records() as u32);
    let judgement = match connector.follow(&slice, &request, &response) {
        Ok(judgement) => format!("{:?}", judgement.verdict),
        Err(error) => error.to_string(),
    };
    let mut seen = json!({"judgement": judgement, "records": response.records, "problem": response.problem});
    if let Some(decoded) = decoded {
        match connector.map(&slice, &request, &response, decoded) {
            Ok(mapped) => seen["mapped"] = rows(&mapped),
            Err(error) => seen["mapped"] = json!(error.to_string()),
        }
    }
    seen
}

fn rows(mapped: &Mapped) -> Value {
    let transactions = mapped.transactions.as_ref().map(batch_rows).unwrap_or_default();
    let rejects: Vec<Value> = mapped.rejects.iter().map(|reject| json!([reject.record_index, reject.reason])).collect();
    json!({"transactions": transactions, "rejects": rejects, "unknown_statuses": mapped.unknown_statuses})
}

/// Rows as objects of texts, nulls left out.
fn batch_rows(batch: &RecordBatch) -> Vec<Value> {
    let options = FormatOptions::default();
    let row = |at: usize| {
        let mut row = Map::new();
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            if !column.is_null(at) {
                let text = ArrayFormatter::try_new(column, &options).unwrap().value(at).to_string();
                row.insert(field.name().clone(), text.into());
            }
        }
        Value::Object(row)
    };
    (0..batch.num_rows()).map(row).collect()
}

/// The connectors, each with its folder's name.
fn connectors() -> Vec<(PathBuf, Connector)> {
    // Twenty components take minutes to compile: once is enough for all tests.
    let cache_dir = Some(target_dir().join("conformance"));
    let engine = Engine::new(EngineOptions { cache_dir, ..EngineOptions::default() }).unwrap();
    let load = |folder: PathBuf| {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let wasm = std::fs::read(connectors_dir().join(format!("{name}.wasm"))).expect("built by `just build`");
        (folder, engine.load(&wasm, &name).unwrap())
    };
    connector_folders().into_iter().map(load).collect()
}

/// Sales are booked late: once a day the last 45 days are read by the transaction's date, as far as the network remembers.
#[test]
fn default_look_backs_cover_late_bookings() {
    for (_, connector) in connectors() {
        let manifest = connector.manifest();
        for stream in
            manifest.streams.iter().filter(|stream| stream.unified && stream.axes.contains(&Axis::Transaction))
        {
            let days = stream.history_days.unwrap_or(u32::MAX).min(45);
            let covers = manifest
                .look_back
                .iter()
                .any(|rule| rule.axis == Axis::Transaction && rule.every_secs <= 86_400 && rule.days >= days);
            assert!(covers, "{} {}: {:?}", manifest.network, stream.name, manifest.look_back);
        }
    }
}

/// What networks write where there is no date.
const NO_DATES: [&str; 5] = ["0000-00-00", "0000-00-00 00:00:00", "1970-01-01", "0001-01-01", "0001-01-01T00:00:00"];

/// A field that a time is mapped from gives no time if it says none, in every connector.
#[test]
fn dates_of_zeros_are_none_everywhere() {
    for (folder, connector) in connectors() {
        let base: Value = read_json(&folder.join("fixtures/slice.json"));
        let case = folder.join("fixtures/normal");
        let mut tried = 0;
        let slice = slice(&connector, &with_overrides(&base, &read_json(&case.join("response.json"))));
        let request = connector.plan(&slice).unwrap().remove(0);
        let body = Bytes::from(std::fs::read(case.join("body")).unwrap());
        let decoded = connector.decode(&slice.stream, &[], &body).unwrap();
        let response =
            Response { status: 200, headers: vec![], records: Some(decoded.records() as u32), body, problem: None };
        let with = |path: &str, value: Option<&str>| {
            let mut decoded = decoded.clone();
            let column = decoded.batch.columns.iter_mut().find(|column| column.path == path)?;
            column.text = column.text.iter().map(|text| text.and(value)).collect();
            Some(times(&connector.map(&slice, &request, &response, decoded).unwrap()))
        };
        let layout = &connector.manifest().stream(&slice.stream).unwrap().layout;
        let whole = times(&connector.map(&slice, &request, &response, decoded.clone()).unwrap());
        let is_time = |path: &&String| {
            let column = decoded.batch.columns.iter().find(|column| column.path == **path);
            // `2026-01-10`, `01/10/2026`, `09:30:00 AM`.
            let is_separated = |text: &str| ["-", "/", ":"].iter().any(|mark| text.matches(mark).count() == 2);
            let is_date = |text: &str| text.starts_with(|c: char| c.is_ascii_digit()) && is_separated(text);
            column.is_some_and(|column| column.text.iter().flatten().any(is_date))
        };
        // Seconds since 1970 are no texts that a network writes zeros into.
        let texts = layout.inputs.iter().filter(is_time).count();
        // A date that is a part of an id is no less a text there.
        let is_key = |path: &&String| layout.key.contains(path);
        for path in layout.inputs.iter().filter(is_time).filter(|path| !is_key(path)) {
            let Some(without) = with(path, None).filter(|without| *without != whole) else { continue };
            tried += 1;
            for none in NO_DATES {
                assert_eq!(with(path, Some(none)).unwrap(), without, "{}: `{path}` is {none}", folder.display());
            }
        }
        assert!(tried >= 2 || texts < 2, "{}: {tried} of {texts} fields are times", folder.display());
    }
}

/// The times of each row by its id.
fn times(mapped: &Mapped) -> Vec<Value> {
    let rows = mapped.transactions.as_ref().map(batch_rows).unwrap_or_default();
    let is_time = |name: &str| name.ends_with("_at") || name == "transaction_id" || name == "transaction_day";
    let kept = |row: Value| {
        let fields = row.as_object().unwrap().iter().filter(|(name, _)| is_time(name));
        Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    rows.into_iter().map(kept).collect()
}

/// In every recorded or made-up answer an id is one row's, as the documents of all networks say; `odd-rows` have
/// what no document allows.
#[test]
fn ids_are_unique_in_every_answer() {
    for (folder, connector) in connectors() {
        let base: Value = read_json(&folder.join("fixtures/slice.json"));
        let cases = std::fs::read_dir(folder.join("fixtures")).unwrap().map(|entry| entry.unwrap().path());
        let mut rows = 0;
        for case in cases.filter(|path| path.is_dir() && !path.ends_with("odd-rows")) {
            let seen = answer(&connector, &base, &case);
            let transactions = seen["mapped"]["transactions"].as_array().cloned().unwrap_or_default();
            let ids: BTreeSet<&str> = transactions.iter().filter_map(|row| row["transaction_id"].as_str()).collect();
            assert_eq!(ids.len(), transactions.len(), "{}: {ids:?}", case.display());
            rows += transactions.len();
        }
        assert!(rows >= 5, "{}: {rows} rows tell nothing", folder.display());
        let keys = connector.manifest().streams.iter().filter(|stream| stream.unified).map(|stream| &stream.layout.key);
        assert!(keys.into_iter().all(|key| !key.is_empty()), "{}: a stream without a key", folder.display());
    }
}
