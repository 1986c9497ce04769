//! The months of a run's facts: each is a partition of up to three tables, so a file of each at every commit.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use sluice_model::ErrorKind;

use crate::failure::SliceError;

/// Most months of a run's facts: fifty years. The first networks are of 1994.
const MAX_MONTHS: usize = 600;

/// The months of a run's facts so far.
#[derive(Debug, Default)]
pub struct RunMonths(Mutex<BTreeSet<i32>>);

impl RunMonths {
    /// Takes an answer's months in. Fails, and takes none in, if the run would have too many.
    pub(super) fn admit(&self, of_answer: BTreeSet<i32>) -> Result<(), SliceError> {
        let mut months = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = of_answer.iter().filter(|month| !months.contains(month)).count();
        if months.len() + new > MAX_MONTHS {
            let reason = format!("the answers of this run hold facts in more than {MAX_MONTHS} months");
            return Err(SliceError::new(ErrorKind::Format, reason));
        }
        months.extend(of_answer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_too_many_months_takes_none_from_others() {
        let months = RunMonths::default();
        assert!(months.admit((0..500).collect()).is_ok());
        assert!(months.admit((400..601).collect()).is_err());
        assert!(months.admit((400..600).collect()).is_ok());
        assert!(months.admit((0..600).collect()).is_ok());
        assert!(months.admit(BTreeSet::from([600])).is_err());
    }
}
