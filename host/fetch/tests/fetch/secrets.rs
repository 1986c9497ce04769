//! Secrets are masked, in whatever encoding they are echoed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::join_all;
use sluice_fetch::{Error, SecretReloader};
use sluice_model::{Function, Op, Secret};

use super::server::{Reply, Server};
use super::{access, account, fetcher, get, text};

#[tokio::test]
async fn an_echoed_secret_is_masked_in_body_and_headers() {
    let server = Server::start(|_| {
        Reply::ok(r#"{"key":"k3y\/of+the-shop","url":"/x?k=k3y%2Fof%2Bthe-shop","b":"azN5L29mK3RoZS1zaG9w"}"#)
            .header("X-Echo", "k3y/of+the-shop")
            .header("Set-Cookie", "sid=1")
    })
    .await;
    let exchange = account(&server).send(&get("/")).await.unwrap();
    assert!(exchange.masked);
    assert_eq!(exchange.body.as_ref(), br#"{"key":"***","url":"/x?k=***","b":"***"}"#);
    assert_eq!(exchange.wire, exchange.body);
    assert_eq!((exchange.header("x-echo"), exchange.header("set-cookie")), (Some("***"), Some("***")));
}

#[tokio::test]
async fn a_masked_body_has_no_content_encoding() {
    use tokio::io::AsyncReadExt;
    let mut packed = Vec::new();
    let plain = b"the key is k3y/of+the-shop".as_slice();
    async_compression::tokio::bufread::GzipEncoder::new(plain).read_to_end(&mut packed).await.unwrap();
    let server = Server::start(move |_| Reply::ok(packed.clone()).header("Content-Encoding", "gzip")).await;
    let exchange = account(&server).send(&get("/")).await.unwrap();
    assert_eq!(exchange.wire.as_ref(), b"the key is ***");
    assert_eq!(exchange.header("content-encoding"), None);
}

#[tokio::test]
async fn errors_show_no_secret() {
    let server = Server::start(|_| Reply::ok("")).await;
    let mut access = access(&server);
    access.base_url = Some("http://127.0.0.1:1/".parse().unwrap());
    let mut request = get("/rows?key=");
    request.url.extend([Op::Secret("key".into()), Op::Apply(Function::UrlEncode)]);
    let error = fetcher().account(access).unwrap().send(&request).await.unwrap_err();
    let all = format!("{error:?} {error} {}", std::error::Error::source(&error).unwrap());
    assert!(!all.contains("k3y") && !all.contains("rows"), "{all}");
}

#[tokio::test]
async fn a_preview_sends_nothing_and_shows_no_secret() {
    let server = Server::start(|_| Reply::ok("")).await;
    let account = account(&server);
    let mut request = get("/rows?page=1&key=");
    request.url.push(Op::Secret("key".into()));
    request.headers = vec![
        ("X-Plain".into(), vec![text("key k3y/of+the-shop by mistake")]),
        ("X-Sign".into(), vec![Op::Secret("key".into()), Op::Apply(Function::Sha256), Op::Apply(Function::Hex)]),
    ];
    let shown = account.preview(&request).unwrap();
    assert_eq!(shown.url, format!("{}rows?page=1&key=***key***", server.url()));
    assert_eq!(shown.headers[0].1, "key *** by mistake");
    assert_eq!(shown.headers[1].1, "***key***");
    assert_eq!(account.redact("k3y/of+the-shop"), "***");
    assert!(server.seen().is_empty());
    request.url[0] = text("https://elsewhere.example.com/rows?");
    assert!(matches!(account.preview(&request), Err(Error::Host { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_secrets_are_read_again_once_and_used_by_all() {
    let server = Server::start(|seen| match seen.header("x-key") {
        Some("new-key-0001") => Reply::ok("rows"),
        _ => Reply::status(401, "who?"),
    })
    .await;
    let reads = Arc::new(AtomicUsize::new(0));
    let (counted, mut access) = (reads.clone(), access(&server));
    access.secret_reloader = Some(SecretReloader::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok(BTreeMap::from([("key".to_owned(), Secret::new("new-key-0001".into()))])) }.boxed()
    }));
    let account = fetcher().account(access).unwrap();
    let mut request = get("/");
    request.headers = vec![("X-Key".into(), vec![Op::Secret("key".into())])];
    let exchanges = join_all((0..8).map(|_| account.send(&request))).await;
    assert!(exchanges.iter().all(|exchange| exchange.as_ref().unwrap().status == 200));
    assert_eq!(reads.load(Ordering::SeqCst), 1);
    assert_eq!(account.redact("new-key-0001"), "***");
    account.clone().send(&request).await.unwrap();
    let refused = server.seen().iter().filter(|seen| seen.header("x-key") != Some("new-key-0001")).count();
    assert!(refused <= 8, "later requests use the new secret");
}

#[tokio::test]
async fn unchanged_secrets_are_not_read_again_at_every_request() {
    let server = Server::start(|_| Reply::status(401, "who?")).await;
    let reads = Arc::new(AtomicUsize::new(0));
    let (counted, mut access) = (reads.clone(), access(&server));
    let same = access.secrets.clone();
    access.secret_reloader = Some(SecretReloader::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let same = same.clone();
        async { Ok(same) }.boxed()
    }));
    let account = fetcher().account(access).unwrap();
    for _ in 0..3 {
        assert_eq!(account.send(&get("/")).await.unwrap().status, 401);
    }
    assert_eq!((reads.load(Ordering::SeqCst), server.seen().len()), (1, 3));
}

#[tokio::test]
async fn what_a_template_makes_of_a_secret_is_masked_with_its_intermediate_values() {
    let (once, twice) = (hex::encode("k3y/of+the-shop"), hex::encode(hex::encode("k3y/of+the-shop")));
    let upper = "K3Y/OF+THE-SHOP";
    let server = Server::start(move |_| {
        Reply::ok(format!(r#"{{"once":"{once}","twice":"{twice}","upper":"{upper}"}}"#)).header("X-Echo", &twice)
    })
    .await;
    let mut request = get("/rows?page=1");
    let hexadecimal = vec![Op::Secret("key".into()), Op::Apply(Function::Hex), Op::Apply(Function::Hex)];
    request.headers = vec![
        ("x-key".into(), hexadecimal),
        ("x-name".into(), vec![Op::Secret("key".into()), Op::Apply(Function::Upper)]),
    ];
    let account = account(&server);
    let exchange = account.send(&request).await.unwrap();
    assert_eq!(exchange.body.as_ref(), br#"{"once":"***","twice":"***","upper":"***"}"#);
    assert_eq!(exchange.header("x-echo"), Some("***"));
}

#[tokio::test]
async fn a_secret_whose_characters_are_escaped_is_masked() {
    let units: String = "k3y/of+the-shop".chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let server = Server::start(move |_| Reply::ok(format!(r#"{{"a":"\u00e9 {units}"}}"#))).await;
    let exchange = account(&server).send(&get("/")).await.unwrap();
    assert_eq!(exchange.body.as_ref(), br#"{"a":"\u00e9 ***"}"#);
    assert!(exchange.masked);
}
