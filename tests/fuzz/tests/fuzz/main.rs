//! The doors to the outside: bodies of networks, answers of guests, and what is masked in a body before it is kept.
//!
//! Under `cargo test` the corpus is tried and a few thousand mutations, the same every time. `just fuzz` gives each
//! target its share of `SLUICE_FUZZ_SECS`, guided by the branches that inputs reach, and with 0 seconds (`just fuzz-keep`)
//! puts the short ones of those that earlier runs found into the corpus.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod redact;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::Array;
use bytes::Bytes;
use serde_json::{Value, json};
use sluice_decode::{BodyLayout, decode_body};
use sluice_engine::{Connector, Engine, EngineOptions, Error, Limits};
use sluice_fuzz::{Effort, Target, fuzz};
use sluice_guests::{Guest, repository};
use sluice_model::{Axis, Delimited, Format, Kind, Layout, Mapped, NativeBatch, Pin, Request, Response, Slice};

/// The contract's versions.
const CONTRACTS: [&str; 3] = ["0.1.0", "0.2.0", "0.3.0-draft.4"];
/// Mutations of each target under `cargo test`.
const TRIES: u64 = 3_000;
/// Longest input that `just fuzz-keep` puts into the corpus.
const KEPT_BYTES: usize = 700;

fn main() -> ExitCode {
    let seconds = std::env::var("SLUICE_FUZZ_SECS").ok().and_then(|text| text.parse::<u64>().ok());
    let boundary = Boundary::new();
    let redact = redact::target(fixtures(&["awin", "shareasale", "tradetracker"]));
    let targets = [json_target(), csv_target(), xml_target(), place_target(), boundary_target(&boundary), redact];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let effort = match seconds {
        None => Effort::Tries(TRIES),
        Some(0) => Effort::Keep(KEPT_BYTES),
        Some(seconds) => Effort::Time(Duration::from_secs(seconds) / targets.len() as u32, now),
    };
    let scratch = scratch();
    // A panic that is found is shown once, by what came of it.
    std::panic::set_hook(Box::new(|_| {}));
    let mut holds = true;
    for target in &targets {
        let outcome = fuzz(target, &repository().join("tests/fuzz/corpus"), &scratch, effort).expect("a corpus");
        println!("{:<10} {:>9} inputs, {:>6} branches", target.name, outcome.tried, outcome.branches);
        if let Some((file, what)) = outcome.fault {
            println!("FAILED: {} can't stand {}: {what}", target.name, file.display());
            holds = false;
        }
    }
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is found is kept here from run to run.
fn scratch() -> PathBuf {
    let target = std::env::current_exe().unwrap();
    target.ancestors().nth(3).unwrap_or(Path::new(".")).join("fuzz")
}

fn layout(format: Format) -> Layout {
    let pins = vec![Pin { path: "amount".to_owned(), kind: Kind::Decimal }];
    Layout { format, pins, inputs: vec!["id".to_owned(), "a.b".to_owned()], key: vec![] }
}

/// What holds of any batch.
fn check(batch: &NativeBatch) {
    let mut paths: Vec<&str> = batch.columns.iter().map(|column| column.path.as_str()).collect();
    paths.sort_unstable();
    assert!(paths.windows(2).all(|pair| pair[0] != pair[1]), "a path stands twice");
    for column in &batch.columns {
        assert_eq!(column.text.len(), batch.rows, "{:?}", column.path);
        column.text.to_data().validate_full().expect("valid text");
    }
}

fn decoded(layout: &Layout, body: &[u8]) {
    let layout = BodyLayout::from(layout);
    let batch = match decode_body(&layout, body) {
        Ok(decoded) => decoded.batch,
        Err(error) => return assert!(error.to_string().len() < 500, "a long error"),
    };
    check(&batch);
    // What the host reads once it reads again the same.
    let again = decode_body(&layout, body).expect("the same body").batch;
    let same = again.columns.iter().zip(&batch.columns).all(|(one, other)| one.text == other.text);
    assert!(same && again.rows == batch.rows, "the same body gives other columns");
}

/// The first byte chooses among `choices`, the rest is the body.
fn chosen<'a, 'b, T>(choices: &'a [T], input: &'b [u8]) -> (&'a T, &'b [u8]) {
    let (first, body) = input.split_first().unwrap_or((&0, &[]));
    (&choices[usize::from(*first) % choices.len()], body)
}

fn json_target() -> Target<'static> {
    let places = ["", "/data", "/*", "/data/*", "/data/0/a~1b", "/*/*"];
    let mut layouts: Vec<Layout> = places.iter().map(|place| layout(Format::Json((*place).to_owned()))).collect();
    layouts.push(layout(Format::Ndjson));
    Target {
        name: "json",
        run: Box::new(move |input| {
            let (layout, body) = chosen(&layouts, input);
            decoded(layout, body);
        }),
        seeds: fixtures(&["awin", "cj", "rakuten"]),
        reads: 2,
        words: &[
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "\\",
            "\\u0000",
            "\\ud800",
            "\\udc00",
            "null",
            "true",
            "-0.0e+99",
            "{\"id\":",
            "\"data\":[",
            "\"a\":{\"b\":",
            "1e999",
            "\u{feff}",
            "\n",
            "\"amount\":\"1.5\"",
        ],
    }
}

fn csv_target() -> Target<'static> {
    let delimited = |delimiter: u8, quote: Option<u8>, skip_lines: u32, header: &[&str], charset: &str| {
        let header = header.iter().map(|name| (*name).to_owned()).collect();
        layout(Format::Delimited(Delimited {
            delimiter,
            quote,
            skip_lines,
            header,
            charset: charset.to_owned(),
            exact_fields: quote.is_none(),
            optional: vec![],
        }))
    };
    let layouts = [
        delimited(b',', Some(b'"'), 0, &[], "utf-8"),
        delimited(b'|', None, 0, &[], "utf-8"),
        delimited(b'\t', Some(b'\''), 1, &[], "windows-1252"),
        delimited(b';', Some(b'"'), 2, &["id", "amount"], "utf-16le"),
        delimited(b',', Some(b'"'), 0, &["id"], "shift_jis"),
    ];
    Target {
        name: "csv",
        run: Box::new(move |input| {
            let (layout, body) = chosen(&layouts, input);
            decoded(layout, body);
        }),
        seeds: fixtures(&["shareasale"]),
        reads: 2,
        words: &["\"", "\"\"", ",", "|", "\r\n", "\n", "\r", "\t", ";", "'", "\u{feff}", "id", "amount", "\0", "é"],
    }
}

fn xml_target() -> Target<'static> {
    let places = ["data.row", "*.row", "Envelope.Body.*", "a.b.c", "data"];
    let layouts = places.map(|place| layout(Format::Xml(place.to_owned())));
    Target {
        name: "xml",
        run: Box::new(move |input| {
            let (layout, body) = chosen(&layouts, input);
            decoded(layout, body);
        }),
        seeds: fixtures(&["tradetracker"]),
        reads: 2,
        words: &[
            "<",
            ">",
            "</",
            "/>",
            "<data>",
            "</data>",
            "<row>",
            "</row>",
            "<row a=\"1\">",
            "<![CDATA[",
            "]]>",
            "<!--",
            "-->",
            "<?xml version=\"1.0\" encoding=\"latin1\"?>",
            "<!DOCTYPE a [<!ENTITY b \"c\">]>",
            "&b;",
            "&amp;",
            "&#x10ffff;",
            "&#0;",
            "xmlns:a=\"b\"",
            "<a:b>",
            "</a:b>",
            "xsi:nil=\"true\"",
        ],
    }
}

/// The place stands before the first line's end, the body after it.
fn place_target() -> Target<'static> {
    Target {
        name: "place",
        run: Box::new(|input| {
            let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
            let (place, body) = input.split_at(end);
            if let (Ok(place), Some(body)) = (std::str::from_utf8(place), body.get(1..)) {
                assert_eq!(sluice_decode::value_at(body, place), sluice_decode::value_at(body, place));
            }
        }),
        seeds: [
            "/data/0/id\n{\"data\":[{\"id\":\"a\"}]}",
            "/a~1b/~0\n{\"a/b\":{\"~\":[1,{}]}}",
            "Envelope.Body.Fault\n<s:Envelope><Body><Fault a='b'>c<d/></Fault></Body></s:Envelope>",
            "a.@b\n<a b='c'/>",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec(),
        reads: 2,
        words: &["/", "~0", "~1", ".", "@", "\n", "{", "}", "[", "]", "<a>", "</a>", "\"", ":", ",", "<", ">", "&lt;"],
    }
}

/// Bodies of connectors' fixtures, each under every choice of layout.
fn fixtures(connectors: &[&str]) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for connector in connectors {
        for case in entries(&repository().join("connectors").join(connector).join("fixtures")) {
            let Ok(body) = std::fs::read(case.join("body")) else { continue };
            seeds.extend((0..7_u8).map(|choice| [&[choice][..], &body].concat()));
        }
    }
    seeds
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut entries: Vec<PathBuf> = entries.collect();
    entries.sort();
    entries
}

/// What the hostile guests answer, where that is a value: to which of the fuzzed guests it belongs, and the answer.
fn answers_of_guests() -> Vec<(usize, Value)> {
    let descriptions = entries(&repository().join("tests/guests"));
    let descriptions = descriptions.into_iter().filter_map(|guest| std::fs::read(guest.join("guest.json")).ok());
    let answers = descriptions.filter_map(|text| {
        let guest: Value = serde_json::from_slice(&text).expect("a guest");
        let answer = guest["map-response"].clone();
        let contract = CONTRACTS.iter().position(|contract| guest["contract"] == *contract).unwrap_or(0);
        let opaque = usize::from(guest["stream"]["unified"] != true);
        answer.is_object().then_some((2 * contract + opaque, answer))
    });
    answers.collect()
}

/// Guests whose answer is whatever the response's body holds: an address, and the memory from 4,096 on.
struct Boundary {
    /// Two of each contract: one of transactions, one of native records.
    connectors: Vec<Connector>,
}

impl Boundary {
    fn new() -> Self {
        let limits = Limits { memory_bytes: 8 << 20, output_bytes: 4 << 20, ..Limits::default() };
        let options = EngineOptions { limits, max_instances: 1, check_every: 64, ..EngineOptions::default() };
        let engine = Engine::new(options).expect("an engine");
        let answers = "(call $read $body (i32.const 61440) (i32.const 512))
            (memory.copy (i32.const 4092) (i32.load (i32.const 512)) (i32.load (i32.const 516)))
            (i32.load (i32.const 4092))";
        let connector = |contract: &str, stream: Value| {
            let guest = Guest::new("fuzzed", &json!({"contract": contract, "stream": stream, "map-response": answers}));
            engine.load(&guest.component().expect("a guest"), "fuzzed.wasm").expect("it loads")
        };
        let streams = [json!({"unified": true}), json!({"layout": {"format": "opaque"}})];
        let of = |contract| streams.iter().map(move |stream| connector(contract, stream.clone()));
        Self { connectors: CONTRACTS.into_iter().flat_map(of).collect() }
    }

    fn map(&self, input: &[u8]) {
        let (connector, image) = chosen(&self.connectors, input);
        let request: Request = connector.plan(&slice()).expect("a plan").remove(0);
        let native = connector.decode("sales", &[], br#"{"data":[{"id":"1"},{"id":"2"}]}"#).expect("records");
        let body = Bytes::copy_from_slice(image);
        let response = Response { status: 200, headers: vec![], body, records: Some(2), problem: None };
        match connector.map(&slice(), &request, &response, native) {
            Ok(mapped) => check_mapped(&mapped),
            // An answer like any other: the guest says that it won't.
            Err(Error::Refused { refusal, .. }) => assert!(refusal.text.len() < 2_000),
            Err(error) => assert!(error.is_guest_fault() && error.to_string().len() < 2_000, "{error}"),
        }
    }
}

fn check_mapped(mapped: &Mapped) {
    check(&mapped.native);
    for column in mapped.transactions.iter().flat_map(|batch| batch.columns()) {
        column.to_data().validate_full().expect("a valid column");
    }
    assert!(mapped.rejects.iter().all(|reject| (reject.record_index as usize) < mapped.native.rows));
}

fn slice() -> Slice {
    Slice {
        network: "fuzzed".to_owned(),
        account: "main".to_owned(),
        stream: "sales".to_owned(),
        settings: vec![],
        window: "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z".parse().unwrap(),
        timezone: chrono_tz::UTC,
        axis: Axis::Transaction,
        cursor: None,
    }
}

fn boundary_target(boundary: &Boundary) -> Target<'_> {
    let text = |texts: [&str; 2]| json!({"offsets": [0, texts[0].len(), texts[0].len() + texts[1].len()], "bytes": texts.concat()});
    let times =
        json!({"values": [1_767_225_600_000_000_i64, 1_774_746_000_000_000_i64], "bases": [1, 2], "valid": [3]});
    let money = || json!({"values": [-1, 2_500_000], "valid": [1]});
    let honest = json!({"ok": {
        "transactions": {
            "records": [1, 0], "timezone": "Europe/Berlin", "timezone-basis": "declared", "id-basis": "composed",
            "transaction-id": text(["t-1", "t-2"]), "kind": {"values": [0, 6]},
            "validation-status": {"values": [2, 3]}, "payment-status": {"values": [4, 0]},
            "transacted-at": {"values": [1_767_225_600_000_000_i64, 1_774_746_000_000_000_i64], "bases": [0, 1]},
            "is-locked": {"values": [0, 1], "valid": [2]}, "status-raw": text(["open", ""]), "clicked-at": times,
            "sale-amount": money(), "commission-amount": money(), "sale-currency": text(["EUR", "USD"]),
            "sub-ids": {"offsets": [0, 0, 2], "keys": text(["a", "b"]), "values": text(["", "é"])},
        },
        "rejects": [{"record": 1, "reason": "no date"}], "unknown-statuses": ["odd"],
    }});
    let native = json!({"ok": {"native": [
        {"path": "id", "kind": "int64", "values": {"offsets": [0, 2, 2], "bytes": "42", "valid": [1]}},
        {"path": "a.b", "kind": "float64", "values": {"offsets": [0, 3, 6], "bytes": "1.5-2e"}},
    ]}});
    let mut newer = honest.clone();
    newer["ok"]["transactions"]["id-basis"] = json!({"values": [0, 1]});
    newer["ok"]["transactions"]["timezone-basis"] = json!("assumed");
    let column = |name: &str, kind: &str, values: Value| json!({"name": name, "values": {kind: values}});
    let as_data = json!({"ok": {"facts": [{
        "fact": "transactions", "records": [1, 0], "timezone": "Europe/Berlin", "timezone-basis": "declared",
        "columns": [
            column("transaction_id", "text", text(["t-1", "t-2"])), column("transacted_at", "time", json!({"values": [0, 1], "bases": [0, 1]})),
            column("kind", "words", json!({"values": [0, 6]})), column("is_locked", "flag", json!({"values": [0, 1]})),
            column("validation_status", "words", json!({"values": [2, 3]})), column("sale_amount", "money", money()),
            column("payment_status", "words", json!({"values": [4, 0]})),
            column("sub_ids", "pairs", json!({"offsets": [0, 0, 2], "keys": text(["a", "b"]), "values": text(["", "é"])})),
        ],
    }]}});
    let mut answers =
        vec![(0, honest), (1, native.clone()), (2, newer), (3, native.clone()), (4, as_data), (5, native)];
    answers.extend(answers_of_guests());
    let images = answers.iter().map(|(choice, answer)| {
        let image = Guest::image(CONTRACTS[choice / 2], "map-response", answer).expect("an image");
        [&[u8::try_from(*choice).expect("a few guests")][..], &image].concat()
    });
    // What doesn't fit into the fuzzed guest's memory is tried by the guest itself.
    let seeds = images.filter(|image| image.len() < 48 << 10).collect();
    let words = &["Europe/Berlin", "UTC", "EUR", "\0\0\0\0", "\u{1}\0\0\0", "é", "NaN"];
    Target { name: "boundary", run: Box::new(|input| boundary.map(input)), seeds, reads: 1, words }
}
