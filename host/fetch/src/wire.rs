//! Sends a rendered request, and follows redirects by the rules of `allow.rs`.

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
use crate::body::WireResponse;
use crate::error::{Error, Wait};
use crate::fetcher::{FetchOptions, Shared};
use crate::pace::Budget;
use crate::redact::Redactor;
use crate::render::{Rendered, header_value};
use crate::sign_in_response::SignInResponse;

/// The encodings that `unpack.rs` can undo.
const ACCEPT_ENCODING: &str = "gzip, br, zstd, deflate";

/// The context in which a request is sent.
pub(crate) struct Wire<'a> {
    pub(crate) network: &'a str,
    pub(crate) shared: &'a Shared,
    pub(crate) allow: &'a Allow,
    pub(crate) budget: &'a Budget,
    pub(crate) redactor: &'a Redactor,
    /// The largest body, as received.
    pub(crate) max_body_bytes: u64,
}

/// The request of the next hop.
struct Hop<'a> {
    method: reqwest::Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
    rendered: &'a Rendered,
}

impl Wire<'_> {
    /// One exchange. `stop_at`: places of a sign-in; a redirect that has values at all of them isn't followed.
    pub(crate) async fn exchange(&self, rendered: &Rendered, stop_at: &[&TokenPlace]) -> Result<WireResponse, Error> {
        let mut hop = first_hop(rendered);
        let mut cookies = Vec::new();
        let mut redirects = 0;
        loop {
            let sent = Instant::now();
            let response = self.send(&hop).await?;
            cookies.extend(
                response
                    .headers()
                    .get_all(SET_COOKIE)
                    .iter()
                    .filter_map(|value| value.to_str().ok())
                    .map(str::to_owned),
            );
            let Some(location) = redirect_of(&response).filter(|_| !has_values(&response, &cookies, stop_at)) else {
                return self.receive(response, cookies, &hop.url, sent).await;
            };
            redirects += 1;
            if redirects > self.shared.options.max_redirects {
                return Err(self.refused(
                    &hop.url,
                    "it redirects again and again (more often than `max_redirects` of [fetch] in sluice.toml)",
                ));
            }
            let from = hop.url.clone();
            hop = self.next_hop(hop, response.status().as_u16(), &location)?;
            cookies = cookies_after(cookies, &from, &hop.url);
            self.budget.enter_hop().await;
        }
    }

    async fn send(&self, hop: &Hop<'_>) -> Result<Response, Error> {
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
            Ok(response) => response.map_err(|error| self.transport(error, &hop.url)),
            Err(_) => Err(Error::Timeout { host: host_of(&hop.url), what: Wait::Answer, limit }),
        }
    }

    /// The request that a redirect leads to; an error if it may not be sent.
    fn next_hop<'a>(&self, hop: Hop<'a>, status: u16, location: &str) -> Result<Hop<'a>, Error> {
        // Not by name: the host may be what the network echoes.
        let refused = |error| {
            if self.redactor.finds(location) {
                self.refused(&hop.url, "its location holds a secret and leads elsewhere")
            } else {
                error
            }
        };
        let url = self.allow.hop(&hop.url, location).map_err(refused)?;
        let get = hop.method == reqwest::Method::GET;
        let same_origin = url.origin() == hop.url.origin();
        if matches!(status, 307 | 308) && !get && !same_origin {
            return Err(self.refused(&hop.url, "a request with a body doesn't go to another origin"));
        }
        // A secret that the network echoes into its redirect would be sent to the other origin.
        if !same_origin && (self.redactor.finds(url.as_str()) || self.redactor.finds(location)) {
            return Err(self.refused(&hop.url, "its location holds a secret and leads to another origin"));
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

    fn refused(&self, from: &Url, reason: &str) -> Error {
        Error::Redirect { network: self.network.to_owned(), host: host_of(from), reason: reason.to_owned() }
    }

    /// The error of a body that couldn't be received to its end.
    pub(crate) fn body_error(&self, error: reqwest::Error, url: &Url, received: u64, expected: Option<u64>) -> Error {
        if is_cut(&error) {
            return Error::Truncated { host: host_of(url), received, expected };
        }
        self.transport(error, url)
    }

    /// A client's error by its cause. The client's own error contains the URL, with the secrets in its query.
    fn transport(&self, error: reqwest::Error, url: &Url) -> Error {
        let options = &self.shared.options;
        let host = host_of(url);
        let source = Arc::new(error.without_url());
        if causes(&source).any(|cause| cause.is::<NoPublicAddress>()) {
            return Error::PrivateAddress { network: self.network.to_owned(), host };
        }
        if causes(&source).filter_map(|cause| cause.downcast_ref()).any(hyper::Error::is_parse_too_large) {
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

/// The cookies that are left after a redirect: those of another origin aren't taken.
fn cookies_after(cookies: Vec<String>, from: &Url, to: &Url) -> Vec<String> {
    if from.origin() == to.origin() { cookies } else { Vec::new() }
}

fn redirect_of(response: &Response) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    response.headers().get(LOCATION).and_then(|location| location.to_str().ok()).map(str::to_owned)
}

/// Whether a redirect already has a sign-in's values: many logins set their cookie in the redirect.
fn has_values(response: &Response, cookies: &[String], stop_at: &[&TokenPlace]) -> bool {
    if stop_at.is_empty() {
        return false;
    }
    let headers = response.headers().clone();
    let response = SignInResponse { headers, cookies: cookies.to_vec(), body: Bytes::new() };
    stop_at.iter().all(|place| response.value_at(place).is_some())
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

/// Whether the connection ended or was reset before the body was complete.
fn is_cut(error: &reqwest::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    causes(error).any(|cause| match (cause.downcast_ref::<std::io::Error>(), cause.downcast_ref::<hyper::Error>()) {
        (Some(error), _) => matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof),
        (_, Some(error)) => error.is_incomplete_message(),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use sluice_model::{Method, Op, Rate, Request, Secret};

    use super::*;
    use crate::fetcher::Fetcher;
    use crate::render::Context;
    use crate::template::TokenValues;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn cookies_of_another_origin_are_dropped() {
        let from = url("https://a.example.com/login");
        for (to, kept) in [
            ("https://a.example.com/", 1),
            ("https://a.example.com:443/x", 1),
            ("https://a.example.com:8443/", 0),
            ("http://a.example.com/", 0),
            ("https://b.example.com/", 0),
            ("https://a.example.com.evil.com/", 0),
        ] {
            assert_eq!(cookies_after(vec!["sid=1".to_owned()], &from, &url(to)).len(), kept, "{to}");
        }
    }

    /// The headers of a request after a redirect, and its body.
    fn redirected(status: u16, location: &str) -> Result<(Vec<String>, bool), Error> {
        let hosts = vec!["a.example.com".to_owned(), "b.example.com".to_owned()];
        let allow = Allow::new("n".to_owned(), hosts.clone(), hosts, None).unwrap();
        let shared = Fetcher::new(FetchOptions::default()).unwrap().shared();
        let budget = Budget::new(Rate { requests: 1, per_secs: 1, concurrency: 1 }, None);
        let secrets = BTreeMap::from([("key".to_owned(), Secret::new("s3cret-value-01".to_owned()))]);
        let redactor = Redactor::new([&b"s3cret-value-01"[..]], Vec::new());
        let header = |name: &str, op: Op| (name.to_owned(), vec![op]);
        let request = Request {
            key: "1".to_owned(),
            method: Method::Post,
            url: vec![Op::Text("https://a.example.com/x".to_owned())],
            headers: vec![
                header("X-Key", Op::Secret("key".to_owned())),
                header("Cookie", Op::Text("sid=1".to_owned())),
                header("Accept", Op::Text("text/csv".to_owned())),
            ],
            body: Some(vec![Op::Text("q=1".to_owned())]),
            state: String::new(),
            yields_records: true,
        };
        let tokens = TokenValues { live: BTreeMap::new(), refresh: BTreeMap::new() };
        let (network, account, settings) = ("n", "a", &[][..]);
        let context = Context {
            network,
            account,
            allow: &allow,
            secrets: &secrets,
            settings,
            tokens: &tokens,
            now: chrono::Utc::now(),
        };
        let rendered = context.render(&request).unwrap();
        let wire =
            Wire { network, shared: &shared, allow: &allow, budget: &budget, redactor: &redactor, max_body_bytes: 1 };
        let hop = wire.next_hop(first_hop(&rendered), status, location)?;
        let mut names: Vec<String> = hop.headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        Ok((names, hop.body.is_some()))
    }

    #[test]
    fn another_origin_gets_no_secret_no_cookie_and_no_body() {
        let all = || ["accept", "cookie", "x-key"].map(str::to_owned).to_vec();
        assert_eq!(redirected(307, "/y").unwrap(), (all(), true));
        assert_eq!(redirected(302, "https://a.example.com/y").unwrap(), (all(), false));
        assert_eq!(redirected(302, "https://b.example.com/y").unwrap(), (vec!["accept".to_owned()], false));
        for (status, location) in [
            (307, "https://b.example.com/y"),
            (302, "https://b.example.com/?k=s3cret-value-01"),
            (302, "https://c.example.com/"),
            (302, "http://a.example.com/"),
        ] {
            assert!(redirected(status, location).is_err(), "{location}");
        }
    }
}
