//! Finds secrets by their value and masks them, in every usual encoding.
//!
//! Where the name of a secret is known (templates, headers) it is masked by name. This is the second line of defence, for
//! secrets echoed in bodies, headers, URLs and error texts.

use std::borrow::Cow;
use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use zeroize::Zeroizing;

use crate::function;

/// Replaces a secret.
pub(crate) const MASK: &str = "***";

/// Forms searched in one pass: 2 GB/s up to this number, 0.2 GB/s beyond, where the search doesn't use SIMD (measured
/// with aho-corasick 1.1).
const FORMS_PER_PASS: usize = 56;

/// Shorter values aren't masked: they occur in ordinary text.
const MIN_BYTES: usize = 6;
/// Shorter values of digits only aren't masked: they occur as ids and amounts.
const MIN_DIGITS: usize = 12;

/// Response headers that are masked whatever their value.
const SECRET_HEADERS: [&str; 9] = [
    "set-cookie",
    "set-cookie2",
    "cookie",
    "authorization",
    "proxy-authorization",
    "authentication-info",
    "access-token",
    "x-access-token",
    "x-auth-token",
];

/// A search for all forms of all values at once.
#[derive(Debug, Default)]
pub(crate) struct Redactor {
    passes: Vec<AhoCorasick>,
    forms: Vec<Zeroizing<Vec<u8>>>,
    /// Lower-case names of further headers that are masked whatever their value.
    headers: Vec<String>,
}

impl Redactor {
    /// Masks `values` anywhere, and the values of `headers`, whose names are in lower case.
    pub(crate) fn new<'a>(values: impl IntoIterator<Item = &'a str>, headers: Vec<String>) -> Self {
        let mut forms = BTreeSet::new();
        for value in values {
            let digits = value.bytes().all(|byte| byte.is_ascii_digit());
            if value.len() >= if digits { MIN_DIGITS } else { MIN_BYTES } {
                add_forms(value, &mut forms);
            }
        }
        let mut forms: Vec<Vec<u8>> = forms.into_iter().collect();
        // Longest first: an earlier pass must not mask a part of a longer form and leave the rest.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        let search =
            |forms: &[Vec<u8>]| AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(forms).ok();
        let passes: Vec<AhoCorasick> = forms.chunks(FORMS_PER_PASS).filter_map(search).collect();
        let forms = forms.into_iter().map(Zeroizing::new).collect();
        Self { passes, forms, headers }
    }

    /// The text without secrets.
    pub(crate) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.replaced(text.as_bytes()) {
            Some(masked) => Cow::Owned(String::from_utf8_lossy(&masked).into_owned()),
            None => Cow::Borrowed(text),
        }
    }

    /// The body without secrets; none if it contains none.
    pub(crate) fn body(&self, body: &[u8]) -> Option<Bytes> {
        self.replaced(body).map(Bytes::from)
    }

    /// A response header's value without secrets. `name` is in lower case.
    pub(crate) fn header(&self, name: &str, value: &str) -> String {
        if SECRET_HEADERS.contains(&name) || self.headers.iter().any(|header| header == name) {
            return MASK.to_owned();
        }
        self.text(value).into_owned()
    }

    /// Whether a text contains a secret.
    pub(crate) fn finds(&self, text: &str) -> bool {
        self.passes.iter().any(|forms| forms.is_match(text))
    }

    /// How many bytes at the end of a text that was cut may be the start of a secret.
    pub(crate) fn partial_at_end(&self, text: &[u8]) -> usize {
        let partial = |form: &Zeroizing<Vec<u8>>| {
            let longest = text.len().min(form.len().saturating_sub(1));
            (1..=longest).rev().find(|length| text.ends_with(&form[..*length])).unwrap_or_default()
        };
        self.forms.iter().map(partial).max().unwrap_or_default()
    }

    fn replaced(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut masked = None;
        for forms in &self.passes {
            let next = replace(forms, masked.as_deref().unwrap_or(bytes));
            masked = next.or(masked);
        }
        masked
    }
}

/// The bytes with every form masked; none if there are no matches.
fn replace(forms: &AhoCorasick, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut matches = forms.find_iter(bytes).peekable();
    matches.peek()?;
    let mut masked = Vec::with_capacity(bytes.len());
    let mut copied = 0;
    for found in matches {
        masked.extend_from_slice(&bytes[copied..found.start()]);
        masked.extend_from_slice(MASK.as_bytes());
        copied = found.end();
    }
    masked.extend_from_slice(&bytes[copied..]);
    Some(masked)
}

/// Adds the value itself, and as it is written in URLs, JSON, XML, hexadecimal and base64.
fn add_forms(value: &str, forms: &mut BTreeSet<Vec<u8>>) {
    let encoded = function::url_encode(value.as_bytes());
    let json = String::from_utf8_lossy(&function::json_escape(value)).into_owned();
    let xml = String::from_utf8_lossy(&function::xml_escape(value.as_bytes())).into_owned();
    let hexadecimal = hex::encode(value);
    let form_encoded = encoded.replace("%20", "+");
    let all_encoded = form_encoded.replace('~', "%7E");
    forms.extend([value.as_bytes().to_vec(), hexadecimal.to_uppercase().into_bytes(), hexadecimal.into_bytes()]);
    let texts = [
        // JavaScript's encodeURIComponent doesn't escape these.
        ["%21!", "%27'", "%28(", "%29)", "%2A*"]
            .iter()
            .fold(encoded.clone(), |text, pair| text.replace(&pair[..3], &pair[3..])),
        lower_escapes(&form_encoded),
        form_encoded,
        lower_escapes(&all_encoded),
        all_encoded,
        lower_escapes(&encoded),
        encoded,
        // As Go, and as PHP and Python write the same string.
        unicode_escapes(&json, |c| matches!(c, '<' | '>' | '&' | '\'')),
        unicode_escapes(&json, |c| !c.is_ascii()),
        unicode_escapes(&json, |c| !c.is_ascii()).replace('/', "\\/"),
        json.replace('/', "\\/"),
        json,
        // The ways in which quotes are escaped.
        xml.replace("&apos;", "&#39;").replace("&quot;", "&#34;"),
        xml.replace("&apos;", "&#039;"),
        xml.replace("&apos;", "&#x27;"),
        xml.replace("&apos;", "'"),
        xml.replace("&apos;", "'").replace("&quot;", "\""),
        xml,
    ];
    forms.extend(texts.map(String::into_bytes));
    for shift in 0..3 {
        forms.insert(base64_core(&STANDARD_NO_PAD, value, shift));
        forms.insert(base64_core(&URL_SAFE_NO_PAD, value, shift));
    }
}

/// JSON in which further characters are escaped as `\uXXXX`.
fn unicode_escapes(json: &str, wanted: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if wanted(c) {
            let units = c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            out.push_str(&units);
        } else {
            out.push(c);
        }
    }
    out
}

/// `%2F` as `%2f`.
fn lower_escapes(encoded: &str) -> String {
    let mut pieces = encoded.split('%');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        out.push('%');
        out.push_str(&digits.to_ascii_lowercase());
        out.push_str(rest);
    }
    out
}

/// The base64 characters that depend on `value` alone when `shift` bytes (modulo 3) precede it, as a user name precedes
/// the password in `base64(user:password)`.
fn base64_core(engine: &impl Engine, value: &str, shift: usize) -> Vec<u8> {
    let mut shifted = vec![0; shift];
    shifted.extend_from_slice(value.as_bytes());
    let all = engine.encode(&shifted).into_bytes();
    let (from, to) = ((8 * shift).div_ceil(6), 8 * shifted.len() / 6);
    all.get(from..to).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    const SECRET: &str = "pa<s>/w&rd?\"é~ 1";

    fn redactor() -> Redactor {
        Redactor::new([SECRET, "token-abcdef", "short", "1234567"], vec!["uid".into()])
    }

    #[test]
    fn every_form_of_a_value_is_masked() {
        let json = serde_json::to_string(SECRET).unwrap();
        for form in [
            SECRET.to_owned(),
            function::url_encode(SECRET.as_bytes()),
            function::url_encode(SECRET.as_bytes()).to_lowercase(),
            function::url_encode(SECRET.as_bytes()).replace("%20", "+"),
            json.clone(),
            json.replace('/', "\\/"),
            String::from_utf8(function::xml_escape(SECRET.as_bytes())).unwrap(),
            hex::encode(SECRET),
            hex::encode_upper(SECRET),
            r#"pa<s>\/w&rd?\"\u00e9~ 1"#.to_owned(),
            r#"pa\u003cs\u003e/w\u0026rd?\"é~ 1"#.to_owned(),
            "pa&lt;s&gt;/w&amp;rd?&#34;é~ 1".to_owned(),
            "pa%3Cs%3E%2Fw%26rd%3F%22%C3%A9%7E+1".to_owned(),
        ] {
            let text = format!("before {form} after");
            let masked = redactor().text(&text).into_owned();
            assert!(masked.contains(MASK) && masked.len() < 25, "{form}: {masked}");
        }
    }

    #[test]
    fn base64_is_found_at_every_alignment() {
        for user in ["", "a", "ab", "abc", "user:"] {
            for encoded in [STANDARD.encode(format!("{user}{SECRET}:x")), URL_SAFE.encode(format!("{user}{SECRET}"))] {
                let masked = redactor().text(&encoded).into_owned();
                assert!(masked.contains(MASK), "{encoded}");
                assert!(masked.len() < encoded.len() - SECRET.len(), "{encoded} → {masked}");
            }
        }
    }

    #[test]
    fn short_values_and_short_numbers_are_not_masked() {
        let text = "a short 1234567";
        assert_eq!(redactor().text(text), text);
        assert!(redactor().body(text.as_bytes()).is_none());
        assert!(Redactor::new(["", "12345"], vec![]).body(b"12345").is_none());
    }

    #[test]
    fn bytes_around_a_secret_are_unchanged() {
        let masked = redactor().body(b"<token-abcdef>token-abcdef\xff</token-abcdef>!").unwrap();
        assert_eq!(masked.as_ref(), b"<***>***\xff</***>!");
    }

    #[test]
    fn many_values_are_found_in_several_passes() {
        let values: Vec<String> = (0..40).map(|n| format!("value/{n:04}")).collect();
        let redactor = Redactor::new(values.iter().map(String::as_str), vec![]);
        assert!(redactor.passes.len() > 2);
        assert_eq!(redactor.text(&values.join(" ")), vec![MASK; 40].join(" "));
        assert_eq!(redactor.text("value%2F0000 value/0040"), "*** value/0040");
    }

    #[test]
    fn the_start_of_a_secret_is_found_at_the_end() {
        let partial = |text: &str| redactor().partial_at_end(text.as_bytes());
        assert_eq!((partial("x token-abc"), partial("x token-abcdef"), partial("x t"), partial("x")), (9, 0, 1, 0));
        assert_eq!(partial("x dG9rZW4tYWJ"), 11, "in base64 too");
    }

    #[test]
    fn headers_are_masked_by_name_and_by_value() {
        assert_eq!(redactor().header("set-cookie", "a=b"), MASK);
        assert_eq!(redactor().header("uid", "me"), MASK);
        assert_eq!(redactor().header("location", "/x?t=token-abcdef&y"), "/x?t=***&y");
        assert_eq!(redactor().header("content-type", "text/csv"), "text/csv");
    }
}
