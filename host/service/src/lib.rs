//! The service: command line, settings, schedule, runs, state.
//!
//! [`run`] tells the story of a run. Everything that asks networks, runs guests, writes the lake or speaks SQL is
//! in the crates below it; this one puts them together and talks to people.

pub mod app;
pub mod cli;
pub mod collect;
pub mod commands;
pub mod failure;
pub mod freshness;
pub mod guests;
pub mod memory;
pub mod rebuild;
pub mod record;
pub mod rejects;
pub mod replay;
pub mod run;
pub mod schedule;
pub mod settings;
pub mod slices;
pub mod state;
pub mod step;
pub mod swap;
pub mod tables;
pub mod upkeep;
pub mod vitals;

/// The allocator of the binary and of this crate's tests, see `docs/decisions/0020-allocator-and-small-files.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
