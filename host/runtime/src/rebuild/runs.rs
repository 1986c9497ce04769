//! Mapping the responses of runs into the tables of a rebuild, one run after another.
//!
//! A run that was mapped in part is mapped again from its beginning: what the tables have of it isn't added twice.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::TimeDelta;
use futures::{StreamExt, stream};
use sluice_lake::{CommitterOptions, Counts, CoverageRow, Fence, Lake, Ledger, RawFilter};
use sluice_model::{ErrorKind, Slice, SliceRead, describe};

use crate::app::{App, Network};
use crate::collect::too_many_rejects;
use crate::doubts::is_only_doubted;
use crate::failure::Failure;
use crate::network::connector_ref;
use crate::settings::network::{self, NetworkFile, NetworkSettings};
use crate::slice_done::{SliceReport, readable_window};
use crate::tables::{self, Remapped};
use crate::withheld::WithheldResponses;

/// Networks by the ids of their connectors.
pub(super) struct NetworksById {
    by_id: BTreeMap<String, Network>,
    /// All files: several may name one connector.
    all: Vec<NetworkSettings>,
}

impl NetworksById {
    /// All networks of the settings, with the connectors that serve.
    pub(super) fn load(app: &App) -> Result<Self, Failure> {
        let all = network::load_all(&app.settings.networks_dir)?;
        let mut by_id: BTreeMap<String, Network> = BTreeMap::new();
        for settings in &all {
            let network = app.network(&settings.name)?;
            by_id.entry(network.manifest().network.clone()).or_insert(network);
        }
        Ok(Self { by_id, all })
    }

    /// One network alone.
    pub(super) fn only(app: &App, network: Network) -> Result<Self, Failure> {
        let all = network::load_all(&app.settings.networks_dir)?;
        Ok(Self { by_id: BTreeMap::from([(network.manifest().network.clone(), network)]), all })
    }

    /// The networks with their ids, sorted by these.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Network)> {
        self.by_id.iter()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.by_id.keys().cloned().collect()
    }

    /// # Errors
    /// A settings failure if no settings know it.
    pub(super) fn network(&self, id: &str) -> Result<&Network, Failure> {
        self.by_id.get(id).ok_or_else(|| {
            Failure::settings(format!("raw holds responses of network `{id}`, which no file in networks/ names"))
                .hint(format!("add a network with \"connector\": \"{id}\"; nothing was replaced"))
        })
    }

    /// How much later another read must confirm what a slice lacks, as the settings of its account say now.
    fn confirm_after(&self, app: &App, slice: &Slice) -> TimeDelta {
        let is_own = |settings: &&NetworkSettings| {
            let NetworkFile { connector, accounts, .. } = &*settings.content;
            *connector == slice.network && accounts.iter().any(|account| account.id() == slice.account)
        };
        let own = self.all.iter().find(is_own).map(|settings| settings.content.vanish).unwrap_or_default();
        own.confirm_after(app.settings.vanish)
    }
}

/// What all responses of a run became.
#[derive(Default)]
struct MappedRun {
    /// Rejected records by slice.
    rejects: BTreeMap<String, u64>,
    /// Slices of which a response could not be mapped at all.
    unmapped: HashSet<String>,
}

/// Maps runs into the tables of a rebuild, in the order in which they come.
pub(super) struct RunMapper<'a> {
    app: &'a Arc<App>,
    fresh: &'a Lake,
    networks: &'a NetworksById,
    fence: Option<Fence>,
    withheld: WithheldResponses,
    ledger: Ledger,
    counts: Counts,
}

impl<'a> RunMapper<'a> {
    /// `fence`: the lease of the process, if another one may have begun the same.
    pub(super) async fn new(
        app: &'a Arc<App>,
        fresh: &'a Lake,
        networks: &'a NetworksById,
        fence: Option<Fence>,
    ) -> Result<Self, Failure> {
        if let Some(fence) = &fence {
            fresh.shut_out_lapsed(fence).await?;
        }
        let columns_per_table = app.settings.limits.columns_per_table;
        let options = CommitterOptions { columns_per_table, ..CommitterOptions::default() };
        let ledger = fresh.ledger_under(options, fence.clone());
        let withheld = WithheldResponses::of(&app.lake, None).await?;
        Ok(Self { app, fresh, networks, fence, withheld, ledger, counts: Counts::default() })
    }

    /// What was mapped, and what was new of it.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Maps all responses of a run and commits what they gave, with what vanished and what the run covers.
    pub(super) async fn map(&mut self, run: &str) -> Result<(), Failure> {
        self.fresh.index_requests(run, self.fence.as_ref()).await?;
        let mapped = self.map_responses(run).await?;
        let reads: Vec<SliceRead> =
            self.fresh.slice_reads(run).await?.into_iter().map(|read| undoubted(read, &self.withheld)).collect();
        for read in &reads {
            if self.is_whole(read, &mapped) {
                let confirm_after = self.networks.confirm_after(self.app, &read.slice);
                self.ledger.window_read(&read.slice, read.read_at, confirm_after);
            }
        }
        self.counts = self.ledger.commit().await?;
        // What covers nothing was reported when it was read.
        let rows: Vec<CoverageRow> = reads.iter().filter_map(|read| self.coverage(read, &mapped)).collect();
        Ok(self.fresh.append_coverage_once(&rows, self.fence.as_ref()).await?)
    }

    async fn map_responses(&mut self, run: &str) -> Result<MappedRun, Failure> {
        let mut done = MappedRun::default();
        let filter = RawFilter { run_id: Some(run.to_owned()), ..RawFilter::default() };
        let mut objects = self.withheld.without(self.fresh.raw_objects(&filter).await?);
        // A run is of one network: its first response names it.
        let Some(first) = objects.next().await.transpose()? else { return Ok(done) };
        let network = self.networks.network(&first.slice.network)?;
        let connector = connector_ref(&network.connector);
        let objects = stream::iter([Ok(first)]).chain(objects).boxed();
        let mut mapped = tables::prepare_all(self.app, &network.connector, objects);
        while let Some(Remapped { raw, outcome, memory }) = mapped.next().await.transpose()? {
            let slice = raw.slice.id();
            match outcome {
                Ok(answer) => {
                    *done.rejects.entry(slice).or_default() += answer.prepared.rejects();
                    self.ledger.add_prepared(answer.prepared).await?;
                    drop(memory);
                }
                Err(failure) => {
                    done.unmapped.insert(slice);
                    self.ledger.reject(raw, &connector, &describe(failure.error.as_ref()));
                }
            }
        }
        Ok(done)
    }

    /// Whether all that happened in a slice's window is in the ledger.
    fn is_whole(&self, read: &SliceRead, mapped: &MappedRun) -> bool {
        let id = read.slice.id();
        let network = self.networks.by_id.get(&read.slice.network);
        let stream = network.and_then(|network| network.manifest().stream(&read.slice.stream));
        read.complete
            && stream.is_some_and(|stream| stream.is_complete(read.slice.axis))
            && !mapped.unmapped.contains(&id)
            && mapped.rejects.get(&id).is_none_or(|rejects| *rejects == 0)
    }

    /// What a slice covers, now that its run's responses are in the tables; none if none of its window could be read.
    fn coverage(&self, read: &SliceRead, mapped: &MappedRun) -> Option<CoverageRow> {
        let slice = &read.slice;
        let id = slice.id();
        let network = self.networks.by_id.get(&slice.network);
        let window = match network {
            Some(network) => readable_window(network.manifest(), slice, read.sent_at.unwrap_or(read.read_at))?,
            None => slice.window,
        };
        let rejects = mapped.rejects.get(&id).copied().unwrap_or_default();
        let report = SliceReport { records: read.records, rejects, ..SliceReport::default() };
        let share = network.map(|network| network.settings.max_reject_share());
        let before = read.error.as_ref().map(|error| (read.error_kind, error.clone()));
        let unmapped = || {
            mapped
                .unmapped
                .contains(&id)
                .then(|| (Some(ErrorKind::Format), "a response could not be mapped".to_owned()))
        };
        let rejected = || too_many_rejects(&report, share?).map(|error| (Some(error.kind), error.message));
        let (error_kind, error) = before.or_else(unmapped).or_else(rejected).unzip();
        Some(CoverageRow {
            requests: read.requests,
            records: read.records,
            complete: read.complete && error.is_none(),
            error,
            error_kind: error_kind.flatten(),
            ..CoverageRow::of(slice, window, &read.run_id, read.read_at)
        })
    }
}

/// The marker of a slice as it is after doubts were decided: an accepted one is complete.
fn undoubted(read: SliceRead, withheld: &WithheldResponses) -> SliceRead {
    if is_only_doubted(&read) && withheld.has_accepted(&read) {
        SliceRead { complete: true, error: None, error_kind: None, ..read }
    } else {
        read
    }
}
