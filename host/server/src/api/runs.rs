//! What runs did: runs, their slices, their requests; and what a run would request.

use axum::extract::{Path, State};
use serde::Deserialize;
use sluice_runtime::selection;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Arguments, JSON, Of, Parameters, unprocessable};
use crate::error::ApiError;
use crate::{SharedState, commands};

/// Rows of a list, unless the request says otherwise, and at the most.
const ROWS: u32 = 100;
const MOST_ROWS: u32 = 10_000;

pub(super) fn routes() -> OpenApiRouter<SharedState> {
    OpenApiRouter::new()
        .routes(routes!(runs))
        .routes(routes!(run))
        .routes(routes!(slices))
        .routes(routes!(requests))
        .routes(routes!(plan))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RunsQuery {
    /// At most this many.
    limit: Option<u32>,
    /// Only those of this network.
    network: Option<String>,
}

/// Runs, newest first: `sluice runs`.
#[utoipa::path(get, path = "/v1/runs", params(RunsQuery), security(("token" = ["read"])),
    responses((status = 200, body = Vec<Object>)))]
async fn runs(State(shared): Of, Parameters(query): Parameters<RunsQuery>) -> Answer {
    let limit = query.limit.unwrap_or(20).to_string();
    let arguments = Arguments::of(&["runs"]).option("limit", Some(&limit)).option("network", query.network.as_deref());
    commands::answer(&shared, JSON, arguments).await
}

/// One run: its row of `meta.runs`. Empty if there is none.
#[utoipa::path(get, path = "/v1/runs/{id}", params(("id" = String, Path, description = "the run's id")),
    security(("token" = ["read"])), responses((status = 200, body = Vec<Object>)))]
async fn run(State(shared): Of, Path(id): Path<String>) -> Answer {
    let query = format!("SELECT * FROM meta.runs WHERE run_id = {}", literal(&id));
    commands::answer(&shared, JSON, Arguments::of(&["sql", "--format=json"]).values(&[&query])).await
}

/// Which rows of a table.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RowsQuery {
    /// Only those of this run.
    run: Option<String>,
    /// Only those of this network id.
    network: Option<String>,
    /// Only those of this account, as tables call it.
    account: Option<String>,
    /// Only those of this stream.
    stream: Option<String>,
    /// Only from this moment on: a day or RFC 3339, UTC.
    since: Option<String>,
    /// Only before this moment.
    until: Option<String>,
    /// At most this many: 100 without it, 10000 at the most.
    limit: Option<u32>,
}

/// Slices that were read, newest first, with what failed: rows of `meta.coverage`.
#[utoipa::path(get, path = "/v1/slices", params(RowsQuery), security(("token" = ["read"])),
    responses((status = 200, body = Vec<Object>)))]
async fn slices(State(shared): Of, Parameters(query): Parameters<RowsQuery>) -> Answer {
    let query = query.sql("meta.coverage", "read_at")?;
    commands::answer(&shared, JSON, Arguments::of(&["sql", "--format=json"]).values(&[&query])).await
}

/// Requests that were sent, newest first, secrets masked: rows of `meta.requests`. `raw_object` names the body for `/v1/raw`.
#[utoipa::path(get, path = "/v1/requests", params(RowsQuery), security(("token" = ["read"])),
    responses((status = 200, body = Vec<Object>)))]
async fn requests(State(shared): Of, Parameters(query): Parameters<RowsQuery>) -> Answer {
    let query = query.sql("meta.requests", "sent_at")?;
    commands::answer(&shared, JSON, Arguments::of(&["sql", "--format=json"]).values(&[&query])).await
}

impl RowsQuery {
    fn sql(&self, table: &str, time: &str) -> Result<String, ApiError> {
        let columns =
            [("run_id", &self.run), ("network", &self.network), ("account", &self.account), ("stream", &self.stream)];
        let equal = columns.into_iter().filter_map(|(column, value)| {
            let value = value.as_ref()?;
            Some(format!("{column} = {}", literal(value)))
        });
        let mut conditions: Vec<String> = equal.collect();
        for (operator, moment) in [(">=", &self.since), ("<", &self.until)] {
            let Some(moment) = moment else { continue };
            let moment = selection::moment(moment).map_err(unprocessable)?.to_rfc3339();
            conditions.push(format!("{time} {operator} TIMESTAMP '{moment}'"));
        }
        let filter = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let limit = self.limit.unwrap_or(ROWS).min(MOST_ROWS);
        Ok(format!("SELECT * FROM {table} {filter} ORDER BY {time} DESC LIMIT {limit}"))
    }
}

/// A text as SQL writes it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What to plan.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PlanQuery {
    /// The network: the name of its file in networks/.
    network: String,
    /// Only this account.
    account: Option<String>,
    /// Only this stream.
    stream: Option<String>,
    /// Start of the window: a day or RFC 3339, UTC. Without it the look-back rules say what is read.
    since: Option<String>,
    /// End of the window, not part of it; now without it.
    until: Option<String>,
    /// Filter on this date: transaction, modified, validation or payment.
    axis: Option<String>,
}

/// The first requests that a run would send, secrets masked; nothing is sent: `sluice plan`.
#[utoipa::path(get, path = "/v1/plan", params(PlanQuery), security(("token" = ["read"])),
    responses((status = 200, body = Vec<Object>)))]
async fn plan(State(shared): Of, Parameters(query): Parameters<PlanQuery>) -> Answer {
    let arguments = Arguments::of(&["plan"])
        .option("account", query.account.as_deref())
        .option("stream", query.stream.as_deref())
        .option("since", query.since.as_deref())
        .option("until", query.until.as_deref())
        .option("axis", query.axis.as_deref())
        .values(&[&query.network]);
    commands::answer(&shared, JSON, arguments).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_text_of_a_request_stays_a_text_in_sql() {
        let query = RowsQuery {
            run: None,
            network: Some("x' OR 1=1 --".to_owned()),
            account: None,
            stream: None,
            since: Some("2026-01-05".to_owned()),
            until: None,
            limit: Some(1_000_000),
        };
        assert_eq!(
            query.sql("meta.requests", "sent_at").unwrap(),
            "SELECT * FROM meta.requests WHERE network = 'x'' OR 1=1 --' AND sent_at >= TIMESTAMP \
             '2026-01-05T00:00:00+00:00' ORDER BY sent_at DESC LIMIT 10000"
        );
        let wrong = RowsQuery { since: Some("yesterday".to_owned()), ..query };
        assert_eq!(wrong.sql("meta.requests", "sent_at").unwrap_err().status.as_u16(), 422);
    }
}
