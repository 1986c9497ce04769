//! `[limits]` of `sluice.toml`: what a connector may use up before it is stopped.

use std::time::Duration;

use serde::Deserialize;
use sluice_engine::Limits;
use sluice_lake::CommitterOptions;
use sluice_query::SessionOptions;

use crate::failure::Failure;

/// What a process may take longer than its query, to begin and to end.
const PROCESS_GRACE: Duration = Duration::from_secs(30);

/// The section, with the defaults of what it leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSettings {
    /// Memory of the process, in mebibytes: what responses and their rows may take is a share of it.
    pub memory_mb: usize,
    /// Time of one call into a connector.
    pub call_timeout_ms: u64,
    /// Time of compiling one.
    pub compile_timeout_secs: u64,
    /// Memory of one call.
    pub memory_bytes: usize,
    /// Size of one answer.
    pub output_bytes: usize,
    /// Requests that a guest may answer with at once.
    pub requests_per_answer: usize,
    /// Requests of one slice, those that follow from others included.
    pub requests_per_slice: usize,
    /// Slices of one run; a run with more is refused before one is made.
    pub slices_per_run: u64,
    /// Free space of the lake's disk, in mebibytes, below which nothing is fetched; 0: none is needed.
    pub min_free_mb: u64,
    /// Time of one slice, the waits that the connector asks for included.
    pub slice_timeout_secs: u64,
    /// How many windows one run may halve.
    pub splits_per_run: usize,
    /// Columns of one native table. Further fields share one.
    pub columns_per_table: usize,
    /// Time of one query of `sluice sql`.
    pub query_secs: u64,
    /// Memory of one query, in mebibytes, beyond which sorts and aggregates go to disk.
    pub query_memory_mb: usize,
    /// What the queries of a command may put on disk at once, in mebibytes.
    pub query_disk_mb: u64,
    /// Rows of one query's result.
    pub query_rows: u64,
    /// One response in so many is mapped twice, to see that the answer is the same; 0: none.
    pub check_every: u32,
}

impl Default for LimitsSettings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            memory_mb: 512,
            call_timeout_ms: u64::try_from(limits.call_timeout.as_millis()).unwrap_or(u64::MAX),
            compile_timeout_secs: limits.compile_timeout.as_secs(),
            memory_bytes: limits.memory_bytes,
            output_bytes: limits.output_bytes,
            requests_per_answer: limits.requests_per_answer,
            requests_per_slice: 100_000,
            slices_per_run: 100_000,
            min_free_mb: 256,
            slice_timeout_secs: 6 * 3_600,
            splits_per_run: 10_000,
            columns_per_table: CommitterOptions::default().columns_per_table,
            query_secs: 600,
            query_memory_mb: 512,
            query_disk_mb: 10 << 10,
            query_rows: 100_000_000,
            check_every: 1_000,
        }
    }
}

impl LimitsSettings {
    /// How long the process of a query may take.
    pub fn process_time(&self) -> Duration {
        Duration::from_secs(self.query_secs) + PROCESS_GRACE
    }

    /// Fails if nothing at all would be allowed.
    ///
    /// # Errors
    /// A settings failure that names the key.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let sizes = [
            ("memory_mb", self.memory_mb as u64),
            ("call_timeout_ms", self.call_timeout_ms),
            ("compile_timeout_secs", self.compile_timeout_secs),
            ("memory_bytes", self.memory_bytes as u64),
            ("output_bytes", self.output_bytes as u64),
            ("requests_per_answer", self.requests_per_answer as u64),
            ("requests_per_slice", self.requests_per_slice as u64),
            ("slices_per_run", self.slices_per_run),
            ("slice_timeout_secs", self.slice_timeout_secs),
            ("columns_per_table", self.columns_per_table as u64),
            ("query_secs", self.query_secs),
            ("query_memory_mb", self.query_memory_mb as u64),
            ("query_disk_mb", self.query_disk_mb),
            ("query_rows", self.query_rows),
        ];
        match sizes.iter().find(|(_, size)| *size == 0) {
            Some((key, _)) => Err(Failure::settings(format!("limits.{key} = 0 lets nothing be done"))
                .hint("leave it out for the default")),
            None => Ok(()),
        }
    }

    /// Bytes for bodies, decoded cells and rows that aren't durable yet: a quarter of the process's memory.
    pub fn response_bytes(&self) -> usize {
        self.memory_mb.saturating_mul(1 << 20) / 4
    }

    /// What the queries of a run may use: an eighth of the process's memory, beyond which sorts go to disk. In one thread each,
    /// so that none of it is rows between threads.
    pub fn queries_of_a_run(&self) -> SessionOptions {
        let memory_bytes = self.memory_mb.saturating_mul(1 << 20) / 8;
        let timeout = Some(Duration::from_secs(self.query_secs));
        let spill_bytes = Some(self.query_disk_bytes());
        SessionOptions { memory_bytes, target_partitions: Some(1), spill_bytes, timeout, ..SessionOptions::default() }
    }

    /// Bytes of text of requests that wait for their turn or their answer: a thirty-second of the process's memory, since
    /// four copies are made of each to send and to keep it; and what one connector's result may have.
    pub fn waiting_bytes(&self) -> usize {
        (self.memory_mb.saturating_mul(1 << 20) / 32).max(Limits::default().request_text_bytes)
    }

    /// Bytes of what slices remember of their transactions, to compare their responses: a sixteenth of the process's memory.
    pub fn contents_bytes(&self) -> usize {
        self.memory_mb.saturating_mul(1 << 20) / 16
    }

    /// Bytes that slices of few records hold until others are read: a thirty-second of the process's memory.
    pub fn few_bytes(&self) -> usize {
        self.memory_mb.saturating_mul(1 << 20) / 32
    }

    /// Bytes of one body, as received and unpacked: a quarter of the process's memory.
    pub fn body_bytes(&self) -> u64 {
        (self.memory_mb as u64).saturating_mul(1 << 20) / 4
    }

    /// Bytes of the bodies that are being received: a sixteenth of the process's memory, beside the first of each.
    pub fn spool_bytes(&self) -> usize {
        self.memory_mb.saturating_mul(1 << 20) / 16
    }

    /// What the writer of tables gathers and keeps: at most a fourteenth of the process's memory in rows that wait, a
    /// sixteenth in keys.
    pub fn committer(&self) -> CommitterOptions {
        let bytes = self.memory_mb.saturating_mul(1 << 20);
        let default = CommitterOptions::default();
        CommitterOptions {
            flush_bytes: default.flush_bytes.min(bytes / 14),
            index_keys: default.index_keys.min(bytes / 16 / 128),
            all_keys: bytes / 8 / 128,
            columns_per_table: self.columns_per_table,
            ..default
        }
    }

    /// What the engine watches over.
    pub fn engine(&self) -> Limits {
        Limits {
            call_timeout: Duration::from_millis(self.call_timeout_ms),
            compile_timeout: Duration::from_secs(self.compile_timeout_secs),
            memory_bytes: self.memory_bytes,
            output_bytes: self.output_bytes,
            requests_per_answer: self.requests_per_answer,
            ..Limits::default()
        }
    }

    /// What a query of an operator may use.
    pub fn query(&self) -> SessionOptions {
        SessionOptions {
            memory_bytes: self.query_memory_mb.saturating_mul(1 << 20),
            timeout: Some(Duration::from_secs(self.query_secs)),
            spill_bytes: Some(self.query_disk_bytes()),
            max_rows: Some(self.query_rows),
            ..SessionOptions::default()
        }
    }

    fn query_disk_bytes(&self) -> u64 {
        self.query_disk_mb.saturating_mul(1 << 20)
    }

    /// Time of one slice.
    pub fn slice_timeout(&self) -> Duration {
        Duration::from_secs(self.slice_timeout_secs)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_left_out_is_the_engines_default() {
        let limits: LimitsSettings = toml::from_str("").unwrap();
        assert_eq!(limits.engine(), Limits::default());
        assert!(limits.check().is_ok());
        assert!(toml::from_str::<LimitsSettings>("memory = 1").is_err());
    }

    #[test]
    fn nothing_at_all_is_no_limit() {
        let limits: LimitsSettings = toml::from_str("call_timeout_ms = 0").unwrap();
        assert!(limits.check().unwrap_err().render(false).contains("limits.call_timeout_ms"));
    }
}
