#![allow(clippy::unwrap_used, clippy::expect_used)]
use async_compression::tokio::bufread::{BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { max_bytes: 64 << 20, max_ratio: 500, deadline: Deadline::NEVER };

async fn all(mut reader: impl AsyncRead + Unpin) -> Bytes {
    let mut out = Vec::new();
    reader.read_to_end(&mut out).await.unwrap();
    out.into()
}

fn stated(encodings: &str) -> StatedEncoding {
    StatedEncoding::of([("content-encoding", encodings)].into_iter())
}

async fn unpacked(encodings: &str, wire: &Bytes) -> Result<Unpacked, Error> {
    unpack(&stated(encodings), wire, LIMITS, "h").await
}

/// The body as it is, under every encoding and a chain of two.
async fn every_encoding(body: &Bytes) -> Vec<(&'static str, Bytes)> {
    let gzip = all(GzipEncoder::new(body.as_ref())).await;
    vec![
        ("", body.clone()),
        ("identity", body.clone()),
        ("GZIP", gzip.clone()),
        ("x-gzip", gzip.clone()),
        ("zstd", all(ZstdEncoder::new(body.as_ref())).await),
        ("br", all(BrotliEncoder::new(body.as_ref())).await),
        ("deflate", all(ZlibEncoder::new(body.as_ref())).await),
        ("deflate", all(DeflateEncoder::new(body.as_ref())).await),
        ("gzip, br", all(BrotliEncoder::new(gzip.as_ref())).await),
    ]
}

#[tokio::test]
async fn every_encoding_and_their_chain_unpack() {
    let text: Bytes = (0..500).map(|n| format!("{{\"id\":{n}}}\n")).collect::<String>().into();
    for (encodings, wire) in every_encoding(&text).await {
        let unpacked = unpacked(encodings, &wire).await.unwrap();
        assert_eq!((unpacked.body, unpacked.mismatch), (text.clone(), None), "{encodings}");
    }
    let gzip = all(GzipEncoder::new(text.as_ref())).await;
    let two_members: Bytes = [gzip.as_ref(), gzip.as_ref()].concat().into();
    assert_eq!(unpacked("gzip", &two_members).await.unwrap().body.len(), 2 * text.len());
}

#[tokio::test]
async fn a_few_bytes_declare_no_window_of_gigabytes() {
    // A raw block of one byte, and windows of 8 MiB, 16 MiB and 128 MiB before it.
    let frame = |window: u8| Bytes::from(vec![0x28, 0xb5, 0x2f, 0xfd, 0, window, 0x09, 0, 0, b'x']);
    for window in [13 << 3, 14 << 3] {
        assert_eq!(unpacked("zstd", &frame(window)).await.unwrap().body.as_ref(), b"x");
    }
    assert!(matches!(unpacked("zstd", &frame(17 << 3)).await, Err(Error::Unpack { .. })));
    // An empty stream with a window of 16 MiB, and one of 1 GiB.
    let empty = unpacked("br", &Bytes::from_static(&[0b0011_1111])).await.unwrap();
    assert!(empty.body.is_empty());
    let large = Bytes::from_static(&[0x11, 0xde]);
    let error = unpacked("br", &large).await.unwrap_err();
    assert!(matches!(&error, Error::Unpack { source: Some(source), .. } if source.to_string().contains("16 MiB")));
    assert!(unpack_start(&stated("br"), &large, 100).await.is_empty());
}

#[tokio::test]
async fn a_plain_body_is_not_copied() {
    let wire = Bytes::from_static(b"plain");
    for encodings in ["", "gzip", "br", "utf-8"] {
        assert_eq!(unpacked(encodings, &wire).await.unwrap().body.as_ptr(), wire.as_ptr());
    }
}

#[tokio::test]
async fn text_is_text_whatever_encoding_is_stated() {
    let latin_1 = Bytes::from_static(b"caf\xe9;12.50\nbar\xe9;1\n");
    let utf_16 = Bytes::from_static(b"\xff\xfe{\0}\0");
    // `;` and `3` alone are complete brotli streams.
    for text in [
        ";a;b\n",
        "3;x\n",
        "{\"not\": \"packed\"}",
        "{}",
        "[1]",
        "<html>sorry</html>",
        "a",
        "k;\u{e4}\u{fc}\n",
        " \r\n\t",
    ] {
        for encodings in ["gzip", "x-gzip", "br", "zstd", "deflate", "gzip, br", "utf-8", "none", "compress"] {
            let wire = Bytes::from(text);
            let unpacked = unpacked(encodings, &wire).await.unwrap();
            assert_eq!(unpacked.body, wire, "{encodings}: {text}");
            assert_eq!(
                unpacked.mismatch.unwrap(),
                EncodingMismatch { stated: encodings.to_owned(), actual: String::new() }
            );
        }
    }
    for encodings in ["gzip", "br", "zstd", "deflate", "windows-1252"] {
        let unpacked = unpacked(encodings, &latin_1).await.unwrap();
        assert!(unpacked.body == latin_1 && unpacked.mismatch.is_some(), "{encodings}");
    }
    assert_eq!(unpacked("gzip", &utf_16).await.unwrap().body, utf_16);
}

#[tokio::test]
async fn packed_bodies_are_unpacked_whatever_is_stated() {
    let text = Bytes::from_static(b"{\"id\": 1}");
    let gzip = all(GzipEncoder::new(text.as_ref())).await;
    let twice = all(GzipEncoder::new(gzip.as_ref())).await;
    let zstd = all(ZstdEncoder::new(text.as_ref())).await;
    for (encodings, wire, actual) in [
        ("", &gzip, "gzip"),
        ("", &zstd, "zstd"),
        ("br", &gzip, "gzip"),
        ("utf-8", &gzip, "gzip"),
        ("gzip", &zstd, "zstd"),
        ("gzip", &twice, "gzip, gzip"),
    ] {
        let unpacked = unpacked(encodings, wire).await.unwrap();
        assert_eq!(unpacked.body, text, "{encodings} {actual}");
        let expected = EncodingMismatch { stated: encodings.to_owned(), actual: actual.to_owned() };
        assert_eq!(unpacked.mismatch, Some(expected));
    }
    let mismatch = unpacked("br", &text).await.unwrap().mismatch.unwrap();
    assert_eq!(mismatch.to_string(), "`content-encoding` states `br`, the body is `identity`");
}

#[tokio::test]
async fn a_packed_file_stays_packed() {
    let gzip = all(GzipEncoder::new(b"rows".as_slice())).await;
    let file = |encoding| {
        let headers = [("content-type", "Application/GZIP; charset=binary"), ("content-encoding", encoding)];
        StatedEncoding::of(headers.into_iter())
    };
    assert_eq!(unpack(&file(""), &gzip, LIMITS, "h").await.unwrap().body, gzip);
    assert_eq!(unpack(&file("gzip"), &gzip, LIMITS, "h").await.unwrap().body.as_ref(), b"rows");
}

#[tokio::test]
async fn bombs_and_large_bodies_are_stopped() {
    let zeros = vec![0_u8; 5 << 20];
    let bomb = all(ZstdEncoder::new(zeros.as_slice())).await;
    for encodings in ["zstd", ""] {
        assert!(matches!(unpacked(encodings, &bomb).await, Err(Error::Bomb { max_ratio: 500, .. })));
    }
    let small = Limits { max_bytes: 1 << 20, max_ratio: u32::MAX, deadline: Deadline::NEVER };
    let gzip = all(GzipEncoder::new(zeros.as_slice())).await;
    assert!(matches!(unpack(&stated("gzip"), &gzip, small, "h").await, Err(Error::TooLarge { .. })));
    let late = Limits { deadline: Deadline::within(std::time::Duration::ZERO), ..LIMITS };
    assert!(matches!(unpack(&stated("gzip"), &gzip, late, "h").await, Err(Error::SlowBody { .. })));
}

#[tokio::test]
async fn a_cut_stream_is_truncated_and_a_damaged_one_can_not_be_unpacked() {
    let gzip = all(GzipEncoder::new(b"some text that is long enough to be cut".as_slice())).await;
    for encodings in ["gzip", ""] {
        let cut = gzip.slice(..gzip.len() - 9);
        assert!(matches!(unpacked(encodings, &cut).await, Err(Error::Truncated { .. })));
        let mut damaged = gzip.to_vec();
        damaged[gzip.len() - 6] ^= 1;
        let error = unpacked(encodings, &damaged.into()).await.unwrap_err();
        assert!(matches!(error, Error::Unpack { source: Some(_), .. }) && error.is_retryable(), "{error:?}");
    }
    let binary = Bytes::from_static(b"\x00\x01\x02\x03\x04\x05");
    for encodings in ["compress", "gzip", "zstd"] {
        let error = unpacked(encodings, &binary).await.unwrap_err();
        assert!(matches!(error, Error::Unpack { source: None, .. }) && !error.is_retryable(), "{error:?}");
    }
    assert!(unpacked("gzip", &Bytes::new()).await.unwrap().body.is_empty());
    assert!(matches!(unpacked(&"gzip, ".repeat(4), &gzip).await, Err(Error::Unpack { source: None, .. })));
}

#[tokio::test]
async fn the_start_of_a_body_is_what_can_be_read() {
    let start = async |encodings: &str, wire: &Bytes, max| unpack_start(&stated(encodings), wire, max).await;
    let text = "some text that is long enough to be cut ".repeat(50);
    let gzip = all(GzipEncoder::new(text.as_bytes())).await;
    for encodings in ["gzip", ""] {
        assert_eq!(start(encodings, &gzip, 100).await, text[..100]);
        let cut = start(encodings, &gzip.slice(..gzip.len() - 9), 1 << 20).await;
        assert!(!cut.is_empty() && text.as_bytes().starts_with(&cut));
    }
    let plain = Bytes::from_static("{\"é".as_bytes());
    assert_eq!(start("gzip", &plain, 100).await, plain);
    assert_eq!(start("gzip", &plain, 3).await, plain.slice(..3), "a character that is cut is text too");
    let zlib = all(ZlibEncoder::new(text.as_bytes())).await;
    assert!(start("compress", &zlib, 100).await.is_empty(), "bytes that can't be searched for secrets aren't shown");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Small bodies are the ones whose packed form could look like text.
    #[test]
    fn no_encoded_body_is_taken_for_text(body in "\\PC{0,40}") {
        let body = Bytes::from(body);
        #[expect(clippy::disallowed_methods, reason = "proptest has no async tests, and the future only computes")]
        futures::executor::block_on(async {
            for (encodings, wire) in every_encoding(&body).await {
                let unpacked = unpacked(encodings, &wire).await.unwrap();
                assert_eq!((unpacked.body, unpacked.mismatch), (body.clone(), None), "{encodings}");
            }
        });
    }
}
