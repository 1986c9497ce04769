//! The engine against guests that are made here, instruction by instruction: good ones, and hostile ones.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod calls;

mod guest;
mod legacy;
mod loads;

use std::time::Duration;

use sluice_engine::{Engine, EngineOptions, Limits};
use sluice_model::{Axis, Slice};

/// An engine of few and small instances, quick to make. Each response is mapped twice.
fn engine() -> Engine {
    engine_with(|_| {})
}

fn engine_with(change: impl FnOnce(&mut Limits)) -> Engine {
    let mut limits = Limits { memory_bytes: 4 << 20, call_timeout: Duration::from_secs(5), ..Limits::default() };
    change(&mut limits);
    Engine::new(EngineOptions { limits, max_instances: 2, check_every: 1, ..EngineOptions::default() })
        .expect("an engine")
}

/// A day of the stream `sales` of an account whose `id` is 7.
fn slice_of(network: &str) -> Slice {
    Slice {
        network: network.to_owned(),
        account: "main".to_owned(),
        stream: "sales".to_owned(),
        settings: vec![("id".to_owned(), "7".to_owned())],
        window: "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z".parse().unwrap(),
        timezone: chrono_tz::UTC,
        axis: Axis::Transaction,
        cursor: None,
    }
}
