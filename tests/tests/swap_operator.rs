//! Hot swap as an operator sees it: what waits and for what, approval, promotion, rollback, shadow. No service runs
//! here; a decision holds from the next run on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::cell::RefCell;

use serde_json::{Value, json};
use sluice_guests::Guest;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, connectors_dir, noted, patched, whole_window};
use tokio::runtime::Runtime;

const DAYS: u32 = 5;
const FILE: &str = "awin.wasm";

struct Bench {
    operator: Operator,
    simulator: Simulator,
    /// Awin as it was built: version 0.1.0.
    first: Vec<u8>,
    /// Of the last run.
    warnings: RefCell<String>,
    _runtime: Runtime,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let options = Options { history_days: DAYS, rows_per_day: 4, ..Options::default() };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let operator = Operator::of(&simulator, &["awin"]).unwrap();
        let first = std::fs::read(connectors_dir().join(FILE)).unwrap();
        Self { operator, simulator, first, warnings: RefCell::default(), _runtime: runtime }
    }

    /// Adds `swap` to the network's settings.
    fn swap(&self, swap: &Value) {
        self.set("swap", swap);
    }

    /// Adds a key to the network's settings.
    fn set(&self, key: &str, value: &Value) {
        let path = self.operator.join("networks/awin.json");
        let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        file[key] = value.clone();
        std::fs::write(path, file.to_string()).unwrap();
    }

    /// Version 0.2.0: the same, but for these texts.
    fn second(&self, changes: &[(&str, &str)]) -> Vec<u8> {
        let changes = [&[("awinAwin0.1.0", "awinAwin0.2.0")], changes].concat();
        patched(&self.first, &changes).unwrap()
    }

    fn put(&self, component: &[u8]) {
        self.operator.put_connector(FILE, component).unwrap();
    }

    /// Runs the network and gives the version that did it.
    fn run(&self) -> String {
        let start = Options::default().start;
        let report = self.operator.run("awin", &whole_window(&self.simulator, start, DAYS.into())).unwrap();
        assert_eq!(report["status"], "done", "{report}");
        self.warnings.replace(report["warnings"].to_string());
        let query = "SELECT connector_version AS version FROM meta.runs ORDER BY started_at DESC LIMIT 1";
        self.operator.sql(query).unwrap()[0]["version"].as_str().unwrap().to_owned()
    }

    fn entry(&self) -> Value {
        let text = self.operator.succeed(&["--output", "json", "connectors"]).unwrap();
        let entries: Value = serde_json::from_str(&text).unwrap();
        entries[0].clone()
    }

    fn connectors(&self, arguments: &[&str]) -> String {
        self.operator.succeed(&[&["connectors"], arguments].concat()).unwrap()
    }

    fn history(&self) -> Vec<String> {
        let text = self.operator.succeed(&["--output", "json", "connectors", "history", "awin"]).unwrap();
        let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
        rows.iter().map(|row| row["version"].as_str().unwrap().to_owned()).collect()
    }

    /// Pastes the command of the entry's hint.
    fn paste_hint(&self) {
        let entry = self.entry();
        let hint = entry["hint"].as_str().unwrap();
        let command = hint.split_once("sluice ").unwrap().1;
        self.operator.succeed(&command.split(' ').collect::<Vec<_>>()).unwrap();
    }
}

#[test]
fn a_new_host_waits_until_it_is_approved() {
    let bench = Bench::new();
    assert_eq!(bench.run(), "0.1.0");
    let first = bench.warnings.take();
    assert!(!first.contains("connector 0."), "{first}");
    bench.put(&bench.second(&[("api.awin.com", "cdn.awin.com")]));
    assert_eq!(bench.run(), "0.1.0");
    let waits = "connector 0.2.0 in awin.wasm waits, and 0.1.0 maps: waiting for approval: + host cdn.awin.com";
    assert_eq!(bench.warnings.take(), format!("[\"{waits}\"]"));
    bench.operator.write("connectors.d/awin.wasm", "no component").unwrap();
    assert_eq!(bench.run(), "0.1.0");
    let refused = bench.warnings.take();
    assert!(refused.starts_with("[\"connector in awin.wasm is refused, and 0.1.0 maps: "), "{refused}");
    bench.put(&bench.second(&[("api.awin.com", "cdn.awin.com")]));
    let entry = bench.entry();
    assert_eq!(entry["state"], "waiting", "{entry}");
    assert_eq!(entry["reason"], "waiting for approval: + host cdn.awin.com");
    let hint = entry["hint"].as_str().unwrap();
    let short = &entry["candidate_digest"].as_str().unwrap()[..12];
    assert_eq!(hint, format!("sluice connectors approve awin {short}"));
    let wrong = bench.operator.sluice(&["connectors", "approve", "awin", "000000"]).unwrap();
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let early = bench.operator.sluice(&["connectors", "promote", "awin"]).unwrap();
    assert!(early.code == 2 && early.stderr.contains("approve it first"), "{early:?}");
    assert!(bench.connectors(&["approve", "awin", short]).contains("+ host cdn.awin.com"));
    assert_eq!(bench.run(), "0.2.0");
    assert_eq!(bench.entry()["state"], "serving");
    assert_eq!(bench.history(), ["0.2.0", "0.1.0"]);
}

#[test]
fn a_rollback_holds_though_the_file_stays_and_the_state_is_lost() {
    let bench = Bench::new();
    bench.run();
    bench.put(&bench.second(&[]));
    assert_eq!(bench.run(), "0.2.0");
    let output = bench.connectors(&["rollback", "awin"]);
    assert!(output.contains("back at 0.1.0") && output.contains("0.2.0"), "{output}");
    assert_eq!(bench.run(), "0.1.0");
    let entry = bench.entry();
    assert_eq!((entry["state"].as_str(), entry["version"].as_str()), (Some("waiting"), Some("0.1.0")));
    assert!(entry["reason"].as_str().unwrap().starts_with("0.2.0 was rolled back at "), "{entry}");
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(bench.operator.join(file));
    }
    assert_eq!(bench.run(), "0.1.0", "the lake remembers what was rolled back");
    bench.paste_hint();
    assert_eq!(bench.run(), "0.2.0");
    assert_eq!(bench.history(), ["0.2.0", "0.1.0", "0.2.0", "0.1.0"]);
    let digests = bench.operator.sql("SELECT DISTINCT digest FROM meta.connectors").unwrap();
    for row in digests {
        let kept = bench.operator.join("lake/connectors").join(format!("{}.wasm", row["digest"].as_str().unwrap()));
        assert!(kept.is_file(), "{}", kept.display());
    }
    let unknown = bench.operator.sluice(&["connectors", "rollback", "awin", "--to", "9.9.9"]).unwrap();
    assert!(unknown.code == 2 && unknown.stderr.contains("connectors history awin"), "{unknown:?}");
    bench.connectors(&["rollback", "awin", "--to", "0.1.0"]);
    assert_eq!(bench.run(), "0.1.0");
}

#[test]
fn a_version_that_traps_on_kept_responses_is_refused_for_good() {
    let bench = Bench::new();
    bench.run();
    bench.put(&guest(&json!("unreachable")));
    assert_eq!(bench.run(), "0.1.0");
    let entry = bench.entry();
    assert_eq!(entry["state"], "refused", "{entry}");
    assert!(entry["reason"].as_str().unwrap().contains("failed in `map-response`"), "{entry}");
    bench.connectors(&["approve", "awin"]);
    assert_eq!(bench.run(), "0.1.0", "no word makes a trap good");
}

#[test]
fn a_version_that_finds_fewer_rows_is_refused_until_the_operator_means_it() {
    let bench = Bench::new();
    bench.run();
    // It takes every record for a rejected one.
    let reject = |record: u32| json!({"record": record, "reason": "I don't like it"});
    bench.put(&guest(&json!({"ok": {"rejects": [reject(0), reject(0)]}})));
    assert_eq!(bench.run(), "0.1.0");
    let entry = bench.entry();
    assert_eq!(entry["state"], "refused", "{entry}");
    assert!(entry["reason"].as_str().unwrap().contains("on the latest kept responses: it "), "{entry}");
    bench.paste_hint();
    assert_eq!(bench.entry()["state"], "waiting", "it takes over with the next run");
}

#[test]
fn a_version_that_would_read_too_many_slices_is_refused_before_it_serves() {
    refuses_narrow_windows(&json!([{"every": "1h", "days": 20}]));
}

#[test]
fn a_version_that_an_adaptive_rule_could_not_read_is_refused_before_it_serves() {
    refuses_narrow_windows(&json!([{"every": "1d", "days": 400, "requests": 50}]));
}

fn refuses_narrow_windows(look_back: &Value) {
    let bench = Bench::new();
    bench.set("look_back", look_back);
    assert_eq!(bench.run(), "0.1.0");
    let mut description = description(&json!({"ok": {}}));
    description["stream"]["max-window-secs"] = json!(1);
    bench.put(&Guest::new("awin", &description).component().unwrap());
    assert_eq!(bench.run(), "0.1.0");
    let entry = bench.entry();
    assert_eq!(entry["state"], "refused", "{entry}");
    let wanted = "more than 100000 slices: connector `awin` 0.3.0 reads stream `transactions` in windows of 1 s";
    assert!(entry["reason"].as_str().unwrap().contains(wanted), "{entry}");
    assert!(entry["hint"].as_str().unwrap().contains("slices_per_run"), "{entry}");
    bench.connectors(&["approve", "awin"]);
    assert_eq!(bench.run(), "0.1.0", "no word makes it good");
}

#[test]
fn a_version_that_cannot_plan_what_it_would_read_is_refused() {
    let bench = Bench::new();
    bench.set("look_back", &json!([{"every": "1h", "days": 3}]));
    bench.run();
    let mut description = description(&json!({"ok": {}}));
    description["plan"] = json!("unreachable");
    bench.put(&Guest::new("awin", &description).component().unwrap());
    assert_eq!(bench.run(), "0.1.0");
    let entry = bench.entry();
    let reason = entry["reason"].as_str().unwrap();
    assert!(reason.starts_with("it fails when it plans awin/"), "{entry}");
    assert!(reason.contains("connector `awin` 0.3.0 failed in `plan`"), "{entry}");
}

#[test]
fn a_rollback_to_looser_rights_names_them_and_lets_no_other_version_have_more() {
    let bench = Bench::new();
    bench.run();
    bench.put(&bench.second(&[("api.awin.com", "cdn.awin.com")]));
    bench.connectors(&["approve", "awin"]);
    assert_eq!(bench.run(), "0.2.0");
    let output = bench.connectors(&["rollback", "awin"]);
    assert!(output.contains("back at 0.1.0") && output.contains("\n  + host api.awin.com\n"), "{output}");
    assert_eq!(bench.run(), "0.1.0");
    // What was approved was one digest: another version with the same rights waits again.
    bench.put(&noted(&bench.second(&[("api.awin.com", "cdn.awin.com")]), 3));
    assert_eq!(bench.run(), "0.1.0");
    assert_eq!(bench.entry()["reason"], "waiting for approval: + host cdn.awin.com");
}

#[test]
fn a_version_that_was_approved_can_be_rolled_back_before_a_run_has_used_it() {
    let bench = Bench::new();
    bench.run();
    bench.put(&bench.second(&[("api.awin.com", "cdn.awin.com")]));
    bench.connectors(&["approve", "awin"]);
    assert_eq!(bench.entry()["candidate_version"], "0.2.0");
    let output = bench.connectors(&["rollback", "awin"]);
    assert!(output.contains("back at 0.1.0") && output.contains("0.2.0"), "{output}");
    assert_eq!(bench.run(), "0.1.0");
    assert!(bench.entry()["reason"].as_str().unwrap().starts_with("0.2.0 was rolled back at "));
}

/// A guest of Awin's name and stream, of version 0.3.0, that answers `map-response` so.
fn guest(map: &Value) -> Vec<u8> {
    Guest::new("awin", &description(map)).component().unwrap()
}

/// What such a guest is made of.
fn description(map: &Value) -> Value {
    json!({
        "manifest": {
            "version": "0.3.0", "hosts": ["api.awin.com"], "rate": {"requests": 20, "per-secs": 60, "concurrency": 4},
        },
        "stream": {
            "name": "transactions", "layout": {"format": {"json": ""}, "inputs": ["id"], "key": ["id"]},
        },
        "map-response": map,
    })
}

#[test]
fn a_manual_network_waits_to_be_promoted() {
    let bench = Bench::new();
    bench.swap(&json!({"mode": "manual"}));
    assert_eq!(bench.run(), "0.1.0", "the first version of all has nothing to wait for");
    bench.put(&bench.second(&[]));
    assert_eq!(bench.run(), "0.1.0");
    assert_eq!(bench.entry()["reason"], "waits to be promoted");
    bench.paste_hint();
    assert_eq!(bench.run(), "0.2.0");
}

#[test]
fn a_shadow_maps_beside_is_compared_and_writes_nothing() {
    let bench = Bench::new();
    bench.swap(&json!({"mode": "shadow", "slices": 2}));
    bench.run();
    // It doesn't know what `pending` means.
    bench.put(&bench.second(&[("pendingapproveddeclined", "pendinxapproveddeclined")]));
    assert_eq!(bench.run(), "0.1.0");
    let entry = bench.entry();
    assert_eq!(entry["state"], "waiting", "{entry}");
    assert!(entry["reason"].as_str().unwrap().contains("% of the rows differ"), "{entry}");
    let diff = bench.operator.succeed(&["--output", "json", "connectors", "diff", "awin"]).unwrap();
    let live = serde_json::from_str::<Value>(&diff).unwrap()["live"].clone();
    assert!(live["slices"].as_u64().unwrap() >= 2, "{live}");
    assert!(live["fields"]["validation_status"].as_u64().unwrap() > 0, "{live}");
    assert_eq!(live["faults"], 0);
    assert!(bench.connectors(&["diff", "awin"]).contains("validation_status differs in"));
    let unknown = "SELECT count(*) AS n FROM unified.transaction_versions WHERE validation_status = 'unknown'";
    assert_eq!(bench.operator.sql(unknown).unwrap()[0]["n"], 0, "a shadow's rows are never written");
    bench.paste_hint();
    let window = whole_window(&bench.simulator, Options::default().start, DAYS.into());
    let answer = bench.operator.sluice(&["run", "awin", "--since", &window[0], "--until", &window[1]]).unwrap();
    assert_eq!(answer.code, 3, "what it makes of statuses is doubtful even if it may serve: {answer:?}");
    assert_eq!(bench.operator.sql(unknown).unwrap()[0]["n"], 0);
    bench.set("doubt", &json!({"status": false}));
    assert_eq!(bench.run(), "0.2.0");
    assert_ne!(bench.operator.sql(unknown).unwrap()[0]["n"], 0);
}

#[test]
fn a_shadow_that_makes_nothing_otherwise_promotes_itself() {
    let bench = Bench::new();
    bench.swap(&json!({"mode": "shadow", "slices": 3, "max_diff": 0.0}));
    bench.run();
    bench.put(&noted(&bench.second(&[]), 7));
    assert_eq!(bench.run(), "0.1.0", "two slices are too few");
    let entry = bench.entry();
    assert_eq!(
        (entry["state"].as_str(), entry["reason"].as_str()),
        (Some("shadow"), Some("compared over 2 of 3 slices"))
    );
    assert_eq!(bench.run(), "0.1.0", "a run ends on the version that it began with");
    assert_eq!(bench.run(), "0.2.0");
}

#[test]
fn where_keys_are_set_an_unsigned_file_is_refused_by_name() {
    let bench = Bench::new();
    bench.run();
    let settings = std::fs::read_to_string(bench.operator.join("sluice.toml")).unwrap();
    let key = include_str!("../../host/registry/tests/registry/signed/key.pub").trim();
    bench.operator.write("sluice.toml", &format!("{settings}[connectors]\nkeys = [\"{key}\"]\n")).unwrap();
    let listed = bench.connectors(&[]);
    assert!(listed.contains("awin.wasm") && listed.contains("the file is not signed"), "{listed}");
    assert!(listed.contains("minisign -S"), "{listed}");
    let run = bench.operator.sluice(&["run", "awin"]).unwrap();
    assert!(run.code == 78 && run.stderr.contains("not signed"), "what served before isn't signed either: {run:?}");
    bench.operator.write("sluice.toml", &format!("{settings}[connectors]\nkeys = [\"RWx\"]\n")).unwrap();
    let wrong = bench.operator.sluice(&["connectors"]).unwrap();
    assert!(
        wrong.code == 78 && wrong.stderr.contains("entry 1 is not a public key") && !wrong.stderr.contains("RWx"),
        "{wrong:?}"
    );
}
