//! From a response's body to its rows: the one way for live and resumed responses, builds, replays, trials and shadows.
//!
//! A response gives the same rows whoever maps it and whenever, because all that mapping takes is in its [`RawObject`]
//! and its body.

use bytes::Bytes;
use sluice_decode::{DecodeError, DecodeErrorKind, Decoded};
use sluice_model::{Mapped, RawObject, Response, Verdict};

use crate::connector::{Answered, Connector, visible_headers};
use crate::error::Error;

/// A response with its body decoded: what `follow` judges and what is mapped.
#[derive(Debug)]
pub struct DecodedResponse {
    /// The response as the guest sees it, with the number of its records or the reason why there are none.
    pub response: Response,
    /// Its records. None where the body isn't one of records, or doesn't fit the layout.
    pub decoded: Option<Decoded>,
    problem: Option<DecodeError>,
}

impl DecodedResponse {
    /// A response whose body isn't one of records.
    pub fn without_records(status: u16, headers: Vec<(String, String)>, body: Bytes) -> Self {
        let response = Response { status, headers, body, records: None, problem: None };
        Self { response, decoded: None, problem: None }
    }

    /// What it takes in memory: its body, its cells and the names of its columns.
    pub fn bytes(&self) -> usize {
        self.response.body.len() + self.decoded.as_ref().map_or(0, |decoded| decoded.batch.bytes())
    }

    /// Why the body is no answer, whatever the connector takes it for: it breaks the rules of its format, lacks a column that the
    /// mapping needs, or exceeds a limit of the host. What is something else than records, or a fault, may be the network's way
    /// to say that there are none.
    pub fn unreadable(&self) -> Option<String> {
        let problem = self.problem.as_ref()?;
        let is_open = matches!(problem.kind(), DecodeErrorKind::OtherContent | DecodeErrorKind::Fault);
        (!is_open).then(|| problem.to_string())
    }

    /// Whether the body ends before its end: what there is of it can't be read, and the rest may come if it is asked for again.
    pub fn is_cut(&self) -> bool {
        self.problem.as_ref().is_some_and(|problem| problem.kind() == DecodeErrorKind::Cut)
    }
}

/// How often a response is mapped twice, to see that the guest gives the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TwiceCheck {
    /// The first one, and then one in [`crate::EngineOptions::check_every`].
    Sampled,
    /// Each one.
    Always,
}

impl Connector {
    /// Decodes the body of a response to a request that yields records. One whose status isn't 2xx has none.
    ///
    /// `headers`: those that the guest may see (see [`visible_headers`]). `body`: without its content encodings.
    pub fn decode_response(
        &self,
        stream: &str,
        status: u16,
        headers: Vec<(String, String)>,
        body: Bytes,
    ) -> DecodedResponse {
        let mut found = DecodedResponse::without_records(status, headers, body);
        if !(200..300).contains(&status) {
            return found;
        }
        match self.decode(stream, &found.response.headers, &found.response.body) {
            Ok(decoded) => {
                found.response.records = u32::try_from(decoded.records()).ok();
                found.decoded = Some(decoded);
            }
            Err(problem) => {
                found.response.problem = Some(problem.to_string());
                found.problem = Some(problem);
            }
        }
        found
    }

    /// Maps an answered response of raw. `body`: without its content encodings.
    ///
    /// # Errors
    /// [`Error::Decode`] and [`Error::Unanswered`] for a response without records that `follow` doesn't take for an
    /// answer, and the errors of [`Connector::map`].
    pub fn map_raw(&self, raw: &RawObject, body: Bytes, check: TwiceCheck) -> Result<Mapped, Error> {
        let response = self.decode_response(&raw.slice.stream, raw.status, visible_headers(&raw.headers), body);
        self.map_decoded(raw, response, check)
    }

    /// The second half of [`Connector::map_raw`], for a response that was decoded to be judged.
    ///
    /// # Errors
    /// As [`Connector::map_raw`].
    pub fn map_decoded(&self, raw: &RawObject, found: DecodedResponse, check: TwiceCheck) -> Result<Mapped, Error> {
        let is_unreadable = found.unreadable().is_some();
        let DecodedResponse { response, decoded, problem } = found;
        let RawObject { slice, request, .. } = raw;
        match decoded {
            Some(decoded) => self.map_checked(Answered { slice, request, response: &response }, decoded, check),
            None => match self.follow(slice, request, &response)?.verdict {
                Verdict::Done | Verdict::More(_) if !is_unreadable => Ok(Mapped::default()),
                _ => Err(match problem {
                    Some(problem) => Error::Decode(problem),
                    None => self.unanswered(response.status),
                }),
            },
        }
    }

    fn unanswered(&self, status: u16) -> Error {
        Error::Unanswered { connector: self.network().to_owned(), version: self.version().to_owned(), status }
    }
}
