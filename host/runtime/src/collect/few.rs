//! The memory of slices of few records, which are held until the run's other slices of their stream are read, so for as long
//! as a network likes: within a bound of their own, and not in the budget that others wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a slice beside its responses: how it is read, by what it is judged, what it reports.
const OF_SLICE: usize = 4 << 10;

/// The bytes that slices of few records may hold, of all runs of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FewBytes {
    used: Arc<AtomicUsize>,
    most: usize,
}

/// What one slice holds, given back when dropped.
pub(super) struct HeldFew {
    of: FewBytes,
    bytes: usize,
}

impl FewBytes {
    /// At most so many bytes.
    pub fn new(most: usize) -> Self {
        Self { used: Arc::default(), most }
    }

    /// Takes what a slice holds beside the budget; none if that is too much, so that the slice is judged alone.
    pub(super) fn hold(&self, bytes: usize) -> Option<HeldFew> {
        let bytes = bytes.saturating_add(OF_SLICE);
        let add = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.most);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(HeldFew { of: self.clone(), bytes })
    }
}

impl Drop for HeldFew {
    fn drop(&mut self) {
        self.of.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_held_again() {
        let few = FewBytes::new(OF_SLICE + 100);
        let held = few.hold(100);
        assert!(held.is_some() && few.hold(0).is_none());
        drop(held);
        assert!(few.hold(101).is_none() && few.hold(usize::MAX).is_none() && few.hold(0).is_some());
    }
}
