//! The memory of slices of few records, which are held until the run's other slices of their stream are read, so for as long
//! as a network likes: within a bound of their own, and not in the budget that others wait for.

use crate::memory::ByteLimit;

/// Bytes of a slice beside its responses: how it is read, by what it is judged, what it reports.
const OF_SLICE: usize = 4 << 10;

/// What one slice holds, given back when dropped.
pub(super) struct HeldFew {
    of: ByteLimit,
    bytes: usize,
}

impl HeldFew {
    /// Takes what a slice holds beside the budget; none if that is too much, so that the slice is judged alone.
    pub(super) fn take(of: &ByteLimit, bytes: usize) -> Option<Self> {
        let bytes = bytes.saturating_add(OF_SLICE);
        of.take(bytes).then(|| Self { of: of.clone(), bytes })
    }
}

impl Drop for HeldFew {
    fn drop(&mut self) {
        self.of.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_held_again() {
        let few = ByteLimit::new(OF_SLICE + 100);
        let hold = |bytes| HeldFew::take(&few, bytes);
        let held = hold(100);
        assert!(held.is_some() && hold(0).is_none());
        drop(held);
        assert!(hold(101).is_none() && hold(usize::MAX).is_none() && hold(0).is_some());
    }
}
