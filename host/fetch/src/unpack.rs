//! Undoes content encodings, within limits.
//!
//! A body's first bytes count for more than its headers: gzip and zstd are recognized there, and text isn't decoded, whatever
//! `content-encoding` states.

use std::fmt;
use std::sync::Arc;

use async_compression::tokio::bufread::{BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::redact::is_coding;

/// How large an unpacked body may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_bytes: u64,
    /// How many times its packed size a body may have.
    pub(crate) max_ratio: u32,
    pub(crate) deadline: Deadline,
}

/// The largest window of zstd, as a power of two: what brotli has at most, and twice what HTTP allows (RFC 9659). A frame of
/// a few bytes may declare one of gigabytes.
const ZSTD_WINDOW_LOG: u32 = 24;
/// How a brotli stream begins that has a window larger than 16 MiB, which no `br` has (RFC 7932 reserves it).
const LARGE_BROTLI_WINDOW: u8 = 0b001_0001;
/// Encodings that one body may have.
const MAX_LAYERS: usize = 3;
/// Bodies up to this size may have any ratio.
const MIN_BOMB_BYTES: u64 = 4 << 20;
/// How much of a body shows whether it is text.
const TEXT_SAMPLE_BYTES: usize = 1024;
/// One control character in so many bytes is still text; in packed data it is one in eight.
const TEXT_PER_CONTROL: usize = 50;
/// Stands for an encoding that no standard names: what a network calls it may be anything, a secret too.
const UNKNOWN: &str = "unknown";
/// Content types of files whose bytes are packed by themselves: they aren't unpacked unless an encoding is stated.
const PACKED_TYPES: [&str; 4] = ["application/gzip", "application/x-gzip", "application/zstd", "application/x-zstd"];

/// A response's encodings by its headers.
#[derive(Clone, Debug, Default)]
pub(crate) struct StatedEncoding {
    /// In lower case, in the order in which they were applied, without `identity`.
    names: Vec<String>,
    /// Whether the content is a packed file.
    is_packed_file: bool,
}

impl StatedEncoding {
    /// By headers with names in lower case.
    pub(crate) fn of<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut stated = Self::default();
        for (name, value) in headers {
            match name {
                "content-encoding" => stated.names.extend(
                    value
                        .split(',')
                        .map(|name| name.trim().to_ascii_lowercase())
                        .filter(|name| !matches!(name.as_str(), "" | "identity"))
                        .map(|name| if is_known(&name) { name } else { UNKNOWN.to_owned() }),
                ),
                "content-type" => {
                    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
                    stated.is_packed_file = PACKED_TYPES.contains(&essence.as_str());
                }
                _ => {}
            }
        }
        stated
    }

    /// Whether a body can be used as it was received.
    pub(crate) fn is_plain(&self, wire: &[u8]) -> bool {
        self.names.is_empty() && (self.is_packed_file || Encoding::by_magic(wire).is_none())
    }
}

/// Whether a name is that of a coding, or `none` or a character set, which some servers state instead.
fn is_known(name: &str) -> bool {
    name == "none" || is_coding(name) || encoding_rs::Encoding::for_label(name.as_bytes()).is_some()
}

impl fmt::Display for StatedEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(", "))
    }
}

/// A body that isn't encoded as its headers state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodingMismatch {
    /// The value of `content-encoding`; empty without one.
    pub stated: String,
    /// The encodings that were undone, in the same order; empty for none.
    pub actual: String,
}

impl fmt::Display for EncodingMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |encodings: &str| if encodings.is_empty() { "identity".to_owned() } else { encodings.to_owned() };
        write!(f, "`content-encoding` states `{}`, the body is `{}`", name(&self.stated), name(&self.actual))
    }
}

/// A body without its content encodings.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) body: Bytes,
    pub(crate) mismatch: Option<EncodingMismatch>,
}

/// An encoding that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Gzip,
    Brotli,
    Zstd,
    /// `deflate` by the RFC is zlib's format.
    Zlib,
    /// Some servers send the bare stream as `deflate`.
    Deflate,
}

type Decoder<'a> = Box<dyn AsyncRead + Send + Unpin + 'a>;

impl Encoding {
    /// The encoding of a name, in the variant that fits the body.
    fn by_name(name: &str, body: &[u8]) -> Option<Self> {
        match name {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            "deflate" if has_zlib_header(body) => Some(Self::Zlib),
            "deflate" => Some(Self::Deflate),
            _ => None,
        }
    }

    /// The encoding that a body's first bytes name.
    fn by_magic(body: &[u8]) -> Option<Self> {
        match body {
            [0x1f, 0x8b, 0x08, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The encoding to undo for a stated name: none if the body isn't encoded at all. Fails with the name if what the
    /// body is can't be known.
    fn of<'a>(name: &'a str, body: &[u8]) -> Result<Option<Self>, &'a str> {
        let by_magic = Self::by_magic(body);
        if by_magic.is_some() {
            return Ok(by_magic);
        }
        match Self::by_name(name, body) {
            // Both always begin with their magic bytes.
            None | Some(Self::Gzip | Self::Zstd) if is_mostly_text(body) => Ok(None),
            None | Some(Self::Gzip | Self::Zstd) => Err(name),
            // Without magic bytes and a checksum, a decoder may take text for a short stream. An empty brotli stream is
            // one printable byte.
            Some(Self::Brotli | Self::Deflate) if body.len() > 1 && is_text(body) => Ok(None),
            other => Ok(other),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Zlib | Self::Deflate => "deflate",
        }
    }

    fn decoder(self, input: &[u8]) -> Decoder<'_> {
        match self {
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(input);
                decoder.multiple_members(true);
                Box::new(decoder)
            }
            Self::Brotli => Box::new(BrotliDecoder::new(input)),
            Self::Zstd => {
                let mut decoder = ZstdDecoder::with_params(input, &[DParameter::window_log_max(ZSTD_WINDOW_LOG)]);
                decoder.multiple_members(true);
                Box::new(decoder)
            }
            Self::Zlib => Box::new(ZlibDecoder::new(input)),
            Self::Deflate => Box::new(DeflateDecoder::new(input)),
        }
    }
}

/// The body without the encodings that it has. Without any these are the same bytes, not a copy. `host` is for errors.
pub(crate) async fn unpack(
    stated: &StatedEncoding,
    wire: &Bytes,
    limits: Limits,
    host: &str,
) -> Result<Unpacked, Error> {
    let unknown = |encoding: &str| Error::Unpack { host: host.to_owned(), encoding: encoding.to_owned(), source: None };
    if stated.names.len() > MAX_LAYERS {
        return Err(unknown("too many encodings"));
    }
    let mut body = wire.clone();
    // Outermost first.
    let mut actual = Vec::new();
    let mut is_as_stated = true;
    for name in stated.names.iter().rev() {
        // The header may be there without a body, as with status 204.
        if body.is_empty() {
            break;
        }
        let encoding = Encoding::of(name, &body).map_err(unknown)?;
        is_as_stated &= encoding.is_some_and(|encoding| Encoding::by_name(name, &body) == Some(encoding));
        let Some(encoding) = encoding else { continue };
        body = match undo(encoding, &body, limits, host).await {
            // Text in another charset than UTF-8.
            Err(Error::Unpack { .. } | Error::Truncated { .. })
                if Encoding::by_magic(&body).is_none() && is_mostly_text(&body) =>
            {
                is_as_stated = false;
                continue;
            }
            undone => undone?,
        };
        actual.push(encoding.name());
    }
    while let Some(encoding) = unstated(stated, &body).filter(|_| actual.len() < MAX_LAYERS) {
        body = undo(encoding, &body, limits, host).await?;
        actual.push(encoding.name());
        is_as_stated = false;
    }
    actual.reverse();
    let mismatch = EncodingMismatch { stated: stated.to_string(), actual: actual.join(", ") };
    Ok(Unpacked { body, mismatch: Some(mismatch).filter(|_| !is_as_stated) })
}

/// The encoding that a body still has once the stated ones are undone.
fn unstated(stated: &StatedEncoding, body: &[u8]) -> Option<Encoding> {
    Encoding::by_magic(body).filter(|_| !stated.is_packed_file)
}

/// The first bytes of a body without its encodings, as far as it can be unpacked: nothing if it can't be, so that no
/// packed secret is stored.
pub(crate) async fn unpack_start(stated: &StatedEncoding, wire: &Bytes, max: usize) -> Bytes {
    let mut body = wire.clone();
    for name in stated.names.iter().rev().take(MAX_LAYERS) {
        body = match Encoding::of(name, &body) {
            Ok(Some(encoding)) => start_of(encoding, &body, max).await,
            Ok(None) => continue,
            Err(_) => Bytes::new(),
        };
    }
    if let Some(encoding) = unstated(stated, &body) {
        body = start_of(encoding, &body, max).await;
    }
    body.slice(..body.len().min(max))
}

/// Whether a brotli stream declares a window that only its large-window variant has.
fn has_large_window(encoding: Encoding, packed: &[u8]) -> bool {
    encoding == Encoding::Brotli && packed.first().is_some_and(|first| first & 0x7f == LARGE_BROTLI_WINDOW)
}

async fn start_of(encoding: Encoding, packed: &[u8], max: usize) -> Bytes {
    let mut start = Vec::new();
    if has_large_window(encoding, packed) {
        return Bytes::new();
    }
    // A failure is expected: there is a sample since the body can't be unpacked whole.
    let _ = encoding.decoder(packed).take(max as u64).read_to_end(&mut start).await;
    start.into()
}

fn has_zlib_header(input: &[u8]) -> bool {
    matches!(input, [cmf, flags, ..] if cmf & 0x0f == 8 && u16::from_be_bytes([*cmf, *flags]).is_multiple_of(31))
}

/// Whether a body begins with UTF-8 without control characters.
fn is_text(body: &[u8]) -> bool {
    let start = &body[..body.len().min(TEXT_SAMPLE_BYTES)];
    let is_utf8 = match std::str::from_utf8(start) {
        Ok(_) => true,
        // A character that the sample cuts.
        Err(error) => error.error_len().is_none() && start.len() < body.len(),
    };
    is_utf8 && !start.iter().any(is_control)
}

/// Whether a body begins with text in any charset. A few bytes of packed data may be taken for it.
fn is_mostly_text(body: &[u8]) -> bool {
    let start = &body[..body.len().min(TEXT_SAMPLE_BYTES)];
    let is_utf16 = matches!(start, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
    is_utf16 || start.iter().filter(|byte| is_control(byte)).count() * TEXT_PER_CONTROL <= start.len()
}

fn is_control(byte: &u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c)
}

/// Reads a decoder to its end, and checks the limits after every read.
async fn undo(encoding: Encoding, packed: &Bytes, limits: Limits, host: &str) -> Result<Bytes, Error> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Error::Truncated { host: host.to_owned(), received: packed.len() as u64, expected: None }
        }
        _ => Error::Unpack {
            host: host.to_owned(),
            encoding: encoding.name().to_owned(),
            source: Some(Arc::new(source)),
        },
    };
    if has_large_window(encoding, packed) {
        return Err(failed(std::io::Error::other("its window is larger than 16 MiB")));
    }
    let ratio_limit = (packed.len() as u64).saturating_mul(u64::from(limits.max_ratio)).max(MIN_BOMB_BYTES);
    let mut decoder = encoding.decoder(packed);
    let mut body = BytesMut::with_capacity(packed.len().saturating_mul(4).clamp(8 << 10, 32 << 20));
    loop {
        if body.capacity() == body.len() {
            body.reserve(body.len().max(8 << 10));
        }
        if decoder.read_buf(&mut body).await.map_err(failed)? == 0 {
            return Ok(body.freeze());
        }
        if body.len() as u64 > limits.max_bytes {
            return Err(Error::TooLarge { host: host.to_owned(), what: "unpacked body", max: limits.max_bytes });
        }
        limits.deadline.check().map_err(|_| Error::SlowBody { host: host.to_owned() })?;
        if body.len() as u64 > ratio_limit {
            return Err(Error::Bomb { host: host.to_owned(), max_ratio: limits.max_ratio });
        }
    }
}

#[cfg(test)]
mod tests;
