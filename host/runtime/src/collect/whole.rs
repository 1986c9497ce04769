//! What is odd about a slice as a whole: that it has no records, and its days.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sluice_lake::{Lake, Prepared, WindowState};
use sluice_model::{Axis, Slice, Window};

use super::earlier_doubts::{accepted_parts, uncovered};
use super::listings::Listings;
use super::{Collector, Guard};
use crate::doubt::{
    Doubt, DoubtKind, Emptied, Observation, PAGE, Profile, REPEATED_PAGE, SliceView, WindowsBy, comparable_facts,
    emptied, emptied_facts, judge_days, judge_known_facts, judge_window, money_json,
};
use crate::failure::Failure;
use crate::slice_done::readable_window;
use crate::text;

impl Guard {
    /// What is odd about a slice as a whole: that it is empty, and its days.
    pub(super) async fn judge_whole(
        &self,
        collector: &Collector,
        profile: &Profile,
        slice: &Slice,
        seen: &Observation,
        first_sent_at: Option<DateTime<Utc>>,
    ) -> Result<Vec<Doubt>, Failure> {
        let view = view(collector, slice, first_sent_at);
        let is_unified = collector.network.manifest().stream(&slice.stream).is_some_and(|stream| stream.unified);
        if seen.records == 0 && self.rules.has(DoubtKind::Empty) {
            let reason = if is_unified {
                self.judge_empty(&collector.app.lake, profile, slice, view.as_ref()).await?
            } else {
                view.as_ref().and_then(|view| emptied_facts(profile, slice.axis, view.window, view.read_at))
            };
            if let Some(reason) = reason {
                return Ok(vec![Doubt { kind: DoubtKind::Empty, field: None, reason }]);
            }
        }
        let by_event = view.filter(|_| slice.axis == Axis::Transaction);
        Ok(by_event.and_then(|view| judge_days(profile, &self.rules, seen, &view)).into_iter().collect())
    }

    /// What is odd about an answer's payments and the like, of which the tables have the same ones.
    pub(super) async fn judge_facts(
        &self,
        lake: &Lake,
        profile: &Profile,
        seen: &Observation,
        answer: &Prepared,
    ) -> Result<Vec<Doubt>, Failure> {
        let mut doubts = Vec::new();
        for fact in comparable_facts(profile, seen) {
            let known = self.known_facts.get_or_try_init(|| lake.known_facts(&self.network)).await?;
            doubts.extend(judge_known_facts(fact, &self.rules, &known.of(answer, fact).await?));
        }
        Ok(doubts)
    }

    /// Whether most transactions are of other days than were asked for.
    pub(super) fn judge_window(&self, profile: &Profile, slice: &Slice, seen: &Observation) -> Option<Doubt> {
        let is_by_event = slice.axis == Axis::Transaction;
        is_by_event.then(|| judge_window(profile, &self.rules, seen, slice.window, slice.timezone))?
    }

    /// Whether a page came twice, so that another one is missing.
    pub(super) fn judge_pages(&self, profile: &Profile, listings: &Listings) -> Option<Doubt> {
        let repeat = listings.repeat().filter(|_| self.may_not_repeat(profile))?;
        let reason = format!("{repeat}. {REPEATED_PAGE}");
        Some(Doubt { kind: DoubtKind::Total, field: Some(PAGE.to_owned()), reason })
    }

    fn may_not_repeat(&self, profile: &Profile) -> bool {
        self.rules.has(DoubtKind::Total) && !profile.accepts_pages()
    }

    /// Records a page that came twice where that isn't doubted: it is reported all the same.
    pub(super) fn note_repeat(&self, profile: &Profile, slice: &Slice, listings: &Listings) {
        if let Some(repeat) = listings.repeat().filter(|_| !self.may_not_repeat(profile)) {
            self.found().warnings.add(format!("{} {}: {repeat}", slice.account, slice.stream));
        }
    }

    /// Why an answer without records may be wrong: there were some.
    async fn judge_empty(
        &self,
        lake: &Lake,
        profile: &Profile,
        slice: &Slice,
        view: Option<&SliceView>,
    ) -> Result<Option<String>, Failure> {
        let window = match (slice.axis, view) {
            (Axis::Transaction, None) => return Ok(None),
            // Slices of many accounts have one window, whose end is its own: nothing is in the future.
            (Axis::Transaction, Some(view)) => Window { until: slice.window.until, ..view.window },
            (axis, view) => {
                let emptied = match view {
                    Some(view) => emptied(profile, WindowsBy::Axis(axis), view.window, view.read_at),
                    None => emptied(profile, WindowsBy::Beyond(axis), slice.window, Utc::now()),
                };
                match emptied {
                    None => return Ok(None),
                    Some(Emptied::Window(records)) => {
                        let records = text::count(records, "record");
                        return Ok(Some(format!("the answer is empty, and its window had {records} before")));
                    }
                    Some(Emptied::EventsOf(window)) => window,
                }
            }
        };
        let held = self.unaccepted(lake, profile, slice, window).await?;
        let held = (held > 0).then(|| text::count(held, "transaction"));
        Ok(held.map(|held| format!("the answer is empty, and the tables hold {held} of its window")))
    }

    /// How many transactions the tables hold of a window, but for the parts of which somebody accepted that nothing is in them,
    /// if nothing of them was observed since, and no read had records there.
    async fn unaccepted(&self, lake: &Lake, profile: &Profile, slice: &Slice, window: Window) -> Result<u64, Failure> {
        let held = self.in_tables(lake, slice, slice.axis, window).await?.map_or(0, |state| state.rows);
        if held == 0 {
            return Ok(0);
        }
        let mut parts = vec![window];
        for (common, decided_at) in accepted_parts(&self.earlier, slice, window, |id| profile.is_refilled(id)) {
            let state = self.in_tables(lake, slice, slice.axis, common).await?;
            if state.and_then(|state| state.observed_at).is_none_or(|observed_at| observed_at <= decided_at) {
                parts = parts.into_iter().flat_map(|part| uncovered(part, common)).collect();
            }
        }
        if parts == [window] {
            return Ok(held);
        }
        let mut held = 0;
        for part in parts {
            held += self.in_tables(lake, slice, slice.axis, part).await?.map_or(0, |state| state.rows);
        }
        Ok(held)
    }

    /// What the tables hold of a slice's account and stream in a window, which is read once for all accounts.
    async fn in_tables(
        &self,
        lake: &Lake,
        slice: &Slice,
        axis: Axis,
        window: Window,
    ) -> Result<Option<WindowState>, Failure> {
        let mut windows = self.windows.lock().await;
        let states = match windows.get(&(axis, window)) {
            Some(states) => states.clone(),
            None => {
                let states = Arc::new(lake.window_states(&self.network, axis, window).await?);
                windows.insert((axis, window), states.clone());
                states
            }
        };
        Ok(states.of(&slice.account, &slice.stream).cloned())
    }

    /// The commission that the tables hold of a slice's window, if that is of transactions, as JSON.
    pub(super) async fn money_in_tables(&self, lake: &Lake, slice: &Slice) -> Result<String, Failure> {
        let state = match slice.axis {
            Axis::Transaction => self.in_tables(lake, slice, slice.axis, slice.window).await?,
            _ => None,
        };
        Ok(money_json(&state.unwrap_or_default().commission))
    }
}

/// What the rules need of a slice to know which of its days are complete.
pub(super) fn view(collector: &Collector, slice: &Slice, first_sent_at: Option<DateTime<Utc>>) -> Option<SliceView> {
    let read_at = first_sent_at.unwrap_or_else(Utc::now);
    let window = readable_window(collector.network.manifest(), slice, read_at)?;
    Some(SliceView { window, timezone: slice.timezone, read_at })
}
