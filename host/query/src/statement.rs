//! One statement, and one that only reads.

use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::Statement as Ast;

use crate::depth;
use crate::dialect::LakeDialect;
use crate::error::Error;

/// The one statement of a text.
pub(crate) fn parse(sql: &str) -> Result<Statement, Error> {
    depth::check(sql, &LakeDialect)?;
    let parsed =
        DFParserBuilder::new(sql).with_dialect(&LakeDialect).build().and_then(|mut parser| parser.parse_statements());
    let mut statements = parsed.map_err(|error| syntax(sql, &error))?;
    if statements.len() > 1 {
        return Err(Error::Several { count: statements.len() });
    }
    let statement = statements.pop_front().ok_or(Error::Empty)?;
    if reads(&statement) {
        return Ok(statement);
    }
    Err(Error::NotReadOnly { statement: word(&statement.to_string()) })
}

/// The first word of a statement.
pub(crate) fn word(statement: &str) -> String {
    statement.split_whitespace().next().unwrap_or_default().to_uppercase()
}

/// Whether a statement is of a kind that only reads. What hides deeper is found in its plan.
fn reads(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(ast) => reads_ast(ast),
        Statement::Explain(explain) => reads(&explain.statement),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => false,
    }
}

pub(crate) fn reads_ast(statement: &Ast) -> bool {
    match statement {
        Ast::Query(_)
        | Ast::ExplainTable { .. }
        | Ast::ShowTables { .. }
        | Ast::ShowColumns { .. }
        | Ast::ShowFunctions { .. }
        | Ast::ShowCreate { .. }
        | Ast::ShowVariable { .. } => true,
        Ast::Explain { statement, .. } => reads_ast(statement),
        _ => false,
    }
}

/// Refuses a plan that would change something in a place that the statement's kind doesn't show.
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<(), Error> {
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    options.verify_plan(plan).map_err(|error| {
        // `DML not supported: Insert Into`
        let text = error.strip_backtrace();
        let statement = text.rsplit(": ").next().unwrap_or_default().to_uppercase();
        Error::NotReadOnly { statement }
    })
}

pub(crate) fn syntax(sql: &str, error: &DataFusionError) -> Error {
    let reason = match error {
        DataFusionError::SQL(parser, _) => parser.to_string(),
        DataFusionError::Diagnostic(_, inner) => return syntax(sql, inner),
        other => other.strip_backtrace(),
    };
    let reason = reason.strip_prefix("sql parser error: ").unwrap_or(&reason);
    let (reason, place) = match reason.rsplit_once(" at Line: ") {
        Some((what, place)) => (what, place.split_once(", Column: ")),
        None => (reason, None),
    };
    let place = place.and_then(|(line, column)| Some((line.parse::<usize>().ok()?, column.parse::<usize>().ok()?)));
    let what = lower_first(reason);
    match place {
        Some((line, column)) => {
            Error::Syntax { reason: format!("{what} at line {line}, column {column}"), near: near(sql, line, column) }
        }
        None => Error::Syntax { reason: what, near: None },
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Up to 40 characters from a place of the text on.
fn near(sql: &str, line: usize, column: usize) -> Option<String> {
    let line = sql.lines().nth(line.checked_sub(1)?)?;
    let rest: String = line.chars().skip(column.checked_sub(1)?).take(40).collect();
    (!rest.trim().is_empty()).then(|| rest.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn one_statement_may_end_in_a_semicolon() {
        assert!(parse("select 1;").is_ok());
        assert!(matches!(parse("select 1; select 2"), Err(Error::Several { count: 2 })));
        assert!(matches!(parse(" ;"), Err(Error::Empty)));
        assert!(matches!(parse("-- nothing"), Err(Error::Empty)));
    }

    #[test]
    fn what_changes_something_is_refused_by_its_word() {
        for (sql, word) in [
            ("insert into t values (1)", "INSERT"),
            ("delete from t", "DELETE"),
            ("update t set a = 1", "UPDATE"),
            ("create table t (a int)", "CREATE"),
            ("create view v as select 1", "CREATE"),
            ("create external table t stored as csv location '/etc/passwd'", "CREATE"),
            ("drop table t", "DROP"),
            ("copy t to '/tmp/x.csv'", "COPY"),
            ("explain copy (select 1) to '/tmp/x.csv'", "EXPLAIN"),
            ("set a = 1", "SET"),
            ("reset a", "RESET"),
            ("prepare p as select 1", "PREPARE"),
            ("begin", "BEGIN"),
            ("truncate table t", "TRUNCATE"),
        ] {
            match parse(sql) {
                Err(Error::NotReadOnly { statement }) => assert_eq!(statement, word, "{sql}"),
                other => panic!("{sql}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_reads_is_let_through() {
        for sql in [
            "select 1",
            "with a as (select 1) select * from a",
            "values (1)",
            "explain select 1",
            "explain analyze select 1",
            "describe meta.runs",
            "show tables",
        ] {
            parse(sql).expect(sql);
        }
    }

    #[test]
    fn a_syntax_error_names_its_place() {
        let error = parse("select a\nfrm t where").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("line 2, column"), "{text}");
        assert!(error.hint().is_some_and(|hint| hint.contains("t where")), "{:?}", error.hint());
    }
}
