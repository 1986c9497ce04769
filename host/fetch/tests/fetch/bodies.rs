//! Bodies: as received, unpacked, cut, too large.

use std::sync::{Arc, Mutex};

use async_compression::Level;
use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZstdEncoder};
use sluice_fetch::{
    Admission, EncodingMismatch, Error, FetchOptions, Fetcher, Framing, ResponseMemory, Retry, unpack_body,
};
use sluice_model::ErrorKind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::server::{Reply, Server};
use super::{access, account, get};

async fn packed(mut encoder: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.read_to_end(&mut out).await.unwrap();
    out
}

#[tokio::test]
async fn packed_bodies_are_stored_packed_and_returned_unpacked() {
    let text: String = (0..3_000).map(|n| format!("{{\"id\":{n}}}\n")).collect();
    for (encoding, wire) in [
        ("gzip", packed(GzipEncoder::new(text.as_bytes())).await),
        ("br", packed(BrotliEncoder::with_quality(text.as_bytes(), Level::Fastest)).await),
        ("zstd", packed(ZstdEncoder::new(text.as_bytes())).await),
    ] {
        let sent = wire.clone();
        let server = Server::start(move |_| Reply::ok(sent.clone()).header("Content-Encoding", encoding)).await;
        let exchange = account(&server).send(&get("/")).await.unwrap();
        assert_eq!(exchange.wire, wire, "{encoding}");
        assert_eq!(exchange.body, text.as_bytes(), "{encoding}");
        assert!(!exchange.masked && exchange.encoding_mismatch.is_none());
        let again = unpack_body(&exchange.headers, &exchange.wire, &FetchOptions::default()).await.unwrap();
        assert_eq!(again, exchange.body, "a stored body unpacks by its stored headers");
    }
}

/// Records the memory that responses want.
#[derive(Clone, Default)]
struct Rooms(Arc<Mutex<Vec<u64>>>);

impl ResponseMemory for Rooms {
    async fn make_room(&mut self, bytes: u64) {
        self.0.lock().unwrap().push(bytes);
    }
}

impl Admission for Rooms {
    type Permit = Self;

    async fn permit(&self) -> Self {
        self.clone()
    }
}

impl Rooms {
    fn wanted(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_body_that_drips_holds_no_memory_that_others_wait_for() {
    const BYTES: usize = 1 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut access = access(&Server::start(|_| Reply::ok("")).await);
    access.base_url = Some(format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap());
    let account = super::fetcher().account(access).unwrap();
    let (is_most_sent, most_is_sent) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4_096]).await.unwrap() > 0);
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {BYTES}\r\n\r\n").as_bytes()).await.unwrap();
        // As much as this and the system's buffers don't hold: the client has read most of it.
        stream.write_all(&vec![b' '; BYTES - 1]).await.unwrap();
        is_most_sent.send(()).unwrap();
        may_go_on.await.unwrap();
        stream.write_all(b" ").await.unwrap();
    });
    let rooms = Rooms::default();
    let request = get("/");
    let mut sent = std::pin::pin!(account.send_with(&request, &rooms));
    tokio::select! {
        _ = &mut sent => unreachable!("the body isn't whole"),
        sent = most_is_sent => sent.unwrap(),
    }
    assert!(rooms.wanted().is_empty());
    go_on.send(()).unwrap();
    let (exchange, _) = sent.await.unwrap();
    assert_eq!((exchange.body.len(), rooms.wanted()), (BYTES, vec![BYTES as u64]));
}

#[tokio::test]
async fn a_body_that_is_larger_than_expected_when_it_is_unpacked_waits_for_more() {
    let text: String = (0..200_000).map(|n| format!("{{\"id\":{}}}\n", n / 100)).collect();
    let wire = packed(GzipEncoder::new(text.as_bytes())).await;
    assert!(wire.len() * 8 < 1 << 20 && text.len() > 1 << 20, "{} {}", wire.len(), text.len());
    let server = Server::start(move |_| Reply::ok(wire.clone()).header("Content-Encoding", "gzip")).await;
    let rooms = Rooms::default();
    let (exchange, _) = account(&server).send_with(&get("/"), &rooms).await.unwrap();
    assert_eq!((exchange.body, rooms.wanted()), (text.into(), vec![1 << 20, 8 << 20]));
    let options = FetchOptions { body_memory_bytes: 1 << 20, ..FetchOptions::default() };
    let (error, _) = problem(&server, options).await;
    let Error::TooLarge { max, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*max, 1 << 20);
    assert!(error.hint().unwrap().contains("a quarter of `memory_mb`"), "{error:?}");
}

#[tokio::test]
async fn a_plain_body_is_one_buffer() {
    let text = "x".repeat(3 << 20);
    let sent = text.clone();
    let server = Server::start(move |_| Reply::ok(sent.clone())).await;
    let exchange = account(&server).send(&get("/")).await.unwrap();
    assert_eq!(exchange.body, text.as_bytes());
    assert_eq!(exchange.body.as_ptr(), exchange.wire.as_ptr());
}

#[tokio::test]
async fn a_cut_body_is_a_network_error_and_retried() {
    let server = Server::start(|_| Reply::ok("0123456789").announcing(25)).await;
    let (error, sample) = problem(&server, FetchOptions::default()).await;
    let Error::Truncated { received: 10, expected: Some(25), .. } = error else { panic!("{error:?}") };
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Network, Retry::Yes));
    assert!(error.to_string().ends_with("ended after 10 bytes of 25"), "{error}");
    assert_eq!(sample, b"0123456789");
    let server = Server::start(|_| Reply::ok("0123456789").cut_chunks()).await;
    let (error, _) = problem(&server, FetchOptions::default()).await;
    assert!(matches!(error, Error::Truncated { received: 10, expected: None, .. }), "{error:?}");
}

#[tokio::test]
async fn large_bodies_and_bombs_are_refused() {
    let limited = |max_body_bytes| FetchOptions { max_body_bytes, ..FetchOptions::default() };
    for (reply, sampled) in [
        (Reply::ok("x".repeat(2000)), 0),
        (Reply::ok("x").announcing(2000), 0),
        (Reply::ok("x".repeat(2000)).cut_chunks(), 1000),
    ] {
        let server = Server::start(move |_| reply.clone()).await;
        let (error, sample) = problem(&server, limited(1000)).await;
        assert!(matches!(error, Error::TooLarge { what: "body", max: 1000, .. }), "{error:?}");
        assert!(!error.is_retryable());
        assert!(error.hint().unwrap().contains("raise `max_body_bytes` under [fetch]"));
        assert!(sample.len() >= sampled && sample.iter().all(|byte| *byte == b'x'));
    }
}

#[tokio::test]
async fn bombs_are_not_unpacked() {
    let zeros = vec![b'0'; 8 << 20];
    for (encoding, bomb) in [
        ("gzip", packed(GzipEncoder::new(zeros.as_slice())).await),
        ("br", packed(BrotliEncoder::with_quality(zeros.as_slice(), Level::Fastest)).await),
        ("zstd", packed(ZstdEncoder::new(zeros.as_slice())).await),
    ] {
        let server = Server::start(move |_| Reply::ok(bomb.clone()).header("Content-Encoding", encoding)).await;
        let limits = FetchOptions { max_ratio: 100, ..FetchOptions::default() };
        let (error, sample) = problem(&server, limits).await;
        assert!(matches!(error, Error::Bomb { max_ratio: 100, .. }) && !error.is_retryable(), "{encoding}: {error:?}");
        assert!(error.hint().unwrap().contains("raise `max_ratio` under [fetch]"));
        assert_eq!(sample.len(), 64 << 10);
        let limits = FetchOptions { max_body_bytes: 1 << 20, ..FetchOptions::default() };
        let (error, _) = problem(&server, limits).await;
        assert!(matches!(error, Error::TooLarge { what: "unpacked body", .. }), "{encoding}: {error:?}");
    }
}

#[tokio::test]
async fn a_flood_of_headers_is_refused() {
    let server = Server::start(|_| Reply::ok("").header("X-Flood", &"x".repeat(5000))).await;
    let options = FetchOptions { max_header_bytes: 4000, ..FetchOptions::default() };
    let account = Fetcher::new(options).unwrap().account(access(&server)).unwrap();
    let error = account.send(&get("/")).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "headers", .. }), "{error:?}");
}

/// The problem of an exchange, and the sample of its body.
async fn problem(server: &Server, options: FetchOptions) -> (Error, Vec<u8>) {
    let account = Fetcher::new(options).unwrap().account(access(server)).unwrap();
    let exchange = account.send(&get("/")).await.unwrap();
    assert_eq!(exchange.wire, exchange.body);
    assert_eq!(exchange.header("content-encoding"), None);
    (exchange.problem.expect("a problem"), exchange.body.to_vec())
}

#[tokio::test]
async fn a_sample_holds_no_secret_and_no_part_of_one() {
    let server = Server::start(|_| Reply::ok("a k3y/of+the-shop and k3y/of+the").announcing(99)).await;
    let (error, sample) = problem(&server, FetchOptions::default()).await;
    assert!(matches!(error, Error::Truncated { received: 32, .. }), "{error:?}");
    assert_eq!(sample, b"a *** and ");
    let mut wire = packed(GzipEncoder::new(b"{\"key\": \"k3y/of+the-shop\"} and much more".as_slice())).await;
    wire.truncate(wire.len() - 9);
    let server = Server::start(move |_| Reply::ok(wire.clone()).header("Content-Encoding", "gzip")).await;
    let (_, sample) = problem(&server, FetchOptions::default()).await;
    assert!(String::from_utf8(sample).unwrap().starts_with("{\"key\": \"***\"}"));
}

#[tokio::test]
async fn a_body_that_is_reset_is_cut() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // Closing with unread bytes resets the connection.
        stream.read_exact(&mut [0; 4]).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc").await.unwrap();
    });
    let mut access = access(&Server::start(|_| Reply::ok("")).await);
    access.base_url = Some(url);
    let error = match super::fetcher().account(access).unwrap().send(&get("/")).await {
        Ok(exchange) => exchange.problem.expect("a problem"),
        // The reset overtook the headers.
        Err(error) => error,
    };
    assert!(matches!(error, Error::Truncated { .. } | Error::Transport { .. }), "{error:?}");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Network, Retry::Yes));
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_marked() {
    for (reply, framing) in [
        (Reply::ok("[1]"), Framing::Length),
        (Reply::ok("[1]").chunked(), Framing::Chunked),
        (Reply::ok("[1]").until_close(), Framing::Close),
    ] {
        let server = Server::start(move |_| reply.clone()).await;
        let exchange = account(&server).send(&get("/")).await.unwrap();
        assert_eq!((exchange.body.as_ref(), exchange.framing), (b"[1]".as_slice(), framing));
        assert!(exchange.problem.is_none());
        assert_eq!(Framing::of(exchange.status, &exchange.headers), framing, "by the stored headers");
    }
}

#[tokio::test]
async fn the_headers_of_a_masked_body_describe_the_masked_one() {
    let server = Server::start(|_| Reply::ok("the key is k3y/of+the-shop")).await;
    let exchange = account(&server).send(&get("/")).await.unwrap();
    assert_eq!((exchange.wire.as_ref(), exchange.header("content-length")), (b"the key is ***".as_slice(), Some("14")));
    assert_eq!(Framing::of(exchange.status, &exchange.headers), Framing::Length);
}

#[tokio::test]
async fn a_body_is_decoded_by_its_bytes_and_not_by_its_headers() {
    let text = r#"{"id": 1}"#;
    let gzip = packed(GzipEncoder::new(text.as_bytes())).await;
    for (stated, wire, actual) in [
        ("gzip", text.as_bytes().to_vec(), ""),
        ("br", text.as_bytes().to_vec(), ""),
        ("deflate", text.as_bytes().to_vec(), ""),
        ("utf-8", text.as_bytes().to_vec(), ""),
        ("identity", gzip.clone(), "gzip"),
        ("br", gzip.clone(), "gzip"),
    ] {
        let sent = wire.clone();
        let server = Server::start(move |_| Reply::ok(sent.clone()).header("Content-Encoding", stated)).await;
        let exchange = account(&server).send(&get("/")).await.unwrap();
        assert!(exchange.problem.is_none(), "{stated}: {:?}", exchange.problem);
        assert_eq!((exchange.wire.as_ref(), exchange.body.as_ref()), (wire.as_slice(), text.as_bytes()), "{stated}");
        let stated_names = if stated == "identity" { "" } else { stated };
        let mismatch = EncodingMismatch { stated: stated_names.to_owned(), actual: actual.to_owned() };
        assert_eq!(exchange.encoding_mismatch, Some(mismatch));
        let again = unpack_body(&exchange.headers, &exchange.wire, &FetchOptions::default()).await.unwrap();
        assert_eq!(again, exchange.body, "a stored body is decoded the same way");
    }
}

#[tokio::test]
async fn a_secret_in_a_body_of_unstated_encoding_is_masked() {
    let gzip = packed(GzipEncoder::new(b"the key is k3y/of+the-shop".as_slice())).await;
    let server = Server::start(move |_| Reply::ok(gzip.clone())).await;
    let exchange = account(&server).send(&get("/")).await.unwrap();
    assert!(exchange.masked);
    assert_eq!(exchange.wire.as_ref(), b"the key is ***");
}
