//! What a flush did, by run.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::append::{Appended, RunNumber};
use crate::counts::Counts;
use crate::error::Error;

/// What a flush did.
#[derive(Default)]
pub(crate) struct Flushed {
    /// What was new of each run.
    pub(crate) counts: HashMap<RunNumber, Counts>,
    /// Runs whose rows could not be written, and why: their lease was taken over, or a table of theirs refuses them.
    pub(crate) failed: HashMap<RunNumber, Error>,
}

impl Flushed {
    /// Takes over what a further step did.
    pub(crate) fn merge(&mut self, more: Self) {
        for (run, counts) in more.counts {
            *self.counts.entry(run).or_default() += counts;
        }
        self.failed.extend(more.failed);
    }

    /// What was written of one table among several. If nothing could be, the runs that have rows for it fail, and no others.
    pub(super) fn written<T>(&mut self, runs: BTreeSet<RunNumber>, written: Result<T, Error>) -> Option<T> {
        let fail = |error: Error| {
            let error = Arc::new(error);
            self.failed.extend(runs.into_iter().map(|run| (run, Error::Shared(error.clone()))));
        };
        written.map_err(fail).ok()
    }

    /// Takes over what was appended to the versions, with its causes.
    pub(super) fn take_versions(&mut self, appended: Appended) {
        for (run, causes) in &appended.causes {
            self.counts.entry(*run).or_default().causes += *causes;
        }
        self.take(appended, |counts| &mut counts.new_versions);
    }

    pub(super) fn take(&mut self, appended: Appended, count: fn(&mut Counts) -> &mut u64) {
        for (run, rows) in appended.by_run {
            *count(self.counts.entry(run).or_default()) += rows;
        }
        for (run, rows) in appended.beyond.by_run {
            self.counts.entry(run).or_default().beyond_columns += rows;
        }
        self.failed.extend(appended.fenced);
    }
}
