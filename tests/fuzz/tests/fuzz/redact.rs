//! Secrets that a network echoes, among any bytes and in any writing that `docs/security.md` promises: none is kept, and what
//! holds none stays byte for byte.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use sluice_fetch::BodyRedactor;
use sluice_fuzz::Target;

/// Secrets with what the writings escape, one of them with what may be taken for escapes. None begins with what the end of an
/// escape may be, nor ends with a backslash.
const SECRETS: [&str; 6] = [
    "s3cret-s3cret",
    "k3y/of+the=shop",
    "pa<s>/w&rd?\"é~ 1",
    "it's a \"word\"",
    "wort-😀-geheim",
    "say \\100%41 of it",
];
/// What stands for a secret.
const MASK: &str = "***";
/// Bytes at the beginning of an input: secret, writing, writing of that, shape of the body, place of the echo.
const CONTROLS: usize = 5;
/// The most bytes of a body for one of a secret: what takes more is on the list of what isn't found.
const BYTES_PER_BYTE: usize = 36;

/// How a network writes a text.
#[derive(Clone, Copy, Debug)]
enum Writing {
    Plain,
    Quoted,
    Characters,
    Json,
    JsonSlashes,
    JsonUnits,
    JavaScript,
    Xml,
    Decimal,
    Hexadecimal,
    Padded,
    Url,
    UrlOfAll,
    UrlLower,
    Form,
    Hex,
    HexUpper,
    Base64(usize),
    UrlSafeBase64(usize),
}

const WRITINGS: [Writing; 23] = [
    Writing::Plain,
    Writing::Quoted,
    Writing::Characters,
    Writing::Json,
    Writing::JsonSlashes,
    Writing::JsonUnits,
    Writing::JavaScript,
    Writing::Xml,
    Writing::Decimal,
    Writing::Hexadecimal,
    Writing::Padded,
    Writing::Url,
    Writing::UrlOfAll,
    Writing::UrlLower,
    Writing::Form,
    Writing::Hex,
    Writing::HexUpper,
    Writing::Base64(0),
    Writing::Base64(1),
    Writing::Base64(2),
    Writing::UrlSafeBase64(0),
    Writing::UrlSafeBase64(1),
    Writing::UrlSafeBase64(2),
];

impl Writing {
    fn of(self, text: &str) -> String {
        let bytes = text.as_bytes();
        let each_char = |write: &dyn Fn(char) -> String| text.chars().map(write).collect::<String>();
        let each_byte = |write: &dyn Fn(u8) -> String| bytes.iter().map(|byte| write(*byte)).collect::<String>();
        match self {
            Self::Plain => text.to_owned(),
            Self::Quoted => text.replace('"', "\"\""),
            Self::Characters => bytes.iter().map(|byte| char::from(*byte)).collect(),
            Self::Json => text.replace('\\', "\\\\").replace('"', "\\\""),
            Self::JsonSlashes => Self::Json.of(text).replace('/', "\\/"),
            Self::JsonUnits => {
                each_char(&|c| c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect())
            }
            Self::JavaScript => each_byte(&|byte| format!("\\x{byte:02x}")),
            Self::Xml => {
                let named = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&apos;")];
                named.iter().fold(text.to_owned(), |text, (c, name)| text.replace(*c, name))
            }
            Self::Decimal => each_char(&|c| format!("&#{};", u32::from(c))),
            Self::Hexadecimal => each_char(&|c| format!("&#x{:06X};", u32::from(c))),
            Self::Padded => each_char(&|c| format!("&#{:012};", u32::from(c))),
            Self::Url => each_byte(&|byte| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            }),
            Self::UrlOfAll => each_byte(&|byte| format!("%{byte:02X}")),
            Self::UrlLower => each_byte(&|byte| format!("%{byte:02x}")),
            Self::Form => Self::Url.of(text).replace("%20", "+"),
            Self::Hex => hex::encode(bytes),
            Self::HexUpper => hex::encode_upper(bytes),
            Self::Base64(before) => STANDARD.encode([&b"xyz"[..before], bytes].concat()),
            Self::UrlSafeBase64(before) => URL_SAFE.encode([&b"xyz"[..before], bytes].concat()),
        }
    }

    fn is_packed(self) -> bool {
        matches!(self, Self::Hex | Self::HexUpper | Self::Base64(_) | Self::UrlSafeBase64(_))
    }

    /// Whether nothing writes a text that is written so once more, or is written so itself.
    fn is_last(self) -> bool {
        matches!(self, Self::Quoted | Self::Characters)
    }

    /// What isn't masked of it at most, in bytes: the first and last characters of base64 hold bits of what stands around,
    /// and the last digit of an escape may be taken for the first character of the secret.
    fn rest(self) -> usize {
        if matches!(self, Self::Base64(_) | Self::UrlSafeBase64(_)) { 8 } else { 3 }
    }
}

/// In what a body's text is written.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Any bytes, with the secret in UTF-8.
    Bytes,
    /// Any bytes, with the secret in another character set if it has all its characters.
    Charset(&'static str),
    /// UTF-16.
    Wide { is_little: bool, is_marked: bool },
}

const SHAPES: [Shape; 15] = [
    Shape::Bytes,
    Shape::Wide { is_little: true, is_marked: true },
    Shape::Wide { is_little: true, is_marked: false },
    Shape::Wide { is_little: false, is_marked: true },
    Shape::Wide { is_little: false, is_marked: false },
    Shape::Bytes,
    Shape::Charset("windows-1252"),
    Shape::Charset("iso-8859-15"),
    Shape::Charset("windows-1251"),
    Shape::Charset("macintosh"),
    Shape::Charset("gb18030"),
    Shape::Charset("gbk"),
    Shape::Charset("big5"),
    Shape::Charset("shift_jis"),
    Shape::Charset("euc-kr"),
];

impl Shape {
    /// Bytes of one ASCII character.
    fn width(self) -> usize {
        if matches!(self, Self::Wide { .. }) { 2 } else { 1 }
    }

    /// A text in a body.
    fn encoded(self, text: &str) -> Vec<u8> {
        match self {
            Self::Bytes | Self::Charset(_) => text.as_bytes().to_vec(),
            Self::Wide { is_little: true, .. } => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Wide { is_little: false, .. } => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }

    /// What stands in a body before the echo and after it. The quotes keep what surrounds the echo from being a part of its
    /// escapes.
    fn around(self, before: &[u8], after: &[u8]) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::Bytes | Self::Charset(_) => ([before, b"\""].concat(), [b"\"", after].concat()),
            Self::Wide { is_marked, .. } => {
                let mark = if is_marked { "\u{feff}" } else { "" };
                let head = format!("{mark}{{\"{}\"", String::from_utf8_lossy(before));
                (self.encoded(&head), self.encoded(&format!("\"{}", String::from_utf8_lossy(after))))
            }
        }
    }
}

/// A secret as a network echoes it.
struct Echo {
    bytes: Vec<u8>,
    /// What isn't masked of it at most, in bytes.
    rest: usize,
    /// How it is written, for people.
    written: String,
}

impl Echo {
    fn of(secret: &str, inner: Writing, outer: Writing, shape: Shape) -> Self {
        if let Shape::Charset(label) = shape
            && let Some(charset) = encoding_rs::Encoding::for_label(label.as_bytes())
            && let (bytes, _, false) = charset.encode(secret)
        {
            return Self { bytes: bytes.into_owned(), rest: 0, written: format!("{secret:?} in {label}") };
        }
        let once = inner.of(secret);
        let nested = outer.of(&once);
        let stays_alone = inner.is_last()
            || outer.is_last()
            || outer.is_packed()
            // Its signs are escaped with it, and what isn't short then isn't resolved.
            || matches!(inner, Writing::Padded);
        let is_nested = !stays_alone && nested.len() <= BYTES_PER_BYTE * secret.len();
        let (text, rest) = if is_nested { (nested, 10 * inner.rest()) } else { (once, inner.rest()) };
        let written = format!("{secret:?} as {inner:?}, {outer:?} (nested: {is_nested}) in {shape:?}");
        Self { bytes: shape.encoded(&text), rest: rest * shape.width(), written }
    }
}

/// What holds of a body, with a secret in it and without.
fn check(redactors: &[BodyRedactor], controls: [u8; CONTROLS], body: &[u8]) {
    let [secret, inner, outer, shape, place] = controls.map(usize::from);
    let (secret, redactor) = (SECRETS[secret % SECRETS.len()], &redactors[secret % SECRETS.len()]);
    let (inner, outer) = (WRITINGS[inner % WRITINGS.len()], WRITINGS[outer % WRITINGS.len()]);
    let shape = SHAPES[shape % SHAPES.len()];
    let (before, after) = body.split_at(body.len() * place / 256);
    let (head, tail) = shape.around(before, after);
    let untouched = redactor.redacted(&[head.as_slice(), tail.as_slice()].concat());
    assert!(untouched.is_none(), "a body without {secret:?} is changed");
    let Echo { bytes, rest, written } = Echo::of(secret, inner, outer, shape);
    let masked = redactor.redacted(&[head.as_slice(), bytes.as_slice(), tail.as_slice()].concat());
    let masked = masked.unwrap_or_else(|| panic!("not found: {written}"));
    for form in [bytes, shape.encoded(secret), secret.as_bytes().to_vec()] {
        let is_left = masked.windows(form.len()).any(|part| part == form);
        assert!(!is_left, "left in the body: {written}");
    }
    assert!(masked.starts_with(&head) && masked.ends_with(&tail), "more is masked than {written}");
    let kept = masked.len().saturating_sub(head.len() + tail.len() + shape.width() * MASK.len());
    assert!(kept <= rest, "{kept} bytes are left of {written}");
    assert!(redactor.redacted(&masked).is_none(), "found again after it was masked: {written}");
}

/// Plants secrets in the bodies, each of which is tried in several ways.
pub(crate) fn target(bodies: Vec<Vec<u8>>) -> Target<'static> {
    let redactors = SECRETS.map(|secret| BodyRedactor::new(&[secret]));
    // Every secret in every writing, and other pairs of writings and shapes with each body.
    let every = (0..SECRETS.len() * WRITINGS.len()).map(|n| (n, b"{\"id\": 1}".to_vec()));
    let seeds = every.chain(bodies.into_iter().enumerate()).map(|(n, body)| {
        let (secret, inner) = (n % SECRETS.len(), n / SECRETS.len());
        let controls = [secret, inner, 5 * n + 3, 7 * n, 64 * n].map(|control| (control % 256) as u8);
        [&controls[..], &body].concat()
    });
    Target {
        name: "redact",
        seeds: seeds.collect(),
        run: Box::new(move |input| {
            if let Some((controls, body)) = input.split_first_chunk() {
                check(&redactors, *controls, body);
            }
        }),
        // Three times, as bytes and as text, which is twice as long in UTF-16.
        reads: 8,
        words: &[
            "\\",
            "\\\\",
            "\\u005c",
            "\\u00",
            "\\ud83d",
            "\\x5c",
            "&",
            "&amp;",
            "&#38;",
            "&#x000000026;",
            "&#0000000000000",
            "&lt",
            ";",
            "%",
            "%25",
            "%5C",
            "%2",
            "\"",
            "'",
            "+",
            "/",
            "\u{feff}",
            "\0",
            "é",
            "dG9rZW4",
        ],
    }
}
