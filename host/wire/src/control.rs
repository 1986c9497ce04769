//! What the service and the process of a session tell each other: a greeting in JSON, then words, each on a line.
//!
//! The session asks `permit N`, which is answered with `go N`, `revoked N` or `failed N`, and says `done` when its query
//! is over or given up. The service says `cancel` when the client wants its query to end. Either end closes when its
//! process is gone.

use std::sync::{Arc, Mutex, PoisonError};

use pgwire::error::{PgWireError, PgWireResult};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::error::{error, fatal};

/// Words that wait to be written.
const WORDS: usize = 16;

/// Who is connected.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Greeting {
    /// The token's name.
    pub(crate) user: String,
    /// By which the client cancels queries.
    pub(crate) process: i32,
    /// The same, known to the client alone.
    pub(crate) secret: i32,
    /// What the client stated of itself.
    pub(crate) parameters: Vec<(String, String)>,
}

/// The session's end.
pub(crate) struct Control {
    words: mpsc::Sender<String>,
    answers: AsyncMutex<(u64, mpsc::Receiver<(u64, PermitReply)>)>,
    query: Arc<Mutex<CancellationToken>>,
    /// Ends with the service.
    pub(crate) ended: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PermitReply {
    Go,
    Revoked,
    Failed,
}

/// The right to run a query, until it is dropped.
pub(crate) struct QueryPermit(mpsc::Sender<String>);

impl Drop for QueryPermit {
    fn drop(&mut self) {
        // Full only if the service reads nothing any more.
        let _ = self.0.try_send("done".to_owned());
    }
}

impl Control {
    /// Takes the greeting and listens.
    ///
    /// # Errors
    /// A service that doesn't greet.
    pub(crate) async fn open(stream: UnixStream) -> std::io::Result<(Self, Greeting)> {
        let (reader, writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        let greeting = lines.next_line().await?.unwrap_or_default();
        let greeting = serde_json::from_str(&greeting)?;
        let (words, spoken) = mpsc::channel(WORDS);
        let (answered, answers) = mpsc::channel(WORDS);
        let (query, ended) = (Arc::new(Mutex::new(CancellationToken::new())), CancellationToken::new());
        tokio::spawn(write(writer, spoken));
        tokio::spawn(listen(lines, answered, query.clone(), ended.clone()));
        Ok((Self { words, answers: AsyncMutex::new((0, answers)), query, ended }, greeting))
    }

    /// Begins a statement: it is given up when the token is cancelled.
    pub(crate) fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.query.lock().unwrap_or_else(PoisonError::into_inner) = token.clone();
        token
    }

    /// Waits for the right to run a query.
    ///
    /// # Errors
    /// A fatal one if the client's token is there no more.
    pub(crate) async fn query_permit(&self) -> PgWireResult<QueryPermit> {
        let (last, answers) = &mut *self.answers.lock().await;
        *last += 1;
        // From here on it is given back, also if nobody waits for it any more.
        let permit = QueryPermit(self.words.clone());
        self.words.send(format!("permit {last}")).await.map_err(|_| shut_down())?;
        loop {
            match answers.recv().await {
                Some((number, _)) if number != *last => {}
                Some((_, PermitReply::Go)) => return Ok(permit),
                Some((_, PermitReply::Revoked)) => return Err(fatal("28000", "the token is there no more")),
                Some((_, PermitReply::Failed)) => return Err(error("58000", "the service can't look for the token")),
                None => return Err(shut_down()),
            }
        }
    }
}

/// The error when the service ends.
pub(crate) fn shut_down() -> PgWireError {
    fatal("57P01", "terminating connection: the service ends")
}

async fn write(mut writer: OwnedWriteHalf, mut words: mpsc::Receiver<String>) {
    while let Some(word) = words.recv().await {
        if writer.write_all(format!("{word}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn listen(
    mut lines: Lines<BufReader<OwnedReadHalf>>,
    answered: mpsc::Sender<(u64, PermitReply)>,
    query: Arc<Mutex<CancellationToken>>,
    ended: CancellationToken,
) {
    while let Ok(Some(line)) = lines.next_line().await {
        let (word, number) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match word {
            "go" => PermitReply::Go,
            "revoked" => PermitReply::Revoked,
            "failed" => PermitReply::Failed,
            _ => {
                query.lock().unwrap_or_else(PoisonError::into_inner).cancel();
                continue;
            }
        };
        let _ = answered.try_send((number.parse().unwrap_or(0), answer));
    }
    ended.cancel();
}
