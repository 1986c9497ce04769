//! What a flush did, by run.

use std::collections::HashMap;

use crate::append::{Appended, RunNumber};
use crate::error::Error;
use crate::ledger::Counts;

/// What a flush did.
#[derive(Default)]
pub(crate) struct Flushed {
    /// What was new of each run.
    pub(crate) counts: HashMap<RunNumber, Counts>,
    /// Runs whose lease was taken over.
    pub(crate) fenced: HashMap<RunNumber, Error>,
}

impl Flushed {
    /// Takes over what a further step did.
    pub(crate) fn merge(&mut self, more: Self) {
        for (run, counts) in more.counts {
            *self.counts.entry(run).or_default() += counts;
        }
        self.fenced.extend(more.fenced);
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
        self.fenced.extend(appended.fenced);
    }
}
