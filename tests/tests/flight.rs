//! SQL over Flight SQL, as drivers of ADBC and Flight meet it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Value, json};
use sluice_tests::{Flight, FlightClient};

/// 38 digits, and two numbers whose sum has as many.
const WIDEST: &str = "99999999999999999999999999999999.999999";
const HALVES: [&str; 2] = ["12345678901234567890123456789012.123456", "87654321098765432109876543210987.654321"];
const SUM: &str = "99999999999999999999999999999999.777777";

fn question(sql: &str) -> Value {
    json!({"sql": sql})
}

fn given(sql: &str, values: &[Value], types: &[&str]) -> Value {
    json!({"sql": sql, "values": values, "types": types})
}

#[test]
fn drivers_get_what_sluice_sql_gives_with_every_digit() {
    let flight = Flight::start("").unwrap();
    let sums = |amount: &str| {
        format!(
            "SELECT account, {amount} AS amount, count(*) AS number FROM unified.live_transactions GROUP BY 1 ORDER BY 1"
        )
    };
    let expected = flight.api.operator.sql(&sums("CAST(sum(commission_effective) AS VARCHAR)")).unwrap();
    let cell = |row: &Value, name: &str| row[name].to_string().trim_matches('"').to_owned();
    let expected: Vec<Vec<String>> =
        expected.iter().map(|row| ["account", "amount", "number"].map(|name| cell(row, name)).to_vec()).collect();
    assert!(!expected.is_empty());
    let halves = HALVES.map(|half| format!("(CAST('{half}' AS DECIMAL(38, 6)))")).join(", ");
    let sum_of_halves = format!("SELECT CAST(sum(column1) AS DECIMAL(38, 6)) AS a FROM (VALUES {halves})");
    let many = "SELECT count(*) AS a, sum(value) AS b FROM generate_series(1, 100000)";
    let questions = json!([
        question(&sums("sum(commission_effective)")),
        question(&format!("SELECT CAST('{WIDEST}' AS DECIMAL(38, 6)) AS a, CAST('-{WIDEST}' AS DECIMAL(38, 6)) AS b")),
        question(&sum_of_halves),
        question(many),
        question("SELECT value FROM generate_series(1, 100000)"),
        question("SELECT 1 AS a WHERE false"),
        question("EXPLAIN SELECT 1"),
        question("SHOW TABLES"),
    ]);
    for client in [FlightClient::AdbcToken, FlightClient::AdbcLogin] {
        let answers = flight.ask(client, &flight.token, &questions).unwrap();
        assert_eq!(answers[0]["rows"], json!(expected), "{client:?}");
        assert_eq!(answers[1]["rows"], json!([[WIDEST, format!("-{WIDEST}")]]), "{client:?}: {}", answers[1]);
        assert_eq!(answers[1]["columns"]["a"], "decimal128(38, 6)", "{client:?}");
        assert_eq!(answers[2]["rows"], json!([[SUM]]), "{client:?}: {}", answers[2]);
        assert_eq!(answers[3]["rows"], json!([["100000", "5000050000"]]), "{client:?}: {}", answers[3]);
        assert_eq!(answers[4]["rows"].as_array().unwrap().len(), 100_000, "{client:?}");
        assert_eq!((&answers[5]["rows"], &answers[5]["columns"]), (&json!([]), &json!({"a": "int64"})), "{client:?}");
        for answer in &answers[6..] {
            assert!(!answer["rows"].as_array().unwrap().is_empty(), "{client:?}: {answer}");
        }
    }
}

#[test]
fn values_are_bound_and_keep_their_digits() {
    let flight = Flight::start("").unwrap();
    let by_network = "SELECT count(*) > 0 AS a FROM unified.transactions WHERE network = $1";
    let asked = [
        (given("SELECT CAST($1 AS DECIMAL(38, 6)) AS a", &[json!(WIDEST)], &["decimal"]), json!([[WIDEST]])),
        (given(by_network, &[json!("awin")], &["text"]), json!([["true"]])),
        (given(by_network, &[json!("a' OR '1'='1")], &["text"]), json!([["false"]])),
        (
            given(
                "SELECT count(*) > 0 AS a FROM unified.as_of($1)",
                &[json!("2001-01-01T00:00:00+00:00")],
                &["moment"],
            ),
            json!([["false"]]),
        ),
        (given("SELECT CAST($1 AS BIGINT) + 1 AS a", &[json!(41)], &["int"]), json!([["42"]])),
    ];
    let questions: Vec<&Value> = asked.iter().map(|(question, _)| question).collect();
    let answers = flight.ask(FlightClient::AdbcToken, &flight.token, &json!(questions)).unwrap();
    for ((question, expected), answer) in asked.iter().zip(&answers) {
        assert_eq!(answer["rows"], *expected, "{question}: {answer}");
    }
}

#[test]
fn only_a_token_lets_in() {
    let flight = Flight::start("").unwrap();
    let other = flight.api.token("other", "admin").unwrap();
    let questions =
        json!([question("SELECT 1 AS a"), {"info": true}, {"objects": "tables"}, {"update": "DROP TABLE t"}]);
    for token in ["sluice_0", "", "nonsense"] {
        for answer in flight.ask(FlightClient::AdbcToken, token, &questions).unwrap() {
            assert_eq!(answer["code"], "UNAUTHENTICATED", "{token}: {answer}");
        }
    }
    // A login is of the token's own name.
    let refused = flight.ask(FlightClient::AdbcLogin, &other, &questions).unwrap_err().to_string();
    assert!(refused.contains("no token that is known"), "{refused}");
    let answers = flight.ask(FlightClient::AdbcToken, &other, &json!([question("SELECT 1 AS a")])).unwrap();
    assert_eq!(answers[0]["rows"], json!([["1"]]), "an admin may read too");
    // A handle is of its token.
    let ticket = json!([{"sql": "SELECT 7 AS a", "only_ticket": true}]);
    let ticket = flight.ask(FlightClient::Plain, &flight.token, &ticket).unwrap().remove(0)["ticket"].clone();
    let asked = json!([{"ticket": ticket}]);
    assert_eq!(flight.ask(FlightClient::Plain, &flight.token, &asked).unwrap()[0]["rows"], json!([["7"]]));
    flight.api.operator.succeed(&["tokens", "remove", "analyst"]).unwrap();
    let answers = flight.ask(FlightClient::Plain, &flight.token, &asked).unwrap();
    assert_eq!(answers[0]["code"], "FlightUnauthenticatedError", "{}", answers[0]);
    let renewed = flight.api.token("analyst", "read").unwrap();
    assert_eq!(flight.ask(FlightClient::Plain, &renewed, &asked).unwrap()[0]["rows"], json!([["7"]]));
}

#[test]
fn nothing_can_be_changed_and_no_file_read() {
    let flight = Flight::start("").unwrap();
    let refused = [
        "INSERT INTO meta.runs VALUES (1)",
        "DELETE FROM unified.transactions",
        "UPDATE meta.runs SET network = 'x'",
        "DROP TABLE unified.transactions",
        "CREATE TABLE t (a int)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN ANALYZE DELETE FROM unified.transactions",
        "PREPARE p AS SELECT 1",
        "SELECT 1; SELECT 2",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_sleep(100)",
    ];
    let updates = refused.iter().map(|sql| json!({"update": sql}));
    let mut questions: Vec<Value> = refused.iter().map(|sql| question(sql)).chain(updates).collect();
    questions.push(question("SELECT count(*) > 0 AS a FROM unified.transactions"));
    let answers = flight.ask(FlightClient::AdbcToken, &flight.token, &json!(questions)).unwrap();
    let (last, answers) = answers.split_last().unwrap();
    for (question, answer) in questions.iter().zip(answers) {
        assert!(answer["code"].is_string(), "{question}: {answer}");
    }
    for answer in &answers[..7] {
        assert!(answer["error"].as_str().unwrap().contains("the lake is read-only"), "{answer}");
    }
    assert_eq!(last["rows"], json!([["true"]]));
}

#[test]
fn drivers_find_schemas_tables_and_columns() {
    let flight = Flight::start("").unwrap();
    let questions = json!([
        {"objects": "catalogs"},
        {"objects": "tables"},
        {"objects": "columns", "filter": "meta"},
        {"schema": ["unified", "transactions"]},
        {"info": true},
    ]);
    let answers = flight.ask(FlightClient::AdbcToken, &flight.token, &questions).unwrap();
    assert_eq!(answers[0]["objects"][0]["catalog_name"], "sluice", "{}", answers[0]);
    let schemas = answers[1]["objects"][0]["catalog_db_schemas"].as_array().unwrap();
    let mut found: Vec<(String, String, String)> = Vec::new();
    for schema in schemas {
        for table in schema["db_schema_tables"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            found.push((text(&schema["db_schema_name"]), text(&table["table_name"]), text(&table["table_type"])));
        }
    }
    let has = |schema: &str, name: &str, kind: &str| {
        found.iter().any(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str()) == (schema, name, kind))
    };
    assert!(has("unified", "transaction_versions", "TABLE") && has("awin", "transactions", "TABLE"), "{found:?}");
    assert!(has("unified", "earnings_daily", "VIEW") && has("meta", "gaps", "VIEW"), "{found:?}");
    let listed = flight.api.operator.sql("SHOW TABLES").unwrap();
    let listed = listed.iter().filter(|row| row["table_schema"] != "information_schema").count();
    assert_eq!(found.len(), listed);
    assert!(answers[2].to_string().contains("\"run_id\""), "{}", answers[2]);
    assert_eq!(answers[3]["columns"]["commission_effective"], "decimal128(18, 6)", "{}", answers[3]);
    assert_eq!(answers[4]["info"]["vendor_name"], "Sluice", "{}", answers[4]);
    assert_eq!(answers[4]["types"], json!(["TABLE", "VIEW"]), "{}", answers[4]);
}

#[test]
fn warnings_stand_in_a_header() {
    let mut flight = Flight::start("").unwrap();
    // What the service reads first leaves a gap behind what was read before.
    flight.api.service.wait_for(&["new versions"]).unwrap();
    let sql = "SELECT count(*) AS a FROM unified.transactions";
    let questions = json!([question(sql), question("SELECT 1 AS a")]);
    let answers = flight.ask(FlightClient::Plain, &flight.token, &questions).unwrap();
    let printed = flight.api.operator.sluice(&["sql", sql]).unwrap();
    let expected = printed.stderr.lines().filter(|line| line.starts_with("warning: ")).count();
    let header = answers[0]["warnings"][0].as_str().unwrap_or_else(|| panic!("{answers:?} {printed:?}"));
    let warnings: Vec<Value> = serde_json::from_str(header).unwrap();
    assert!(expected > 0 && warnings.len() == expected, "{header} {}", printed.stderr);
    assert_eq!(answers[1]["warnings"], json!([]));
}

#[test]
fn a_query_has_its_limits_and_the_service_ends_in_time() {
    let limits = "[limits]\nquery_secs = 5\nquery_memory_mb = 64\nquery_rows = 1000\n";
    let mut flight = Flight::start(limits).unwrap();
    let endless = "SELECT count(*) AS a FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b \
                   WHERE a.value % 7 = b.value % 11";
    let questions = json!([
        question(endless),
        question("SELECT * FROM generate_series(1, 100000)"),
        question("SELECT repeat('x', 2000000000) AS a"),
        question("SELECT array_agg(repeat('x', 1000000)) AS a FROM generate_series(1, 1000)"),
        question("SELECT 1 AS a"),
    ]);
    let answers = flight.ask(FlightClient::AdbcToken, &flight.token, &questions).unwrap();
    let error = |at: usize| answers[at]["error"].as_str().unwrap();
    assert!(error(0).contains("took longer than 5 s"), "{}", answers[0]);
    assert!(error(1).contains("more than 1000 rows"), "{}", answers[1]);
    assert!(answers[2]["code"].is_string() && answers[3]["code"].is_string(), "{} {}", answers[2], answers[3]);
    assert_eq!(answers[4]["rows"], json!([["1"]]));
    assert!(flight.api.service.is_alive());
    assert_eq!(flight.api.service.terminate().unwrap(), Some(0));
}
