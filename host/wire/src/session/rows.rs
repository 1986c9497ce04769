//! The rows of a query on their way to a client: it goes on while they are sent, and holds its permit until it ends.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::{Stream, StreamExt, stream};
use pgwire::api::results::FieldFormat;
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::data::DataRow;
use sluice_query::QueryResult;
use sluice_runtime::query_watch::QueryWatch;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::watch::Watch;
use crate::control::QueryPermit;
use crate::encode;
use crate::error::{error, of_query, of_value};

/// Batches that wait to be sent.
const BATCHES: usize = 1;

/// What a query may do and what it holds.
pub(super) struct Running {
    pub(super) cancelled: CancellationToken,
    /// None: as long as it takes.
    pub(super) deadline: Option<Instant>,
    pub(super) permit: QueryPermit,
    pub(super) watch: Watch,
    pub(super) watching: QueryWatch,
}

/// What comes from a query; a channel that ends without the last of these was cut off.
enum RowsMessage {
    Batch(RecordBatch),
    Failed(PgWireError),
    End,
}

/// The rows, in these formats.
pub(super) fn rows(
    mut result: QueryResult,
    formats: Vec<FieldFormat>,
    running: Running,
) -> impl Stream<Item = PgWireResult<DataRow>> + Send + 'static {
    let schema = result.schema();
    let (sender, parts) = mpsc::channel(BATCHES);
    let Running { cancelled, deadline, permit, watch, watching } = running;
    let given_up = cancelled.clone();
    tokio::spawn(async move {
        let _held = (permit, watching);
        let sending = async {
            while let Some(batch) = result.next().await {
                let (part, is_last) = match batch {
                    Ok(batch) => (RowsMessage::Batch(batch), false),
                    Err(error) => (RowsMessage::Failed(of_query(error)), true),
                };
                if sender.send(part).await.is_err() || is_last {
                    return;
                }
            }
            let _ = sender.send(RowsMessage::End).await;
        };
        let late = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sending => {}
            () = late => {}
            () = given_up.cancelled() => {}
        }
    });
    let state = Sending { parts, encoded: VecDeque::new(), schema, formats, cancelled, watch };
    stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        match state.next().await {
            Ok(Some(row)) => Some((Ok(row), Some(state))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

struct Sending {
    parts: Receiver<RowsMessage>,
    encoded: VecDeque<DataRow>,
    schema: SchemaRef,
    formats: Vec<FieldFormat>,
    cancelled: CancellationToken,
    watch: Watch,
}

impl Sending {
    async fn next(&mut self) -> PgWireResult<Option<DataRow>> {
        while !self.cancelled.is_cancelled() {
            if let Some(row) = self.encoded.pop_front() {
                return Ok(Some(row));
            }
            // A step of the query that doesn't pause is not waited for.
            let part = tokio::select! {
                part = self.parts.recv() => part,
                () = self.cancelled.cancelled() => break,
            };
            match part {
                Some(RowsMessage::Batch(batch)) => {
                    self.watch.may_interrupt(false);
                    let rows = encode::rows(&batch, &self.schema, &self.formats).map_err(|error| of_value(&error))?;
                    self.encoded = rows.into();
                }
                Some(RowsMessage::Failed(error)) => return Err(error),
                Some(RowsMessage::End) => return Ok(None),
                None if self.cancelled.is_cancelled() => {}
                None => return Err(error("57014", "the query's time was over before all its rows were taken")),
            }
        }
        Err(PgWireError::QueryCanceled)
    }
}
