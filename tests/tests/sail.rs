//! Sail spreads a query over workers: over a lake on S3 its answers are those of `sluice sql` to the last decimal.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{
    ASKED_TRANSACTION, Operator, QUESTIONS, S3Server, SailAnswers, naming_tables, runtime, sail_table, sorted_lines,
    whole_window,
};

const HISTORY_DAYS: u32 = 30;
const PREFIX: &str = "asked/by-sail";

fn start() -> DateTime<Utc> {
    "2025-12-20T12:00:00Z".parse().unwrap()
}

#[test]
fn sail_answers_as_sluice_does() {
    let runtime = runtime();
    let options = Options { start: start(), history_days: HISTORY_DAYS, rows_per_day: 4, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let server = S3Server::start().unwrap();
    let networks = ["awin", "tradetracker"];
    let mut operator = Operator::of(&simulator, &networks).unwrap();
    server.hold_lake_of(&mut operator, PREFIX).unwrap();
    for _ in 0..3 {
        let window = whole_window(&simulator, start(), HISTORY_DAYS.into());
        for network in networks {
            operator.run(network, &window).unwrap();
        }
        simulator.advance(TimeDelta::days(6));
    }

    let most_changed = operator
        .sql(
            "SELECT transaction_id AS id FROM unified.transaction_versions WHERE month = '2025-12'
             GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1",
        )
        .unwrap();
    let id = most_changed[0]["id"].as_str().unwrap();
    let questions = QUESTIONS.map(|(name, sql)| (name.to_owned(), sql.replace(ASKED_TRANSACTION, id)));
    let for_sail: BTreeMap<String, String> = questions
        .iter()
        .map(|(name, sql)| {
            let sql = naming_tables(sql, |schema, table| Ok(sail_table(PREFIX, schema, table)));
            (name.clone(), sql.unwrap())
        })
        .collect();
    let theirs = SailAnswers::of(&server, &for_sail, 1).unwrap();
    assert_eq!(theirs.workers, 2);
    for (name, sql) in questions {
        let sql = naming_tables(&sql, |schema, table| Ok(format!("{schema}.{table}"))).unwrap();
        let ours = operator.succeed(&["sql", &sql, "--format", "csv"]).unwrap();
        let (_, ours) = ours.split_once('\n').unwrap();
        assert!(ours.lines().count() > 1, "`{name}` shows little: {ours}");
        // Engines put nulls at different ends of an order.
        assert_eq!(sorted_lines(&theirs.answers[&name].rows), sorted_lines(ours), "{name}");
    }
}
