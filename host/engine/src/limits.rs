//! What a guest may use up, and nothing more.

use std::time::{Duration, Instant};

/// Caps on one call into a guest. Every call gets a fresh instance, so nothing adds up over calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of one instance, in bytes, over all its memories. A guest that asks for more is refused
    /// the growth and usually aborts.
    pub memory_bytes: usize,
    /// What of it any call may take. One call at a time may take more: so many guests of others as there are cores can't
    /// take the whole each.
    pub small_memory_bytes: usize,
    /// Wall-clock time of one call. Compiling isn't part of it.
    pub call_timeout: Duration,
    /// Bytes that one call may hand to the host: its whole result, as the host holds it.
    pub output_bytes: usize,
    /// Requests in one answer of `plan` or `follow`.
    pub requests_per_answer: usize,
    /// Text in all requests of one answer, in bytes.
    pub request_text_bytes: usize,
    /// Steps of one template.
    pub template_ops: usize,
    /// Unified transactions in one answer of `map-response`.
    pub rows_per_answer: usize,
    /// How often one call may ask for a `value-at`.
    pub lookups: u32,
    /// Bytes that all `value-at` of one call may scan: each counts the body's whole length.
    pub lookup_bytes: u64,
    /// Size of a component's file, in bytes.
    pub component_bytes: u64,
    /// Functions of a component, over all its modules.
    pub functions: u64,
    /// The longest function, in bytes: what a compiler does to one grows faster than its length.
    pub function_bytes: u64,
    /// Instances of modules and components that a component makes of its parts, those inside them included.
    pub component_instances: u64,
    /// Wall-clock time of compiling a component.
    pub compile_timeout: Duration,
    /// Memory that an idle instance slot keeps, in bytes. It saves the page faults of a fresh memory, which cost a
    /// fifth of a map (17 instead of 21 ms on 5,000 records with 64 MiB kept). 16 MiB hold the columns in and out of
    /// some 10,000 records, so that a slot's price stays below that of the batches around it.
    pub resident_bytes: usize,
}

impl Limits {
    /// No limit on what a call may take: what the limits cost is measured against this. Not for guests of others.
    pub fn none() -> Self {
        Self {
            memory_bytes: 4 << 30,
            small_memory_bytes: usize::MAX,
            call_timeout: Duration::MAX,
            output_bytes: usize::MAX,
            requests_per_answer: usize::MAX,
            request_text_bytes: usize::MAX,
            template_ops: usize::MAX,
            rows_per_answer: usize::MAX,
            lookups: u32::MAX,
            lookup_bytes: u64::MAX,
            ..Self::default()
        }
    }

    /// When decoding a body of so many bytes is given up, if it begins now: it has the time of one call, and 100 ms for
    /// each MiB. Decoders are linear and take 5 to 20 ms for one.
    pub(crate) fn decoding_deadline(&self, bytes: usize) -> Option<Instant> {
        let millis_of_body = u64::try_from(bytes >> 20).unwrap_or(u64::MAX).saturating_mul(100);
        Instant::now().checked_add(self.call_timeout.saturating_add(Duration::from_millis(millis_of_body)))
    }

    /// Whether calls have a deadline: if not, code is compiled without checks of it.
    pub(crate) fn has_deadline(&self) -> bool {
        self.call_timeout < Duration::MAX
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            small_memory_bytes: 32 << 20,
            call_timeout: Duration::from_secs(10),
            output_bytes: 128 << 20,
            requests_per_answer: 10_000,
            request_text_bytes: 8 << 20,
            template_ops: 1_000,
            rows_per_answer: 1_000_000,
            lookups: 1_000,
            lookup_bytes: 4 << 30,
            component_bytes: 64 << 20,
            functions: 200_000,
            function_bytes: 2 << 20,
            component_instances: 1_000,
            compile_timeout: Duration::from_secs(60),
            resident_bytes: 16 << 20,
        }
    }
}
