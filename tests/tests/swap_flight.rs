//! Versions are swapped under requests in flight: no slice fails, none is mapped by two versions, nothing is left over.
//!
//! `SLUICE_FLIGHT=10000,200` sets how many requests and swaps. The real service reads a network that answers late, and
//! waits with further answers whenever it is ahead of the swaps: so every swap finds requests in flight.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Instant;

use serde_json::{Value, json};
use sluice_model::Digest;
use sluice_simulator::{AccountSpec, Fault, FaultPlan, Options, Simulator};
use sluice_tests::{Operator, Service, connectors_dir, lake_sums, noted, runtime, true_sums};

/// Requests and swaps, if nobody says otherwise.
const NUMBERS: (usize, usize) = (2_000, 40);
/// Requests of one account, about: two slices, each of pages that are asked for one after another.
const PER_ACCOUNT: usize = 95;
/// Versions that take turns: few, so that most swaps find theirs compiled.
const VERSIONS: usize = 8;
/// Slices that one run reads at once.
const SLICES_AT_ONCE: u64 = 16;
/// What the process may hold at the end beyond what it held early in the flight: the last commit of a run holds some
/// hundred MiB, and the allocator gives them back late. What swaps leave behind is counted exactly, beside this.
const SLACK: u64 = 256 << 20;
const DAYS: u32 = 40;
const FILE: &str = "cj.wasm";

fn numbers() -> (usize, usize) {
    let Ok(text) = std::env::var("SLUICE_FLIGHT") else { return NUMBERS };
    let (requests, swaps) = text.split_once(',').expect("SLUICE_FLIGHT=requests,swaps");
    (requests.parse().unwrap(), swaps.parse().unwrap())
}

/// Every request is answered late, once.
fn options(requests: usize) -> Options {
    let accounts = (0..requests.div_ceil(PER_ACCOUNT)).map(|n| AccountSpec::new("cj", &format!("a{n}"))).collect();
    let faults = FaultPlan { share: 1.0, kinds: vec![Fault::Slow], max_per_request: 1, slow_millis: 40 };
    let start = chrono::Utc::now();
    Options { start, history_days: DAYS, rows_per_day: 4, cj_page_limit: 2, accounts, faults, ..Options::default() }
}

/// An operator who reads the network once, all of it.
fn operator(simulator: &Simulator) -> Operator {
    let mut operator = Operator::empty().unwrap();
    let accounts = simulator.accounts().iter().filter(|account| account.network == "cj");
    let accounts: Vec<Value> = accounts.map(|account| operator.account(account)).collect();
    let file = json!({
        "connector": "cj", "schedule": "0 0 29 2 *", "look_back": [{"every": "1d", "days": DAYS + 5}],
        "base_url": simulator.origin("cj"), "accounts": accounts,
        "rate": {"requests": 100_000, "per_secs": 1, "concurrency": 32},
    });
    operator.write("networks/cj.json", &file.to_string()).unwrap();
    operator
}

#[test]
fn no_slice_fails_and_none_is_mapped_by_two_versions() {
    let (requests, swaps) = numbers();
    let runtime = runtime();
    let simulator = runtime.block_on(Simulator::start(options(requests))).unwrap();
    let operator = operator(&simulator);
    let built = std::fs::read(connectors_dir().join(FILE)).unwrap();
    let version = |round: usize| noted(&built, u32::try_from(round % VERSIONS).unwrap());
    operator.put_connector(FILE, &version(0)).unwrap();

    // So many answers between two swaps.
    let step = requests / (swaps + 1);
    simulator.allow(2 * step);
    let begun = Instant::now();
    let mut service = Service::start(&operator).unwrap();
    let mut early = Value::Null;
    for round in 1..=swaps {
        runtime.block_on(simulator.wait_for_requests(round * step));
        operator.put_connector(FILE, &version(round)).unwrap();
        let digest = Digest::of(&version(round)).short();
        service.wait_for(&["connector serves", &format!("digest={digest}")]).unwrap();
        if round == swaps / 4 {
            early = service.vitals(&operator).unwrap();
        }
        simulator.allow((round + 2) * step);
    }
    simulator.allow(usize::MAX);
    let output = service.wait_for(&["cj: ", "new versions"]).unwrap();
    let rest = service.wait_for(&["at rest"]).unwrap();
    println!("{swaps} swaps in {:.0} s; {output}\n{rest}", begun.elapsed().as_secs_f64());
    assert_well(&operator, &simulator, requests, swaps);
    let vitals = service.vitals(&operator).unwrap();
    println!("early: {early}\nat rest: {vitals}");
    // In flight: each slice on the version that it began with, one more that serves, one that is being tried.
    assert_eq!(early["runs"], 1, "{early}");
    assert!(early["connectors"].as_u64().unwrap() <= SLICES_AT_ONCE + 2, "{early}");
    let counts = ["runs", "connectors", "connectors_held", "leaked", "instances", "memories", "memory_bytes"];
    assert_eq!(counts.map(|name| vitals[name].as_u64()), [0, 1, 1, 0, 0, 0, 0].map(Some), "{vitals}");
    let resident = |vitals: &Value| vitals["resident_bytes"].as_u64().unwrap();
    assert!(resident(&vitals) <= resident(&early) + SLACK, "{early} {vitals}");
}

fn assert_well(operator: &Operator, simulator: &Simulator, requests: usize, swaps: usize) {
    let rows = |query: &str| operator.sql(query).unwrap();
    let one = |query: &str| rows(query)[0]["n"].as_u64().unwrap() as usize;
    assert!(one("SELECT count(*) AS n FROM meta.requests") >= requests, "too few requests to swap under");
    assert_eq!(one("SELECT count(*) AS n FROM meta.runs WHERE outcome = 'done' AND slices_failed = 0"), 1);
    assert_eq!(one("SELECT count(*) AS n FROM meta.coverage WHERE NOT complete"), 0);
    // Every slice is whole: what the network has is in the lake, to the last cent.
    assert_eq!(lake_sums(operator, "cj").unwrap(), true_sums(simulator, "cj"));

    let slices = "SELECT account, window_since, axis, count(DISTINCT connector_digest) AS versions FROM";
    let of_two = "GROUP BY 1, 2, 3 HAVING count(DISTINCT connector_digest) <> 1";
    let asked = rows(&format!("{slices} meta.requests {of_two}"));
    assert!(asked.is_empty(), "slices of two versions: {asked:?}");
    for (table, id, digest) in [
        ("unified.transaction_versions", "request_id", "connector_digest"),
        ("cj.transactions", "_request_id", "_connector_digest"),
    ] {
        let mapped = rows(&format!(
            "SELECT r.account, r.window_since, r.axis FROM {table} AS t JOIN meta.requests AS r ON r.request_id = t.{id}
             GROUP BY 1, 2, 3 HAVING count(DISTINCT t.{digest}) <> 1 OR max(t.{digest}) <> max(r.connector_digest)"
        ));
        assert!(mapped.is_empty(), "slices mapped by two versions in {table}: {mapped:?}");
        let unknown = format!(
            "SELECT count(*) AS n FROM {table} AS t LEFT ANTI JOIN meta.requests AS r ON r.request_id = t.{id}"
        );
        assert_eq!(one(&unknown), 0, "rows of no request in {table}");
    }
    let versions = one("SELECT count(DISTINCT connector_digest) AS n FROM unified.transaction_versions");
    assert!(versions > 1, "no swap came between two slices");
    println!("slices by {versions} versions");
    assert_eq!(one("SELECT count(*) AS n FROM meta.connectors"), swaps + 1);
}
