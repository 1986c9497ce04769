//! All tables made anew from raw alone: equal to what was there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::Step;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{NETWORKS, Operator, lake_sums, runtime, true_sums, variant, whole_window};

const HISTORY_DAYS: u32 = 25;

fn start() -> DateTime<Utc> {
    "2026-02-10T12:00:00Z".parse().unwrap()
}

/// All rows of every table that follows from raw, as text, sorted; without times of building.
fn state(operator: &Operator, networks: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut tables: Vec<(String, &str)> = networks.iter().map(|name| (format!("{name}.transactions"), "*")).collect();
    for table in
        ["unified.transaction_versions", "unified.transactions", "meta.rejects", "meta.requests", "meta.coverage"]
    {
        tables.push((table.to_owned(), "*"));
    }
    tables.push(("meta.columns".to_owned(), "network, stream, \"column\", path, type, example"));
    let mut state = BTreeMap::new();
    for (table, columns) in tables {
        let text = operator.succeed(&["sql", &format!("SELECT {columns} FROM {table}"), "--format", "csv"]).unwrap();
        let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
        rows.sort();
        state.insert(table, rows);
    }
    state
}

/// How many files are in a folder, at any depth.
fn files_in(folder: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let count = |path: std::path::PathBuf| if path.is_dir() { files_in(&path) } else { 1 };
    entries.map(|entry| count(entry.unwrap().path())).sum()
}

fn differences(before: &BTreeMap<String, Vec<String>>, after: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut found = Vec::new();
    for (table, before) in before {
        let after = &after[table];
        let only = |of: &Vec<String>, than: &Vec<String>| of.iter().find(|row| !than.contains(*row)).cloned();
        if before != after {
            let (gone, new) = (only(before, after), only(after, before));
            found.push(format!("{table}: {} rows, {} before; gone {gone:?}, new {new:?}", after.len(), before.len()));
        }
    }
    found
}

#[test]
fn tables_from_raw_alone_equal_what_was_there() {
    let runtime = runtime();
    let options =
        Options { seed: 41, start: start(), history_days: HISTORY_DAYS, rows_per_day: 4, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let operator = Operator::of(&simulator, &NETWORKS).unwrap();
    for advance in [0, 6, 6] {
        simulator.advance(TimeDelta::days(advance));
        let window = whole_window(&simulator, start(), HISTORY_DAYS.into());
        for network in NETWORKS {
            assert_eq!(operator.run(network, &window).unwrap()["status"], "done");
        }
    }
    let before = state(&operator, &NETWORKS);
    assert!(before["unified.transaction_versions"].len() > before["unified.transactions"].len());
    let asked = simulator.requests().len();
    let output = operator.succeed(&["build", "--from-raw"]).unwrap();
    assert!(output.contains("unified.transaction_versions"), "{output}");
    let found = differences(&before, &state(&operator, &NETWORKS));
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(simulator.requests().len(), asked, "a rebuild asks no network");
    assert_eq!(files_in(&operator.join("lake/tables.new")), 0, "nothing is left beside the tables");
    // Nothing but raw is needed.
    std::fs::remove_dir_all(operator.join("lake/tables")).unwrap();
    operator.succeed(&["build", "--from-raw"]).unwrap();
    let found = differences(&before, &state(&operator, &NETWORKS));
    assert!(found.is_empty(), "{found:#?}");
    let connectors = operator.sql("SELECT DISTINCT network FROM meta.connectors").unwrap();
    assert_eq!(connectors.len(), NETWORKS.len());
    // And the next look finds nothing new.
    let window = whole_window(&simulator, start(), HISTORY_DAYS.into());
    for network in NETWORKS {
        assert_eq!(operator.run(network, &window).unwrap()["new_versions"], 0, "{network}");
    }
}

#[test]
fn a_rebuild_is_by_the_connector_that_serves_and_replaces_nothing_if_it_fails() {
    let runtime = runtime();
    let options = Options { seed: 42, start: start(), history_days: 15, rows_per_day: 3, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let operator = Operator::of(&simulator, &["awin", "cj"]).unwrap();
    let serving = operator.join("connectors.d/awin.wasm");
    let exchanged = variant("awin", "pendingapproveddeclined", "pendingdeclinedapproved").unwrap();
    std::fs::write(&serving, exchanged).unwrap();
    let window = whole_window(&simulator, start(), 15);
    for network in ["awin", "cj"] {
        operator.run(network, &window).unwrap();
    }
    let wrong = "SELECT count(*) AS n FROM unified.transactions
                 WHERE status_raw = 'approved' AND validation_status = 'declined'";
    let count = |query: &str| operator.sql(query).unwrap()[0]["n"].as_u64().unwrap();
    assert!(count(wrong) > 0);
    std::fs::remove_file(&serving).unwrap();
    std::fs::rename(operator.join("networks/awin.json"), operator.join("awin.json")).unwrap();
    let failed = operator.sluice(&["build", "--from-raw"]).unwrap();
    assert_eq!(failed.code, 78, "{failed:?}");
    assert!(failed.stderr.contains("nothing was replaced"), "{failed:?}");
    assert!(count(wrong) > 0);
    std::fs::rename(operator.join("awin.json"), operator.join("networks/awin.json")).unwrap();
    operator.install("awin", "awin.wasm").unwrap();
    operator.succeed(&["build", "--from-raw"]).unwrap();
    assert_eq!(count(wrong), 0);
    assert_eq!(count("SELECT count(*) AS n FROM unified.transaction_versions WHERE version > 1"), 0);
    for network in ["awin", "cj"] {
        assert_eq!(lake_sums(&operator, network).unwrap(), true_sums(&simulator, network), "{network}");
    }
}

#[test]
fn a_rebuild_that_is_killed_leaves_each_table_old_or_new_and_is_made_again() {
    let runtime = runtime();
    let options = Options { seed: 43, start: start(), history_days: 15, rows_per_day: 3, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    // Built by a connector that reads two words otherwise and knows a field by another name: old and new differ.
    let words = variant("awin", "pendingapproveddeclined", "pendingdeclinedapproved").unwrap();
    operator.put_connector("awin.wasm", &words).unwrap();
    for advance in [0, 6] {
        simulator.advance(TimeDelta::days(advance));
        operator.run("awin", &whole_window(&simulator, start(), 15)).unwrap();
    }
    operator.install("awin", "awin.wasm").unwrap();
    let old = state(&operator, &["awin"]);
    let undisturbed = operator.fork().unwrap();
    undisturbed.succeed(&["build", "--from-raw"]).unwrap();
    let new = state(&undisturbed, &["awin"]);
    assert_ne!(old["unified.transactions"], new["unified.transactions"], "nothing would show");
    let of_rebuild = Step::OF_REBUILD.iter().map(|step| step.name().to_owned());
    let further = ["files-written:2", "native-committed", "unified-committed", "table-replaced:3", "table-replaced:5"];
    let mut mixed = 0;
    for step in of_rebuild.chain(further.map(str::to_owned)) {
        let operator = operator.fork().unwrap();
        let killed = operator.command(&["build", "--from-raw"]).env("SLUICE_STOP_AT", &step).output().unwrap();
        assert_eq!(killed.status.code(), None, "{step} isn't passed: {killed:?}");
        let between = state(&operator, &["awin"]);
        let news: Vec<&String> = between
            .iter()
            .filter(|(name, rows)| **rows == new[*name] && **rows != old[*name])
            .map(|(name, _)| name)
            .collect();
        for (name, rows) in &between {
            assert!(*rows == old[name] || *rows == new[name], "{step}: {name} is neither old nor new");
        }
        let is_between = step.starts_with("table-replaced") || step == "tables-replaced";
        assert!(is_between || news.is_empty(), "{step}: new are {news:?}: {:#?}", differences(&old, &between));
        let asked = operator.sluice(&["sql", "SELECT count(*) FROM unified.transactions"]).unwrap();
        assert_eq!(asked.stderr.contains("some may be new and others old"), is_between, "{step}: {asked:?}");
        assert_eq!(operator.sluice(&["status"]).unwrap().stderr.contains("some may be new"), is_between, "{step}");
        mixed += usize::from(is_between && !news.is_empty() && between != new);
        operator.succeed(&["build", "--from-raw"]).unwrap();
        let different = differences(&new, &state(&operator, &["awin"]));
        assert!(different.is_empty(), "{step}: a rebuild that nobody disturbed makes others: {different:#?}");
        assert_eq!(files_in(&operator.join("lake/tables.new")), 0, "{step}");
        assert_eq!(operator.sluice(&["sql", "SELECT 1"]).unwrap().stderr, "", "{step}");
    }
    assert!(mixed > 0, "no reader saw new tables beside old ones");
}
