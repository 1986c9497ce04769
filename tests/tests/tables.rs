//! What registers the lake's tables elsewhere is SQL there, by a parser of each dialect; DuckDB runs it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, S3Server, python_tool, repository, runtime, whole_window};

/// Those that read files of their own machine, and those that don't.
const LOCAL: [&str; 5] = ["trino", "spark", "databricks", "duckdb", "clickhouse"];
const REMOTE: [&str; 4] = ["athena", "redshift-spectrum", "snowflake", "bigquery"];

/// A lake of a network, which `place` may put elsewhere.
fn operator(place: impl FnOnce(&mut Operator)) -> Operator {
    let runtime = runtime();
    let start = "2025-11-10T12:00:00Z".parse().unwrap();
    let options = Options { start, history_days: 10, rows_per_day: 2, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let mut operator = Operator::of(&simulator, &["awin"]).unwrap();
    place(&mut operator);
    operator.run("awin", &whole_window(&simulator, start, 10)).unwrap();
    operator
}

fn tables(operator: &Operator) -> Vec<String> {
    let text = operator.succeed(&["--output", "json", "tables"]).unwrap();
    let tables: Vec<Value> = serde_json::from_str(&text).unwrap();
    tables
        .iter()
        .map(|table| format!("{}.{}", table["schema"].as_str().unwrap(), table["name"].as_str().unwrap()))
        .collect()
}

/// The tables that an engine's statements register, as a parser of its dialect has it, and DuckDB's rows.
fn parsed(operator: &Operator, engine: &str) -> (Vec<String>, BTreeMap<String, u64>) {
    let json = operator.succeed(&["--output", "json", "tables", "--ddl", engine]).unwrap();
    let python = python_tool("python");
    let mut child = Command::new(&python)
        .arg(repository().join("tests/tools/dialects.py"))
        .arg(engine)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("no {}: run `just tools`: {error}", python.display()));
    child.stdin.take().unwrap().write_all(json.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{engine}: {}\n{json}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    (serde_json::from_value(answer["tables"].clone()).unwrap(), serde_json::from_value(answer["rows"].clone()).unwrap())
}

#[test]
fn engines_that_read_files_get_all_tables_and_duckdb_has_their_rows() {
    let operator = operator(|_| {});
    let tables = tables(&operator);
    for table in ["awin.transactions", "unified.transactions", "unified.transaction_versions", "meta.runs"] {
        assert!(tables.iter().any(|name| name == table), "{table}: {tables:?}");
    }
    for engine in LOCAL {
        assert_eq!(parsed(&operator, engine).0, tables, "{engine}");
    }
    let (_, rows) = parsed(&operator, "duckdb");
    assert_eq!(rows.len(), tables.len(), "{rows:?}");
    for table in ["awin.transactions", "unified.transactions", "meta.requests"] {
        let ours = operator.sql(&format!("SELECT count(*) AS n FROM {table}")).unwrap()[0]["n"].as_u64().unwrap();
        assert!(ours > 0 && rows[table] == ours, "{table}: {ours} {rows:?}");
    }
    for engine in REMOTE {
        let refused = operator.sluice(&["tables", "--ddl", engine]).unwrap();
        assert!(refused.code == 78 && refused.stderr.contains("reads object storage only"), "{engine}: {refused:?}");
    }
    let refused = operator.sluice(&["tables", "--ddl", "oracle"]).unwrap();
    assert_eq!(refused.code, 2, "{refused:?}");
}

#[test]
fn engines_that_read_buckets_get_all_tables() {
    let server = S3Server::start().unwrap();
    let operator = operator(|operator| server.hold_lake_of(operator, "some/prefix").unwrap());
    let tables = tables(&operator);
    for engine in LOCAL.iter().chain(&REMOTE) {
        assert_eq!(parsed(&operator, engine).0, tables, "{engine}");
    }
    let script = operator.succeed(&["tables", "--ddl", "redshift-spectrum", "--prefix", "sluice_"]).unwrap();
    assert!(
        script.contains("\"sluice_unified\".\"transactions\" ADD IF NOT EXISTS PARTITION (\"network\" = 'awin'"),
        "{script}"
    );
}

#[test]
fn redshift_gets_a_script_that_copies_the_files_of_the_snapshot() {
    let redshift = "[publish.warehouse]\ndialect = \"redshift\"\nnetworks = [\"awin\"]\n";
    let server = S3Server::start().unwrap();
    let operator = operator(|operator| server.hold_lake_of(operator, "lake").unwrap());
    let settings = std::fs::read_to_string(operator.join("sluice.toml")).unwrap();
    operator.write("sluice.toml", &format!("{settings}{redshift}")).unwrap();
    let script = operator.succeed(&["publish"]).unwrap();
    assert!(script.starts_with("BEGIN;\n") && script.contains("\nCOMMIT;\n"), "{script}");
    let copies = script.lines().filter(|line| line.starts_with("COPY sluice_staged (\"transaction_key\", \"account\""));
    let copies: Vec<&str> = copies.collect();
    assert!(!copies.is_empty(), "{script}");
    for copy in copies {
        assert!(copy.contains("/tables/unified/transaction_versions/network=awin/month=2025-1"), "{copy}");
    }
    operator.write("sluice.toml", &format!("[lake]\nurl = \"file:./other\"\n{redshift}")).unwrap();
    assert_eq!(operator.sluice(&["publish"]).unwrap().code, 78, "Redshift reads no files");
}

#[test]
fn an_empty_lake_has_nothing_to_register() {
    let operator = Operator::empty().unwrap();
    assert_eq!(operator.succeed(&["tables"]).unwrap(), "");
    let refused = operator.sluice(&["tables", "--ddl", "duckdb"]).unwrap();
    assert!(refused.code == 2 && refused.stderr.contains("no tables yet"), "{refused:?}");
}
