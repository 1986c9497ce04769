//! Takes a response's body within limits, unpacks it, and masks what secrets it echoes.
//!
//! A body that can't be taken whole leaves a sample behind: its first bytes, unpacked and masked, so that whoever
//! looks into it sees what came.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use tokio::time::Instant;
use url::Url;

use crate::allow::host_of;
use crate::error::{Error, Wait};
use crate::fetcher::FetchOptions;
use crate::redact::Redactor;
use crate::unpack::{Limits, begin, unpack};
use crate::wire::Wire;

/// Bodies up to this size are unpacked and searched where they are; larger ones off the async threads.
const SMALL_BYTES: usize = 256 << 10;
/// What is kept of a body that can't be taken whole.
pub(crate) const SAMPLE_BYTES: usize = 64 << 10;

/// A response as it came, nothing masked yet.
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Of this response and of the redirects of one origin before it.
    pub(crate) cookies: Vec<String>,
    /// The body, or its begin.
    pub(crate) wire: Bytes,
    pub(crate) host: String,
    /// Why it is only the begin.
    pub(crate) cut: Option<Error>,
}

impl Wire<'_> {
    /// Reads a response. `sent`: when its request was.
    pub(crate) async fn collect(
        &self,
        mut response: Response,
        cookies: Vec<String>,
        url: &Url,
        sent: Instant,
    ) -> Result<Raw, Error> {
        let host = host_of(url);
        let max = self.shared.options.max_header_bytes;
        let header_bytes: usize =
            response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if header_bytes as u64 > max {
            return Err(Error::TooLarge { host, what: "headers", max });
        }
        let (wire, cut) = self.body(&mut response, url, sent).await;
        let status = response.status().as_u16();
        Ok(Raw { status, headers: std::mem::take(response.headers_mut()), cookies, wire, host, cut })
    }

    /// The body; or a sample of it, and why there isn't more.
    async fn body(&self, response: &mut Response, url: &Url, sent: Instant) -> (Bytes, Option<Error>) {
        let FetchOptions { max_body_bytes: max, read_timeout, request_timeout, .. } = self.shared.options;
        let host = || host_of(url);
        let expected = response.content_length();
        if expected.is_some_and(|bytes| bytes > max) {
            return (Bytes::new(), Some(Error::TooLarge { host: host(), what: "body", max }));
        }
        let mut pieces = Pieces::default();
        let whole = sent + request_timeout;
        let cut = loop {
            let received = pieces.bytes;
            let read = Instant::now() + read_timeout;
            let chunk = match tokio::time::timeout_at(read.min(whole), response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) if expected.is_some_and(|bytes| bytes > received) => {
                    break Some(Error::Truncated { host: host(), received, expected });
                }
                Ok(Ok(None)) => break None,
                Ok(Err(error)) => break Some(self.broken(error, url, received, expected)),
                Err(_) if whole <= read => {
                    break Some(Error::Timeout { host: host(), what: Wait::Whole, limit: request_timeout });
                }
                Err(_) => break Some(Error::Timeout { host: host(), what: Wait::Read, limit: read_timeout }),
            };
            pieces.add(chunk, expected);
            if pieces.bytes > max {
                break Some(Error::TooLarge { host: host(), what: "body", max });
            }
            // A server that never lets go of the socket's buffer must not keep this loop from its deadline.
            if Instant::now() >= whole {
                break Some(Error::Timeout { host: host(), what: Wait::Whole, limit: request_timeout });
            }
        };
        let wire = pieces.whole();
        match cut {
            Some(_) => (Bytes::copy_from_slice(&wire[..wire.len().min(SAMPLE_BYTES)]), cut),
            None => (wire, None),
        }
    }
}

/// A body's pieces, collected once, into a buffer of the announced size; a single one isn't copied.
#[derive(Default)]
struct Pieces {
    first: Bytes,
    rest: BytesMut,
    bytes: u64,
}

impl Pieces {
    fn add(&mut self, chunk: Bytes, expected: Option<u64>) {
        self.bytes += chunk.len() as u64;
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = chunk;
            return;
        }
        if self.rest.is_empty() {
            // What a server announces is trusted with 64 MiB at first.
            self.rest.reserve(expected.unwrap_or_default().min(64 << 20).max(self.bytes) as usize);
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.rest.extend_from_slice(&chunk);
    }

    fn whole(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }
}

/// A body unpacked, and with it what may be kept.
pub(crate) struct Opened {
    pub(crate) wire: Bytes,
    pub(crate) body: Bytes,
    pub(crate) masked: bool,
    /// Why it is only a sample.
    pub(crate) problem: Option<Error>,
}

impl Opened {
    /// Whether what is kept isn't what came off the wire.
    pub(crate) fn is_other(&self) -> bool {
        self.masked || self.problem.is_some()
    }
}

/// Unpacks a body and masks what secrets it echoes. If there were any, what is kept is the masked unpacked body:
/// the packed one would still hold them.
pub(crate) async fn open(raw: &Raw, limits: Limits, redactor: &Arc<Redactor>) -> Opened {
    let encodings = encodings_of(&raw.headers);
    let (wire, host, cut) = (raw.wire.clone(), raw.host.clone(), raw.cut.clone());
    if wire.len() <= SMALL_BYTES && encodings.is_empty() {
        return opened(&encodings, wire, limits, &host, redactor, cut).await;
    }
    let redactor = Arc::clone(redactor);
    let work = move || futures::executor::block_on(opened(&encodings, wire, limits, &host, &redactor, cut));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|gone| {
        let (host, encoding) = (raw.host.clone(), encodings_of(&raw.headers));
        let problem = Error::Unpack { host, encoding, source: Some(Arc::new(std::io::Error::other(gone))) };
        Opened { wire: Bytes::new(), body: Bytes::new(), masked: false, problem: Some(problem) }
    })
}

async fn opened(
    encodings: &str,
    wire: Bytes,
    limits: Limits,
    host: &str,
    redactor: &Redactor,
    cut: Option<Error>,
) -> Opened {
    let unpacked = match cut {
        Some(error) => Err(error),
        None => unpack(encodings, &wire, limits, host).await,
    };
    match unpacked {
        Err(error) => sample(encodings, &wire, redactor, error).await,
        Ok(body) => match redactor.body(&body) {
            Some(clean) => Opened { wire: clean.clone(), body: clean, masked: true, problem: None },
            None => Opened { wire, body, masked: false, problem: None },
        },
    }
}

/// What may be kept of a body with a problem.
async fn sample(encodings: &str, wire: &Bytes, redactor: &Redactor, problem: Error) -> Opened {
    let text = begin(encodings, wire, SAMPLE_BYTES).await;
    let masked = redactor.body(&text);
    let was_masked = masked.is_some();
    let mut text = masked.unwrap_or(text);
    // A secret that is cut off at the end isn't found as one.
    text.truncate(text.len() - redactor.begun_at_end(&text));
    Opened { wire: text.clone(), body: text, masked: was_masked, problem: Some(problem) }
}

/// All `content-encoding` headers as one list.
pub(crate) fn encodings_of(headers: &HeaderMap) -> String {
    let values: Vec<&str> = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(", ")
}
