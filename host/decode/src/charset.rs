//! Bodies as UTF-8.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::repair::{Marks, repair};
use super::{DecodeError, cut};

/// A byte-order mark in UTF-8, and one that was taken for windows-1252 and written in UTF-8 again.
const BYTE_ORDER_MARKS: [&[u8]; 2] = [b"\xef\xbb\xbf", b"\xc3\xaf\xc2\xbb\xc2\xbf"];

/// A body as text.
#[derive(Debug)]
pub(super) struct Text<'a> {
    pub(super) text: Cow<'a, str>,
    /// Characters that the body doesn't have in the character set that it should be in.
    pub(super) marks: Marks,
    /// An unknown character set was named, and UTF-8 taken for it.
    pub(super) is_guessed: bool,
}

impl<'a> Text<'a> {
    fn whole(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), marks: Marks::default(), is_guessed: false }
    }
}

/// The body as text, by its byte-order mark, or else the `label`.
///
/// Where the label is UTF-8 and the body isn't, the character set of the `headers` counts, and without one each odd
/// byte is [repaired](repair). UTF-8 that the headers name and the body is wins over another label.
pub(super) fn text<'a>(label: &str, headers: Option<&str>, body: &'a [u8]) -> Result<Text<'a>, DecodeError> {
    let declared =
        Encoding::for_label(label.as_bytes()).ok_or_else(|| DecodeError::UnknownCharset { label: cut(label) })?;
    let headers = headers.and_then(|label| Encoding::for_label(label.as_bytes()));
    let (encoding, mark) = Encoding::for_bom(body).unwrap_or((declared, 0));
    let body = body.get(mark..).unwrap_or_default();
    let is_marked = mark > 0;
    if (encoding == UTF_8 || (headers == Some(UTF_8) && !is_marked))
        && let Ok(text) = std::str::from_utf8(body)
    {
        return Ok(Text::whole(text));
    }
    match (encoding == UTF_8, headers) {
        (false, _) => Ok(decoded(encoding, body)),
        (true, Some(encoding)) if encoding != UTF_8 && !is_marked => Ok(decoded(encoding, body)),
        _ => {
            let (text, marks) = repair(body);
            Ok(Text { text: text.into(), marks, is_guessed: false })
        }
    }
}

/// A body in another character set than UTF-8; what that doesn't have is U+FFFD.
fn decoded<'a>(encoding: &'static Encoding, body: &'a [u8]) -> Text<'a> {
    if let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(body) {
        return Text::whole(text);
    }
    let (text, _) = encoding.decode_without_bom_handling(body);
    let mut marks = Marks::default();
    text.match_indices(char::REPLACEMENT_CHARACTER).for_each(|(place, _)| marks.push(place));
    Text { text, marks, is_guessed: false }
}

/// An XML body as text, by its byte-order mark or its declaration.
pub(super) fn xml_text<'a>(headers: Option<&str>, body: &'a [u8]) -> Result<Text<'a>, DecodeError> {
    let wide = wide_label(body, b'<');
    let label = wide.or_else(|| declared_label(body)).unwrap_or("utf-8");
    if super::is_charset(label) {
        return text(label, headers.filter(|_| wide.is_none()), body);
    }
    text("utf-8", headers, body).map(|text| Text { is_guessed: true, ..text })
}

/// A JSON body as text, if it isn't UTF-8 as it stands.
pub(super) fn json_text<'a>(headers: Option<&str>, body: &'a [u8]) -> Option<Text<'a>> {
    let wide = [b'{', b'['].into_iter().find_map(|first| wide_label(body, first));
    let is_wide = wide.is_some() || Encoding::for_bom(body).is_some_and(|(encoding, _)| encoding != UTF_8);
    if !is_wide && std::str::from_utf8(body).is_ok() {
        return None;
    }
    text(wide.unwrap_or("utf-8"), headers.filter(|_| wide.is_none()), body).ok()
}

/// UTF-16, if a body without a byte-order mark begins with `first` and another ASCII character in it. Headers that say UTF-8 are
/// wrong then, though its bytes may be UTF-8, too: with a NUL behind each character.
fn wide_label(body: &[u8], first: u8) -> Option<&'static str> {
    match body {
        [byte, 0, 1..=0x7f, 0, ..] if *byte == first => Some(UTF_16LE.name()),
        [0, byte, 0, 1..=0x7f, ..] if *byte == first => Some(UTF_16BE.name()),
        _ => None,
    }
}

/// What `<?xml … encoding="…"?>` says.
fn declared_label(body: &[u8]) -> Option<&str> {
    let head = body.get(mark_length(body)..)?.trim_ascii_start().strip_prefix(b"<?xml")?;
    let head = head.get(..200).unwrap_or(head);
    let end = head.windows(2).position(|pair| pair == b"?>")?;
    let declaration = std::str::from_utf8(head.get(..end)?).ok()?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let label = value.get(1..)?.split(quote).next()?;
    // A declaration that can be read byte by byte isn't UTF-16, whatever it says.
    let wide = label.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("utf-16"));
    Some(if wide { "utf-8" } else { label })
}

/// How many bytes byte-order marks take at the beginning, and white space before them.
pub(super) fn mark_length(body: &[u8]) -> usize {
    let mut length = 0;
    loop {
        let rest = body.get(length..).unwrap_or_default();
        let trimmed = rest.trim_ascii_start();
        let Some(mark) = BYTE_ORDER_MARKS.iter().find(|mark| trimmed.starts_with(mark)) else { return length };
        length += rest.len() - trimmed.len() + mark.len();
    }
}

/// The text without NULs at its end, with which some servers fill up blocks, and without DOS's end of a file.
pub(super) fn without_padding(text: &str) -> &str {
    text.trim_end_matches(['\0', '\u{1a}'])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn read(label: &str, headers: Option<&str>, body: &[u8]) -> (String, u64) {
        let text = text(label, headers, body).unwrap();
        (text.text.into_owned(), text.marks.left())
    }

    fn xml(body: &[u8]) -> String {
        xml_text(None, body).unwrap().text.into_owned()
    }

    #[test]
    fn labels_are_those_of_the_web() {
        assert_eq!(read("windows-1252", None, b"Caf\xe9 \x80"), ("Café €".to_owned(), 0));
        assert_eq!(read("ISO-8859-1", None, b"\xe9"), ("é".to_owned(), 0));
        assert_eq!(read("utf-8", None, "é".as_bytes()), ("é".to_owned(), 0));
        assert_eq!(text("klingon", None, b"").unwrap_err().to_string(), "unknown character set `klingon`");
    }

    #[test]
    fn a_byte_order_mark_wins() {
        assert_eq!(read("windows-1252", None, b"\xef\xbb\xbf\xc3\xa9"), ("é".to_owned(), 0));
        assert_eq!(read("utf-8", Some("iso-8859-1"), b"\xff\xfea\0\xe9\0"), ("aé".to_owned(), 0));
    }

    #[test]
    fn foreign_bytes_are_marked() {
        assert_eq!(read("utf-8", None, b"ab\xe9cd"), ("abécd".to_owned(), 1));
        assert_eq!(read("utf-8", None, b"ab\xc3"), ("ab\u{fffd}".to_owned(), 1));
        assert_eq!(read("shift_jis", None, b"a\x81"), ("a\u{fffd}".to_owned(), 1));
        assert_eq!(read("utf-16le", None, b"a\0b"), ("a\u{fffd}".to_owned(), 1));
    }

    #[test]
    fn headers_count_where_the_body_is_no_utf_8() {
        let latin = b"Caf\xe9 5\x80 1\xff2";
        assert_eq!(read("utf-8", Some("ISO-8859-1"), latin), ("Café 5€ 1ÿ2".to_owned(), 0));
        assert_eq!(read("utf-8", Some("ISO-8859-1"), "Café".as_bytes()), ("Café".to_owned(), 0));
        assert_eq!(read("windows-1252", Some("utf-8"), "Café".as_bytes()), ("Café".to_owned(), 0));
        assert_eq!(read("windows-1252", Some("utf-8"), latin).0, "Café 5€ 1ÿ2");
        assert_eq!(read("utf-8", Some("klingon"), b"Caf\xe9"), ("Café".to_owned(), 1));
    }

    #[test]
    fn xml_says_its_own() {
        let declared = |body: &[u8]| xml(body).chars().last();
        assert_eq!(declared(b"<?xml version='1.0' encoding = 'ISO-8859-1' ?><a>\xe9"), Some('é'));
        assert_eq!(declared(b"\n<?xml version='1.0' encoding='ISO-8859-1'?><a>\x80"), Some('€'));
        assert_eq!(declared(b"<?xml version=\"1.0\" encoding=\"utf-16\"?><a>\xc3\xa9"), Some('é'));
        assert_eq!(xml(b"<\0?\0\xe9\0"), "<?é");
        assert_eq!(xml(b"\0<\0a\0\xe9"), "<aé");
        assert_eq!(xml_text(Some("utf-8"), b"<\0a\0").unwrap().text, "<a");
        assert!(xml_text(None, b"<?xml encoding=\"klingon\"?>").unwrap().is_guessed);
        assert_eq!(xml_text(None, b"<a>x\xe9</a>").unwrap().marks.left(), 1);
    }

    #[test]
    fn marks_are_found_where_they_are_seen() {
        for (body, length) in [
            (&b"{}"[..], 0),
            (b" \n{}", 0),
            (b"\xef\xbb\xbf{}", 3),
            (b"\r\n\xef\xbb\xbf{}", 5),
            (b"\xef\xbb\xbf\xef\xbb\xbf\n{}", 6),
            (b"\xc3\xaf\xc2\xbb\xc2\xbf{}", 6),
            (b"\xef\xbb", 0),
        ] {
            assert_eq!(mark_length(body), length, "{body:?}");
        }
    }

    #[test]
    fn wide_json_is_known_by_its_nuls() {
        assert_eq!(json_text(None, b"[\0{\0\"\0").unwrap().text, "[{\"");
        assert_eq!(json_text(None, b"\0{\0\"").unwrap().text, "{\"");
        assert_eq!(json_text(Some("utf-8"), b"[\0{\0").unwrap().text, "[{", "whatever the headers say");
        assert_eq!(json_text(None, b"\xfe\xff\0{").unwrap().text, "{");
        assert!(json_text(None, b"[\"a\0\"]").is_none());
    }
}
