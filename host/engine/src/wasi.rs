//! A WASI that gives nothing: components of other toolchains import it, and find no file, no variable, no socket,
//! no stream, a clock that doesn't advance and randomness that is the same in every call.
//!
//! It doesn't advance so that the same bytes and the same connector give the same rows, forever.

use std::time::Duration;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiView};

/// Interfaces that are linked. A component that imports another one is refused by its name.
const OFFERED: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Most random bytes of one question: a hash map's seed takes 16.
const MAX_RANDOM_BYTES: u64 = 1 << 20;
/// What the random generator repeats. Any bytes do, as long as they never change.
const SEED: &[u8] = b"sluice gives every guest the same bytes";
/// The monotonic clock's reading, in nanoseconds. Not 0: Go's runtime takes 0 for a broken clock and exits.
const READING: u64 = 1;

/// Whether an import of this name (with or without a version) is given.
pub(crate) fn offers(import: &str) -> bool {
    let (interface, version) = import.split_once('@').unwrap_or((import, "0.2"));
    version.starts_with("0.2") && OFFERED.contains(&interface)
}

/// Links every offered interface.
pub(crate) fn add_to_linker<T: WasiView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    // The stock clock sleeps on the host's thread, where no deadline reaches it.
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<T, Frozen>(linker, |state| FrozenView { table: state.ctx().table })?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The context of one call.
pub(crate) fn nothing() -> WasiCtx {
    WasiCtx::builder()
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .socket_addr_check(|_, _| Box::pin(async { false }))
        .allow_blocking_current_thread(true)
        .wall_clock(Frozen)
        .monotonic_clock(Frozen)
        .secure_random(Deterministic::new(SEED.to_vec()))
        .insecure_random(Deterministic::new(SEED.to_vec()))
        .insecure_random_seed(0)
        .max_random_size(MAX_RANDOM_BYTES)
        .build()
}

/// A clock that stands still, and on which every wait ends at once.
struct Frozen;

struct FrozenView<'a> {
    table: &'a mut ResourceTable,
}

impl HasData for Frozen {
    type Data<'a> = FrozenView<'a>;
}

impl HostWallClock for Frozen {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Frozen {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        READING
    }
}

struct Over;

#[wasmtime_wasi::async_trait]
impl Pollable for Over {
    async fn ready(&mut self) {}
}

impl FrozenView<'_> {
    fn over(&mut self) -> wasmtime::Result<Resource<DynPollable>> {
        let over = self.table.push(Over)?;
        subscribe(self.table, over)
    }
}

impl monotonic_clock::Host for FrozenView<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(moment())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, _when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.over()
    }

    fn subscribe_duration(&mut self, _duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.over()
    }
}

/// The clock's only reading.
#[cfg(not(test))]
fn moment() -> u64 {
    READING
}

#[cfg(test)]
use tests::moment;

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::cell::Cell;

    use wasmtime::component::Component;
    use wasmtime::{Engine, Store};
    use wasmtime_wasi::cli::WasiCliView;
    use wasmtime_wasi::filesystem::WasiFilesystemView;
    use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sockets};
    use wasmtime_wasi::sockets::WasiSocketsView;

    use super::*;
    use crate::limits::Limits;
    use crate::state::GuestState;

    /// Sleeps for 584 years.
    const SLEEPER: &str = r#"(component $C
        (import "wasi:io/poll@0.2.0" (instance $poll
            (export "pollable" (type $p (sub resource)))
            (export "[method]pollable.block" (func (param "self" (borrow $p))))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer $C $pollable (type $outer))
            (export "pollable" (type $p (eq $outer)))
            (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
        (core func $block (canon lower (func $poll "[method]pollable.block")))
        (core func $subscribe (canon lower (func $clock "subscribe-duration")))
        (core module $sleeper
            (import "" "block" (func $block (param i32)))
            (import "" "subscribe" (func $subscribe (param i64) (result i32)))
            (func (export "run") (call $block (call $subscribe (i64.const -1)))))
        (core instance $instance (instantiate $sleeper
            (with "" (instance (export "block" (func $block)) (export "subscribe" (func $subscribe))))))
        (func (export "run") (canon lift (core func $instance "run"))))"#;

    #[test]
    fn sleeping_takes_no_time() {
        let engine = Engine::default();
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker).unwrap();
        let component = Component::from_binary(&engine, &wat::parse_str(SLEEPER).unwrap()).unwrap();
        let mut store = Store::new(&engine, GuestState::alone(&Limits::default()));
        let instance = linker.instantiate(&mut store, &component).unwrap();
        // On the host's own clock this would never return.
        instance.get_typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap();
    }

    thread_local! {
        static GOES: Cell<bool> = const { Cell::new(false) };
        static MOMENT: Cell<u64> = const { Cell::new(READING) };
    }

    /// Breaks the sandbox of this thread: the clock advances.
    pub(crate) fn let_the_clock_go() {
        GOES.set(true);
    }

    pub(super) fn moment() -> u64 {
        MOMENT.set(MOMENT.get() + u64::from(GOES.get()));
        MOMENT.get()
    }

    #[test]
    fn there_is_nothing_to_be_seen() {
        let mut state = GuestState::alone(&Limits::default());
        assert!(std::env::vars().next().is_some());
        assert!(cli::environment::Host::get_environment(&mut state.cli()).unwrap().is_empty());
        assert!(cli::environment::Host::get_arguments(&mut state.cli()).unwrap().is_empty());
        assert!(cli::environment::Host::initial_cwd(&mut state.cli()).unwrap().is_none());
        assert!(filesystem::preopens::Host::get_directories(&mut state.filesystem()).unwrap().is_empty());
        for family in [sockets::network::IpAddressFamily::Ipv4, sockets::network::IpAddressFamily::Ipv6] {
            let socket = sockets::tcp_create_socket::Host::create_tcp_socket(&mut state.sockets(), family);
            assert!(socket.is_err());
        }
    }

    #[test]
    fn time_and_chance_are_the_same_in_every_call() {
        let seen = || {
            let mut state = GuestState::alone(&Limits::default());
            let now = clocks::wall_clock::Host::now(&mut wasmtime_wasi::clocks::WasiClocksView::clocks(&mut state));
            let now = now.unwrap();
            let bytes = random::random::Host::get_random_bytes(state.ctx().ctx.random(), 8).unwrap();
            let number = random::random::Host::get_random_u64(state.ctx().ctx.random()).unwrap();
            let insecure = random::insecure::Host::get_insecure_random_u64(state.ctx().ctx.random()).unwrap();
            let seed = random::insecure_seed::Host::insecure_seed(state.ctx().ctx.random()).unwrap();
            (now.seconds, now.nanoseconds, bytes, number, insecure, seed)
        };
        assert_eq!(seen(), seen());
        let (seconds, nanoseconds, bytes, ..) = seen();
        // Pinned: a replay must give a guest what it read years ago.
        assert_eq!((seconds, nanoseconds, bytes.as_slice()), (0, 0, &b"igsegtem"[..]));
        assert_eq!(seen().5, (0, 0));
        assert_eq!(HostMonotonicClock::now(&Frozen), 1);
    }

    #[test]
    fn offers_wasi_but_no_http() {
        assert!(offers("wasi:cli/environment@0.2.6"));
        assert!(!offers("wasi:http/types@0.2.0"));
        assert!(!offers("wasi:cli/environment@0.3.0"));
    }
}
