//! Prepared statements: their types, and the values of their parameters.

use std::sync::Arc;

use async_trait::async_trait;
use pgwire::api::portal::{Format, Portal};
use pgwire::api::results::{FieldFormat, FieldInfo};
use pgwire::api::stmt::QueryParser;
use pgwire::api::{ClientInfo, Type};
use pgwire::error::{PgWireError, PgWireResult};
use sluice_query::{ParameterValue, PostgresStatement};

use super::handler::{Handler, Stored, fields};
use crate::error::error;
use crate::{decode, types};

#[async_trait]
impl QueryParser for Handler {
    type Statement = Arc<Stored>;

    async fn parse_sql<C>(&self, _client: &C, sql: &str, declared: &[Option<Type>]) -> PgWireResult<Option<Arc<Stored>>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let cancelled = self.begin();
        let parsing = async {
            let mut statements = self.statements(sql).await?;
            match (statements.pop(), statements.is_empty()) {
                (None, _) => Ok(None),
                (Some(statement), true) => Ok(Some(Arc::new(self.prepare(statement, declared).await?))),
                (Some(_), false) => Err(error("42601", "cannot insert multiple commands into a prepared statement")),
            }
        };
        tokio::select! {
            parsed = parsing => parsed,
            () = cancelled.cancelled() => Err(PgWireError::QueryCanceled),
        }
    }

    fn get_parameter_types(&self, stored: &Arc<Stored>) -> PgWireResult<Vec<Type>> {
        Ok(match stored.as_ref() {
            Stored::Query(prepared) => prepared.parameters().iter().map(types::of_column).collect(),
            Stored::Other(_) => Vec::new(),
        })
    }

    fn get_result_schema(&self, stored: &Arc<Stored>, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        Ok(match stored.as_ref() {
            Stored::Query(prepared) => {
                let count = prepared.columns().fields().len();
                fields(prepared.columns(), &formats(format.unwrap_or(&Format::UnifiedText), count, "columns")?)
            }
            Stored::Other(PostgresStatement::Show { name }) => vec![shown(name)],
            Stored::Other(_) => Vec::new(),
        })
    }
}

/// The column of `SHOW`.
pub(super) fn shown(name: &str) -> FieldInfo {
    FieldInfo::new(name.to_owned(), None, None, Type::TEXT, FieldFormat::Text)
}

/// The format of each of so many columns or parameters.
pub(super) fn formats(format: &Format, count: usize, what: &str) -> PgWireResult<Vec<FieldFormat>> {
    types::formats(format, count)
        .ok_or_else(|| error("08P01", format!("there are {count} {what}, and formats for another number of them")))
}

/// The values that a client has bound.
pub(super) fn values(portal: &Portal<Arc<Stored>>) -> PgWireResult<Vec<ParameterValue>> {
    let statement = &portal.statement;
    let Stored::Query(prepared) = statement.statement.as_ref() else { return Ok(Vec::new()) };
    let formats = formats(&portal.parameter_format, portal.parameters.len(), "parameters")?;
    let value = |(at, (bytes, format)): (usize, (&Option<bytes::Bytes>, FieldFormat))| {
        let declared = statement.parameter_types.get(at).cloned().flatten();
        let declared = declared.filter(|kind| types::of_parameter(kind).is_some());
        let kind = declared.or_else(|| prepared.parameters().get(at).map(types::of_column)).unwrap_or(Type::TEXT);
        decode::value(bytes.as_deref(), &kind, format)
            .ok_or_else(|| error("22P03", format!("the value of parameter ${} is no {}", at + 1, kind.name())))
    };
    portal.parameters.iter().zip(formats).enumerate().map(value).collect()
}
