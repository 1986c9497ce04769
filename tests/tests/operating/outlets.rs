//! What leaves the lake: tables in a PostgreSQL, and what is erased.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sluice_simulator::Options;
use sluice_tests::{Operator, PostgresServer, Simulated, broken_claims, check_exact, whole_window};

use crate::{console, shell, substituted};

const NETWORK: &str = "awin";
const HISTORY_DAYS: u32 = 20;

/// A network that was read.
fn read() -> Simulated {
    let start: DateTime<Utc> = "2026-02-10T12:00:00Z".parse().unwrap();
    let options = Options { start, history_days: HISTORY_DAYS, rows_per_day: 3, ..Options::default() };
    let world = Simulated::start(options, &[NETWORK]).unwrap();
    world.operator.run(NETWORK, &whole_window(&world.simulator, start, HISTORY_DAYS.into())).unwrap();
    world
}

#[test]
fn a_database_is_published_and_made_anew() {
    let (mut world, server) = (read(), PostgresServer::start().unwrap());
    let settings = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n\
                    [publish.reporting]\nurl = \"env:REPORTING_URL\"\n";
    world.operator.set("REPORTING_URL", &server.url());
    world.operator.write("sluice.toml", settings).unwrap();
    let sum = "count(*) AS n, CAST(sum(commission_effective) AS VARCHAR) AS s";
    let ours = world.operator.sql(&format!("SELECT {sum} FROM unified.transactions")).unwrap().remove(0);
    let ours = format!("{}|{}", ours["n"], ours["s"].as_str().unwrap());
    let theirs = || server.query(&format!("SELECT {sum} FROM sluice.transactions")).unwrap().remove(0);
    let block = console("sluice publish");
    let [publish, rebuild] = block.lines().collect::<Vec<_>>()[..] else { panic!("not two lines: {block}") };
    let printed = shell(&world.operator, publish);
    assert!(printed.starts_with("reporting: published anew up to version "), "{printed}");
    assert_eq!(theirs(), ours);
    let printed = shell(&world.operator, publish);
    assert!(printed.starts_with("reporting: nothing is new at version "), "{printed}");
    server.query("DELETE FROM sluice.transactions").unwrap();
    let printed = shell(&world.operator, rebuild);
    assert!(printed.starts_with("reporting: published anew up to version "), "{printed}");
    assert_eq!(theirs(), ours);
}

/// What the tables have of transactions and their versions.
fn identifiers(operator: &Operator) -> String {
    let columns = "order_id, sub_ids";
    let tables = ["transactions", "transaction_versions"].map(|table| format!("SELECT {columns} FROM unified.{table}"));
    tables.map(|query| Value::from(operator.sql(&query).unwrap()).to_string()).concat()
}

#[test]
fn identifiers_are_erased() {
    let world = read();
    let operator = &world.operator;
    let is_plain =
        |order: &String| order.starts_with("ORD-") && order.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let account = &world.simulator.accounts().iter().find(|account| account.network == NETWORK).unwrap().name;
    let order =
        world.simulator.truth(NETWORK, account).into_iter().filter_map(|row| row.order_id).find(is_plain).unwrap();
    let block = substituted(&console("sluice erase"), &[("ORD-1234567", &order)]);
    let has = |value: &str| identifiers(operator).contains(&format!("\"{value}\""));
    assert!(has(&order) && has("user-81723"), "{}", identifiers(operator));
    let (dry_run, erase) = block.split_once('\n').unwrap();
    let planned = shell(operator, dry_run);
    assert!(planned.contains("would be rewritten") && has(&order) && has("user-81723"), "{planned}");
    let erased = shell(operator, erase);
    assert!(erased.contains("rewritten"), "{erased}");
    assert!(!has(&order) && !has("user-81723"), "{}", identifiers(operator));
    assert_eq!(broken_claims(operator).unwrap(), Vec::<String>::new());
    check_exact(operator, &world.simulator, &[NETWORK]).unwrap();
}
