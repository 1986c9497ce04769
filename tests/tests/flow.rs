//! The main job: from simulated networks to SQL, compared with what the simulator knows to be true.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use chrono::{DateTime, TimeDelta, Utc};
use sluice_simulator::{FaultPlan, Options, Shapes, Simulator};
use sluice_tests::{Micros, NETWORKS, Operator, lake_sums, runtime, true_sums, whole_window};

const HISTORY_DAYS: u32 = 45;

/// Its history holds the days on which Amsterdam and Chicago put their clocks back.
fn start() -> DateTime<Utc> {
    "2025-11-10T12:00:00Z".parse().unwrap()
}

fn options(seed: u64) -> Options {
    Options {
        seed,
        start: start(),
        history_days: HISTORY_DAYS,
        rows_per_day: 5,
        cj_page_limit: 40,
        ..Options::default()
    }
}

/// Runs every network, compares all sums, and gives how many new versions there were.
fn run_and_compare(operator: &Operator, simulator: &Simulator, when: &str) -> u64 {
    let window = whole_window(simulator, start(), HISTORY_DAYS.into());
    let mut versions = 0;
    for network in NETWORKS {
        let report = operator.run(network, &window).unwrap();
        assert_eq!(report["status"], "done", "{network} {when}: {report}");
        versions += report["new_versions"].as_u64().unwrap();
        let truth = true_sums(simulator, network);
        assert!(!truth.is_empty(), "{network} has no truth");
        assert_eq!(lake_sums(operator, network).unwrap(), truth, "{network} {when}");
    }
    versions
}

#[test]
fn sums_equal_the_truth_as_time_passes() {
    let runtime = runtime();
    let simulator = runtime.block_on(Simulator::start(options(1))).unwrap();
    let operator = Operator::of(&simulator, &NETWORKS).unwrap();
    assert!(run_and_compare(&operator, &simulator, "at first") > 0);
    assert_eq!(run_and_compare(&operator, &simulator, "again"), 0, "an unchanged network has no new versions");
    let native = operator.sql("SELECT count(*) AS n FROM awin.transactions").unwrap();
    for advance in 1..=3 {
        simulator.advance(TimeDelta::days(6));
        assert!(run_and_compare(&operator, &simulator, &format!("after advance {advance}")) > 0);
    }
    let later = operator.sql("SELECT count(*) AS n FROM awin.transactions").unwrap();
    assert!(later[0]["n"].as_u64() > native[0]["n"].as_u64(), "changed rows have new native versions");
    versions_are_gapless(&operator);
    build_from_raw_adds_nothing(&operator);
}

/// Versions of a transaction count 1, 2, 3 … and only the first is `first-seen`, or `correction`.
fn versions_are_gapless(operator: &Operator) {
    let broken = operator
        .sql(
            "SELECT transaction_key FROM unified.transaction_versions GROUP BY transaction_key
             HAVING count(*) <> max(version) OR count(DISTINCT version) <> count(*)
                 OR sum(CASE WHEN change IN ('first-seen', 'correction') THEN 1 ELSE 0 END) <> 1",
        )
        .unwrap();
    assert!(broken.is_empty(), "{broken:?}");
    let many = operator.sql("SELECT count(*) AS n FROM unified.transaction_versions WHERE version > 1").unwrap();
    assert!(many[0]["n"].as_u64().unwrap() > 0, "time passed and nothing changed");
}

fn build_from_raw_adds_nothing(operator: &Operator) {
    for network in NETWORKS {
        let text = operator.succeed(&["--output", "json", "build", network]).unwrap();
        let reports: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(reports[0]["records"].as_u64().unwrap() > 0, "{network}: {text}");
        assert_eq!(reports[0]["new_versions"], 0, "{network}: building again from raw adds nothing: {text}");
        assert_eq!(reports[0]["native_rows"], 0, "{network}: {text}");
    }
}

#[test]
fn sums_equal_the_truth_when_requests_fail() {
    let runtime = runtime();
    let faults = FaultPlan::all(0.15, 2);
    let shapes = Shapes { duplicate_rows: true, new_field_from: Some(start()), changed_type: true };
    let simulator = runtime.block_on(Simulator::start(Options { faults, shapes, ..options(2) })).unwrap();
    let operator = Operator::of(&simulator, &NETWORKS).unwrap();
    run_and_compare(&operator, &simulator, "with faults");
    simulator.advance(TimeDelta::days(6));
    run_and_compare(&operator, &simulator, "with faults, later");
    let failed = simulator.requests().iter().filter(|request| request.fault.is_some()).count();
    assert!(failed > 5, "only {failed} requests failed: the test shows nothing");
}

#[test]
fn collect_then_build_equals_a_run() {
    let runtime = runtime();
    let simulator = runtime.block_on(Simulator::start(options(3))).unwrap();
    let operator = Operator::of(&simulator, &NETWORKS).unwrap();
    let [since, until] = whole_window(&simulator, start(), HISTORY_DAYS.into());
    for network in NETWORKS {
        operator.succeed(&["collect", network, "--since", &since, "--until", &until]).unwrap();
        assert!(lake_sums(&operator, network).unwrap().is_empty(), "collect only keeps raw");
    }
    let asked = simulator.requests().len();
    for network in NETWORKS {
        operator.succeed(&["build", network]).unwrap();
        assert_eq!(lake_sums(&operator, network).unwrap(), true_sums(&simulator, network), "{network}");
    }
    assert_eq!(simulator.requests().len(), asked, "build asks no network");
}

#[test]
fn one_failing_account_fails_nothing_else() {
    let runtime = runtime();
    let simulator = runtime.block_on(Simulator::start(options(4))).unwrap();
    let mut operator = Operator::of(&simulator, &["awin"]).unwrap();
    operator.set("AWIN_BETA_TOKEN", "not-the-token-at-all");
    let [since, until] = whole_window(&simulator, start(), HISTORY_DAYS.into());
    let answer = operator.sluice(&["run", "awin", "--since", &since, "--until", &until]).unwrap();
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.stderr.contains("credentials"), "{answer:?}");
    let mut truth = true_sums(&simulator, "awin");
    truth.retain(|(account, ..), _| account == "alpha");
    assert_eq!(lake_sums(&operator, "awin").unwrap(), truth);
    let uncovered = operator.sql("SELECT DISTINCT account FROM meta.coverage WHERE NOT complete").unwrap();
    assert_eq!(uncovered.len(), 1);
    assert_eq!(uncovered[0]["account"], "beta");
}

/// Lets the second read without a transaction decide, whenever it comes.
fn confirm_at_once(operator: &Operator, network: &str) {
    let path = format!("networks/{network}.json");
    let mut settings: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(operator.join(&path)).unwrap()).unwrap();
    settings["vanish"] = serde_json::json!({"confirm_after": "0"});
    operator.write(&path, &settings.to_string()).unwrap();
}

/// The key of a transaction of `awin/alpha`, and its versions: number, change, amount and effective amount.
fn versions(operator: &Operator, transaction_id: &str) -> (String, Vec<(u64, String, Micros, Micros)>) {
    let query = format!(
        "SELECT version, change, CAST(commission_amount AS VARCHAR) AS amount,
                CAST(commission_effective AS VARCHAR) AS effective, transaction_key
         FROM unified.transaction_versions
         WHERE network = 'awin' AND account = 'alpha' AND transaction_id = '{transaction_id}' ORDER BY version"
    );
    let rows = operator.sql(&query).unwrap();
    let text = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
    let versions = rows.iter().map(|row| {
        let [amount, effective] = ["amount", "effective"].map(|name| Micros::parse(&text(row, name)));
        (row["version"].as_u64().unwrap(), text(row, "change"), amount, effective)
    });
    (text(&rows[0], "transaction_key"), versions.collect())
}

#[test]
fn what_a_network_no_longer_delivers_vanishes_and_may_reappear() {
    let runtime = runtime();
    let simulator = runtime.block_on(Simulator::start(options(6))).unwrap();
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    let run = || operator.run("awin", &whole_window(&simulator, start(), HISTORY_DAYS.into())).unwrap();
    assert!(run()["new_versions"].as_u64() > Some(100));
    let mut paid = simulator.truth("awin", "alpha");
    paid.retain(|row| row.status_raw.as_deref() == Some("approved") && !row.commission.starts_with(['-', '0']));
    let gone = paid[paid.len() / 2].clone();
    let versions = || versions(&operator, &gone.transaction_id);
    let amount = Micros::parse(&gone.commission);
    let version = |number, change: &str, effective| (number, change.to_owned(), amount, effective);
    assert_eq!(versions().1, [version(1, "first-seen", amount)]);

    assert!(simulator.withhold("awin", "alpha", &gone.transaction_id));
    for _ in 0..2 {
        assert_eq!(run()["new_versions"], 0, "one read is none, nor are two within an hour");
        let (key, seen) = versions();
        assert_eq!(seen, [version(1, "first-seen", amount)]);
        let absent = operator.sql("SELECT transaction_key, account FROM meta.absent").unwrap();
        assert_eq!((absent.len(), &absent[0]["transaction_key"]), (1, &key.as_str().into()), "{absent:?}");
        let story = operator.succeed(&["explain", &key]).unwrap();
        assert!(story.contains("missing since"), "{story}");
    }
    operator.succeed(&["build", "--from-raw"]).unwrap();
    assert_eq!(operator.sql("SELECT * FROM meta.absent").unwrap().len(), 1, "raw alone tells what was missing");

    confirm_at_once(&operator, "awin");
    assert_eq!(run()["new_versions"], 1, "one is gone, and nothing else changed");
    assert!(operator.sql("SELECT * FROM meta.absent").unwrap().is_empty());
    let (key, seen) = versions();
    assert_eq!(seen, [version(1, "first-seen", amount), version(2, "vanished", Micros(0))]);
    assert_eq!(run()["new_versions"], 0, "it vanishes once");
    let counted = |of: &str| {
        let query =
            format!("SELECT CAST(sum({of}) AS VARCHAR) AS sum FROM unified.transactions WHERE network = 'awin'");
        Micros::parse(operator.sql(&query).unwrap()[0]["sum"].as_str().unwrap())
    };
    let counts = "CASE WHEN change = 'vanished' OR validation_status = 'declined' THEN 0 ELSE commission_amount END";
    assert_eq!(counted("commission_effective"), counted(counts), "no sum holds it any more");
    let story = operator.succeed(&["explain", &key]).unwrap();
    assert!(story.contains("vanished"), "{story}");
    // With the settings of now, the second of the three reads is late enough.
    operator.succeed(&["build", "--from-raw"]).unwrap();
    assert_eq!(versions().1, seen, "raw alone shows that it vanished");

    simulator.deliver_all();
    assert_eq!(run()["new_versions"], 1);
    assert_eq!(versions().1[2..], [version(3, "reappeared", amount)]);
    assert_eq!(lake_sums(&operator, "awin").unwrap(), true_sums(&simulator, "awin"));
    assert_eq!(run()["new_versions"], 0);
}
