//! What all calls need: who calls, and a process that asks the lake.

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::Result as FlightResult;
use arrow_flight::sql::Any;
use arrow_flight::sql::metadata::SqlInfoData;
use arrow_flight::{FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use bytes::Bytes;
use futures::{Stream, TryStreamExt, stream};
use prost::Message;
use sluice_runtime::own_command::{WARNINGS_HEADER, warnings_header};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Response, Status};

use crate::error::{internal, read_only};
use crate::frame::Kind;
use crate::listener::Shared;
use crate::login::{Caller, Credentials};
use crate::metadata;
use crate::request::QueryRequest;

/// Rows on their way to a client.
pub(crate) type FlightStream = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;

/// Answers calls.
pub(crate) struct Service {
    pub(crate) shared: Arc<Shared>,
    pub(crate) facts: SqlInfoData,
}

impl Service {
    /// # Errors
    /// As [`metadata::facts`].
    pub(crate) fn new(shared: Arc<Shared>) -> FlightResult<Self> {
        Ok(Self { shared, facts: metadata::facts()? })
    }

    pub(crate) async fn caller(&self, credentials: Credentials) -> Result<Caller, Status> {
        self.shared.caller(&credentials).await
    }

    /// Rows of the lake, and beside them the warnings of what they may lack.
    pub(crate) async fn ask(&self, request: QueryRequest) -> Result<Response<FlightStream>, Status> {
        let mut process = self.shared.start(&request).await?;
        let warnings = process.expect(Kind::Warnings).await?;
        let mut response = Response::new(process.rows());
        let warnings = serde_json::from_slice::<Vec<serde_json::Value>>(&warnings).map_err(internal)?;
        if let Some(header) = warnings_header(&warnings).and_then(|text| MetadataValue::<Ascii>::try_from(text).ok()) {
            response.metadata_mut().insert(WARNINGS_HEADER, header);
        }
        Ok(response)
    }

    /// Columns and parameters of a statement.
    pub(crate) async fn describe(&self, sql: String) -> Result<(Bytes, Bytes), Status> {
        let mut process = self.shared.start(&QueryRequest::Columns { sql }).await?;
        Ok((process.expect(Kind::Columns).await?, process.expect(Kind::Columns).await?))
    }

    /// Checks who calls, and answers as [`described`].
    pub(crate) async fn info(
        &self,
        request: Request<FlightDescriptor>,
        ticket: Any,
        schema: Option<&Schema>,
    ) -> Result<Response<FlightInfo>, Status> {
        let credentials = Credentials::of(&request);
        self.caller(credentials).await?;
        described(request.into_inner(), &ticket, schema)
    }

    /// An answer that the service has itself.
    pub(crate) async fn rows(
        &self,
        credentials: Credentials,
        batch: RecordBatch,
    ) -> Result<Response<FlightStream>, Status> {
        self.caller(credentials).await?;
        let schema = batch.schema();
        let rows = FlightDataEncoderBuilder::new().with_schema(schema).build(stream::iter([Ok(batch)]));
        Ok(Response::new(Box::pin(rows.map_err(Status::from))))
    }

    pub(crate) async fn refuse<T>(&self, credentials: Credentials) -> Result<T, Status> {
        self.caller(credentials).await?;
        Err(read_only())
    }
}

/// Where a client gets what it asked to describe: here, by this ticket.
pub(crate) fn described(
    descriptor: FlightDescriptor,
    ticket: &Any,
    schema: Option<&Schema>,
) -> Result<Response<FlightInfo>, Status> {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket.encode_to_vec()));
    let info = FlightInfo::new().with_descriptor(descriptor).with_endpoint(endpoint);
    Ok(Response::new(match schema {
        Some(schema) => info.try_with_schema(schema).map_err(internal)?,
        None => info,
    }))
}
