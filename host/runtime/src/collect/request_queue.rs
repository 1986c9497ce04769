//! The requests of a slice that wait for their turn or their answer, within limits on their bytes: of the slice, and of all
//! slices of the process together.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_model::{ErrorKind, Request};

use crate::failure::SliceError;
use crate::memory::ByteLimit;

/// The most bytes of text of the requests that wait: each answer may lead on to others with large bodies and states.
const MAX_WAITING_BYTES: usize = 32 << 20;
/// Bytes by which a slice recognises a request that is asked for again, or is of the same listing, until the slice ends.
const KNOWN_BYTES: usize = 160;
/// Bytes of each slice that don't count against those of the process: another network's slices can't take them away.
const OWN_BYTES: usize = 256 << 10;

/// Requests, each with a pause before it.
pub(super) struct RequestQueue {
    requests: VecDeque<(QueuedRequest, Duration)>,
    bytes: Arc<SliceBytes>,
}

/// A request of a slice. It counts against the limits until it is dropped, so while it is sent and answered too: the
/// requests of a slice that run at once may be as large as those that wait.
pub(super) struct QueuedRequest {
    pub(super) request: Arc<Request>,
    text: usize,
    bytes: Arc<SliceBytes>,
}

/// The bytes of text of a slice's requests, and what is remembered of those that were answered.
struct SliceBytes {
    used: Mutex<usize>,
    /// Of all slices, beyond each one's own `OWN_BYTES`.
    process: ByteLimit,
}

impl SliceBytes {
    fn used(&self) -> MutexGuard<'_, usize> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes bytes; returns why not if they are too many.
    fn take(&self, text: usize) -> Result<(), SliceError> {
        let mut used = self.used();
        let bytes = used.saturating_add(text);
        if bytes > MAX_WAITING_BYTES {
            let reason =
                format!("the requests that it wants to send next have more than {MAX_WAITING_BYTES} bytes of text");
            return Err(SliceError::new(ErrorKind::Guest, reason));
        }
        if !self.process.take(shared(bytes) - shared(*used)) {
            let reason = format!(
                "the requests that wait, of all slices of this process, would have more than {} bytes of text, and \
                 this slice's {bytes} of them",
                self.process.most()
            );
            return Err(SliceError::new(ErrorKind::Host, reason));
        }
        *used = bytes;
        Ok(())
    }

    fn give_back(&self, text: usize) {
        let mut used = self.used();
        let bytes = used.saturating_sub(text);
        self.process.give_back(shared(*used) - shared(bytes));
        *used = bytes;
    }
}

impl Drop for SliceBytes {
    fn drop(&mut self) {
        let used = *self.used();
        self.process.give_back(shared(used));
    }
}

impl Drop for QueuedRequest {
    fn drop(&mut self) {
        self.bytes.give_back(self.text);
    }
}

impl RequestQueue {
    pub(super) fn new(process: ByteLimit) -> Self {
        Self { requests: VecDeque::new(), bytes: Arc::new(SliceBytes { used: Mutex::default(), process }) }
    }

    /// Takes the memory by which so many further requests are recognised; returns why not if they are too many.
    pub(super) fn remember(&self, requests: usize) -> Result<(), SliceError> {
        self.bytes.take(requests.saturating_mul(KNOWN_BYTES))
    }

    /// Adds requests; returns why not if they are too many.
    pub(super) fn extend(&mut self, requests: Vec<Request>, wait: Duration) -> Result<(), SliceError> {
        for request in requests {
            let text = request.text_bytes();
            self.bytes.take(text)?;
            let queued = QueuedRequest { request: Arc::new(request), text, bytes: self.bytes.clone() };
            self.requests.push_back((queued, wait));
        }
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<(QueuedRequest, Duration)> {
        self.requests.pop_front()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter().map(|(queued, _)| &*queued.request)
    }
}

/// What of a slice's bytes counts against those of the process.
fn shared(bytes: usize) -> usize {
    bytes.saturating_sub(OWN_BYTES)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sluice_model::Op;

    use super::super::get;
    use super::*;

    fn request(bytes: usize) -> Request {
        Request {
            body: Some(vec![Op::Text("x".repeat(bytes))]),
            state: "y".repeat(1 << 10),
            ..get("1", "https://a.example.com/")
        }
    }

    #[test]
    fn what_waits_or_runs_has_a_limit_and_what_was_answered_does_not_count() {
        let mut queue = RequestQueue::new(ByteLimit::new(usize::MAX));
        for _ in 0..40 {
            queue.extend(vec![request(8 << 20), request(8 << 20)], Duration::ZERO).unwrap();
            assert!(queue.pop().is_some() && queue.pop().is_some());
        }
        assert!(queue.pop().is_none());
        queue.extend(vec![request(8 << 20), request(8 << 20)], Duration::ZERO).unwrap();
        let running = (queue.pop().unwrap(), queue.pop().unwrap());
        let refused = queue.extend(vec![request(8 << 20), request(8 << 20)], Duration::ZERO).unwrap_err();
        assert!(refused.message.contains("more than 33554432 bytes"), "{}", refused.message);
        drop((running, queue.pop()));
        let many = (0..4).map(|_| request(8 << 20)).collect();
        let refused = queue.extend(many, Duration::ZERO).unwrap_err();
        assert!(refused.message.contains("more than 33554432 bytes"), "{}", refused.message);
    }

    #[test]
    fn slices_share_the_bytes_of_the_process_and_keep_some_of_their_own() {
        let process = ByteLimit::new(20 << 20);
        let mut greedy = RequestQueue::new(process.clone());
        let mut second = RequestQueue::new(process.clone());
        let mut modest = RequestQueue::new(process.clone());
        greedy.extend(vec![request(16 << 20)], Duration::ZERO).unwrap();
        let refused = second.extend(vec![request(16 << 20)], Duration::ZERO).unwrap_err();
        assert!(refused.message.contains("more than 20971520 bytes"), "{}", refused.message);
        modest.extend(vec![request(200 << 10)], Duration::ZERO).unwrap();
        // What was sent, and what was dropped with its slice, is free again.
        assert!(greedy.pop().is_some());
        second.extend(vec![request(16 << 20)], Duration::ZERO).unwrap();
        drop(second);
        greedy.extend(vec![request(16 << 20)], Duration::ZERO).unwrap();
        drop((greedy, modest));
        assert!(process.take(process.most()), "all of it is free again");
    }

    #[test]
    fn what_is_remembered_of_requests_is_free_when_the_slice_ends() {
        let process = ByteLimit::new(1 << 20);
        let mut queue = RequestQueue::new(process.clone());
        // Follow-ups of many answers, none of which is sent.
        let remembered = (0..).take_while(|_| queue.remember(1_000).is_ok()).count();
        assert_eq!(remembered, (process.most() + OWN_BYTES) / (1_000 * KNOWN_BYTES));
        queue.extend(vec![request(1)], Duration::ZERO).unwrap();
        assert!(!process.take(process.most() / 2));
        let sent = queue.pop();
        drop(queue);
        assert!(!process.take(process.most()), "one is on its way still");
        drop(sent);
        assert!(process.take(process.most()));
    }
}
