//! Hostile guests: each of `tests/guests/` is stopped within its limits, named in one error, and survived.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use arrow::array::{Array, StringArray};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use sluice_engine::{Connector, Engine, EngineOptions, Error, Limits};
use sluice_guests::{Case, Guest, Stage, cases};
use sluice_model::{Mapped, Request, Response, Slice, Verdict};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, Service, Sums, day_of, lake_sums, runtime, true_sums};

/// Two records, as every network of these tests gives them.
const BODY: &[u8] = br#"{"data":[{"id":"1"},{"id":"2"}]}"#;
/// Time of one call: enough for any honest guest here, on a busy machine too.
const CALL_TIMEOUT: Duration = Duration::from_millis(300);

fn engine() -> Engine {
    let limits = Limits { call_timeout: CALL_TIMEOUT, ..Limits::default() };
    Engine::new(EngineOptions { limits, max_instances: 2, ..EngineOptions::default() }).unwrap()
}

fn slice(connector: &Connector) -> Slice {
    day_of(connector.network(), &connector.manifest().streams[0].name)
}

/// What a run asks of a connector for one response, and where that ended.
fn answered(connector: &Connector, request: &Request) -> Result<Option<Mapped>, (Stage, Error)> {
    let slice = slice(connector);
    let native = connector.decode(&slice.stream, &[], BODY).expect("the body fits its layout");
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

/// What is wrong about a guest's outcome.
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
            let output = full(error);
            let is_named = output.contains(&format!("connector `{name}"));
            let is_short = output.len() < 500 && !output.contains(char::is_control);
            if expectation.error.as_deref() != Some(output.as_str()) || error.hint().is_none() {
                Some(format!("{name}: the error is {output:?}"))
            } else {
                (!is_named || !is_short).then(|| format!("{name}: the error isn't fit to be read: {output:?}"))
            }
        }
        Err((stage, error)) => Some(format!("{name}: stopped in {stage:?}: {error}")),
    }
}

/// An error with its causes.
fn full(error: &Error) -> String {
    let mut output = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if !output.contains(&cause.to_string()) {
            output = format!("{output}: {cause}");
        }
        source = cause.source();
    }
    output
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
            let left = (live.connectors, live.code_bytes, live.instances, live.memories, live.memory_bytes);
            assert_eq!(left, (0, 0, 0, 0, 0), "{}", case.name);
            assert!(live.idle_bytes <= 2 * Limits::default().resident_bytes, "{}: {live:?}", case.name);
            let after = tried(&engine, "honest", &honest).unwrap();
            assert_eq!(format!("{after:?}"), format!("{before:?}"), "{}", case.name);
            complaint
        })
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// What the operator fills the guests' secret slots with.
const SECRET: &str = "s3cret-of-the-operator";
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

/// Drops a guest into the connectors' folder.
fn invite(operator: &Operator, case: &Case, component: &[u8]) {
    std::fs::write(operator.join(&format!("connectors.d/{}.wasm", case.name)), component).unwrap();
}

/// Sets a guest's network up as it wishes, to be run once: at the service's start, or at a moment.
fn set_up(operator: &Operator, Case { name, expectation, .. }: &Case, origin: &str, moment: Option<DateTime<Utc>>) {
    let secrets: serde_json::Map<_, _> =
        expectation.secrets.iter().map(|slot| (slot.clone(), "env:GUEST_SECRET".into())).collect();
    // A rule that was followed is due again after its hour, and a further one at once.
    let rules = if moment.is_some() { 2 } else { 1 };
    let look_back: Vec<_> = (1..=rules).map(|days| serde_json::json!({"every": "1h", "days": days})).collect();
    let schedule = moment.map_or_else(|| ONCE.to_owned(), |moment| moment.format("%S %M %H %d %m *").to_string());
    let file = serde_json::json!({
        "connector": name, "schedule": schedule, "look_back": look_back, "base_url": origin,
        "rate": {"requests": 2000, "per_secs": 1, "concurrency": 4},
        "accounts": [{"name": "main", "settings": {}, "secrets": secrets}],
    });
    // Whole or not at all: a running service reads it.
    operator.write(&format!("{name}.part"), &file.to_string()).unwrap();
    std::fs::rename(operator.join(&format!("{name}.part")), operator.join(&format!("networks/{name}.json"))).unwrap();
}

/// What the service says when a network's run is over.
fn finished(network: &str) -> (String, String) {
    (network.to_owned(), "new versions".to_owned())
}

/// What a service at rest holds of connectors: how many, and their machine code.
#[derive(Debug, PartialEq, Eq)]
struct HeldConnectors {
    connectors: u64,
    code_bytes: u64,
}

/// Waits until no run is in flight, sees that no guest has left anything running, and gives what is held.
fn at_rest(service: &mut Service, operator: &Operator) -> HeldConnectors {
    service.wait_for(&["at rest"]).unwrap();
    let vitals = service.vitals(operator).unwrap();
    println!("{vitals}");
    let count = |name: &str| vitals[name].as_u64().unwrap();
    assert_eq!(count("connectors"), count("connectors_held"), "{vitals}");
    for name in ["runs", "leaked", "instances", "memories", "memory_bytes"] {
        assert_eq!(count(name), 0, "{name} of {vitals}");
    }
    HeldConnectors { connectors: count("connectors"), code_bytes: count("code_bytes") }
}

/// What the log says once a guest's run is over.
fn wish(case: &Case) -> (String, String) {
    let words = case.expectation.run_says.clone().or_else(|| case.expectation.error.clone());
    words.map_or_else(|| finished(&case.name), |words| (case.name.clone(), words))
}

/// The guests that were stopped, and that a status doesn't name: by a window that failed, by a stream that was never read, or
/// by why they aren't let in.
fn unnamed<'a>(operator: &Operator, guests: &'a [Case]) -> Vec<&'a str> {
    let answer = operator.sluice(&["--output", "json", "status"]).unwrap();
    let status: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    let has_failed = |name: &str| {
        let mut of_it = status["streams"].as_array().unwrap().iter().filter(|stream| stream["network"] == name);
        let has_gap =
            |stream: &serde_json::Value| stream["gaps"].as_array().unwrap().iter().any(|gap| gap["error"].is_string());
        of_it.any(|stream| has_gap(stream) || stream["state"] == "never-read")
    };
    let is_refused = |name: &str| {
        let words = [format!("no connector `{name}`"), format!("{name}.wasm: ")];
        answer.stderr.lines().any(|line| words.iter().all(|word| line.contains(word)))
    };
    let stopped = guests.iter().filter(|case| case.expectation.stopped_in != Stage::Nowhere);
    let names = stopped.map(|case| case.name.as_str());
    names.filter(|name| !has_failed(name) && !is_refused(name)).collect()
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
    let runtime = runtime();
    let options = Options { start: Utc::now(), history_days: 5, rows_per_day: 2, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let alone = operator(&simulator);
    let mut service = Service::start(&alone).unwrap();
    service.wait_for_all(&HONEST.map(finished)).unwrap();
    at_rest(&mut service, &alone);
    drop(service);

    let mut beside = operator(&simulator);
    beside.set("GUEST_SECRET", SECRET);
    let limits = "[limits]\ncall_timeout_ms = 300\nrequests_per_slice = 50\nsplits_per_run = 20\n";
    let settings = std::fs::read_to_string(beside.join("sluice.toml")).unwrap();
    beside.write("sluice.toml", &format!("{settings}{limits}")).unwrap();
    let origin = server();
    let guests: Vec<Case> = cases().unwrap().into_iter().filter(|case| case.component.is_some()).collect();
    for case in &guests {
        invite(&beside, case, case.component.as_ref().unwrap());
        set_up(&beside, case, &origin, None);
    }
    let wishes: Vec<(String, String)> = guests.iter().map(wish).collect();
    let mut service = Service::start(&beside).unwrap();
    service.wait_for_all(&[wishes.clone(), HONEST.map(finished).to_vec()].concat()).unwrap();
    let once = at_rest(&mut service, &beside);
    assert_eq!(unnamed(&beside, &guests), Vec::<&str>::new(), "a status names each of them");
    // What the second visit leaves is what every further one would. A guest that isn't let in doesn't come again.
    let let_in = |case: &&Case| !service.seen().contains(&format!("connector is refused file={}.wasm", case.name));
    let come_again: Vec<&Case> = guests.iter().filter(let_in).collect();
    assert!(guests.len() > come_again.len() && come_again.len() > 30, "{} of {}", come_again.len(), guests.len());
    let moment = Utc::now() + TimeDelta::seconds(2);
    come_again.iter().for_each(|case| set_up(&beside, case, &origin, Some(moment)));
    service.wait_for_all(&come_again.into_iter().map(wish).collect::<Vec<_>>()).unwrap();
    assert_eq!(at_rest(&mut service, &beside), once, "what is held doesn't grow with the visits");
    assert!(service.is_alive(), "it goes on serving");
    assert!(!service.seen().contains(SECRET), "{}", service.seen());
    drop(service);
    let (rows, sums) = facts(&beside);
    assert!(rows.len() > 10);
    assert_eq!((rows, sums.clone()), facts(&alone));
    assert_eq!(sums, HONEST.map(|network| true_sums(&simulator, network)));
    assert_clean(beside.path());
}

#[test]
fn a_thread_that_outlives_its_slice_is_shown_until_it_ends() {
    let operator = Operator::empty().unwrap();
    let settings = std::fs::read_to_string(operator.join("sluice.toml")).unwrap();
    let limits = "[limits]\ncall_timeout_ms = 30000\nslice_timeout_secs = 1\n";
    operator.write("sluice.toml", &format!("{settings}{limits}")).unwrap();
    let case = sluice_guests::case("spins-in-map").unwrap();
    invite(&operator, &case, case.component.as_ref().unwrap());
    set_up(&operator, &case, &server(), None);
    let mut service = Service::start(&operator).unwrap();
    service.wait_for(&["threads of guests outlive their slices", "orphaned_threads=1"]).unwrap();
    let seen = service.seen();
    assert!(!seen.split_once("run begins").unwrap().1.contains("at rest"), "{seen}");
    let vitals = service.vitals(&operator).unwrap();
    assert_eq!((&vitals["runs"], &vitals["orphaned_threads"]), (&0.into(), &1.into()), "{vitals}");
    let shown = operator.succeed(&["status"]).unwrap();
    assert!(shown.contains("  orphaned threads: 1: "), "{shown}");
    let rest = service.wait_for(&["at rest"]).unwrap();
    assert!(rest.contains("instances=0"), "{rest}");
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
