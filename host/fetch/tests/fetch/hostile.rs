//! Hostile servers: silent, endless, slow, with too much or invalid data. Limits are small.

use std::time::Duration;

use sluice_fetch::{Access, Error, Exchange, FetchOptions, Fetcher, Wait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::server::Server;
use super::{access, get};
use crate::server::Reply;

/// What a server does after its first bytes.
#[derive(Clone, Copy)]
enum Then {
    /// Nothing, without closing the connection.
    Silence,
    /// The same bytes without end, as fast as they are received.
    Forever(&'static [u8]),
    /// One byte every few milliseconds.
    Slowly,
}

/// The URL of a server that sends `first` and then acts as `then`.
async fn hostile(first: String, then: Then) -> url::Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, first.clone(), then));
        }
    });
    url
}

async fn serve(mut stream: TcpStream, first: String, then: Then) -> std::io::Result<()> {
    let mut request = [0; 4096];
    if stream.read(&mut request).await? == 0 {
        return Ok(());
    }
    stream.write_all(first.as_bytes()).await?;
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    loop {
        match then {
            Then::Silence => std::future::pending().await,
            Then::Forever(bytes) => stream.write_all(bytes).await?,
            Then::Slowly => {
                tick.tick().await;
                stream.write_all(b"x").await?;
            }
        }
    }
}

fn limits() -> FetchOptions {
    FetchOptions {
        answer_timeout: Duration::from_millis(150),
        read_timeout: Duration::from_millis(150),
        request_timeout: Duration::from_millis(400),
        ..FetchOptions::default()
    }
}

async fn send(url: url::Url) -> Result<Exchange, Error> {
    send_within(limits(), url).await
}

async fn send_within(limits: FetchOptions, url: url::Url) -> Result<Exchange, Error> {
    let server = Server::start(|_| Reply::ok("")).await;
    let access = Access { base_url: Some(url), ..access(&server) };
    Fetcher::new(limits).unwrap().account(access).unwrap().send(&get("/")).await
}

async fn timeout(first: &str, then: Then) -> Wait {
    let error = match send(hostile(first.to_owned(), then).await).await {
        Ok(exchange) => exchange.problem.expect("a problem"),
        Err(error) => error,
    };
    let Error::Timeout { what, .. } = error else { panic!("{error:?}") };
    assert!(error.is_retryable() && error.hint().unwrap().contains("_timeout_secs` under [fetch]"));
    what
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn silence_times_out() {
    assert_eq!(timeout("", Then::Silence).await, Wait::Answer);
    assert_eq!(timeout("HTTP/1.1 200 OK\r\nX-A: ", Then::Silence).await, Wait::Answer);
    assert_eq!(timeout(CHUNKED, Then::Silence).await, Wait::Read);
    assert_eq!(timeout("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", Then::Silence).await, Wait::Read);
}

#[tokio::test]
async fn slow_bytes_time_out_though_each_is_in_time() {
    assert_eq!(timeout("HTTP/1.1 200 OK\r\n\r\n", Then::Slowly).await, Wait::Whole);
    assert_eq!(timeout("HTTP/1.1 200 OK\r\nX-A: ", Then::Slowly).await, Wait::Answer);
}

#[tokio::test]
async fn endless_interim_responses_time_out() {
    let more = Then::Forever(b"HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\n");
    assert_eq!(timeout("", more).await, Wait::Answer);
}

#[tokio::test]
async fn a_body_without_end_is_cut_where_the_limit_is() {
    for (first, bytes) in
        [(CHUNKED, b"5\r\nxxxxx\r\n".as_slice()), ("HTTP/1.1 200 OK\r\n\r\n", b"xxxxxxxxxxxxxxxxxxxxx".as_slice())]
    {
        let limits = FetchOptions { max_body_bytes: 100_000, ..FetchOptions::default() };
        let exchange = send_within(limits, hostile(first.to_owned(), Then::Forever(bytes)).await).await.unwrap();
        let problem = exchange.problem.unwrap();
        assert!(matches!(problem, Error::TooLarge { what: "body", max: 100_000, .. }), "{problem:?}");
        assert!(exchange.body.len() <= 64 << 10 && exchange.body.iter().all(|byte| *byte == b'x'));
    }
}

#[tokio::test]
async fn headers_without_end_are_cut_where_the_limit_is() {
    let many: String = (0..500).map(|n| format!("X-{n}: a\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "a".repeat(200 << 10));
    for headers in [many, long] {
        let first = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 0\r\n\r\n");
        let error = send(hostile(first, Then::Silence).await).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { what: "headers", .. }) && !error.is_retryable(), "{error:?}");
        assert!(error.hint().unwrap().contains("max_header_bytes"));
    }
    let endless = hostile("HTTP/1.1 200 OK\r\n".into(), Then::Forever(b"X-A: b\r\n")).await;
    let error = send_within(FetchOptions::default(), endless).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "headers", .. }), "{error:?}");
}

#[tokio::test]
async fn invalid_http_is_an_error_that_names_the_host() {
    for first in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"] {
        let error = send(hostile(first.to_owned(), Then::Forever(b"\n")).await).await.unwrap_err();
        assert!(matches!(error, Error::Transport { .. }), "{first}: {error:?}");
        assert!(error.to_string().contains("127.0.0.1"), "{error}");
    }
}
