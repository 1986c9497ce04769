//! Undoes content encodings, with limits.

use std::sync::Arc;

use async_compression::tokio::bufread::{BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::Error;

/// How large an unpacked body may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_bytes: u64,
    pub(crate) max_ratio: u32,
}

/// Encodings that one body may have.
const MAX_LAYERS: usize = 3;
/// Bodies up to this size are never called bombs.
const HARMLESS_BYTES: u64 = 4 << 20;

/// The body behind the encodings of a `content-encoding` header, which may be a chain (`gzip, br`).
///
/// Without an encoding these are the same bytes, not a copy. `host` is for errors.
pub(crate) async fn unpack(encodings: &str, wire: &Bytes, limits: Limits, host: &str) -> Result<Bytes, Error> {
    let mut body = wire.clone();
    let names = names(encodings);
    if names.len() > MAX_LAYERS {
        return Err(Error::Unpack { host: host.to_owned(), encoding: "too many encodings".to_owned(), source: None });
    }
    for name in names.into_iter().rev() {
        // A 204 or an empty page may keep the header.
        if body.is_empty() || name == "identity" {
            continue;
        }
        let unknown = || Error::Unpack { host: host.to_owned(), encoding: name.clone(), source: None };
        let decoder = decoder(&name, &body).ok_or_else(unknown)?;
        body = drain(decoder, &name, body.len(), limits, host).await?;
    }
    Ok(body)
}

/// The encodings in the order in which they were applied.
fn names(encodings: &str) -> Vec<String> {
    encodings.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect()
}

type Decoder<'a> = Box<dyn AsyncRead + Send + Unpin + 'a>;

/// What undoes an encoding; none if it is unknown.
fn decoder<'a>(encoding: &str, input: &'a [u8]) -> Option<Decoder<'a>> {
    Some(match encoding {
        "gzip" | "x-gzip" => {
            let mut decoder = GzipDecoder::new(input);
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        "br" => Box::new(BrotliDecoder::new(input)),
        "zstd" => {
            let mut decoder = ZstdDecoder::new(input);
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        // By the RFC `deflate` is zlib's format; some servers send the bare stream.
        "deflate" if has_zlib_header(input) => Box::new(ZlibDecoder::new(input)),
        "deflate" => Box::new(DeflateDecoder::new(input)),
        _ => return None,
    })
}

/// The first bytes of what is behind the encodings, as far as it can be unpacked. What doesn't unpack at all is given
/// as it is if it is text: many servers call plain text packed.
pub(crate) async fn begin(encodings: &str, wire: &Bytes, max: usize) -> Bytes {
    let mut body = wire.clone();
    for name in names(encodings).into_iter().rev().take(MAX_LAYERS).filter(|name| name != "identity") {
        let mut sink = Vec::new();
        if let Some(decoder) = decoder(&name, &body) {
            // A failure is why there is a sample; what came before it is in the sink.
            let _ = decoder.take(max as u64).read_to_end(&mut sink).await;
        }
        body = sink.into();
    }
    let as_it_is = wire.slice(..wire.len().min(max));
    let is_text = |error: std::str::Utf8Error| error.error_len().is_none();
    if body.is_empty() && std::str::from_utf8(&as_it_is).map_or_else(is_text, |_| true) {
        return as_it_is;
    }
    body.slice(..body.len().min(max))
}

fn has_zlib_header(input: &[u8]) -> bool {
    matches!(input, [cmf, flags, ..] if cmf & 0x0f == 8 && u16::from_be_bytes([*cmf, *flags]).is_multiple_of(31))
}

/// Reads a decoder to its end, looking at the limits after every piece.
async fn drain(
    mut decoder: Decoder<'_>,
    encoding: &str,
    packed: usize,
    limits: Limits,
    host: &str,
) -> Result<Bytes, Error> {
    let ratio_limit = (packed as u64).saturating_mul(u64::from(limits.max_ratio)).max(HARMLESS_BYTES);
    let mut body = BytesMut::with_capacity(packed.saturating_mul(4).clamp(8 << 10, 32 << 20));
    loop {
        if body.capacity() == body.len() {
            body.reserve(body.len().max(8 << 10));
        }
        let read = decoder.read_buf(&mut body).await.map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::Truncated { host: host.to_owned(), received: packed as u64, expected: None }
            }
            _ => Error::Unpack { host: host.to_owned(), encoding: encoding.to_owned(), source: Some(Arc::new(source)) },
        })?;
        if read == 0 {
            return Ok(body.freeze());
        }
        if body.len() as u64 > limits.max_bytes {
            return Err(Error::TooLarge { host: host.to_owned(), what: "unpacked body", max: limits.max_bytes });
        }
        if body.len() as u64 > ratio_limit {
            return Err(Error::Bomb { host: host.to_owned(), max_ratio: limits.max_ratio });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use async_compression::tokio::bufread::{BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};

    use super::*;

    const LIMITS: Limits = Limits { max_bytes: 64 << 20, max_ratio: 500 };

    async fn all(mut reader: impl AsyncRead + Unpin) -> Bytes {
        let mut out = Vec::new();
        reader.read_to_end(&mut out).await.unwrap();
        out.into()
    }

    #[tokio::test]
    async fn every_encoding_and_their_chain_unpack() {
        let text: Bytes = (0..500).map(|n| format!("{{\"id\":{n}}}\n")).collect::<String>().into();
        let gzip = all(GzipEncoder::new(text.as_ref())).await;
        let zstd = all(ZstdEncoder::new(text.as_ref())).await;
        let twice = all(BrotliEncoder::new(gzip.as_ref())).await;
        for (encodings, wire) in [
            ("", text.clone()),
            ("identity", text.clone()),
            ("GZIP", gzip.clone()),
            ("x-gzip", gzip.clone()),
            ("zstd", zstd.clone()),
            ("br", all(BrotliEncoder::new(text.as_ref())).await),
            ("deflate", all(ZlibEncoder::new(text.as_ref())).await),
            ("deflate", all(DeflateEncoder::new(text.as_ref())).await),
            ("gzip, br", twice),
        ] {
            assert_eq!(unpack(encodings, &wire, LIMITS, "h").await.unwrap(), text, "{encodings}");
        }
        let two_members: Bytes = [gzip.as_ref(), gzip.as_ref()].concat().into();
        assert_eq!(unpack("gzip", &two_members, LIMITS, "h").await.unwrap().len(), 2 * text.len());
    }

    #[tokio::test]
    async fn a_plain_body_is_not_copied() {
        let wire = Bytes::from_static(b"plain");
        assert_eq!(unpack("", &wire, LIMITS, "h").await.unwrap().as_ptr(), wire.as_ptr());
    }

    #[tokio::test]
    async fn bombs_and_large_bodies_are_stopped() {
        let zeros = vec![0_u8; 5 << 20];
        let bomb = all(ZstdEncoder::new(zeros.as_slice())).await;
        assert!(matches!(unpack("zstd", &bomb, LIMITS, "h").await, Err(Error::Bomb { max_ratio: 500, .. })));
        let small = Limits { max_bytes: 1 << 20, max_ratio: u32::MAX };
        let gzip = all(GzipEncoder::new(zeros.as_slice())).await;
        assert!(matches!(unpack("gzip", &gzip, small, "h").await, Err(Error::TooLarge { .. })));
    }

    #[tokio::test]
    async fn a_cut_stream_is_truncated_and_a_wrong_one_can_not_be_unpacked() {
        let gzip = all(GzipEncoder::new(b"some text that is long enough to be cut".as_slice())).await;
        let cut = gzip.slice(..gzip.len() - 9);
        assert!(matches!(unpack("gzip", &cut, LIMITS, "h").await, Err(Error::Truncated { .. })));
        let wrong = Bytes::from_static(b"{\"not\": \"gzip\"}");
        let error = unpack("gzip", &wrong, LIMITS, "h").await.unwrap_err();
        assert!(matches!(error, Error::Unpack { source: Some(_), .. }) && error.is_retryable());
        let error = unpack("compress", &wrong, LIMITS, "h").await.unwrap_err();
        assert!(matches!(error, Error::Unpack { source: None, .. }) && !error.is_retryable());
        assert!(unpack("gzip", &Bytes::new(), LIMITS, "h").await.unwrap().is_empty());
        let layers = "gzip, ".repeat(4);
        assert!(matches!(unpack(&layers, &gzip, LIMITS, "h").await, Err(Error::Unpack { source: None, .. })));
    }

    #[tokio::test]
    async fn a_begin_is_what_can_be_seen() {
        let text = "some text that is long enough to be cut ".repeat(50);
        let gzip = all(GzipEncoder::new(text.as_bytes())).await;
        assert_eq!(begin("gzip", &gzip, 100).await, text[..100]);
        let cut = begin("gzip", &gzip.slice(..gzip.len() - 9), 1 << 20).await;
        assert!(!cut.is_empty() && text.as_bytes().starts_with(&cut));
        let plain = Bytes::from_static("{\"é".as_bytes());
        assert_eq!(begin("gzip", &plain, 100).await, plain);
        assert_eq!(begin("gzip", &plain, 3).await, plain.slice(..3), "a character that is cut is text too");
        assert!(begin("compress", &gzip, 100).await.is_empty(), "what can't be searched for secrets isn't shown");
    }
}
