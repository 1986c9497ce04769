//! Networks by data: one server that plays whatever a facts file describes, `connectors/<network>/simulated.json`.
//!
//! The files are written from the network's documents, never from its connector. `FACTS.md` has their form.

mod answer;
mod facts;
mod rows;
mod scope;
mod window;

use crate::core::Core;
use crate::exchange::{Ask, Reply};
use crate::truth::TruthRow;
use chrono::{DateTime, Utc};

pub(crate) use answer::{answer, error_at_200, expired};
pub(crate) use facts::{Facts, all};

/// What is delivered of an account at a clock.
pub(crate) fn truth(core: &Core, index: usize, clock: DateTime<Utc>, facts: &Facts) -> Vec<TruthRow> {
    let Some(played) = core.accounts.get(index) else { return Vec::new() };
    let lists = facts.lists.iter().filter_map(|list| Some((list, list.truth.as_ref()?)));
    lists
        .flat_map(|(list, truth)| {
            let entries = rows::entries(core, index, clock, list.rows);
            entries.iter().flat_map(|entry| entry.truth(facts, played, truth)).collect::<Vec<_>>()
        })
        .collect()
}

/// Whether a request is the sign-in.
pub(crate) fn is_login(facts: &Facts, ask: &Ask) -> bool {
    facts.sign_in.as_ref().is_some_and(|sign_in| sign_in.path == ask.path)
}

/// A reply of a facts file.
fn reply(stated: &facts::Stated) -> Reply {
    Reply::new(stated.status, media(&stated.media), stated.body.clone())
}

fn media(name: &str) -> &'static str {
    match name {
        "xml" => "application/xml",
        "csv" => "text/csv",
        "text" => "text/plain",
        "html" => "text/html; charset=utf-8",
        _ => "application/json",
    }
}
