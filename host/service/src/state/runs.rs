//! Runs that aren't over: noted before anything is sent, forgotten once `meta.runs` has them.

use chrono::{DateTime, Utc};
use sluice_model::Digest;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::State;
use crate::failure::Failure;
use crate::run::Verb;
use crate::slices::{PlannedSlice, Selection};

/// A run as it was planned, so that another process can go on with it.
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
    /// How often it was begun without a further response being kept.
    pub starts: u32,
    /// Responses that it had kept at the last start.
    pub kept: u64,
}

impl State {
    /// Notes a run before it sends anything.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_run(&self, run: &NotedRun) -> Result<(), Failure> {
        let json = |value: serde_json::Result<String>| value.map_err(Failure::failed);
        let query = sqlx::query(
            "INSERT INTO runs (run_id, network, verb, selection, slices, connector, started_at, starts, kept)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
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

    /// The network's runs that aren't over, oldest first. Whoever asks must hold its lease, or they may be alive.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn unfinished_runs(&self, network: &str) -> Result<Vec<NotedRun>, Failure> {
        let query = sqlx::query(
            "SELECT run_id, network, verb, selection, slices, connector, started_at, starts, kept
             FROM runs WHERE network = $1 ORDER BY started_at, run_id",
        );
        let rows = self.database.fetch_all(query.bind(network)).await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in &rows {
            match noted_run(row) {
                Ok(run) => runs.push(run),
                Err(error) => {
                    // Written by another version. The state isn't the truth: what was kept is in raw.
                    let run_id: String = row.try_get(0)?;
                    tracing::warn!(network, run_id, %error, "an unfinished run can't be read and is given up");
                    self.forget_run(&run_id).await?;
                }
            }
        }
        Ok(runs)
    }

    /// Notes that a run is begun again.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn note_start(&self, run: &NotedRun) -> Result<(), Failure> {
        let query = sqlx::query("UPDATE runs SET starts = $1, kept = $2 WHERE run_id = $3");
        let query = query.bind(i64::from(run.starts)).bind(run.kept.cast_signed()).bind(&run.run_id);
        self.database.execute(query).await?;
        Ok(())
    }

    /// Forgets a run that is over.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn forget_run(&self, run_id: &str) -> Result<(), Failure> {
        self.database.execute(sqlx::query("DELETE FROM runs WHERE run_id = $1").bind(run_id)).await?;
        Ok(())
    }
}

fn noted_run(row: &AnyRow) -> anyhow::Result<NotedRun> {
    let text = |at: usize| row.try_get::<String, _>(at);
    let connector = text(5)?;
    Ok(NotedRun {
        run_id: text(0)?,
        network: text(1)?,
        verb: serde_json::from_str(&text(2)?)?,
        selection: serde_json::from_str(&text(3)?)?,
        slices: serde_json::from_str(&text(4)?)?,
        connector: Digest::from_hex(&connector).ok_or_else(|| anyhow::anyhow!("`{connector}` is no digest"))?,
        started_at: text(6)?.parse()?,
        starts: u32::try_from(row.try_get::<i64, _>(7)?)?,
        kept: u64::try_from(row.try_get::<i64, _>(8)?)?,
    })
}
