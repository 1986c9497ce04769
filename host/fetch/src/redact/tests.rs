//! No form of a secret that JSON, XML, HTML, URLs and headers know is left.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;
use sluice_model::Function;

use super::*;
use crate::function;

/// How a network writes a text.
#[derive(Clone, Copy, Debug)]
enum Writing {
    Plain,
    Json,
    JsonSlashes,
    JsonUnits,
    JavaScript,
    Xml,
    Decimal,
    PaddedHexadecimal,
    Url,
    UrlOfAll,
    UrlLower,
    Form,
    Hexadecimal,
    Base64(usize),
    UrlSafeBase64(usize),
    Utf16,
}

const WRITINGS: [Writing; 20] = [
    Writing::Plain,
    Writing::Json,
    Writing::JsonSlashes,
    Writing::JsonUnits,
    Writing::JavaScript,
    Writing::Xml,
    Writing::Decimal,
    Writing::PaddedHexadecimal,
    Writing::Url,
    Writing::UrlOfAll,
    Writing::UrlLower,
    Writing::Form,
    Writing::Hexadecimal,
    Writing::Base64(0),
    Writing::Base64(1),
    Writing::Base64(2),
    Writing::UrlSafeBase64(0),
    Writing::UrlSafeBase64(1),
    Writing::UrlSafeBase64(2),
    Writing::Utf16,
];

impl Writing {
    fn of(self, text: &str) -> Vec<u8> {
        let bytes = text.as_bytes();
        let each = |write: &dyn Fn(char) -> String| text.chars().map(write).collect::<String>();
        let written = match self {
            Self::Plain => text.to_owned(),
            Self::Json => String::from_utf8(function::json_escape(text)).unwrap(),
            Self::JsonSlashes => String::from_utf8(function::json_escape(text)).unwrap().replace('/', "\\/"),
            Self::JsonUnits => {
                each(&|c| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect())
            }
            Self::JavaScript => bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect(),
            Self::Xml => String::from_utf8(function::xml_escape(bytes)).unwrap(),
            Self::Decimal => each(&|c| format!("&#{};", u32::from(c))),
            Self::PaddedHexadecimal => each(&|c| format!("&#x{:06x};", u32::from(c))),
            Self::Url => function::url_encode(bytes),
            Self::UrlOfAll => bytes.iter().map(|byte| format!("%{byte:02X}")).collect(),
            Self::UrlLower => bytes.iter().map(|byte| format!("%{byte:02x}")).collect(),
            Self::Form => function::url_encode(bytes).replace("%20", "+"),
            Self::Hexadecimal | Self::Base64(_) | Self::UrlSafeBase64(_) => self.packed(bytes).unwrap_or_default(),
            Self::Utf16 => return text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        };
        written.into_bytes()
    }

    fn packed(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Hexadecimal => Some(hex::encode(bytes)),
            Self::Base64(before) => Some(STANDARD.encode([&b"xyz"[..before], bytes].concat())),
            Self::UrlSafeBase64(before) => Some(URL_SAFE.encode([&b"xyz"[..before], bytes].concat())),
            _ => None,
        }
    }

    /// What of the written text isn't masked at most: the first and last characters of base64 hold bits of what stands
    /// around, and the last digit of an escape may be taken for the first character of the secret.
    fn rest(self) -> usize {
        match self {
            Self::Base64(_) | Self::UrlSafeBase64(_) => 8,
            _ => 3,
        }
    }
}

fn writings() -> impl Strategy<Value = Writing> {
    proptest::sample::select(WRITINGS.to_vec())
}

fn functions() -> impl Strategy<Value = Vec<Function>> {
    proptest::collection::vec(proptest::sample::select(function::ALL.to_vec()), 0..5)
}

proptest! {
    #[test]
    fn a_secret_is_masked_in_every_writing_and_in_a_writing_of_that(
        secret in "[ -~]{6,24}|[a-z0-9é€😀/&%\\\\\"]{6,16}",
        inner in writings(),
        outer in writings(),
    ) {
        // An escaped backslash at the end is found without its second one, which says nothing.
        prop_assume!(!secret.bytes().all(|byte| byte.is_ascii_digit()) && !secret.ends_with('\\'));
        let redactor = Redactor::new([secret.as_bytes()], vec![]);
        let once = inner.of(&secret);
        // A packing in base64 or hexadecimal isn't searched for another one inside, and no network escapes UTF-16.
        let packs = matches!(outer, Writing::Base64(_) | Writing::UrlSafeBase64(_) | Writing::Hexadecimal | Writing::Utf16);
        let nested = match String::from_utf8(once.clone()) {
            Ok(text) if !packs && !matches!(inner, Writing::Utf16) => outer.of(&text),
            _ => once.clone(),
        };
        for (echo, rest) in [(once, inner.rest()), (nested, inner.rest() * 10)] {
            let body = [b"{\"a\": \"", echo.as_slice(), b"\"}"].concat();
            let masked = redactor.body(&body);
            prop_assert!(masked.is_some(), "{:?} {:?} {}", inner, outer, String::from_utf8_lossy(&body));
            let masked = masked.unwrap();
            let kept = masked.len().saturating_sub(body.len() - echo.len() + MASK.len());
            prop_assert!(kept <= rest, "{:?} {:?}: {} kept of {}", inner, outer, String::from_utf8_lossy(&masked), String::from_utf8_lossy(&body));
        }
    }

    #[test]
    fn what_functions_make_of_a_secret_is_masked(secret in "[!-~]{8,20}", functions in functions(), writing in writings()) {
        let mut derived: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for of in functions {
            let of_what = derived.last().map_or(secret.as_bytes(), |value| value.as_slice());
            match function::apply(of, of_what) {
                Ok(value) if value.len() < 2_000 => derived.push(Zeroizing::new(value)),
                _ => break,
            }
        }
        let redactor_of = |values: Vec<&[u8]>| Redactor::new(values, vec![]);
        let first = redactor_of(derived.iter().map(|value| value.as_slice()).collect());
        let redactor = redactor_of(vec![secret.as_bytes()]).preceded_by(&first);
        for value in &derived {
            // What is no text is packed as it is, or written byte by byte.
            let echo = match (std::str::from_utf8(value), writing.packed(value)) {
                (Ok(text), _) => writing.of(text),
                (Err(_), Some(packed)) => packed.into_bytes(),
                (Err(_), None) => writing.of(&value.iter().map(|byte| char::from(*byte)).collect::<String>()),
            };
            prop_assume!(value.is_ascii() || !matches!(writing, Writing::Utf16 | Writing::Form));
            let masked = redactor.body(&[b"<a>", echo.as_slice(), b"</a>"].concat());
            prop_assert!(masked.is_some());
            prop_assert!(masked.unwrap().len() <= 7 + MASK.len() + 10 * writing.rest(), "{:?}", writing);
        }
    }

    #[test]
    fn a_secret_is_masked_in_every_writing_of_a_body_in_utf_16(
        secret in "[!-~é€]{8,20}",
        writing in writings(),
        is_little in any::<bool>(),
        is_marked in any::<bool>(),
    ) {
        prop_assume!(!secret.bytes().all(|byte| byte.is_ascii_digit()) && !secret.ends_with('\\'));
        prop_assume!(!matches!(writing, Writing::Utf16));
        let redactor = Redactor::new([secret.as_bytes()], vec![]);
        let text = format!("{{\"a\": \"{}\"}}", String::from_utf8(writing.of(&secret)).unwrap());
        let masked = redactor.body(&utf_16(&text, is_little, is_marked));
        prop_assert!(masked.is_some(), "{}", text);
        let masked = of_utf_16(&masked.unwrap(), is_little, is_marked);
        prop_assert!(masked.starts_with("{\"a\": \"") && masked.ends_with("\"}"), "{}", masked);
        prop_assert!(masked.len() <= 10 + MASK.len() + writing.rest(), "{}", masked);
    }

    #[test]
    fn what_holds_no_secret_is_unchanged(text in "([a-z ]{0,9}(\\\\u00[46][0-9a-f]|&amp;|&#x4[0-9];|%4[0-9]|&|%|\\\\)?){0,9}") {
        let redactor = Redactor::new([b"S3CRET-S3CRET".as_slice()], vec![]);
        prop_assert!(redactor.body(text.as_bytes()).is_none());
        prop_assert!(!redactor.finds(&text));
    }

    #[test]
    fn what_is_cut_inside_of_an_escaped_secret_is_dropped(cut in 1_usize..70) {
        let redactor = Redactor::new([b"s3cret-s3cret".as_slice()], vec![]);
        let escaped: String = "s3cret-s3cret".bytes().map(|byte| format!("\\u{:04x}", byte)).collect();
        let text = format!("abc {}", &escaped[..cut]);
        let kept = &text[..text.len() - redactor.partial_at_end(text.as_bytes())];
        prop_assert!(kept.len() <= 5, "{}", kept);
    }
}

fn utf_16(text: &str, is_little: bool, is_marked: bool) -> Vec<u8> {
    let mark = if is_marked { "\u{feff}" } else { "" };
    let units = mark.encode_utf16().chain(text.encode_utf16());
    units.flat_map(|unit| if is_little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

fn of_utf_16(bytes: &[u8], is_little: bool, is_marked: bool) -> String {
    let read = if is_little { u16::from_le_bytes } else { u16::from_be_bytes };
    let units: Vec<u16> = bytes.chunks(2).map(|pair| read([pair[0], pair[1]])).collect();
    let text = String::from_utf16(&units).unwrap();
    if is_marked { text.strip_prefix('\u{feff}').unwrap().to_owned() } else { text }
}

#[test]
fn what_decoders_read_as_a_secret_is_masked() {
    for (secret, echo) in [
        ("schlüssel-geheim", "schl&uuml;ssel-geheim"),
        ("schlüssel-geheim", "schl\\u0026uuml;ssel-geheim"),
        ("12-€-geheim", "12-&euro;-geheim"),
        ("s3cret-s3cret", "&#0000000000000115;3cret-s3cret"),
        ("s3cret-s3cret", "s3cret&#x00000000000000000002D;s3cret"),
        ("s3cret-s3cret", "s3cret&amp;#00000000000000000000000000000045;s3cret"),
        ("wort-😀-geheim", "wort-&#xD83D;&#xDE00;-geheim"),
        ("wort-😀-geheim", "wort-&#55357;&#56832;-geheim"),
        ("a \"word\" of it's", "a \"\"word\"\" of it's"),
        ("a \"word\" of it's", "a \"word\" of it''s"),
    ] {
        let redactor = Redactor::new([secret.as_bytes()], vec![]);
        assert_eq!(redactor.text(&format!("<a>{echo}</a>")), "<a>***</a>", "{echo}");
        assert!(redactor.finds(echo));
    }
}

#[test]
fn a_secret_is_masked_in_every_character_set() {
    for (secret, label) in [
        ("ключ-от-магазина", "windows-1251"),
        ("ключ-от-магазина", "koi8-r"),
        ("12-€-geheim", "windows-1252"),
        ("12-€-geheim", "iso-8859-15"),
        ("żółw-i-żółć", "iso-8859-2"),
        ("ひみつのことば", "shift_jis"),
        ("ひみつのことば", "euc-jp"),
        ("秘密的钥匙", "gbk"),
    ] {
        let (bytes, _, is_lossy) = encoding_rs::Encoding::for_label(label.as_bytes()).unwrap().encode(secret);
        assert!(!is_lossy, "{label}");
        let redactor = Redactor::new([secret.as_bytes()], vec![]);
        let masked = redactor.body(&[b"a;\"", bytes.as_ref(), b"\";\xe4"].concat()).unwrap();
        assert_eq!(masked.as_ref(), b"a;\"***\";\xe4", "{label}");
    }
}

#[test]
fn numbers_with_very_many_zeros_are_resolved_in_parts() {
    let redactor = Redactor::new([b"s3cret-s3cret".as_slice()], vec![]);
    let escaped: String = "s3cret-s3cret".bytes().map(|byte| format!("&#{}{byte};", "0".repeat(100_000))).collect();
    let around = "&#00000000000120;".repeat(100_000);
    let body = format!("{around}{escaped}{around}");
    let masked = redactor.body(body.as_bytes()).unwrap();
    assert_eq!(masked.as_ref(), format!("{around}***{around}").as_bytes());
}

#[test]
fn a_search_ends_when_its_time_is_over() {
    let (redactor, now) = (redactor(), Deadline::within(Duration::ZERO));
    assert!(redactor.body_until(b"no secret \\n here", now).is_err());
    let sought = Sought { longest: 9, ambiguous: false, pairs: &redactor.pairs, deadline: now };
    assert!(in_escapes(b"t\\u006fken-abcdef", &sought, |_| Vec::new()).is_err());
    assert!(redactor.body_until(b"no secret here", Deadline::NEVER).unwrap().is_none());
}

#[test]
fn a_secret_is_found_where_two_parts_of_a_long_text_meet() {
    let redactor = Redactor::new([b"s3cret-s3cret".as_slice()], vec![]);
    let escaped: String = "s3cret-s3cret".bytes().map(|byte| format!("&#{byte};")).collect();
    for before in (1 << 20) - 40..(1 << 20) + 8 {
        let body = format!("\\n{}{escaped}{}", "x".repeat(before), "y".repeat(before));
        let masked = redactor.body(body.as_bytes()).unwrap();
        assert_eq!(masked.len(), 2 + 2 * before + MASK.len(), "{before}");
    }
}

#[test]
fn a_secret_that_looks_like_escapes_masks_no_short_word() {
    let redactor = Redactor::new([b"%61%62%63%64".as_slice()], vec![]);
    assert_eq!(redactor.text("abcd %61%62%63%64"), "abcd ***");
}

#[test]
fn how_a_body_is_to_be_read_is_never_masked() {
    let values: [&[u8]; 3] = [b"x-gzip", b"text/csv; charset=utf-8", b"text/csv"];
    let names = ["content-encoding", "content-type", "x-token"].map(str::to_owned).to_vec();
    let redactor = Redactor::new(values, names);
    assert_eq!(redactor.header("content-encoding", b"gzip, x-gzip"), "gzip, x-gzip");
    assert_eq!(redactor.header("content-type", b"text/csv; charset=utf-8"), "text/csv; charset=utf-8");
    assert_eq!(redactor.header("content-length", b"123"), "123");
    assert_eq!(redactor.header("content-encoding", b"s3cret"), MASK);
    assert_eq!(redactor.header("x-token", b"gzip"), MASK);
}

const SECRET: &str = "pa<s>/w&rd?\"é~ 1";

fn redactor() -> Redactor {
    Redactor::new([SECRET, "token-abcdef", "short", "1234567"].map(str::as_bytes), vec!["uid".into()])
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
    assert!(Redactor::new(["", "12345"].map(str::as_bytes), vec![]).body(b"12345").is_none());
}

#[test]
fn bytes_around_a_secret_are_unchanged() {
    let masked = redactor().body(b"<token-abcdef>token-abcdef\xff</token-abcdef>!").unwrap();
    assert_eq!(masked.as_ref(), b"<***>***\xff</***>!");
}

#[test]
fn many_values_are_found_in_several_passes() {
    let values: Vec<String> = (0..40).map(|n| format!("value/{n:04}")).collect();
    let redactor = Redactor::new(values.iter().map(String::as_bytes), vec![]);
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
    assert_eq!(redactor().header("set-cookie", b"a=b"), MASK);
    assert_eq!(redactor().header("uid", b"me"), MASK);
    assert_eq!(redactor().header("location", b"/x?t=token-abcdef&y"), "/x?t=***&y");
    assert_eq!(redactor().header("content-type", b"text/csv"), "text/csv");
    assert_eq!(redactor().header("x-echo", b"pa<s>/w&rd?\"\xe9~ 1 \xe9"), "*** \u{fffd}");
}
