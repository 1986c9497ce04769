//! Money is counted once: several accounts, two dates to read by, months of history, read again as the network's state
//! advances, and made anew from raw.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use sluice_simulator::{AccountSpec, Options, Simulator};
use sluice_tests::{Operator, all_tables, check_exact, differences, runtime};

const ACCOUNTS: usize = 4;
const HISTORY_DAYS: u32 = 150;
const ROWS_PER_DAY: u32 = 3;
/// How far the network's state advances between two readings.
const ADVANCE_DAYS: i64 = 20;
const ADVANCES: i64 = 2;

/// Has every run read all of the history by both dates.
fn read_by_two_dates(operator: &mut Operator, simulator: &Simulator) {
    let accounts: Vec<Value> = simulator.accounts().iter().map(|account| operator.account(account)).collect();
    let days = i64::from(HISTORY_DAYS) + ADVANCES * ADVANCE_DAYS + 10;
    let file = json!({
        "connector": "awin", "schedule": "0 0 * * *", "hosts": [], "base_url": simulator.origin("awin"),
        "look_back": [
            {"every": "1s", "days": days, "axis": "modified"},
            {"every": "1s", "days": days, "axis": "transaction"},
        ],
        "rate": {"requests": 2000, "per_secs": 1, "concurrency": 8}, "accounts": accounts,
    });
    operator.write("networks/awin.json", &format!("{file:#}")).unwrap();
}

fn run(operator: &Operator) -> Value {
    let text = operator.succeed(&["--output", "json", "run", "awin"]).unwrap();
    let reports: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(reports[0]["status"], "done", "{reports}");
    reports[0].clone()
}

fn assert_exact(operator: &Operator, simulator: &Simulator, when: &str) {
    check_exact(operator, simulator, &["awin"]).unwrap_or_else(|error| panic!("{when}: {error:#}"));
}

/// The tables that follow from raw.
fn derived(operator: &Operator) -> BTreeMap<String, Vec<String>> {
    let mut tables = all_tables(operator).unwrap();
    tables.retain(|name, _| !name.starts_with("meta."));
    tables
}

#[test]
fn a_network_that_is_read_by_two_dates_as_it_advances_is_counted_once() {
    let runtime = runtime();
    let options = Options {
        // The last advance is in the past still: what is read ends now.
        start: Utc::now() - TimeDelta::days(ADVANCES * ADVANCE_DAYS + 1),
        history_days: HISTORY_DAYS,
        rows_per_day: ROWS_PER_DAY,
        accounts: (0..ACCOUNTS).map(|number| AccountSpec::new("awin", &format!("a{number}"))).collect(),
        ..Options::default()
    };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let mut operator = Operator::of(&simulator, &["awin"]).unwrap();
    read_by_two_dates(&mut operator, &simulator);
    let mut records = Vec::new();
    for reading in 0..=ADVANCES {
        let report = run(&operator);
        assert!(report["new_versions"].as_u64().unwrap() > 0, "reading {reading}: {report}");
        records.push(report["records"].as_u64().unwrap());
        assert_exact(&operator, &simulator, &format!("reading {reading}"));
        let again = run(&operator);
        assert_eq!((&again["new_versions"], &again["native_rows"]), (&0.into(), &0.into()), "{reading}: {again}");
        simulator.advance(TimeDelta::days(if reading < ADVANCES { ADVANCE_DAYS } else { 0 }));
    }
    let transactions =
        operator.sql("SELECT count(*) AS n FROM unified.transactions").unwrap()[0]["n"].as_u64().unwrap();
    assert!(records.iter().all(|records| *records > transactions / 2), "{records:?} of {transactions}");
    assert!(records[2] > transactions, "some are read by both dates: {records:?} of {transactions}");
    let before = derived(&operator);
    let asked = simulator.requests().len();
    operator.succeed(&["build", "--from-raw"]).unwrap();
    assert_eq!(simulator.requests().len(), asked, "a rebuild asks no network");
    assert_exact(&operator, &simulator, "from raw");
    let different = differences(&before, &derived(&operator));
    assert!(different.is_empty(), "what was read has - and what is made from raw +:\n{different}");
}
