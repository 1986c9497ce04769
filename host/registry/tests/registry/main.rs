//! The connectors' folder, its policy, its signatures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod folder;
#[allow(dead_code, reason = "the engine's tests use the rest")]
#[path = "../../../engine/tests/engine/guest.rs"]
mod guest;
mod rollback;
mod signed;
mod swaps;

use std::sync::LazyLock;
use std::time::Duration;

use sluice_engine::{Engine, EngineOptions, Limits};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// What a future gives.
fn wait<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// An engine of few and small instances, quick to make.
fn engine() -> Engine {
    let limits = Limits { memory_bytes: 4 << 20, call_timeout: Duration::from_secs(5), ..Limits::default() };
    Engine::new(EngineOptions { limits, max_instances: 2, ..EngineOptions::default() }).expect("an engine")
}
