//! What commands print as JSON, for the description of the API. The answers aren't made of these: they are what was printed,
//! and a test compares both.
#![expect(dead_code, reason = "they describe what other processes print")]

mod held;
mod responses;
mod standing;
mod versions;

pub(super) use held::{Alarm, Doubt};
pub(super) use responses::{Envelope, History, MappedRows, QueryAnswer};
pub(super) use standing::{CheckReport, Pause, Status, StreamStatus};
pub(super) use versions::{ConnectorEntry, ReplayReport, VersionDiff};
