//! Redirects: the rules of the first request apply to each hop.

use sluice_fetch::Error;
use sluice_model::{Method, Op};

use super::server::{Reply, Server};
use super::{access, account, fetcher, get, text};

#[tokio::test]
async fn a_redirect_within_the_origin_keeps_what_was_sent() {
    let server = Server::start(|seen| match seen.path() {
        "/a" => Reply::status(302, "").header("Location", "/b?x=1"),
        _ => Reply::ok("there"),
    })
    .await;
    let mut request = get("/a");
    request.headers = vec![("Authorization".into(), vec![text("Bearer "), Op::Secret("key".into())])];
    let exchange = account(&server).send(&request).await.unwrap();
    assert_eq!(exchange.body.as_ref(), b"there");
    let seen = server.seen();
    assert_eq!(seen[1].path(), "/b?x=1");
    assert_eq!(seen[1].header("authorization"), Some("Bearer k3y/of+the-shop"));
}

#[tokio::test]
async fn a_foreign_host_is_refused_by_name() {
    for location in ["https://evil.example.net/x", "https://api.example.com.evil.example.net/"] {
        let server = Server::start(move |_| Reply::status(302, "").header("Location", location)).await;
        let error = account(&server).send(&get("/a")).await.unwrap_err();
        assert!(matches!(&error, Error::Host { host, manifest: false, .. } if host.contains("evil")), "{error:?}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_redirect_to_another_private_address_is_refused() {
    let other = Server::start(|_| Reply::ok("metadata")).await;
    let location = other.url().to_string();
    let server = Server::start(move |_| Reply::status(307, "").header("Location", &location)).await;
    let error = account(&server).send(&get("/a")).await.unwrap_err();
    assert!(matches!(error, Error::Redirect { .. }), "{error:?}");
    // Even if both lists name it.
    let location = format!("https://{}/", other.url().authority());
    let host = other.url().authority().to_owned();
    let server = Server::start(move |_| Reply::status(307, "").header("Location", &location)).await;
    let mut access = access(&server);
    access.manifest_hosts.push(host.clone());
    access.operator_hosts = vec!["api.example.com".into(), host];
    let error = fetcher().account(access).unwrap().send(&get("/a")).await.unwrap_err();
    assert!(matches!(error, Error::PrivateAddress { .. }), "{error:?}");
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_body_does_not_leave_its_origin() {
    let server = Server::start(|_| Reply::status(308, "").header("Location", "https://cdn.example.com/")).await;
    let mut access = access(&server);
    access.manifest_hosts.push("cdn.example.com".into());
    access.operator_hosts = access.manifest_hosts.clone();
    let mut request = get("/a");
    request.method = Method::Post;
    request.body = Some(vec![text("b")]);
    let error = fetcher().account(access).unwrap().send(&request).await.unwrap_err();
    assert!(error.to_string().contains("doesn't go to another origin"), "{error}");
}

#[tokio::test]
async fn a_secret_echoed_into_a_redirect_does_not_leave_its_origin() {
    for echo in ["k3y/of+the-shop", "k3y%2Fof%2Bthe-shop", "k3y%2fof%2bthe-shop"] {
        let location = format!("https://cdn.example.com/?k={echo}");
        let server = Server::start(move |_| Reply::status(302, "").header("Location", &location)).await;
        let mut access = access(&server);
        access.manifest_hosts.push("cdn.example.com".into());
        access.operator_hosts = access.manifest_hosts.clone();
        let error = fetcher().account(access).unwrap().send(&get("/a")).await.unwrap_err();
        assert!(error.to_string().contains("holds a secret"), "{error}");
        assert!(!format!("{error:?}").contains(echo));
    }
}

#[tokio::test]
async fn a_post_becomes_a_get_except_by_307_and_308() {
    let server = Server::start(|seen| match seen.path() {
        "/303" => Reply::status(303, "").header("Location", "/end"),
        "/307" => Reply::status(307, "").header("Location", "/end"),
        _ => Reply::ok(""),
    })
    .await;
    for path in ["/303", "/307"] {
        let mut request = get(path);
        request.method = Method::Post;
        request.headers = vec![("Content-Type".into(), vec![text("text/plain")])];
        request.body = Some(vec![text("b")]);
        account(&server).send(&request).await.unwrap();
    }
    let seen = server.seen();
    assert_eq!((seen[1].line.as_str(), seen[1].body.len()), ("GET /end HTTP/1.1", 0));
    assert_eq!(seen[1].header("content-type"), None);
    assert_eq!((seen[3].line.as_str(), seen[3].body.len()), ("POST /end HTTP/1.1", 1));
}

#[tokio::test]
async fn a_redirect_loop_is_an_error() {
    let server = Server::start(|_| Reply::status(301, "").header("Location", "/again")).await;
    let error = account(&server).send(&get("/")).await.unwrap_err();
    assert!(error.to_string().contains("redirects again and again"), "{error}");
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test]
async fn a_redirect_without_a_location_is_a_response() {
    let server = Server::start(|_| Reply::status(302, "nowhere")).await;
    assert_eq!(account(&server).send(&get("/")).await.unwrap().status, 302);
}
