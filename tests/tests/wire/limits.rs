//! What a client can't take: time, memory, rows, connections, and the service itself.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sluice_tests::{Wire, answer};

const LIMITS: &str = "[limits]\nquery_secs = 5\nquery_memory_mb = 64\nquery_rows = 1000\n";
/// More rows than anybody counts in a minute.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value % 7 = b.value % 11";

/// Processes of sessions.
fn sessions(wire: &Wire) -> usize {
    let service = wire.api.service.id().to_string();
    let is_session = |process: &Path| {
        let read = |name: &str| std::fs::read_to_string(process.join(name)).unwrap_or_default();
        let parent = read("status").lines().find_map(|line| line.strip_prefix("PPid:").map(|id| id.trim().to_owned()));
        parent.as_ref() == Some(&service) && read("cmdline").contains("wire-session")
    };
    std::fs::read_dir("/proc").unwrap().filter(|entry| is_session(&entry.as_ref().unwrap().path())).count()
}

/// Waits for a fact.
fn until(fact: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !fact() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_query_has_its_limits_and_the_service_goes_on() {
    let mut wire = Wire::start(LIMITS).unwrap();
    for (sql, reported) in [
        (ENDLESS, "the query took longer than 5 s"),
        ("WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t", ""),
        ("SELECT * FROM generate_series(1, 100000)", "more than 1000 rows"),
        ("SELECT array_agg(repeat('x', 1000000)) FROM generate_series(1, 1000)", ""),
        ("SELECT repeat('x', 2000000000)", ""),
        ("SELECT max(a.value || repeat('x', 10000)) OVER (ORDER BY a.value) FROM generate_series(1, 100000) a", ""),
    ] {
        let answer = wire.ask(sql).unwrap();
        assert!(answer.code != 0 && answer.stderr.contains(reported), "{sql}: {} {}", answer.code, answer.stderr);
        assert!(!answer.stderr.is_empty(), "{sql}");
        assert_eq!(wire.rows("SELECT 1").unwrap(), "1", "after {sql}");
    }
    assert!(wire.api.service.is_alive());
    let answer =
        wire.ask("SET statement_timeout = 100; SET statement_timeout = '1min'; SHOW statement_timeout").unwrap();
    assert_eq!(answer.stdout.lines().last(), Some("1min"), "{answer:?}");
    let answer = wire.ask(&format!("SET statement_timeout = 100; {ENDLESS}")).unwrap();
    assert!(answer.code != 0 && answer.stderr.contains("took longer than 0 s"), "{answer:?}");
}

#[test]
fn a_client_that_goes_or_cancels_ends_its_query() {
    let wire = Wire::start("queries = 1\n").unwrap();
    let start = |sql: &str| {
        let mut command = wire.psql("analyst", &wire.token, "sluice", &["-c", sql]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut gone = start(ENDLESS);
    until(|| sessions(&wire) == 1, "no session");
    gone.kill().unwrap();
    gone.wait().unwrap();
    until(|| sessions(&wire) == 0, "the session of a client that has gone goes on");
    // Its permit is free again, and one that is cancelled gives it back.
    let mut command = wire.psql("analyst", &wire.token, "sluice", &["-A", "-t", "-c", "SELECT 1", "-c", ENDLESS]);
    let mut cancelled = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(cancelled.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first.trim(), "1");
    let waiting = start("SELECT 7");
    until(|| sessions(&wire) == 2, "no session");
    let deadline = Instant::now() + Duration::from_secs(60);
    while cancelled.try_wait().unwrap().is_none() {
        // psql sends a request to cancel; one that comes before the query has begun cancels nothing.
        Command::new("kill").args(["-INT", &cancelled.id().to_string()]).status().unwrap();
        assert!(Instant::now() < deadline, "a query that is cancelled goes on");
    }
    let ended = cancelled.wait_with_output().unwrap();
    let reported = String::from_utf8_lossy(&ended.stderr);
    assert!(reported.contains("canceling statement due to user request"), "{reported}");
    let answered = waiting.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&answered.stdout).contains('7'), "the one that waited");
}

#[test]
fn connections_are_counted() {
    let wire = Wire::start("connections = 2\n").unwrap();
    let hold = || {
        let mut command = wire.psql("analyst", &wire.token, "sluice", &[]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut held = [hold(), hold()];
    until(|| sessions(&wire) == 2, "no sessions");
    let refused = answer(wire.psql("analyst", &wire.token, "sluice", &["-c", "SELECT 1"])).unwrap();
    assert!(refused.code != 0 && refused.stderr.contains("as many connections as may be"), "{refused:?}");
    held[0].kill().unwrap();
    held[0].wait().unwrap();
    until(|| sessions(&wire) == 1, "a session goes on");
    assert_eq!(wire.rows("SELECT 1").unwrap(), "1");
    held[1].kill().unwrap();
    held[1].wait().unwrap();
}

#[test]
fn garbage_ends_its_own_connection() {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    let mut wire = Wire::start("").unwrap();
    let send = |bytes: &[u8]| {
        let mut socket = TcpStream::connect(format!("127.0.0.1:{}", wire.port)).unwrap();
        socket.write_all(bytes).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        answer
    };
    let startup = b"\0\0\0\x1a\0\x03\0\0user\0analyst\0\0";
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\xff\xff\xff\xff\0\x03\0\0",
        b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x01",
        b"",
        startup,
        &[&startup[..], b"p\0\0\0\x08abc\0"].concat(),
        &[&startup[..], b"Q\0\0\0\x0dSELECT 1\0"].concat(),
    ] {
        let answer = send(bytes);
        assert!(!answer.windows(8).any(|part| part == b"SELECT 1"), "{bytes:?}");
    }
    assert_eq!(wire.rows("SELECT 1").unwrap(), "1");
    assert!(wire.api.service.is_alive());
    until(|| sessions(&wire) == 0, "a session goes on");
}
