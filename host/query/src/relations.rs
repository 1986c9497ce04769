//! Relations of a statement that are more than a table's name: functions of moments, and tables as they were.
//!
//! DataFusion's planner drops a relation's version in silence and calls table functions before anything can be
//! read, so each such relation gets a name of its own before planning, and its table is opened then.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArguments, Ident, ObjectName,
    TableAlias, TableFactor, TableVersion, VisitMut, VisitorMut,
};

use crate::error::Error;
use crate::views::MomentsView;
use crate::{CATALOG, DEFAULT_SCHEMA};

/// Which state of a table is queried, not yet evaluated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TableState {
    /// That of this version.
    Version(Expr),
    /// That at this moment.
    Moment(Expr),
}

/// What a relation reads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// A table or view, by schema and name.
    Table(String, String),
    /// A view of moments, with its arguments.
    Moments(MomentsView, Vec<Expr>),
}

/// A relation that was given a name of its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Relation {
    /// The name, in the default schema.
    pub(crate) stand_in: String,
    /// What it reads.
    pub(crate) source: Source,
    /// Which state of it; none for the newest.
    pub(crate) state: Option<TableState>,
}

/// The table that a stand-in reads, by schema and name; the same name for any other table.
pub(crate) fn behind(schema: &str, name: &str) -> (String, String) {
    let named = name.split_once('@').and_then(|(table, _)| table.split_once('.'));
    let (schema, name) = named.unwrap_or((schema, name));
    (schema.to_owned(), name.to_owned())
}

/// Gives relations that are more than a name one of their own.
pub(crate) fn replace(statement: &mut Statement) -> Result<Vec<Relation>, Error> {
    let mut replacer = Replacer::default();
    let outcome = match innermost(statement) {
        Statement::Statement(ast) => ast.visit(&mut replacer),
        _ => ControlFlow::Continue(()),
    };
    match outcome {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(replacer.relations),
    }
}

fn innermost(statement: &mut Statement) -> &mut Statement {
    match statement {
        Statement::Explain(explain) => innermost(&mut explain.statement),
        other => other,
    }
}

#[derive(Default)]
struct Replacer {
    relations: Vec<Relation>,
}

impl VisitorMut for Replacer {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match self.replace(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Replacer {
    fn replace(&mut self, factor: &mut TableFactor) -> Result<(), Error> {
        let TableFactor::Table { name, alias, args, version, .. } = factor else { return Ok(()) };
        if args.is_none() && version.is_none() {
            return Ok(());
        }
        let (schema, table) = schema_and_name(name);
        let source = match args.as_ref() {
            None => Source::Table(schema.unwrap_or_else(|| DEFAULT_SCHEMA.to_owned()), table.clone()),
            Some(arguments) => {
                let ours = schema.as_deref().is_none_or(|schema| schema == DEFAULT_SCHEMA);
                match MomentsView::named(&table).filter(|_| ours) {
                    Some(view) => Source::Moments(view, expressions(view, &arguments.args)?),
                    // DataFusion's own have one name, and no versions.
                    None if schema.is_none() && version.is_none() => return Ok(()),
                    None => return Err(Error::UnknownFunction { name: name.to_string() }),
                }
            }
        };
        let state = version.take().map(|version| table_state(&version)).transpose()?;
        *args = None;
        let (schema, last) = match &source {
            Source::Table(schema, name) => (schema.as_str(), name.as_str()),
            Source::Moments(view, _) => (DEFAULT_SCHEMA, view.name()),
        };
        let stand_in = format!("{schema}.{last}@{}", self.relations.len() + 1);
        if alias.is_none() {
            let name = Ident::with_quote('"', last);
            *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
        }
        *name = ObjectName::from(vec![Ident::with_quote('"', &stand_in)]);
        self.relations.push(Relation { stand_in, source, state });
        Ok(())
    }
}

/// Schema and name, without the catalogue, in lower case where they have no quotes.
fn schema_and_name(name: &ObjectName) -> (Option<String>, String) {
    let mut parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(normal).collect();
    let table = parts.pop().unwrap_or_default();
    if parts.first().is_some_and(|first| first == CATALOG) {
        parts.remove(0);
    }
    ((!parts.is_empty()).then(|| parts.join(".")), table)
}

fn normal(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn expressions(view: MomentsView, arguments: &[FunctionArg]) -> Result<Vec<Expr>, Error> {
    let wanted = view.arguments();
    let wrong = || Error::Arguments { function: view.full_name(), wanted: wanted.join(" and "), usage: view.usage() };
    if arguments.len() != wanted.len() {
        return Err(wrong());
    }
    arguments
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Ok(expression.clone()),
            _ => Err(wrong()),
        })
        .collect()
}

/// `FOR SYSTEM_TIME AS OF e`, `TIMESTAMP AS OF e`, `VERSION AS OF n`, `AT (TIMESTAMP => e)` and `AT (VERSION => n)`.
fn table_state(version: &TableVersion) -> Result<TableState, Error> {
    let unknown = || Error::UnknownVersionClause { clause: version.to_string() };
    match version {
        TableVersion::ForSystemTimeAsOf(moment) | TableVersion::TimestampAsOf(moment) => {
            Ok(TableState::Moment(moment.clone()))
        }
        TableVersion::VersionAsOf(number) => Ok(TableState::Version(number.clone())),
        TableVersion::Function(Expr::Function(function)) => at(function).ok_or_else(unknown),
        TableVersion::Function(_) | TableVersion::Changes { .. } => Err(unknown()),
    }
}

fn at(function: &Function) -> Option<TableState> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let [FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), operator: FunctionArgOperator::RightArrow }] =
        list.args.as_slice()
    else {
        return None;
    };
    let is_at = function.name.to_string().eq_ignore_ascii_case("at");
    match name.value.to_lowercase().as_str() {
        "timestamp" if is_at => Some(TableState::Moment(value.clone())),
        "version" if is_at => Some(TableState::Version(value.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::statement;

    fn replaced(sql: &str) -> Result<(String, Vec<Relation>), Error> {
        let mut statement = statement::parse(sql)?;
        let relations = replace(&mut statement)?;
        Ok((statement.to_string(), relations))
    }

    #[test]
    fn a_table_as_it_was_gets_a_name_of_its_own_and_keeps_its_old_one_as_alias() {
        for clause in [
            "AT (VERSION => 3)",
            "at(version => 3)",
            "VERSION AS OF 3",
            "AT (TIMESTAMP => '2026-01-01')",
            "AT (TIMESTAMP => TIMESTAMP '2026-01-01T00:00:00Z')",
            "AT (TIMESTAMP => now() - INTERVAL '1 day')",
            "FOR SYSTEM_TIME AS OF '2026-01-01'",
            "TIMESTAMP AS OF '2026-01-01'",
        ] {
            let (sql, relations) =
                replaced(&format!("SELECT Transactions.version FROM Transactions {clause}")).unwrap();
            assert_eq!(
                sql, "SELECT Transactions.version FROM \"unified.transactions@1\" AS \"transactions\"",
                "{clause}"
            );
            assert_eq!(relations[0].source, Source::Table("unified".to_owned(), "transactions".to_owned()));
            let version = clause.to_lowercase().contains("version");
            assert_eq!(matches!(relations[0].state, Some(TableState::Version(_))), version, "{clause}");
        }
    }

    #[test]
    fn relations_are_found_wherever_they_stand() {
        let sql = "EXPLAIN WITH a AS (SELECT * FROM sluice.awin.transactions VERSION AS OF 1) SELECT * FROM a JOIN \
                   unified.as_of('2026-01-01') b USING (k) WHERE EXISTS (SELECT 1 FROM restatements('a', 'b'))";
        let (sql, relations) = replaced(sql).unwrap();
        let names: Vec<&str> = relations.iter().map(|relation| relation.stand_in.as_str()).collect();
        assert_eq!(names.len(), 3, "{sql}");
        assert!(names.contains(&"awin.transactions@1"), "{names:?}");
        assert!(sql.contains("@2\" b USING") && sql.contains("AS \"restatements\""), "{sql}");
    }

    #[test]
    fn other_relations_stay() {
        for sql in ["SELECT * FROM t", "SELECT * FROM generate_series(1, 3)", "SELECT * FROM (SELECT 1) AS x"] {
            assert_eq!(replaced(sql).unwrap(), (sql.to_owned(), vec![]), "{sql}");
        }
    }

    #[test]
    fn a_stand_in_names_its_table() {
        assert_eq!(behind("unified", "awin.transactions@2"), ("awin".to_owned(), "transactions".to_owned()));
        assert_eq!(behind("awin", "transactions"), ("awin".to_owned(), "transactions".to_owned()));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for sql in [
            "SELECT * FROM t BEFORE (TIMESTAMP => '2026-01-01')",
            "SELECT * FROM t AT (OFFSET => -60)",
            "SELECT * FROM t AT ('2026-01-01')",
        ] {
            assert!(matches!(replaced(sql), Err(Error::UnknownVersionClause { .. })), "{sql}: {:?}", replaced(sql));
        }
        for sql in ["SELECT * FROM as_of()", "SELECT * FROM as_of('a', 'b')", "SELECT * FROM as_of(ts => 'a')"] {
            assert!(matches!(replaced(sql), Err(Error::Arguments { .. })), "{sql}: {:?}", replaced(sql));
        }
        let unknown = replaced("SELECT * FROM unified.asof('2026-01-01')");
        assert!(matches!(unknown, Err(Error::UnknownFunction { .. })), "{unknown:?}");
    }
}
