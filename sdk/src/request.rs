//! Requests and the templates that they are made of.

use crate::{Digest, Function, Method, Op, Part, Request, Slice};

/// A template under construction: pieces of text, secrets and settings, and functions of them.
///
/// ```
/// use sluice_connector::text;
/// let signature = text("").secret("token").text(":").now("%s").text(":").secret("key").sha256_hex();
/// let basic = text("Basic ").then(text("").secret("id").text(":").secret("secret").base64());
/// # let _ = (signature, basic);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Template {
    ops: Vec<Op>,
    depth: u32,
}

/// A literal text. A request's URL begins with one that holds scheme and host.
pub fn text(text: impl Into<String>) -> Template {
    Template::default().text(text)
}

/// The account's setting.
pub fn setting(name: &str) -> Template {
    Template::default().op(Op::Setting(name.into()))
}

impl Template {
    fn op(mut self, op: Op) -> Self {
        self.ops.push(op);
        self.depth += 1;
        self
    }

    /// Adds a literal text.
    pub fn text(self, text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() { self } else { self.op(Op::Text(text)) }
    }

    /// Adds the account's secret in this slot.
    pub fn secret(self, slot: &str) -> Self {
        self.op(Op::Secret(slot.into()))
    }

    /// Adds the live value of a token source.
    pub fn token(self, name: &str) -> Self {
        self.op(Op::Token(name.into()))
    }

    /// Adds the refresh token of a token source, in its `refresh` request.
    pub fn refresh_token(self, name: &str) -> Self {
        self.op(Op::RefreshToken(name.into()))
    }

    /// Adds the moment of sending by a strftime pattern, UTC.
    pub fn now(self, pattern: &str) -> Self {
        self.op(Op::Now(pattern.into()))
    }

    /// Adds a part of the request as it is sent.
    pub fn part(self, part: Part) -> Self {
        self.op(Op::Part(part))
    }

    /// Adds another template.
    pub fn then(mut self, other: Template) -> Self {
        self.ops.extend(other.ops);
        self.depth += other.depth;
        self
    }

    /// Adds a query parameter, `?` or `&` by what the literal texts hold so far; the value is percent-encoded.
    pub fn query(self, name: &str, value: &str) -> Self {
        let separator = self.separator();
        self.text(format!("{separator}{name}={}", url_encoded(value)))
    }

    /// Adds a query parameter whose value is a template, percent-encoded by the host.
    pub fn query_with(self, name: &str, value: Template) -> Self {
        let separator = self.separator();
        self.text(format!("{separator}{name}=")).then(value.apply(Function::UrlEncode))
    }

    fn separator(&self) -> char {
        let asked = self.ops.iter().any(|op| matches!(op, Op::Text(text) if text.contains('?')));
        if asked { '&' } else { '?' }
    }

    /// The function of all so far.
    pub fn apply(mut self, function: Function) -> Self {
        match self.depth {
            0 => self.ops.push(Op::Text(String::new())),
            1 => {}
            depth => self.ops.push(Op::Join(depth)),
        }
        self.ops.push(Op::Apply(function));
        self.depth = 1;
        self
    }

    /// Base64 of all so far.
    pub fn base64(self) -> Self {
        self.apply(Function::Base64)
    }

    /// SHA-256 of all so far, in hexadecimal.
    pub fn sha256_hex(self) -> Self {
        self.apply(Function::Sha256).apply(Function::Hex)
    }

    /// The raw HMAC of all so far with a key.
    pub fn hmac(self, digest: Digest, key: Template) -> Self {
        let mut whole = key.joined();
        whole.ops.extend(self.joined().ops);
        whole.ops.push(Op::Hmac(digest));
        whole.depth = 1;
        whole
    }

    fn joined(mut self) -> Self {
        if self.depth != 1 {
            self.ops.push(Op::Join(self.depth));
            self.depth = 1;
        }
        self
    }

    /// The contract's form.
    pub fn into_ops(self) -> Vec<Op> {
        self.ops
    }
}

/// A GET request whose answer holds records.
pub fn get(key: impl Into<String>, url: Template) -> Request {
    Request {
        key: key.into(),
        method: Method::Get,
        url: url.into_ops(),
        headers: Vec::new(),
        body: None,
        state: String::new(),
        yields_records: true,
    }
}

/// A POST request whose answer holds records.
pub fn post(key: impl Into<String>, url: Template, body: Template) -> Request {
    Request { method: Method::Post, body: Some(body.into_ops()), ..get(key, url) }
}

impl Request {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: Template) -> Self {
        self.headers.push((name.to_owned(), value.into_ops()));
        self
    }

    /// Sets the connector's words to itself.
    #[must_use]
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.state = state.into();
        self
    }

    /// Says that the answer holds no records.
    #[must_use]
    pub fn step(mut self) -> Self {
        self.yields_records = false;
        self
    }
}

impl Slice {
    /// The account's setting of this name.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A JSON string literal, quotes included; GraphQL's string literals are written the same way.
///
/// ```
/// assert_eq!(sluice_connector::quoted("say \"hi\"\n"), r#""say \"hi\"\n""#);
/// ```
pub fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for c in text.chars() {
        match c {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            c if c < ' ' => literal.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => literal.push(c),
        }
    }
    literal.push('"');
    literal
}

/// Percent-encoding of all but unreserved characters (RFC 3986 section 2.3).
pub fn url_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_covers_all_before_it() {
        let ops = text("a").secret("b").base64().into_ops();
        assert!(matches!(&ops[..], [Op::Text(_), Op::Secret(_), Op::Join(2), Op::Apply(Function::Base64)]));
    }

    #[test]
    fn query_parameters_are_encoded_and_separated() {
        let url = text("https://x.example/a").query("from", "2026-01-01 00:00").query("b", "c&d");
        let joined: String = url
            .into_ops()
            .into_iter()
            .map(|op| match op {
                Op::Text(text) => text,
                _ => String::new(),
            })
            .collect();
        assert_eq!(joined, "https://x.example/a?from=2026-01-01%2000%3A00&b=c%26d");
    }
}
