//! Unions of half-open windows: what was read, and what of it is missing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sluice_model::Window;

/// A set of moments as the fewest windows: sorted, and none touches another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WindowSet(BTreeMap<DateTime<Utc>, DateTime<Utc>>);

impl WindowSet {
    /// Adds a window's moments.
    pub(crate) fn insert(&mut self, window: Window) {
        let Window { mut since, mut until } = window;
        if since >= until {
            return;
        }
        // Those that overlap or touch it begin at its end at the latest; the last of them may reach furthest.
        while let Some((&other_since, &other_until)) = self.0.range(..=until).next_back() {
            if other_until < since {
                break;
            }
            self.0.remove(&other_since);
            since = since.min(other_since);
            until = until.max(other_until);
        }
        self.0.insert(since, until);
    }

    /// What of a window isn't in the set, oldest first.
    pub(crate) fn missing_of(&self, window: Window) -> Vec<Window> {
        let mut missing = Vec::new();
        let mut since = window.since;
        if window.since >= window.until {
            return missing;
        }
        let before = self.0.range(..=window.since).next_back();
        let within = self.0.range(window.since..window.until);
        for (&other_since, &other_until) in before.into_iter().chain(within) {
            if other_since > since {
                missing.push(Window { since, until: other_since });
            }
            since = since.max(other_until);
        }
        if since < window.until {
            missing.push(Window { since, until: window.until });
        }
        missing
    }

    /// From the first moment to the last; none for a set of nothing.
    pub(crate) fn span(&self) -> Option<Window> {
        let (since, _) = self.0.first_key_value()?;
        let (_, until) = self.0.last_key_value()?;
        Some(Window { since: *since, until: *until })
    }

    /// What lies between its windows, oldest first.
    pub(crate) fn holes(&self) -> Vec<Window> {
        let ends = self.0.values();
        let begins = self.0.keys().skip(1);
        ends.zip(begins).map(|(&since, &until)| Window { since, until }).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const MOMENTS: i64 = 48;

    fn window(since: i64, length: i64) -> Window {
        let at = |secs| DateTime::from_timestamp(secs, 0).unwrap();
        Window { since: at(since), until: at((since + length).min(MOMENTS)) }
    }

    fn windows() -> impl Strategy<Value = Vec<Window>> {
        prop::collection::vec((0..MOMENTS, 0..12_i64).prop_map(|(since, length)| window(since, length)), 0..12)
    }

    /// The moments of windows, one by one.
    fn moments(windows: &[Window]) -> Vec<bool> {
        let holds = |secs: i64| {
            let t = DateTime::from_timestamp(secs, 0).unwrap();
            windows.iter().any(|window| window.since <= t && t < window.until)
        };
        (0..MOMENTS).map(holds).collect()
    }

    fn set(windows: &[Window]) -> WindowSet {
        let mut set = WindowSet::default();
        windows.iter().for_each(|window| set.insert(*window));
        set
    }

    /// Its windows.
    fn parts(set: &WindowSet) -> Vec<Window> {
        set.0.iter().map(|(&since, &until)| Window { since, until }).collect()
    }

    proptest! {
        #[test]
        fn a_set_holds_what_was_inserted_in_the_fewest_windows(windows in windows()) {
            let set = set(&windows);
            let parts = parts(&set);
            prop_assert_eq!(moments(&parts), moments(&windows));
            prop_assert!(parts.iter().all(|part| part.since < part.until));
            prop_assert!(parts.windows(2).all(|pair| pair[0].until < pair[1].since), "{:?}", parts);
        }

        #[test]
        fn order_of_insertion_does_not_matter(mut windows in windows()) {
            let one = set(&windows);
            windows.reverse();
            prop_assert_eq!(one, set(&windows));
        }

        #[test]
        fn missing_is_the_window_without_the_set(windows in windows(), since in 0..MOMENTS, length in 1..20_i64) {
            let asked = window(since, length);
            let missing = set(&windows).missing_of(asked);
            let expected: Vec<bool> =
                moments(&windows).iter().zip(moments(&[asked])).map(|(held, asked)| asked && !held).collect();
            prop_assert_eq!(moments(&missing), expected);
            prop_assert!(missing.windows(2).all(|pair| pair[0].until < pair[1].since));
        }

        #[test]
        fn holes_are_what_the_span_misses(windows in windows()) {
            let set = set(&windows);
            let expected = set.span().map(|span| set.missing_of(span)).unwrap_or_default();
            prop_assert_eq!(set.holes(), expected);
        }
    }
}
