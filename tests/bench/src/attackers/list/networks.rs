//! Servers of hostile networks.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use sluice_tests::{HostileServer, response};

use super::JSON;

const KIND: (&str, &str) = ("content-type", JSON);
/// Between two pieces of a body that is slow.
const PAUSE: Duration = Duration::from_millis(20);

fn json(body: &[u8]) -> Vec<u8> {
    response(200, &[KIND], body)
}

/// One element with a million attributes.
pub(super) fn xml_attributes() -> anyhow::Result<HostileServer> {
    let attributes: String = (0..1_000_000).map(|n| format!(" a{n}=\"\"")).collect();
    let body = format!("<r><row{attributes}/></r>");
    HostileServer::saying(response(200, &[("content-type", "text/xml")], body.as_bytes()))
}

/// One record of many fields and many of one, and so many blanks.
pub(super) fn wide_records(padding: usize) -> anyhow::Result<HostileServer> {
    let wide: Vec<String> = (0..9_990).map(|n| format!("\"f{n}\":1")).collect();
    let narrow = vec!["{\"f1\":1}"; 13_000].join(",");
    let body = format!("{{\"data\":[{{{}}},{narrow}]}}{}", wide.join(","), " ".repeat(padding));
    HostileServer::saying(json(body.as_bytes()))
}

fn large_body(bytes: usize) -> Vec<u8> {
    let record = r#"{"id":"0123456789","text":"a text that is as long as texts of networks are, more or less"}"#;
    let count = bytes / (record.len() + 1);
    format!("{{\"data\":[{}]}}", vec![record; count].join(",")).into_bytes()
}

/// Bodies of so many bytes, at full speed.
pub(super) fn large_bodies(bytes: usize) -> anyhow::Result<HostileServer> {
    HostileServer::saying(json(&large_body(bytes)))
}

/// One record with the number of the request, so that no page is like another.
pub(super) fn numbers() -> anyhow::Result<HostileServer> {
    HostileServer::start(|ask, stream| {
        let body = format!("{{\"data\":[{{\"id\":\"{}\"}}]}}", ask.number);
        stream.write_all(&json(body.as_bytes()))
    })
}

/// Other names on each page.
pub(super) fn names_on_each_page() -> anyhow::Result<HostileServer> {
    HostileServer::start(|ask, stream| {
        let orders: Vec<String> = (0..4_500).map(|n| format!("\"o{}-{n}\":{{\"sum\":{n}}}", ask.number)).collect();
        stream.write_all(&json(format!("{{\"data\":[{{{}}}]}}", orders.join(",")).as_bytes()))
    })
}

/// Gives this token, and data in which it stands.
pub(super) fn tokens(token: &'static str) -> anyhow::Result<HostileServer> {
    HostileServer::start(move |_, stream| {
        let body = format!("{{\"access_token\":\"{token}\",\"data\":[{{\"id\":\"1\",\"amount\":\"{token}\"}}]}}");
        stream.write_all(&json(body.as_bytes()))
    })
}

/// Gives back what it was authorised with, many times, as text and escaped.
pub(super) fn echoes() -> anyhow::Result<HostileServer> {
    HostileServer::start(|ask, stream| {
        let sent = ask
            .head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("authorization: bearer ").map(str::to_owned));
        let sent = sent.unwrap_or_default();
        let escaped: String = sent.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        let records = vec![format!("{{\"id\":\"{sent}\",\"text\":\"{escaped}\"}}"); 10_000];
        stream.write_all(&json(format!("{{\"data\":[{}]}}", records.join(",")).as_bytes()))
    })
}

/// A sign-in's answer of so many bytes.
pub(super) fn large_sign_ins(bytes: usize) -> anyhow::Result<HostileServer> {
    let body = format!("{{\"padding\":\"{}\",\"access_token\":\"0123456789abcdef\"}}", "x".repeat(bytes));
    HostileServer::saying(json(body.as_bytes()))
}

/// One large body, and then bodies that come byte by byte.
pub(super) fn large_then_drips() -> anyhow::Result<HostileServer> {
    let large = json(&large_body(26 << 20));
    HostileServer::start(move |ask, stream: &mut TcpStream| {
        if ask.number == 0 {
            return stream.write_all(&large);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{\"data\":[")?;
        slowly(stream, b" ")
    })
}

/// A body that never ends, a piece now and then.
pub(super) fn slow_bodies() -> anyhow::Result<HostileServer> {
    HostileServer::start(|_, stream: &mut TcpStream| {
        stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-length: 268435456\r\ncontent-type: application/json\r\n\r\n{\"data\":[",
        )?;
        slowly(stream, &[b' '; 64 << 10])
    })
}

fn slowly(stream: &mut TcpStream, piece: &[u8]) -> std::io::Result<()> {
    loop {
        stream.write_all(piece)?;
        #[expect(clippy::disallowed_methods, reason = "a server that is slow")]
        std::thread::sleep(PAUSE);
    }
}
