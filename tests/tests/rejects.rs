//! Records that could not be mapped: listed, kept, and tried again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use chrono::{DateTime, Utc};
use serde_json::Value;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, lake_sums, runtime, true_sums, variant, whole_window};

fn start() -> DateTime<Utc> {
    "2026-02-10T12:00:00Z".parse().unwrap()
}

/// A simulated Awin, its operator, and the window of all that it has reported.
struct World {
    _runtime: tokio::runtime::Runtime,
    simulator: Simulator,
    operator: Operator,
    window: [String; 2],
}

impl World {
    fn new(seed: u64) -> Self {
        let _runtime = runtime();
        let options = Options { seed, start: start(), history_days: 20, rows_per_day: 3, ..Options::default() };
        let simulator = _runtime.block_on(Simulator::start(options)).unwrap();
        let operator = Operator::of(&simulator, &["awin"]).unwrap();
        let window = whole_window(&simulator, start(), 20);
        Self { _runtime, simulator, operator, window }
    }
}

/// Lets a variant of the Awin connector serve.
fn serve(operator: &Operator, from: &str, to: &str) {
    std::fs::write(operator.join("connectors.d/awin.wasm"), variant("awin", from, to).unwrap()).unwrap();
}

fn json(operator: &Operator, arguments: &[&str]) -> Value {
    let text = operator.succeed(&[&["--output", "json"], arguments].concat()).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn rejects(operator: &Operator) -> Vec<Value> {
    json(operator, &["rejects", "list", "awin"]).as_array().unwrap().clone()
}

#[test]
fn rejects_are_mapped_by_a_better_connector_and_stay_on_record() {
    let World { simulator, operator, window: [since, until], .. } = &World::new(31);
    serve(operator, "transactionDate", "transactionTage");
    let failed = operator.sluice(&["run", "awin", "--since", since, "--until", until]).unwrap();
    assert_eq!(failed.code, 1, "more records are rejected than may be: {failed:?}");
    let all = rejects(operator);
    let truth: u64 = true_sums(simulator, "awin").values().map(|(rows, _)| rows).sum();
    assert!(all.len() as u64 >= truth, "{} of {truth}", all.len());
    assert!(lake_sums(operator, "awin").unwrap().is_empty());
    let human = operator.succeed(&["rejects"]).unwrap();
    assert!(human.ends_with(&format!("{} open rejects\n", all.len())), "{human}");
    assert!(human.lines().count() < all.len() / 4, "alike ones are one: {human}");
    // What the list says to do shows the record.
    let command = human.split_once(": sluice raw ").unwrap().1.lines().next().unwrap();
    let command: Vec<&str> = ["raw"].into_iter().chain(command.split(' ')).collect();
    let record = operator.succeed(&command).unwrap();
    assert!(record.contains("is rejected: ") && record.contains("\n  transactionDate: "), "{record}");
    let whole = operator.succeed(&[command[0], command[1], "--body"]).unwrap();
    assert!(serde_json::from_str::<Value>(&whole).unwrap().is_array(), "the body is printed as it is");
    let asked = operator.sluice(&["sql", "SELECT count(*) FROM unified.transactions"]).unwrap();
    let missing = format!("warning: {} records of awin could not be mapped and are missing\n", all.len());
    assert!(asked.stderr.contains(&missing), "{asked:?}");
    let status = operator.succeed(&["status"]).unwrap();
    assert!(status.contains(&format!("awin: {} open rejects (", all.len())), "{status}");
    let again = json(operator, &["rejects", "retry", "awin"]);
    assert_eq!((&again[0]["mapped"], again[0]["left"].as_u64()), (&Value::from(0), Some(all.len() as u64)));
    operator.install("awin", "awin.wasm").unwrap();
    let retried = json(operator, &["rejects", "retry"]);
    assert_eq!(retried[0]["mapped"].as_u64(), Some(all.len() as u64), "{retried}");
    assert_eq!(lake_sums(operator, "awin").unwrap(), true_sums(simulator, "awin"));
    assert!(rejects(operator).is_empty());
    let kept = operator.sql("SELECT count(*) AS n FROM meta.rejects").unwrap();
    assert_eq!(kept[0]["n"].as_u64(), Some(all.len() as u64), "what was rejected once stays on record");
    let resolved = operator
        .sql(
            "SELECT count(*) AS n FROM meta.rejects r JOIN meta.resolved_rejects s ON r._key = s._key
             WHERE s.outcome = 'mapped' AND s.resolved_run IN (SELECT run_id FROM meta.runs WHERE command = 'retry')",
        )
        .unwrap();
    assert_eq!(resolved[0]["n"].as_u64(), Some(all.len() as u64));
}

#[test]
fn a_response_that_can_not_be_mapped_at_all_is_a_reject() {
    let World { simulator, operator, window: [since, until], .. } = &World::new(32);
    operator.succeed(&["collect", "awin", "--since", since, "--until", until]).unwrap();
    // A version that calls the stream otherwise: by itself it isn't let in beside the one that serves.
    serve(operator, "dateTypetransactionsBearer", "dateTypetransactionzBearer");
    operator.succeed(&["connectors", "approve", "awin"]).unwrap();
    assert_eq!(operator.sluice(&["build", "awin"]).unwrap().code, 1);
    let all = rejects(operator);
    assert!(!all.is_empty());
    assert!(all.iter().all(|reject| reject["record_index"] == -1), "{all:?}");
    assert!(all[0]["reason"].as_str().unwrap().contains("transactions"), "{all:?}");
    operator.sluice(&["build", "awin"]).unwrap();
    assert_eq!(rejects(operator).len(), all.len(), "each once, however often it is tried");
    operator.install("awin", "awin.wasm").unwrap();
    assert_eq!(json(operator, &["rejects", "retry", "awin"])[0]["left"], 0);
    assert!(rejects(operator).is_empty());
    assert_eq!(lake_sums(operator, "awin").unwrap(), true_sums(simulator, "awin"));
}

/// Sets the share of records of a slice that may be rejected.
fn allow(operator: &Operator, share: f64) {
    let file = operator.join("networks/awin.json");
    let mut network: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    network["max_reject_share"] = share.into();
    std::fs::write(file, network.to_string()).unwrap();
}

#[test]
fn a_slice_of_which_more_is_rejected_than_may_be_fails_loudly() {
    let World { operator, window: [since, until], .. } = &World::new(33);
    serve(operator, "transactionDate", "transactionTage");
    let run = |operator: &Operator| operator.sluice(&["run", "awin", "--since", since, "--until", until]).unwrap();
    let count = |operator: &Operator, query: &str| operator.sql(query).unwrap()[0]["n"].as_u64().unwrap();
    let incomplete = "SELECT count(*) AS n FROM meta.coverage WHERE NOT complete AND error LIKE '%max_reject_share%'";

    let allowed = operator.fork().unwrap();
    allow(&allowed, 1.0);
    let fine = run(&allowed);
    assert_eq!(fine.code, 0, "as many may be rejected as are: {fine:?}");
    assert_eq!(count(&allowed, incomplete), 0);
    let warned = allowed.sluice(&["sql", "SELECT count(*) FROM unified.transactions"]).unwrap().stderr;
    assert!(!warned.contains("may be missing") && warned.contains("could not be mapped and are missing"), "{warned}");

    allow(operator, 0.99);
    let failed = run(operator);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains("could not be mapped") && failed.stderr.contains("max_reject_share"), "{failed:?}");
    assert!(failed.stderr.contains("hint: ") && failed.stderr.contains("sluice rejects list awin"), "{failed:?}");
    assert_eq!(failed.stderr.matches("max_reject_share").count(), 2, "one of each account, printed once: {failed:?}");
    assert!(count(operator, incomplete) > 0);
    let kept = |operator: &Operator| count(operator, "SELECT count(*) AS n FROM meta.rejects");
    assert_eq!(kept(operator), kept(&allowed), "what was rejected is kept all the same");
    let runs = operator.sql("SELECT outcome, error FROM meta.runs").unwrap();
    assert_eq!(runs[0]["outcome"], "failed", "{runs:?}");
    let status = operator.sluice(&["status", "--fail-if-gaps"]).unwrap();
    assert_eq!(status.code, 1, "{status:?}");
    assert!(status.stdout.contains("max_reject_share"), "{status:?}");
    let asked = operator.sluice(&["sql", "SELECT count(*) FROM unified.transactions"]).unwrap();
    assert!(asked.stderr.contains("rows of awin") && asked.stderr.contains("may be missing"), "{asked:?}");
}
