//! Drivers of other languages: the same rows, every digit of a number, moments with their zone, errors with their codes.

use serde_json::{Value, json};
use sluice_tests::{Driver, Wire};

/// 38 digits, and sums of such.
const WIDEST: &str = "99999999999999999999999999999999.999999";
const HALVES: [&str; 2] = ["12345678901234567890123456789012.123456", "87654321098765432109876543210987.654321"];
const SUM: &str = "99999999999999999999999999999999.777777";

fn question(sql: &str) -> Value {
    json!({"sql": sql})
}

fn given(sql: &str, values: &[Value], types: &[&str]) -> Value {
    json!({"sql": sql, "values": values, "types": types})
}

/// What is the same by each driver: a question and the first row of its answer.
fn exact() -> Vec<(Value, Vec<Value>)> {
    let halves: Vec<String> = HALVES.iter().map(|half| format!("(CAST('{half}' AS DECIMAL(38, 6)))")).collect();
    let widest = format!("SELECT CAST('{WIDEST}' AS DECIMAL(38, 6)) AS a, CAST('-{WIDEST}' AS DECIMAL(38, 6)) AS b");
    let few = "SELECT CAST('0.000001' AS DECIMAL(38, 6)) AS a, CAST('10000' AS DECIMAL(38, 0)) AS b, \
               CAST(NULL AS DECIMAL(38, 6)) AS c";
    let about = "SELECT version() LIKE 'PostgreSQL 16%' AS a, current_database() AS b, current_schema() AS c, \
                 current_user AS d";
    let sum = format!("SELECT sum(column1) AS a FROM (VALUES {})", halves.join(", "));
    let asked = [
        (widest.as_str(), vec![json!(WIDEST), json!(format!("-{WIDEST}"))]),
        (&sum, vec![json!(SUM)]),
        (few, vec![json!("0.000001"), json!("10000"), Value::Null]),
        (about, vec![json!("true"), json!("sluice"), json!("unified"), json!("analyst")]),
    ];
    asked.into_iter().map(|(sql, row)| (question(sql), row)).chain(exact_values()).collect()
}

/// The same with values.
fn exact_values() -> Vec<(Value, Vec<Value>)> {
    let count = |more: &str| format!("SELECT count(*) > 0 AS a FROM {more}");
    let by_network = count("unified.transactions WHERE network = $1");
    let by_day = count("unified.transactions WHERE transaction_day > $1");
    let as_of = count("unified.as_of($1)");
    let sum = "SELECT $1::numeric(38, 6) + $2::numeric(38, 6) AS a";
    let mixed = "SELECT $1::int + 1 AS a, $2::boolean AS b, $3::text AS c";
    let last = "SELECT value AS a FROM generate_series(1, 10) ORDER BY 1 DESC LIMIT $1";
    let asked: [(&str, Vec<Value>, &[&str], Vec<Value>); 9] = [
        ("SELECT CAST($1 AS DECIMAL(38, 6)) AS a", vec![json!(WIDEST)], &["decimal"], vec![json!(WIDEST)]),
        (sum, vec![json!(HALVES[0]), json!(HALVES[1])], &["decimal", "decimal"], vec![json!(SUM)]),
        (&by_network, vec![json!("awin")], &["text"], vec![json!("true")]),
        (&by_network, vec![json!("a' OR '1'='1")], &["text"], vec![json!("false")]),
        (&by_day, vec![json!("2020-01-01")], &["date"], vec![json!("true")]),
        (&as_of, vec![json!("2999-01-01T00:00:00+00:00")], &["moment"], vec![json!("true")]),
        (&as_of, vec![json!("2001-01-01T00:00:00+00:00")], &["moment"], vec![json!("false")]),
        (
            mixed,
            vec![json!(41), json!(true), Value::Null],
            &["int", "bool", "text"],
            vec![json!("42"), json!("true"), Value::Null],
        ),
        (last, vec![json!(3)], &["int"], vec![json!("10")]),
    ];
    asked.into_iter().map(|(sql, values, types, row)| (given(sql, &values, types), row)).collect()
}

#[test]
fn every_driver_gets_the_same_rows_with_every_digit() {
    let wire = Wire::start("").unwrap();
    let sums = "SELECT commission_currency, sum(commission_effective) AS amount, sum(sale_amount) AS sale \
                FROM unified.live_transactions GROUP BY 1 ORDER BY 1";
    let expected: Vec<String> = wire.rows(sums).unwrap().lines().map(str::to_owned).collect();
    let all = exact();
    let mut questions: Vec<Value> = all.iter().map(|(question, _)| question.clone()).collect();
    questions.push(question(sums));
    for driver in Driver::ALL {
        let answers = wire.drive(driver, &wire.token, &json!(questions)).unwrap();
        for ((question, expected), answer) in all.iter().zip(&answers) {
            assert_eq!(answer["rows"][0], json!(expected), "{driver:?}: {question} {answer}");
        }
        let rows = answers.last().unwrap()["rows"].as_array().unwrap();
        let rows: Vec<String> = rows
            .iter()
            .map(|row| row.as_array().unwrap().iter().map(|cell| cell.as_str().unwrap()).collect::<Vec<_>>().join("|"))
            .collect();
        assert_eq!(rows, expected, "{driver:?}");
        if driver != Driver::Adbc {
            let warned = answers.last().unwrap()["notices"].as_array().unwrap();
            assert!(
                warned.iter().any(|notice| notice.as_str().unwrap().contains("may be missing")),
                "{driver:?}: {warned:?}"
            );
        }
    }
}

#[test]
fn values_have_the_types_of_their_columns() {
    let wire = Wire::start("").unwrap();
    let questions = json!([
        question(
            "SELECT TIMESTAMP '2026-03-29 01:30:00.000001' AS a, arrow_cast('2026-03-29T01:30:00.5+02:00', 'Timestamp(Microsecond, Some(\"UTC\"))') AS b, DATE '1969-12-31' AS c"
        ),
        question(
            "SELECT X'00ff' AS a, true AS b, CAST(1.5 AS DOUBLE) AS c, CAST(7 AS SMALLINT) AS d, make_array('a', NULL, 'b,\"c') AS e"
        ),
        question("SELECT named_struct('a', 1, 'b', 'x') AS a, make_array(named_struct('a', 1.25)) AS b"),
        given(
            "SELECT $1::timestamptz AS a, $2::date AS b",
            &[json!("2026-03-29T01:30:00.000001+02:00"), json!("2026-02-28")],
            &["moment", "date"]
        ),
        given(
            "SELECT count(*) AS a FROM unified.transactions WHERE network = ANY($1::text[])",
            &[json!(["cj", "nobody,\"else"])],
            &["texts"]
        ),
    ]);
    let expected = [
        json!(["2026-03-29T01:30:00.000001", "2026-03-28T23:30:00.500000+00:00", "1969-12-31"]),
        json!(["00ff", "true", "1.5", "7", "[\"a\", null, \"b,\\\"c\"]"]),
        json!([r#"{"a": 1, "b": "x"}"#, r#"[{"a": 1.25}]"#]),
        json!(["2026-03-28T23:30:00.000001+00:00", "2026-02-28"]),
        json!(["0"]),
    ];
    for driver in [Driver::Psycopg, Driver::PsycopgBinary, Driver::Asyncpg] {
        let answers = wire.drive(driver, &wire.token, &questions).unwrap();
        for (answer, expected) in answers.iter().zip(&expected) {
            let found = answer["rows"][0].clone();
            // asyncpg leaves JSON as text.
            let plain = |value: &Value| value.to_string().replace(": ", ":").replace(", ", ",");
            assert_eq!(plain(&found), plain(expected), "{driver:?}: {answer}");
        }
        assert_eq!(answers[0]["kinds"], json!(["datetime", "datetime", "date"]), "{driver:?}");
    }
}

#[test]
fn errors_have_codes_that_drivers_know() {
    let wire = Wire::start("").unwrap();
    let cases = [
        ("SELECT * FROM unified.transaction", "42P01"),
        ("SELECT nothing FROM unified.transactions", "42703"),
        ("SELEC 1", "42601"),
        ("DELETE FROM unified.transactions", "25006"),
        ("SELECT * FROM unified.as_of('yesterday')", "22P02"),
        ("SHOW nonsense", "42704"),
    ];
    let mut questions: Vec<Value> = cases.iter().map(|(sql, _)| question(sql)).collect();
    // The session goes on.
    questions.push(question("SELECT 1 AS a"));
    for driver in Driver::ALL {
        let answers = wire.drive(driver, &wire.token, &json!(questions)).unwrap();
        for ((sql, code), answer) in cases.iter().zip(&answers) {
            assert_eq!(answer["code"], *code, "{driver:?}: {sql}: {answer}");
        }
        assert_eq!(answers[cases.len()]["rows"], json!([["1"]]), "{driver:?}");
        let refused = wire.drive(driver, "sluice_wrong", &json!([])).unwrap_err().to_string();
        assert!(refused.contains("password authentication failed"), "{driver:?}: {refused}");
    }
}
