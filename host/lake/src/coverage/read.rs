//! The coverage as it now is: the folded state, and the reads that it hasn't absorbed yet.

use super::follower::Folded;
use super::{Coverage, CoverageFold, rows};
use crate::error::Error;
use crate::follow::{self, Follower};
use crate::lake::Lake;
use crate::table::Table;

/// How often it is begun again because a file was compacted and deleted meanwhile.
const MAX_ATTEMPTS: u32 = 3;

impl Lake {
    /// What was read of each stream of each account and what is missing of it, sorted. It writes nothing: a lake
    /// without the folded state, of an older release, is read row by row.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn coverage(&self) -> Result<Vec<Coverage>, Error> {
        let mut attempt = 1;
        loop {
            match self.coverage_fold().await {
                Err(error) if error.is_missing() && attempt < MAX_ATTEMPTS => attempt += 1,
                fold => return Ok(fold?.coverage()),
            }
        }
    }

    async fn coverage_fold(&self) -> Result<CoverageFold, Error> {
        // In this order: the reads are then those that the state has absorbed, and later ones.
        let state = Table::open(self, Folded::TARGET.0, Folded::TARGET.1).await?;
        let reads = Table::open(self, Folded::SOURCE.0, Folded::SOURCE.1).await?;
        let application = follow::application(Folded::NAME, reads.id().unwrap_or_default());
        let added = match follow::absorbed(&state, &application).await? {
            Some(absorbed) => reads.added_since(absorbed).await?,
            None => None,
        };
        let (mut fold, added) = match added {
            Some(added) => (rows::state(&state, &state.adds()).await?, added),
            None => (CoverageFold::default(), reads.adds()),
        };
        rows::add_reads(&mut fold, &reads, &added).await?;
        Ok(fold)
    }
}
