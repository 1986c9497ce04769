//! Queries with parameters: their types are found before there are values.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::execution::SessionState;
use datafusion::logical_expr::ExprSchemable;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, ExprWithAlias, LimitClause, Query as SqlQuery, Statement as Ast, Value, ValueWithSpan, Visit, Visitor,
    visit_expressions, visit_expressions_mut,
};

use super::parameters::{ParameterValue, literal, moment, normal};
use super::statement::{Query, call};
use crate::error::Error;
use crate::relations::{self, Relation, Source, TableState};
use crate::result::distinct_names;
use crate::session::Session;
use crate::statement::{self, check_plan};

/// The most parameters, as PostgreSQL's protocol counts them.
const MAX_PARAMETERS: usize = 65_535;

/// A query that can be run with values for its parameters.
#[derive(Clone, Debug)]
pub struct Prepared {
    query: Ast,
    parameters: Vec<DataType>,
    columns: SchemaRef,
}

impl Prepared {
    /// The type of each parameter: Boolean, Int64, Float64, Decimal128, Binary, Date32, Time64, Timestamp of microseconds,
    /// a list of these, or Utf8.
    pub fn parameters(&self) -> &[DataType] {
        &self.parameters
    }

    /// The result's columns, known before it runs.
    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// The query with its values.
    ///
    /// # Errors
    /// Too few values, too many, or one that isn't of its parameter's type.
    pub(crate) fn with_values(&self, values: &[ParameterValue]) -> Result<Statement, Error> {
        if values.len() != self.parameters.len() {
            return Err(Error::Parameters { given: values.len(), wanted: self.parameters.len() });
        }
        let literals: Vec<Option<Expr>> = values
            .iter()
            .zip(&self.parameters)
            .enumerate()
            .map(|(at, (value, kind))| literal(at + 1, value, kind).map(Some))
            .collect::<Result<_, Error>>()?;
        let mut query = self.query.clone();
        substitute(&mut query, &literals);
        Ok(Statement::Statement(Box::new(query)))
    }
}

impl Session {
    /// Finds the types of a query's parameters and columns. `declared`: those types that the client states, by the
    /// parameter's number less one.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub(crate) async fn plan_prepared(&self, query: Query, declared: &[Option<DataType>]) -> Result<Prepared, Error> {
        let Query(ast) = query;
        let ast = *ast;
        let mut types: Vec<Option<DataType>> = declared.iter().map(|kind| kind.as_ref().map(normal)).collect();
        let count = parameters(&ast)?.max(types.len());
        types.resize(count, None);
        let (lake, state) = self.lake_and_state();
        let failed = |error| self.planning(error);
        cast_types(&ast, &state, &mut types);
        limit_types(&ast, &mut types);
        let mut statement = Statement::Statement(Box::new(ast.clone()));
        for mut relation in relations::replace(&mut statement)? {
            sample_moments(&mut relation, &mut types);
            lake.stand_in(relation).await.map_err(failed)?;
        }
        let without_values = |types: &[Option<DataType>]| -> Result<Statement, Error> {
            let null = |(at, kind): (usize, &Option<DataType>)| {
                kind.as_ref().map(|kind| literal(at + 1, &ParameterValue::Null, kind)).transpose()
            };
            let nulls: Vec<Option<Expr>> = types.iter().enumerate().map(null).collect::<Result<_, Error>>()?;
            let mut statement = statement.clone();
            if let Statement::Statement(ast) = &mut statement {
                substitute(ast.as_mut(), &nulls);
            }
            Ok(statement)
        };
        if types.iter().any(Option::is_none)
            && let Ok(plan) = state.statement_to_plan(without_values(&types)?).await
        {
            for (name, kind) in plan.get_parameter_types().map_err(failed)? {
                if let Some(slot) = number(&name).and_then(|number| types.get_mut(number - 1)) {
                    *slot =
                        slot.take().or_else(|| kind.filter(|kind| *kind != DataType::Null).map(|kind| normal(&kind)));
                }
            }
        }
        let parameters: Vec<DataType> = types.into_iter().map(|kind| kind.unwrap_or(DataType::Utf8)).collect();
        let known: Vec<Option<DataType>> = parameters.iter().cloned().map(Some).collect();
        let plan = state.statement_to_plan(without_values(&known)?).await.map_err(failed)?;
        check_plan(&plan)?;
        let columns = distinct_names(&Arc::new(plan.schema().as_arrow().clone()));
        Ok(Prepared { query: ast, parameters, columns })
    }

    /// The types of the parameters of a query of the lake's own dialect, and its columns.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub(crate) async fn plan_columns(&self, sql: &str) -> Result<(Vec<DataType>, SchemaRef), Error> {
        match statement::parse(sql)? {
            Statement::Statement(ast) => {
                let Prepared { parameters, columns, .. } = self.plan_prepared(Query(ast), &[]).await?;
                Ok((parameters, columns))
            }
            // `EXPLAIN`, which takes no values.
            explain => {
                let (plan, ..) = self.logical_plan(explain).await?;
                Ok((Vec::new(), distinct_names(&Arc::new(plan.schema().as_arrow().clone()))))
            }
        }
    }
}

/// The number of a parameter such as `$1`.
fn number(name: &str) -> Option<usize> {
    let number = name.strip_prefix('$')?.parse().ok()?;
    (1..=MAX_PARAMETERS).contains(&number).then_some(number)
}

fn placeholder(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) => Some(name),
        _ => None,
    }
}

/// The highest number of a parameter.
fn parameters(ast: &Ast) -> Result<usize, Error> {
    let mut highest = 0;
    let wrong = visit_expressions(ast, |expression| {
        let Some(name) = placeholder(expression) else { return ControlFlow::Continue(()) };
        match number(name) {
            Some(number) => {
                highest = highest.max(number);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(name.to_owned()),
        }
    });
    match wrong {
        ControlFlow::Break(name) => Err(Error::Unsupported { what: format!("the parameter `{name}`") }),
        ControlFlow::Continue(()) => Ok(highest),
    }
}

/// Types that the query itself states: `$1::date`.
fn cast_types(ast: &Ast, state: &SessionState, types: &mut [Option<DataType>]) {
    let _ = visit_expressions(ast, |expression| {
        if let Expr::Cast { kind, expr, data_type, array, format } = expression
            && let Some(number) = placeholder(expr).and_then(number)
            && let Some(slot @ None) = types.get_mut(number - 1)
        {
            let null = Box::new(Expr::Value(Value::Null.with_empty_span()));
            let (kind, data_type) = (kind.clone(), data_type.clone());
            let expr = Expr::Cast { kind, expr: null, data_type, array: *array, format: format.clone() };
            let nothing = DFSchema::empty();
            let planned = state.create_logical_expr_from_sql_expr(ExprWithAlias { expr, alias: None }, &nothing);
            *slot = planned.ok().and_then(|planned| planned.get_type(&nothing).ok()).map(|kind| normal(&kind));
        }
        ControlFlow::<()>::Continue(())
    });
}

/// `LIMIT $1 OFFSET $2` take whole numbers.
fn limit_types(ast: &Ast, types: &mut [Option<DataType>]) {
    struct Limits<'a>(&'a mut [Option<DataType>]);

    impl Visitor for Limits<'_> {
        type Break = ();

        fn pre_visit_query(&mut self, query: &SqlQuery) -> ControlFlow<()> {
            if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
                let values = limit.iter().chain(offset.iter().map(|offset| &offset.value));
                for number in values.filter_map(placeholder).filter_map(number) {
                    if let Some(slot @ None) = self.0.get_mut(number - 1) {
                        *slot = Some(DataType::Int64);
                    }
                }
            }
            ControlFlow::Continue(())
        }
    }
    let _ = ast.visit(&mut Limits(types));
}

/// Columns of a table as it was don't depend on the moment: any one stands for a parameter.
fn sample_moments(relation: &mut Relation, types: &mut [Option<DataType>]) {
    let mut sample = |expression: &mut Expr| {
        let mut found = false;
        let _ = visit_expressions(expression, |part| {
            if let Some(number) = placeholder(part).and_then(number) {
                found = true;
                if let Some(slot @ None) = types.get_mut(number - 1) {
                    *slot = Some(moment());
                }
            }
            ControlFlow::<()>::Continue(())
        });
        if found {
            *expression = call("now", Vec::new());
        }
    };
    if let Source::Moments(_, arguments) = &mut relation.source {
        arguments.iter_mut().for_each(&mut sample);
    }
    if let Some(TableState::Moment(expression)) = &mut relation.state {
        sample(expression);
    }
}

/// Puts expressions in the place of parameters.
fn substitute(ast: &mut Ast, values: &[Option<Expr>]) {
    let _ = visit_expressions_mut(ast, |expression| {
        let value = placeholder(expression).and_then(number).and_then(|number| values.get(number - 1)?.clone());
        if let Some(value) = value {
            *expression = value;
        }
        ControlFlow::<()>::Continue(())
    });
}
