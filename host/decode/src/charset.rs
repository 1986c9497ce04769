//! Bodies as UTF-8.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::{DecodeError, cut};

/// The body as text without a byte-order mark, which wins over the `label`. Bytes that the character set doesn't
/// have are an error: a replacement character would hide that the connector names the wrong one.
pub(super) fn text<'a>(label: &str, body: &'a [u8]) -> Result<Cow<'a, str>, DecodeError> {
    let declared =
        Encoding::for_label(label.as_bytes()).ok_or_else(|| DecodeError::UnknownCharset { label: cut(label) })?;
    let (encoding, mark) = Encoding::for_bom(body).unwrap_or((declared, 0));
    let body = body.get(mark..).unwrap_or_default();
    if encoding == UTF_8 {
        return match std::str::from_utf8(body) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(error) if error.error_len().is_none() => Err(DecodeError::CutShort { at: mark + body.len() }),
            Err(error) => Err(DecodeError::Charset { charset: "UTF-8", at: Some(mark + error.valid_up_to()) }),
        };
    }
    let text = encoding.decode_without_bom_handling_and_without_replacement(body);
    text.ok_or(DecodeError::Charset { charset: encoding.name(), at: None })
}

/// An XML body as text, by its byte-order mark or its declaration.
pub(super) fn xml_text(body: &[u8]) -> Result<Cow<'_, str>, DecodeError> {
    let label = match body {
        [0x3c, 0, 0x3f, 0, ..] => UTF_16LE.name(),
        [0, 0x3c, 0, 0x3f, ..] => UTF_16BE.name(),
        _ => declared_label(body).unwrap_or("utf-8"),
    };
    text(label, body)
}

/// What `<?xml … encoding="…"?>` says.
fn declared_label(body: &[u8]) -> Option<&str> {
    let head = body.trim_ascii_start().strip_prefix(b"<?xml")?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn labels_are_those_of_the_web() {
        assert_eq!(text("windows-1252", b"Caf\xe9 \x80").unwrap(), "Café €");
        assert_eq!(text("ISO-8859-1", b"\xe9").unwrap(), "é");
        assert_eq!(text("utf-8", "é".as_bytes()).unwrap(), "é");
        assert_eq!(text("klingon", b"").unwrap_err().to_string(), "unknown character set `klingon`");
    }

    #[test]
    fn a_byte_order_mark_wins() {
        assert_eq!(text("windows-1252", b"\xef\xbb\xbf\xc3\xa9").unwrap(), "é");
        assert_eq!(text("utf-8", b"\xff\xfea\0\xe9\0").unwrap(), "aé");
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert_eq!(text("utf-8", b"ab\xe9cd").unwrap_err().to_string(), "body is not UTF-8 at byte 2");
        assert_eq!(text("utf-8", b"ab\xc3").unwrap_err().to_string(), "body is cut short at byte 3");
        assert_eq!(text("shift_jis", b"\x81").unwrap_err().to_string(), "body is not Shift_JIS");
    }

    #[test]
    fn xml_says_its_own() {
        assert_eq!(
            xml_text(b"<?xml version='1.0' encoding = 'ISO-8859-1' ?><a>\xe9").unwrap().chars().last(),
            Some('é')
        );
        assert_eq!(
            xml_text(b"<?xml version=\"1.0\" encoding=\"utf-16\"?><a>\xc3\xa9").unwrap().chars().last(),
            Some('é')
        );
        assert_eq!(xml_text(b"<\0?\0\xe9\0").unwrap(), "<?é");
        assert!(xml_text(b"<?xml encoding=\"klingon\"?>").is_err());
        assert!(xml_text(b"<a>\xe9</a>").is_err());
    }
}
