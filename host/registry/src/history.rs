//! Which version served when: in the lake's history, and in the state store, where running services look.

use chrono::Utc;
use sluice_lake::{ConnectorRow, Lake};
use sluice_model::Digest;
use sluice_state::{Active, Decision, State};

use crate::error::Error;

/// Notes that versions serve: in the lake's history with one commit, then where running services look. Of each, false, and
/// nothing is changed, if it was rolled back since it was let in.
///
/// # Errors
/// The lake's or the state store's failure.
pub(crate) async fn take_over(lake: &Lake, state: &State, versions: &[Active]) -> Result<Vec<bool>, Error> {
    if versions.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<ConnectorRow> = versions.iter().map(|version| row(version, None)).collect();
    lake.append_connectors(&rows).await?;
    let mut all = Vec::with_capacity(versions.len());
    for version in versions {
        let serves = state.take_over(version).await?;
        if !serves {
            append_serving(lake, state, &version.network, Some(version.digest)).await?;
        }
        all.push(serves);
    }
    Ok(all)
}

/// Puts a version back and holds others, of which the first is the one that is rolled back. False if `serving` serves no
/// more: then what is to be rolled back must be looked for again.
///
/// # Errors
/// The lake's or the state store's failure.
pub async fn roll_back(
    lake: &Lake,
    state: &State,
    to: &Active,
    serving: Digest,
    held: &[Digest],
) -> Result<bool, Error> {
    append(lake, to, held.first().copied()).await?;
    let serves = state.roll_back(to, serving, held).await?;
    if !serves {
        append_serving(lake, state, &to.network, None).await?;
    }
    Ok(serves)
}

/// Notes in the lake's history what serves: it must not end in a version that doesn't.
async fn append_serving(lake: &Lake, state: &State, network: &str, rolled_back: Option<Digest>) -> Result<(), Error> {
    match state.active("", Some(network)).await? {
        Some(serving) => append(lake, &Active { since: Utc::now(), ..serving }, rolled_back).await,
        None => Ok(()),
    }
}

async fn append(lake: &Lake, active: &Active, rolled_back: Option<Digest>) -> Result<(), Error> {
    Ok(lake.append_connectors(&[row(active, rolled_back)]).await?)
}

fn row(active: &Active, rolled_back: Option<Digest>) -> ConnectorRow {
    let source = match rolled_back {
        None => active.file.clone(),
        Some(digest) => format!("{}{ROLLED_BACK}{digest}", active.file),
    };
    ConnectorRow {
        network: active.network.clone(),
        version: active.version.clone(),
        digest: active.digest,
        activated_at: active.since,
        source: Some(source),
    }
}

/// Between a file's name and the digest that was rolled back, in the lake's history.
const ROLLED_BACK: &str = ", rolled back from ";

/// What serves a network by the lake's history, after the state store was lost; what was rolled back stays held.
///
/// # Errors
/// The lake's or the state store's failure.
pub async fn restore(lake: &Lake, state: &State, network: &str, file: &str) -> Result<Option<Active>, Error> {
    let history = lake.activations(network).await?;
    let Some(last) = history.last() else { return Ok(None) };
    for row in &history {
        let held = row.source.as_deref().and_then(|source| Digest::from_hex(source.split_once(ROLLED_BACK)?.1));
        let Some(held) = held else { continue };
        let came_back = history.iter().any(|later| later.digest == held && later.activated_at > row.activated_at);
        if !came_back {
            state.record_decision(network, held, Decision::Hold).await?;
        }
    }
    let source = last.source.as_deref().unwrap_or(file);
    let active = Active {
        network: network.to_owned(),
        file: source.split_once(ROLLED_BACK).map_or(source, |(file, _)| file).to_owned(),
        digest: last.digest,
        version: last.version.clone(),
        rights: String::new(),
        since: last.activated_at,
    };
    state.note_active(&active).await?;
    Ok(Some(active))
}
