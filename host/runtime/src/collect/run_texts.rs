//! Texts of connectors and networks that a run holds until its end: failures, and cursors.

use sluice_model::ErrorKind;

use crate::failure::SliceError;
use crate::memory::ByteLimit;

/// The most bytes of one failure's message.
const MAX_MESSAGE_BYTES: usize = 4 << 10;
/// Failures of one slice, or of one build, that are held; further ones are counted.
const MOST_FAILURES: usize = 100;
/// The most bytes of all failures of a run's slices. Beyond them a slice keeps one of each kind, cut.
const MAX_FAILURE_BYTES: usize = 8 << 20;
/// The bytes of such a failure's message.
const CUT_MESSAGE_BYTES: usize = 200;
/// The most bytes of all cursors that a run's slices give.
const MAX_CURSOR_BYTES: usize = 16 << 20;

/// What is left for the texts of a run.
#[derive(Debug)]
pub struct RunTexts {
    failures: ByteLimit,
    cursors: ByteLimit,
}

impl Default for RunTexts {
    fn default() -> Self {
        Self { failures: ByteLimit::new(MAX_FAILURE_BYTES), cursors: ByteLimit::new(MAX_CURSOR_BYTES) }
    }
}

impl RunTexts {
    /// Takes a slice's new cursor in, instead of the one that it gave before; returns why not if there are too many bytes
    /// of them.
    pub(super) fn take_cursor(&self, held: &mut Option<String>, cursor: &str) -> Result<(), SliceError> {
        if !self.cursors.take(cursor.len()) {
            let reason = format!("the cursors of this run's slices would have more than {MAX_CURSOR_BYTES} bytes");
            return Err(SliceError::new(ErrorKind::Guest, reason));
        }
        if let Some(before) = held.replace(cursor.to_owned()) {
            self.cursors.give_back(before.len());
        }
        Ok(())
    }

    /// Shortens the failures of a slice that has ended if the run has no room for them: to one of each kind, cut. Returns
    /// how many are left out.
    pub(super) fn shorten(&self, failures: &mut Vec<SliceError>) -> u64 {
        let bytes = failures.iter().map(|failure| failure.message.len() + size_of::<SliceError>()).sum();
        if self.failures.take(bytes) {
            return 0;
        }
        let all = failures.len();
        let mut kept: Vec<SliceError> = Vec::new();
        for failure in failures.drain(..) {
            if !kept.iter().any(|known| is_like(known, &failure)) {
                kept.push(failure.cut(CUT_MESSAGE_BYTES));
            }
        }
        kept.shrink_to_fit();
        *failures = kept;
        (all - failures.len()) as u64
    }
}

/// Holds a failure among others, cut, or counts it: there are as many as requests. One of each kind is held.
pub(crate) fn hold_failure(held: &mut Vec<SliceError>, further: &mut u64, failure: SliceError) {
    if held.len() < MOST_FAILURES || !held.iter().any(|known| is_like(known, &failure)) {
        held.push(failure.cut(MAX_MESSAGE_BYTES));
    } else {
        *further += 1;
    }
}

/// Whether a run that failed with both is no other than one that failed with one of them.
fn is_like(one: &SliceError, other: &SliceError) -> bool {
    (one.kind, one.exit) == (other.kind, other.exit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn failure(kind: ErrorKind, bytes: usize) -> SliceError {
        SliceError::new(kind, "é".repeat(bytes / 2))
    }

    #[test]
    fn of_ten_thousand_failures_a_hundred_and_one_of_each_kind_are_held() {
        let (mut held, mut further) = (Vec::new(), 0);
        for _ in 0..10_000 {
            hold_failure(&mut held, &mut further, failure(ErrorKind::Guest, 1 << 20));
        }
        hold_failure(&mut held, &mut further, failure(ErrorKind::Doubt, 10));
        assert_eq!((held.len(), further), (MOST_FAILURES + 1, 10_000 - MOST_FAILURES as u64));
        assert!(held.iter().all(|failure| failure.message.len() <= MAX_MESSAGE_BYTES + "…".len()));
    }

    #[test]
    fn failures_of_a_hundred_thousand_slices_take_a_few_bytes_each() {
        let texts = RunTexts::default();
        let (mut bytes, mut left_out) = (0, 0);
        for _ in 0..100_000 {
            let mut failures = vec![failure(ErrorKind::Guest, 1 << 10), failure(ErrorKind::Guest, 1 << 10)];
            left_out += texts.shorten(&mut failures);
            bytes += failures.iter().map(|failure| failure.message.len()).sum::<usize>();
            assert!(!failures.is_empty());
        }
        assert!(left_out > 90_000, "{left_out}");
        assert!(bytes < MAX_FAILURE_BYTES + 100_000 * (CUT_MESSAGE_BYTES + "…".len()), "{bytes}");
    }

    #[test]
    fn cursors_have_a_limit_and_one_that_is_replaced_does_not_count() {
        let (texts, cursor) = (RunTexts::default(), "x".repeat(64 << 10));
        let mut held = None;
        for _ in 0..1_000 {
            texts.take_cursor(&mut held, &cursor).unwrap();
        }
        let slices = (0..10_000).take_while(|_| texts.take_cursor(&mut None, &cursor).is_ok()).count();
        assert_eq!(slices, MAX_CURSOR_BYTES / cursor.len() - 1);
        assert!(texts.take_cursor(&mut held, "short").unwrap_err().message.contains("more than 16777216 bytes"));
    }
}
