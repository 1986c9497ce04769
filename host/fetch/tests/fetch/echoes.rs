//! What a network echoes elsewhere than in a body: no error, name or header shows it.

use std::collections::BTreeMap;

use sluice_fetch::{Access, Account, Error};
use sluice_model::{Function, Op, Secret, TokenPlace};

use super::server::{Reply, Server};
use super::tokens::{account_with, json, source, with_token};
use super::{access, fetcher, get};

/// An account whose secret may be a host, a header's name, and an encoding.
fn account_with_key(server: &Server, key: &str) -> Account {
    let secrets = BTreeMap::from([("key".to_owned(), Secret::new(key.into()))]);
    fetcher().account(Access { secrets, ..access(server) }).unwrap()
}

/// All that an error shows anywhere.
fn shown(error: &Error) -> String {
    format!("{error} {error:?} {}", error.hint().unwrap_or_default())
}

#[tokio::test]
async fn no_error_quotes_a_secret_that_the_network_echoes() {
    for (key, status, header, value) in [
        ("k3y-of-the-shop", 302, "Location", "https://k3y-of-the-shop.evil.example.net/"),
        ("K3y-Of-The-Shop", 302, "Location", "https://K3y-Of-The-Shop.evil.example.net/"),
        ("k3y-of-the-shop", 302, "Location", "https://%6b3y-of-the-shop.evil.example.net/"),
        ("k3y-of-the-shop", 200, "Content-Encoding", "k3y-of-the-shop"),
        ("K3y-Of-The-Shop", 200, "Content-Encoding", "gzip, K3y-Of-The-Shop"),
    ] {
        let packed = [0x1b_u8, 0, 1, 2, 3, 0xff].repeat(20);
        let server = Server::start(move |_| Reply::status(status, packed.clone()).header(header, value)).await;
        let shown = match account_with_key(&server, key).send(&get("/")).await {
            Err(error) => shown(&error),
            Ok(exchange) => {
                let problem = exchange.problem.as_ref().map(shown).unwrap();
                format!("{problem} {:?} {:?}", exchange.encoding_mismatch, exchange.headers)
            }
        };
        assert!(!shown.to_ascii_lowercase().contains("3y-of"), "{shown}");
    }
}

#[tokio::test]
async fn a_headers_name_is_searched_too() {
    let server = Server::start(|_| Reply::ok("").header("X-K3y-Of-The-Shop", "1")).await;
    let exchange = account_with_key(&server, "K3y-Of-The-Shop").send(&get("/")).await.unwrap();
    assert!(exchange.masked);
    assert_eq!(exchange.header("***"), Some("1"), "{:?}", exchange.headers);
}

#[tokio::test]
async fn what_a_failed_sign_in_shows_holds_no_secret() {
    let twice = hex::encode(hex::encode("k3y/of+the-shop"));
    let long = "k3y/of+the-shop".repeat(4);
    let answers = [
        (200, r#"{"k3y/of+the-shop":1}"#.to_owned()),
        (200, format!(r#"{{"{}k3y/of+the-shop":1}}"#, "x".repeat(30))),
        (200, format!(r#"{{"{long}":1}}"#)),
        (401, format!("no key {twice} here")),
        (500, r#"{"error":"K3Y/OF+THE-SHOP is no key"}"#.to_owned()),
        (403, format!("{}{twice}", "x".repeat(190))),
    ];
    for (status, body) in answers {
        let shown_body = body.clone();
        let server = Server::start(move |_| Reply::status(status, body.clone())).await;
        let mut source = json("session");
        let key = || Op::Secret("key".into());
        source.request.headers = vec![
            ("x-hex".into(), vec![key(), Op::Apply(Function::Hex), Op::Apply(Function::Hex)]),
            ("x-upper".into(), vec![key(), Op::Apply(Function::Upper)]),
        ];
        let error = account_with(&server, vec![source]).send(&with_token("/rows")).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("***"), "{shown_body}: {shown}");
        for part in ["k3y", "K3Y", &twice[..8]] {
            assert!(!shown.contains(part), "{shown_body}: {shown}");
        }
    }
}

#[tokio::test]
async fn short_tokens_are_masked_in_headers_and_stay_in_bodies() {
    let body = r#"{"date":"05-Jan-2026","amount":"EUR12.50","id":"TX-10000001"}"#;
    for place in ["/date", "/amount", "/id"] {
        let server =
            Server::start(move |seen| Reply::ok(body).header("X-Path", seen.header("authorization").unwrap_or("")))
                .await;
        let account = account_with(&server, vec![source("session", TokenPlace::Json(place.into()))]);
        let exchange = account.send(&with_token("/rows")).await.unwrap();
        assert_eq!((exchange.body.as_ref(), exchange.header("x-path")), (body.as_bytes(), Some("Bearer ***")));
    }
}
