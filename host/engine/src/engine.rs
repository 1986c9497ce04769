//! The one wasmtime engine of a process: its configuration, its clock, its pool.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use crate::cache::Cache;
use crate::compile::Compiler;
use crate::connector::Connector;
use crate::error::{Error, LoadFault};
use crate::limits::Limits;
use crate::state::{GuestState, LargeCall};
use crate::{bounds, contract, load, panic_text, wasi};

/// How often the deadline is looked at.
const TICK: Duration = Duration::from_millis(10);
/// Stack of a guest, in bytes: half of a `spawn_blocking` thread's, so that the host's own calls fit above it.
const WASM_STACK: usize = 1 << 20;
/// Core instances of one component: componentize-py links some twenty libraries.
const CORE_INSTANCES: u32 = 64;
/// Memories of one component. Adapters share their guest's.
const MEMORIES: u32 = 2;
/// Tables of one component.
const TABLES: u32 = 16;
/// Elements of one table: interpreters have tens of thousands of functions.
const TABLE_ELEMENTS: usize = 100_000;

/// What an engine is made with.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Where compiled components are kept between runs; none: nowhere. It must be writable by this user only,
    /// because its content is run as machine code.
    pub cache_dir: Option<PathBuf>,
    /// What a guest may use up in one call.
    pub limits: Limits,
    /// How many calls run at once; a further one waits for a free slot. Each costs address space (8 GiB) and, once
    /// used, [`Limits::resident_bytes`].
    pub max_instances: u32,
    /// One response in so many is mapped twice, to see that the answer is the same; 0: none.
    pub check_every: u32,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { cache_dir: None, limits: Limits::default(), max_instances: 32, check_every: 1_000 }
    }
}

/// What of an engine is in use: all zero when nothing leaks and nothing runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Connectors that somebody still holds.
    pub connectors: usize,
    /// Their machine code, in bytes. It is mapped, and no part of what the allocator holds.
    pub code_bytes: usize,
    /// Instances of components.
    pub instances: u64,
    /// Linear memories.
    pub memories: usize,
    /// What these were granted, in bytes.
    pub memory_bytes: usize,
    /// Memory that idle slots keep for the next call, in bytes.
    pub idle_bytes: usize,
}

/// Compiles and runs connectors. Cloning it shares it.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    wasmtime: wasmtime::Engine,
    linker: Linker<GuestState>,
    cache: Option<Cache>,
    limits: Limits,
    slots: Arc<Slots>,
    /// Of the one call that may take more memory than any may.
    large: Arc<Slots>,
    check_every: u64,
    connectors: Arc<Connectors>,
    memory: Arc<AtomicUsize>,
    compiler: Compiler,
}

/// The connectors in memory, and their machine code.
#[derive(Default)]
struct Connectors {
    number: AtomicUsize,
    code_bytes: AtomicUsize,
}

/// How a call failed.
pub(crate) struct CallFault {
    pub(crate) error: wasmtime::Error,
    /// Whether the guest was refused memory.
    pub(crate) wanted_more_memory: bool,
    /// What the guest itself wrote about its panic.
    pub(crate) panic_text: Option<String>,
}

/// Counts a connector as long as it is in memory.
pub(crate) struct Tally {
    connectors: Arc<Connectors>,
    code_bytes: usize,
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.connectors.number.fetch_sub(1, Ordering::Relaxed);
        self.connectors.code_bytes.fetch_sub(self.code_bytes, Ordering::Relaxed);
    }
}

impl Engine {
    /// An engine with its pool of instances and the thread that watches deadlines.
    ///
    /// # Errors
    /// [`Error::Host`] if the pool's address space can't be had, [`Error::Path`] if the cache can't.
    pub fn new(options: EngineOptions) -> Result<Self, Error> {
        let wasmtime = wasmtime::Engine::new(&config(&options))
            .map_err(|error| Error::host("reserve its pool of instances")(error.into()))?;
        let mut linker = Linker::new(&wasmtime);
        wasi::add_to_linker(&mut linker)
            .and_then(|()| contract::add_to_linker(&mut linker))
            .map_err(|error| Error::host("link its imports")(error.into()))?;
        let cache = options.cache_dir.map(|dir| Cache::open(dir, &wasmtime)).transpose()?;
        tick(wasmtime.weak())?;
        Ok(Self(Arc::new(Inner {
            wasmtime,
            linker,
            cache,
            limits: options.limits,
            slots: Arc::new(Slots::new(options.max_instances.max(1))),
            large: Arc::new(Slots::new(1)),
            check_every: u64::from(options.check_every),
            connectors: Arc::default(),
            memory: Arc::default(),
            compiler: Compiler::default(),
        })))
    }

    /// A connector from a component's bytes: checked, compiled (or found compiled), asked to describe itself, and
    /// its manifest checked. `origin` names the file in errors.
    ///
    /// Compiling takes 0.1 s for Rust and up to 15 s for JavaScript and Python, so call it off the hot path.
    ///
    /// # Errors
    /// [`Error::Load`] with the reason, [`Error::Trapped`] or [`Error::Malformed`] if `describe` fails.
    pub fn load(&self, wasm: &[u8], origin: &str) -> Result<Connector, Error> {
        load::load(self, wasm, origin)
    }

    /// What is in use now.
    pub fn live(&self) -> Live {
        let pool = self.0.wasmtime.pooling_allocator_metrics();
        let pool = pool.map(|pool| (pool.component_instances(), pool.memories(), pool.unused_memory_bytes_resident()));
        let (instances, memories, idle_bytes) = pool.unwrap_or_default();
        let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let Connectors { number, code_bytes } = &*self.0.connectors;
        let (connectors, code_bytes, memory_bytes) = (of(number), of(code_bytes), of(&self.0.memory));
        Live { connectors, code_bytes, instances, memories, memory_bytes, idle_bytes }
    }

    /// Whether the response of this count is mapped twice.
    pub(crate) fn is_checked(&self, count: u64) -> bool {
        count.checked_rem(self.0.check_every) == Some(0)
    }

    /// Counts one more connector with so much machine code.
    pub(crate) fn tally(&self, code_bytes: usize) -> Tally {
        let connectors = Arc::clone(&self.0.connectors);
        connectors.number.fetch_add(1, Ordering::Relaxed);
        connectors.code_bytes.fetch_add(code_bytes, Ordering::Relaxed);
        Tally { connectors, code_bytes }
    }

    /// The limits of connectors on it.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    pub(crate) fn linker(&self) -> &Linker<GuestState> {
        &self.0.linker
    }

    /// The machine code of a component, from the cache if it's there.
    pub(crate) fn compile(&self, wasm: &[u8], digest: sluice_model::Digest) -> Result<Component, LoadFault> {
        let compile = || {
            bounds::check(wasm, &self.0.limits)?;
            self.0.compiler.compile(self.wasmtime(), wasm, self.0.limits.compile_timeout)
        };
        match &self.0.cache {
            None => compile(),
            Some(cache) => cache.get_or_compile(self.wasmtime(), digest, compile),
        }
    }

    /// Runs `call` with a fresh store, in a slot of the pool. One that wants more memory than any call may have, while
    /// another has it, is run again once that has ended, and from then on waits for it first (`is_large`): calls are pure.
    pub(crate) fn with_store<T>(
        &self,
        is_large: &AtomicBool,
        call: impl Fn(&mut Store<GuestState>) -> wasmtime::Result<T>,
    ) -> Result<T, CallFault> {
        loop {
            // Before its time begins.
            let large = is_large.load(Ordering::Relaxed).then(|| Slots::take(&self.0.large));
            let _slot = Slots::take(&self.0.slots);
            let mut store = self.store(LargeCall::new(self.0.large.clone(), large));
            let answer = call(&mut store);
            if store.data().is_crowded() {
                is_large.store(true, Ordering::Relaxed);
                continue;
            }
            return answer.map_err(|error| CallFault {
                wanted_more_memory: store.data().wanted_more_memory(),
                panic_text: panic_text::of_trap(&error, &store),
                error,
            });
        }
    }

    fn store(&self, large: LargeCall) -> Store<GuestState> {
        let limits = &self.0.limits;
        let mut store = Store::new(&self.0.wasmtime, GuestState::new(limits, self.0.memory.clone(), large));
        store.limiter(GuestState::limiter);
        store.set_hostcall_fuel(limits.output_bytes);
        store.epoch_deadline_trap();
        let ticks = limits.call_timeout.as_millis() / TICK.as_millis();
        store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX / 2).saturating_add(1));
        store
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

fn config(options: &EngineOptions) -> Config {
    let limits = &options.limits;
    let instances = options.max_instances.max(1);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .total_memories(instances.saturating_mul(MEMORIES))
        .max_memories_per_component(MEMORIES)
        .max_memory_size(limits.memory_bytes)
        .total_tables(instances.saturating_mul(TABLES))
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(limits.resident_bytes)
        .table_keep_resident(64 << 10)
        // Idle slots beyond those in use are given back first, so that seventy connectors don't each keep one warm.
        .max_unused_warm_slots(instances.min(8));
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(limits.has_deadline())
        .max_wasm_stack(WASM_STACK)
        .wasm_simd(true)
        // Relaxed SIMD may differ between processors; so that replays agree, it doesn't here.
        .wasm_relaxed_simd(true)
        .relaxed_simd_deterministic(true)
        // The last thing that processors may decide is a NaN's bits. Connectors hardly compute with floats (money is
        // text and integers), so it costs nothing that can be measured.
        .cranelift_nan_canonicalization(true)
        // The memory of a guest that trapped can be read: it may hold the text of a panic.
        .coredump_on_trap(true)
        .wasm_memory64(false)
        .wasm_multi_memory(false);
    config
}

/// Moves the epoch until the engine is gone.
fn tick(engine: EngineWeak) -> Result<(), Error> {
    let run = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            #[expect(clippy::disallowed_methods, reason = "a thread of its own, whose work is to sleep")]
            std::thread::sleep(TICK);
        }
    };
    std::thread::Builder::new()
        .name("sluice-deadlines".to_owned())
        .spawn(run)
        .map(drop)
        .map_err(|error| Error::host("start the thread that watches deadlines")(error.into()))
}

/// Counts slots of the pool, or of large calls, so that a call waits for one instead of failing.
pub(crate) struct Slots {
    free: Mutex<u32>,
    freed: Condvar,
}

/// A slot, given back when dropped.
pub(crate) struct Slot(Arc<Slots>);

impl Slots {
    pub(crate) fn new(free: u32) -> Self {
        Self { free: Mutex::new(free), freed: Condvar::new() }
    }

    fn take(slots: &Arc<Self>) -> Slot {
        let free = slots.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = slots.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Slot(slots.clone())
    }

    /// A slot, if one is free.
    pub(crate) fn try_take(self: &Arc<Self>) -> Option<Slot> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1)?;
        Some(Slot(self.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_call_waits_for_a_slot() {
        let slots = Arc::new(Slots::new(1));
        let taken = Slots::take(&slots);
        assert!(slots.try_take().is_none());
        std::thread::scope(|scope| {
            let second = scope.spawn(|| drop(Slots::take(&slots)));
            drop(taken);
            second.join().expect("the second call gets the slot");
        });
        assert_eq!(*slots.free.lock().unwrap(), 1);
    }

    #[test]
    fn the_ticker_ends_with_its_engine() {
        let engine = Engine::new(EngineOptions { max_instances: 1, ..EngineOptions::default() }).unwrap();
        let weak = engine.wasmtime().weak();
        drop(engine);
        assert!((0..1_000).any(|_| {
            std::thread::yield_now();
            weak.upgrade().is_none()
        }));
    }
}
