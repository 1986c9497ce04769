//! The attackers, by the row of the issue's table that they are of: guests of `tests/guests/` and of this file, and networks
//! whose bodies are small and costly, or large and slow.

mod networks;

use serde_json::{Value, json};
use sluice_guests::{Guest, case, follows_with_libraries};
use sluice_tests::{HostileServer, response};

use networks as network;

/// What `networks/attacker.json`, its log lines and most of the guests are called.
pub(super) const NAME: &str = "attacker";
/// Accounts of an attacker, each of which has a slice.
const ACCOUNTS: usize = 8;
const JSON: &str = "application/json";

pub(super) struct Attacker {
    pub(super) what: &'static str,
    /// The row of the issue's table; 0: a guest that was known before.
    pub(super) row: u8,
    pub(super) component: Vec<u8>,
    /// The connector's id.
    pub(super) id: String,
    pub(super) origin: String,
    pub(super) accounts: usize,
    /// Slots of secrets.
    pub(super) secrets: Vec<&'static str>,
    /// What their secrets are read from; none: a variable of the environment.
    pub(super) secret: Option<&'static str>,
    /// What stands in the place of its settings.
    pub(super) settings: Settings,
    /// What clients of the API ask, each of them again and again.
    pub(super) queries: &'static [&'static str],
    /// Whether something is wrong with it that a status must name. What is masked, or left as it is, isn't.
    pub(super) fails: bool,
    _server: HostileServer,
}

/// The file `networks/attacker.json`.
pub(super) enum Settings {
    /// As an operator writes it.
    Right,
    /// Another text.
    Text(&'static str),
    /// A pipe that nobody writes to.
    Pipe,
}

impl Attacker {
    fn new(what: &'static str, row: u8, guest: &Guest, server: HostileServer) -> anyhow::Result<Self> {
        Self::of_component(what, row, (NAME, guest.component()?), server)
    }

    fn of_component(
        what: &'static str,
        row: u8,
        (id, component): (&str, Vec<u8>),
        server: HostileServer,
    ) -> anyhow::Result<Self> {
        let (id, origin) = (id.to_owned(), server.origin());
        Ok(Self {
            what,
            row,
            component,
            id,
            origin,
            accounts: ACCOUNTS,
            secrets: vec![],
            secret: None,
            settings: Settings::Right,
            queries: &[],
            fails: true,
            _server: server,
        })
    }
}

/// All of them, by row.
pub(super) fn attackers() -> anyhow::Result<Vec<Attacker>> {
    let mut attackers = Vec::new();
    for name in ["spins-in-map", "fills-its-memory", "returns-gigabytes", "follows-forever", "splits-forever"] {
        let component = case(name)?.component.unwrap_or_default();
        attackers.push(Attacker::of_component(name, 0, (name, component), two_records()?)?);
    }
    attackers.extend(slices()?);
    attackers.push(Attacker::new("xml-attributes", 2, &reads(&xml()), network::xml_attributes()?)?);
    attackers.push(Attacker::new("values-of-attributes", 2, &asks_for_values(), network::xml_attributes()?)?);
    attackers.push(Attacker::new("follows-with-libraries", 3, &follows_with_libraries(NAME), network::numbers()?)?);
    attackers.extend(texts()?);
    attackers.extend(tokens()?);
    attackers.push(network("one-wide-record", 6, network::wide_records(0)?)?);
    attackers.push(network("padded-wide-records", 6, network::wide_records(4 << 20)?)?);
    attackers.push(network("bodies-of-200-mb", 6, network::large_bodies(200 << 20)?)?);
    attackers.push(network("slow-bodies", 6, network::slow_bodies()?)?);
    attackers.push(network("large-then-drips", 6, network::large_then_drips()?)?);
    attackers.push(network("names-on-each-page", 7, network::names_on_each_page()?)?);
    attackers.push(unknown_words()?);
    attackers.push(device_as_secret()?);
    attackers.extend(settings()?);
    attackers.push(queries()?);
    Ok(attackers)
}

/// A network whose connector is honest.
fn network(what: &'static str, row: u8, server: HostileServer) -> anyhow::Result<Attacker> {
    Attacker::new(what, row, &reads(&json!({"json": "/data"})), server)
}

/// An honest connector of one stream.
fn reads(format: &Value) -> Guest {
    Guest::new(NAME, &json!({"stream": {"layout": {"format": format, "inputs": [], "key": []}}}))
}

fn xml() -> Value {
    json!({"xml": "r.row"})
}

fn two_records() -> anyhow::Result<HostileServer> {
    HostileServer::saying(response(200, &[("content-type", JSON)], br#"{"data":[{"id":"1"},{"id":"2"}]}"#))
}

/// Row 1: more slices than a run may have, and as many as one account may have, each of which fails.
fn slices() -> anyhow::Result<[Attacker; 2]> {
    let guest = Guest::new(NAME, &json!({"stream": {"max-window-secs": 1}}));
    let beyond = Attacker::new("slices-beyond-the-limit", 1, &guest, two_records()?)?;
    let fails = HostileServer::saying(response(200, &[("content-type", JSON)], b"<html>"))?;
    let most = Attacker::new("slices-up-to-the-limit", 1, &guest, fails)?;
    Ok([beyond, Attacker { accounts: 1, ..most }])
}

/// Row 3: thousands of slices, each of which gives a long text that the host keeps, or quotes in an error.
fn texts() -> anyhow::Result<[Attacker; 3]> {
    let guest = |mut of: Value| {
        of["stream"] = json!({"max-window-secs": 1});
        Guest::new(NAME, &of)
    };
    let plans = |url: &str, body: Value| {
        let request = json!({"key": "1", "url": [{"text": url}], "body": body, "yields-records": true});
        guest(json!({"plan": {"ok": [request]}}))
    };
    let cursors = guest(json!({"follow": {"ok": {"verdict": "done", "cursor": "x".repeat(60_000)}}}));
    let long_host = plans(&format!("https://{}example.com/", "a.".repeat(1 << 20)), Value::Null);
    let pattern = plans("https://api.example.com/sales", json!([{"now": "%c".repeat(1 << 20)}]));
    let attackers = [
        Attacker::new("a-cursor-of-each-slice", 3, &cursors, two_records()?)?,
        Attacker::new("a-host-of-2-mb", 3, &long_host, two_records()?)?,
        Attacker::new("a-pattern-of-2-mb", 3, &pattern, two_records()?)?,
    ];
    Ok(attackers.map(|one| Attacker { accounts: 1, ..one }))
}

/// Row 10: a device in the place of a secret.
fn device_as_secret() -> anyhow::Result<Attacker> {
    let slot = json!([{"name": "key", "meaning": "A key.", "required": true}]);
    let guest = Guest::new(NAME, &json!({"manifest": {"secrets": slot}}));
    let device = Attacker::new("a-device-as-secret", 10, &guest, two_records()?)?;
    Ok(Attacker { accounts: 1, secrets: vec!["key"], secret: Some("file:/dev/zero"), ..device })
}

/// Rows 10 and 11: settings that can't be read, and ones with a mistake in a line that holds a password.
fn settings() -> anyhow::Result<[Attacker; 2]> {
    let mistake = r#"{"connector": "attacker", "base_url": "https://user:pa55word@127.0.0.1/, "accounts": []}"#;
    let with = |what: &'static str, row: u8, settings: Settings| -> anyhow::Result<Attacker> {
        Ok(Attacker { settings, ..network(what, row, two_records()?)? })
    };
    Ok([
        with("a-pipe-as-settings", 10, Settings::Pipe)?,
        with("a-mistake-beside-a-password", 11, Settings::Text(mistake))?,
    ])
}

/// Row 12: queries that would end the process, take all memory, or never end. Their clients see why, no status does.
fn queries() -> anyhow::Result<Attacker> {
    let queries = &[
        "SELECT length(repeat('x', 2000000000)) AS n",
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
        "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b",
        "SELECT 9223372036854775807 + v.value FROM generate_series(1, 10) v",
    ];
    Ok(Attacker { queries, fails: false, ..network("queries-without-end", 12, two_records()?)? })
}

/// Row 2: a guest that asks for values of a costly body until it is stopped.
fn asks_for_values() -> Guest {
    let call = "(call $value-at $body $place (i32.const 14) (i32.const 512))";
    Guest::new(
        NAME,
        &json!({
            "stream": {"layout": {"format": "opaque", "inputs": [], "key": []}},
            "values": {"place": "r.row.@a999999"},
            "map-response": format!("(loop $again {call} (br $again)) unreachable"),
        }),
    )
}

/// Rows 4, 5 and 8: sign-ins.
fn tokens() -> anyhow::Result<[Attacker; 4]> {
    let guest = |place: Value, slot: Value| {
        let mut manifest = json!({
            "secrets": [{"name": "key", "meaning": "A key.", "required": true}],
            "tokens": [{
                "name": "session", "value": place, "lifetime-secs": 3600, "rotates": false,
                "request": {"key": "sign-in", "url": [{"text": "https://api.example.com/token"}], "yields-records": false},
            }],
        });
        let mut header = vec![json!({"text": "Bearer "})];
        header.extend(slot.as_array().into_iter().flatten().cloned());
        if slot.is_null() {
            header.push(json!({"token": "session"}));
        } else {
            manifest["tokens"] = json!([]);
        }
        let request = json!({
            "key": "page-1", "url": [{"text": "https://api.example.com/sales"}], "yields-records": true,
            "headers": [["authorization", header]],
        });
        Guest::new(NAME, &json!({"manifest": manifest, "plan": {"ok": [request]}}))
    };
    let (place, no_slot) = (json!({"json": "/access_token"}), Value::Null);
    let framing = guest(json!({"header": "content-encoding"}), no_slot.clone());
    let twice = json!([{"secret": "key"}, {"apply": "hex"}, {"apply": "hex"}]);
    let attackers = [
        Attacker::new("token-in-a-framing-header", 4, &framing, network::tokens("5.00")?)?,
        Attacker::new("token-is-an-amount", 4, &guest(place.clone(), no_slot.clone()), network::tokens("5.00")?)?,
        Attacker::new("echoes-its-secret", 5, &guest(place.clone(), twice), network::echoes()?)?,
        Attacker::new("sign-ins-of-250-mb", 8, &guest(place, no_slot), network::large_sign_ins(250 << 20)?)?,
    ];
    let is_harmless = |what: &str| ["token-is-an-amount", "echoes-its-secret"].contains(&what);
    Ok(attackers.map(|one| Attacker { secrets: vec!["key"], fails: !is_harmless(one.what), ..one }))
}

/// Row 9: an answer with a thousand words that nobody knows, each time others. They are data, and counted as such.
fn unknown_words() -> anyhow::Result<Attacker> {
    let words: Vec<String> = (0..1_000).map(|n| format!("word-{n}")).collect();
    let state = json!({"key": "again", "url": [{"text": "https://api.example.com/sales"}], "yields-records": true});
    let guest = Guest::new(
        NAME,
        &json!({
            "map-response": {"ok": {"unknown-statuses": words}},
            "follow": {"ok": {"verdict": {"more": [state]}}},
        }),
    );
    Attacker::new("a-thousand-unknown-words", 9, &guest, network::numbers()?)
}
