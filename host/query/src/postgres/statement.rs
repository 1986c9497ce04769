//! Statements of a session: queries, and those that set up a session or frame a transaction, which change nothing here.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::error::DataFusionError;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CloseCursor, Expr, Function, FunctionArguments, Ident, ObjectName, ObjectNamePart, Reset, Set,
    Statement as Ast, TableFactor, TransactionIsolationLevel, TransactionMode, Value, ValueWithSpan, VisitMut,
    VisitorMut, With,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion_pg_catalog::pg_catalog::PG_CATALOG_TABLES;

use super::{PG_CATALOG, Postgres};
use crate::depth;
use crate::dialect::LakeDialect;
use crate::error::Error;
use crate::statement::{reads_ast, syntax, word};
use crate::views::MomentsView;

/// A statement that a session may make.
#[derive(Clone, Debug, PartialEq)]
pub enum PostgresStatement {
    /// One that gives rows.
    Query(Query),
    /// `BEGIN`: each query in the transaction reads the newest commit all the same.
    Begin,
    /// `COMMIT` or `END`.
    Commit,
    /// `ROLLBACK`.
    Rollback,
    /// `SET name = value`; no value: its default.
    Set {
        /// The parameter, in lower case.
        name: String,
        /// Its value, without quotes.
        value: Option<String>,
    },
    /// `RESET ALL`.
    ResetAll,
    /// `SHOW name`.
    Show {
        /// The parameter, in lower case.
        name: String,
    },
    /// `DEALLOCATE`; no name: all.
    Deallocate {
        /// The prepared statement.
        name: Option<String>,
    },
    /// `DISCARD ALL` and its like: prepared statements and parameters.
    Discard,
    /// A statement about what no session has: a savepoint, channels that aren't listened to, cursors.
    Nothing {
        /// The command that a client gets as its name.
        tag: &'static str,
    },
}

/// A query, not yet planned.
#[derive(Clone, Debug, PartialEq)]
pub struct Query(pub(super) Box<Ast>);

impl Query {
    /// A query of the lake's own dialect that may have parameters.
    ///
    /// # Errors
    /// What can't be parsed; what isn't a query, and `EXPLAIN`, which has no parameters.
    pub(crate) fn of_lake(sql: &str) -> Result<Self, Error> {
        match crate::statement::parse(sql)? {
            Statement::Statement(ast) => Ok(Self(ast)),
            other => Err(Error::Unsupported { what: format!("{} with parameters", word(&other.to_string())) }),
        }
    }
}

impl Postgres {
    /// The statements of a text.
    ///
    /// # Errors
    /// What can't be parsed; a statement that isn't of these.
    pub(crate) fn statements(&self, sql: &str) -> Result<Vec<PostgresStatement>, Error> {
        let parsed = parse(sql)?;
        let rewritten = self.parser.parse(sql).ok().filter(|rewritten| rewritten.len() == parsed.len());
        let mut rewritten = rewritten.into_iter().flatten();
        parsed.into_iter().map(|ast| statement(ast, rewritten.next())).collect()
    }
}

/// By PostgreSQL's grammar, and by ours where that has no such thing: `t AT (VERSION => 3)`.
fn parse(sql: &str) -> Result<Vec<Ast>, Error> {
    depth::check(sql, &PostgreSqlDialect {})?;
    let postgres: Result<Vec<Ast>, ParserError> =
        Parser::new(&PostgreSqlDialect {}).try_with_sql(sql).and_then(|mut parser| parser.parse_statements());
    postgres.or_else(|_| {
        // What PostgreSQL has no tokens for was not looked at.
        depth::check(sql, &LakeDialect)?;
        let ours = Parser::new(&LakeDialect).try_with_sql(sql).and_then(|mut parser| parser.parse_statements());
        ours.map_err(|error| syntax(sql, &DataFusionError::SQL(Box::new(error), None)))
    })
}

/// `rewritten`: the same by `datafusion-pg-catalog`.
fn statement(ast: Ast, rewritten: Option<Ast>) -> Result<PostgresStatement, Error> {
    use PostgresStatement as S;
    Ok(match ast {
        Ast::StartTransaction { modes, .. } => {
            check_modes(&modes)?;
            S::Begin
        }
        Ast::Commit { chain: false, .. } => S::Commit,
        Ast::Rollback { chain: false, savepoint: None } => S::Rollback,
        Ast::Rollback { chain: false, savepoint: Some(_) } => S::Nothing { tag: "ROLLBACK" },
        Ast::Savepoint { .. } => S::Nothing { tag: "SAVEPOINT" },
        Ast::ReleaseSavepoint { .. } => S::Nothing { tag: "RELEASE" },
        Ast::Close { cursor: CloseCursor::All } => S::Nothing { tag: "CLOSE CURSOR ALL" },
        Ast::UNLISTEN { .. } => S::Nothing { tag: "UNLISTEN" },
        Ast::Set(set) => set_parameter(set)?,
        Ast::Reset(reset) => match reset.reset {
            Reset::ALL => S::ResetAll,
            Reset::ConfigurationParameter(name) => S::Set { name: lower(&name.to_string()), value: None },
        },
        Ast::ShowVariable { variable } => S::Show { name: shown(&variable) },
        Ast::Deallocate { name, .. } => {
            let is_all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            S::Deallocate { name: (!is_all).then_some(name.value) }
        }
        Ast::Discard { .. } => S::Discard,
        ast if reads_ast(&ast) => S::Query(query(ast, rewritten)),
        other => return Err(Error::NotReadOnly { statement: word(&other.to_string()) }),
    })
}

/// A query as it is planned: as it is written if it reads the lake, rewritten if not.
fn query(mut ast: Ast, rewritten: Option<Ast>) -> Query {
    let mut names = Names::default();
    let _ = ast.visit(&mut names);
    match rewritten {
        Some(mut rewritten) if !names.reads_lake() => {
            let _ = rewritten.visit(&mut SystemQuery);
            Query(Box::new(rewritten))
        }
        _ => Query(Box::new(ast)),
    }
}

/// What `datafusion-pg-catalog` leaves in queries of system tables that DataFusion can't plan.
struct SystemQuery;

impl VisitorMut for SystemQuery {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        match expression {
            // `ARRAY(SELECT …)`, as psql asks for the roles of a role: there are none.
            Expr::Function(Function { name, args: FunctionArguments::Subquery(_), .. })
                if name.to_string().eq_ignore_ascii_case("array") =>
            {
                *expression =
                    call("make_array", vec![Expr::Value(Value::SingleQuotedString(String::new()).with_empty_span())]);
            }
            // A function's number, where the system tables have its name: none is `-`, as PostgreSQL prints it.
            Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::NotEq, right }
                if is_function_column(left) =>
            {
                if matches!(right.as_ref(), Expr::Value(ValueWithSpan { value: Value::Number(number, _), .. }) if number == "0")
                {
                    **right = Expr::Value(Value::SingleQuotedString("-".to_owned()).with_empty_span());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Columns of `pg_type` that hold functions.
fn is_function_column(expression: &Expr) -> bool {
    let name = match expression {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(names) => names.last(),
        _ => None,
    };
    name.is_some_and(|name| {
        ["typinput", "typoutput", "typreceive", "typsend"].contains(&name.value.to_lowercase().as_str())
    })
}

/// Only weaker ones than what a session gives: each query reads one commit, the next one maybe another.
fn check_modes(modes: &[TransactionMode]) -> Result<(), Error> {
    for mode in modes {
        if let TransactionMode::IsolationLevel(level) = mode
            && !matches!(level, TransactionIsolationLevel::ReadUncommitted | TransactionIsolationLevel::ReadCommitted)
        {
            return Err(Error::Isolation { level: level.to_string() });
        }
    }
    Ok(())
}

fn set_parameter(set: Set) -> Result<PostgresStatement, Error> {
    let unsupported = |set: &Set| Err(Error::Unsupported { what: set.to_string() });
    let assignment = |name: &str, value: Option<String>| PostgresStatement::Set { name: name.to_owned(), value };
    Ok(match set {
        Set::SingleAssignment { variable, values, hivevar: false, .. } => {
            let texts: Vec<String> = values.iter().map(text).collect();
            let is_default = matches!(values.as_slice(), [Expr::Identifier(word)] if is_default(word));
            assignment(&lower(&variable.to_string()), (!is_default).then(|| texts.join(", ")))
        }
        Set::SetTimeZone { value, .. } => {
            let is_default = matches!(&value, Expr::Identifier(word) if is_default(word) || word.value.eq_ignore_ascii_case("local"));
            assignment("timezone", (!is_default).then(|| text(&value)))
        }
        Set::SetNames { charset_name, .. } => assignment("client_encoding", Some(charset_name.value)),
        Set::SetNamesDefault {} => assignment("client_encoding", None),
        Set::SetTransaction { modes, snapshot: None, .. } => {
            check_modes(&modes)?;
            PostgresStatement::Nothing { tag: "SET" }
        }
        other => return unsupported(&other),
    })
}

fn is_default(word: &Ident) -> bool {
    word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default")
}

/// A parameter's value without its quotes.
fn text(value: &Expr) -> String {
    match value {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => text.clone(),
        Expr::Identifier(word) => word.value.clone(),
        other => other.to_string(),
    }
}

/// `SHOW TIME ZONE` and `SHOW TRANSACTION ISOLATION LEVEL` have names of several words.
fn shown(variable: &[Ident]) -> String {
    let words: Vec<String> = variable.iter().map(|word| word.value.to_lowercase()).collect();
    match words.join(" ").as_str() {
        "time zone" => "timezone".to_owned(),
        "transaction isolation level" => "transaction_isolation".to_owned(),
        "session authorization" => "session_authorization".to_owned(),
        _ => words.join("."),
    }
}

fn lower(name: &str) -> String {
    name.trim_matches('"').to_lowercase()
}

/// Finds what a query reads, and gives PostgreSQL's functions the names that they have here.
#[derive(Default)]
struct Names {
    relations: Vec<ObjectName>,
    with: HashSet<String>,
}

impl Names {
    fn reads_lake(&self) -> bool {
        self.relations.iter().any(|name| !self.is_system(name))
    }

    fn is_system(&self, name: &ObjectName) -> bool {
        let parts: Vec<String> =
            name.0.iter().filter_map(ObjectNamePart::as_ident).map(|part| part.value.to_lowercase()).collect();
        match parts.as_slice() {
            [.., schema, _] => [PG_CATALOG, "information_schema"].contains(&schema.as_str()),
            [table] => self.with.contains(table) || PG_CATALOG_TABLES.contains(&table.as_str()),
            [] => false,
        }
    }
}

impl VisitorMut for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut datafusion::sql::sqlparser::ast::Query) -> ControlFlow<()> {
        if let Some(With { cte_tables, .. }) = &query.with {
            self.with.extend(cte_tables.iter().map(|table| table.alias.name.value.to_lowercase()));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args, version, .. } = factor {
            match args {
                Some(_) => {
                    if name.0.len() > 1 && is_pg_catalog(name) {
                        name.0.remove(0);
                    }
                    // Other functions in the place of a table read none.
                    let last = name.0.last().and_then(ObjectNamePart::as_ident).map(|last| last.value.to_lowercase());
                    if last.is_some_and(|last| MomentsView::named(&last).is_some()) {
                        self.relations.push(name.clone());
                    }
                }
                None => self.relations.push(name.clone()),
            }
            if version.is_some() {
                self.relations.push(ObjectName::from(vec![Ident::new("AT")]));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        match expression {
            Expr::Function(Function { name, args, .. }) => {
                if name.0.len() > 1 && is_pg_catalog(name) {
                    name.0.remove(0);
                }
                // Words that are functions without brackets.
                if matches!(args, FunctionArguments::None) {
                    let known = match name.to_string().to_lowercase().as_str() {
                        "current_user" | "session_user" | "user" => Some("session_user"),
                        "current_catalog" => Some("current_database"),
                        _ => None,
                    };
                    if let Some(known) = known {
                        *name = ObjectName::from(vec![Ident::new(known)]);
                    }
                }
            }
            Expr::Identifier(word)
                if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("current_schema") =>
            {
                *expression = call("current_schema", Vec::new());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn is_pg_catalog(name: &ObjectName) -> bool {
    name.0
        .first()
        .and_then(ObjectNamePart::as_ident)
        .is_some_and(|schema| schema.value.eq_ignore_ascii_case(PG_CATALOG))
}

/// A call of a function.
pub(super) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr, FunctionArgumentList};
    let args = arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
