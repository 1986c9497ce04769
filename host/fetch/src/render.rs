//! Renders a request's templates to what is sent, and to its display form.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderName, HeaderValue};
use sluice_model::{Method, Op, Part, Request, Secret, SentRequest, Template};
use url::Url;
use zeroize::Zeroizing;

use crate::allow::Allow;
use crate::error::Error;
use crate::redact::Redactor;
use crate::template::{Machine, Parts, TemplateError, TokenValues, Value};

/// Headers that only the host sets.
const HOST_HEADERS: [&str; 11] = [
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "te",
    "upgrade",
    "http2-settings",
    "keep-alive",
    "trailer",
    "accept-encoding",
    "expect",
];

/// The longest URL that is sent; many servers accept no more than 8 KiB.
const MAX_URL_BYTES: usize = 32 << 10;
/// The most headers of one request.
const MAX_HEADERS: usize = 100;
/// The most bytes of all header names and values.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// A request with its secrets filled in; without `Debug`, which would print them.
pub(crate) struct Rendered {
    pub(crate) method: reqwest::Method,
    pub(crate) url: Url,
    url_display: String,
    pub(crate) headers: Vec<(HeaderName, Value)>,
    pub(crate) body: Option<Value>,
    /// What its templates' functions made of secrets.
    pub(crate) derived: Vec<Zeroizing<Vec<u8>>>,
}

impl Rendered {
    /// The request as it may be stored and logged.
    pub(crate) fn shown(&self, redactor: &Redactor) -> SentRequest {
        let text = |text: &str| redactor.text(text).into_owned();
        SentRequest {
            method: self.method.to_string(),
            url: text(&self.url_display),
            headers: self.headers.iter().map(|(name, value)| (name.to_string(), text(&value.display))).collect(),
            body: self.body.as_ref().map(|body| text(&body.display)),
        }
    }
}

/// The account whose request is rendered, and the values that its templates refer to.
pub(crate) struct Context<'a> {
    pub(crate) network: &'a str,
    pub(crate) account: &'a str,
    pub(crate) allow: &'a Allow,
    pub(crate) secrets: &'a BTreeMap<String, Secret>,
    pub(crate) settings: &'a [(String, String)],
    pub(crate) tokens: &'a TokenValues,
    pub(crate) now: DateTime<Utc>,
}

impl Context<'_> {
    /// Renders the URL and the body first: headers may sign them.
    pub(crate) fn render(&self, request: &Request) -> Result<Rendered, Error> {
        let mut machine = Machine {
            secrets: self.secrets,
            settings: self.settings,
            tokens: self.tokens,
            now: self.now,
            parts: Parts { method: Value::plain(request.method.name()), ..Parts::default() },
            derived: RefCell::default(),
            produced: Cell::default(),
        };
        let run = |machine: &Machine<'_>, place: &str, template: &Template| {
            machine.run(template).map_err(|fault| self.error(request, place, fault))
        };
        // A signature in the URL may cover the body, or one in the body the URL, but not both.
        let url_signs_body = request.url.iter().any(|op| matches!(op, Op::Part(Part::Body)));
        let mut body = None;
        if url_signs_body {
            body = request.body.as_ref().map(|template| run(&machine, "body", template)).transpose()?;
            machine.parts.body = Some(body.clone().unwrap_or_default());
        }
        let value = run(&machine, "url", &request.url)?;
        if value.bytes.len() > MAX_URL_BYTES {
            let fault = format!("it is longer than {MAX_URL_BYTES} bytes");
            return Err(self.error(request, "url", TemplateError::Other(fault)));
        }
        let url = self.allow.target(request, &value.bytes)?;
        let shown = if value.is_tainted() { self.shown_url(&value.display, &url) } else { url.clone() };
        machine.parts.path = Some(part(url.path(), shown.path(), &value.slots));
        machine.parts.query =
            Some(part(url.query().unwrap_or_default(), shown.query().unwrap_or_default(), &value.slots));
        if !url_signs_body {
            body = request.body.as_ref().map(|template| run(&machine, "body", template)).transpose()?;
            machine.parts.body = Some(body.clone().unwrap_or_default());
        }
        let mut headers = Vec::with_capacity(request.headers.len());
        for (name, template) in &request.headers {
            let place = format!("header `{name}`");
            let name = header_name(name).map_err(|fault| self.error(request, &place, fault))?;
            let value = run(&machine, &place, template)?;
            header_value(&value).map_err(|fault| self.error(request, &place, fault))?;
            headers.push((name, value));
        }
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.bytes.len()).sum();
        if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
            let fault = format!("there are more than {MAX_HEADERS}, or more than {MAX_HEADER_BYTES} bytes of them");
            return Err(self.error(request, "headers", TemplateError::Other(fault)));
        }
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        Ok(Rendered { method, url, url_display: shown.into(), headers, body, derived: machine.derived.into_inner() })
    }

    /// The display form of a URL, moved to `base_url` like the URL itself. Its `*` in place of secrets are valid in paths
    /// and queries.
    fn shown_url(&self, display: &str, url: &Url) -> Url {
        Url::parse(display).map(|shown| self.allow.moved(shown)).unwrap_or_else(|_| {
            let mut origin = url.clone();
            origin.set_path("/***");
            origin.set_query(None);
            origin
        })
    }

    fn error(&self, request: &Request, place: &str, fault: TemplateError) -> Error {
        let (network, request) = (self.network.to_owned(), request.key.clone());
        let account = self.account.to_owned();
        match fault {
            TemplateError::MissingSecret(slot) => Error::MissingSecret { network, account, request, slot },
            TemplateError::MissingSetting(setting) => Error::MissingSetting { network, account, request, setting },
            TemplateError::Other(reason) => Error::Template { network, request, place: place.to_owned(), reason },
        }
    }
}

/// A part of the URL as it is sent, tainted if this part contains a secret.
fn part(sent: &str, shown: &str, slots: &[String]) -> Value {
    let mut value = Value::plain(shown);
    if sent != shown {
        value.bytes.clear();
        value.bytes.extend_from_slice(sent.as_bytes());
        value.slots = slots.to_vec();
    }
    value
}

fn header_name(name: &str) -> Result<HeaderName, TemplateError> {
    let parsed =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| TemplateError::from("its name is not a header name"))?;
    if HOST_HEADERS.contains(&parsed.as_str()) || parsed.as_str().starts_with("proxy-") {
        return Err(TemplateError::from("only the host sets it"));
    }
    Ok(parsed)
}

/// The value as a header. Control characters are refused: a line break would start another header.
pub(crate) fn header_value(value: &Value) -> Result<HeaderValue, TemplateError> {
    if value.bytes.iter().any(u8::is_ascii_control) {
        return Err(TemplateError::from("its value contains a control character"));
    }
    let mut header =
        HeaderValue::from_bytes(&value.bytes).map_err(|_| TemplateError::from("its value is not a header value"))?;
    header.set_sensitive(value.is_tainted());
    Ok(header)
}

/// The token sources that a request names.
pub(crate) fn tokens_of(request: &Request) -> BTreeSet<&str> {
    let headers = request.headers.iter().map(|(_, template)| template);
    std::iter::once(&request.url)
        .chain(headers)
        .chain(&request.body)
        .flatten()
        .filter_map(|op| match op {
            Op::Token(name) => Some(name.as_str()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use sluice_model::{Function, Hash};

    use super::*;

    fn text(text: &str) -> Op {
        Op::Text(text.into())
    }

    fn secret(slot: &str) -> Op {
        Op::Secret(slot.into())
    }

    fn render(edit: impl FnOnce(&mut Request)) -> Result<(Rendered, SentRequest), Error> {
        let url = vec![text("https://api.example.com/v1/rows?key="), secret("key"), text("&page=1")];
        let mut request = Request { url, ..Request::get("page-1") };
        edit(&mut request);
        let hosts = vec!["api.example.com".to_owned()];
        let context = Context {
            network: "shop",
            account: "main",
            allow: &Allow::new("shop".into(), hosts.clone(), hosts, None)?,
            secrets: &BTreeMap::from([("key".to_owned(), Secret::new("k&y-0123".into()))]),
            settings: &[],
            tokens: &TokenValues::default(),
            now: DateTime::parse_from_rfc3339("2026-03-04T05:06:07Z").unwrap().to_utc(),
        };
        let rendered = context.render(&request)?;
        let shown = rendered.shown(&Redactor::default());
        Ok((rendered, shown))
    }

    fn reason(edit: impl FnOnce(&mut Request)) -> String {
        render(edit).err().map(|error| error.to_string()).unwrap()
    }

    #[test]
    fn secrets_are_sent_and_masked_in_the_display_form() {
        let (rendered, shown) = render(|request| {
            request.url[1..2].clone_from_slice(&[secret("key")]);
            request.url.insert(2, Op::Apply(Function::UrlEncode));
            request.headers = vec![("X-Query".into(), vec![Op::Part(Part::Query)])];
            request.body = Some(vec![text("{\"k\":\""), secret("key"), text("\"}")]);
        })
        .unwrap();
        assert_eq!(rendered.url.as_str(), "https://api.example.com/v1/rows?key=k%26y-0123&page=1");
        assert_eq!(rendered.headers[0].1.bytes.as_slice(), b"key=k%26y-0123&page=1");
        assert_eq!(shown.url, "https://api.example.com/v1/rows?key=***key***&page=1");
        assert_eq!(shown.headers, [("x-query".to_owned(), "key=***key***&page=1".to_owned())]);
        assert_eq!(shown.body.as_deref(), Some("{\"k\":\"***key***\"}"));
    }

    #[test]
    fn a_path_without_a_secret_is_displayed_even_if_the_query_has_one() {
        let (rendered, shown) =
            render(|request| request.headers = vec![("x-path".into(), vec![Op::Part(Part::Path)])]).unwrap();
        assert!(!rendered.headers[0].1.is_tainted());
        assert_eq!(shown.headers[0].1, "/v1/rows");
    }

    #[test]
    fn the_signed_date_is_the_sent_date() {
        // ShareASale: sha256("token:date:action:secret"), with the same date in the header.
        let date = || Op::Now("%a, %d %b %Y %H:%M:%S GMT".into());
        let (rendered, shown) = render(|request| {
            request.headers = vec![
                ("x-shareasale-date".into(), vec![date()]),
                (
                    "x-shareasale-authentication".into(),
                    vec![
                        text("tok:"),
                        date(),
                        text(":activity:"),
                        secret("key"),
                        Op::Join(4),
                        Op::Apply(Function::Sha256),
                        Op::Apply(Function::Hex),
                    ],
                ),
            ];
        })
        .unwrap();
        assert_eq!(rendered.headers[0].1.bytes.as_slice(), b"Wed, 04 Mar 2026 05:06:07 GMT");
        let by_hand = crate::function::apply(Function::Sha256, b"tok:Wed, 04 Mar 2026 05:06:07 GMT:activity:k&y-0123");
        assert_eq!(rendered.headers[1].1.bytes.as_slice(), hex::encode(by_hand.unwrap()).as_bytes());
        assert_eq!(shown.headers[1].1, "***key***");
    }

    #[test]
    fn a_signature_may_cover_method_path_query_and_body() {
        // Coupang: HMAC-SHA256 over date + method + path + query.
        let (rendered, _) = render(|request| {
            request.url = vec![text("https://api.example.com/v2/a%20b?x=1&y= 2")];
            request.body = Some(vec![text("body")]);
            let message = vec![
                secret("key"),
                Op::Part(Part::Method),
                Op::Part(Part::Path),
                Op::Part(Part::Query),
                Op::Part(Part::Body),
                Op::Join(4),
                Op::Hmac(Hash::Sha256),
                Op::Apply(Function::Hex),
            ];
            request.headers = vec![("authorization".into(), message)];
        })
        .unwrap();
        let expected = crate::function::hmac(Hash::Sha256, b"k&y-0123", b"GET/v2/a%20bx=1&y=%202body");
        assert_eq!(rendered.headers[0].1.bytes.as_slice(), hex::encode(expected).as_bytes());
    }

    #[test]
    fn a_signature_in_the_url_may_cover_the_body_but_not_the_url() {
        let signs = |part: Part| vec![text("https://api.example.com/?s="), Op::Part(part)];
        let (rendered, _) = render(|request| {
            request.url = signs(Part::Body);
            request.body = Some(vec![text("b")]);
        })
        .unwrap();
        assert_eq!(rendered.url.query(), Some("s=b"));
        let refused = reason(|request| request.url = signs(Part::Query));
        assert_eq!(refused, "connector `shop`: request `page-1`, url: it refers to the query of itself");
        assert!(
            reason(|request| request.body = Some(vec![Op::Part(Part::Body)])).contains("body: it refers to the body")
        );
    }

    #[test]
    fn headers_of_the_host_and_line_breaks_are_refused() {
        let header = |name: &str, value: &str| {
            let (name, value) = (name.to_owned(), value.to_owned());
            reason(move |request| request.headers = vec![(name, vec![Op::Text(value)])])
        };
        for name in ["Host", "content-length", "Proxy-Authorization", "TE", "Accept-Encoding", "upgrade"] {
            assert!(header(name, "x").contains("only the host sets it"), "{name}");
        }
        assert!(header("x y", "x").contains("not a header name"));
        assert!(header("x-a\r\nx-b", "x").contains("not a header name"));
        let refused = header("x-a", "1\r\nx-b: 2");
        assert_eq!(refused, "connector `shop`: request `page-1`, header `x-a`: its value contains a control character");
    }

    #[test]
    fn a_request_that_is_too_large_is_refused() {
        let long = reason(|request| request.url.push(text(&"a".repeat(32 << 10))));
        assert_eq!(long, "connector `shop`: request `page-1`, url: it is longer than 32768 bytes");
        let one = |n: usize, bytes: usize| (format!("x-{n}"), vec![text(&"a".repeat(bytes))]);
        assert!(reason(|request| request.headers = (0..101).map(|n| one(n, 1)).collect()).contains("more than 100"));
        assert!(reason(|request| request.headers = (0..9).map(|n| one(n, 8 << 10)).collect()).contains("65536 bytes"));
        assert!(render(|request| request.headers = (0..100).map(|n| one(n, 600)).collect()).is_ok());
    }

    #[test]
    fn a_large_body_is_hashed_a_few_times_for_one_request() {
        let signed = |headers: usize| {
            move |request: &mut Request| {
                let hash = || vec![Op::Part(Part::Body), Op::Apply(Function::Md5), Op::Apply(Function::Hex)];
                request.body = Some(vec![text(&"b".repeat(7 << 20))]);
                request.headers = (0..headers).map(|n| (format!("x-{n}"), hash())).collect();
            }
        };
        assert!(render(signed(3)).is_ok());
        let refused = reason(signed(100));
        assert!(
            refused.ends_with("header `x-3`: the templates of the request produce more than 33554432 bytes"),
            "{refused}"
        );
    }

    #[test]
    fn a_missing_secret_names_slot_and_request_and_has_a_hint() {
        let error = render(|request| request.headers = vec![("a".into(), vec![secret("api-token")])]).err().unwrap();
        assert_eq!(
            error.to_string(),
            "request `page-1` of network `shop` needs the secret `api-token`, which account `main` lacks"
        );
        assert_eq!(
            error.hint().unwrap(),
            "add `\"api-token\": \"env:SHOP_API_TOKEN\"` to `secrets` of account `main` in networks/shop.json"
        );
    }
}
