//! Line breaks in values that reach requests: an operator's settings, and what a network gives as a token or cookie.

use sluice_model::{Op, TokenPlace};

use super::server::{Reply, Server};
use super::{access, fetcher, get, text, token_source};

/// What would add a header, or end the head of a request.
const BREAKS: [&str; 4] = ["blue\r\nX-Evil: 1", "blue\nX-Evil: 1", "blue\r\n\r\nGET /evil HTTP/1.1\r\n", "blue\u{0}"];

#[tokio::test]
async fn a_setting_with_a_line_break_is_sent_nowhere_but_in_a_body() {
    for value in BREAKS {
        let server = Server::start(|_| Reply::ok("[]")).await;
        let mut access = access(&server);
        access.settings = vec![("colour".to_owned(), value.to_owned())];
        let account = fetcher().account(access).unwrap();
        let setting = || Op::Setting("colour".into());
        let mut in_url = get("/rows?colour=");
        in_url.url.push(setting());
        let error = account.send(&in_url).await.unwrap_err();
        assert!(error.to_string().contains("control character"), "{error}");
        let mut in_header = get("/rows");
        in_header.headers = vec![("X-Colour".into(), vec![setting()])];
        let error = account.send(&in_header).await.unwrap_err();
        assert!(error.to_string().contains("header `X-Colour`: its value contains a control character"), "{error}");
        assert!(!error.is_retryable());
        assert!(server.seen().is_empty());
    }
}

#[tokio::test]
async fn a_token_with_a_line_break_is_no_header() {
    for value in BREAKS {
        let token = serde_json::json!({"access_token": value, "expires_in": 3600}).to_string();
        let server = Server::start(move |seen| match seen.path() {
            "/token" => Reply::ok(token.clone()),
            _ => Reply::ok("[]"),
        })
        .await;
        let mut access = access(&server);
        access.tokens = vec![token_source("session", get("/token"), TokenPlace::Json("/access_token".into()))];
        let account = fetcher().account(access).unwrap();
        let mut rows = get("/rows");
        rows.headers = vec![("Authorization".into(), vec![text("Bearer "), Op::Token("session".into())])];
        let error = account.send(&rows).await.unwrap_err();
        assert!(error.to_string().contains("its value contains a control character"), "{error}");
        assert!(!error.to_string().contains("X-Evil"), "{error}");
        assert_eq!((server.count("/token"), server.count("/rows")), (1, 0));
    }
}

#[tokio::test]
async fn a_cookie_of_one_account_is_not_sent_by_another() {
    let server = Server::start(|seen| match seen.path() {
        "/login" => Reply::ok("").header("Set-Cookie", "sid=s3ssion-of-one; Path=/"),
        _ => Reply::ok("[]").header("Set-Cookie", "track=tr4cking-of-one"),
    })
    .await;
    let mut first = access(&server);
    first.tokens = vec![token_source("session", get("/login"), TokenPlace::Cookies)];
    let fetcher = fetcher();
    let (one, other) = (fetcher.account(first).unwrap(), fetcher.account(access(&server)).unwrap());
    let mut rows = get("/rows");
    rows.headers = vec![("Cookie".into(), vec![Op::Token("session".into())])];
    one.send(&rows).await.unwrap();
    one.send(&get("/plain")).await.unwrap();
    other.send(&get("/other")).await.unwrap();
    let sent = |path: &str| server.seen().into_iter().find(|seen| seen.path() == path).unwrap();
    assert_eq!(sent("/rows").header("cookie"), Some("sid=s3ssion-of-one"));
    // No cookie is kept but where a template asks for it.
    assert_eq!((sent("/plain").header("cookie"), sent("/other").header("cookie")), (None, None));
}
