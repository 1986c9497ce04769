//! One honest network in a service, alone and beside attackers, one after another: how long its run takes, whether its rows
//! are the same, how much memory the process takes, and whether `sluice status` names the attacker.
//!
//! The attackers are guests of `tests/guests/`, and networks whose bodies are small and costly, or large and slow.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use serde_json::{Value, json};
use sluice_guests::{Guest, case, follows_with_libraries};
use sluice_tests::{HostileServer, Operator, response};

use crate::load::{self, Load, Service};
use crate::network::{Address, Network, ROWS_PER_REQUEST};
use crate::process;

/// What `networks/attacker.json` and its log lines are called.
const NAME: &str = "attacker";
/// How the honest network's line of the log begins: it is named as `load` names it.
const HONEST: &str = " n00: ";
/// Accounts of an attacker, each of which has a slice.
const ACCOUNTS: usize = 8;
/// How long an attacker has until a status must name it.
const NAMED_AFTER: Duration = Duration::from_secs(90);
/// Between two looks at the status.
const LOOK: Duration = Duration::from_secs(1);
/// Limits that let attackers end soon. None is stricter than an honest network needs.
const LIMITS: &str = "[limits]\ncall_timeout_ms = 2000\nslice_timeout_secs = 30\nrequests_per_slice = 200\n\
     splits_per_run = 20\n[fetch]\nread_timeout_secs = 5\nrequest_timeout_secs = 20\nmax_attempts = 2\n";

/// What an attacker did to an honest network.
#[derive(Serialize)]
pub(crate) struct Attacked {
    /// The attacker.
    pub(crate) what: String,
    /// Seconds of the honest network's run.
    pub(crate) wall_secs: f64,
    /// The same without the attacker.
    pub(crate) alone_secs: f64,
    /// Most memory of the service, the attacker's run included.
    pub(crate) peak_mib: f64,
    /// Whether the honest network's rows are the same.
    pub(crate) same_rows: bool,
    /// Whether `sluice status` names the attacker and what is wrong.
    pub(crate) is_named: bool,
}

struct Attacker {
    what: &'static str,
    component: Vec<u8>,
    /// The connector's id.
    id: String,
    origin: String,
    _server: Option<HostileServer>,
}

/// Serves the honest network alone, and then beside each attacker.
pub(crate) fn measure(quick: bool, sluice: &Path, connectors: &Path) -> anyhow::Result<Vec<Attacked>> {
    let load = if quick {
        Load { networks: 1, accounts: 2, windows: 2, rows_each: ROWS_PER_REQUEST }
    } else {
        Load { networks: 1, accounts: 20, windows: 12, rows_each: ROWS_PER_REQUEST }
    };
    let network = Network::start(ROWS_PER_REQUEST)?;
    let honest = || honest(load, &network.address, sluice, connectors);
    let alone = served(&honest()?, None)?;
    let mut attacked = Vec::new();
    for attacker in attackers()? {
        let operator = honest()?;
        invite(&operator, &attacker)?;
        let beside = served(&operator, Some(&attacker))?;
        attacked.push(Attacked {
            what: attacker.what.to_owned(),
            wall_secs: beside.wall_secs,
            alone_secs: alone.wall_secs,
            peak_mib: beside.peak_mib,
            same_rows: beside.rows == alone.rows,
            is_named: beside.is_named,
        });
    }
    Ok(attacked)
}

fn honest(load: Load, address: &Address, sluice: &Path, connectors: &Path) -> anyhow::Result<Operator> {
    let operator = load::one_network(load, address, sluice, connectors)?;
    let settings = std::fs::read_to_string(operator.join("sluice.toml"))?;
    operator.write("sluice.toml", &format!("{settings}{LIMITS}"))?;
    Ok(operator)
}

fn invite(operator: &Operator, attacker: &Attacker) -> anyhow::Result<()> {
    operator.put_connector(&format!("{}.wasm", attacker.id), &attacker.component)?;
    let account = |number: usize| json!({"name": format!("a{number}"), "settings": {}, "secrets": {}});
    let file = json!({
        "connector": attacker.id, "schedule": "* * * * *", "base_url": attacker.origin,
        "look_back": [{"every": "1h", "days": 1}],
        "rate": {"requests": 1000, "per_secs": 1, "concurrency": 16},
        "accounts": (0..ACCOUNTS).map(account).collect::<Vec<_>>(),
    });
    operator.write(&format!("networks/{NAME}.json"), &file.to_string())
}

/// What a service gave.
struct ServedBeside {
    wall_secs: f64,
    peak_mib: f64,
    rows: Vec<Value>,
    is_named: bool,
}

/// Serves until the honest network was run once, and a status names the attacker.
fn served(operator: &Operator, attacker: Option<&Attacker>) -> anyhow::Result<ServedBeside> {
    let start = Instant::now();
    let (sender, log) = channel();
    let service = Service::start(operator, sender)?;
    until_honest_is_over(&log)?;
    let wall_secs = start.elapsed().as_secs_f64();
    let is_named = attacker.map_or(Ok(true), |attacker| is_named(operator, &attacker.id))?;
    let peak_mib = process::of_running(service.child(), start)?.peak_mib;
    drop(service);
    let rows = operator.sql(
        "SELECT transaction_key AS k, version AS v, change AS c, encode(content_hash, 'hex') AS h
         FROM unified.transaction_versions WHERE network = 'awin' ORDER BY 1, 2",
    )?;
    Ok(ServedBeside { wall_secs, peak_mib, rows, is_named })
}

fn until_honest_is_over(log: &Receiver<String>) -> anyhow::Result<()> {
    loop {
        let line = log.recv_timeout(load::PATIENCE).context("the honest network's run doesn't end")?;
        if line.contains(HONEST) && line.contains(load::OVER) {
            return Ok(());
        }
    }
}

/// Looks at the status until it names a network with what failed, or a connector with why it isn't let in.
fn is_named(operator: &Operator, id: &str) -> anyhow::Result<bool> {
    let begun = Instant::now();
    while begun.elapsed() < NAMED_AFTER {
        let answer = operator.sluice(&["status"])?;
        let output = [answer.stdout, answer.stderr].concat();
        let is_wrong = |line: &str| line.contains("no connector") || line.contains("doubtful: ");
        let of_stream = output.lines().skip_while(|line| !(line.starts_with("  ") && line.contains(id)));
        let has_failed = of_stream.take_while(|line| line.starts_with("  ")).any(|line| line.contains(": failed "));
        if has_failed || output.lines().any(|line| line.contains(id) && is_wrong(line)) {
            return Ok(true);
        }
        #[expect(clippy::disallowed_methods, reason = "another process's state is only seen by looking")]
        std::thread::sleep(LOOK);
    }
    Ok(false)
}

fn attackers() -> anyhow::Result<Vec<Attacker>> {
    let mut attackers = Vec::new();
    for name in ["spins-in-map", "fills-its-memory", "returns-gigabytes", "follows-forever", "splits-forever"] {
        let component = case(name)?.component.context("it is made by other tools")?;
        let server = answering(b"application/json", br#"{"data":[{"id":"1"},{"id":"2"}]}"#.to_vec())?;
        let origin = server.origin();
        attackers.push(Attacker { what: name, component, id: name.to_owned(), origin, _server: Some(server) });
    }
    let json = json!({"json": "/data"});
    attackers.push(network("xml-attributes", &json!({"xml": "r.row"}), b"text/xml", many_attributes(1_000_000))?);
    attackers.push(network("one-wide-record", &json, b"application/json", one_wide_record())?);
    attackers.push(names_on_each_page(&json)?);
    attackers.push(network("bodies-of-200-mb", &json, b"application/json", large_body(200 << 20))?);
    attackers.push(slow(&json)?);
    attackers.push(libraries()?);
    let padded = [one_wide_record(), vec![b' '; 4 << 20]].concat();
    attackers.push(network("padded-wide-records", &json, b"application/json", padded)?);
    attackers.push(large_then_drips(&json)?);
    Ok(attackers)
}

/// An attacker whose connector is honest.
fn network(what: &'static str, format: &Value, kind: &[u8], body: Vec<u8>) -> anyhow::Result<Attacker> {
    of_server(what, format, answering(kind, body)?)
}

fn of_server(what: &'static str, format: &Value, server: HostileServer) -> anyhow::Result<Attacker> {
    let description = json!({"stream": {"layout": {"format": format, "inputs": [], "key": []}}});
    let component = Guest::new(NAME, &description).component()?;
    Ok(Attacker { what, component, id: NAME.to_owned(), origin: server.origin(), _server: Some(server) })
}

fn answering(kind: &[u8], body: Vec<u8>) -> anyhow::Result<HostileServer> {
    let kind = String::from_utf8_lossy(kind).into_owned();
    HostileServer::saying(response(200, &[("content-type", &kind)], &body))
}

fn many_attributes(count: usize) -> Vec<u8> {
    let attributes: String = (0..count).map(|n| format!(" a{n}=\"\"")).collect();
    format!("<r><row{attributes}/></r>").into_bytes()
}

fn one_wide_record() -> Vec<u8> {
    let wide: Vec<String> = (0..9_990).map(|n| format!("\"f{n}\":1")).collect();
    let narrow = vec!["{\"f1\":1}"; 13_000].join(",");
    format!("{{\"data\":[{{{}}},{narrow}]}}", wide.join(",")).into_bytes()
}

fn large_body(bytes: usize) -> Vec<u8> {
    let record = r#"{"id":"0123456789","text":"a text that is as long as texts of networks are, more or less"}"#;
    let count = bytes / (record.len() + 1);
    format!("{{\"data\":[{}]}}", vec![record; count].join(",")).into_bytes()
}

/// Other names on each page.
fn names_on_each_page(format: &Value) -> anyhow::Result<Attacker> {
    let server = HostileServer::start(|ask, stream| {
        let orders: Vec<String> = (0..9_000).map(|n| format!("\"o{}-{n}\":{{\"sum\":{n}}}", ask.number)).collect();
        let body = format!("{{\"data\":[{{{}}}]}}", orders.join(","));
        stream.write_all(&response(200, &[("content-type", "application/json")], body.as_bytes()))
    })?;
    of_server("names-on-each-page", format, server)
}

/// Each answer leads to a request with 8 MiB of NULs.
fn libraries() -> anyhow::Result<Attacker> {
    let server = HostileServer::start(|ask, stream| {
        let body = format!("{{\"data\":[{{\"id\":\"{}\"}}]}}", ask.number);
        stream.write_all(&response(200, &[("content-type", "application/json")], body.as_bytes()))
    })?;
    let component = follows_with_libraries(NAME).component()?;
    let (what, id, origin) = ("follows-with-libraries", NAME.to_owned(), server.origin());
    Ok(Attacker { what, component, id, origin, _server: Some(server) })
}

/// One large body, and then bodies that come byte by byte.
fn large_then_drips(format: &Value) -> anyhow::Result<Attacker> {
    let large = response(200, &[("content-type", "application/json")], &large_body(26 << 20));
    let server = HostileServer::start(move |ask, stream: &mut TcpStream| {
        if ask.number == 0 {
            return stream.write_all(&large);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{\"data\":[")?;
        loop {
            stream.write_all(b" ")?;
            #[expect(clippy::disallowed_methods, reason = "a server that is slow")]
            std::thread::sleep(Duration::from_millis(20));
        }
    })?;
    of_server("large-then-drips", format, server)
}

/// A body that never ends, a piece now and then.
fn slow(format: &Value) -> anyhow::Result<Attacker> {
    let server = HostileServer::start(|_, stream: &mut TcpStream| {
        stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-length: 268435456\r\ncontent-type: application/json\r\n\r\n{\"data\":[",
        )?;
        loop {
            stream.write_all(&[b' '; 64 << 10])?;
            #[expect(clippy::disallowed_methods, reason = "a server that is slow")]
            std::thread::sleep(Duration::from_millis(20));
        }
    })?;
    of_server("slow-bodies", format, server)
}
