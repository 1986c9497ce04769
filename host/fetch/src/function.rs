//! The functions of templates: encodings, escapes and digests.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use sluice_model::{Function, Hash};

/// The result of a function; an error for text functions of bytes that aren't UTF-8.
pub(crate) fn apply(function: Function, value: &[u8]) -> Result<Vec<u8>, &'static str> {
    Ok(match function {
        Function::Base64 => STANDARD.encode(value).into_bytes(),
        Function::Base64Url => URL_SAFE_NO_PAD.encode(value).into_bytes(),
        Function::Hex => hex::encode(value).into_bytes(),
        Function::UrlEncode => url_encode(value).into_bytes(),
        Function::XmlEscape => xml_escape(value),
        Function::JsonEscape => json_escape(text(value, "json-escape needs text, not bytes")?),
        Function::Lower => text(value, "lower needs text, not bytes")?.to_lowercase().into_bytes(),
        Function::Upper => text(value, "upper needs text, not bytes")?.to_uppercase().into_bytes(),
        Function::Md5 => Md5::digest(value).to_vec(),
        Function::Sha1 => Sha1::digest(value).to_vec(),
        Function::Sha256 => Sha256::digest(value).to_vec(),
    })
}

/// HMAC (RFC 2104) of `message` under `key`: raw bytes.
pub(crate) fn hmac(hash: Hash, key: &[u8], message: &[u8]) -> Vec<u8> {
    fn digest<M: Mac + hmac::digest::KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
        // An HMAC accepts keys of any length, so this can't fail.
        <M as Mac>::new_from_slice(key)
            .map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec())
            .unwrap_or_default()
    }
    match hash {
        Hash::Sha1 => digest::<Hmac<Sha1>>(key, message),
        Hash::Sha256 => digest::<Hmac<Sha256>>(key, message),
        Hash::Sha512 => digest::<Hmac<Sha512>>(key, message),
    }
}

/// Percent-encodes all but unreserved characters (RFC 3986 section 2.3).
pub(crate) fn url_encode(value: &[u8]) -> String {
    value.iter().fold(String::with_capacity(value.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// Escapes XML's five predefined entities, for text and for attributes in either quote.
pub(crate) fn xml_escape(value: &[u8]) -> Vec<u8> {
    value.iter().fold(Vec::with_capacity(value.len()), |mut out, byte| {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&apos;"),
            other => out.push(*other),
        }
        out
    })
}

/// The content of a JSON string, without its quotes.
pub(crate) fn json_escape(value: &str) -> Vec<u8> {
    let quoted = serde_json::Value::from(value).to_string();
    quoted.as_bytes().get(1..quoted.len() - 1).unwrap_or_default().to_vec()
}

fn text<'a>(value: &'a [u8], error: &'static str) -> Result<&'a str, &'static str> {
    std::str::from_utf8(value).map_err(|_| error)
}

#[cfg(test)]
pub(crate) const ALL: [Function; 11] = [
    Function::Base64,
    Function::Base64Url,
    Function::Hex,
    Function::UrlEncode,
    Function::XmlEscape,
    Function::JsonEscape,
    Function::Lower,
    Function::Upper,
    Function::Md5,
    Function::Sha1,
    Function::Sha256,
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn string(function: Function, value: &[u8]) -> String {
        String::from_utf8(apply(function, value).unwrap()).unwrap()
    }

    fn hex_of(function: Function, value: &[u8]) -> String {
        hex::encode(apply(function, value).unwrap())
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        assert_eq!(string(Function::Base64, b"foobar"), "Zm9vYmFy");
        assert_eq!(string(Function::Base64, b"fooba"), "Zm9vYmE=");
        assert_eq!(string(Function::Base64, b"f"), "Zg==");
        assert_eq!(string(Function::Base64Url, &[0xfb, 0xff, 0xfe]), "-__-");
        assert_eq!(string(Function::Base64Url, b"f"), "Zg");
    }

    #[test]
    fn digests_are_those_of_their_rfcs() {
        assert_eq!(hex_of(Function::Md5, b"abc"), "900150983cd24fb0d6963f7d28e17f72"); // RFC 1321
        assert_eq!(hex_of(Function::Sha1, b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d"); // RFC 3174
        assert_eq!(
            hex_of(Function::Sha256, b"abc"), // RFC 6234
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn hmacs_are_those_of_rfc_2202_and_4231() {
        let (key, message) = (b"Jefe".as_slice(), b"what do ya want for nothing?".as_slice());
        assert_eq!(hex::encode(hmac(Hash::Sha1, key, message)), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(
            hex::encode(hmac(Hash::Sha256, key, message)),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex::encode(hmac(Hash::Sha512, key, message)),
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
        );
        let long_key = [0xaa; 131]; // RFC 4231, test case 6: a key longer than a block
        assert_eq!(
            hex::encode(hmac(Hash::Sha256, &long_key, b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn escapes_are_those_of_their_formats() {
        assert_eq!(string(Function::UrlEncode, "a b+c/é~".as_bytes()), "a%20b%2Bc%2F%C3%A9~");
        assert_eq!(string(Function::XmlEscape, b"<a href=\"'&\">"), "&lt;a href=&quot;&apos;&amp;&quot;&gt;");
        assert_eq!(string(Function::JsonEscape, "a\"b\\c\n\u{1}é".as_bytes()), "a\\\"b\\\\c\\n\\u0001é");
        assert_eq!(string(Function::Upper, b"ab%2f"), "AB%2F");
    }

    #[test]
    fn bytes_are_no_text() {
        assert!(apply(Function::JsonEscape, &[0xff]).is_err());
        assert!(apply(Function::Lower, &[0xff]).is_err());
    }
}
