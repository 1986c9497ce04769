//! Slices of few records, judged together.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use sluice_model::{Layout, Slice};

use super::guard::Guard;
use crate::doubt::{Doubt, Observation, Profile, judge_few_money};
use crate::failure::SliceError;

/// Accounts, for each stream, of which it is known what was read of them besides. Slices of further ones are judged only if a
/// commission, a currency or a status is odd.
const MAX_ACCOUNTS: usize = 1_000;

/// What is odd about slices of one stream that have too few records each.
#[derive(Clone, Debug, Default)]
pub(super) struct Together {
    /// About those whose commission, currency or status is odd.
    odd: Vec<Doubt>,
    /// About all that the run read of their accounts.
    all: Vec<Doubt>,
}

impl Together {
    /// What is doubted of a slice that is one of the odd, or isn't.
    pub(super) fn of(self, is_odd: bool) -> Vec<Doubt> {
        let odd = self.odd.into_iter().filter(|_| is_odd);
        odd.chain(self.all).collect()
    }
}

impl Guard {
    /// Records what a slice that is judged alone is like, for those of its account and stream that aren't.
    pub(super) fn note_alone(&self, slice: &Slice, seen: &Observation) {
        let of = (slice.account.clone(), slice.stream.clone());
        let mut alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        if alone.len() < MAX_ACCOUNTS || alone.contains_key(&of) {
            alone.entry(of).or_default().merge(seen);
        }
    }

    /// Whether the commission, the currency or the status of few records is odd.
    pub(super) fn is_few_money(&self, profile: &Profile, seen: &Observation) -> bool {
        judge_few_money(profile, &self.rules, seen)
    }

    /// What is odd about slices of one stream that have too few records each.
    ///
    /// Those whose commission, currency or status is odd are judged apart. What else they lack may be rare, and they are chosen
    /// because they lack it: so all that the run read of their accounts is judged too.
    pub(super) async fn judge_together(
        &self,
        layout: &Layout,
        slices: &[(&Slice, Observation)],
    ) -> Result<Together, SliceError> {
        let (mut usual, mut odd, mut all) = (Profile::default(), Observation::default(), Observation::default());
        let mut accounts: BTreeSet<&str> = BTreeSet::new();
        for (slice, seen) in slices {
            let profile = self.profile(slice).await?;
            let is_first = accounts.insert(&slice.account);
            if is_first {
                usual.merge(&profile);
            }
            if self.is_few_money(&profile, seen) {
                odd.merge(seen);
            }
            let alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
            let of = alone.get(&(slice.account.clone(), slice.stream.clone()));
            if of.is_none() && alone.len() >= MAX_ACCOUNTS {
                continue;
            }
            of.into_iter().filter(|_| is_first).for_each(|seen| all.merge(seen));
            all.merge(seen);
        }
        let judged = |seen| self.judge_response(&usual, layout, seen);
        Ok(Together { odd: judged(&odd), all: judged(&all) })
    }
}
