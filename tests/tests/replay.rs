//! Replay: history through another connector, with no network: what would change, changing it, and taking it back.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Micros, NETWORKS, Operator, runtime, variant, whole_window};

const HISTORY_DAYS: u32 = 30;

fn start() -> DateTime<Utc> {
    "2026-02-10T12:00:00Z".parse().unwrap()
}

/// A lake that saw networks twice, with time between.
fn lake_of(runtime: &tokio::runtime::Runtime, networks: &[&str], seed: u64) -> (Simulator, Operator) {
    let options = Options { seed, start: start(), history_days: HISTORY_DAYS, rows_per_day: 4, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let operator = Operator::of(&simulator, networks).unwrap();
    for advance in [0, 9] {
        simulator.advance(TimeDelta::days(advance));
        let window = whole_window(&simulator, start(), HISTORY_DAYS.into());
        for network in networks {
            assert_eq!(operator.run(network, &window).unwrap()["status"], "done");
        }
    }
    (simulator, operator)
}

/// A variant of the Awin connector as `<name>.wasm` in the operator's folder.
fn write_variant(operator: &Operator, name: &str, from: &str, to: &str) {
    std::fs::write(operator.join(&format!("{name}.wasm")), variant("awin", from, to).unwrap()).unwrap();
}

/// Approved and declined exchanged: their words lie side by side in the data.
fn exchange_words(operator: &Operator) {
    write_variant(operator, "exchanged", "pendingapproveddeclined", "pendingdeclinedapproved");
}

fn replay(operator: &Operator, arguments: &[&str]) -> Value {
    let all = [&["--output", "json", "replay"], arguments].concat();
    let text = operator.succeed(&all).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A sum over the latest state, by currency.
fn sums(operator: &Operator, of: &str) -> Vec<(String, Micros)> {
    let query = format!(
        "SELECT commission_currency AS currency, CAST(sum({of}) AS VARCHAR) AS sum FROM unified.transactions
         WHERE network = 'awin' GROUP BY 1 ORDER BY 1"
    );
    let rows = operator.sql(&query).unwrap();
    rows.iter().map(|row| (row["currency"].as_str().unwrap().to_owned(), amount(&row["sum"]))).collect()
}

fn amount(value: &Value) -> Micros {
    Micros::parse(value.as_str().unwrap_or_else(|| panic!("{value} is no text")))
}

fn number(operator: &Operator, query: &str) -> u64 {
    operator.sql(query).unwrap()[0]["n"].as_u64().unwrap()
}

#[test]
fn the_running_connector_changes_nothing() {
    let runtime = runtime();
    let (simulator, mut operator) = lake_of(&runtime, &NETWORKS, 21);
    let asked = simulator.requests().len();
    for account in simulator.accounts() {
        for slot in account.secrets.keys() {
            let name = format!("{}_{}_{slot}", account.network, account.name).to_uppercase();
            operator.set(&name, "not the secret, and nobody reads it");
        }
    }
    for network in NETWORKS {
        let diff = replay(&operator, &[network, "--diff"]);
        assert_eq!(diff["empty"], true, "{network}: {diff}");
        let n =
            number(&operator, &format!("SELECT count(*) AS n FROM unified.transactions WHERE network = '{network}'"));
        assert_eq!(diff["compared"].as_u64(), Some(n), "{network}: every transaction is compared");
        assert!(diff["native"]["transactions"]["compared"].as_u64() > Some(0), "{network}: {diff}");
    }
    assert_eq!(simulator.requests().len(), asked, "a replay asks no network");
}

#[test]
fn a_word_that_is_mapped_otherwise_changes_its_rows_and_no_others() {
    let runtime = runtime();
    let (_simulator, operator) = lake_of(&runtime, &["awin"], 22);
    exchange_words(&operator);
    let diff = replay(&operator, &["awin", "--connector", "exchanged.wasm", "--diff"]);
    let words = "network = 'awin' AND status_raw IN ('approved', 'declined')";
    let rows = number(&operator, &format!("SELECT count(*) AS n FROM unified.transactions WHERE {words}"));
    assert!(rows > 0);
    assert_eq!(diff["changed"]["count"].as_u64(), Some(rows), "{diff}");
    assert_eq!(diff["fields"]["validation_status"]["count"].as_u64(), Some(rows), "{diff}");
    assert_eq!((&diff["added"]["count"], &diff["removed"]["count"]), (&Value::from(0), &Value::from(0)));
    let wanted = "CASE WHEN status_raw IN ('approved', 'deleted') THEN 0 ELSE coalesce(commission_amount, 0) END";
    let (before, after) = (sums(&operator, "commission_effective"), sums(&operator, wanted));
    assert_ne!(before, after, "the words change no money: the test shows nothing");
    let totals = diff["totals"].as_array().unwrap();
    assert_eq!(totals.len(), before.len());
    for (total, ((currency, before), (_, after))) in totals.iter().zip(before.iter().zip(&after)) {
        assert_eq!(total["currency"].as_str(), Some(currency.as_str()));
        assert_eq!((amount(&total["before"]), amount(&total["after"])), (*before, *after), "{currency}");
        assert_eq!(amount(&total["difference"]).0, after.0 - before.0);
    }
    let by_month: i128 = diff["money"].as_array().unwrap().iter().map(|line| amount(&line["difference"]).0).sum();
    assert_eq!(by_month, totals.iter().map(|total| amount(&total["difference"]).0).sum::<i128>());
    let human = operator.succeed(&["replay", "awin", "--connector", "exchanged.wasm", "--diff"]).unwrap();
    assert!(human.contains(&format!("{rows} transactions changed")), "{human}");
    assert!(human.contains("validation_status"), "{human}");
}

#[test]
fn conditions_fail_the_command_and_the_diff_is_printed() {
    let runtime = runtime();
    let (_simulator, operator) = lake_of(&runtime, &["awin"], 23);
    exchange_words(&operator);
    let ask = |conditions: &[&str]| {
        let mut arguments = vec!["--output", "json", "replay", "awin", "--connector", "exchanged.wasm", "--diff"];
        conditions.iter().for_each(|condition| arguments.extend(["--fail-if", condition]));
        operator.sluice(&arguments).unwrap()
    };
    let failed = ask(&["rejects>0", "commission>0.1%"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains("commission>0.1%"), "{failed:?}");
    let printed: Value = serde_json::from_str(&failed.stdout).unwrap();
    let holds: Vec<&Value> = printed["fail_if"].as_array().unwrap().iter().map(|verdict| &verdict["holds"]).collect();
    assert_eq!(holds, [false, true]);
    assert_eq!(ask(&["rows>0"]).code, 1);
    assert_eq!(ask(&["rejects>0", "removed>0", "unknown>0", "commission>10000%"]).code, 0);
    assert_eq!(ask(&["money>0"]).code, 2);
    let refused = operator.sluice(&["replay", "awin", "--version", "no-such", "--diff"]).unwrap();
    assert_eq!(refused.code, 2, "{refused:?}");
    let digest = replay(&operator, &["awin", "--diff"])["connector"]["digest"].as_str().unwrap().to_owned();
    let by_version = replay(&operator, &["awin", "--version", &digest[..10], "--diff"]);
    assert_eq!(by_version["connector"]["digest"].as_str(), Some(digest.as_str()));
    let version = by_version["connector"]["version"].as_str().unwrap().to_owned();
    assert_eq!(replay(&operator, &["awin", "--version", &version, "--diff"])["empty"], true);
}

/// All rows of the tables that a replay writes, as text, sorted.
fn state(operator: &Operator) -> Vec<(&'static str, Vec<String>)> {
    let tables = ["unified.transaction_versions", "unified.transactions", "awin.transactions", "meta.rejects"];
    let rows = |table: &'static str| {
        let text = operator.succeed(&["sql", &format!("SELECT * FROM {table}"), "--format", "csv"]).unwrap();
        let mut rows: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
        rows.sort();
        (table, rows)
    };
    tables.map(rows).into()
}

fn apply(operator: &Operator, file: &str) -> Value {
    replay(operator, &["awin", "--connector", file, "--apply"])
}

#[test]
fn an_applied_replay_is_taken_back_row_for_row() {
    let runtime = runtime();
    let (_simulator, operator) = lake_of(&runtime, &["awin"], 24);
    exchange_words(&operator);
    let first = state(&operator);
    let wanted = "CASE WHEN status_raw IN ('approved', 'deleted') THEN 0 ELSE coalesce(commission_amount, 0) END";
    let (before, after) = (sums(&operator, "commission_effective"), sums(&operator, wanted));
    let held = ["replay", "awin", "--connector", "exchanged.wasm", "--apply", "--fail-if", "rows>0"];
    assert_eq!(operator.sluice(&held).unwrap().code, 1);
    assert_eq!(state(&operator), first, "a condition that holds keeps everything as it is");
    let applied = apply(&operator, "exchanged.wasm");
    let run = applied["applied_by"].as_str().unwrap();
    assert_eq!(sums(&operator, "commission_effective"), after);
    assert_ne!(before, after);
    let versions = "FROM unified.transaction_versions WHERE change = 'mapping-change'";
    let written = number(&operator, &format!("SELECT count(*) AS n {versions}"));
    assert_eq!(applied["changed"]["count"].as_u64(), Some(written));
    let moved = number(
        &operator,
        "SELECT count(*) AS n FROM unified.transaction_versions a JOIN unified.transaction_versions b
         ON a.transaction_key = b.transaction_key AND b.version = a.version + 1
         WHERE b.change = 'mapping-change' AND a.observed_at = b.observed_at AND a.request_id = b.request_id",
    );
    assert_eq!(moved, written, "what was observed when doesn't change with its reading");
    assert_eq!(replay(&operator, &["awin", "--connector", "exchanged.wasm", "--diff"])["empty"], true);
    let again = apply(&operator, "exchanged.wasm");
    assert_eq!(again["empty"], true);
    assert_eq!(number(&operator, &format!("SELECT count(*) AS n {versions}")), written);
    let replays = number(&operator, "SELECT count(*) AS n FROM meta.runs WHERE command = 'replay'");
    assert_eq!(replays, 2);
    operator.succeed(&["replay", "awin", "--rollback", run]).unwrap();
    assert_eq!(state(&operator), first);
    assert_eq!(replay(&operator, &["awin", "--diff"])["empty"], true);
    let unknown = operator.sluice(&["replay", "awin", "--rollback", "no-such-run"]).unwrap();
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.stderr.contains("hint: see `sluice runs`"), "{unknown:?}");
}

#[test]
fn rows_that_a_candidate_rejects_leave_the_sums_and_come_back() {
    let runtime = runtime();
    let (_simulator, operator) = lake_of(&runtime, &["awin"], 25);
    write_variant(&operator, "dateless", "transactionDate", "transactionTage");
    let (first, counted_first) = (state(&operator), counted(&operator));
    assert!(counted_first.iter().all(|count| *count > 0), "a view is empty: the test shows nothing: {counted_first:?}");
    let n = number(&operator, "SELECT count(*) AS n FROM unified.transactions");
    let applied = apply(&operator, "dateless.wasm");
    assert_eq!(applied["removed"]["count"].as_u64(), Some(n), "{applied}");
    assert!(applied["new_rejects"]["count"].as_u64() >= Some(n), "{applied}");
    assert!(sums(&operator, "commission_effective").iter().all(|(_, sum)| *sum == Micros(0)));
    assert_eq!(counted(&operator), [0, 0, 0, 0, 0], "nothing counts what was removed");
    let gone = operator.sql("SELECT transaction_key AS key FROM unified.transactions LIMIT 1").unwrap();
    let output = operator.succeed(&["explain", gone[0]["key"].as_str().unwrap()]).unwrap();
    assert!(output.contains("mapping-change") && output.contains("removed: this version of the connector"), "{output}");
    let rejects = number(&operator, "SELECT count(*) AS n FROM meta.rejects");
    assert_eq!(applied["new_rejects"]["count"].as_u64(), Some(rejects));
    assert_eq!(replay(&operator, &["awin", "--connector", "dateless.wasm", "--diff"])["empty"], true);
    // The way back by applying what was there, on top of what was applied.
    let sums_at_first = replay(&operator, &["awin", "--diff"]);
    assert_eq!(sums_at_first["changed"]["count"].as_u64(), Some(n), "{sums_at_first}");
    let back = replay(&operator, &["awin", "--apply"]);
    let run = |outcome: &Value| outcome["applied_by"].as_str().unwrap().to_owned();
    assert_eq!(replay(&operator, &["awin", "--diff"])["changed"]["count"], 0);
    let refused = operator.sluice(&["replay", "awin", "--rollback", &run(&applied)]).unwrap();
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("later versions follow"), "{refused:?}");
    operator.succeed(&["replay", "awin", "--rollback", &run(&back)]).unwrap();
    operator.succeed(&["replay", "awin", "--rollback", &run(&applied)]).unwrap();
    assert_eq!(state(&operator), first);
    assert_eq!(counted(&operator), counted_first);
}

/// How many transactions each view counts.
fn counted(operator: &Operator) -> [u64; 5] {
    [
        "count(*) AS n FROM unified.unpaid",
        "coalesce(sum(transactions), 0) AS n FROM unified.earnings_daily",
        "coalesce(sum(transactions), 0) AS n FROM unified.validation_latency",
        "count(*) AS n FROM unified.as_of(now())",
        "count(*) AS n FROM unified.live_transactions",
    ]
    .map(|count| number(operator, &format!("SELECT {count}")))
}

#[test]
fn an_apply_that_is_killed_is_completed_by_the_next() {
    let runtime = runtime();
    let (_simulator, mut operator) = lake_of(&runtime, &["awin"], 26);
    write_variant(&operator, "dateless", "transactionDate", "transactionTage");
    let first = state(&operator);
    let undisturbed = apply(&operator, "dateless.wasm")["applied_by"].as_str().unwrap().to_owned();
    let wanted = state(&operator);
    operator.succeed(&["replay", "awin", "--rollback", &undisturbed]).unwrap();
    assert_eq!(state(&operator), first);
    for step in ["files-written", "unified-committed", "rejects-committed"] {
        operator.set("SLUICE_STOP_AT", step);
        let killed = operator.sluice(&["replay", "awin", "--connector", "dateless.wasm", "--apply"]).unwrap();
        assert_eq!(killed.code, -1, "{step}: {killed:?}");
        operator.set("SLUICE_STOP_AT", "");
        if step != "files-written" {
            let run = application(&operator);
            assert!(number(&operator, "SELECT count(*) AS n FROM unified.transaction_versions WHERE version > 1") > 0);
            apply(&operator, "dateless.wasm");
            assert_eq!(state(&operator), wanted, "{step}");
            let second = number(&operator, "SELECT count(*) AS n FROM meta.rejects");
            assert!(second > 0);
            for run in [Some(run), last_replay(&operator)].into_iter().flatten() {
                // The second run wrote nothing if the first had committed everything.
                let undone = operator.sluice(&["replay", "awin", "--rollback", &run]).unwrap();
                assert!(undone.code == 0 || undone.stderr.contains("holds a replay of run"), "{undone:?}");
            }
        }
        assert_eq!(state(&operator), first, "{step}");
    }
}

/// The run of the last replay that committed to the table of versions, noted or not: its log says so.
fn application(operator: &Operator) -> String {
    let log = operator.join("lake/tables/unified/transaction_versions/_delta_log");
    let mut entries: Vec<_> = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    entries.sort();
    let text = std::fs::read_to_string(entries.last().unwrap()).unwrap();
    let (_, rest) = text.split_once("sluice-replay/").unwrap_or_else(|| panic!("no replay in {text}"));
    rest.split('"').next().unwrap().to_owned()
}

fn last_replay(operator: &Operator) -> Option<String> {
    let query = "SELECT run_id FROM meta.runs WHERE command = 'replay' ORDER BY started_at DESC LIMIT 1";
    Some(operator.sql(query).unwrap().first()?["run_id"].as_str()?.to_owned())
}
