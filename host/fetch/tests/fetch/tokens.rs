//! Sign-ins: once for all requests, again when a token is rejected, never stored or logged.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use sluice_fetch::{Account, Attempts, Error, FetchOptions, NextAttempt, Retry};
use sluice_model::{ErrorKind, Function, Method, Op, Request, TokenPlace, TokenSource};

use super::server::{Reply, Server};
use super::{access, fetcher, get, text, token_source};

pub(crate) fn source(name: &str, value: TokenPlace) -> TokenSource {
    let mut request = get("/sign-in");
    request.key = "sign-in".into();
    request.method = Method::Post;
    request.body = Some(vec![text("key="), Op::Secret("key".into())]);
    token_source(name, request, value)
}

pub(crate) fn json(name: &str) -> TokenSource {
    source(name, TokenPlace::Json("/access_token".into()))
}

/// A GET with `Authorization: Bearer <session>`.
pub(crate) fn with_token(path: &str) -> Request {
    let mut request = get(path);
    request.headers = vec![("Authorization".into(), vec![text("Bearer "), Op::Token("session".into())])];
    request
}

pub(crate) fn account_with(server: &Server, tokens: Vec<TokenSource>) -> Account {
    let mut access = access(server);
    access.tokens = tokens;
    fetcher().account(access).unwrap()
}

/// Issues token-000001, token-000002, …; accepts only the latest.
async fn shop(lifetime: u32) -> Server {
    let issued = AtomicUsize::new(0);
    Server::start(move |seen| match seen.path() {
        "/sign-in" => {
            let n = issued.fetch_add(1, Ordering::SeqCst) + 1;
            Reply::ok(format!(r#"{{"access_token":"token-{n:06}","expires_in":{lifetime}}}"#))
        }
        "/revoke" => {
            issued.fetch_add(1, Ordering::SeqCst);
            Reply::ok("")
        }
        _ if seen.header("authorization") == Some(&format!("Bearer token-{:06}", issued.load(Ordering::SeqCst))) => {
            Reply::ok("rows")
        }
        _ => Reply::status(401, "who?"),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_sends_sign_in_once() {
    let server = shop(3600).await;
    let account = account_with(&server, vec![json("session")]);
    let request = with_token("/rows");
    let exchanges = join_all((0..20).map(|_| account.send(&request))).await;
    assert!(exchanges.iter().all(|exchange| exchange.as_ref().unwrap().status == 200));
    assert_eq!((server.count("/sign-in"), server.count("/rows")), (1, 20));
    let shown = &exchanges[0].as_ref().unwrap().sent.headers[0].1;
    assert_eq!(shown, "Bearer ***session***");
}

#[tokio::test]
async fn the_same_account_keeps_its_token_and_a_changed_one_does_not() {
    let server = shop(3600).await;
    let fetcher = fetcher();
    let mut access = access(&server);
    access.tokens = vec![json("session")];
    for _ in 0..3 {
        fetcher.account(access.clone()).unwrap().send(&with_token("/rows")).await.unwrap();
    }
    assert_eq!(server.count("/sign-in"), 1);
    access.settings = vec![("site".into(), "2".into())];
    fetcher.account(access).unwrap().send(&with_token("/rows")).await.unwrap();
    assert_eq!(server.count("/sign-in"), 2);
}

#[tokio::test]
async fn a_token_without_life_left_is_not_used_again() {
    let server = shop(0).await;
    let account = account_with(&server, vec![json("session")]);
    for _ in 0..3 {
        assert_eq!(account.send(&with_token("/rows")).await.unwrap().status, 200);
    }
    assert_eq!(server.count("/sign-in"), 3);
}

#[tokio::test]
async fn a_rejected_token_is_named_and_renewed_once() {
    let server = shop(3600).await;
    let account = account_with(&server, vec![json("session")]);
    account.send(&with_token("/rows")).await.unwrap();
    account.send(&get("/revoke")).await.unwrap();
    let request = with_token("/rows");
    let rejected = join_all((0..5).map(|_| account.send(&request))).await;
    for (count, exchange) in rejected.iter().enumerate() {
        let exchange = exchange.as_ref().unwrap();
        assert_eq!((exchange.status, exchange.token_expired.as_deref()), (401, Some("session")));
        let retry = account.renew("session", exchange).await;
        assert_eq!(retry, if count == 0 { Retry::Once } else { Retry::Yes }, "only the first can be about its request");
        let exchange = account.send(&request).await.unwrap();
        assert_eq!(exchange.status, 200, "renewing again must not drop the new token");
    }
    assert_eq!(server.count("/sign-in"), 2);
}

#[tokio::test]
async fn a_new_token_that_is_rejected_has_not_expired() {
    let server = Server::start(|seen| match seen.path() {
        "/sign-in" => Reply::ok(r#"{"access_token":"token-000001"}"#),
        _ => Reply::status(401, ""),
    })
    .await;
    let account = account_with(&server, vec![json("session")]);
    assert_eq!(account.send(&with_token("/rows")).await.unwrap().token_expired, None);
    assert_eq!(account.send(&with_token("/rows")).await.unwrap().token_expired.as_deref(), Some("session"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_secrets_are_used_once_for_all_requests_that_wait() {
    let server = Server::start(|_| {
        Reply::status(401, r#"{"error":"invalid_client","key":"k3y/of+the-shop"}"#).after_two_have_arrived()
    })
    .await;
    let account = account_with(&server, vec![json("session")]);
    let request = with_token("/rows");
    let errors = join_all((0..10).map(|_| account.send(&request))).await;
    for error in errors {
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Credentials { status: 401, .. }) && !error.is_retryable());
        assert!(error.to_string().contains("invalid_client") && !error.to_string().contains("k3y"), "{error}");
        assert!(error.hint().unwrap().contains("account `main` in networks/shop.json"));
    }
    assert_eq!(server.seen().len(), 1, "ten failed logins would lock the account");
}

#[tokio::test]
async fn a_sign_in_that_fails_temporarily_is_retried() {
    // Rakuten answers 403 to too many requests.
    for (status, kind) in [(503, ErrorKind::Network), (403, ErrorKind::Quota)] {
        let server =
            Server::start(move |_| Reply::status(status, "<html>later</html>").header("Retry-After", "7")).await;
        let account = account_with(&server, vec![json("session")]);
        let error = account.send(&with_token("/rows")).await.unwrap_err();
        assert!(matches!(error, Error::SignIn { .. }) && error.is_retryable(), "{error:?}");
        assert_eq!((error.kind(), error.retry_after().unwrap().as_secs()), (kind, 7));
        assert!(!error.to_string().contains("later"));
    }
}

#[tokio::test]
async fn a_rejection_of_a_renewed_token_is_final() {
    let server = Server::start(|seen| match seen.path() {
        "/sign-in" => Reply::ok(r#"{"access_token":"token-000001"}"#),
        "/open" => Reply::ok(""),
        _ => Reply::status(401, "who?"),
    })
    .await;
    let account = account_with(&server, vec![json("session")]);
    account.send(&with_token("/open")).await.unwrap();
    let (mut attempts, request) = (Attempts::new(&FetchOptions::default()), with_token("/rows"));
    loop {
        let exchange = account.send(&request).await.unwrap();
        if let Some(token) = &exchange.token_expired {
            account.renew(token, &exchange).await;
        }
        let failed = exchange.failed_attempt(ErrorKind::Credentials, None);
        if matches!(attempts.next(&failed, exchange.received_at), NextAttempt::Final) {
            break;
        }
    }
    assert_eq!((server.count("/rows"), server.count("/sign-in")), (2, 2));
}

#[tokio::test]
async fn a_response_without_a_token_is_described_and_not_quoted() {
    let server = Server::start(|_| Reply::ok(r#"{"token":"a-very-secret-value","kind":"x"}"#)).await;
    let account = account_with(&server, vec![json("session")]);
    let error = account.send(&with_token("/rows")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot sign in to network `shop` for account `main` (sign-in `session`, status 200): there is no value at \
         `/access_token`; the response is a JSON object with `token`, `kind`"
    );
}

#[tokio::test]
async fn a_refresh_token_is_used_before_signing_in_again() {
    let server = Server::start(|seen| match (seen.path(), seen.body.as_slice()) {
        ("/sign-in", _) => Reply::ok(r#"{"access_token":"token-first","expires_in":0,"refresh":"refresh-1"}"#),
        ("/refresh", b"refresh-1") => {
            Reply::ok(r#"{"access_token":"token-second","expires_in":0,"refresh":"refresh-2"}"#)
        }
        ("/refresh", _) => Reply::status(400, r#"{"error":"invalid_grant"}"#),
        _ => Reply::ok(""),
    })
    .await;
    let mut source = json("session");
    source.refresh_value = Some(TokenPlace::Json("/refresh".into()));
    let mut refresh = get("/refresh");
    refresh.method = Method::Post;
    refresh.body = Some(vec![Op::RefreshToken("session".into())]);
    source.refresh = Some(refresh);
    let account = account_with(&server, vec![source]);
    for _ in 0..3 {
        account.send(&with_token("/rows")).await.unwrap();
    }
    let paths: Vec<String> = server.seen().iter().map(|seen| seen.path().to_owned()).collect();
    // The third time the refresh token is rejected, and the secrets are used.
    assert_eq!(paths, ["/sign-in", "/rows", "/refresh", "/rows", "/refresh", "/sign-in", "/rows"]);
    assert_eq!(server.seen()[4].body, b"refresh-2");
    let tokens: Vec<_> = server.seen().iter().filter_map(|s| s.header("authorization").map(str::to_owned)).collect();
    assert_eq!(tokens, ["Bearer token-first", "Bearer token-second", "Bearer token-first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_with_a_rotating_token_are_sent_one_after_another() {
    // 2Performant: three headers, replaced by every response.
    let next = AtomicUsize::new(1);
    let server = Server::start(move |seen| {
        let n = next.load(Ordering::SeqCst);
        let good = seen.header("access-token") == Some(&format!("access-token-{n:04}"))
            && seen.header("client") == Some(&format!("client-of-token-{n:04}"));
        if seen.path() == "/rows" && !good {
            return Reply::status(401, "");
        }
        let n = next.fetch_add(1, Ordering::SeqCst) + 1;
        Reply::ok(format!("access-token-{n:04}"))
            .header("Access-Token", &format!("access-token-{n:04}"))
            .header("Client", &format!("client-of-token-{n:04}"))
    })
    .await;
    let header = |name: &str| {
        let mut source = source(name, TokenPlace::Header(name.into()));
        source.rotates = true;
        source
    };
    let account = account_with(&server, vec![header("access-token"), header("client")]);
    let mut request = get("/rows");
    request.headers =
        ["access-token", "client"].map(|name| (name.to_owned(), vec![Op::Token(name.to_owned())])).to_vec();
    let exchanges = join_all((0..5).map(|_| account.send(&request))).await;
    for exchange in exchanges {
        let exchange = exchange.unwrap();
        assert_eq!(exchange.status, 200);
        assert_eq!(exchange.header("client"), Some("***"));
        assert_eq!(
            (exchange.body.as_ref(), exchange.masked),
            (b"***".as_slice(), true),
            "the response's own token is masked"
        );
    }
    assert_eq!((server.count("/sign-in"), server.count("/rows"), server.most_at_once()), (1, 5, 1));
}

#[tokio::test]
async fn a_login_whose_redirect_sets_the_cookie_has_succeeded() {
    let server = Server::start(|seen| match seen.path() {
        "/sign-in" => Reply::status(302, "")
            .header("Set-Cookie", "sid=abcdef1234567890; Path=/; HttpOnly")
            .header("Set-Cookie", "lang=de")
            .header("Location", "/home"),
        _ => Reply::ok("sid is abcdef1234567890"),
    })
    .await;
    let account = account_with(&server, vec![source("session", TokenPlace::Cookies)]);
    let mut request = get("/rows");
    request.headers = vec![("Cookie".into(), vec![Op::Token("session".into())])];
    let exchange = account.send(&request).await.unwrap();
    assert_eq!(server.seen()[1].header("cookie"), Some("sid=abcdef1234567890; lang=de"));
    assert_eq!(server.count("/home"), 0);
    assert_eq!(exchange.body.as_ref(), b"sid is ***");
}

#[tokio::test]
async fn a_sign_in_may_need_another_token() {
    let server = Server::start(|seen| match (seen.path(), seen.header("x-app")) {
        ("/app", _) => Reply::ok("app-token-1"),
        ("/sign-in", Some("YXBwLXRva2VuLTE=")) => Reply::ok(r#"{"access_token":"token-000001"}"#),
        ("/sign-in", _) => Reply::status(403, ""),
        _ => Reply::ok("rows"),
    })
    .await;
    let mut app = source("app", TokenPlace::Body);
    app.request = get("/app");
    let mut session = json("session");
    session.request.headers = vec![("X-App".into(), vec![Op::Token("app".into()), Op::Apply(Function::Base64)])];
    let account = account_with(&server, vec![session, app]);
    assert_eq!(account.send(&with_token("/rows")).await.unwrap().body.as_ref(), b"rows");
}

#[tokio::test]
async fn an_unknown_token_is_named() {
    let server = Server::start(|_| Reply::ok("")).await;
    let error = account_with(&server, vec![]).send(&with_token("/rows")).await.unwrap_err();
    assert!(error.to_string().contains("no token source `session`"), "{error}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_sign_in_of_more_than_a_mebibyte_is_refused_and_read_no_further() {
    let large = || Reply::ok(vec![b' '; 3 << 20]);
    for reply in [large(), large().chunked(), large().until_close()] {
        let server = Server::start(move |_| reply.clone()).await;
        let error = account_with(&server, vec![json("session")]).send(&with_token("/rows")).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { max: 0x10_0000, .. }), "{error}");
    }
}

#[tokio::test]
async fn the_place_of_a_token_blanks_out_nothing_that_is_needed() {
    // The place is a header that says how the body is packed, and an amount.
    let packed = gzip(br#"{"amount":"5.00","status":"approved"}"#).await;
    let server = Server::start(move |_| Reply::ok(packed.clone()).header("Content-Encoding", "gzip")).await;
    let places = [
        TokenPlace::Header("Content-Encoding".into()),
        TokenPlace::Json("/amount".into()),
        TokenPlace::Json("/status".into()),
    ];
    for place in places {
        let account = account_with(&server, vec![source("session", place)]);
        let exchange = account.send(&with_token("/rows")).await.unwrap();
        assert_eq!(exchange.body.as_ref(), br#"{"amount":"5.00","status":"approved"}"#);
        assert_eq!(exchange.header("content-encoding"), Some("gzip"));
        assert!(!exchange.masked);
        let stored = sluice_fetch::unpack_body(&exchange.headers, &exchange.wire, &FetchOptions::default()).await;
        assert_eq!(stored.unwrap(), exchange.body);
    }
}

#[tokio::test]
async fn a_rotating_token_is_not_sought_in_a_large_body() {
    // Large as it is received, and large as it is unpacked.
    for (padding, is_packed, next) in [
        (0, false, "token-of-rows-0002"),
        (2 << 20, false, "token-of-sign-in-1"),
        (2 << 20, true, "token-of-sign-in-1"),
    ] {
        let rows = format!(r#"{{"access_token":"token-of-rows-0002"}}{}"#, " ".repeat(padding));
        let rows = if is_packed { gzip(rows.as_bytes()).await } else { rows.into_bytes() };
        let server = Server::start(move |seen| match seen.path() {
            "/sign-in" => Reply::ok(r#"{"access_token":"token-of-sign-in-1"}"#),
            _ if is_packed => Reply::ok(rows.clone()).header("Content-Encoding", "gzip"),
            _ => Reply::ok(rows.clone()),
        })
        .await;
        let rotating = TokenSource { rotates: true, ..json("session") };
        let account = account_with(&server, vec![rotating]);
        for _ in 0..2 {
            account.send(&with_token("/rows")).await.unwrap();
        }
        let last = server.seen().last().and_then(|seen| seen.header("authorization").map(str::to_owned));
        assert_eq!(last, Some(format!("Bearer {next}")), "{padding} {is_packed}");
    }
}

async fn gzip(plain: &[u8]) -> Vec<u8> {
    use tokio::io::AsyncReadExt;
    let mut packed = Vec::new();
    async_compression::tokio::bufread::GzipEncoder::new(plain).read_to_end(&mut packed).await.unwrap();
    packed
}
