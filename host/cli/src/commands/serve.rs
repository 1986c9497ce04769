//! `sluice serve` with its HTTP API, and `sluice tokens`: who may call it.

use std::io::Write;
use std::sync::Arc;

use serde_json::json;
use sluice_model::describe;
use sluice_runtime::api_tokens;
use sluice_runtime::app::{App, GRACE};
use sluice_runtime::failure::Failure;
use sluice_runtime::roles::{Role, Roles};
use sluice_runtime::service;
use sluice_runtime::settings::Settings;
use sluice_server::Server;
use sluice_state::State;
use tokio::sync::oneshot;

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

async fn serve_roles(app: &Arc<App>, roles: &Roles) -> Result<(), Failure> {
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
    match Server::bind(app, has_api).await {
        Err(failure) if !has_api => {
            tracing::error!("there are no health and metrics: {}", failure.render(false));
            Ok(None)
        }
        bound => bound,
    }
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
                writeln!(out, "{} ({}), made {}", token.name, token.role.name(), rfc3339(token.created_at))?;
            }
        }
        TokensCommand::Create { name, role } => {
            let role = sluice_state::Role::named(role).ok_or_else(|| Failure::usage(format!("`{role}` is no role")))?;
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
