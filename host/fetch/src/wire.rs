//! Sends a rendered request, follows redirects by hand, and collects the body within limits.

use std::error::Error as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, HeaderMap, LOCATION, SET_COOKIE};
use sluice_model::TokenPlace;
use url::Url;

use crate::address::NoPublicAddress;
use crate::allow::{Allow, host_of};
use crate::error::Error;
use crate::fetcher::{FetchOptions, Shared};
use crate::pace::Budget;
use crate::place::Answer;
use crate::redact::Redactor;
use crate::render::{Rendered, header_value};
use crate::unpack::{Limits, unpack};

/// Bodies up to this size are unpacked and searched where they are; larger ones off the async threads.
const SMALL_BYTES: usize = 256 << 10;

/// The encodings that `unpack` knows.
const ACCEPT_ENCODING: &str = "gzip, br, zstd, deflate";

/// Everything that sending needs besides the request.
pub(crate) struct Wire<'a> {
    pub(crate) network: &'a str,
    pub(crate) shared: &'a Shared,
    pub(crate) allow: &'a Allow,
    pub(crate) budget: &'a Budget,
    pub(crate) redactor: &'a Redactor,
}

/// A response as it came, nothing masked yet.
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Of this response and of the redirects of one origin before it.
    pub(crate) cookies: Vec<String>,
    pub(crate) wire: Bytes,
    pub(crate) host: String,
}

/// What the next hop sends.
struct Hop<'a> {
    method: reqwest::Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
    rendered: &'a Rendered,
}

impl Wire<'_> {
    /// One exchange. `stop_at`: places of a sign-in; a redirect that already answers them isn't followed.
    pub(crate) async fn exchange(&self, rendered: &Rendered, stop_at: &[&TokenPlace]) -> Result<Raw, Error> {
        let mut hop = first_hop(rendered);
        let mut cookies = Vec::new();
        let mut redirects = 0;
        loop {
            let response = self.dial(&hop).await?;
            cookies.extend(
                response
                    .headers()
                    .get_all(SET_COOKIE)
                    .iter()
                    .filter_map(|value| value.to_str().ok())
                    .map(str::to_owned),
            );
            let Some(location) = redirect_of(&response).filter(|_| !answers(&response, &cookies, stop_at)) else {
                return self.collect(response, cookies, &hop.url).await;
            };
            redirects += 1;
            if redirects > self.shared.options.max_redirects {
                return Err(self.refuse(&hop.url, "there are too many redirects"));
            }
            let from = hop.url.origin();
            hop = self.next_hop(hop, response.status().as_u16(), &location)?;
            if hop.url.origin() != from {
                cookies.clear();
            }
            self.budget.spend().await;
        }
    }

    async fn dial(&self, hop: &Hop<'_>) -> Result<Response, Error> {
        let client = self.shared.client_for(&hop.url, self.allow)?;
        let mut request = client
            .request(hop.method.clone(), hop.url.clone())
            .headers(hop.headers.clone())
            .header("accept-encoding", ACCEPT_ENCODING);
        if let Some(body) = &hop.body {
            request = request.body(body.clone());
        }
        request.send().await.map_err(|error| self.transport(error, &hop.url))
    }

    /// The request that a redirect asks for, or why it isn't made.
    fn next_hop<'a>(&self, hop: Hop<'a>, status: u16, location: &str) -> Result<Hop<'a>, Error> {
        let url = self.allow.hop(&hop.url, location)?;
        let get = hop.method == reqwest::Method::GET;
        let same_origin = url.origin() == hop.url.origin();
        if matches!(status, 307 | 308) && !get && !same_origin {
            return Err(self.refuse(&hop.url, "a request with a body doesn't go to another origin"));
        }
        // A network that echoes a secret into its redirect would have it carried to the other origin.
        if !same_origin && (self.redactor.finds(url.as_str()) || self.redactor.finds(location)) {
            return Err(self.refuse(&hop.url, "its location holds a secret and leads to another origin"));
        }
        let keeps_body = matches!(status, 307 | 308) && !get;
        let mut headers = hop.headers;
        if !same_origin {
            for (name, value) in &hop.rendered.headers {
                if value.is_tainted() || matches!(name.as_str(), "authorization" | "cookie") {
                    headers.remove(name);
                }
            }
        }
        if !keeps_body {
            for name in ["content-type", "content-encoding", "content-language", "content-location"] {
                headers.remove(name);
            }
        }
        Ok(Hop {
            method: if keeps_body { hop.method } else { reqwest::Method::GET },
            url,
            headers,
            body: hop.body.filter(|_| keeps_body),
            rendered: hop.rendered,
        })
    }

    /// Reads the body. Its chunks are collected once, into a buffer of the announced size.
    async fn collect(&self, mut response: Response, cookies: Vec<String>, url: &Url) -> Result<Raw, Error> {
        let FetchOptions { max_body_bytes, max_header_bytes, .. } = self.shared.options;
        let host = host_of(url);
        let too_large = |what, max| Error::TooLarge { host: host.clone(), what, max };
        let header_bytes: usize =
            response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if header_bytes as u64 > max_header_bytes {
            return Err(too_large("headers", max_header_bytes));
        }
        let expected = response.content_length();
        if expected.is_some_and(|bytes| bytes > max_body_bytes) {
            return Err(too_large("body", max_body_bytes));
        }
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        let mut received = 0_u64;
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) if ends_early(&error) => return Err(Error::Truncated { host, received, expected }),
                Err(error) => return Err(self.transport(error, url)),
            };
            received += chunk.len() as u64;
            if received > max_body_bytes {
                return Err(too_large("body", max_body_bytes));
            }
            if first.is_empty() && rest.is_empty() {
                first = chunk;
                continue;
            }
            if rest.is_empty() {
                // What a server announces is trusted with 64 MiB at first.
                rest.reserve(expected.unwrap_or_default().min(64 << 20).max(received) as usize);
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&chunk);
        }
        if expected.is_some_and(|bytes| bytes > received) {
            return Err(Error::Truncated { host, received, expected });
        }
        let wire = if rest.is_empty() { first } else { rest.freeze() };
        let status = response.status().as_u16();
        Ok(Raw { status, headers: std::mem::take(response.headers_mut()), cookies, wire, host })
    }

    fn refuse(&self, from: &Url, reason: &str) -> Error {
        Error::Redirect { network: self.network.to_owned(), host: host_of(from), reason: reason.to_owned() }
    }

    /// A client's error by its kind. The client puts the URL, with the secrets in its query, into its errors.
    fn transport(&self, error: reqwest::Error, url: &Url) -> Error {
        let host = host_of(url);
        let source = Arc::new(error.without_url());
        if causes(&source).any(|cause| cause.is::<NoPublicAddress>()) {
            return Error::PrivateAddress { network: self.network.to_owned(), host };
        }
        if source.is_timeout() {
            Error::Timeout { host, source }
        } else if source.is_connect() {
            Error::Connect { host, source }
        } else if source.is_builder() {
            Error::Client(source)
        } else {
            Error::Transport { host, source }
        }
    }
}

/// A body unpacked, and with it what may be kept.
pub(crate) struct Opened {
    pub(crate) wire: Bytes,
    pub(crate) body: Bytes,
    pub(crate) masked: bool,
}

/// Unpacks a body and masks what secrets it echoes. If there were any, what is kept is the masked unpacked body:
/// the packed one would still hold them.
pub(crate) async fn open(raw: &Raw, limits: Limits, redactor: &Arc<Redactor>) -> Result<Opened, Error> {
    let encodings = encodings_of(&raw.headers);
    let (wire, host) = (raw.wire.clone(), raw.host.clone());
    if wire.len() <= SMALL_BYTES && encodings.is_empty() {
        return opened(&encodings, wire, limits, &host, redactor).await;
    }
    let redactor = Arc::clone(redactor);
    let work = move || futures::executor::block_on(opened(&encodings, wire, limits, &host, &redactor));
    match tokio::task::spawn_blocking(work).await {
        Ok(opened) => opened,
        Err(gone) => Err(Error::Unpack {
            host: raw.host.clone(),
            encoding: encodings_of(&raw.headers),
            source: Some(Arc::new(std::io::Error::other(gone))),
        }),
    }
}

async fn opened(
    encodings: &str,
    wire: Bytes,
    limits: Limits,
    host: &str,
    redactor: &Redactor,
) -> Result<Opened, Error> {
    let body = unpack(encodings, &wire, limits, host).await?;
    Ok(match redactor.body(&body) {
        Some(clean) => Opened { wire: clean.clone(), body: clean, masked: true },
        None => Opened { wire, body, masked: false },
    })
}

/// All `content-encoding` headers as one list.
pub(crate) fn encodings_of(headers: &HeaderMap) -> String {
    let values: Vec<&str> = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(", ")
}

fn first_hop(rendered: &Rendered) -> Hop<'_> {
    let mut headers = HeaderMap::with_capacity(rendered.headers.len());
    for (name, value) in &rendered.headers {
        // `render` has checked every value.
        if let Ok(header) = header_value(value) {
            headers.append(name.clone(), header);
        }
    }
    Hop {
        method: rendered.method.clone(),
        url: rendered.url.clone(),
        headers,
        body: rendered.body.as_ref().map(|body| Bytes::copy_from_slice(&body.bytes)),
        rendered,
    }
}

fn redirect_of(response: &Response) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    response.headers().get(LOCATION).and_then(|location| location.to_str().ok()).map(str::to_owned)
}

/// Whether a redirect already has what a sign-in is made for: many logins set their cookie on the redirect.
fn answers(response: &Response, cookies: &[String], stop_at: &[&TokenPlace]) -> bool {
    let answer = Answer { headers: response.headers(), cookies, body: &Bytes::new() };
    !stop_at.is_empty() && stop_at.iter().all(|place| answer.value_at(place).is_some())
}

/// The errors below a client's error, outermost first.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

fn ends_early(error: &reqwest::Error) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::UnexpectedEof)
}
