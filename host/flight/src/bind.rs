//! Values for the parameters of a statement: kept as the client sent them. Only a query's process decodes them.

use std::time::Duration;

use arrow_flight::FlightData;
use arrow_flight::sql::server::PeekableFlightDataStream;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt;
use prost::Message;
use tokio::time::timeout;
use tonic::Status;

/// How long a client may take to send them.
const TIME: Duration = Duration::from_secs(20);
/// As many bytes as they may have.
const MAX_BYTES: usize = crate::MAX_REQUEST_BYTES / 4;

/// The messages of a client, in base64.
///
/// # Errors
/// Too many bytes; a client that takes too long or goes.
pub(crate) async fn parameters(messages: PeekableFlightDataStream) -> Result<Vec<String>, Status> {
    timeout(TIME, read(messages)).await.map_err(|_| Status::deadline_exceeded("the values take too long to come"))?
}

async fn read(mut messages: PeekableFlightDataStream) -> Result<Vec<String>, Status> {
    let (mut kept, mut size) = (Vec::new(), 0);
    while let Some(message) = messages.try_next().await? {
        let bytes = FlightData { flight_descriptor: None, ..message }.encode_to_vec();
        // Each counts, also an empty one.
        size += bytes.len() + 1;
        if size > MAX_BYTES {
            let most = MAX_BYTES >> 10;
            return Err(Status::invalid_argument(format!("the values of the parameters have more than {most} KiB")));
        }
        kept.push(STANDARD.encode(bytes));
    }
    Ok(kept)
}
