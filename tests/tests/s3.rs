//! A lake on S3: the same as on a disk, and clear words when the store can't be used.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use chrono::{DateTime, TimeDelta, Utc};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{
    Answer, HostileServer, Operator, S3Server, all_tables, lake_sums, response, runtime, true_sums, variant,
    whole_window,
};

const HISTORY_DAYS: u32 = 20;

fn start() -> DateTime<Utc> {
    "2025-11-10T12:00:00Z".parse().unwrap()
}

#[test]
fn a_lake_on_s3_says_the_truth_as_time_passes() {
    let runtime = runtime();
    let options = Options { start: start(), history_days: HISTORY_DAYS, rows_per_day: 3, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let server = S3Server::start().unwrap();
    let networks = ["awin", "cj"];
    let mut operator = Operator::of(&simulator, &networks).unwrap();
    server.hold_lake_of(&mut operator, "some/prefix").unwrap();
    let run = |when: &str| {
        let window = whole_window(&simulator, start(), HISTORY_DAYS.into());
        let mut versions = 0;
        for network in networks {
            versions += operator.run(network, &window).unwrap()["new_versions"].as_u64().unwrap();
            assert_eq!(lake_sums(&operator, network).unwrap(), true_sums(&simulator, network), "{network} {when}");
        }
        versions
    };
    assert!(run("at first") > 0);
    assert_eq!(run("again"), 0, "an unchanged network has no new versions");
    simulator.advance(TimeDelta::days(6));
    assert!(run("later") > 0);
    assert!(!operator.join("lake").exists(), "nothing of the lake is on the disk");
    for part in ["raw/bodies", "raw/envelopes", "tables/unified/transaction_versions/_delta_log", "connectors"] {
        assert!(!server.objects(&format!("some/prefix/{part}/")).unwrap().is_empty(), "{part}");
    }
}

/// What `sluice check` says with a lake on `server`, some of the environment changed.
fn check(server: &S3Server, url: &str, environment: &[(&str, &str)]) -> Answer {
    let mut operator = Operator::empty().unwrap();
    server.hold_lake_of(&mut operator, "x").unwrap();
    environment.iter().for_each(|(name, value)| operator.set(name, value));
    operator.write("sluice.toml", &format!("[lake]\nurl = \"{url}\"\n")).unwrap();
    operator.sluice(&["check"]).unwrap()
}

#[test]
fn a_store_that_can_not_be_used_is_named_with_a_hint() {
    let open = S3Server::start().unwrap();
    let locked = S3Server::start_locked().unwrap();
    // A port that was free a moment ago: nobody answers there.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{nobody}");
    let fine = check(&open, "s3://lake/x", &[]);
    assert_eq!(fine.code, 0, "{fine:?}");
    for (code, answer, error, hint) in [
        (1, check(&open, "s3://elsewhere/x", &[]), "s3://elsewhere/x", "make the bucket"),
        (1, check(&locked, "s3://lake/x", &[]), "s3://lake/x", "check AWS_ACCESS_KEY_ID"),
        (1, check(&open, "s3://lake/x", &[("AWS_ENDPOINT_URL", &nobody)]), "s3://lake/x", "check AWS_ENDPOINT_URL"),
        (1, check(&open, "s3://lake/x", &[("AWS_ALLOW_HTTP", "false")]), "s3://lake/x", "AWS_ALLOW_HTTP=true"),
        (
            78,
            check(&open, "s3://lake/x", &[("AWS_ACCESS_KEY_ID", "")]),
            "no keys for the object store",
            "set AWS_ACCESS_KEY_ID",
        ),
    ] {
        assert_eq!(answer.code, code, "{answer:?}");
        let hints = answer.stderr.split_once("hint: ").map_or("", |(_, hint)| hint);
        assert!(answer.stderr.contains(error) && hints.contains(hint), "{answer:?}");
        assert!(!answer.stderr.contains("test-key-that-is-secret"), "{answer:?}");
    }
}

/// The client of the store obeys the environment's proxy, so that whatever address it asks is seen here.
#[test]
fn the_lake_asks_no_metadata_address_that_no_setting_names() {
    let watched = HostileServer::saying(response(503, &[], b"")).unwrap();
    let asked = |url: &str, environment: &[(&str, &str)]| {
        let mut operator = Operator::empty().unwrap();
        let proxies = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"];
        proxies.iter().for_each(|name| operator.set(name, &watched.origin()));
        environment.iter().for_each(|(name, value)| operator.set(name, value));
        operator.write("sluice.toml", &format!("[lake]\nurl = \"{url}\"\n")).unwrap();
        let answer = operator.sluice(&["check"]).unwrap();
        assert_ne!(answer.code, 0, "{url} {environment:?}: {answer:?}");
        watched.asked().into_iter().map(|ask| ask.head).collect::<Vec<_>>()
    };
    let none: &[&str] = &[];
    for url in ["s3://lake/x", "s3://key:secret@lake/x", "s3://key@lake/x"] {
        for environment in [
            &[][..],
            &[("AWS_ACCESS_KEY_ID", "")],
            &[("AWS_ENDPOINT_URL", "http://127.0.0.1:9"), ("AWS_ALLOW_HTTP", "true")],
            &[("AWS_SESSION_TOKEN", "t"), ("AWS_REGION", "eu-west-1")],
            // Half of what an identity needs is none.
            &[("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere")],
            &[("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")],
            &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/")],
            &[("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nowhere")],
            &[("AWS_SKIP_SIGNATURE", "false")],
        ] {
            assert_eq!(asked(url, environment), none, "{url} {environment:?}");
        }
    }
    // What a setting names is asked, and this test would see it.
    let named = asked("s3://lake/x", &[("AWS_METADATA_ENDPOINT", "http://169.254.169.254")]);
    assert!(named[0].contains("169.254.169.254"), "{named:?}");
}

/// What stands between an operator and a store.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Drops what makes a PUT exclusive.
    Forgetful,
    /// Refuses all that changes something.
    ReadOnly,
}

/// Passes requests on to `server`, and gives where it listens.
fn proxy(server: &S3Server, manner: Manner) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = server.endpoint().trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let upstream = upstream.clone();
            std::thread::spawn(move || pass_on(client, &upstream, manner));
        }
    });
    format!("http://{address}")
}

fn pass_on(client: TcpStream, upstream: &str, manner: Manner) -> std::io::Result<()> {
    let mut request = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        request.read_line(&mut line)?;
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        match lower.trim_end() {
            "" => break,
            text if text.starts_with("connection:") => {}
            text if text.starts_with("if-none-match:") && manner == Manner::Forgetful => {}
            _ => head.push_str(&line),
        }
    }
    let mut body = vec![0; length];
    request.read_exact(&mut body)?;
    let reads = head.starts_with("GET ") || head.starts_with("HEAD ");
    if manner == Manner::ReadOnly && !reads {
        let denied = "<Error><Code>AccessDenied</Code><Message>only reading is allowed</Message></Error>";
        let length = denied.len();
        let answer = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{denied}");
        return (&client).write_all(answer.as_bytes());
    }
    let mut server = TcpStream::connect(upstream)?;
    server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    server.write_all(&body)?;
    std::io::copy(&mut server, &mut &client)?;
    Ok(())
}

/// A lake on S3 that holds what a network reported.
struct Collected {
    _runtime: tokio::runtime::Runtime,
    simulator: Simulator,
    server: S3Server,
    operator: Operator,
}

impl Collected {
    fn under(name: &str) -> Self {
        let _runtime = runtime();
        let options = Options { start: start(), history_days: 8, rows_per_day: 3, ..Options::default() };
        let simulator = _runtime.block_on(Simulator::start(options)).unwrap();
        let server = S3Server::start().unwrap();
        let mut operator = Operator::of(&simulator, &["awin"]).unwrap();
        server.hold_lake_of(&mut operator, name).unwrap();
        operator.run("awin", &whole_window(&simulator, start(), 8)).unwrap();
        Self { _runtime, simulator, server, operator }
    }
}

#[test]
fn a_store_that_would_lose_commits_is_refused() {
    let server = S3Server::start().unwrap();
    let answer = check(&server, "s3://lake/x", &[("AWS_ENDPOINT_URL", &proxy(&server, Manner::Forgetful))]);
    assert_eq!(answer.code, 78, "{answer:?}");
    assert!(answer.stderr.contains("loses commits") && answer.stderr.contains("If-None-Match"), "{answer:?}");
}

#[test]
fn a_lake_that_may_only_be_read_is_queried() {
    let Collected { _runtime, simulator: _simulator, server, mut operator } = Collected::under("shared");
    let key = operator.sql("SELECT transaction_key AS key FROM unified.transactions LIMIT 1").unwrap().remove(0);
    operator.set("AWS_ENDPOINT_URL", &proxy(&server, Manner::ReadOnly));
    let written = operator.sluice(&["check"]).unwrap();
    assert_eq!(written.code, 1, "the store refuses to be written: {written:?}");
    for arguments in [
        &["sql", "SELECT count(*) AS n FROM unified.live_transactions"][..],
        &["status"],
        &["explain", key["key"].as_str().unwrap()],
        &["runs"],
        &["rejects"],
        &["connectors", "history", "awin"],
    ] {
        let answer = operator.sluice(arguments).unwrap();
        assert_eq!(answer.code, 0, "{arguments:?}: {answer:?}");
    }
}

#[test]
fn a_replay_over_a_lake_on_s3_is_compared_applied_and_taken_back() {
    let Collected { _runtime, simulator, server: _server, operator } = Collected::under("replayed");
    let exchanged = variant("awin", "pendingapproveddeclined", "pendingdeclinedapproved").unwrap();
    std::fs::write(operator.join("exchanged.wasm"), exchanged).unwrap();
    let replay = |arguments: &[&str]| -> serde_json::Value {
        let output = operator.succeed(&[&["--output", "json", "replay", "awin"], arguments].concat()).unwrap();
        serde_json::from_str(&output).unwrap()
    };
    let state = || {
        let tables = all_tables(&operator).unwrap();
        ["unified.transaction_versions", "unified.transactions", "awin.transactions"].map(|name| tables[name].clone())
    };
    let (first, asked) = (state(), simulator.requests().len());
    assert_eq!(replay(&["--diff"])["empty"], true);
    let diff = replay(&["--connector", "exchanged.wasm", "--diff"]);
    let words = "SELECT count(*) AS n FROM unified.transactions WHERE status_raw IN ('approved', 'declined')";
    let rows = operator.sql(words).unwrap()[0]["n"].clone();
    assert!(rows.as_u64() > Some(0));
    assert_eq!(diff["changed"]["count"], rows);
    assert_eq!(state(), first, "a diff changes nothing");
    let applied = replay(&["--connector", "exchanged.wasm", "--apply"]);
    let written = "SELECT count(*) AS n FROM unified.transaction_versions WHERE change = 'mapping-change'";
    assert_eq!(operator.sql(written).unwrap()[0]["n"], rows);
    assert_eq!(replay(&["--connector", "exchanged.wasm", "--diff"])["empty"], true);
    operator.succeed(&["replay", "awin", "--rollback", applied["applied_by"].as_str().unwrap()]).unwrap();
    assert_eq!(state(), first);
    operator.succeed(&["build", "--from-raw"]).unwrap();
    assert_eq!(state(), first, "and a rebuild on S3 makes the same");
    assert_eq!(simulator.requests().len(), asked, "no network was asked");
}
