//! Constants in a statement: moments and numbers of versions.

use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result as PlanResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, ExprWithAlias};

use crate::error::Error;

/// The moment that an expression without columns names: a text, a timestamp, a day (its first moment, UTC).
pub(crate) fn moment(state: &SessionState, now: DateTime<Utc>, expression: SqlExpr) -> Result<DateTime<Utc>, Error> {
    let text = expression.to_string();
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let value = constant(state, now, expression).ok().flatten().filter(is_moment);
    match value.and_then(|value| value.cast_to(&utc).ok()) {
        Some(ScalarValue::TimestampMicrosecond(Some(micros), _)) => {
            DateTime::from_timestamp_micros(micros).ok_or(Error::NoMoment { text })
        }
        _ => Err(Error::NoMoment { text }),
    }
}

/// The version that an expression without columns names.
pub(crate) fn version(state: &SessionState, now: DateTime<Utc>, expression: SqlExpr) -> Result<u64, Error> {
    let text = expression.to_string();
    let value = constant(state, now, expression).ok().flatten();
    let number = match value {
        Some(ScalarValue::Int64(Some(number))) => u64::try_from(number).ok(),
        Some(ScalarValue::UInt64(Some(number))) => Some(number),
        _ => None,
    };
    number.ok_or(Error::NoVersionNumber { text })
}

fn is_moment(value: &ScalarValue) -> bool {
    use ScalarValue as S;
    matches!(
        value,
        S::Utf8(_)
            | S::Utf8View(_)
            | S::LargeUtf8(_)
            | S::Date32(_)
            | S::Date64(_)
            | S::TimestampSecond(..)
            | S::TimestampMillisecond(..)
            | S::TimestampMicrosecond(..)
            | S::TimestampNanosecond(..)
    )
}

fn constant(state: &SessionState, now: DateTime<Utc>, expression: SqlExpr) -> PlanResult<Option<ScalarValue>> {
    let nothing = DFSchema::empty();
    let expression =
        state.create_logical_expr_from_sql_expr(ExprWithAlias { expr: expression, alias: None }, &nothing)?;
    let context = SimplifyContext::builder()
        .with_config_options(state.config_options().clone())
        .with_query_execution_start_time(Some(now))
        .build();
    let simplifier = ExprSimplifier::new(context);
    Ok(match simplifier.simplify(simplifier.coerce(expression, &nothing)?)? {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::execution::SessionStateBuilder;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;
    use crate::dialect::LakeDialect;

    fn expression(sql: &str) -> SqlExpr {
        Parser::new(&LakeDialect).try_with_sql(sql).unwrap().parse_expr().unwrap()
    }

    fn now() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn moments_are_written_in_many_ways() {
        let state = SessionStateBuilder::new().with_default_features().build();
        for (sql, expected) in [
            ("'2026-01-31'", "2026-01-31T00:00:00Z"),
            ("'2026-01-31T12:00:00Z'", "2026-01-31T12:00:00Z"),
            ("'2026-01-31 12:00:00.000001'", "2026-01-31T12:00:00.000001Z"),
            ("'2026-01-31T12:00:00+02:00'", "2026-01-31T10:00:00Z"),
            ("DATE '2026-01-31'", "2026-01-31T00:00:00Z"),
            ("TIMESTAMP '2026-01-31 12:00:00'", "2026-01-31T12:00:00Z"),
            ("now()", "2026-03-01T12:00:00Z"),
            ("now() - INTERVAL '1 day'", "2026-02-28T12:00:00Z"),
        ] {
            let expected: DateTime<Utc> = expected.parse().unwrap();
            assert_eq!(moment(&state, now(), expression(sql)).unwrap(), expected, "{sql}");
        }
        for sql in ["'yesterday'", "7", "transacted_at", "NULL", "(SELECT max(d) FROM t)", "1 / 0", "random()"] {
            let error = moment(&state, now(), expression(sql)).unwrap_err();
            assert!(matches!(error, Error::NoMoment { .. }), "{sql}: {error:?}");
        }
    }

    #[test]
    fn versions_are_whole_numbers() {
        let state = SessionStateBuilder::new().with_default_features().build();
        assert_eq!(version(&state, now(), expression("12")).unwrap(), 12);
        assert_eq!(version(&state, now(), expression("10 + 2")).unwrap(), 12);
        for sql in ["-1", "'1'", "1.5", "NULL", "a"] {
            let error = version(&state, now(), expression(sql)).unwrap_err();
            assert!(matches!(error, Error::NoVersionNumber { .. }), "{sql}: {error:?}");
        }
    }
}
