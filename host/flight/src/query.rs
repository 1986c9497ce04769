//! The process of one query: it answers the request on standard input with frames on standard output.

use std::collections::BTreeSet;
use std::io::{BufWriter, Read, Write};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTables};
use arrow_flight::{IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use prost::Message;
use sluice_query::Session;
use sluice_runtime::app::{open_lake, open_limited_session, open_local_session};
use sluice_runtime::failure::Failure;
use sluice_runtime::missing::Missing;
use sluice_runtime::settings::Settings;

use crate::error::Refusal;
use crate::frame::{self, Kind};
use crate::metadata::{TABLE, VIEW};
use crate::plain::{plain_batch, plain_schema};
use crate::request::QueryRequest;
use crate::{CATALOG, parameters};

/// The longest request: the service escapes a statement in JSON.
const MAX_BYTES: u64 = 8 << 20;

/// Answers the request on standard input.
///
/// # Errors
/// What is wrong with the query, once its client has the reason; a service that is gone.
pub async fn answer_query(settings: &Settings) -> Result<(), Failure> {
    let mut request = Vec::new();
    std::io::stdin().take(MAX_BYTES).read_to_end(&mut request)?;
    let request: QueryRequest = serde_json::from_slice(&request).map_err(Failure::failed)?;
    let mut out = BufWriter::new(std::io::stdout());
    let answered = match request {
        QueryRequest::Rows { sql, parameters } => rows(settings, &sql, &parameters, &mut out).await,
        QueryRequest::Columns { sql } => columns(settings, &sql, &mut out).await,
        QueryRequest::Schemas { catalog, pattern } => {
            let command = CommandGetDbSchemas { catalog, db_schema_filter_pattern: pattern };
            schemas(settings, command, &mut out).await
        }
        QueryRequest::Tables { catalog, schema_pattern, name_pattern, types, with_columns } => {
            let command = CommandGetTables {
                catalog,
                db_schema_filter_pattern: schema_pattern,
                table_name_filter_pattern: name_pattern,
                table_types: types,
                include_schema: with_columns,
            };
            tables(settings, &command, &mut out).await
        }
    };
    match &answered {
        Ok(()) => frame::write(&mut out, Kind::End, &[])?,
        // The service is gone.
        Err(failure) if failure.is_closed_output() => {}
        Err(failure) => {
            let refusal = serde_json::to_vec(&Refusal::of(failure)).map_err(Failure::failed)?;
            frame::write(&mut out, Kind::Failed, &refusal)?;
        }
    }
    out.flush()?;
    answered
}

async fn open(settings: &Settings) -> Result<Session, Failure> {
    open_local_session(open_lake(settings).await?, settings).await
}

/// The warnings of what a result may lack, and its rows.
async fn rows(settings: &Settings, sql: &str, messages: &[String], out: &mut impl Write) -> Result<(), Failure> {
    let values = parameters::values(messages).await?;
    let lake = open_lake(settings).await?;
    let session = open_limited_session(lake.clone(), settings).await?;
    let result = session.query_with(sql, &values).await?;
    let missing = Missing::load(&lake, &session, !result.scope().is_empty()).await?;
    let warnings = missing.warnings(result.scope());
    let text = serde_json::to_vec(&warnings).map_err(Failure::failed)?;
    frame::write(out, Kind::Warnings, &text)?;
    out.flush()?;
    let schema = plain_schema(&result.schema());
    let columns = schema.clone();
    let batches = result.map(move |batch| -> Result<RecordBatch, FlightError> {
        let batch = batch.map_err(|error| FlightError::from_external_error(Box::new(error)))?;
        Ok(plain_batch(&batch, &columns)?)
    });
    let metadata = if warnings.is_empty() { Bytes::new() } else { Bytes::from(text) };
    send(batches, schema, metadata, out).await
}

/// The columns of a query, and its parameters.
async fn columns(settings: &Settings, sql: &str, out: &mut impl Write) -> Result<(), Failure> {
    let (parameters, columns) = open(settings).await?.describe(sql).await?;
    let parameter = |(at, kind): (usize, DataType)| Field::new(format!("${}", at + 1), kind, true);
    let parameters: Vec<Field> = parameters.into_iter().enumerate().map(parameter).collect();
    for schema in [plain_schema(&columns), Arc::new(Schema::new(parameters))] {
        let options = IpcWriteOptions::default();
        let IpcMessage(bytes) = IpcMessage::try_from(SchemaAsIpc::new(&schema, &options)).map_err(Failure::failed)?;
        frame::write(out, Kind::Columns, &bytes)?;
    }
    Ok(())
}

async fn schemas(settings: &Settings, command: CommandGetDbSchemas, out: &mut impl Write) -> Result<(), Failure> {
    let names: BTreeSet<String> = open(settings).await?.tables().into_iter().map(|(schema, _)| schema).collect();
    let mut listed = command.into_builder();
    names.iter().for_each(|name| listed.append(CATALOG, name));
    send_batch(listed.build().map_err(Failure::failed)?, out).await
}

/// Tables, and their columns if these are wanted: only tables that are listed are opened.
async fn tables(settings: &Settings, command: &CommandGetTables, out: &mut impl Write) -> Result<(), Failure> {
    let session = open(settings).await?;
    let views = session.views();
    let kind = |schema: &str, name: &str| {
        if views.contains(&(schema.to_owned(), name.to_owned())) { VIEW } else { TABLE }
    };
    let mut listed = CommandGetTables { include_schema: false, ..command.clone() }.into_builder();
    for (schema, name) in session.tables() {
        listed.append(CATALOG, &schema, &name, kind(&schema, &name), &Schema::empty()).map_err(Failure::failed)?;
    }
    let listed = listed.build().map_err(Failure::failed)?;
    if !command.include_schema {
        return send_batch(listed, out).await;
    }
    let text = |column: usize| listed.column(column).as_string_opt::<i32>().into_iter().flatten().flatten();
    let names: Vec<(String, String)> =
        text(1).zip(text(2)).map(|(schema, name)| (schema.to_owned(), name.to_owned())).collect();
    let mut described = command.clone().into_builder();
    for table in session.columns_of(names).await? {
        let (schema, name) = (&table.schema, &table.name);
        let columns = plain_schema(&table.columns);
        described.append(CATALOG, schema, name, kind(schema, name), &columns).map_err(Failure::failed)?;
    }
    send_batch(described.build().map_err(Failure::failed)?, out).await
}

/// Rows that nothing is missing of.
async fn send_batch(batch: RecordBatch, out: &mut impl Write) -> Result<(), Failure> {
    frame::write(out, Kind::Warnings, b"[]")?;
    let schema = batch.schema();
    send(stream::iter([Ok(batch)]), schema, Bytes::new(), out).await
}

/// Columns and rows, as Flight has them. `metadata`: what stands beside the columns.
async fn send(
    rows: impl Stream<Item = Result<RecordBatch, FlightError>> + Send + 'static,
    schema: SchemaRef,
    metadata: Bytes,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut messages = FlightDataEncoderBuilder::new().with_schema(schema).with_metadata(metadata).build(rows);
    while let Some(message) = messages.next().await {
        let message = message.map_err(failure)?.encode_to_vec();
        frame::write(out, Kind::Rows, &message)?;
        out.flush()?;
    }
    Ok(())
}

/// The failure of a query on its way through Flight's encoder.
fn failure(error: FlightError) -> Failure {
    match error {
        FlightError::ExternalError(inner) => match inner.downcast::<sluice_query::Error>() {
            Ok(error) => Failure::from(*error),
            Err(other) => Failure::failed(FlightError::ExternalError(other)),
        },
        other => Failure::failed(other),
    }
}
