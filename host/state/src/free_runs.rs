//! The runs in the queue that nobody works on.

use chrono::{DateTime, Utc};
use sqlx::Row;

use crate::State;
use crate::error::Error;
use crate::leases::overlap;
use crate::queue::{BULK, SCHEDULED};
use crate::runs::{BulkWork, Selection};

/// A run that nobody works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeRun {
    /// The run's id, under which it is resumed.
    pub run_id: String,
    /// The network's name in the settings.
    pub network: String,
    /// The accounts that it needs, by their ids; all of the network without any.
    pub accounts: Vec<String>,
    /// What it does instead of reading.
    pub work: Option<BulkWork>,
    /// Whether it has time: no schedule names it.
    pub is_bulk: bool,
    /// When it was queued, or begun.
    pub queued_at: DateTime<Utc>,
}

impl State {
    /// Runs that nobody works on, in the order in which they are to be taken.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn free_runs(&self) -> Result<Vec<FreeRun>, Error> {
        self.free_runs_up_to(BULK).await
    }

    /// The same without those that have time, such as queued backfills.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn free_runs_of_schedules(&self) -> Result<Vec<FreeRun>, Error> {
        self.free_runs_up_to(SCHEDULED).await
    }

    async fn free_runs_up_to(&self, priority: i64) -> Result<Vec<FreeRun>, Error> {
        let query = sqlx::query(
            "SELECT run_id, network, selection, started_at, priority FROM runs WHERE priority <= $1
             ORDER BY priority, started_at, run_id",
        );
        let query = query.bind(priority);
        let rows = self.database.fetch_all(query).await?;
        let claimed = if rows.is_empty() { Vec::new() } else { self.claimed().await? };
        let mut free = Vec::new();
        for row in rows {
            let (run_id, network, selection): (String, String, String) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            // One of another version that can't be read is given up by who claims the network.
            let Selection { accounts, work, .. } = serde_json::from_str(&selection).unwrap_or_default();
            if !claimed.iter().any(|(of, claimed)| *of == network && overlap(claimed, &accounts)) {
                let queued_at: DateTime<Utc> = row.try_get::<String, _>(3)?.parse().unwrap_or_default();
                let is_bulk = row.try_get::<i64, _>(4)? >= BULK;
                free.push(FreeRun { run_id, network, accounts, work, is_bulk, queued_at });
            }
        }
        Ok(free)
    }
}
