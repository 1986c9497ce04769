//! Runs: settings, schedule, planning, collecting, mapping, committing, rebuilding, replaying, maintenance.
//!
//! [`run`] shows the stages of a run. Everything that sends requests, runs guests, keeps state, writes the lake or speaks
//! SQL is in the crates below it; this one puts them together. It prints nothing: its functions return what happened.

pub mod adaptive;
pub mod alarms;
pub mod api_tokens;
pub mod app;
pub mod backfill;
mod bulk;
pub mod changes;
pub mod check;
pub mod claims;
pub mod collect;
pub mod doubt;
pub mod doubts;
pub mod due;
pub mod duplicates;
pub mod erase;
pub mod explain;
pub mod failure;
pub mod feed;
mod free_space;
pub mod freshness;
pub mod guests;
pub mod identities;
pub mod identity;
pub mod jobs;
pub mod listen;
pub mod maintenance;
pub mod memory;
pub mod meter;
pub mod missing;
pub mod network;
pub mod numbered;
pub mod outlets;
pub mod own_command;
pub mod pauses;
pub mod plan;
pub mod profiles;
pub mod publish;
pub mod query_watch;
pub mod query_workers;
pub mod raw_response;
pub mod rebuild;
pub mod record;
pub mod rejects;
pub mod replay;
pub mod roles;
pub mod run;
pub mod schedule;
pub mod scram;
pub mod selection;
pub mod service;
pub mod service_stats;
pub mod settings;
pub mod slice_done;
pub mod slices;
pub mod status;
pub mod step;
mod swap_plan;
pub mod tables;
pub mod take;
pub mod telemetry;
pub mod text;
pub mod timetable;
pub mod usage;
pub mod versions;
pub mod widths;
pub mod withheld;

/// The allocator of the binary and of this crate's tests, see `docs/decisions/0020-allocator-and-small-files.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
