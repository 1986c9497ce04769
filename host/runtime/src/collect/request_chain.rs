//! The requests of a slice, one after another: whether they still lead anywhere.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sluice_model::{Digest, ErrorKind, Request};

use crate::failure::SliceError;

/// How often the same page may lead on to further requests: a network that ignores the page or the cursor sends the
/// same one forever.
const MAX_SAME_PAGES: u32 = 5;

/// What a slice has asked so far.
pub(super) struct RequestChain {
    /// By their digests: each request may have a long key.
    keys: HashSet<u128>,
    contents: HashSet<u128>,
    pages: HashMap<Digest, u32>,
    /// Requests that it may ask.
    most: usize,
}

impl RequestChain {
    /// Begins with the planned requests; fails if they are more than `most`.
    pub(super) fn new<'a>(planned: impl Iterator<Item = &'a Request>, most: usize) -> Result<Self, SliceError> {
        let mut chain = Self { keys: HashSet::new(), contents: HashSet::new(), pages: HashMap::new(), most };
        for request in planned {
            chain.check_number(1)?;
            chain.keys.insert(key(request));
            chain.contents.insert(content(request));
        }
        Ok(chain)
    }

    /// Fails if so many further requests are too many: before they are remembered, since each answer may bring as many
    /// again.
    pub(super) fn check_number(&self, further: usize) -> Result<(), SliceError> {
        if self.keys.len().saturating_add(further) <= self.most {
            return Ok(());
        }
        let reason = format!("it asks for more than {} requests for one slice (`requests_per_slice`)", self.most);
        Err(SliceError::new(ErrorKind::Guest, reason))
    }

    /// Adds the follow-ups of an answer after a pause, whose number was checked; returns why none of them may be sent.
    /// `page`: the answer's body, if it holds records.
    pub(super) fn admit(
        &mut self,
        follow_ups: &[Request],
        pause: Duration,
        page: Option<Digest>,
    ) -> Result<(), SliceError> {
        if follow_ups.is_empty() {
            return Ok(());
        }
        // Polling sends the same request and gets the same response until it is ready.
        let polls = !pause.is_zero();
        let times = page.filter(|_| !polls).map_or(0, |page| {
            let times = self.pages.entry(page).or_default();
            *times += 1;
            *times
        });
        if times == MAX_SAME_PAGES {
            let reason = format!(
                "the network has sent the same page {times} times, each time with a next one: `{}` isn't asked for; it \
                 ignores the page or the cursor, or never ends",
                follow_ups[0].key
            );
            return Err(SliceError::new(ErrorKind::Format, reason));
        }
        for request in follow_ups {
            if !self.keys.insert(key(request)) {
                let reason = format!("the connector asks for `{}` twice: it runs in circles", request.key);
                return Err(SliceError::new(ErrorKind::Guest, reason));
            }
            if !self.contents.insert(content(request)) && !polls {
                let reason = format!(
                    "`{}` asks for what was asked before: the network gave the same cursor or page again",
                    request.key
                );
                return Err(SliceError::new(ErrorKind::Format, reason));
            }
        }
        Ok(())
    }
}

fn key(request: &Request) -> u128 {
    Digest::of(request.key.as_bytes()).first_half()
}

/// What a request asks, whatever it is called.
fn content(request: &Request) -> u128 {
    let Request { method, url, headers, body, .. } = request;
    Digest::of_json(&(method, url, headers, body)).first_half()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::get as page;
    use super::*;

    #[test]
    fn the_same_cursor_ends_the_way() {
        let mut chain = RequestChain::new([page("1", "https://a/?c=1")].iter(), 9).unwrap();
        let after = |chain: &mut RequestChain, n: u32, url: &str| {
            chain.admit(&[page(&n.to_string(), url)], Duration::ZERO, Some(Digest::of(&n.to_le_bytes())))
        };
        after(&mut chain, 2, "https://a/?c=2").unwrap();
        let circle = after(&mut chain, 3, "https://a/?c=1").unwrap_err().message;
        assert!(circle.starts_with("`3` asks for what was asked before"), "{circle}");
        let twice = after(&mut chain, 2, "https://a/?c=9").unwrap_err().message;
        assert!(twice.contains("asks for `2` twice"), "{twice}");
    }

    #[test]
    fn a_page_that_is_always_the_same_ends_the_way() {
        let mut chain = RequestChain::new(std::iter::empty(), 99).unwrap();
        let same = Some(Digest::of(b"the same"));
        let mut after = |n: u32| chain.admit(&[page(&n.to_string(), &n.to_string())], Duration::ZERO, same);
        (1..5).for_each(|n| after(n).unwrap());
        assert!(after(5).unwrap_err().message.contains("the same page 5 times"));
        assert!(chain.admit(&[], Duration::ZERO, same).is_ok(), "a last page leads nowhere");
    }

    #[test]
    fn a_poll_may_ask_the_same_and_be_told_the_same() {
        let mut chain = RequestChain::new(std::iter::empty(), 99).unwrap();
        for n in 0..10 {
            let poll = page(&format!("poll-{n}"), "https://a/report/7");
            chain.admit(&[poll], Duration::from_secs(1), None).unwrap();
        }
    }

    #[test]
    fn a_slice_has_a_longest_way() {
        let mut chain = RequestChain::new(std::iter::empty(), 3).unwrap();
        let mut after = |n: u32| {
            chain.check_number(1)?;
            chain.admit(&[page(&n.to_string(), &n.to_string())], Duration::ZERO, None)
        };
        (1..=3).for_each(|n| after(n).unwrap());
        assert!(after(4).unwrap_err().message.contains("more than 3 requests for one slice"));
        assert!(chain.check_number(usize::MAX).is_err());
        assert_eq!((chain.keys.len(), chain.contents.len()), (3, 3));
    }

    #[test]
    fn more_planned_requests_than_a_slice_may_have_are_refused() {
        let planned: Vec<Request> = (0..4).map(|n| page(&n.to_string(), &n.to_string())).collect();
        assert!(RequestChain::new(planned[..3].iter(), 3).is_ok());
        assert!(RequestChain::new(planned.iter(), 3).is_err());
    }
}
