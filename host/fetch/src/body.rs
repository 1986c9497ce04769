//! Receives a response's body within limits ([`crate::spool`] holds it), unpacks it, and masks the secrets that it echoes.
//!
//! Of a body that can't be received in full a sample is stored: its first bytes, unpacked and masked, as evidence.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::HeaderMap;
use tokio::time::Instant;
use url::Url;

use crate::allow::host_of;
use crate::deadline::Deadline;
use crate::error::{Error, Wait};
use crate::exchange::Framing;
use crate::fetcher::FetchOptions;
use crate::pace::ResponseMemory;
use crate::redact::Redactor;
use crate::sign_in_response::SignInResponse;
use crate::spool::{Spool, Spooled};
use crate::unpack::{EncodingMismatch, Limits, StatedEncoding, unpack, unpack_start};
use crate::wire::Wire;

/// Bodies up to this size are searched on the async thread; larger and packed ones on a blocking one.
const SMALL_BYTES: usize = 256 << 10;
/// The most that is stored of a body that can't be received in full.
pub(crate) const SAMPLE_BYTES: usize = 64 << 10;
/// First bytes that show whether a body is packed.
const MAGIC_BYTES: u64 = 1 << 10;
/// How many times its packed size a body is expected to have; one that has more is unpacked again, with more memory.
const EXPECTED_RATIO: u64 = 8;
/// How long a body may take to be unpacked and searched, and how much longer for each MiB that it may have.
const CLEANING_TIME: Duration = Duration::from_secs(10);
const CLEANING_TIME_PER_MIB: Duration = Duration::from_millis(100);
/// Memory that a packed body may have unpacked in any case.
const MIN_UNPACKED_BYTES: u64 = 1 << 20;

/// A response as it was received, nothing masked yet.
pub(crate) struct WireResponse {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Of this response and of the redirects of one origin before it.
    pub(crate) cookies: Vec<String>,
    /// The body, or its first bytes if it was `cut`.
    pub(crate) wire: Spooled,
    pub(crate) framing: Framing,
    pub(crate) host: String,
    /// Why the body isn't complete.
    pub(crate) cut: Option<Error>,
}

impl WireResponse {
    /// The body's encodings by the headers.
    pub(crate) fn stated_encoding(&self) -> StatedEncoding {
        let headers = self.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        StatedEncoding::of(headers)
    }

    /// Its parts in which a sign-in's tokens may be, the body unpacked.
    pub(crate) async fn response(&self, limits: Limits) -> Result<SignInResponse, Error> {
        let wire = self.wire.whole().await.map_err(|source| Error::Spool { source: Arc::new(source) })?;
        let body = unpack(&self.stated_encoding(), &wire, limits, &self.host).await?.body;
        Ok(SignInResponse { body, ..self.response_without_body() })
    }

    /// The same of a response whose body can't be used.
    pub(crate) fn response_without_body(&self) -> SignInResponse {
        SignInResponse { headers: self.headers.clone(), cookies: self.cookies.clone(), body: Bytes::new() }
    }
}

impl Wire<'_> {
    /// Receives a response. `sent`: when its request was.
    pub(crate) async fn receive(
        &self,
        mut response: Response,
        cookies: Vec<String>,
        url: &Url,
        sent: Instant,
    ) -> Result<WireResponse, Error> {
        let host = host_of(url);
        let max = self.shared.options.max_header_bytes;
        let header_bytes: usize =
            response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if header_bytes as u64 > max {
            return Err(Error::TooLarge { host, what: "headers", max });
        }
        let framing = Framing::of_response(&response);
        let (wire, cut) = self.body(&mut response, url, sent).await;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        Ok(WireResponse { status, headers, cookies, wire, framing, host, cut })
    }

    /// The body; or a sample of it, and why it isn't complete.
    async fn body(&self, response: &mut Response, url: &Url, sent: Instant) -> (Spooled, Option<Error>) {
        let max = self.max_body_bytes;
        let expected = response.content_length();
        if expected.is_some_and(|bytes| bytes > max) {
            return (Spooled::small(Bytes::new()), Some(Error::TooLarge { host: host_of(url), what: "body", max }));
        }
        let mut spool = Spool::new(&self.shared.options.spool_folder, &self.shared.options.spool_memory, expected);
        let cut = self.receive_body(response, expected, &mut spool, url, sent).await.err();
        let spooled = match spool.finish().await {
            Ok(spooled) if cut.is_none() => return (spooled, None),
            Ok(spooled) => spooled.start(SAMPLE_BYTES as u64).await,
            Err(source) => Err(source),
        };
        match spooled {
            // A copy, which doesn't keep the whole alive.
            Ok(sample) => (Spooled::small(Bytes::copy_from_slice(&sample)), cut),
            Err(source) => (Spooled::small(Bytes::new()), cut.or(Some(Error::Spool { source: Arc::new(source) }))),
        }
    }

    async fn receive_body(
        &self,
        response: &mut Response,
        expected: Option<u64>,
        spool: &mut Spool,
        url: &Url,
        sent: Instant,
    ) -> Result<(), Error> {
        let FetchOptions { read_timeout, request_timeout, .. } = self.shared.options;
        let max = self.max_body_bytes;
        let host = || host_of(url);
        let too_slow = |what, limit| Error::Timeout { host: host(), what, limit };
        let deadline = sent + request_timeout;
        loop {
            let received = spool.received;
            let read_deadline = Instant::now() + read_timeout;
            let chunk = match tokio::time::timeout_at(read_deadline.min(deadline), response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) if expected.is_some_and(|bytes| bytes > received) => {
                    return Err(Error::Truncated { host: host(), received, expected });
                }
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) => return Err(self.body_error(error, url, received, expected)),
                Err(_) if deadline <= read_deadline => return Err(too_slow(Wait::Whole, request_timeout)),
                Err(_) => return Err(too_slow(Wait::Read, read_timeout)),
            };
            spool.add(chunk).await.map_err(|source| Error::Spool { source: Arc::new(source) })?;
            if spool.received > max {
                return Err(Error::TooLarge { host: host(), what: "body", max });
            }
            // Chunks that are always ready would keep the timeout from being polled.
            if Instant::now() >= deadline {
                return Err(too_slow(Wait::Whole, request_timeout));
            }
        }
    }
}

/// A body without its encodings and secrets.
pub(crate) struct CleanBody {
    /// What may be stored: the body as it was received, unless a secret was masked or there is a problem.
    pub(crate) wire: Bytes,
    pub(crate) body: Bytes,
    pub(crate) mismatch: Option<EncodingMismatch>,
    pub(crate) masked: bool,
    /// Why it is only a sample.
    pub(crate) problem: Option<Error>,
}

impl CleanBody {
    fn failed(sample: Bytes, masked: bool, problem: Error) -> Self {
        Self { wire: sample.clone(), body: sample, mismatch: None, masked, problem: Some(problem) }
    }

    /// Whether `wire` differs from what was received.
    pub(crate) fn is_changed(&self) -> bool {
        self.masked || self.problem.is_some()
    }
}

/// Unpacks a body and masks the secrets that it echoes, once there is memory for it. If there are any, `wire` is the masked
/// unpacked body: the packed one would still hold them.
pub(crate) async fn clean(
    raw: &WireResponse,
    limits: Limits,
    redactor: &Redactor,
    memory: &mut impl ResponseMemory,
) -> CleanBody {
    let stated = raw.stated_encoding();
    let failed = |source| CleanBody::failed(Bytes::new(), false, Error::Spool { source: Arc::new(source) });
    let is_plain = match raw.wire.start(MAGIC_BYTES).await {
        Ok(start) => stated.is_plain(&start),
        Err(source) => return failed(source),
    };
    // How large a packed body is shows when it is unpacked.
    let expected = raw.wire.len().saturating_mul(EXPECTED_RATIO).max(MIN_UNPACKED_BYTES);
    let mut max_bytes = if is_plain { limits.max_bytes } else { expected.min(limits.max_bytes) };
    loop {
        let unpacked = if is_plain { 0 } else { max_bytes };
        memory.make_room(raw.wire.len().max(unpacked)).await;
        let wire = match raw.wire.whole().await {
            Ok(wire) => wire,
            Err(source) => return failed(source),
        };
        let within = Limits { max_bytes, ..limits };
        let clean = clean_wire(raw, &stated, wire, within, redactor, memory.hold()).await;
        match &clean.problem {
            Some(Error::TooLarge { max, .. }) if *max == max_bytes && max_bytes < limits.max_bytes => {
                max_bytes = max_bytes.saturating_mul(EXPECTED_RATIO).min(limits.max_bytes);
            }
            _ => return clean,
        }
    }
}

async fn clean_wire(
    raw: &WireResponse,
    stated: &StatedEncoding,
    wire: Bytes,
    limits: Limits,
    redactor: &Redactor,
    memory: Box<dyn Send>,
) -> CleanBody {
    let (stated, host, cut) = (stated.clone(), raw.host.clone(), raw.cut.clone());
    if wire.len() <= SMALL_BYTES && stated.is_plain(&wire) {
        return clean_here(&stated, wire, limits, &host, redactor, cut).await;
    }
    let redactor = redactor.clone();
    #[expect(clippy::disallowed_methods, reason = "on a blocking thread, and the future only computes")]
    let work = move || {
        let _memory = memory;
        futures::executor::block_on(clean_here(&stated, wire, limits, &host, &redactor, cut))
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let (host, encoding) = (raw.host.clone(), raw.stated_encoding().to_string());
        let source = Some(Arc::new(std::io::Error::other(error)));
        CleanBody::failed(Bytes::new(), false, Error::Unpack { host, encoding, source })
    })
}

async fn clean_here(
    stated: &StatedEncoding,
    wire: Bytes,
    limits: Limits,
    host: &str,
    redactor: &Redactor,
    cut: Option<Error>,
) -> CleanBody {
    match cut {
        Some(error) => sample(stated, &wire, redactor, error).await,
        None => match clean_whole(stated, &wire, limits, host, redactor).await {
            Ok(clean) => clean,
            Err(error) => sample(stated, &wire, redactor, error).await,
        },
    }
}

async fn clean_whole(
    stated: &StatedEncoding,
    wire: &Bytes,
    limits: Limits,
    host: &str,
    redactor: &Redactor,
) -> Result<CleanBody, Error> {
    // As much as is unpacked at most: how much that is shows only then.
    let mebibytes = u32::try_from(limits.max_bytes >> 20).unwrap_or(u32::MAX);
    let deadline = Deadline::within(CLEANING_TIME.saturating_add(CLEANING_TIME_PER_MIB.saturating_mul(mebibytes)));
    let unpacked = unpack(stated, wire, Limits { deadline, ..limits }, host).await?;
    let masked = redactor.body_until(&unpacked.body, deadline);
    let masked = masked.map_err(|_| Error::SlowBody { host: host.to_owned() })?;
    let is_masked = masked.is_some();
    let (wire, body) = masked.map_or((wire.clone(), unpacked.body), |masked| (masked.clone(), masked));
    Ok(CleanBody { wire, body, mismatch: unpacked.mismatch, masked: is_masked, problem: None })
}

/// The part of a body with a problem that may be stored.
async fn sample(stated: &StatedEncoding, wire: &Bytes, redactor: &Redactor, problem: Error) -> CleanBody {
    let start = unpack_start(stated, wire, SAMPLE_BYTES).await;
    let masked = redactor.body(&start);
    let is_masked = masked.is_some();
    let mut sample = masked.unwrap_or(start);
    // A secret that is cut at the end isn't found as one.
    sample.truncate(sample.len() - redactor.partial_at_end(&sample));
    CleanBody::failed(sample, is_masked, problem)
}
