//! What tools ask when they connect: each statement is answered, and lists of tables and columns name the lake's.

use std::io::Write;
use std::process::Stdio;

use sluice_tests::{Wire, answer};

/// Statements of a tool, in the order in which it sends them: an empty line is between them. One after `-- tables of unified` or
/// `-- columns of unified` has to list those.
const TOOLS: [(&str, &str); 4] = [
    ("metabase", include_str!("startup/metabase.sql")),
    ("grafana", include_str!("startup/grafana.sql")),
    ("dbeaver", include_str!("startup/dbeaver.sql")),
    ("jdbc", include_str!("startup/jdbc.sql")),
];

#[test]
fn tools_find_schemas_tables_and_columns() {
    let wire = Wire::start("").unwrap();
    let mut failed = Vec::new();
    for (tool, statements) in TOOLS {
        for statement in statements.split("\n\n") {
            let answer = wire.ask(statement).unwrap();
            let wanted: &[&str] = match statement.lines().next().unwrap() {
                "-- tables of unified" => &["transactions", "earnings_daily", "transaction_versions"],
                "-- columns of unified" => &["transaction_key", "commission_effective", "sub_ids", "observed_at"],
                _ => &[],
            };
            let missing: Vec<_> = wanted.iter().filter(|name| !answer.stdout.contains(**name)).collect();
            if answer.code != 0 || !missing.is_empty() {
                failed.push(format!("{tool}: {statement}\n{}\nmissing: {missing:?}", answer.stderr));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn psql_describes_the_lake() {
    let wire = Wire::start("").unwrap();
    for (command, wanted) in [
        ("\\l", &["sluice"][..]),
        ("\\dn", &["unified", "meta", "awin", "raw"]),
        ("\\dt unified.*", &["transaction_versions"]),
        ("\\dv unified.*", &["earnings_daily", "live_transactions"]),
        (
            "\\d unified.transactions",
            &["commission_effective", "numeric", "timestamp with time zone", "transaction_key"],
        ),
        ("\\du", &[]),
        ("\\conninfo", &["analyst", "sluice"]),
    ] {
        let answer = answer(wire.psql("analyst", &wire.token, "sluice", &["-c", command])).unwrap();
        assert_eq!(answer.code, 0, "{command}: {}", answer.stderr);
        for name in wanted {
            assert!(answer.stdout.contains(name), "{command} lacks {name}:\n{}", answer.stdout);
        }
    }
}

#[test]
fn the_type_of_a_column_is_the_same_wherever_it_is_stated() {
    let wire = Wire::start("").unwrap();
    // By the row's description, which psql prints, and by the schema of information.
    let columns = wire.rows("SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'unified' AND table_name = 'transactions' ORDER BY ordinal_position").unwrap();
    let mut command = wire.psql("analyst", &wire.token, "sluice", &["-A", "-t", "-f", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let query = b"SELECT * FROM unified.transactions LIMIT 0 \\gdesc\n";
    child.stdin.take().unwrap().write_all(query).unwrap();
    let described = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let plain = |text: &str| text.lines().map(|line| line.split('(').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(plain(&described), plain(&columns));
}
