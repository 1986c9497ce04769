//! The time that decoding a body may take. Every decoder is linear in the body's length; what isn't ends here.

use std::time::Instant;

use super::DecodeError;

/// Bytes of a body between two looks at the clock, which costs some 30 ns.
const STEP: usize = 256 << 10;

/// A deadline that is looked at once for so many bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    deadline: Option<Instant>,
    /// The place in the body from which on it is looked at again.
    next: usize,
}

impl Clock {
    /// None: there is all the time in the world.
    pub(super) fn new(deadline: Option<Instant>) -> Self {
        Self { deadline, next: if deadline.is_some() { 0 } else { usize::MAX } }
    }

    /// Fails if the deadline has passed when the reader is at this byte.
    #[inline]
    pub(super) fn check(&mut self, at: usize) -> Result<(), DecodeError> {
        if at < self.next { Ok(()) } else { self.look(at) }
    }

    /// The same without regard to how far the reader came: for work that isn't reading.
    #[cold]
    pub(super) fn look(&mut self, at: usize) -> Result<(), DecodeError> {
        let Some(deadline) = self.deadline else { return Ok(()) };
        self.next = at.saturating_add(STEP);
        if Instant::now() < deadline { Ok(()) } else { Err(DecodeError::OutOfTime { at }) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sluice_model::{Delimited, Format, Layout};

    use super::super::{BodyLayout, DecodeErrorKind, decode_body, value_until};
    use super::*;

    fn layout(format: Format) -> Layout {
        Layout { format, pins: vec![], inputs: vec![], key: vec![] }
    }

    fn delimited() -> Format {
        Format::Delimited(Delimited {
            delimiter: b',',
            quote: None,
            skip_lines: 0,
            header: vec![],
            charset: "utf-8".into(),
            exact_fields: false,
            optional: vec![],
        })
    }

    #[test]
    fn every_decoder_gives_up_at_its_deadline() {
        let bodies: [(Format, &[u8]); 6] = [
            (Format::Json(String::new()), b"[{\"a\":1},{\"a\":2}]"),
            (Format::Json("/*/x".to_owned()), b"{\"a\":{},\"b\":{\"x\":[]}}"),
            (Format::Json("/a".to_owned()), b"{\"a\":[]}"),
            (Format::Ndjson, b"{\"a\":1}\n{\"a\":2}\n"),
            (Format::Xml("r.s".to_owned()), b"<r><s a=\"1\"/></r>"),
            (delimited(), b"a,b\n1,2\n"),
        ];
        for (format, body) in bodies {
            let layout = layout(format);
            let within = |deadline| decode_body(&BodyLayout { deadline, ..BodyLayout::from(&layout) }, body);
            assert!(within(None).is_ok(), "{layout:?}");
            assert!(within(Instant::now().checked_add(std::time::Duration::from_secs(600))).is_ok(), "{layout:?}");
            let error = within(Some(Instant::now())).unwrap_err();
            assert!(matches!(error, DecodeError::OutOfTime { .. }), "{layout:?}: {error}");
            assert_eq!(error.kind(), DecodeErrorKind::Limit);
        }
    }

    #[test]
    fn a_lookup_gives_up_at_its_deadline() {
        for (body, place) in [(&b"{\"a\":{\"b\":1}}"[..], "/a/b"), (b"<a><b>1</b></a>", "a.b")] {
            assert_eq!(value_until(body, place, None).as_deref(), Some("1"));
            assert_eq!(value_until(body, place, Some(Instant::now())), None);
        }
    }

    #[test]
    fn names_that_stand_twice_are_work_that_looks_at_the_clock() {
        let mut clock = Clock::new(Some(Instant::now()));
        assert!(clock.look(7).is_err() && clock.check(8).is_ok() && clock.check(7 + STEP).is_err());
        let mut clock = Clock::new(None);
        assert!(clock.look(7).is_ok() && clock.check(usize::MAX - 1).is_ok());
    }
}
