//! The process of a query, and its answer on the way to the client.

use std::process::Stdio;
use std::time::Duration;

use arrow_flight::FlightData;
use futures::stream;
use prost::Message;
use serde::Deserialize;
use sluice_runtime::own_command::own_command;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::ChildStdout;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::QUERY_COMMAND;
use crate::error::{Refusal, internal};
use crate::frame::{self, Frame, Kind};
use crate::listener::Shared;
use crate::request::QueryRequest;
use crate::service::FlightStream;

/// How long a query waits for others to end.
const MAX_WAIT: Duration = Duration::from_secs(120);
/// What of a process's messages is kept.
const MAX_MESSAGE_BYTES: u64 = 1 << 20;
/// How long the messages of a process that has ended may take.
const GRACE: Duration = Duration::from_secs(5);

/// A query's process. It is killed when it is dropped, as when its client goes.
pub(crate) struct QueryProcess {
    output: BufReader<ChildStdout>,
    messages: JoinHandle<Vec<u8>>,
    ends_at: Instant,
    stop: CancellationToken,
    /// Ends the process when it is dropped.
    _held: oneshot::Sender<()>,
}

/// The last line of a process that failed before it answered.
#[derive(Deserialize)]
struct LastMessage {
    error: String,
}

/// The status of a process that ended before its answer did, by what it wrote last: its watch gives a reason with a code, and anything
/// else is no fault of the query's.
fn last_status(messages: &str) -> Status {
    let mut lines = messages.lines().rev();
    let last = lines.find_map(|line| {
        let refusal = serde_json::from_str::<Refusal>(line).map(Refusal::status);
        refusal.or_else(|_| serde_json::from_str::<LastMessage>(line).map(|last| internal(last.error))).ok()
    });
    last.unwrap_or_else(|| internal("the query's process was ended"))
}

impl Shared {
    /// Starts a query's process, once as few run as may.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if others take too long.
    pub(crate) async fn start(&self, request: &QueryRequest) -> Result<QueryProcess, Status> {
        let permit = tokio::select! {
            permit = timeout(MAX_WAIT, self.queries.clone().acquire_owned()) => permit,
            () = self.stop.cancelled() => return Err(ends()),
        };
        let permit = permit.map_err(|_| {
            Status::resource_exhausted("other queries take too long\nhint: try again, or raise queries of [flight]")
        })?;
        let permit = permit.map_err(internal)?;
        let mut command = own_command(&self.settings, [QUERY_COMMAND]).map_err(internal)?;
        command.stdin(Stdio::piped());
        let mut child = command.spawn().map_err(internal)?;
        let (Some(mut input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(internal("the query's process has no input or output"));
        };
        let messages = tokio::spawn(async move {
            let mut messages = Vec::new();
            let _ = errors.take(MAX_MESSAGE_BYTES).read_to_end(&mut messages).await;
            messages
        });
        // A process that ends before it has read all gives its reason.
        let _ = input.write_all(&serde_json::to_vec(request).map_err(internal)?).await;
        drop(input);
        let (ends_at, stop) = (Instant::now() + self.time, self.stop.clone());
        let (held, dropped) = oneshot::channel::<()>();
        // A client that reads no further holds up no other one's query.
        tokio::spawn(async move {
            let _both = (child, permit);
            tokio::select! {
                _ = dropped => {}
                () = sleep_until(ends_at) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(QueryProcess { output: BufReader::new(output), messages, ends_at, stop: self.stop.clone(), _held: held })
    }
}

impl QueryProcess {
    /// The next frame; none at the end.
    ///
    /// # Errors
    /// Why there is no more.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, Status> {
        let read = tokio::select! {
            read = timeout_at(self.ends_at, frame::read(&mut self.output)) => read,
            () = self.stop.cancelled() => return Err(ends()),
        };
        let Ok(read) = read else { return Err(Status::deadline_exceeded("the query's time is over")) };
        match read {
            Ok(Some(Frame { kind: Kind::End, .. })) => Ok(None),
            Ok(Some(Frame { kind: Kind::Failed, bytes })) => {
                let refusal: Refusal = serde_json::from_slice(&bytes).map_err(internal)?;
                Err(refusal.status())
            }
            Ok(Some(frame)) => Ok(Some(frame)),
            Ok(None) | Err(_) => Err(self.reason().await),
        }
    }

    /// The next frame, which has to be of this kind.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn expect(&mut self, kind: Kind) -> Result<bytes::Bytes, Status> {
        match self.next().await? {
            Some(frame) if frame.kind == kind => Ok(frame.bytes),
            _ => Err(internal("the query's process sent something else")),
        }
    }

    /// Why the process ended before its answer did: it takes more than the query engine counts, or was killed.
    async fn reason(&mut self) -> Status {
        let messages = match timeout(GRACE, &mut self.messages).await {
            Ok(Ok(messages)) => messages,
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        last_status(&String::from_utf8_lossy(&messages))
    }

    /// The rows, as the client gets them.
    pub(crate) fn rows(self) -> FlightStream {
        Box::pin(stream::unfold(Some(self), |process| async move {
            let mut process = process?;
            match process.next().await {
                Ok(Some(frame)) => match FlightData::decode(frame.bytes) {
                    Ok(data) => Some((Ok(data), Some(process))),
                    Err(error) => Some((Err(internal(error)), None)),
                },
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        }))
    }
}

fn ends() -> Status {
    Status::unavailable("the service ends")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sluice_query::Error;
    use sluice_runtime::failure::Failure;
    use tonic::Code;

    use super::*;
    use crate::error::last_message;

    #[test]
    fn a_process_that_was_ended_says_why() {
        let code = |messages: &str| last_status(messages).code();
        let ended = |error: Error| last_message(&Failure::from(error)).unwrap();
        assert_eq!(code(&ended(Error::TooLarge { limit_bytes: 1 << 20 })), Code::ResourceExhausted);
        assert_eq!(code(&format!("a log\n{}\n", ended(Error::TooSlow { limit: GRACE }))), Code::DeadlineExceeded);
        assert_eq!(code(&Failure::settings("no lake").render(true)), Code::Internal);
        let failed = last_status(&Failure::failed(std::io::Error::other("the disk is broken")).render(true));
        assert_eq!((failed.code(), failed.message()), (Code::Internal, "the disk is broken"));
        assert_eq!(code("killed"), Code::Internal);
    }
}
