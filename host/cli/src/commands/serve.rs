//! `sluice serve` with its HTTP API, and `sluice tokens`: who may call it.

use std::io::Write;
use std::sync::Arc;

use serde_json::json;
use sluice_model::describe;
use sluice_runtime::api_tokens;
use sluice_runtime::app::{App, GRACE};
use sluice_runtime::failure::Failure;
use sluice_runtime::query_watch::QueryWatch;
use sluice_runtime::query_workers;
use sluice_runtime::roles::{Role, Roles};
use sluice_runtime::service;
use sluice_runtime::settings::Settings;
use sluice_server::Server;
use sluice_state::State;
use tokio::sync::{oneshot, watch};

use super::{print_json, rfc3339};
use crate::arguments::{ServeArgs, TokensArgs, TokensCommand};

/// Does what its roles say until a signal stops it: by default queues and runs networks by schedule, and answers HTTP where
/// the settings say so.
///
/// # Errors
/// A failure of the settings, the state store or the lake.
pub(super) async fn serve(settings: Settings, args: &ServeArgs) -> Result<(), Failure> {
    let app = Arc::new(App::open(settings).await?);
    let roles = Roles::of(&args.role);
    let served = serve_roles(&app, &roles).await;
    // Whatever was cut off has claimed nothing any more when this process is gone.
    if let Err(error) = app.state.release_own().await {
        tracing::warn!("what was claimed isn't given back; it is free once the lease expires: {}", describe(&error));
    }
    served
}

/// With parts of other hosts' queries beside, where the settings say so. A part may take more than the query engine counts, and
/// only the end of its process ends it: so they are taken by a process that has no other role.
async fn serve_roles(app: &Arc<App>, roles: &Roles) -> Result<(), Failure> {
    let is_alone = *roles == Roles::of(&[Role::Query]);
    if app.settings.query.is_some() && roles.has(Role::Query) && !is_alone {
        tracing::warn!(
            "this process takes no parts of queries: run `sluice serve --role query` in a process of its own"
        );
    }
    let worker = if is_alone { query_workers::bind(&app.lake, &app.settings, &app.query_address).await? } else { None };
    let Some(worker) = worker else { return serve_clients(app, roles).await };
    let _watch = QueryWatch::of_memory(&app.settings.limits, |failure| {
        tracing::error!("this process ends, for others' queries: {}", failure.render(false));
        #[expect(
            clippy::disallowed_methods,
            reason = "a part of a query doesn't pause to be ended, and nothing was taken to write"
        )]
        std::process::exit(failure.exit as i32);
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let working = tokio::spawn(worker.serve(async { _ = stopped.await }, GRACE));
    let served = serve_clients(app, roles).await;
    drop(stop);
    working.await.map_err(Failure::failed)??;
    served
}

/// With clients of PostgreSQL and of Flight SQL beside, where the settings say so.
async fn serve_clients(app: &Arc<App>, roles: &Roles) -> Result<(), Failure> {
    let (mut wire, mut flight) = (None, None);
    if roles.has(Role::Query) {
        wire = sluice_wire::Listener::bind(app).await?;
        flight = sluice_flight::Listener::bind(app).await?;
    }
    let (stop, _) = watch::channel(());
    let stopped = || {
        let mut stopped = stop.subscribe();
        async move { _ = stopped.changed().await }
    };
    let wire = wire.map(|wire| tokio::spawn(wire.serve(stopped())));
    let flight = flight.map(|flight| tokio::spawn(flight.serve(stopped())));
    let served = serve_http(app, roles).await;
    drop(stop);
    for answering in wire.into_iter().chain(flight) {
        answering.await.map_err(Failure::failed)??;
    }
    served
}

async fn serve_http(app: &Arc<App>, roles: &Roles) -> Result<(), Failure> {
    let Some(server) = bind(app, roles).await? else { return service::serve(app.clone(), roles).await };
    let (stop, stopped) = oneshot::channel::<()>();
    let jobs = server.jobs();
    let answering = tokio::spawn(server.serve(async { _ = stopped.await }));
    let served = service::serve(app.clone(), roles).await;
    drop(stop);
    let (answered, ()) = tokio::join!(tokio::time::timeout(GRACE, answering), jobs.finish(GRACE));
    match answered {
        Ok(answered) => answered.map_err(Failure::failed)??,
        Err(_) => tracing::warn!("answers of the HTTP API were cut off"),
    }
    served
}

/// Listens where the settings say so: for the API, or for health and metrics alone. Without these it can do its work, as where
/// several services of one machine have one settings file.
async fn bind(app: &Arc<App>, roles: &Roles) -> Result<Option<Server>, Failure> {
    let has_api = roles.has(Role::Api);
    match Server::bind(app, roles).await {
        Err(failure) if !has_api => {
            tracing::error!("there are no health and metrics: {}", failure.render(false));
            Ok(None)
        }
        bound => bound,
    }
}

/// Answers the client of PostgreSQL whose connection the service gave to this process.
///
/// # Errors
/// Standard input and output that aren't those of a session.
pub(super) async fn wire_session(settings: &Settings) -> Result<(), Failure> {
    sluice_wire::serve_session(settings).await?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a step of its last query may not pause, and nothing was taken to write"
    )]
    std::process::exit(0)
}

/// Answers the query that the service sent to this process.
///
/// # Errors
/// What is wrong with the query, or the lake.
pub(super) async fn flight_query(settings: &Settings) -> Result<(), Failure> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the query doesn't pause to be ended, and nothing was taken to write"
    )]
    let _watch = QueryWatch::start(&settings.limits, |failure| {
        // Without it the client learns that the process was ended.
        let message = sluice_flight::last_message(&failure).unwrap_or_default();
        let _ = writeln!(std::io::stderr(), "{message}");
        std::process::exit((failure.exit as u8).into());
    });
    sluice_flight::answer_query(settings).await
}

/// Lists, makes or removes tokens.
///
/// # Errors
/// A usage failure for a name that is taken or isn't there; the state store's failure.
pub(super) async fn tokens(settings: &Settings, args: &TokensArgs, json: bool) -> Result<(), Failure> {
    let state = State::open(&settings.state_url).await?;
    let mut out = std::io::stdout();
    match args.command.as_ref().unwrap_or(&TokensCommand::List) {
        TokensCommand::List => {
            let tokens = state.api_tokens().await?;
            if json {
                return print_json(&tokens);
            }
            for token in tokens {
                let made = rfc3339(token.created_at);
                let wire = if token.wire { "" } else { "; not for SQL over the wire: remove it and make it again" };
                writeln!(out, "{} ({}), made {made}{wire}", token.name, token.role.name())?;
            }
        }
        TokensCommand::Create { name, role } => {
            let role =
                sluice_state::TokenRole::named(role).ok_or_else(|| Failure::usage(format!("`{role}` is no role")))?;
            let plain = api_tokens::create(&state, name, role).await?;
            if json {
                return print_json(&json!({"name": name, "role": role, "token": plain}));
            }
            writeln!(out, "{plain}")?;
        }
        TokensCommand::Remove { name } => {
            if !state.remove_api_token(name).await? {
                return Err(Failure::usage(format!("there is no token `{name}`")).hint("sluice tokens lists them"));
            }
            if json {
                return print_json(&json!({"name": name, "removed": true}));
            }
            writeln!(out, "token `{name}` is removed")?;
        }
    }
    Ok(())
}
