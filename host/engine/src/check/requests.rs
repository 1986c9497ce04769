//! Rules of requests and judgements. Whether a host or header may be used is for `fetch` to say.

use std::collections::HashSet;

use sluice_model::{Judgement, Manifest, Op, Request, Template, Verdict};

use super::ensure;
use crate::call::quoted;
use crate::columns::Checked;
use crate::limits::Limits;

/// Longest key of a request, in bytes.
const MAX_KEY: usize = 200;
/// Most headers of a request.
const MAX_HEADERS: usize = 100;
/// Longest name of a header and longest pattern of a time, in bytes.
const MAX_SHORT_TEXT: usize = 256;
/// Longest cursor, state of a request and reason of a retry, in bytes.
const MAX_NOTE: usize = 64 << 10;
/// Longest wait that a connector may ask for: a week.
const MAX_WAIT_SECS: u32 = 7 * 86_400;

/// Checks the requests of one answer.
pub(crate) fn requests(requests: &[Request], manifest: &Manifest, limits: &Limits) -> Checked<()> {
    number(requests.len(), limits)?;
    let mut keys = HashSet::with_capacity(requests.len());
    let mut text = 0_usize;
    for request in requests {
        self::request(request, manifest, limits).map_err(|what| format!("request {}: {what}", quoted(&request.key)))?;
        ensure(keys.insert(request.key.as_str()), || format!("request {}: its key comes twice", quoted(&request.key)))?;
        text = text.saturating_add(request.text_bytes());
        ensure(text <= limits.request_text_bytes, || {
            format!("requests of more than {} bytes in one answer", limits.request_text_bytes)
        })?;
    }
    Ok(())
}

/// Checks how many requests an answer has.
pub(crate) fn number(count: usize, limits: &Limits) -> Checked<()> {
    ensure(count <= limits.requests_per_answer, || {
        format!("{count} requests, {} are allowed in one answer", limits.requests_per_answer)
    })
}

/// Checks one request.
pub(super) fn request(request: &Request, manifest: &Manifest, limits: &Limits) -> Checked<()> {
    let key = &request.key;
    ensure(!key.is_empty() && key.len() <= MAX_KEY && !key.chars().any(char::is_control), || {
        format!("its key is empty, longer than {MAX_KEY} bytes or has control characters")
    })?;
    let state = &request.state;
    ensure(state.len() <= MAX_NOTE && !state.chars().any(is_unprintable), || {
        format!("its state has more than {MAX_NOTE} bytes, or control characters")
    })?;
    ensure(request.headers.len() <= MAX_HEADERS, || format!("it has more than {MAX_HEADERS} headers"))?;
    ensure(request.headers.iter().all(|(name, _)| name.len() <= MAX_SHORT_TEXT), || {
        format!("a header's name has more than {MAX_SHORT_TEXT} bytes")
    })?;
    for template in templates(request) {
        ensure(template.len() <= limits.template_ops, || {
            format!("a template has {} steps, {} are allowed", template.len(), limits.template_ops)
        })?;
        template.iter().try_for_each(|op| is_declared(op, manifest))?;
    }
    Ok(())
}

/// A control character that no text has: each takes six bytes in an envelope.
fn is_unprintable(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r')
}

/// Checks what isn't a request in a judgement.
pub(crate) fn judgement(judgement: &Judgement, manifest: &Manifest) -> Checked<()> {
    let note = |what: &str, text: &str| {
        ensure(text.len() <= MAX_NOTE, || format!("{what} has {} bytes, {MAX_NOTE} are allowed", text.len()))?;
        // PostgreSQL has no text with NULs, so such a cursor could never be stored.
        ensure(!text.contains(is_unprintable), || format!("{what} has control characters"))
    };
    judgement.cursor.as_deref().map_or(Ok(()), |cursor| note("the cursor", cursor))?;
    match &judgement.verdict {
        Verdict::Wait { secs, .. } => waits(*secs),
        Verdict::Retry { reason, after_secs } => {
            note("the retry's reason", reason)?;
            after_secs.map_or(Ok(()), waits)
        }
        Verdict::Renew(source) => is_declared(&Op::Token(source.clone()), manifest),
        Verdict::Done | Verdict::More(_) | Verdict::Split | Verdict::Refused(_) => Ok(()),
    }
}

fn waits(secs: u32) -> Checked<()> {
    ensure(secs <= MAX_WAIT_SECS, || format!("a wait of {secs} s, {MAX_WAIT_SECS} are allowed"))
}

fn templates(request: &Request) -> impl Iterator<Item = &Template> {
    let headers = request.headers.iter().map(|(_, value)| value);
    std::iter::once(&request.url).chain(headers).chain(&request.body)
}

fn is_declared(op: &Op, manifest: &Manifest) -> Checked<()> {
    if let Op::Now(pattern) = op {
        return ensure(pattern.len() <= MAX_SHORT_TEXT, || {
            format!("the pattern of a time has more than {MAX_SHORT_TEXT} bytes")
        });
    }
    let (what, name, is_declared) = match op {
        Op::Secret(name) => ("secret", name, manifest.secrets.iter().any(|slot| slot.name == *name)),
        Op::Setting(name) => ("setting", name, manifest.settings.iter().any(|setting| setting.name == *name)),
        Op::Token(name) | Op::RefreshToken(name) => {
            ("token", name, manifest.tokens.iter().any(|source| source.name == *name))
        }
        _ => return Ok(()),
    };
    ensure(is_declared, || format!("the {what} {} isn't in the manifest", quoted(name)))
}

/// The bytes of all its texts.
#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use sluice_model::SecretSlot;

    use super::*;
    use crate::check::manifest::tests::manifest;

    fn get(key: &str) -> Request {
        Request { url: vec![Op::Text("https://api.example.com/".to_owned())], ..Request::get(key) }
    }

    fn checked(requests: &[Request]) -> Checked<()> {
        super::requests(requests, &manifest(), &Limits { requests_per_answer: 2, ..Limits::default() })
    }

    #[test]
    fn keys_name_requests() {
        assert_eq!(checked(&[get("a"), get("b")]), Ok(()));
        assert_eq!(checked(&[get("a"), get("a")]).unwrap_err(), "request \"a\": its key comes twice");
        for key in ["", "a\n", &"a".repeat(201)] {
            assert!(checked(&[get(key)]).is_err(), "{key:?}");
        }
    }

    #[test]
    fn answers_are_bounded() {
        assert_eq!(checked(&[get("a"), get("b"), get("c")]).unwrap_err(), "3 requests, 2 are allowed in one answer");
        let long = Request { body: Some(vec![Op::Text("x".repeat(5 << 20))]), ..get("a") };
        assert!(checked(std::slice::from_ref(&long)).is_ok());
        assert!(checked(&[long.clone(), Request { key: "b".to_owned(), ..long }]).is_err());
        for state in ["x".repeat((64 << 10) + 1), "\0".to_owned()] {
            let refused = checked(&[Request { state, ..get("a") }]).unwrap_err();
            assert!(refused.contains("its state has more than 65536 bytes, or control characters"), "{refused}");
        }
        let now = |bytes: usize| Request { body: Some(vec![Op::Now("%c".repeat(bytes / 2))]), ..get("a") };
        assert!(checked(&[now(256)]).is_ok());
        assert_eq!(
            checked(&[now(1 << 20)]).unwrap_err(),
            "request \"a\": the pattern of a time has more than 256 bytes"
        );
        let named = |bytes: usize| Request { headers: vec![("x".repeat(bytes), vec![])], ..get("a") };
        assert!(checked(&[named(256)]).is_ok());
        assert_eq!(checked(&[named(257)]).unwrap_err(), "request \"a\": a header's name has more than 256 bytes");
        let steps = Request { body: Some(vec![Op::Join(0); 1_000]), headers: vec![], ..get("a") };
        let headers = vec![("x".to_owned(), vec![Op::Join(0); 1_000]); 100];
        assert!(checked(std::slice::from_ref(&steps)).is_ok());
        let long = [Request { headers: headers.clone(), ..steps.clone() }, Request { headers, ..get("b") }];
        assert!(checked(&long).is_ok());
        let limits = Limits { request_text_bytes: 4 << 20, ..Limits::default() };
        let refused = super::requests(&long, &manifest(), &limits).unwrap_err();
        assert_eq!(refused, "requests of more than 4194304 bytes in one answer");
        let deep = Request { url: vec![Op::Text("a".to_owned()); 1_001], ..get("a") };
        assert!(checked(&[deep]).is_err());
    }

    #[test]
    fn only_declared_slots_are_used() {
        let secret = Request { body: Some(vec![Op::Secret("key".to_owned())]), ..get("a") };
        assert_eq!(
            checked(std::slice::from_ref(&secret)).unwrap_err(),
            "request \"a\": the secret \"key\" isn't in the manifest"
        );
        let mut manifest = manifest();
        manifest.secrets.push(SecretSlot { name: "key".to_owned(), meaning: String::new(), required: true });
        assert!(super::requests(&[secret], &manifest, &Limits::default()).is_ok());
    }

    #[test]
    fn judgements_are_bounded() {
        let of = |verdict| judgement(&Judgement { verdict, cursor: None }, &manifest());
        assert!(of(Verdict::Wait { secs: 60, then: vec![] }).is_ok());
        assert!(of(Verdict::Wait { secs: u32::MAX, then: vec![] }).is_err());
        assert!(of(Verdict::Renew("oauth".to_owned())).is_err());
        let with = |cursor: String| judgement(&Judgement { verdict: Verdict::Done, cursor: Some(cursor) }, &manifest());
        assert!(with("x".repeat(MAX_NOTE + 1)).is_err());
        assert!(with("page 2\r\n".to_owned()).is_ok());
        assert_eq!(with("page\u{0}2".to_owned()).unwrap_err(), "the cursor has control characters");
    }
}
