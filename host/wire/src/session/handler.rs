//! Statements of a client, by the simple and the extended protocol.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::{Sink, SinkExt};
use pgwire::api::portal::Portal;
use pgwire::api::query::{
    ExtendedQueryHandler, SimpleQueryHandler, send_execution_response, send_query_response, send_ready_for_query,
};
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, PgWireConnectionState, Type};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{EmptyQueryResponse, TransactionStatus};
use pgwire::messages::simplequery::Query as QueryMessage;
use pgwire::messages::startup::ParameterStatus;
use sluice_lake::Lake;
use sluice_query::{ParameterValue, PostgresStatement, Prepared, Scope, Session};
use sluice_runtime::missing::{Missing, Section};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::parser::{formats, shown, values};
use super::rows::{Running, rows};
use super::watch::Watch;
use crate::control::Control;
use crate::error::{error, of_failure, of_query};
use crate::parameters::Parameters;
use crate::types;

/// What a query may take beyond its time, in which it ends by itself as long as its rows are taken.
const GRACE: Duration = Duration::from_secs(1);

/// Answers one client.
#[derive(Clone)]
pub(super) struct Handler {
    lake: Lake,
    session: Arc<Session>,
    control: Arc<Control>,
    parameters: Arc<Mutex<Parameters>>,
    watch: Watch,
}

/// A statement that was parsed.
pub(super) enum Stored {
    /// One with rows.
    Query(Box<Prepared>),
    /// One about the session.
    Other(PostgresStatement),
}

impl Handler {
    pub(super) fn new(
        lake: Lake,
        session: Session,
        control: Arc<Control>,
        parameters: Parameters,
        watch: Watch,
    ) -> Self {
        let (session, parameters) = (Arc::new(session), Arc::new(Mutex::new(parameters)));
        Self { lake, session, control, parameters, watch }
    }

    pub(super) fn session_watch(&self) -> Watch {
        self.watch.clone()
    }

    fn parameters(&self) -> MutexGuard<'_, Parameters> {
        self.parameters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lake's tables as they are now.
    async fn fresh(&self) -> PgWireResult<Session> {
        let session = self.session.refreshed().await.map_err(of_query)?;
        Ok(session.within(self.parameters().statement_timeout()))
    }

    /// Begins a statement: it is given up when the token is cancelled.
    pub(super) fn begin(&self) -> CancellationToken {
        self.control.begin()
    }

    /// The statements of a text.
    pub(super) async fn statements(&self, sql: &str) -> PgWireResult<Vec<PostgresStatement>> {
        self.session.statements(sql).await.map_err(of_query)
    }

    /// Finds the types of a statement.
    pub(super) async fn prepare(
        &self,
        statement: PostgresStatement,
        declared: &[Option<Type>],
    ) -> PgWireResult<Stored> {
        let PostgresStatement::Query(query) = statement else { return Ok(Stored::Other(statement)) };
        let declared: Vec<_> = declared.iter().map(|kind| kind.as_ref().and_then(types::of_parameter)).collect();
        let _watch = self.watch.start();
        let prepared = self.fresh().await?.prepare(query, &declared).await.map_err(of_query)?;
        Ok(Stored::Query(Box::new(prepared)))
    }

    /// Runs a query; gives its rows, and before them the warnings of what they may lack.
    async fn run(
        &self,
        prepared: &Prepared,
        values: &[ParameterValue],
        formats: Vec<FieldFormat>,
        cancelled: CancellationToken,
    ) -> PgWireResult<(QueryResponse, Vec<ErrorInfo>)> {
        let starting = async {
            let permit = self.control.query_permit().await?;
            let watching = self.watch.start();
            let session = self.fresh().await?;
            let deadline = session.timeout().map(|limit| Instant::now() + limit + GRACE);
            let result = session.execute(prepared, values).await.map_err(of_query)?;
            let warnings = self.warnings(&session, result.scope()).await?;
            Ok::<_, PgWireError>((result, warnings, permit, watching, deadline))
        };
        let (result, warnings, permit, watching, deadline) = tokio::select! {
            started = starting => started?,
            () = cancelled.cancelled() => return Err(PgWireError::QueryCanceled),
        };
        let described = fields(prepared.columns(), &formats);
        let schema = result.schema();
        if fields(&schema, &formats).iter().map(FieldInfo::datatype).ne(described.iter().map(FieldInfo::datatype)) {
            // A client reads values by the types that were described to it.
            return Err(error("0A000", "cached plan must not change result type"));
        }
        let running = Running { cancelled, deadline, permit, watch: self.session_watch(), watching };
        Ok((QueryResponse::new(Arc::new(described), rows(result, formats, running)), warnings))
    }

    async fn warnings(&self, session: &Session, scope: &Scope) -> PgWireResult<Vec<ErrorInfo>> {
        let missing =
            Missing::load(&self.lake, session, !scope.is_empty()).await.map_err(|failure| of_failure(&failure))?;
        let mut notices = Vec::new();
        for Section { warnings, more, hint } in missing.sections(scope) {
            let more = (more > 0).then(|| format!("and {more} more"));
            for text in warnings.into_iter().map(|(text, _)| text).chain(more) {
                let mut notice = ErrorInfo::new("WARNING".to_owned(), "01000".to_owned(), text);
                notice.severity_nonlocalized = Some("WARNING".to_owned());
                notice.hint = hint.clone();
                notices.push(notice);
            }
        }
        Ok(notices)
    }

    /// Answers a statement about the session.
    fn answer_other<C>(
        &self,
        client: &C,
        statement: &PostgresStatement,
    ) -> PgWireResult<(Response, Vec<(String, String)>)>
    where
        C: ClientInfo + ClientPortalStore,
        C::PortalStore: PortalStore,
    {
        use PostgresStatement as S;
        let done = |tag: &str| Response::Execution(Tag::new(tag));
        let mut changed = Vec::new();
        let response = match statement {
            S::Begin => Response::TransactionStart(Tag::new("BEGIN")),
            S::Commit if client.transaction_status() == TransactionStatus::Error => {
                Response::TransactionEnd(Tag::new("ROLLBACK"))
            }
            S::Commit => Response::TransactionEnd(Tag::new("COMMIT")),
            S::Rollback => Response::TransactionEnd(Tag::new("ROLLBACK")),
            S::Set { name, value } => {
                let mut parameters = self.parameters();
                let before = parameters.reported();
                parameters.set(name, value.as_deref())?;
                changed = parameters.reported().into_iter().filter(|pair| !before.contains(pair)).collect();
                done(if value.is_some() { "SET" } else { "RESET" })
            }
            S::ResetAll => {
                self.parameters().reset();
                done("RESET")
            }
            S::Show { name } => {
                let value = self.parameters().get(name)?.to_owned();
                let fields = Arc::new(vec![shown(name)]);
                let mut row = DataRowEncoder::new(fields.clone());
                row.encode_field(&value)?;
                let mut response = QueryResponse::new(fields, futures::stream::iter([Ok(row.take_row())]));
                response.set_command_tag("SHOW");
                Response::Query(response)
            }
            S::Deallocate { name } => {
                name.iter().for_each(|name| client.portal_store().rm_statement(name));
                done("DEALLOCATE")
            }
            S::Discard => {
                self.parameters().reset();
                client.portal_store().clear_portals();
                done("DISCARD ALL")
            }
            S::Nothing { tag } => done(tag),
            S::Query(_) => return Err(error("XX000", "a query is no statement of a session")),
        };
        Ok((response, changed))
    }

    /// Answers a statement, and tells the client beside it what it should know.
    async fn answer<C>(
        &self,
        client: &mut C,
        stored: &Stored,
        values: &[ParameterValue],
        formats: Vec<FieldFormat>,
        cancelled: CancellationToken,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let ends = matches!(stored, Stored::Other(PostgresStatement::Commit | PostgresStatement::Rollback));
        if client.transaction_status() == TransactionStatus::Error && !ends {
            return Err(error(
                "25P02",
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        match stored {
            Stored::Other(statement) => {
                let (response, changed) = self.answer_other(client, statement)?;
                for (name, value) in changed {
                    client.feed(PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name, value))).await?;
                }
                Ok(response)
            }
            Stored::Query(prepared) => {
                let (response, notices) = self.run(prepared, values, formats, cancelled).await?;
                for notice in notices {
                    client.feed(PgWireBackendMessage::NoticeResponse(notice.into())).await?;
                }
                Ok(Response::Query(response))
            }
        }
    }
}

/// Descriptions of columns in these formats.
pub(super) fn fields(schema: &arrow::datatypes::Schema, formats: &[FieldFormat]) -> Vec<FieldInfo> {
    schema.fields().iter().zip(formats).map(|(field, format)| types::describe(field, *format)).collect()
}

/// Text for each column of a statement.
fn as_text(stored: &Stored) -> Vec<FieldFormat> {
    match stored {
        Stored::Query(prepared) => vec![FieldFormat::Text; prepared.columns().fields().len()],
        Stored::Other(_) => Vec::new(),
    }
}

#[async_trait]
impl SimpleQueryHandler for Handler {
    /// The statements of a text one after the other: the next one begins when all rows of the one before are sent.
    async fn on_query<C>(&self, client: &mut C, query: QueryMessage) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        client.set_state(PgWireConnectionState::QueryInProgress);
        for response in SimpleQueryHandler::do_query(self, client, &query.query).await? {
            if matches!(response, Response::EmptyQuery) {
                client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
            }
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        send_ready_for_query(client, status).await
    }

    /// Sends what the statements give; there is a response only where there is no statement.
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let statements = self.statements(query).await?;
        if statements.is_empty() {
            return Ok(vec![Response::EmptyQuery]);
        }
        for statement in statements {
            let cancelled = self.begin();
            let stored = tokio::select! {
                stored = self.prepare(statement, &[]) => stored?,
                () = cancelled.cancelled() => return Err(PgWireError::QueryCanceled),
            };
            let formats = as_text(&stored);
            match self.answer(client, &stored, &[], formats, cancelled).await? {
                Response::Query(response) => send_query_response(client, response, true).await?,
                Response::TransactionStart(tag) => {
                    send_execution_response(client, tag).await?;
                    let status = client.transaction_status().to_in_transaction_state();
                    client.set_transaction_status(status);
                }
                Response::TransactionEnd(tag) => {
                    send_execution_response(client, tag).await?;
                    let status = client.transaction_status().to_idle_state();
                    client.set_transaction_status(status);
                }
                Response::Execution(tag) => send_execution_response(client, tag).await?,
                _ => {}
            }
            self.watch.may_interrupt(true);
        }
        Ok(Vec::new())
    }
}

#[async_trait]
impl ExtendedQueryHandler for Handler {
    type Statement = Arc<Stored>;
    type QueryParser = Self;

    fn query_parser(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Arc<Stored>>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Arc<Stored>>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let stored = portal.statement.statement.clone();
        let columns = as_text(&stored).len();
        let formats = formats(&portal.result_column_format, columns, "columns")?;
        let values = values(portal)?;
        let cancelled = self.begin();
        self.answer(client, &stored, &values, formats, cancelled).await
    }
}
