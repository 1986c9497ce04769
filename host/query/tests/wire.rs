//! Statements of PostgreSQL's clients: which are let through, what they mean, and the types of their parameters.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/lake.rs"]
mod support;

use arrow::datatypes::{DataType, TimeUnit};
use sluice_query::{Error, ParameterValue, PostgresStatement, Session};
use support::TestLake;

async fn session() -> (TestLake, Session) {
    let mut lake = TestLake::new();
    lake.append_versions("awin", &[("a", 1, "pending", 1_500_000), ("b", 1, "approved", 2_250_000)]).await;
    let session = lake.session().await.for_postgres("analyst").unwrap();
    (lake, session)
}

/// The first value of a query's answer as text, or its error.
async fn ask(session: &Session, sql: &str, values: &[&str]) -> Result<String, Error> {
    let mut statements = session.statements(sql).await?;
    let Some(PostgresStatement::Query(query)) = statements.pop() else { panic!("{sql} is no query") };
    let prepared = session.prepare(query, &[]).await?;
    let values: Vec<ParameterValue> = values.iter().map(|value| ParameterValue::Text((*value).to_owned())).collect();
    let batches = session.execute(&prepared, &values).await?.collect().await?;
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).expect("a row");
    Ok(arrow::util::display::array_value_to_string(batch.column(0), 0).unwrap())
}

#[tokio::test]
async fn what_reads_the_lake_is_planned_as_it_is_written() {
    let (_lake, session) = session().await;
    // The rewriting for system tables would answer NULL.
    let correlated = "SELECT (SELECT max(v.commission_effective) FROM unified.transaction_versions v WHERE v.transaction_key > t.transaction_key)
                      FROM unified.transaction_versions t ORDER BY 1 LIMIT 1";
    match ask(&session, correlated, &[]).await {
        Ok(value) => assert_eq!(value, "2.250000"),
        Err(error) => assert!(matches!(error, Error::Plan { .. } | Error::Run { .. }), "{error:?}"),
    }
    // There the name of a column is that of PostgreSQL, here it is as it is everywhere.
    for sql in [
        "SELECT count(*) FROM unified.transaction_versions",
        "WITH t AS (SELECT * FROM transaction_versions) SELECT count(*) FROM t",
    ] {
        assert_eq!(ask(&session, sql, &[]).await.unwrap(), "2", "{sql}");
    }
    let several = "SELECT (SELECT commission_effective FROM unified.transaction_versions)";
    assert!(ask(&session, several, &[]).await.is_err(), "a subquery of two rows is none of one");
}

#[tokio::test]
async fn system_tables_describe_the_lake() {
    let (_lake, session) = session().await;
    for (sql, expected) in [
        ("SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname IN ('unified', 'meta', 'raw')", "3"),
        ("SELECT relkind FROM pg_class WHERE relname = 'earnings_daily'", "v"),
        (
            "SELECT count(DISTINCT c.oid) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relname = 'transaction_versions'",
            "1",
        ),
        ("SELECT string_agg(datname, ',') FROM pg_database", "sluice"),
        (
            "SELECT data_type FROM information_schema.columns WHERE table_name = 'transaction_versions' AND column_name = 'commission_effective'",
            "numeric",
        ),
        (
            "SELECT udt_name FROM information_schema.columns WHERE table_name = 'transaction_versions' AND column_name = 'observed_at'",
            "timestamptz",
        ),
        ("SELECT count(*) FROM information_schema.table_constraints", "0"),
        ("SELECT pg_catalog.current_database() || current_schema", "sluiceunified"),
        ("SELECT current_user", "analyst"),
    ] {
        assert_eq!(ask(&session, sql, &[]).await.unwrap(), expected, "{sql}");
    }
}

#[tokio::test]
async fn types_of_parameters_are_found() {
    let (_lake, session) = session().await;
    let moment = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    for (sql, expected) in [
        (
            "SELECT * FROM unified.transaction_versions WHERE network = $1 AND version > $2",
            vec![DataType::Utf8, DataType::Int64],
        ),
        (
            "SELECT * FROM unified.transaction_versions WHERE commission_effective > $1",
            vec![DataType::Decimal128(38, 0)],
        ),
        ("SELECT * FROM unified.transaction_versions WHERE observed_at < $1", vec![moment()]),
        ("SELECT $1::date, $2::boolean, $3", vec![DataType::Date32, DataType::Boolean, DataType::Utf8]),
        ("SELECT 1 LIMIT $1 OFFSET $2", vec![DataType::Int64, DataType::Int64]),
        ("SELECT * FROM unified.restatements($1, $2)", vec![moment(), moment()]),
    ] {
        let Some(PostgresStatement::Query(query)) = session.statements(sql).await.unwrap().pop() else {
            panic!("{sql}")
        };
        assert_eq!(session.prepare(query, &[]).await.unwrap().parameters(), expected, "{sql}");
    }
    let sum = "SELECT sum(commission_effective) FROM unified.transaction_versions WHERE commission_effective > $1";
    assert_eq!(ask(&session, sum, &["1.499999"]).await.unwrap(), "3.750000");
    assert_eq!(ask(&session, sum, &["1.5"]).await.unwrap(), "2.250000");
    let injected = "SELECT count(*) FROM unified.transaction_versions WHERE network = $1";
    assert_eq!(ask(&session, injected, &["' OR ''='"]).await.unwrap(), "0");
    assert!(matches!(ask(&session, injected, &[]).await, Err(Error::Parameters { given: 0, wanted: 1 })));
    assert!(matches!(ask(&session, sum, &["a lot"]).await, Err(Error::Parameter { number: 1, .. })));
}

/// `q'[it's]'` is a text of the lake's own grammar, and none of PostgreSQL's.
#[tokio::test]
async fn a_statement_of_either_grammar_that_is_too_deep_is_refused() {
    let (_lake, session) = session().await;
    let chain = " + 1".repeat(2_000);
    for sql in [format!("select 1{chain}"), format!("select q'[it's]', 1{chain}")] {
        assert!(matches!(session.statements(&sql).await, Err(Error::TooDeep { .. })), "{}", &sql[..30]);
    }
    assert_eq!(session.statements("select q'[it's]', 1 + 1").await.unwrap().len(), 1);
}

#[tokio::test]
async fn statements_are_allowed_by_their_kind() {
    use PostgresStatement as S;
    let (_lake, session) = session().await;
    let set = |name: &str, value: Option<&str>| S::Set { name: name.to_owned(), value: value.map(str::to_owned) };
    for (sql, expected) in [
        ("BEGIN", S::Begin),
        ("START TRANSACTION READ ONLY", S::Begin),
        ("END", S::Commit),
        ("ROLLBACK", S::Rollback),
        ("SET extra_float_digits = 3", set("extra_float_digits", Some("3"))),
        ("SET SESSION application_name TO 'a b'", set("application_name", Some("a b"))),
        ("SET TIME ZONE 'UTC'", set("timezone", Some("UTC"))),
        ("RESET statement_timeout", set("statement_timeout", None)),
        ("SHOW TIME ZONE", S::Show { name: "timezone".to_owned() }),
        ("SHOW TRANSACTION ISOLATION LEVEL", S::Show { name: "transaction_isolation".to_owned() }),
        ("RESET ALL", S::ResetAll),
        ("DISCARD ALL", S::Discard),
        ("DEALLOCATE ALL", S::Deallocate { name: None }),
        ("DEALLOCATE p1", S::Deallocate { name: Some("p1".to_owned()) }),
        ("UNLISTEN *", S::Nothing { tag: "UNLISTEN" }),
        ("CLOSE ALL", S::Nothing { tag: "CLOSE CURSOR ALL" }),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED", S::Nothing { tag: "SET" }),
    ] {
        assert_eq!(session.statements(sql).await.unwrap(), [expected], "{sql}");
    }
    assert_eq!(session.statements("BEGIN; SELECT 1; COMMIT").await.unwrap().len(), 3);
    assert_eq!(session.statements(" ; ").await.unwrap(), []);
    for sql in ["SET ROLE postgres", "SET SESSION AUTHORIZATION postgres", "SET (a, b) = (1, 2)"] {
        assert!(session.statements(sql).await.is_err(), "{sql}");
    }
    for sql in ["BEGIN ISOLATION LEVEL REPEATABLE READ", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"] {
        assert!(matches!(session.statements(sql).await, Err(Error::Isolation { .. })), "{sql}");
    }
    for sql in [
        "SELECT 1; DELETE FROM t",
        "VACUUM",
        "CALL f()",
        "GRANT SELECT ON t TO u",
        "LOCK TABLE t",
        "MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE",
    ] {
        assert!(session.statements(sql).await.is_err(), "{sql}");
    }
}
