//! SQL over the wire, as clients of PostgreSQL meet it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "wire/drivers.rs"]
mod drivers;
#[path = "wire/limits.rs"]
mod limits;
#[path = "wire/tools.rs"]
mod tools;

use sluice_tests::{Wire, answer, state_rows};

#[test]
fn psql_sees_the_lake_and_what_an_answer_may_lack() {
    let wire = Wire::start("").unwrap();
    let sum = |amount: &str| {
        format!(
            "SELECT account, {amount} AS amount, count(*) AS number FROM unified.live_transactions GROUP BY 1 ORDER BY 1"
        )
    };
    let expected = wire.api.operator.sql(&sum("CAST(sum(commission_effective) AS VARCHAR)")).unwrap();
    let rows = wire.rows(&sum("sum(commission_effective)")).unwrap();
    assert!(!expected.is_empty() && rows.lines().count() == expected.len(), "{rows}");
    for (row, expected) in rows.lines().zip(&expected) {
        let text = |name: &str| expected[name].to_string().trim_matches('"').to_owned();
        assert_eq!(row, [text("account"), text("amount"), text("number")].join("|"));
    }
    // The stream of payments was never read, and a window of the future can't have been.
    let warned = wire.ask("SELECT count(*) FROM unified.transactions").unwrap();
    let expected = wire.api.operator.sluice(&["sql", "SELECT count(*) FROM unified.transactions"]).unwrap();
    let warnings = expected.stderr.lines().filter(|line| line.starts_with("warning: ")).count();
    assert_eq!(
        warned.stderr.lines().filter(|line| line.starts_with("WARNING:  ")).count(),
        warnings,
        "{}",
        expected.stderr
    );
    // Each query sees what was committed before it.
    let runs = || wire.rows("SELECT count(*) FROM meta.runs").unwrap();
    let before = runs();
    wire.api.operator.run("awin", &wire.api.window).unwrap();
    assert_ne!(runs(), before);
    assert_eq!(wire.rows("SELECT count(*) > 0 FROM unified.as_of(now())").unwrap(), "t");
    assert_eq!(wire.rows("SELECT count(*) FROM meta.runs AT (VERSION => 0)").unwrap(), "0");
}

#[test]
fn only_a_token_lets_in() {
    let wire = Wire::start("").unwrap();
    let other = wire.api.token("other", "admin").unwrap();
    let refused = |user: &str, password: &str, database: &str| {
        let answer = answer(wire.psql(user, password, database, &["-c", "SELECT 1"])).unwrap();
        assert_ne!(answer.code, 0, "{user}");
        answer.stderr
    };
    let message = "password authentication failed for user";
    for (user, password) in
        [("analyst", "sluice_0"), ("analyst", other.as_str()), ("nobody", wire.token.as_str()), ("analyst", "")]
    {
        let reported = refused(user, password, "sluice");
        assert!(reported.contains(message) || reported.contains("no password supplied"), "{reported}");
    }
    assert!(refused("analyst", &wire.token, "postgres").contains("database \"postgres\" does not exist"));
    assert!(
        answer(wire.psql("other", &other, "sluice", &["-c", "SELECT 1"])).unwrap().code == 0,
        "an admin may read too"
    );
    wire.api.operator.succeed(&["tokens", "remove", "other"]).unwrap();
    assert!(refused("other", &other, "sluice").contains(message));
    // What is kept lets nobody in.
    let kept = state_rows(&wire.api.operator, "SELECT scram FROM api_tokens WHERE name = 'analyst'").unwrap().remove(0);
    assert!(kept.starts_with("SCRAM-SHA-256$4096:"), "{kept}");
    assert!(refused("analyst", &kept, "sluice").contains(message));
}

#[test]
fn a_session_ends_when_its_token_is_removed() {
    use std::io::{BufRead, BufReader, Write};
    let wire = Wire::start("").unwrap();
    let token = wire.api.token("short", "read").unwrap();
    let mut command = wire.psql("short", &token, "sluice", &["-A", "-t"]);
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    writeln!(input, "SELECT 'first';").unwrap();
    output.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "first");
    wire.api.operator.succeed(&["tokens", "remove", "short"]).unwrap();
    writeln!(input, "SELECT 'second';").unwrap();
    drop(input);
    let ended = child.wait_with_output().unwrap();
    let reported = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && reported.contains("the token is there no more"), "{reported}");
}

#[test]
fn nothing_can_be_changed_and_no_file_read() {
    let wire = Wire::start("").unwrap();
    for (sql, reported) in [
        ("INSERT INTO meta.runs VALUES (1)", "cannot execute INSERT"),
        ("DELETE FROM unified.transactions", "cannot execute DELETE"),
        ("UPDATE meta.runs SET network = 'x'", "cannot execute UPDATE"),
        ("DROP TABLE unified.transactions", "cannot execute DROP"),
        ("CREATE TABLE t (a int)", "cannot execute CREATE"),
        ("CREATE VIEW v AS SELECT 1", "cannot execute CREATE"),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "ERROR"),
        ("COPY unified.transactions TO '/tmp/x'", "cannot execute COPY"),
        ("COPY (SELECT 1) TO STDOUT", "cannot execute COPY"),
        ("COPY unified.transactions FROM STDIN", "cannot execute COPY"),
        ("SELECT * FROM '/etc/passwd'", "ERROR"),
        ("SELECT * FROM read_csv('/etc/passwd')", "ERROR"),
        ("SELECT pg_read_file('/etc/passwd')", "ERROR"),
        ("SELECT pg_sleep(100)", "ERROR"),
        ("SELECT set_config('timezone', 'Europe/Berlin', false)", "ERROR"),
        ("SET timezone = 'Europe/Berlin'", "moments are in UTC"),
        ("SET search_path = awin", "write the schema before the table"),
        ("SET default_transaction_read_only = off", "nothing can be changed here"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "READ COMMITTED"),
        ("PREPARE p AS SELECT 1", "cannot execute PREPARE"),
        ("DECLARE c CURSOR FOR SELECT 1", "cannot execute DECLARE"),
        ("LISTEN c", "cannot execute LISTEN"),
        ("EXPLAIN ANALYZE DELETE FROM unified.transactions", "cannot execute"),
        ("WITH t AS (DELETE FROM unified.transactions RETURNING 1) SELECT * FROM t", "ERROR"),
        ("SELECT 1 INTO t", "ERROR"),
    ] {
        let answer = wire.ask(sql).unwrap();
        assert!(answer.code != 0 && answer.stderr.contains(reported), "{sql}: {}{}", answer.stdout, answer.stderr);
    }
    assert_eq!(wire.rows("SELECT count(*) > 0 FROM unified.transactions").unwrap(), "t");
}
