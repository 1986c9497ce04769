//! Networks and accounts as the settings have them, and what the schedule leaves alone.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use sluice_runtime::app::{Network, with_connector};
use sluice_runtime::network::look_back_rules;
use sluice_runtime::settings::look_back::LookBackRule;
use sluice_runtime::settings::network::{self, Account, NetworkSettings};
use sluice_runtime::timetable::Timetable;
use sluice_state::Pause;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Arguments, Body, JSON, Of, printed};
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
    /// Its cron expressions; null: no connector serves, and the file has none.
    #[schema(required)]
    schedule: Option<String>,
    /// Which days are read again, and how often.
    look_back: Vec<LookBackBody>,
    /// The pace of requests; null: none is stated.
    #[schema(required)]
    rate: Option<RateBody>,
    /// Which of `schedule`, `look_back` and `rate` the file states; the others are the connector's own.
    stated: Vec<String>,
    /// What is paused of it.
    #[schema(value_type = Vec<printed::Pause>)]
    paused: Vec<Pause>,
}

/// So many days back, so often.
#[derive(Serialize, ToSchema)]
struct LookBackBody {
    every_secs: u32,
    days: u32,
    /// The date; null: the stream's default.
    #[schema(required)]
    axis: Option<&'static str>,
    /// Only so many requests each time, for windows in which changes are expected; null: all days.
    #[schema(required)]
    requests: Option<u32>,
}

/// So many requests in so many seconds, so many at once.
#[derive(Serialize, ToSchema)]
struct RateBody {
    requests: u32,
    per_secs: u32,
    concurrency: u32,
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
        let paused = shared.app.state.pauses(&network.name).await?;
        let served = with_connector(&shared.app.registry, &shared.app.settings, network.clone()).ok();
        found.push(body(network, served.as_ref(), paused));
    }
    Ok(found)
}

/// A network, with what its connector adds where its file states nothing.
fn body(network: NetworkSettings, served: Option<&Network>, paused: Vec<Pause>) -> NetworkBody {
    let NetworkSettings { name, content, .. } = network;
    let schedule = served.and_then(|served| Timetable::of(served).ok()).map(|timetable| timetable.describe());
    let rules = served.map(look_back_rules).or_else(|| content.look_back.clone()).unwrap_or_default();
    let rate = content.rate.or_else(|| served?.manifest().rate);
    let states = [
        ("schedule", content.schedule.is_some()),
        ("look_back", content.look_back.is_some()),
        ("rate", content.rate.is_some()),
    ];
    let account = |account: &Account| AccountBody { name: account.name.clone(), id: account.id().to_owned() };
    NetworkBody {
        name,
        accounts: content.accounts.iter().map(account).collect(),
        schedule: schedule.or_else(|| content.schedule.clone()?.cron),
        look_back: rules.iter().map(LookBackBody::from).collect(),
        rate: rate.map(|rate| RateBody {
            requests: rate.requests,
            per_secs: rate.per_secs,
            concurrency: rate.concurrency,
        }),
        stated: states.iter().filter(|(_, is)| *is).map(|(what, _)| (*what).to_owned()).collect(),
        paused,
        connector: content.connector.clone(),
    }
}

impl From<&LookBackRule> for LookBackBody {
    fn from(rule: &LookBackRule) -> Self {
        let axis = rule.axis.map(|axis| axis.name());
        Self { every_secs: rule.every, days: rule.days, axis, requests: rule.requests }
    }
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
    #[schema(required, value_type = Option<printed::Pause>)]
    paused: Option<Pause>,
}

/// All accounts of all networks.
#[utoipa::path(get, path = "/v1/accounts", security(("token" = ["read"])),
    responses((status = 200, body = Vec<NetworkAccountBody>)))]
async fn accounts(State(shared): Of) -> Result<Json<Vec<NetworkAccountBody>>, ApiError> {
    let mut found = Vec::new();
    for NetworkBody { name: network, connector, accounts, paused, .. } in load(&shared).await? {
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
