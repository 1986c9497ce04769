//! The engine against guests that are made here, instruction by instruction: good ones, and hostile ones.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod calls;

mod guest;
mod legacy;
mod loads;

use std::time::Duration;

use sluice_engine::{Engine, EngineOptions, Limits};

/// An engine of few and small instances, quick to make.
fn engine() -> Engine {
    engine_with(|_| {})
}

fn engine_with(change: impl FnOnce(&mut Limits)) -> Engine {
    let mut limits = Limits { memory_bytes: 4 << 20, call_timeout: Duration::from_secs(5), ..Limits::default() };
    change(&mut limits);
    Engine::new(EngineOptions { limits, max_instances: 2, ..EngineOptions::default() }).expect("an engine")
}
