//! The process of a connection, and what the service does for it.

use std::collections::hash_map::Entry;
use std::io::{ErrorKind, Write};
use std::net::TcpStream as StdTcpStream;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::PoisonError;
use std::time::Duration;

use sluice_runtime::api_tokens;
use sluice_runtime::failure::Failure;
use sluice_runtime::own_command::own_command;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Child;
use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit, mpsc};
use tokio::time::{Instant, sleep_until};

use super::login::Login;
use super::startup::error_message;
use super::{GRACE, Shared};
use crate::SESSION_COMMAND;
use crate::control::Greeting;

/// How often a session that runs a query is checked for a client that has gone.
const CHECK: Duration = Duration::from_secs(1);
/// How long a query may go on that is cancelled or that nobody waits for: a step of it may not pause.
const PATIENCE: Duration = Duration::from_secs(3);

/// A client that was let in, before it has a process.
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) login: Login,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) place: OwnedSemaphorePermit,
}

impl Connection {
    /// Gives it a process, and is there for it until either is gone.
    pub(super) async fn serve(self, shared: &Shared) {
        let Self { socket, login, parameters, place } = self;
        let (cancels, cancelled) = mpsc::channel(1);
        let (process, secret) = shared.register(cancels);
        let greeting = Greeting { user: login.user.clone(), process, secret, parameters };
        match start(shared, socket, &greeting).await {
            Ok((child, control, socket)) => Session { shared, login, control, socket, cancelled }.attend(child).await,
            Err(failure) => tracing::error!("a PostgreSQL client has no session: {}", failure.render(false)),
        }
        shared.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&process);
        drop(place);
    }
}

impl Shared {
    /// A number and a secret by which a client cancels its queries.
    fn register(&self, cancels: mpsc::Sender<()>) -> (i32, i32) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let secret = rand::random();
        loop {
            let process = rand::random_range(1..=i32::MAX);
            if let Entry::Vacant(free) = sessions.entry(process) {
                free.insert((secret, cancels));
                return (process, secret);
            }
        }
    }
}

/// Starts the process: the client's connection is its standard input, and the service is at its standard output.
async fn start(
    shared: &Shared,
    socket: TcpStream,
    greeting: &Greeting,
) -> Result<(Child, UnixStream, StdTcpStream), Failure> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut command = own_command(&shared.settings, [SESSION_COMMAND])?;
    let socket = socket.into_std()?;
    let (watched, socket) = (socket.try_clone()?, OwnedFd::from(socket));
    let theirs = OwnedFd::from(theirs.into_std()?);
    command.stdin(Stdio::from(socket)).stdout(Stdio::from(theirs)).stderr(Stdio::inherit());
    let child = command.spawn()?;
    // The command holds the connection too, which is to end with the process.
    drop(command);
    let greeting = serde_json::to_string(greeting).map_err(Failure::failed)?;
    ours.write_all(format!("{greeting}\n").as_bytes()).await?;
    Ok((child, ours, watched))
}

struct Session<'a> {
    shared: &'a Shared,
    login: Login,
    control: UnixStream,
    /// The client's connection, only to see whether it is there.
    socket: StdTcpStream,
    cancelled: mpsc::Receiver<()>,
}

impl Session<'_> {
    /// Gives permits for queries and passes on what is cancelled, until the process is gone or the service ends.
    async fn attend(self, mut child: Child) {
        let (user, socket) = (self.login.user.clone(), self.socket.try_clone());
        match self.attend_until_end().await {
            Ok(true) => {}
            Ok(false) => {
                tracing::info!(user, "the query of a PostgreSQL client doesn't pause: its session is ended");
                // One that has just ended needs no end, and a client that has gone no reason.
                let _ = child.kill().await;
                let reason = error_message("57014", "canceling statement due to user request", None);
                let _ = socket.and_then(|mut socket| socket.write_all(&reason));
            }
            Err(error) => tracing::debug!("a session of a PostgreSQL client is cut off: {error}"),
        }
        match tokio::time::timeout(GRACE, child.wait()).await {
            Ok(Ok(status)) => tracing::debug!(user, "the session of a PostgreSQL client ended with {status}"),
            // It is killed when it is dropped.
            Ok(Err(_)) | Err(_) => tracing::warn!(user, "the session of a PostgreSQL client didn't end"),
        }
    }

    /// False if the process has to be ended.
    async fn attend_until_end(self) -> std::io::Result<bool> {
        let Self { shared, login, control, socket, mut cancelled } = self;
        let (reader, mut writer) = control.into_split();
        let mut lines: Lines<BufReader<OwnedReadHalf>> = BufReader::new(reader).lines();
        let mut check = tokio::time::interval(CHECK);
        let mut permit: Option<SemaphorePermit<'_>> = None;
        let mut wanted: Option<String> = None;
        let mut ends_at: Option<Instant> = None;
        loop {
            let late = async move {
                match ends_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                line = lines.next_line() => match line? {
                    None => return Ok(true),
                    Some(line) => {
                        // A new wish ends what was before, too.
                        (permit, ends_at) = (None, None);
                        wanted = line.strip_prefix("permit ").map(str::to_owned);
                    }
                },
                Ok(acquired) = shared.queries.acquire(), if wanted.is_some() && permit.is_none() => {
                    let number = wanted.take().unwrap_or_default();
                    let answer = shared.answer(&login).await;
                    permit = (answer == "go").then_some(acquired);
                    send_word(&mut writer, &format!("{answer} {number}")).await?;
                }
                Some(()) = cancelled.recv() => {
                    if permit.is_some() {
                        ends_at.get_or_insert(Instant::now() + PATIENCE);
                    }
                    send_word(&mut writer, "cancel").await?;
                }
                _ = check.tick(), if permit.is_some() && ends_at.is_none() => {
                    if is_gone(&socket) {
                        ends_at = Some(Instant::now() + PATIENCE);
                    }
                }
                () = late => return Ok(false),
                () = shared.stop.cancelled() => return Ok(true),
            }
        }
    }
}

impl Shared {
    /// Whether a session may run a query: its token is looked for again.
    async fn answer(&self, login: &Login) -> &'static str {
        match api_tokens::verifier(&self.state, &login.user).await {
            Ok(known) if known.as_ref() == Some(&login.verifier) => "go",
            Ok(_) => "revoked",
            Err(_) => "failed",
        }
    }
}

async fn send_word(writer: &mut OwnedWriteHalf, word: &str) -> std::io::Result<()> {
    writer.write_all(format!("{word}\n").as_bytes()).await
}

/// Whether a client has closed its connection, and nothing that it sent before waits to be read.
fn is_gone(socket: &StdTcpStream) -> bool {
    match socket.peek(&mut [0]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
