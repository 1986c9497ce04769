//! What is usual once a doubt was accepted. Only what was accepted: a guard that is switched off doesn't see the next fault.

use chrono_tz::Tz;
use sluice_model::{Axis, Slice, Window};

use super::bands::SliceView;
use super::magnitude::Magnitude;
use super::observation::{COLUMNS, Observation};
use super::profile::{Fill, Profile, WindowsBy};
use super::window::{days_outside, judge_window};
use super::{DoubtKind, DoubtSettings, PAGE};

/// Accepted doubts of empty answers of which it is remembered that records came since.
const MAX_REFILLED: usize = 256;
/// The most days from a window that an acceptance may allow: a date further away is a fault, even if it was accepted.
const MAX_OUTSIDE_DAYS: i32 = 366;

impl Profile {
    /// Forgets what an accepted doubt contradicts: from now on the new is usual.
    pub fn forget(&mut self, kind: DoubtKind, field: Option<&str>) {
        match (kind, field) {
            (DoubtKind::Fill, _) => {
                self.reported.extend([0, 1].map(|column| COLUMNS[column].to_owned()));
                // Whatever else went with the field went for the same reason.
                self.columns.values_mut().for_each(|fill| *fill = Fill::default());
                self.paths.values_mut().for_each(|path| path.fill = Fill::default());
            }
            (DoubtKind::Type, Some(field)) => _ = self.paths.remove(field),
            (DoubtKind::Status, _) => self.statuses = Fill::default(),
            (DoubtKind::Unit, _) => {
                (self.commission, self.sale) = Default::default();
                self.facts.values_mut().for_each(|sums| sums.amounts = Magnitude::default());
            }
            (DoubtKind::Cut, _) => (self.marked_ends, self.line_ends) = Default::default(),
            // The rest is judged by nothing that is remembered, or by what is taken over below.
            _ => {}
        }
    }

    /// Takes over what an accepted slice has of its window: its dates, its days, or how many records. `view`: the part of the
    /// window that could be read.
    pub fn accept(&mut self, rules: &DoubtSettings, slice: &Slice, view: Option<&SliceView>, seen: &Observation) {
        view.into_iter().for_each(|view| self.learn_fact_days(slice.axis, view.window, seen));
        match (slice.axis, view) {
            (Axis::Transaction, view) => {
                self.accept_dates(rules, seen, slice.window, slice.timezone);
                view.into_iter().for_each(|view| self.accept_days(rules, seen, view));
            }
            (axis, Some(view)) => self.accept_records(WindowsBy::Axis(axis), view.window, seen.records),
            (axis, None) => self.accept_records(WindowsBy::Beyond(axis), slice.window, seen.records),
        }
    }

    /// Takes over the dates of a part of an accepted slice. How many records its days have isn't known, so days are learned anew.
    pub fn accept_part(&mut self, rules: &DoubtSettings, slice: &Slice, seen: &Observation) {
        if slice.axis == Axis::Transaction {
            self.accept_dates(rules, seen, slice.window, slice.timezone);
            self.days.clear();
        }
    }

    /// Takes over how many records an accepted window has. Of one without any nothing is known that overlaps it.
    pub(super) fn accept_records(&mut self, by: WindowsBy, window: Window, records: u64) {
        if records == 0
            && let Some(known) = self.windows.get_mut(&by.name())
        {
            known.retain(|known| known.until <= window.since || known.since >= window.until);
        }
        self.set_window(by, window, records);
    }

    /// Takes note that records came in the window of an accepted doubt of an empty answer: it says nothing of the next one.
    pub fn note_refilled(&mut self, doubt_id: &str) {
        if !self.is_refilled(doubt_id) {
            self.refilled.push(doubt_id.to_owned());
        }
        let surplus = self.refilled.len().saturating_sub(MAX_REFILLED);
        self.refilled.drain(..surplus);
    }

    /// Whether records came in the window of an accepted doubt of an empty answer.
    pub fn is_refilled(&self, doubt_id: &str) -> bool {
        self.refilled.iter().any(|id| id == doubt_id)
    }

    /// Lets pages of one list repeat, if that is what an accepted doubt is about.
    pub fn accept_pages(&mut self, kind: &str, field: Option<&str>) {
        self.repeats_pages |= kind == DoubtKind::Total.name() && field == Some(PAGE);
    }

    /// Whether pages of one list may repeat.
    pub fn accepts_pages(&self) -> bool {
        self.repeats_pages
    }

    /// Takes over how far from the window that was asked for accepted transactions are, if that was doubted: from now on the
    /// nearest nine of ten may be twice as far.
    pub(super) fn accept_dates(&mut self, rules: &DoubtSettings, seen: &Observation, window: Window, timezone: Tz) {
        if judge_window(self, rules, seen, window, timezone).is_none() {
            return;
        }
        let mut distances: Vec<(i32, u64)> =
            days_outside(seen, window, timezone).map(|(_, far, rows)| (far, rows)).collect();
        distances.sort_unstable();
        let all: u64 = distances.iter().map(|(_, rows)| rows).sum();
        let mut nearer = 0_u64;
        let usual = distances.iter().find(|(_, rows)| {
            nearer += rows;
            nearer * 10 >= all * 9
        });
        let usual = usual.map_or(0, |(far, _)| far.saturating_mul(2));
        self.outside_days = self.outside_days.max(usual.min(MAX_OUTSIDE_DAYS));
    }
}
