//! The forms in which networks write a value.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::charsets::{as_characters, in_character_sets};
use super::escapes::resolved;
use super::is_long_enough;
use crate::function;

/// Adds the value itself, and as it is written in hexadecimal, base64 and, if it is text, in URLs, JSON, XML, quotes, UTF-16
/// and other character sets; beyond ASCII also as its bytes are written as characters.
pub(super) fn add_forms(value: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    let hexadecimal = hex::encode(value);
    forms.extend([value.to_vec(), hexadecimal.to_uppercase().into_bytes(), hexadecimal.into_bytes()]);
    for shift in 0..3 {
        forms.insert(base64_core(&STANDARD_NO_PAD, value, shift));
        forms.insert(base64_core(&URL_SAFE_NO_PAD, value, shift));
    }
    // A value that holds what looks like an escape, as it is when a text around it is resolved.
    forms.extend(resolved(value).filter(|resolved| is_long_enough(resolved)));
    if !value.is_ascii() {
        forms.extend(as_characters(value).map(String::into_bytes));
    }
    if let Ok(text) = std::str::from_utf8(value) {
        add_text_forms(text, forms);
    }
}

fn add_text_forms(value: &str, forms: &mut BTreeSet<Vec<u8>>) {
    let encoded = function::url_encode(value.as_bytes());
    let json = String::from_utf8_lossy(&function::json_escape(value)).into_owned();
    let xml = String::from_utf8_lossy(&function::xml_escape(value.as_bytes())).into_owned();
    let form_encoded = encoded.replace("%20", "+");
    let all_encoded = form_encoded.replace('~', "%7E");
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
        value.replace(' ', "+"),
        json.replace('/', "\\/"),
        json,
        // The ways in which quotes are escaped.
        xml.replace("&apos;", "&#39;").replace("&quot;", "&#34;"),
        xml.replace("&apos;", "&#039;"),
        xml.replace("&apos;", "&#x27;"),
        xml.replace("&apos;", "'"),
        xml.replace("&apos;", "'").replace("&quot;", "\""),
        xml,
        // Quoted fields of delimited text.
        doubled(value, '"'),
        doubled(value, '\''),
    ];
    forms.extend(texts.map(String::into_bytes));
    forms.insert(value.encode_utf16().flat_map(u16::to_le_bytes).collect());
    forms.insert(value.encode_utf16().flat_map(u16::to_be_bytes).collect());
    if !value.is_ascii() {
        forms.extend(value.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>());
        forms.extend(in_character_sets(value));
    }
}

/// The value with each quote in it twice, and those at its ends as they are: there may be quotes of the field beside them.
fn doubled(value: &str, quote: char) -> String {
    let inner = value.trim_matches(quote);
    let twice = inner.replace(quote, &format!("{quote}{quote}"));
    value.replacen(inner, &twice, usize::from(!inner.is_empty()))
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
fn base64_core(engine: &impl Engine, value: &[u8], shift: usize) -> Vec<u8> {
    let mut shifted = vec![0; shift];
    shifted.extend_from_slice(value);
    let all = engine.encode(&shifted).into_bytes();
    let (from, to) = ((8 * shift).div_ceil(6), 8 * shifted.len() / 6);
    all.get(from..to).unwrap_or_default().to_vec()
}
