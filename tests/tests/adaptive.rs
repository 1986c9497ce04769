//! A look-back rule with a budget reads history bit by bit, and says why.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use chrono::Utc;
use serde_json::{Value, json};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, lake_sums, runtime, true_sums};
use tokio::runtime::Runtime;

/// Windows that the rule may read in each run.
const BUDGET: usize = 2;

/// The slices that `sluice plan` shows, each with the reason.
fn planned(operator: &Operator) -> BTreeSet<(String, String)> {
    let plan: Value = serde_json::from_str(&operator.succeed(&["--output", "json", "plan", "awin"]).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    plan.as_array().unwrap().iter().map(|planned| (text(&planned["slice"]), text(&planned["why"]))).collect()
}

/// An operator of Awin's simulated accounts with such a rule, and how many accounts there are.
fn operator() -> (Runtime, Simulator, Operator, usize) {
    let runtime = runtime();
    let options = Options { start: Utc::now(), history_days: 30, rows_per_day: 2, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let mut operator = Operator::of(&simulator, &["awin"]).unwrap();
    let accounts = operator.accounts(&simulator, "awin");
    let names = accounts.len();
    let file = json!({
        "connector": "awin", "base_url": simulator.origin("awin"),
        "rate": {"requests": 2000, "per_secs": 1, "concurrency": 8}, "accounts": accounts,
        "look_back": [
            {"every": "1h", "days": 2},
            {"every": "1h", "days": 40, "requests": BUDGET, "at_least_every": "10d", "axis": "transaction"},
        ],
    });
    operator.write("networks/awin.json", &file.to_string()).unwrap();
    (runtime, simulator, operator, names)
}

#[test]
fn what_it_reads_counts_among_the_slices_of_a_run() {
    let (_runtime, _simulator, operator, names) = operator();
    let settings = std::fs::read_to_string(operator.join("sluice.toml")).unwrap();
    let slices = planned(&operator).len();
    assert!(slices > names, "{slices}");
    for (most, code) in [(slices - 1, 78), (slices, 0)] {
        operator.write("sluice.toml", &format!("{settings}\n[limits]\nslices_per_run = {most}\n")).unwrap();
        let answer = operator.sluice(&["plan", "awin"]).unwrap();
        assert_eq!(answer.code, code, "{most}: {}", answer.stderr);
        assert_eq!(answer.stderr.contains(&format!("more than {most} slices")), code != 0, "{}", answer.stderr);
    }
}

#[test]
fn a_rule_with_a_budget_reads_history_in_parts_until_all_is_read() {
    let (_runtime, simulator, operator, names) = operator();
    let adaptive = |operator: &Operator| planned(operator).into_iter().filter(|(_, why)| !why.starts_with("look_back"));
    let (mut runs, mut before) = (0, 0);
    while adaptive(&operator).count() > 0 {
        let wanted: Vec<_> = adaptive(&operator).collect();
        assert!(wanted.len() <= BUDGET && wanted.iter().all(|(_, why)| why.contains("ever read")), "{wanted:?}");
        operator.succeed(&["run", "awin"]).unwrap();
        let reads = operator.sql("SELECT count(*) AS reads FROM meta.coverage").unwrap()[0]["reads"].as_u64().unwrap();
        let read = usize::try_from(reads).unwrap() - before;
        assert!((names + 1..=2 * names + BUDGET).contains(&read), "run {runs} made {read} reads");
        (runs, before) = (runs + 1, before + read);
        assert!(runs < 40, "it reads the same again and again: {wanted:?}");
    }
    assert!(runs * BUDGET >= 5 * names, "all was read in {runs} runs");
    assert_eq!(lake_sums(&operator, "awin").unwrap(), true_sums(&simulator, "awin"));
    let gaps = operator.sql("SELECT * FROM meta.gaps WHERE axis = 'transaction'").unwrap();
    assert!(gaps.is_empty(), "{gaps:?}");
    let shown = operator.succeed(&["plan", "awin"]).unwrap();
    assert!(shown.contains("(look_back: 2 d, every 1 h)"), "{shown}");
}
