//! Nothing of a guest stays behind: neither machine code nor a byte of the allocator, however often it comes.
//!
//! How much memory a process has resident depends on the machine and on what the allocator keeps for later; what it has
//! allocated and not given back doesn't. So this binary counts that, and holds a single test: others beside it would
//! be counted too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use sluice_engine::{Engine, EngineOptions, Error, Limits, Live};
use sluice_guests::cases;
use sluice_model::Response;
use sluice_tests::{CountingAllocator, day_of};

/// Rounds before anything is compared: pools, caches and threads' own buffers have their size then.
const WARM_UP: usize = 1;
/// Rounds in each of the two parts that are compared.
const ROUNDS: usize = 2;
/// What one round may leave behind by chance: a map that grew, a thread's buffer. A compiled connector has ten times as
/// much beside its machine code, and there are fifty guests in a round.
const CHANCE_BYTES: isize = 16 << 10;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// Two records, as every network of these tests gives them.
const BODY: &[u8] = br#"{"data":[{"id":"1"},{"id":"2"}]}"#;

fn engine() -> Engine {
    let limits = Limits { call_timeout: Duration::from_millis(300), ..Limits::default() };
    Engine::new(EngineOptions { limits, max_instances: 2, ..EngineOptions::default() }).unwrap()
}

/// Everything that a run asks of a guest, as far as it lets itself be asked.
fn visit(engine: &Engine, name: &str, component: &[u8]) -> Result<(), Error> {
    let connector = engine.load(component, &format!("{name}.wasm"))?;
    let slice = day_of(connector.network(), &connector.manifest().streams[0].name);
    for request in connector.plan(&slice)? {
        let native = connector.decode(&slice.stream, &[], BODY).expect("the body fits its layout");
        let body = Bytes::from_static(BODY);
        let response = Response { status: 200, headers: vec![], body, records: Some(2), problem: None };
        // One that fails here is none the less asked to map.
        let _ = connector.follow(&slice, &request, &response);
        connector.map(&slice, &request, &response, native)?;
    }
    Ok(())
}

/// What is allocated once nothing of the engine's own threads is in flight.
fn allocated(engine: &Engine) -> isize {
    let Live { connectors, code_bytes, instances, memories, memory_bytes, .. } = engine.live();
    assert_eq!((connectors, code_bytes, instances, memories, memory_bytes), (0, 0, 0, 0, 0));
    ALLOCATOR.allocated()
}

#[test]
fn guests_leave_nothing_behind_however_often_they_come() {
    let engine = engine();
    let guests: Vec<(String, Vec<u8>)> =
        cases().unwrap().into_iter().filter_map(|case| Some((case.name, case.component?))).collect();
    assert!(guests.len() > 40, "{} guests", guests.len());
    let mut left: BTreeMap<&str, [isize; 2]> = guests.iter().map(|(name, _)| (name.as_str(), [0, 0])).collect();
    let mut rounds = |number: usize, part: Option<usize>| {
        for _ in 0..number {
            for (name, component) in &guests {
                let before = allocated(&engine);
                let _ = visit(&engine, name, component);
                let more = allocated(&engine) - before;
                if let Some(part) = part {
                    left.get_mut(name.as_str()).unwrap()[part] += more;
                }
            }
        }
        allocated(&engine)
    };
    let warm = rounds(WARM_UP, None);
    let once = rounds(ROUNDS, Some(0));
    let twice = rounds(ROUNDS, Some(1));
    let most: Vec<_> = left.iter().filter(|(_, bytes)| bytes[0] != 0 || bytes[1] != 0).collect();
    println!("allocated: {warm} warm, {once} after {ROUNDS} rounds, {twice} after {ROUNDS} more; by guest: {most:?}");
    assert!(
        (once - warm).max(twice - once) < CHANCE_BYTES,
        "{} and {} bytes stayed: {most:?}",
        once - warm,
        twice - once
    );
}
