//! Runs that aren't over: noted before anything is sent, forgotten once `meta.runs` has them.
//!
//! They are the queue, too: a run that waits to be begun, one that was interrupted, and one whose process died are taken in
//! the same way, by whoever claims its accounts. See [`crate::queue`].

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use sluice_model::{Axis, Digest, Slice, Window};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::State;
use crate::error::Error;
use crate::rule_reads::RunEnd;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Collect and build.
    Run,
    /// Only to raw.
    Collect,
    /// Only from raw.
    Build,
}

impl Verb {
    /// Its name in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Collect => "collect",
            Self::Build => "build",
        }
    }
}

/// What a command asks to read, as it was given: the same question is the same selection at any time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Only this account.
    pub account: Option<String>,
    /// Only these accounts, by their ids: this part of the network is a run of its own. All without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
    /// Only this stream.
    pub stream: Option<String>,
    /// Only this date.
    pub axis: Option<Axis>,
    /// From this moment on, instead of the look-back rules.
    pub since: Option<DateTime<Utc>>,
    /// To this moment; now without it.
    pub until: Option<DateTime<Utc>>,
    /// These look-back rules, by key; all without it.
    #[serde(default, deserialize_with = "rule_keys")]
    pub rules: Option<Vec<String>>,
    /// Not these streams: they have a schedule of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_streams: Vec<String>,
    /// Not these accounts: they are paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_accounts: Vec<String>,
    /// The windows of these rules, by key, reach back to this moment at least.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub catch_up: BTreeMap<String, DateTime<Utc>>,
    /// What is done with the window instead of reading it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<BulkWork>,
}

/// Work on a window of history that reads nothing of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum BulkWork {
    /// What raw holds of it is mapped again, and what differs is written.
    Replay {
        /// The digest of the connector that maps, which the lake keeps.
        connector: String,
    },
    /// A month of a network's runs is mapped into the tables of a rebuild. The run's id is `<rebuild>.<part>`.
    Rebuild {
        /// The rebuild's id.
        rebuild: String,
        /// The part, by which the lake keeps its runs; a number of fixed width and the network's id. A network's parts are done
        /// in their order.
        part: String,
        /// The digest of the connector that maps, which the lake keeps.
        connector: String,
    },
    /// What is left of a rebuild is mapped, and its tables take the place of the old ones: once all of its parts are done.
    PlaceRebuild {
        /// The rebuild's id.
        rebuild: String,
        /// The runs of its parts have ids before this one.
        until: String,
        /// The digest of what its parts were cut from: if that isn't so any more, nothing is replaced.
        plan: String,
        /// Although raw no longer holds everything.
        lossy: bool,
    },
}

impl BulkWork {
    /// The rebuild that this is a part of.
    pub fn rebuild(&self) -> Option<&str> {
        match self {
            Self::Replay { .. } => None,
            Self::Rebuild { rebuild, .. } | Self::PlaceRebuild { rebuild, .. } => Some(rebuild),
        }
    }
}

/// The keys of rules. Earlier versions wrote places in the list, which name nothing for certain.
fn rule_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let rules = Option::<Vec<serde_json::Value>>::deserialize(deserializer)?;
    Ok(rules.map(|rules| rules.iter().filter_map(|rule| rule.as_str().map(str::to_owned)).collect()))
}

impl Selection {
    /// The window that is asked for at `now`, if not the look-back rules'.
    pub fn window(&self, now: DateTime<Utc>) -> Option<Window> {
        self.since.map(|since| Window { since, until: self.until.unwrap_or(now) })
    }
}

/// A slice with the look-back rule that asks for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedSlice {
    /// What to read.
    #[serde(flatten)]
    pub slice: Slice,
    /// The rule's key; none if a window was asked for by name. Only a rule's slices have cursors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// A run as it was planned, so that another process can resume it.
#[derive(Clone, Debug, PartialEq)]
pub struct NotedRun {
    /// Its id, which it keeps.
    pub run_id: String,
    /// The network's name in the settings.
    pub network: String,
    /// What it is to do.
    pub verb: Verb,
    /// What was asked for, as it was given.
    pub selection: Selection,
    /// The slices, their windows fixed.
    pub slices: Vec<PlannedSlice>,
    /// The connector that it began with.
    pub connector: Digest,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How often it was begun without a further response being kept; 0: it waits to be begun.
    pub starts: u32,
    /// Responses that it had kept at the last start.
    pub kept: u64,
}

impl NotedRun {
    /// It without its last start, which ended in an error and so not its process. Not below 1: a run that was begun isn't
    /// one that waits to be.
    pub fn forgiven(self) -> Self {
        Self { starts: self.starts.saturating_sub(1).max(1), ..self }
    }
}

impl State {
    /// Notes a run before it sends anything. One that waited in the queue keeps its place there.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_run(&self, run: &NotedRun) -> Result<(), Error> {
        let json = |value: serde_json::Result<String>| value.map_err(Error::value);
        let query = sqlx::query(
            "INSERT INTO runs (run_id, network, verb, selection, slices, connector, started_at, starts, kept)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (run_id) DO UPDATE SET slices = excluded.slices, connector = excluded.connector,
                 started_at = excluded.started_at, starts = excluded.starts",
        )
        .bind(&run.run_id)
        .bind(&run.network)
        .bind(json(serde_json::to_string(&run.verb))?)
        .bind(json(serde_json::to_string(&run.selection))?)
        .bind(json(serde_json::to_string(&run.slices))?)
        .bind(run.connector.to_hex())
        .bind(run.started_at.to_rfc3339())
        .bind(i64::from(run.starts))
        .bind(run.kept.cast_signed());
        self.database.execute(query).await?;
        Ok(())
    }

    /// The network's runs that were begun and aren't over, oldest first. The caller must have claimed the network; otherwise
    /// they may be running.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn unfinished_runs(&self, network: &str) -> Result<Vec<NotedRun>, Error> {
        self.noted_runs(network, "starts > 0 AND $2 = ''", "").await
    }

    /// A run that isn't over; none if it is by now. The caller must have claimed its accounts.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn noted_run(&self, network: &str, run_id: &str) -> Result<Option<NotedRun>, Error> {
        Ok(self.noted_runs(network, "run_id = $2", run_id).await?.pop())
    }

    async fn noted_runs(&self, network: &str, condition: &'static str, value: &str) -> Result<Vec<NotedRun>, Error> {
        let query = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT run_id, network, verb, selection, slices, connector, started_at, starts, kept
             FROM runs WHERE network = $1 AND {condition} ORDER BY started_at, run_id"
        )));
        let rows = self.database.fetch_all(query.bind(network).bind(value)).await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in &rows {
            match noted_run(row) {
                Ok(run) => runs.push(run),
                Err(error) => {
                    // Written by another version. The state isn't the truth: what was kept is in raw.
                    let run_id: String = row.try_get(0)?;
                    tracing::warn!(network, run_id, %error, "an unfinished run can't be read and is given up");
                    self.end_run(&run_id, &RunEnd::Unread).await?;
                }
            }
        }
        Ok(runs)
    }

    /// The ids of all runs that aren't over, with the work that is done instead of reading, sorted by the ids.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn queued_work(&self) -> Result<Vec<(String, Option<BulkWork>)>, Error> {
        let rows = self.database.fetch_all(sqlx::query("SELECT run_id, selection FROM runs")).await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows {
            let (run_id, selection): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let selection: Selection = serde_json::from_str(&selection).unwrap_or_default();
            runs.push((run_id, selection.work));
        }
        runs.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(runs)
    }

    /// Notes that a run is begun again.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_start(&self, run: &NotedRun) -> Result<(), Error> {
        let query = sqlx::query("UPDATE runs SET starts = $1, kept = $2 WHERE run_id = $3");
        let query = query.bind(i64::from(run.starts)).bind(run.kept.cast_signed()).bind(&run.run_id);
        self.database.execute(query).await?;
        Ok(())
    }
}

fn noted_run(row: &AnyRow) -> Result<NotedRun, Error> {
    let text = |at: usize| row.try_get::<String, _>(at);
    let connector = text(5)?;
    Ok(NotedRun {
        run_id: text(0)?,
        network: text(1)?,
        verb: serde_json::from_str(&text(2)?).map_err(Error::value)?,
        selection: serde_json::from_str(&text(3)?).map_err(Error::value)?,
        slices: serde_json::from_str(&text(4)?).map_err(Error::value)?,
        connector: Digest::from_hex(&connector).ok_or_else(|| Error::Value(format!("`{connector}` is no digest")))?,
        started_at: text(6)?.parse().map_err(Error::value)?,
        starts: u32::try_from(row.try_get::<i64, _>(7)?).map_err(Error::value)?,
        kept: u64::try_from(row.try_get::<i64, _>(8)?).map_err(Error::value)?,
    })
}
