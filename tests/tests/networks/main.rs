//! Hostile networks, end to end: the real binary against servers that flood, lie, drip, bomb and never end.
//!
//! Each is one clear error that says what to do, within the limits of `[fetch]` and within bounded memory; and
//! of what came, what can be kept is in raw.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bounds;
mod rows;
mod secrets;

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::{HostileServer, Operator, response};

const TOKEN: &str = "s3cret/token+of=awin";
const LIMITS: &str =
    "[fetch]\nmax_body_bytes = 8388608\nmax_attempts = 1\nanswer_timeout_secs = 2\nrequest_timeout_secs = 3\n";
/// What a run may take beside the body, which it may hold a few times.
const MAX_PEAK_KIB: u64 = 700 << 10;

/// The outcome of a run against a hostile network.
#[derive(Debug)]
struct HostileRun {
    code: i32,
    errors: String,
    stderr: String,
    peak_kib: u64,
}

/// An operator with one account on a network that stands at `server`.
fn operator(network: &str, server: &HostileServer, limits: &str) -> Operator {
    let mut operator = Operator::empty().unwrap();
    let settings = match network {
        "awin" => json!({"publisher_id": "123456"}),
        "cj" => json!({"publisher_id": "123456", "currency": "USD"}),
        "shareasale" => json!({"affiliate_id": "123456"}),
        _ => json!({"customer_id": "123456", "affiliate_site_id": "98765"}),
    };
    let secrets = match network {
        "awin" | "cj" => json!({"token": "env:TOKEN"}),
        "shareasale" => json!({"token": "env:TOKEN", "secret_key": "env:TOKEN"}),
        _ => json!({"passphrase": "env:TOKEN"}),
    };
    operator.set("TOKEN", TOKEN);
    let sections = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n";
    operator.write("sluice.toml", &format!("{sections}{limits}")).unwrap();
    let account = json!({"name": "main", "settings": settings, "secrets": secrets});
    operator.write_network(network, &server.origin(), vec![account]).unwrap();
    operator.install(network, &format!("{network}.wasm")).unwrap();
    operator
}

/// A day of a network, with the most memory that the process ever had.
fn run(operator: &Operator, network: &str) -> HostileRun {
    run_window(operator, network, ["2026-01-01", "2026-01-02"])
}

fn run_window(operator: &Operator, network: &str, [since, until]: [&str; 2]) -> HostileRun {
    let arguments = ["--output", "json", "run", network, "--since", since, "--until", until];
    let (code, stdout, stderr, peak_kib) = output(operator, &arguments);
    let reports: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}\n{stderr}"));
    let errors: Vec<&str> = reports[0]["errors"].as_array().unwrap().iter().map(|e| e.as_str().unwrap()).collect();
    HostileRun { code, errors: errors.join("\n"), stderr, peak_kib }
}

/// What a command that fails says, and the most memory that its process ever had.
fn measured(operator: &Operator, arguments: &[&str]) -> (String, u64) {
    let (code, stdout, stderr, peak_kib) = output(operator, arguments);
    assert_ne!(code, 0, "{stdout}\n{stderr}");
    (stdout + &stderr, peak_kib)
}

fn output(operator: &Operator, arguments: &[&str]) -> (i32, String, String, u64) {
    let mut child = operator.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let reader = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).map(|_| text).unwrap()
        })
    };
    let stdout = reader(Box::new(child.stdout.take().unwrap()));
    let stderr = reader(Box::new(child.stderr.take().unwrap()));
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    let code = loop {
        peak_kib = peak_kib.max(high_water_kib(&status));
        if let Some(ended) = child.try_wait().unwrap() {
            break ended.code().unwrap_or(-1);
        }
        // Only to sample the high-water mark now and then: nothing is waited for.
        std::thread::park_timeout(Duration::from_millis(5));
    };
    (code, stdout.join().unwrap(), stderr.join().unwrap(), peak_kib)
}

/// The most memory that a process ever had; 0 once it is gone.
fn high_water_kib(status: &str) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

/// Runs a network against a server and wants one error that says all of `words`. Gives what raw holds.
fn refused(network: &str, server: &HostileServer, words: &[&str]) -> Vec<Value> {
    let operator = operator(network, server, LIMITS);
    let outcome = run(&operator, network);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    for word in words {
        assert!(outcome.errors.contains(word), "no `{word}` in {outcome:?}");
    }
    assert!(outcome.errors.len() < 1_000, "an error is read by people: {} bytes", outcome.errors.len());
    assert!(outcome.peak_kib < MAX_PEAK_KIB, "{} MiB", outcome.peak_kib >> 10);
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    kept(&operator)
}

fn kept(operator: &Operator) -> Vec<Value> {
    operator.sql("SELECT status, outcome, masked, body_bytes FROM meta.requests ORDER BY sent_at").unwrap()
}

fn outcomes(kept: &[Value]) -> Vec<&str> {
    kept.iter().map(|row| row["outcome"].as_str().unwrap()).collect()
}

fn saying(headers: &[(&str, &str)], body: &[u8]) -> HostileServer {
    HostileServer::saying(response(200, headers, body)).unwrap()
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn a_body_without_end_is_cut_and_a_sample_kept() {
    let server = HostileServer::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")?;
        loop {
            stream.write_all(&[b' '; 64 << 10])?;
        }
    })
    .unwrap();
    let kept =
        refused("awin", &server, &["body from `127.0.0.1:", "larger than 8388608 bytes", "raise `max_body_bytes`"]);
    assert_eq!(outcomes(&kept), ["broken"]);
    assert!(kept[0]["body_bytes"].as_u64().unwrap() <= 64 << 10);
}

#[test]
fn a_bomb_is_not_unpacked_and_a_sample_kept() {
    let bomb = zstd::encode_all(std::io::repeat(b'[').take(2 << 30), 3).unwrap();
    assert!(bomb.len() < 1 << 20);
    let server = saying(&[JSON, ("Content-Encoding", "zstd")], &bomb);
    let kept = refused("awin", &server, &["the unpacked body from", "larger than 8388608 bytes"]);
    assert_eq!(outcomes(&kept), ["broken"]);
}

#[test]
fn a_body_that_drips_is_given_up() {
    let server = HostileServer::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n[")?;
        loop {
            stream.write_all(b" ")?;
            stream.flush()?;
            std::thread::park_timeout(Duration::from_millis(20));
        }
    })
    .unwrap();
    let kept = refused("awin", &server, &["took longer than 3s to answer in full", "raise `request_timeout_secs`"]);
    assert_eq!(outcomes(&kept), ["broken"]);
}

#[test]
fn a_page_for_people_is_no_answer() {
    let page = b"<!DOCTYPE html><html><body>Scheduled maintenance</body></html>";
    let server = saying(&[("Content-Type", "text/html")], page);
    let kept = refused("awin", &server, &["no JSON: it begins with `<!DOCTYPE html>"]);
    assert_eq!(outcomes(&kept), ["retried"]);
    assert_eq!(kept[0]["body_bytes"], page.len());
}

#[test]
fn bytes_that_are_no_text_are_kept_and_cost_no_more_than_their_record() {
    let body = b"[{\"id\": 1, \"advertiserName\": \"\xff\xfe\xc3\x28\"}]";
    let server = saying(&[JSON], body);
    let kept = refused("awin", &server, &["1 of 1 records could not be mapped"]);
    assert_eq!(kept[0]["body_bytes"], body.len(), "{kept:?}");
}

#[test]
fn deep_documents_are_not_followed_down() {
    let deep = [b"[".repeat(4 << 20), b"]".repeat(1 << 20)].concat();
    let kept = refused("awin", &saying(&[JSON], &deep), &["too deep"]);
    assert_eq!(kept[0]["body_bytes"], deep.len());
    let deep = format!("[{{\"id\":{}1", "{\"a\":".repeat(1 << 20)).into_bytes();
    refused("awin", &saying(&[JSON], &deep), &["too deep"]);
    let soap = format!("<Envelope><Body>{}", "<a>".repeat(2 << 20)).into_bytes();
    refused("tradetracker", &soap_server(soap), &["too deep"]);
}

/// Signs in whoever asks, and answers the rest with `body`.
fn soap_server(body: Vec<u8>) -> HostileServer {
    HostileServer::start(move |ask, stream| {
        let signed_in = [("Set-Cookie", "PHPSESSID=0123456789abcdef"), ("Content-Type", "text/xml")];
        let answer = if ask.head.to_lowercase().contains("/authenticate\"") {
            response(200, &signed_in, b"<Envelope><Body/></Envelope>")
        } else {
            response(200, &[("Content-Type", "text/xml")], &body)
        };
        stream.write_all(&answer)
    })
    .unwrap()
}

#[test]
fn entities_are_not_expanded_and_not_fetched() {
    let mut laughs = String::from("<?xml version=\"1.0\"?><!DOCTYPE lolz [<!ENTITY lol \"lol\">");
    for n in 1..10 {
        let of = if n == 1 { "&lol;".to_owned() } else { format!("&lol{};", n - 1) };
        laughs.push_str(&format!("<!ENTITY lol{n} \"{}\">", of.repeat(10)));
    }
    laughs.push_str("]><Envelope><Body><r>&lol9;</r></Body></Envelope>");
    let kept = refused("tradetracker", &soap_server(laughs.into_bytes()), &["document type"]);
    assert_eq!(outcomes(&kept), ["retried"]);
    let witness = HostileServer::saying(response(200, &[], b"stolen")).unwrap();
    for system in [format!("{}/x", witness.origin()), "file:///etc/passwd".to_owned()] {
        let body =
            format!("<!DOCTYPE r [<!ENTITY x SYSTEM \"{system}\">]><Envelope><Body><r>&x;</r></Body></Envelope>");
        refused("tradetracker", &soap_server(body.into_bytes()), &["document type"]);
    }
    assert!(witness.asked().is_empty());
}

#[test]
fn pages_in_a_circle_end() {
    // Each cursor is another one than the last, and leads back after two.
    let server = HostileServer::start(|ask, stream| {
        let cursor = ask.number % 2 + 1;
        let body = format!(
            "{{\"data\":{{\"publisherCommissions\":{{\"count\":1,\"limit\":1,\"maxCommissionId\":\"{cursor}\",\
             \"payloadComplete\":false,\"records\":[]}}}}}}"
        );
        stream.write_all(&response(200, &[JSON], body.as_bytes()))
    })
    .unwrap();
    let kept = refused("cj", &server, &["asks for what was asked before", "same cursor"]);
    assert_eq!(kept.len(), 3, "each answer is kept");
}

#[test]
fn redirects_end_and_lead_nowhere_else() {
    let circle = HostileServer::saying(response(302, &[("Location", "/again")], b"")).unwrap();
    refused("awin", &circle, &["it redirects again and again", "networks/awin.json"]);
    assert_eq!(circle.asked().len(), 6);
    let private = HostileServer::saying(response(200, &[JSON], b"[]")).unwrap();
    for (location, word) in [
        ("http://169.254.169.254/latest/meta-data/".to_owned(), "is not https"),
        ("https://169.254.169.254/".to_owned(), "may not ask `169.254.169.254`"),
        ("https://[fd00:ec2::254]/".to_owned(), "may not ask `[fd00:ec2::254]`"),
        (private.origin(), "is not https"),
        ("https://evil.example.com/".to_owned(), "add `\"evil.example.com\"` to `hosts`"),
        ("//user:pass@api.awin.com/".to_owned(), "holds credentials"),
    ] {
        let server = HostileServer::saying(response(302, &[("Location", &location)], b"")).unwrap();
        refused("awin", &server, &[word]);
    }
    assert!(private.asked().is_empty());
}

#[test]
fn a_year_is_not_waited_for() {
    let server = HostileServer::saying(response(429, &[("Retry-After", "31536000")], b"slow down")).unwrap();
    let operator = operator("awin", &server, "[fetch]\nmax_attempts = 3\n");
    let outcome = run(&operator, "awin");
    assert!(outcome.errors.contains("a pause of 31536000s, longer than a run waits"), "{outcome:?}");
    assert_eq!((outcome.code, server.asked().len()), (1, 1));
    assert_eq!(outcomes(&kept(&operator)), ["retried"]);
}

#[test]
fn headers_without_end_are_cut() {
    let server = HostileServer::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            stream.write_all(b"X-Flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")?;
        }
    })
    .unwrap();
    assert!(refused("awin", &server, &["the headers from", "raise `max_header_bytes`"]).is_empty());
}
