//! Hostile guests: each of `tests/guests/` is stopped within its limits, named in one error, and survived.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use arrow::array::{Array, StringArray};
use bytes::Bytes;
use sluice_engine::{Connector, Engine, EngineOptions, Error, Limits};
use sluice_guests::{Case, Guest, Stage, cases};
use sluice_model::{Axis, Mapped, Request, Response, Slice, Verdict};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, Service, Sums, lake_sums, true_sums};

/// Two records, as every network of these tests gives them.
const BODY: &[u8] = br#"{"data":[{"id":"1"},{"id":"2"}]}"#;
/// Time of one call: enough for any honest guest here, on a busy machine too.
const CALL_TIMEOUT: Duration = Duration::from_millis(300);

/// What this process may have grown by after all guests came three times more; other tests run beside.
const GROWN_MIB: u64 = 48;

fn engine() -> Engine {
    let limits = Limits { call_timeout: CALL_TIMEOUT, ..Limits::default() };
    Engine::new(EngineOptions { limits, max_instances: 2, ..EngineOptions::default() }).unwrap()
}

fn slice(connector: &Connector) -> Slice {
    Slice {
        network: connector.network().to_owned(),
        account: "main".to_owned(),
        stream: connector.manifest().streams[0].name.clone(),
        settings: vec![],
        window: "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z".parse().unwrap(),
        timezone: chrono_tz::UTC,
        axis: Axis::Transaction,
        cursor: None,
    }
}

/// What a run asks of a connector for one response, and where that ended.
fn answered(connector: &Connector, request: &Request) -> Result<Option<Mapped>, (Stage, Error)> {
    let slice = slice(connector);
    let native = connector.decode(&slice.stream, request, BODY).expect("the body fits its layout");
    let body = Bytes::from_static(BODY);
    let response = Response { status: 200, headers: vec![], body, records: Some(2), problem: None };
    let judgement = connector.follow(&slice, request, &response).map_err(|error| (Stage::Follow, error))?;
    if !matches!(judgement.verdict, Verdict::Done | Verdict::More(_)) {
        return Ok(None);
    }
    connector.map(&slice, request, &response, native).map(Some).map_err(|error| (Stage::Map, error))
}

/// Everything that a run asks of a guest, up to the first failure.
fn tried(engine: &Engine, name: &str, component: &[u8]) -> Result<Vec<Mapped>, (Stage, Error)> {
    let connector = engine.load(component, &format!("{name}.wasm")).map_err(|error| (Stage::Load, error))?;
    let requests = connector.plan(&slice(&connector)).map_err(|error| (Stage::Plan, error))?;
    // One after another, and each of them, even if an earlier one fails.
    let all: Vec<_> = requests.iter().map(|request| answered(&connector, request)).collect();
    all.into_iter().filter_map(Result::transpose).collect()
}

/// The ids that an answer gives its rows.
fn ids(mapped: &Mapped) -> Vec<String> {
    let Some(transactions) = &mapped.transactions else { return Vec::new() };
    let column = transactions.column_by_name("transaction_id").unwrap();
    let column = column.as_any().downcast_ref::<StringArray>().unwrap();
    column.iter().flatten().map(str::to_owned).collect()
}

/// What is wrong about what became of a guest.
fn complaint(case: &Case, outcome: &Result<Vec<Mapped>, (Stage, Error)>) -> Option<String> {
    let Case { name, expectation, .. } = case;
    let passes_the_engine = expectation.stopped_in >= Stage::Fetch;
    match outcome {
        Ok(mapped) if passes_the_engine => {
            let ids: Vec<String> = mapped.iter().flat_map(ids).collect();
            (ids != expectation.ids).then(|| format!("{name}: its rows are {ids:?}"))
        }
        Ok(_) => Some(format!("{name}: nothing stopped it")),
        Err((stage, error)) if *stage == expectation.stopped_in => {
            let said = full(error);
            let is_named = said.contains(&format!("connector `{name}"));
            let is_short = said.len() < 500 && !said.contains(char::is_control);
            if expectation.error.as_deref() != Some(said.as_str()) || error.hint().is_none() {
                Some(format!("{name}: the error is {said:?}"))
            } else {
                (!is_named || !is_short).then(|| format!("{name}: the error isn't fit to be read: {said:?}"))
            }
        }
        Err((stage, error)) => Some(format!("{name}: stopped in {stage:?}: {error}")),
    }
}

/// An error with its causes.
fn full(error: &Error) -> String {
    let mut said = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if !said.contains(&cause.to_string()) {
            said = format!("{said}: {cause}");
        }
        source = cause.source();
    }
    said
}

#[test]
fn every_guest_is_stopped_where_it_sins_and_nothing_is_left_of_it() {
    let engine = engine();
    let honest = Guest::new("honest", &serde_json::json!({})).component().unwrap();
    let before = tried(&engine, "honest", &honest).unwrap();
    let complaints: Vec<String> = cases()
        .unwrap()
        .iter()
        .filter_map(|case| {
            let outcome = tried(&engine, &case.name, case.component.as_ref()?);
            let complaint = complaint(case, &outcome);
            drop(outcome);
            // What it took is given back, and who comes after it finds everything as it was.
            let live = engine.live();
            assert_eq!((live.connectors, live.instances, live.memories), (0, 0, 0), "{}", case.name);
            assert!(live.idle_bytes <= 2 * Limits::default().resident_bytes, "{}: {live:?}", case.name);
            let after = tried(&engine, "honest", &honest).unwrap();
            assert_eq!(format!("{after:?}"), format!("{before:?}"), "{}", case.name);
            complaint
        })
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    if let Some(before) = resident_mib() {
        let components: Vec<_> =
            cases().unwrap().into_iter().filter_map(|case| Some((case.name, case.component?))).collect();
        for _ in 0..3 {
            components.iter().for_each(|(name, component)| drop(tried(&engine, name, component)));
        }
        let grown = resident_mib().unwrap().saturating_sub(before);
        assert!(grown < GROWN_MIB, "three more visits left {grown} MiB behind");
    }
}

/// Memory of this process; none where the system doesn't say it.
fn resident_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? >> 10)
}

/// What the operator fills the guests' secret slots with.
const SECRET: &str = "s3cret-of-the-operator";
/// What a service may hold at rest beyond one that never met the guests: fifty more connectors that were compiled and
/// networks that were run, and what the allocator keeps of the largest answers. One guest may take as much in one call.
const LEFT_BEHIND_MIB: u64 = 256;
/// At the start, and then in a leap year's winter.
const ONCE: &str = "0 0 29 2 *";
/// Networks that do what they should.
const HONEST: [&str; 2] = ["awin", "shareasale"];

/// A network's server as guests may ask it: the same two records, an echo, a redirect to wherever is wanted.
fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        listener.incoming().flatten().for_each(|stream| drop(std::thread::spawn(|| serve(stream))))
    });
    origin
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let target = first.split(' ').nth(1).unwrap_or_default();
    let after = |mark: &str| target.split_once(mark).map(|(_, rest)| rest.to_owned());
    let (status, body) = match (after("to="), after("echo?key=")) {
        (Some(to), _) => (format!("302 Found\r\nlocation: {to}"), String::new()),
        (_, Some(key)) => ("200 OK".to_owned(), format!(r#"{{"echo":"{key}","data":[]}}"#)),
        _ => ("200 OK".to_owned(), format!(r#"{{"page":"{target}",{}"#, &String::from_utf8_lossy(BODY)[1..])),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// An operator of the honest networks, who reads all that there is.
fn operator(simulator: &Simulator) -> Operator {
    let mut operator = Operator::of(simulator, &HONEST).unwrap();
    for network in HONEST {
        let accounts = simulator.accounts().iter().filter(|account| account.network == network);
        let accounts: Vec<_> = accounts.map(|account| operator.account(account)).collect();
        let file = serde_json::json!({
            "connector": network, "schedule": ONCE, "look_back": [{"every": "1h", "days": 20}],
            "base_url": simulator.origin(network), "rate": {"requests": 2000, "per_secs": 1, "concurrency": 8},
            "accounts": accounts,
        });
        operator.write(&format!("networks/{network}.json"), &file.to_string()).unwrap();
    }
    operator
}

/// Drops a guest into the connectors' folder, and sets its network up as it wishes.
fn invite(operator: &Operator, case: &Case, component: &[u8], origin: &str) {
    let Case { name, expectation, .. } = case;
    std::fs::write(operator.join(&format!("connectors.d/{name}.wasm")), component).unwrap();
    let secrets: serde_json::Map<_, _> =
        expectation.secrets.iter().map(|slot| (slot.clone(), "env:GUEST_SECRET".into())).collect();
    let file = serde_json::json!({
        "connector": name, "schedule": ONCE, "look_back": [{"every": "1h", "days": 1}], "base_url": origin,
        "rate": {"requests": 2000, "per_secs": 1, "concurrency": 4},
        "accounts": [{"name": "main", "settings": {}, "secrets": secrets}],
    });
    operator.write(&format!("networks/{name}.json"), &file.to_string()).unwrap();
}

/// What the service says when a network's run is over.
fn finished(network: &str) -> (String, String) {
    (network.to_owned(), "new versions".to_owned())
}

/// Waits until no run is in flight, sees that no guest has left anything running, and gives the process's memory.
fn at_rest(service: &mut Service, operator: &Operator) -> u64 {
    service.wait_for(&["at rest"]).unwrap();
    let vitals = service.vitals(operator).unwrap();
    println!("{vitals}");
    let count = |name: &str| vitals[name].as_u64().unwrap();
    assert_eq!(count("connectors"), count("connectors_held"), "{vitals}");
    for name in ["runs", "leaked", "instances", "memories", "memory_bytes"] {
        assert_eq!(count(name), 0, "{name} of {vitals}");
    }
    count("resident_bytes")
}

fn facts(operator: &Operator) -> (Vec<serde_json::Value>, Vec<Sums>) {
    let rows = operator.sql(
        "SELECT transaction_key, version, change, encode(content_hash, 'hex') AS content
         FROM unified.transaction_versions WHERE network IN ('awin', 'shareasale') ORDER BY 1, 2",
    );
    (rows.unwrap(), HONEST.iter().map(|network| lake_sums(operator, network).unwrap()).collect())
}

#[test]
fn honest_networks_finish_as_if_the_guests_were_not_there() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let options = Options { start: chrono::Utc::now(), history_days: 5, rows_per_day: 2, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let alone = operator(&simulator);
    let mut service = Service::start(&alone).unwrap();
    service.wait_for_all(&HONEST.map(finished)).unwrap();
    let honest = at_rest(&mut service, &alone);
    drop(service);

    let mut beside = operator(&simulator);
    beside.set("GUEST_SECRET", SECRET);
    let limits = "[limits]\ncall_timeout_ms = 300\nrequests_per_slice = 50\nsplits_per_run = 20\n";
    let settings = std::fs::read_to_string(beside.join("sluice.toml")).unwrap();
    beside.write("sluice.toml", &format!("{settings}{limits}")).unwrap();
    let origin = server();
    let mut wishes: Vec<(String, String)> = HONEST.map(finished).to_vec();
    for case in cases().unwrap() {
        let Some(component) = &case.component else { continue };
        invite(&beside, &case, component, &origin);
        let words = case.expectation.run_says.clone().or_else(|| case.expectation.error.clone());
        wishes.push(words.map_or_else(|| finished(&case.name), |words| (case.name.clone(), words)));
    }
    let mut service = Service::start(&beside).unwrap();
    service.wait_for_all(&wishes).unwrap();
    assert!(service.is_alive(), "it goes on serving");
    assert!(!service.seen().contains(SECRET), "{}", service.seen());
    let survived = at_rest(&mut service, &beside);
    drop(service);
    let more = survived.saturating_sub(honest) >> 20;
    assert!(more < LEFT_BEHIND_MIB, "the guests left {more} MiB behind");
    let (rows, sums) = facts(&beside);
    assert!(rows.len() > 10);
    assert_eq!((rows, sums.clone()), facts(&alone));
    assert_eq!(sums, HONEST.map(|network| true_sums(&simulator, network)));
    assert_clean(beside.path());
}

/// No file that a run left, packed or not, holds the guests' secret.
fn assert_clean(dir: &std::path::Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_clean(&path);
            continue;
        }
        let mut bytes = Vec::new();
        std::fs::File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
        let unpacked = zstd::decode_all(&bytes[..]).unwrap_or_default();
        let holds = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!holds(&bytes) && !holds(&unpacked), "{} holds a secret", path.display());
    }
}
