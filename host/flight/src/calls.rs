//! The calls of Flight SQL: each is of a token, and what asks the lake runs in a process.

use std::pin::Pin;

use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{Action, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, Ticket};
use futures::{Stream, stream};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Response, Status, Streaming};

use crate::error::internal;
use crate::handle::StatementHandle;
use crate::login::Credentials;
use crate::request::QueryRequest;
use crate::service::{FlightStream, Service, described};
use crate::{bind, metadata};

type HandshakeStream = Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>;
type ActionStream = Pin<Box<dyn Stream<Item = Result<arrow_flight::Result, Status>> + Send>>;

#[tonic::async_trait]
impl FlightSqlService for Service {
    type FlightService = Self;

    /// Takes the token's name and the token, and answers with the header that later calls are to have.
    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<HandshakeStream>, Status> {
        let credentials = Credentials::of(&request);
        self.shared.caller(&credentials).await?;
        let token = credentials.token().to_owned();
        let header = MetadataValue::<Ascii>::try_from(format!("Bearer {token}")).map_err(internal)?;
        let answer = HandshakeResponse { protocol_version: 0, payload: token.into() };
        let answers: HandshakeStream = Box::pin(stream::iter([Ok(answer)]));
        let mut response = Response::new(answers);
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let credentials = Credentials::of(&request);
        let caller = self.caller(credentials).await?;
        let statement_handle = StatementHandle::new(&caller, query.query).to_bytes()?;
        described(request.into_inner(), &TicketStatementQuery { statement_handle }.as_any(), None)
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let statement_handle = query.prepared_statement_handle;
        self.info(request, TicketStatementQuery { statement_handle }.as_any(), None).await
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        let credentials = Credentials::of(&request);
        let caller = self.caller(credentials).await?;
        let handle = StatementHandle::open(&ticket.statement_handle, &caller)?;
        self.ask(handle.into_request()).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let credentials = Credentials::of(&request);
        let caller = self.caller(credentials).await?;
        let prepared_statement_handle = StatementHandle::new(&caller, query.query.clone()).to_bytes()?;
        let (dataset_schema, parameter_schema) = self.describe(query.query).await?;
        Ok(ActionCreatePreparedStatementResult { prepared_statement_handle, dataset_schema, parameter_schema })
    }

    /// Nothing is kept of a statement.
    async fn do_action_close_prepared_statement(
        &self,
        _query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        let credentials = Credentials::of(&request);
        self.caller(credentials).await.map(|_| ())
    }

    /// Actions that aren't known, such as the end of a session, which a driver does without.
    async fn do_action_fallback(&self, request: Request<Action>) -> Result<Response<ActionStream>, Status> {
        let credentials = Credentials::of(&request);
        self.caller(credentials).await?;
        Err(Status::unimplemented(format!("there is no action {:?}", request.get_ref().r#type)))
    }

    /// Puts values into the statement's handle.
    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let credentials = Credentials::of(&request);
        let caller = self.caller(credentials).await?;
        let handle = StatementHandle::open(&query.prepared_statement_handle, &caller)?;
        let handle = handle.with_parameters(bind::parameters(request.into_inner()).await?);
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle.to_bytes()?) })
    }

    async fn do_put_statement_update(
        &self,
        _command: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let credentials = Credentials::of(&request);
        self.refuse(credentials).await
    }

    async fn do_put_prepared_statement_update(
        &self,
        _command: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let credentials = Credentials::of(&request);
        self.refuse(credentials).await
    }

    async fn do_put_statement_ingest(
        &self,
        _command: CommandStatementIngest,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let credentials = Credentials::of(&request);
        self.refuse(credentials).await
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder().schema();
        self.info(request, query.as_any(), Some(&schema)).await
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        let credentials = Credentials::of(&request);
        self.caller(credentials).await?;
        self.ask(QueryRequest::Schemas { catalog: query.catalog, pattern: query.db_schema_filter_pattern }).await
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder().schema();
        self.info(request, query.as_any(), Some(&schema)).await
    }

    async fn do_get_tables(
        &self,
        query: CommandGetTables,
        request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        let credentials = Credentials::of(&request);
        self.caller(credentials).await?;
        let request = QueryRequest::Tables {
            catalog: query.catalog,
            schema_pattern: query.db_schema_filter_pattern,
            name_pattern: query.table_name_filter_pattern,
            types: query.table_types,
            with_columns: query.include_schema,
        };
        self.ask(request).await
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.into_builder().schema();
        self.info(request, query.as_any(), Some(&schema)).await
    }

    async fn do_get_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        self.rows(Credentials::of(&request), metadata::catalogs(query)?).await
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.into_builder().schema();
        self.info(request, query.as_any(), Some(&schema)).await
    }

    async fn do_get_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        self.rows(Credentials::of(&request), metadata::table_types(query)?).await
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = self.facts.schema();
        self.info(request, query.as_any(), Some(&schema)).await
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        self.rows(Credentials::of(&request), metadata::wanted(query, &self.facts)?).await
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = metadata::type_facts()?.schema();
        self.info(request, query.as_any(), Some(&schema)).await
    }

    async fn do_get_xdbc_type_info(
        &self,
        _query: CommandGetXdbcTypeInfo,
        request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        self.rows(Credentials::of(&request), metadata::type_facts()?).await
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = metadata::primary_keys().schema();
        self.info(request, query.as_any(), Some(&schema)).await
    }

    async fn do_get_primary_keys(
        &self,
        _query: CommandGetPrimaryKeys,
        request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        self.rows(Credentials::of(&request), metadata::primary_keys()).await
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = metadata::foreign_keys().schema();
        self.info(request, query.as_any(), Some(&schema)).await
    }

    async fn do_get_exported_keys(
        &self,
        _query: CommandGetExportedKeys,
        request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        self.rows(Credentials::of(&request), metadata::foreign_keys()).await
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = metadata::foreign_keys().schema();
        self.info(request, query.as_any(), Some(&schema)).await
    }

    async fn do_get_imported_keys(
        &self,
        _query: CommandGetImportedKeys,
        request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        self.rows(Credentials::of(&request), metadata::foreign_keys()).await
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = metadata::foreign_keys().schema();
        self.info(request, query.as_any(), Some(&schema)).await
    }

    async fn do_get_cross_reference(
        &self,
        _query: CommandGetCrossReference,
        request: Request<Ticket>,
    ) -> Result<Response<FlightStream>, Status> {
        self.rows(Credentials::of(&request), metadata::foreign_keys()).await
    }

    /// Facts are those of [`metadata::facts`].
    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
