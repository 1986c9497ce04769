//! Readers nobody here wrote read the lake's tables, and agree with `sluice sql` to the last decimal.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use chrono::{DateTime, TimeDelta, Utc};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Micros, Operator, Reader, runtime, whole_window};

const HISTORY_DAYS: u32 = 30;

/// Tables, and their decimal columns.
const TABLES: &[(&str, &[&str])] = &[
    ("unified.transaction_versions", &["sale_amount", "commission_amount", "commission_effective"]),
    ("unified.transactions", &["sale_amount", "commission_amount", "commission_effective"]),
    ("awin.transactions", &[]),
    ("tradetracker.transactions", &[]),
    ("meta.coverage", &[]),
];

fn start() -> DateTime<Utc> {
    "2025-11-10T12:00:00Z".parse().unwrap()
}

/// Every reader on every table against the binary.
fn all_agree(operator: &Operator, when: &str) {
    for (table, columns) in TABLES {
        let sums: Vec<String> =
            columns.iter().map(|name| format!(", CAST(sum({name}) AS VARCHAR) AS {name}")).collect();
        let answer = operator.sql(&format!("SELECT count(*) AS n{} FROM {table}", sums.concat())).unwrap();
        let rows = answer[0]["n"].as_u64().unwrap();
        assert!(rows > 0, "{table} {when} has no rows");
        let folder = operator.join("lake/tables").join(table.replace('.', "/"));
        for reader in Reader::ALL {
            let reading = reader.read(&folder, columns).unwrap();
            assert_eq!(reading.rows, rows, "{reader:?} on {table} {when}");
            for name in *columns {
                let ours = Micros::parse(answer[0][name].as_str().unwrap());
                assert_ne!(ours, Micros(0), "{name} of {table} {when} shows nothing");
                assert_eq!(Micros::parse(&reading.sums[*name]), ours, "{reader:?} on {name} of {table} {when}");
            }
        }
    }
}

#[test]
fn duckdb_polars_and_deltalake_agree_with_sluice() {
    let runtime = runtime();
    let options = Options { start: start(), history_days: HISTORY_DAYS, rows_per_day: 4, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let networks = ["awin", "tradetracker"];
    let operator = Operator::of(&simulator, &networks).unwrap();
    for _ in 0..4 {
        let window = whole_window(&simulator, start(), HISTORY_DAYS.into());
        for network in networks {
            operator.run(network, &window).unwrap();
        }
        simulator.advance(TimeDelta::days(4));
    }
    all_agree(&operator, "as written");
    let settings = std::fs::read_to_string(operator.join("sluice.toml")).unwrap();
    let eager = format!("{settings}[maintain]\nmin_files = 2\ncheckpoint_commits = 1\n");
    operator.write("sluice.toml", &eager).unwrap();
    let output = operator.succeed(&["maintain"]).unwrap();
    assert!(output.contains("merged into") && output.contains("a checkpoint written"), "{output}");
    all_agree(&operator, "merged and summed up in a checkpoint");
}
