//! Reads tokens out of a sign-in's response.

mod json;

use bytes::Bytes;
use quick_xml::Reader;
use quick_xml::events::Event;
use reqwest::header::HeaderMap;
use sluice_model::TokenPlace;

use crate::redact::Redactor;
use json::{JsonShape, json_text};

/// The largest sign-in response, as received and unpacked.
pub(crate) const MAX_SIGN_IN_BYTES: u64 = 1 << 20;

/// Characters that are shown of a member's name.
const SHOWN_CHARS: usize = 40;

/// A sign-in's response. It contains tokens, so it is never stored or logged.
pub(crate) struct SignInResponse {
    pub(crate) headers: HeaderMap,
    /// `Set-Cookie` values of the response and of the redirects before it.
    pub(crate) cookies: Vec<String>,
    pub(crate) body: Bytes,
}

impl SignInResponse {
    /// The value at a place; none if it is missing, null or empty. Of a body no more than the value is held.
    pub(crate) fn value_at(&self, place: &TokenPlace) -> Option<String> {
        let value = match place {
            TokenPlace::Json(pointer) => json_text(&self.body, pointer),
            TokenPlace::Xml(path) => xml_text(&self.body, path),
            TokenPlace::Header(name) => self.headers.get(name.as_str())?.to_str().ok().map(str::to_owned),
            TokenPlace::Cookies => Some(cookie_header(&self.cookies)),
            TokenPlace::Body => std::str::from_utf8(&self.body).ok().map(|text| text.trim().to_owned()),
        };
        value.filter(|text| !text.is_empty())
    }

    /// A description of the response without any of its values, and without secrets in its names.
    pub(crate) fn shape(&self, redactor: &Redactor) -> String {
        if self.body.is_empty() {
            return "the response is empty".to_owned();
        }
        match serde_json::from_slice(&self.body) {
            Ok(JsonShape::Object(names)) => {
                // Whole names: of one that is cut no more than a part of a secret may be left.
                let shown = |name: &String| redactor.text(name).chars().take(SHOWN_CHARS).collect::<String>();
                let names: Vec<String> = names.iter().map(|name| format!("`{}`", shown(name))).collect();
                format!("the response is a JSON object with {}", names.join(", "))
            }
            Ok(JsonShape::Array(items)) => format!("the response is a JSON array of {items}"),
            Ok(JsonShape::Scalar) => "the response is a JSON scalar".to_owned(),
            Err(_) => format!("the response is {} bytes that are no JSON", self.body.len()),
        }
    }
}

/// The text of the first element at a path of local names from the root, joined by `.`.
fn xml_text(body: &[u8], path: &str) -> Option<String> {
    let wanted: Vec<&[u8]> = path.split('.').map(str::as_bytes).collect();
    let mut reader = Reader::from_reader(body);
    let mut open: Vec<Vec<u8>> = Vec::new();
    let mut text: Option<String> = None;
    let is_wanted = |open: &[Vec<u8>]| open.iter().map(Vec::as_slice).eq(wanted.iter().copied());
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) => {
                open.push(element.local_name().as_ref().to_vec());
                if text.is_none() && is_wanted(&open) {
                    text = Some(String::new());
                }
            }
            Event::End(_) => {
                if is_wanted(&open) {
                    return text.map(|text| text.trim().to_owned());
                }
                open.pop();
            }
            event if is_wanted(&open) => {
                let piece = event_text(&event)?;
                text.get_or_insert_default().push_str(&piece);
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// The text of an event: empty for comments and other events without text, none at the end or if it can't be decoded.
fn event_text(event: &Event<'_>) -> Option<String> {
    match event {
        Event::Text(text) => text.decode().ok().map(|text| text.into_owned()),
        Event::CData(text) => text.decode().ok().map(|text| text.into_owned()),
        Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
            Some(c) => Some(c.to_string()),
            None => match reference.as_ref() {
                b"amp" => Some("&".to_owned()),
                b"lt" => Some("<".to_owned()),
                b"gt" => Some(">".to_owned()),
                b"quot" => Some("\"".to_owned()),
                b"apos" => Some("'".to_owned()),
                _ => None,
            },
        },
        Event::Eof => None,
        _ => Some(String::new()),
    }
}

/// The `Cookie` header for `Set-Cookie` values: `a=1; b=2`. The last value of a name counts; an empty or expired one
/// deletes it.
fn cookie_header(set: &[String]) -> String {
    let mut cookies: Vec<(&str, &str)> = Vec::new();
    for cookie in set {
        let mut parts = cookie.split(';');
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
        let (name, value) = (name.trim(), value.trim());
        cookies.retain(|(other, _)| *other != name);
        let is_expired = parts.any(|attribute| attribute.trim().eq_ignore_ascii_case("max-age=0"));
        if !is_expired && !name.is_empty() && !value.is_empty() {
            cookies.push((name, value));
        }
    }
    cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn value(place: TokenPlace, headers: &[(&'static str, &str)], cookies: &[&str], body: &str) -> Option<String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let cookies: Vec<String> = cookies.iter().map(|cookie| (*cookie).to_owned()).collect();
        SignInResponse { headers, cookies, body: Bytes::copy_from_slice(body.as_bytes()) }.value_at(&place)
    }

    #[test]
    fn json_gives_strings_and_numbers() {
        let at = |pointer: &str| {
            value(TokenPlace::Json(pointer.into()), &[], &[], r#"{"a":{"t":"x/y"},"n":3600,"z":null,"e":"","o":{}}"#)
        };
        assert_eq!(at("/a/t").as_deref(), Some("x/y"));
        assert_eq!(at("/n").as_deref(), Some("3600"));
        assert!([at("/z"), at("/e"), at("/o"), at("/none")].iter().all(Option::is_none));
    }

    #[test]
    fn json_is_read_by_places_and_described_without_values() {
        let response = |body: &'static str| SignInResponse {
            headers: HeaderMap::new(),
            cookies: Vec::new(),
            body: Bytes::from_static(body.as_bytes()),
        };
        let at = |body: &'static str, pointer: &str| response(body).value_at(&TokenPlace::Json(pointer.to_owned()));
        assert_eq!(at(r#"{"a/b":[0,{"~":"t"}]}"#, "/a~1b/1/~0").as_deref(), Some("t"));
        assert_eq!(at(r#"{"a":1,"a":"last"}"#, "/a").as_deref(), Some("last"));
        assert_eq!(at(r#""whole""#, "").as_deref(), Some("whole"));
        assert_eq!(at(r#"{"a":"t"} cut"#, "/a"), None);
        assert_eq!(at(r#"[["t"]]"#, "/0/x"), None);
        let shape = |body: &'static str| response(body).shape(&Redactor::default());
        assert_eq!(shape(r#"{"error":"x","b":2}"#), "the response is a JSON object with `error`, `b`");
        assert_eq!(shape("[1,2]"), "the response is a JSON array of 2");
        assert_eq!(shape("true"), "the response is a JSON scalar");
        assert_eq!(shape("<a>"), "the response is 3 bytes that are no JSON");
    }

    #[test]
    fn xml_gives_the_text_by_local_names() {
        let soap = r#"<?xml version="1.0"?><s:Envelope xmlns:s="x"><s:Header><token>no</token></s:Header>
            <s:Body><r><n:token xmlns:n="y"> a&amp;b&#33;<![CDATA[<c>]]><!-- d --></n:token></r></s:Body></s:Envelope>"#;
        let at = |path: &str| value(TokenPlace::Xml(path.into()), &[], &[], soap);
        assert_eq!(at("Envelope.Body.r.token").as_deref(), Some("a&b!<c>"));
        assert_eq!(at("Envelope.Body.token"), None);
        assert_eq!(value(TokenPlace::Xml("a.b".into()), &[], &[], "<a><b>cut"), None);
    }

    #[test]
    fn the_last_value_of_a_cookie_counts() {
        let set =
            ["sid=1; Path=/; HttpOnly", "old=x", "old=; Max-Age=0", "lang=de", "sid=2; Secure", "gone=1; max-age=0"];
        assert_eq!(value(TokenPlace::Cookies, &[], &set, "").as_deref(), Some("lang=de; sid=2"));
        assert_eq!(value(TokenPlace::Cookies, &[], &[], ""), None);
    }

    #[test]
    fn headers_and_whole_bodies_give_values() {
        let headers = [("access-token", "t-1")];
        assert_eq!(value(TokenPlace::Header("Access-Token".into()), &headers, &[], "").as_deref(), Some("t-1"));
        assert_eq!(value(TokenPlace::Body, &[], &[], " t-2\n").as_deref(), Some("t-2"));
    }
}
