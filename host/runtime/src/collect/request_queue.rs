//! The requests of a slice that wait for their turn, within a limit on their bytes.

use std::collections::VecDeque;
use std::time::Duration;

use sluice_model::{ErrorKind, Request};

use crate::failure::SliceError;

/// The most bytes of text of the requests that wait: each answer may lead on to others with large bodies and states.
const MAX_WAITING_BYTES: usize = 32 << 20;

/// Requests, each with a pause before it.
#[derive(Default)]
pub(super) struct RequestQueue {
    requests: VecDeque<(Request, Duration)>,
    bytes: usize,
}

impl RequestQueue {
    /// Adds requests; returns why not if they are too many.
    pub(super) fn extend(&mut self, requests: Vec<Request>, wait: Duration) -> Result<(), SliceError> {
        for request in requests {
            self.bytes = self.bytes.saturating_add(request.text_bytes());
            if self.bytes > MAX_WAITING_BYTES {
                let reason =
                    format!("the requests that it wants to send next have more than {MAX_WAITING_BYTES} bytes of text");
                return Err(SliceError::new(ErrorKind::Guest, reason));
            }
            self.requests.push_back((request, wait));
        }
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<(Request, Duration)> {
        let (request, wait) = self.requests.pop_front()?;
        self.bytes = self.bytes.saturating_sub(request.text_bytes());
        Some((request, wait))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter().map(|(request, _)| request)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sluice_model::Op;

    use super::super::get;
    use super::*;

    #[test]
    fn what_waits_has_a_limit_and_what_was_sent_does_not_count() {
        let request = |bytes: usize| Request {
            body: Some(vec![Op::Text("x".repeat(bytes))]),
            state: "y".repeat(1 << 10),
            ..get("1", "https://a.example.com/")
        };
        let mut queue = RequestQueue::default();
        for _ in 0..40 {
            queue.extend(vec![request(8 << 20), request(8 << 20)], Duration::ZERO).unwrap();
            assert!(queue.pop().is_some() && queue.pop().is_some());
        }
        assert!(queue.pop().is_none());
        let many = (0..4).map(|_| request(8 << 20)).collect();
        let refused = queue.extend(many, Duration::ZERO).unwrap_err();
        assert!(refused.message.contains("more than 33554432 bytes"), "{}", refused.message);
    }
}
