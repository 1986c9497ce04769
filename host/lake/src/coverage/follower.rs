//! `meta.coverage_state`: the folded coverage as a table that follows `meta.coverage`.

use deltalake::kernel::Add;

use super::{CoverageFold, rows};
use crate::error::Error;
use crate::follow::{Follower, Following, Incoming};
use crate::lake::Lake;
use crate::table::{Proposal, Table, TableSpec, remove};

pub(crate) type CoverageState = Following<Folded>;

impl CoverageState {
    pub(crate) async fn open(lake: &Lake) -> Result<Self, Error> {
        Self::new(lake, Folded).await
    }
}

impl Lake {
    /// Folds reads that were recorded since into `meta.coverage_state`.
    pub(crate) async fn fold_coverage(&self) -> Result<(), Error> {
        let known = self.known::<tokio::sync::Mutex<Option<CoverageState>>>();
        let mut coverage = known.lock().await;
        let state = match coverage.take() {
            Some(open) => open,
            None => CoverageState::open(self).await?,
        };
        coverage.insert(state).catch_up().await
    }
}

/// Folds what was read, network by network: a commit rewrites what it touches of the state.
pub(crate) struct Folded;

impl Follower for Folded {
    const NAME: &'static str = "coverage";
    const SOURCE: (&'static str, &'static str) = ("meta", "coverage");
    const TARGET: (&'static str, &'static str) = ("meta", "coverage_state");

    fn table_spec(&self, _: &Table) -> Result<TableSpec, Error> {
        Ok(rows::table_spec())
    }

    async fn change(&mut self, source: &Table, target: &Table, incoming: Incoming) -> Result<Proposal, Error> {
        let (mut fold, replaced, incoming) = match incoming {
            Incoming::All(all) => (CoverageFold::default(), target.adds(), all),
            Incoming::Added(added) => {
                let networks = rows::networks(source, &added).await?;
                let network = |add: &Add| add.partition_values.get("network").cloned().flatten().unwrap_or_default();
                let touched: Vec<Add> =
                    target.adds().into_iter().filter(|add| networks.contains(&network(add))).collect();
                (rows::state(target, &touched).await?, touched, added)
            }
        };
        rows::add_reads(&mut fold, source, &incoming).await?;
        fold.forget();
        let rows = rows::rows(target.name(), &fold)?;
        let adds = target.write_files(&rows, None).await?;
        Ok(Proposal { removes: replaced.iter().map(remove).collect(), adds, ..Proposal::default() })
    }
}
