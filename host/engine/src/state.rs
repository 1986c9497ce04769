//! What the host holds for one call: the response's body, WASI's nothing, and the counters of its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime::{ResourceLimiter, format_err};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::engine::{Slot, Slots};
use crate::limits::Limits;
use crate::wasi;

/// Most host objects that a guest may hold at once: a body, WASI's streams and pollables.
const MAX_RESOURCES: usize = 1_000;
/// Most bytes of one `read`.
const MAX_READ: usize = 64 << 10;

/// The store's data.
pub(crate) struct GuestState {
    table: ResourceTable,
    /// Only made if the guest asks: Rust connectors don't.
    wasi: Option<WasiCtx>,
    memory: MemoryLimit,
    lookups: u32,
    lookup_bytes: u64,
    /// None: there is no deadline.
    deadline: Option<Instant>,
}

/// A response's body, and how far the guest has read it.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Body {
    bytes: Bytes,
    position: usize,
}

impl GuestState {
    /// For one call; what of memory it takes is added to `held`, and taken off again when it is dropped.
    pub(crate) fn new(limits: &Limits, held: Arc<AtomicUsize>, large: LargeCall) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Self {
            table,
            wasi: None,
            memory: MemoryLimit {
                bytes: limits.memory_bytes,
                small_bytes: limits.small_memory_bytes,
                used: 0,
                refused: false,
                crowded: false,
                held,
                large,
            },
            lookups: limits.lookups,
            lookup_bytes: limits.lookup_bytes,
            deadline: Instant::now().checked_add(limits.call_timeout),
        }
    }

    pub(crate) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.memory
    }

    /// Whether the guest was refused memory.
    pub(crate) fn wanted_more_memory(&self) -> bool {
        self.memory.refused
    }

    /// Whether the guest was stopped because another call has the memory that it wanted.
    pub(crate) fn is_crowded(&self) -> bool {
        self.memory.crowded
    }

    pub(crate) fn push_body(&mut self, bytes: Bytes) -> wasmtime::Result<Resource<Body>> {
        Ok(self.table.push(Body { bytes, position: 0 })?)
    }

    pub(crate) fn body_size(&self, body: &Resource<Body>) -> wasmtime::Result<u64> {
        Ok(self.table.get(body)?.bytes.len() as u64)
    }

    pub(crate) fn read_body(&mut self, body: &Resource<Body>, max: u32) -> wasmtime::Result<Vec<u8>> {
        let body = self.table.get_mut(body)?;
        let rest = &body.bytes[body.position..];
        let piece = &rest[..rest.len().min(MAX_READ).min(max as usize)];
        body.position += piece.len();
        Ok(piece.to_vec())
    }

    pub(crate) fn value_at(&mut self, body: &Resource<Body>, place: &str) -> wasmtime::Result<Option<String>> {
        let bytes = self.table.get(body)?.bytes.clone();
        let left = self.lookups.checked_sub(1).zip(self.lookup_bytes.checked_sub(bytes.len() as u64));
        let Some((lookups, lookup_bytes)) = left else {
            return Err(format_err!("it asked for more `value-at` than one call may"));
        };
        (self.lookups, self.lookup_bytes) = (lookups, lookup_bytes);
        // The host's own work isn't interrupted by the deadline, so it isn't begun after it.
        if self.is_over() {
            return Err(wasmtime::Trap::Interrupt.into());
        }
        let value = sluice_decode::value_until(&bytes, place, self.deadline);
        if self.is_over() {
            return Err(wasmtime::Trap::Interrupt.into());
        }
        Ok(value)
    }

    /// Whether the call has used up its time.
    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() > deadline)
    }

    pub(crate) fn drop_body(&mut self, body: Resource<Body>) -> wasmtime::Result<()> {
        self.table.delete(body)?;
        Ok(())
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: self.wasi.get_or_insert_with(wasi::nothing), table: &mut self.table }
    }
}

/// Counts linear memory over all memories of an instance, and remembers a refusal so that the trap that usually
/// follows can be distinguished from others.
struct MemoryLimit {
    bytes: usize,
    /// What any call may take. Beyond it, it needs the engine's one large slot.
    small_bytes: usize,
    used: usize,
    refused: bool,
    crowded: bool,
    large: LargeCall,
    /// The same over all calls of an engine.
    held: Arc<AtomicUsize>,
}

/// A call's way to more memory than any call may take.
pub(crate) struct LargeCall {
    slots: Arc<Slots>,
    slot: Option<Slot>,
}

impl LargeCall {
    pub(crate) fn new(slots: Arc<Slots>, slot: Option<Slot>) -> Self {
        Self { slots, slot }
    }

    /// Whether it has the slot, or can have it without waiting: what waits inside a call would use up its time.
    fn has_slot(&mut self) -> bool {
        if self.slot.is_none() {
            self.slot = self.slots.try_take();
        }
        self.slot.is_some()
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        self.held.fetch_sub(self.used, Ordering::Relaxed);
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _max: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        let granted = used <= self.bytes;
        if granted && used > self.small_bytes && !self.large.has_slot() {
            self.crowded = true;
            return Err(format_err!("another call has the memory that it wants"));
        }
        if granted {
            self.held.fetch_add(used - self.used, Ordering::Relaxed);
            self.used = used;
        } else {
            self.refused = true;
        }
        Ok(granted)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, max: Option<usize>) -> wasmtime::Result<bool> {
        // The pool's slots bound tables.
        Ok(max.is_none_or(|max| desired <= max))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::time::Duration;

    use super::*;

    fn large() -> LargeCall {
        LargeCall::new(Arc::new(Slots::new(1)), None)
    }

    impl GuestState {
        /// For a call that no other is beside.
        pub(crate) fn alone(limits: &Limits) -> Self {
            Self::new(limits, Arc::default(), large())
        }
    }

    #[test]
    fn one_call_at_a_time_takes_more_memory_than_any_may() {
        let limits = Limits { memory_bytes: 100, small_memory_bytes: 10, ..Limits::default() };
        let slots = Arc::new(Slots::new(1));
        let new = || GuestState::new(&limits, Arc::default(), LargeCall::new(slots.clone(), None));
        let (mut first, mut second) = (new(), new());
        assert!(first.limiter().memory_growing(0, 10, None).unwrap());
        assert!(first.limiter().memory_growing(10, 90, None).unwrap());
        assert!(second.limiter().memory_growing(0, 10, None).unwrap());
        assert!(second.limiter().memory_growing(10, 11, None).is_err());
        assert!(second.is_crowded() && !first.is_crowded());
        drop(first);
        assert!(second.limiter().memory_growing(10, 11, None).unwrap(), "it is free again");
    }

    #[test]
    fn reads_a_body_in_pieces_up_to_its_end() {
        let mut state = GuestState::new(&Limits::default(), Arc::default(), large());
        let body = state.push_body(Bytes::from(vec![7; MAX_READ + 10])).unwrap();
        let same = || Resource::new_borrow(body.rep());
        assert_eq!(state.body_size(&same()).unwrap(), MAX_READ as u64 + 10);
        assert_eq!(state.read_body(&same(), 3).unwrap().len(), 3);
        assert_eq!(state.read_body(&same(), u32::MAX).unwrap().len(), MAX_READ);
        assert_eq!(state.read_body(&same(), u32::MAX).unwrap().len(), 7);
        assert!(state.read_body(&same(), u32::MAX).unwrap().is_empty());
    }

    #[test]
    fn lookups_are_counted() {
        let mut state = GuestState::new(&Limits { lookups: 2, ..Limits::default() }, Arc::default(), large());
        let body = state.push_body(Bytes::from_static(b"{\"a\":1}")).unwrap();
        assert!(state.value_at(&body, "/a").is_ok());
        assert!(state.value_at(&body, "/a").is_ok());
        assert!(state.value_at(&body, "/a").is_err());
    }

    #[test]
    fn a_lookup_gives_nothing_once_the_time_is_over() {
        let mut state =
            GuestState::new(&Limits { call_timeout: Duration::ZERO, ..Limits::default() }, Arc::default(), large());
        let body = state.push_body(Bytes::from_static(b"{\"a\":1}")).unwrap();
        let error = state.value_at(&body, "/a").unwrap_err();
        assert_eq!(error.downcast_ref::<wasmtime::Trap>(), Some(&wasmtime::Trap::Interrupt));
    }

    #[test]
    fn memory_is_counted_over_all_memories() {
        let held = Arc::new(AtomicUsize::new(7));
        let limits = Limits { memory_bytes: 100, small_memory_bytes: 100, ..Limits::default() };
        let mut limit = GuestState::new(&limits, held.clone(), large()).memory;
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(!limit.memory_growing(0, 60, None).unwrap());
        assert!(limit.refused);
        assert!(limit.memory_growing(60, 100, None).unwrap());
        assert_eq!(held.load(Ordering::Relaxed), 107);
        drop(limit);
        assert_eq!(held.load(Ordering::Relaxed), 7, "what it took is given back");
    }
}
