//! Requests as data: what a connector has the host send.

use serde::{Deserialize, Serialize};

/// Headers and steps of a request's templates that don't count as bytes: more than those of networks have.
const FREE_STEPS: usize = 32;

/// A request that names secrets and holds none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Names the request within its slice, the same at every plan.
    pub key: String,
    /// HTTP method.
    pub method: Method,
    /// The first op is a text that holds scheme and host.
    pub url: Template,
    /// Header names and their values.
    pub headers: Vec<(String, Template)>,
    /// The body, if it has one.
    pub body: Option<Template>,
    /// The connector's own words to itself.
    pub state: String,
    /// Whether the answer holds records.
    pub yields_records: bool,
}

impl Request {
    /// A GET for records, without URL, headers and state.
    pub fn get(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            method: Method::Get,
            url: Vec::new(),
            headers: Vec::new(),
            body: None,
            state: String::new(),
            yields_records: true,
        }
    }

    /// Bytes of all its texts: key, state, names of headers and templates. Headers and steps of templates beyond the first few
    /// count by the memory that they take, since many of them have no text.
    pub fn text_bytes(&self) -> usize {
        let op = |op: &Op| match op {
            Op::Text(text) | Op::Secret(text) | Op::Setting(text) | Op::Token(text) => text.len(),
            Op::RefreshToken(text) | Op::Now(text) => text.len(),
            _ => 0,
        };
        let names: usize = self.headers.iter().map(|(name, _)| name.len()).sum();
        let headers = self.headers.iter().map(|(_, value)| value);
        let templates = std::iter::once(&self.url).chain(headers).chain(&self.body);
        let (steps, texts) = templates.flatten().fold((0, 0), |(steps, texts), step| (steps + 1, texts + op(step)));
        let steps = usize::saturating_sub(steps + self.headers.len(), FREE_STEPS) * size_of::<Op>();
        self.key.len() + self.state.len() + names + texts + steps
    }
}

/// HTTP methods that a connector may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
}

impl Method {
    /// As it goes on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A program for a small stack machine; what is on the stack at the end is joined.
pub type Template = Vec<Op>;

/// A step of a template. See `wit/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// Push this text.
    Text(String),
    /// Push the account's secret in this slot.
    Secret(String),
    /// Push the account's setting.
    Setting(String),
    /// Push the live value of a token source.
    Token(String),
    /// Push the refresh token of a token source.
    RefreshToken(String),
    /// Push the moment of sending by a strftime pattern, UTC.
    Now(String),
    /// Push a part of this request as it is sent.
    Part(Part),
    /// Pop so many values, push them joined.
    Join(u32),
    /// Pop one value, push the function of it.
    Apply(Function),
    /// Pop a message, then a key; push the raw digest.
    Hmac(Hash),
}

/// A part of the request that a signature covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The method's name.
    Method,
    /// The URL's path.
    Path,
    /// The URL's query without `?`.
    Query,
    /// The body as it is sent; empty without one.
    Body,
}

/// Functions of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Function {
    /// RFC 4648 section 4, padded.
    Base64,
    /// RFC 4648 section 5, without padding.
    Base64Url,
    /// Lower-case hexadecimal.
    Hex,
    /// Percent-encoding of all but unreserved characters.
    UrlEncode,
    /// `&`, `<`, `>`, `"` and `'` as entities.
    XmlEscape,
    /// The inside of a JSON string.
    JsonEscape,
    /// Lower case.
    Lower,
    /// Upper case.
    Upper,
    /// Raw MD5.
    Md5,
    /// Raw SHA-1.
    Sha1,
    /// Raw SHA-256.
    Sha256,
}

/// Digests of an HMAC (RFC 2104).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hash {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_without_text_count_by_the_memory_that_they_take() {
        let of = |steps: usize| Request { body: Some(vec![Op::Part(Part::Method); steps]), ..Request::get("1") };
        assert_eq!((of(0).text_bytes(), of(FREE_STEPS).text_bytes()), (1, 1));
        assert_eq!(of(FREE_STEPS + 1_000).text_bytes(), 1 + 1_000 * size_of::<Op>());
        let empty = Request { headers: vec![(String::new(), vec![Op::Text(String::new()); 500]); 2], ..of(0) };
        assert_eq!(empty.text_bytes(), 1 + (1_002 - FREE_STEPS) * size_of::<Op>());
    }
}
