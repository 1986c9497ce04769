//! Which branches were taken, as the compiler's counters say.
#![expect(unsafe_code, reason = "the counters are the compiler's, known by address alone")]

use std::sync::{Mutex, PoisonError};

/// Counters of each compiled part: address and number.
static PARTS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Called by each instrumented part before `main`.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, end: *mut u8) {
    let mut parts = PARTS.lock().unwrap_or_else(PoisonError::into_inner);
    let part = (start as usize, end as usize - start as usize);
    // Some linkers call it twice for one part.
    if !parts.contains(&part) {
        parts.push(part);
    }
}

/// What was reached so far.
pub(crate) struct Coverage {
    parts: Vec<(usize, usize)>,
    /// By counter, the orders of magnitude in which it was seen.
    seen: Vec<u8>,
}

impl Coverage {
    pub(crate) fn new() -> Self {
        let parts = PARTS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counters = parts.iter().map(|(_, count)| count).sum();
        Self { parts, seen: vec![0; counters] }
    }

    /// Whether branches are counted at all.
    pub(crate) fn is_counted(&self) -> bool {
        !self.seen.is_empty()
    }

    /// Branches that were taken at least once.
    pub(crate) fn reached(&self) -> usize {
        self.seen.iter().filter(|seen| **seen != 0).count()
    }

    /// Whether anything new was reached since the last call. The counters begin anew.
    pub(crate) fn gained(&mut self) -> bool {
        let mut gained = false;
        let mut seen = self.seen.iter_mut();
        for &(start, count) in &self.parts {
            // SAFETY: the compiler's own init function gave this range, which is static and of plain bytes. No other
            // thread runs instrumented code now; a torn count would do no harm.
            let counters = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, count) };
            for (counter, seen) in counters.iter_mut().zip(&mut seen) {
                if *counter != 0 {
                    let order = 1 << (7 - counter.leading_zeros());
                    gained |= *seen & order == 0;
                    *seen |= order;
                    *counter = 0;
                }
            }
        }
        gained
    }
}
