//! The sign-ins of real networks, all of them by templates.

use std::collections::BTreeMap;

use sluice_model::{Function, Method, Op, Request, Secret, TokenPlace, TokenSource};

use super::server::{ReceivedRequest, Reply, Server};
use super::{access, fetcher, get, text, token_source};

fn secret(slot: &str) -> Op {
    Op::Secret(slot.into())
}

fn escaped(slot: &str) -> [Op; 2] {
    [secret(slot), Op::Apply(Function::UrlEncode)]
}

/// A sign-in whose answer has the token at `/access_token`.
fn source(request: Request) -> TokenSource {
    let request = Request { key: "sign-in".into(), yields_records: false, ..request };
    token_source("session", request, TokenPlace::Json("/access_token".into()))
}

/// An `Authorization` header with the client's id and secret in base64.
fn client_credentials(scheme: &str, separator: &str) -> (String, Vec<Op>) {
    let pair = [secret("client_id"), text(separator), secret("client_secret"), Op::Join(3)];
    let mut template = vec![text(scheme)];
    template.extend(pair);
    template.push(Op::Apply(Function::Base64));
    ("Authorization".into(), template)
}

/// The sign-in that arrives at a network that accepts it if it `is_right`; its token reads the rows.
async fn signed_in(source: TokenSource, is_right: fn(&ReceivedRequest) -> bool) -> ReceivedRequest {
    let server = Server::start(move |seen| match seen.path() {
        path if path.starts_with("/token") && is_right(seen) => {
            Reply::ok(r#"{"access_token": "token-of-shop-0001", "expires_in": "3600"}"#)
        }
        "/rows" if seen.header("authorization") == Some("Bearer token-of-shop-0001") => {
            Reply::ok("rows of token-of-shop-0001")
        }
        _ => Reply::status(401, "who?"),
    })
    .await;
    let mut access = access(&server);
    let secrets =
        [("client_id", "an-id"), ("client_secret", "s3cret/one"), ("user", "me@shop"), ("password", "pa&ss+w0rd")];
    access.secrets = secrets
        .map(|(slot, value)| (slot.to_owned(), Secret::new(value.into())))
        .into_iter()
        .collect::<BTreeMap<_, _>>();
    access.tokens = vec![source];
    let mut rows = get("/rows");
    rows.headers = vec![("Authorization".into(), vec![text("Bearer "), Op::Token("session".into())])];
    let exchange = fetcher().account(access).unwrap().send(&rows).await.unwrap();
    assert_eq!((exchange.status, exchange.body.as_ref()), (200, b"rows of ***".as_slice()));
    server.seen().remove(0)
}

#[tokio::test]
async fn client_credentials_in_a_basic_header() {
    // Rakuten, Admitad: RFC 6749 section 4.4, the client in RFC 7617's header.
    let mut request = get("/token");
    request.method = Method::Post;
    request.headers = vec![
        client_credentials("Basic ", ":"),
        ("Content-Type".into(), vec![text("application/x-www-form-urlencoded")]),
    ];
    request.body = Some(vec![text("grant_type=client_credentials&scope=statistics")]);
    let seen =
        signed_in(source(request), |seen| seen.header("authorization") == Some("Basic YW4taWQ6czNjcmV0L29uZQ==")).await;
    assert_eq!(seen.body, b"grant_type=client_credentials&scope=statistics");
}

#[tokio::test]
async fn a_password_in_a_form() {
    // Tradedoubler: RFC 6749 section 4.3.
    let mut request = get("/token");
    request.method = Method::Post;
    let mut body = vec![text("grant_type=password&username=")];
    body.extend(escaped("user"));
    body.push(text("&password="));
    body.extend(escaped("password"));
    request.body = Some(body);
    let form = "grant_type=password&username=me%40shop&password=pa%26ss%2Bw0rd";
    let seen = signed_in(source(request), |seen| seen.body.starts_with(b"grant_type=password")).await;
    assert_eq!(seen.body, form.as_bytes());
}

#[tokio::test]
async fn a_get_with_key_and_secret_in_a_bearer_header() {
    // ValueCommerce: GET with `Bearer base64(key|secret)`.
    let mut request = get("/token?grant_type=client_credentials");
    request.headers = vec![client_credentials("Bearer ", "|")];
    let seen =
        signed_in(source(request), |seen| seen.header("authorization") == Some("Bearer YW4taWR8czNjcmV0L29uZQ=="))
            .await;
    assert_eq!(seen.line, "GET /token?grant_type=client_credentials HTTP/1.1");
}

#[tokio::test]
async fn a_password_in_a_soap_call() {
    let mut request = get("/token");
    request.method = Method::Post;
    let mut body = vec![text("<e:Envelope><e:Body><login><pass>")];
    body.extend([secret("password"), Op::Apply(Function::XmlEscape)]);
    body.push(text("</pass></login></e:Body></e:Envelope>"));
    request.body = Some(body);
    let seen = signed_in(source(request), |seen| {
        seen.body.ends_with(b"<pass>pa&amp;ss+w0rd</pass></login></e:Body></e:Envelope>")
    });
    assert!(seen.await.line.starts_with("POST /token"));
}
