//! What is odd about a slice as a whole: that it has no records, and its days.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sluice_lake::{Lake, WindowState};
use sluice_model::{Axis, Slice, Window};

use super::{Collector, Guard};
use crate::doubt::{
    Doubt, DoubtKind, Emptied, Observation, Profile, SliceView, WindowsBy, emptied, judge_days, money_json,
};
use crate::failure::Failure;
use crate::record;

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
        if seen.records == 0 && is_unified && self.rules.has(DoubtKind::Empty) {
            let reason = self.judge_empty(&collector.app.lake, profile, slice, view.as_ref()).await?;
            if let Some(reason) = reason {
                return Ok(vec![Doubt { kind: DoubtKind::Empty, field: None, reason }]);
            }
        }
        let by_event = view.filter(|_| slice.axis == Axis::Transaction);
        Ok(by_event.and_then(|view| judge_days(profile, &self.rules, seen, &view)).into_iter().collect())
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
            (Axis::None, _) | (Axis::Transaction, None) => return Ok(None),
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
                        return Ok(Some(format!("the answer is empty, and its window had {records} records before")));
                    }
                    Some(Emptied::EventsOf(window)) => window,
                }
            }
        };
        let held = self.in_tables(lake, slice, window).await?.map_or(0, |state| state.rows);
        Ok((held > 0).then(|| format!("the answer is empty, and the tables hold {held} transactions of its window")))
    }

    /// What the tables hold of a slice's account and stream in a window, which is read once for all accounts.
    async fn in_tables(&self, lake: &Lake, slice: &Slice, window: Window) -> Result<Option<WindowState>, Failure> {
        let mut windows = self.windows.lock().await;
        let states = match windows.get(&window) {
            Some(states) => states.clone(),
            None => {
                let states = Arc::new(lake.window_states(&self.network, window).await?);
                windows.insert(window, states.clone());
                states
            }
        };
        Ok(states.of(&slice.account, &slice.stream).cloned())
    }

    /// The commission that the tables hold of a slice's window, if that is of transactions, as JSON.
    pub(super) async fn money_in_tables(&self, lake: &Lake, slice: &Slice) -> Result<String, Failure> {
        let state = match slice.axis {
            Axis::Transaction => self.in_tables(lake, slice, slice.window).await?,
            _ => None,
        };
        Ok(money_json(&state.unwrap_or_default().commission))
    }
}

/// What the rules need of a slice to know which of its days are complete.
pub(super) fn view(collector: &Collector, slice: &Slice, first_sent_at: Option<DateTime<Utc>>) -> Option<SliceView> {
    let read_at = first_sent_at.unwrap_or_else(Utc::now);
    let window = record::readable_window(collector.network.manifest(), slice, read_at)?;
    Some(SliceView { window, timezone: slice.timezone, read_at })
}
