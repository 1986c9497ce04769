//! How often rows change, by age, advertiser and status: counted in the ledger, smoothed where it has few.

use std::collections::HashMap;

/// Ages in days at which one class of age ends and the next begins; the last one has no end.
pub const AGE_CLASSES: [f64; 8] = [1.0, 3.0, 7.0, 14.0, 30.0, 60.0, 120.0, 240.0];
/// How many classes of age there are.
pub const CLASSES: usize = AGE_CLASSES.len() + 1;

/// Days of a row that a rate of more rows counts for, in the rate of fewer: as much as a month of one row.
const PRIOR_ROW_DAYS: f64 = 30.0;
/// The rate of what was never observed, in changes per row and day: one change in a hundred days.
const UNKNOWN_RATE: f64 = 0.01;

/// The number of the class that an age in days falls into, from 0.
pub fn age_class(days: f64) -> usize {
    AGE_CLASSES.partition_point(|end| *end <= days)
}

/// What was observed of rows of one kind: changes, and how long rows were there to change.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observed {
    /// New versions that a network's change or a correction of the row made.
    pub changes: f64,
    /// Rows times days.
    pub row_days: f64,
}

impl Observed {
    fn add(&mut self, other: Self) {
        self.changes += other.changes;
        self.row_days += other.row_days;
    }

    /// Changes per row and day, drawn towards `prior` where little was observed.
    fn rate(&self, prior: f64) -> f64 {
        (self.changes + prior * PRIOR_ROW_DAYS) / (self.row_days + PRIOR_ROW_DAYS)
    }
}

/// Rows that are alike in what their changes depend on, their age aside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowKind {
    /// The advertiser's id; empty where there is none.
    pub advertiser: String,
    /// Validation and payment status.
    pub status: String,
}

/// Rates of change of one network.
#[derive(Clone, Debug, Default)]
pub struct ChangeRates {
    by_kind: HashMap<RowKind, [Observed; CLASSES]>,
    by_status: HashMap<String, [Observed; CLASSES]>,
    all: [Observed; CLASSES],
}

impl ChangeRates {
    /// Adds what was observed of rows of a kind and a class of age.
    pub fn add(&mut self, kind: RowKind, class: usize, observed: Observed) {
        let class = class.min(CLASSES - 1);
        self.all[class].add(observed);
        self.by_status.entry(kind.status.clone()).or_default()[class].add(observed);
        self.by_kind.entry(kind).or_default()[class].add(observed);
    }

    /// Changes per row and day of rows of a kind and a class of age. A kind with few observations is judged by its status,
    /// and that by all rows of that age.
    pub fn rate(&self, kind: &RowKind, class: usize) -> f64 {
        let class = class.min(CLASSES - 1);
        let all = self.all[class].rate(UNKNOWN_RATE);
        let status = self.by_status.get(&kind.status).map_or(all, |classes| classes[class].rate(all));
        self.by_kind.get(kind).map_or(status, |classes| classes[class].rate(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(advertiser: &str, status: &str) -> RowKind {
        RowKind { advertiser: advertiser.to_owned(), status: status.to_owned() }
    }

    #[test]
    fn an_age_has_one_class() {
        assert_eq!([0.0, 0.9, 1.0, 6.9, 7.0, 239.0, 240.0, 5_000.0].map(age_class), [0, 0, 1, 2, 3, 7, 8, 8]);
    }

    #[test]
    fn what_was_observed_often_counts_for_itself_and_the_rest_for_more_rows() {
        let mut rates = ChangeRates::default();
        rates.add(kind("a", "pending"), 2, Observed { changes: 900.0, row_days: 9_000.0 });
        rates.add(kind("b", "pending"), 2, Observed { changes: 0.0, row_days: 9_000.0 });
        let of = |advertiser: &str, status: &str| rates.rate(&kind(advertiser, status), 2);
        assert!((of("a", "pending") - 0.1).abs() < 0.001 && of("b", "pending") < 0.001);
        // An advertiser that nobody knows changes as the others of that status do.
        assert!((of("c", "pending") - 0.05).abs() < 0.001, "{}", of("c", "pending"));
        assert_eq!(of("c", "paid"), of("d", "declined"));
        assert_eq!(rates.rate(&kind("a", "pending"), 5), UNKNOWN_RATE);
    }
}
