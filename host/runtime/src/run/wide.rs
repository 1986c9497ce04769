//! Tables that have as many columns as they may: a doubt for each, once. What it is about is in the tables, so it holds
//! nothing back and is there to be decided by a person: fields are named by values, or the limit is too low.

use std::collections::HashSet;

use chrono::Utc;
use sluice_lake::{DoubtRow, DoubtState, Fence};
use sluice_model::Slice;

use super::session;
use crate::app::{App, Network};
use crate::collect::Collected;
use crate::doubt::DoubtKind;
use crate::duplicates::{quoted, texts};
use crate::failure::Failure;
use crate::withheld::doubt_id_of;

/// Characters of an example that a doubt quotes.
const EXAMPLE_CHARS: usize = 60;

/// Records a doubt for each stream of which a run wrote fields without a column, if there is none yet. Its rows are
/// durable: what can't be noted now fails no run, and the next one with such fields notes it.
pub(super) async fn note(app: &App, network: &Network, run_id: &str, collected: &Collected, fence: Fence) {
    if let Err(failure) = try_note(app, network, run_id, collected, fence).await {
        tracing::warn!("fields without a column weren't noted: {}", failure.render(false));
    }
}

async fn try_note(
    app: &App,
    network: &Network,
    run_id: &str,
    collected: &Collected,
    fence: Fence,
) -> Result<(), Failure> {
    if !network.settings.content.doubt.has(DoubtKind::Columns) {
        return Ok(());
    }
    let id = &network.manifest().network;
    let earlier = app.lake.doubts(Some(id)).await?;
    let is_of_columns = |doubt: &&DoubtRow| doubt.kind == DoubtKind::Columns.name();
    let known: HashSet<&str> = earlier.iter().filter(is_of_columns).map(|doubt| doubt.stream.as_str()).collect();
    let mut rows = Vec::new();
    for found in beyond(app, id, run_id).await? {
        let is_it = |slice: &&Slice| slice.stream == found.stream && slice.account == found.account;
        let slice = collected.done.iter().map(|done| &done.slice).find(is_it);
        if let Some(slice) = slice.filter(|_| !known.contains(found.stream.as_str())) {
            rows.push(found.doubt(app, network, run_id, slice));
        }
    }
    for row in &rows {
        tracing::warn!(stream = row.stream, doubt = row.doubt_id, "doubtful: {}", row.reason);
    }
    Ok(app.lake.append_doubts(&rows, Some(fence)).await?)
}

/// What a run wrote to `_rest` of one table.
struct WideTable {
    stream: String,
    /// The first account of which there is something.
    account: String,
    records: u64,
    example: String,
}

/// What a run wrote to the `_rest` of a network's tables.
async fn beyond(app: &App, network: &str, run_id: &str) -> Result<Vec<WideTable>, Failure> {
    let session = session(app).await?;
    let (schema, run_id) = (network.replace('-', "_"), quoted(run_id));
    let streams =
        format!("SELECT DISTINCT stream FROM meta.columns WHERE network = {} AND path IS NULL", quoted(&schema));
    let mut found = Vec::new();
    for [stream] in texts(&session, &streams).await? {
        // Both names are a connector's, which are checked to need no escapes.
        let query = format!(
            "SELECT min(_account), count(*), min(_rest) FROM \"{schema}\".\"{stream}\"
             WHERE _run_id = {run_id} AND _rest IS NOT NULL HAVING count(*) > 0"
        );
        for [account, records, example] in texts(&session, &query).await? {
            let (stream, records) = (stream.clone(), records.parse().unwrap_or_default());
            found.push(WideTable { stream, account, records, example });
        }
    }
    Ok(found)
}

impl WideTable {
    fn doubt(&self, app: &App, network: &Network, run_id: &str, slice: &Slice) -> DoubtRow {
        let example: String = self.example.chars().take(EXAMPLE_CHARS).collect();
        let found_at = Utc::now();
        let reason = format!(
            "{} records have fields beyond the {} columns that columns_per_table allows; they are in `_rest` and hold \
             nothing back: {example}",
            self.records, app.settings.limits.columns_per_table
        );
        DoubtRow {
            // Not the slice's: accepting it must not take the slice for read.
            doubt_id: doubt_id_of(run_id, &format!("columns of {}", self.stream)),
            network: network.manifest().network.clone(),
            account: self.account.clone(),
            stream: self.stream.clone(),
            axis: slice.axis.name().to_owned(),
            window: slice.window,
            run_id: run_id.to_owned(),
            kind: DoubtKind::Columns.name().to_owned(),
            field: None,
            reason,
            request_ids: "[]".to_owned(),
            records: self.records,
            money_in_tables: "{}".to_owned(),
            money_in_answer: "{}".to_owned(),
            connector_version: network.connector.version().to_owned(),
            found_at,
            agrees_since: found_at,
            state: DoubtState::Open,
            decided_at: None,
            decided_by: None,
            decision: None,
        }
    }
}
