//! The whole path of a request, against small servers on this machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bodies;
mod echoes;
mod grants;
mod hostile;
mod issuer;
mod odd_values;
mod redirects;
mod retries;
mod secrets;
mod server;
mod stored_sign_in;
mod tokens;

use std::collections::BTreeMap;

use sluice_fetch::{Access, Account, Error, FetchOptions, Fetcher};
use sluice_model::{Method, Op, Rate, Request, Secret, TokenPlace, TokenSource};

use server::{Reply, Server};

fn text(text: &str) -> Op {
    Op::Text(text.into())
}

/// A GET of `https://api.example.com<path>`.
fn get(path: &str) -> Request {
    Request { url: vec![text(&format!("https://api.example.com{path}"))], ..Request::get("page-1") }
}

/// A token source with its lifetime at `/expires_in`.
fn token_source(name: &str, request: Request, value: TokenPlace) -> TokenSource {
    TokenSource {
        name: name.into(),
        request,
        value,
        lifetime: Some(TokenPlace::Json("/expires_in".into())),
        lifetime_secs: None,
        refresh_value: None,
        refresh: None,
        rotates: false,
    }
}

/// An account on `server`.
fn access(server: &Server) -> Access {
    Access {
        network: "shop".into(),
        account: "main".into(),
        manifest_hosts: vec!["api.example.com".into()],
        operator_hosts: Vec::new(),
        base_url: Some(server.url()),
        settings: Vec::new(),
        secrets: BTreeMap::from([("key".to_owned(), Secret::new("k3y/of+the-shop".into()))]),
        secret_reloader: None,
        tokens: Vec::new(),
        rate: Rate { requests: 1_000_000, per_secs: 1, concurrency: 100 },
    }
}

fn fetcher() -> Fetcher {
    Fetcher::new(FetchOptions::default()).unwrap()
}

fn account(server: &Server) -> Account {
    fetcher().account(access(server)).unwrap()
}

#[tokio::test]
async fn a_request_arrives_as_its_templates_say() {
    let server = Server::start(|_| Reply::ok("[]").header("X-Total", "0")).await;
    let mut request = get("/v1/rows?page=1&key=");
    request.method = Method::Post;
    request.url.extend([Op::Secret("key".into()), Op::Apply(sluice_model::Function::UrlEncode)]);
    request.headers = vec![("X-Day".into(), vec![Op::Now("%Y".into())])];
    request.body = Some(vec![text("q=1")]);
    let exchange = account(&server).send(&request).await.unwrap();
    assert_eq!((exchange.status, exchange.body.as_ref()), (200, b"[]".as_slice()));
    assert_eq!(exchange.header("x-total"), Some("0"));
    assert!(exchange.sent_at <= exchange.received_at);
    assert_eq!(exchange.sent.url, format!("{}v1/rows?page=1&key=***key***", server.url()));
    let [seen] = server.seen().try_into().unwrap();
    assert_eq!(seen.line, "POST /v1/rows?page=1&key=k3y%2Fof%2Bthe-shop HTTP/1.1");
    assert_eq!(seen.header("accept-encoding"), Some("gzip, br, zstd, deflate"));
    assert_eq!(seen.header("x-day").map(str::len), Some(4));
    assert!(seen.header("user-agent").unwrap().starts_with("sluice/"));
    assert_eq!(seen.body, b"q=1");
}

#[tokio::test]
async fn a_request_may_bring_its_own_user_agent() {
    let server = Server::start(|_| Reply::ok("")).await;
    let mut request = get("/");
    request.headers = vec![("User-Agent".into(), vec![text("shop-client")])];
    account(&server).send(&request).await.unwrap();
    assert_eq!(server.seen()[0].header("user-agent"), Some("shop-client"));
}

#[tokio::test]
async fn every_status_is_a_response() {
    let server = Server::start(|_| Reply::status(429, "slow down").header("Retry-After", "120")).await;
    let exchange = account(&server).send(&get("/")).await.unwrap();
    assert_eq!((exchange.status, exchange.retry_after.unwrap().as_secs()), (429, 120));
    assert_eq!(exchange.body.as_ref(), b"slow down");
    assert_eq!(exchange.token_expired, None);
}

#[tokio::test]
async fn private_addresses_are_refused_without_a_base_url() {
    let server = Server::start(|_| Reply::ok("")).await;
    let mut access = access(&server);
    let host = format!("localhost:{}", server.url().port().unwrap());
    (access.manifest_hosts, access.operator_hosts, access.base_url) = (vec![host.clone()], vec![host.clone()], None);
    let mut request = get("/");
    request.url = vec![text(&format!("https://{host}/"))];
    let error = fetcher().account(access).unwrap().send(&request).await.unwrap_err();
    assert!(matches!(error, Error::PrivateAddress { .. }), "{error:?}");
    assert!(!error.is_retryable());
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_named_host_with_a_private_address_may_be_a_base_url() {
    let server = Server::start(|_| Reply::ok("here")).await;
    let mut access = access(&server);
    access.base_url = Some(format!("http://localhost:{}/sim/", server.url().port().unwrap()).parse().unwrap());
    let exchange = fetcher().account(access).unwrap().send(&get("/a?b=c")).await.unwrap();
    assert_eq!(exchange.body.as_ref(), b"here");
    assert_eq!(server.seen()[0].line, "GET /sim/a?b=c HTTP/1.1");
}

#[tokio::test]
async fn a_refused_connection_is_retried() {
    let server = Server::start(|_| Reply::ok("")).await;
    let mut access = access(&server);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    access.base_url = Some(format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap());
    drop(listener);
    let error = fetcher().account(access).unwrap().send(&get("/")).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }) && error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn budgets_follow_the_credential() {
    // One request in flight per budget: requests that share a budget never overlap.
    let overlap = async |second_key: &str| {
        let server = Server::start(|_| Reply::ok("").after_two_have_arrived()).await;
        let fetcher = fetcher();
        let mut first = access(&server);
        first.rate.concurrency = 1;
        let mut second = first.clone();
        second.account = "other".into();
        second.secrets = BTreeMap::from([("key".to_owned(), Secret::new(second_key.into()))]);
        let (first, second) = (fetcher.account(first).unwrap(), fetcher.account(second).unwrap());
        let (one, two) = (get("/1"), get("/2"));
        let (one, two) = tokio::join!(first.send(&one), second.send(&two));
        one.unwrap();
        two.unwrap();
        server.most_at_once()
    };
    assert_eq!(overlap("k3y/of+the-shop").await, 1);
    assert_eq!(overlap("another-key").await, 2);
}

#[tokio::test]
async fn a_rate_of_nothing_is_refused() {
    let server = Server::start(|_| Reply::ok("")).await;
    let mut access = access(&server);
    access.rate.requests = 0;
    let error = fetcher().account(access).unwrap_err();
    assert!(error.to_string().contains("at least 1"), "{error}");
}
