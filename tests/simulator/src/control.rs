//! What the control listener has of its own: the clock, the truth, the log.
//!
//! `POST /_sim/advance?hours=…` (also `minutes`, `days`), `GET /_sim/clock`, `GET /_sim/accounts`,
//! `GET /_sim/truth?network=…&account=…`, `GET /_sim/requests`.

use crate::core::Core;
use crate::exchange::{Ask, Reply};
use chrono::TimeDelta;
use serde::Serialize;

/// Answers a request below `/_sim/`.
pub(crate) fn answer(core: &Core, ask: &Ask) -> Reply {
    match (ask.method.as_str(), ask.path.as_str()) {
        ("POST", "/_sim/advance") => match span(ask) {
            Some(by) => json(&serde_json::json!({ "clock": core.advance(by) })),
            None => Reply::text(400, "give hours, minutes or days as whole numbers"),
        },
        ("GET", "/_sim/clock") => json(&serde_json::json!({ "clock": core.clock() })),
        ("GET", "/_sim/accounts") => json(&core.accounts.iter().map(|played| &played.account).collect::<Vec<_>>()),
        ("GET", "/_sim/truth") => {
            let (network, account) =
                (ask.param("network").unwrap_or_default(), ask.param("account").unwrap_or_default());
            json(&core.truth(network, account))
        }
        ("GET", "/_sim/requests") => json(&core.log()),
        _ => Reply::text(404, "no such control"),
    }
}

fn span(ask: &Ask) -> Option<TimeDelta> {
    let mut total: Option<TimeDelta> = None;
    for (name, minutes) in [("minutes", 1), ("hours", 60), ("days", 1440)] {
        if let Some(text) = ask.param(name) {
            let span = TimeDelta::try_minutes(text.parse::<i64>().ok()?.checked_mul(minutes)?)?;
            total = Some(total.unwrap_or_default().checked_add(&span)?);
        }
    }
    total
}

fn json(value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(bytes) => Reply::new(200, "application/json", bytes),
        Err(error) => Reply::text(500, error.to_string()),
    }
}
