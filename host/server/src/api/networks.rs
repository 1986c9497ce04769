//! Networks and accounts as the settings have them, and what the schedule leaves alone.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use sluice_runtime::settings::network;
use sluice_state::Pause;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Arguments, Body, JSON, Of};
use crate::error::ApiError;
use crate::{Shared, SharedState, commands};

pub(super) fn routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .routes(routes!(networks))
        .routes(routes!(accounts))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

/// A network as the settings have it. References to secrets stay there.
#[derive(Serialize, ToSchema)]
struct NetworkBody {
    name: String,
    connector: String,
    accounts: Vec<AccountBody>,
    /// What is paused of it.
    #[schema(value_type = Vec<Object>)]
    paused: Vec<Pause>,
}

#[derive(Serialize, ToSchema)]
struct AccountBody {
    name: String,
    /// What tables call it.
    id: String,
}

/// Networks and accounts as the settings have them; without those whose files can't be used, which are alarms.
#[utoipa::path(get, path = "/v1/networks", security(("token" = ["read"])),
    responses((status = 200, body = Vec<NetworkBody>)))]
async fn networks(State(shared): Of) -> Result<Json<Vec<NetworkBody>>, ApiError> {
    Ok(Json(load(&shared).await?))
}

async fn load(shared: &Shared) -> Result<Vec<NetworkBody>, ApiError> {
    let mut found = Vec::new();
    for network in network::load_each(&shared.app.settings.networks_dir)?.networks {
        let accounts = network.content.accounts.iter();
        found.push(NetworkBody {
            accounts: accounts.map(|a| AccountBody { name: a.name.clone(), id: a.id().to_owned() }).collect(),
            paused: shared.app.state.pauses(&network.name).await?,
            connector: network.content.connector,
            name: network.name,
        });
    }
    Ok(found)
}

/// An account of a network.
#[derive(Serialize, ToSchema)]
struct NetworkAccountBody {
    network: String,
    connector: String,
    name: String,
    /// What tables call it.
    id: String,
    /// Since when the schedule leaves it alone, by itself or with its network; null: it doesn't.
    #[schema(value_type = Option<Object>)]
    paused: Option<Pause>,
}

/// All accounts of all networks.
#[utoipa::path(get, path = "/v1/accounts", security(("token" = ["read"])),
    responses((status = 200, body = Vec<NetworkAccountBody>)))]
async fn accounts(State(shared): Of) -> Result<Json<Vec<NetworkAccountBody>>, ApiError> {
    let mut found = Vec::new();
    for NetworkBody { name: network, connector, accounts, paused } in load(&shared).await? {
        for AccountBody { name, id } in accounts {
            let is_of = |pause: &&Pause| pause.account.as_ref().is_none_or(|account| *account == id);
            let paused = paused.iter().find(is_of).cloned();
            found.push(NetworkAccountBody { network: network.clone(), connector: connector.clone(), name, id, paused });
        }
    }
    Ok(Json(found))
}

/// What to pause.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    /// Only this account.
    account: Option<String>,
    /// The reason.
    #[serde(default)]
    reason: String,
}

/// What to resume.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResumeBody {
    /// Only this account.
    account: Option<String>,
}

/// Pauses a network or an account: `sluice pause`.
#[utoipa::path(post, path = "/v1/networks/{network}/pause",
    params(("network" = String, Path, description = "the name of its file in networks/")), request_body = PauseBody,
    security(("token" = ["operate"])), responses((status = 200, body = Object)))]
async fn pause(State(shared): Of, Path(network): Path<String>, Body(body): Body<PauseBody>) -> Answer {
    let arguments = Arguments::of(&["pause"])
        .option("reason", Some(&body.reason))
        .option("account", body.account.as_deref())
        .values(&[&network]);
    commands::answer(&shared, JSON, arguments).await
}

/// Resumes a network or an account: `sluice resume`.
#[utoipa::path(post, path = "/v1/networks/{network}/resume",
    params(("network" = String, Path, description = "the name of its file in networks/")), request_body = ResumeBody,
    security(("token" = ["operate"])), responses((status = 200, body = Object)))]
async fn resume(State(shared): Of, Path(network): Path<String>, Body(body): Body<ResumeBody>) -> Answer {
    let arguments = Arguments::of(&["resume"]).option("account", body.account.as_deref()).values(&[&network]);
    commands::answer(&shared, JSON, arguments).await
}
