//! Sends a rendered request, and follows redirects by hand.

use std::error::Error as _;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::{HeaderMap, LOCATION, SET_COOKIE};
use sluice_model::TokenPlace;
use tokio::time::Instant;
use url::Url;

use crate::address::NoPublicAddress;
use crate::allow::{Allow, host_of};
use crate::body::Raw;
use crate::error::{Error, Wait};
use crate::fetcher::{FetchOptions, Shared};
use crate::pace::Budget;
use crate::place::Answer;
use crate::redact::Redactor;
use crate::render::{Rendered, header_value};

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
            let sent = Instant::now();
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
                return self.collect(response, cookies, &hop.url, sent).await;
            };
            redirects += 1;
            if redirects > self.shared.options.max_redirects {
                return Err(self.refuse(
                    &hop.url,
                    "it redirects again and again (more often than `max_redirects` of [fetch] in sluice.toml)",
                ));
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
        let FetchOptions { answer_timeout, request_timeout, .. } = self.shared.options;
        let limit = answer_timeout.min(request_timeout);
        match tokio::time::timeout(limit, request.send()).await {
            Ok(answered) => answered.map_err(|error| self.transport(error, &hop.url)),
            Err(_) => Err(Error::Timeout { host: host_of(&hop.url), what: Wait::Answer, limit }),
        }
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

    fn refuse(&self, from: &Url, reason: &str) -> Error {
        Error::Redirect { network: self.network.to_owned(), host: host_of(from), reason: reason.to_owned() }
    }

    /// The error of a body that broke off.
    pub(crate) fn broken(&self, error: reqwest::Error, url: &Url, received: u64, expected: Option<u64>) -> Error {
        if ends_early(&error) {
            return Error::Truncated { host: host_of(url), received, expected };
        }
        self.transport(error, url)
    }

    /// A client's error by its kind. The client puts the URL, with the secrets in its query, into its errors.
    fn transport(&self, error: reqwest::Error, url: &Url) -> Error {
        let options = &self.shared.options;
        let host = host_of(url);
        let source = Arc::new(error.without_url());
        if causes(&source).any(|cause| cause.is::<NoPublicAddress>()) {
            return Error::PrivateAddress { network: self.network.to_owned(), host };
        }
        let is_flood = |cause: &hyper::Error| cause.is_parse_too_large();
        if causes(&source).filter_map(|cause| cause.downcast_ref()).any(is_flood) {
            return Error::TooLarge { host, what: "headers", max: options.max_header_bytes };
        }
        if source.is_timeout() && source.is_connect() {
            Error::Timeout { host, what: Wait::Connect, limit: options.connect_timeout }
        } else if source.is_connect() {
            Error::Connect { host, source }
        } else if source.is_builder() {
            Error::Client(source)
        } else {
            Error::Transport { host, source }
        }
    }
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
