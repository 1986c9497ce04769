//! The service's side: it listens, lets clients in that have a token, and gives each a process.

mod connection;
mod login;
mod startup;

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sluice_runtime::app::App;
use sluice_runtime::failure::Failure;
use sluice_runtime::listen;
use sluice_state::State;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use startup::{Opening, Startup};

/// How long a client may take to show its token.
const LOGIN_TIME: Duration = Duration::from_secs(20);
/// Clients at once that haven't; more are let go at once.
const LOGINS_AT_ONCE: usize = 64;
/// How long a session may take to end with the service.
const GRACE: Duration = Duration::from_secs(5);

/// A listener for clients of PostgreSQL.
pub struct Listener {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// What connections share.
struct Shared {
    state: Arc<State>,
    settings: PathBuf,
    /// The right to run a query.
    queries: Semaphore,
    connections: Arc<Semaphore>,
    logins: Arc<Semaphore>,
    /// Sessions by the number that their client cancels queries by, with the secret that it has to know.
    sessions: Mutex<HashMap<i32, (i32, mpsc::Sender<()>)>>,
    /// Of this process, see [`sluice_runtime::scram::Verifier::of_nobody`].
    secret: [u8; 32],
    stop: CancellationToken,
}

impl Listener {
    /// Listens where the settings say; nothing without `[wire]`.
    ///
    /// # Errors
    /// A settings failure for an address that is taken, and for one that other machines reach while no token is there.
    pub async fn bind(app: &App) -> Result<Option<Self>, Failure> {
        let Some(settings) = &app.settings.wire else { return Ok(None) };
        listen::check_token(&app.state, "wire.listen", settings.listen).await?;
        let listener = listen::bind("wire.listen", settings.listen).await?;
        let shared = Shared {
            state: app.state.clone(),
            settings: app.settings.path.clone(),
            queries: Semaphore::new(settings.queries),
            connections: Arc::new(Semaphore::new(settings.connections)),
            logins: Arc::new(Semaphore::new(LOGINS_AT_ONCE)),
            sessions: Mutex::default(),
            secret: rand::random(),
            stop: CancellationToken::new(),
        };
        Ok(Some(Self { listener, shared: Arc::new(shared) }))
    }

    /// Answers until `stop` ends; then sessions are ended.
    ///
    /// # Errors
    /// That of the operating system.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) -> Result<(), Failure> {
        tracing::info!("PostgreSQL's protocol is answered on {}", self.listener.local_addr()?);
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, _)) => self.admit(socket, &mut connections),
                    // Of a client that has gone, or of too many open files: later ones may come through.
                    Err(error) => {
                        tracing::warn!("a connection of a PostgreSQL client failed: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = &mut stop => break,
            }
        }
        self.shared.stop.cancel();
        let ends = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, ends).await.is_err() {
            tracing::warn!("sessions of PostgreSQL clients were cut off");
        }
        Ok(())
    }

    fn admit(&self, socket: TcpStream, connections: &mut JoinSet<()>) {
        let Ok(place) = self.shared.logins.clone().try_acquire_owned() else { return };
        let shared = self.shared.clone();
        connections.spawn(async move {
            let login = tokio::time::timeout(LOGIN_TIME, shared.log_in(socket)).await;
            drop(place);
            match login {
                Ok(Ok(Some(session))) => session.serve(&shared).await,
                Ok(Err(error)) => tracing::debug!("a PostgreSQL client went: {error}"),
                Ok(Ok(None)) | Err(_) => {}
            }
        });
    }
}

impl Shared {
    /// Lets a client in; none if it only cancels a query, or isn't let in.
    async fn log_in(&self, mut socket: TcpStream) -> std::io::Result<Option<connection::Connection>> {
        socket.set_nodelay(true)?;
        let Startup { parameters } = match startup::read(&mut socket).await? {
            Opening::Startup(startup) => startup,
            Opening::Cancel { process, secret } => {
                self.cancel(process, secret);
                return Ok(None);
            }
            Opening::Refused(message) => {
                startup::refuse(&mut socket, "08P01", &message, None).await?;
                return Ok(None);
            }
        };
        let Some(login) = login::check(self, &mut socket, &parameters).await? else { return Ok(None) };
        let database =
            parameters.iter().find(|(name, _)| name == "database").map_or(login.user.as_str(), |(_, value)| value);
        if database != crate::DATABASE {
            let hint = format!("the database is {}", crate::DATABASE);
            startup::refuse(&mut socket, "3D000", &format!("database \"{database}\" does not exist"), Some(&hint))
                .await?;
            return Ok(None);
        }
        let Ok(place) = self.connections.clone().try_acquire_owned() else {
            let hint = "close some, or raise connections of [wire] in sluice.toml";
            startup::refuse(&mut socket, "53300", "there are as many connections as may be", Some(hint)).await?;
            return Ok(None);
        };
        Ok(Some(connection::Connection { socket, login, parameters, place }))
    }

    fn cancel(&self, process: i32, secret: i32) {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, cancels)) = sessions.get(&process)
            && *known == secret
        {
            // One that waits is enough.
            let _ = cancels.try_send(());
        }
    }
}
