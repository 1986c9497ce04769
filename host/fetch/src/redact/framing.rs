//! Headers that describe a body's encoding are never masked: the stored body couldn't be decoded again.

/// Content codings (RFC 9110 section 8.4.1) and transfer codings (RFC 9112 section 7).
const CODINGS: [&str; 15] = [
    "gzip",
    "x-gzip",
    "br",
    "zstd",
    "deflate",
    "compress",
    "x-compress",
    "identity",
    "chunked",
    "aes128gcm",
    "dcb",
    "dcz",
    "exi",
    "pack200-gzip",
    "aws-chunked",
];
/// Media types that answers have.
const MEDIA_TYPES: [&str; 16] = [
    "application/json",
    "application/hal+json",
    "application/vnd.api+json",
    "application/problem+json",
    "application/xml",
    "application/soap+xml",
    "application/csv",
    "application/octet-stream",
    "application/zip",
    "application/gzip",
    "text/json",
    "text/xml",
    "text/csv",
    "text/plain",
    "text/html",
    "text/tab-separated-values",
];
const CHARSETS: [&str; 8] =
    ["utf-8", "utf8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "utf-16", "utf-16le"];

/// Whether a word names a coding, in any letters: then it can't hold a secret.
pub(crate) fn is_coding(word: &str) -> bool {
    CODINGS.iter().any(|known| word.trim().eq_ignore_ascii_case(known))
}

/// Whether a header describes its body's encoding by known words: then it can't hold a secret.
pub(crate) fn describes_body(name: &str, value: &str) -> bool {
    let is_one_of = |word: &str, known: &[&str]| known.iter().any(|known| word.trim().eq_ignore_ascii_case(known));
    match name {
        "content-encoding" | "transfer-encoding" => value.split(',').all(is_coding),
        "content-length" => value.len() < 20 && value.bytes().all(|byte| byte.is_ascii_digit()),
        "content-type" => {
            let mut parts = value.split(';');
            let is_charset = |part: &str| {
                let (name, charset) = part.split_once('=').unwrap_or_default();
                is_one_of(name, &["charset"]) && is_one_of(charset.trim().trim_matches('"'), &CHARSETS)
            };
            parts.next().is_some_and(|essence| is_one_of(essence, &MEDIA_TYPES)) && parts.all(is_charset)
        }
        _ => false,
    }
}
