//! The change feed by webhook: every version at least once and in order, signed, whatever the receiver or the process does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use sluice_model::Step;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Ask, HostileServer, Micros, Operator, PostgresServer, Service, response, runtime, whole_window};
use sqlx::Connection;
use tokio::runtime::Runtime;

const HISTORY_DAYS: u32 = 20;
const KEY: &[u8] = b"a key of the receiver";
const PATIENCE: Duration = Duration::from_secs(120);

/// A service reads by the clock of the machine.
fn start() -> DateTime<Utc> {
    static STARTED: LazyLock<DateTime<Utc>> = LazyLock::new(Utc::now);
    *STARTED
}

/// A receiver that may be down.
struct Receiver {
    server: HostileServer,
    is_down: Arc<AtomicBool>,
}

impl Receiver {
    fn start() -> Self {
        let is_down = Arc::new(AtomicBool::new(false));
        let down = is_down.clone();
        let server = HostileServer::start(move |_, stream| {
            stream.write_all(&response(if down.load(Ordering::SeqCst) { 503 } else { 204 }, &[], b""))
        });
        Self { server: server.unwrap(), is_down }
    }

    fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    /// All events of all requests in their order, each request checked.
    fn events(&self) -> Vec<Value> {
        self.server.asked().iter().flat_map(verified).collect()
    }
}

fn header<'a>(ask: &'a Ask, name: &str) -> &'a str {
    let lines = ask.head.lines().filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).unwrap()
}

/// Checks a request's type and signature, and gives its events.
fn verified(ask: &Ask) -> Vec<Value> {
    assert_eq!(header(ask, "content-type"), "application/cloudevents-batch+json");
    let content = format!("{}.{}.{}", header(ask, "webhook-id"), header(ask, "webhook-timestamp"), ask.body);
    let mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap().chain_update(content).finalize().into_bytes();
    assert_eq!(header(ask, "webhook-signature"), format!("v1,{}", STANDARD.encode(mac)), "{ask:?}");
    serde_json::from_str(&ask.body).unwrap()
}

struct World {
    simulator: Simulator,
    operator: Operator,
    receiver: Receiver,
    _runtime: Runtime,
}

impl World {
    /// A receiver `shop` with further settings.
    fn new(feed: &str) -> Self {
        let runtime = runtime();
        let options = Options { start: start(), history_days: HISTORY_DAYS, rows_per_day: 3, ..Options::default() };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let receiver = Receiver::start();
        let mut operator = Operator::of(&simulator, &["awin"]).unwrap();
        operator.set("FEED_KEY", &format!("whsec_{}", STANDARD.encode(KEY)));
        let settings = format!(
            "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n\
             [alarms]\nevery = \"1s\"\n[alarms.rules.gap]\nenabled = false\n\
             [feed.shop]\nwebhook = \"{}/hook\"\nsecret = \"env:FEED_KEY\"\nretry = \"1s\"\n{feed}",
            receiver.server.origin()
        );
        operator.write("sluice.toml", &settings).unwrap();
        operator.read_every_second(&simulator, "awin").unwrap();
        Self { simulator, operator, receiver, _runtime: runtime }
    }

    fn run(&self) {
        self.operator.run("awin", &whole_window(&self.simulator, start(), HISTORY_DAYS.into())).unwrap();
    }

    /// Each version in the lake, by transaction, with its amount.
    fn versions(&self, filter: &str) -> BTreeMap<String, Vec<(u64, Micros)>> {
        let query = format!(
            "SELECT transaction_key, version, coalesce(CAST(commission_amount AS VARCHAR), '0') AS amount
             FROM unified.transaction_versions WHERE {filter} ORDER BY transaction_key, version"
        );
        let mut versions: BTreeMap<String, Vec<(u64, Micros)>> = BTreeMap::new();
        for row in self.operator.sql(&query).unwrap() {
            let amount = Micros::parse(row["amount"].as_str().unwrap());
            let key = row["transaction_key"].as_str().unwrap().to_owned();
            versions.entry(key).or_default().push((row["version"].as_u64().unwrap(), amount));
        }
        versions
    }

    /// What the receiver got, each version once: sent again, it has to be the same.
    fn delivered(&self) -> BTreeMap<String, Vec<(u64, Micros)>> {
        let mut delivered: BTreeMap<String, Vec<(u64, Micros)>> = BTreeMap::new();
        let mut ids = BTreeMap::new();
        for event in self.receiver.events() {
            assert_eq!(event["specversion"], "1.0");
            let id = event["id"].as_str().unwrap().to_owned();
            if let Some(earlier) = ids.insert(id, event.clone()) {
                assert_eq!(earlier, event, "a version that is sent again is the same");
                continue;
            }
            let data = &event["data"];
            assert_eq!(event["type"], format!("sluice.transaction.{}", data["change"].as_str().unwrap()));
            let amount = Micros::parse(data["commission_amount"].as_str().unwrap_or("0"));
            let key = event["subject"].as_str().unwrap().to_owned();
            delivered.entry(key).or_default().push((data["version"].as_u64().unwrap(), amount));
        }
        delivered
    }

    /// Waits until the receiver has all versions, in the order of each transaction.
    fn has_all(&self, service: &mut Service, filter: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.delivered() != self.versions(filter) {
            assert!(Instant::now() < deadline, "it never came:\n{}", service.log());
        }
    }
}

#[test]
fn every_version_comes_at_least_once_and_in_order_over_outages_and_crashes() {
    let world = World::new("from = \"beginning\"\nbatch = 20\n");
    world.run();
    let mut service = Service::start(&world.operator).unwrap();
    service.wait_for(&["changes are delivered"]).unwrap();
    world.has_all(&mut service, "true");
    assert!(world.receiver.server.asked().len() > 3, "a batch is a part");
    for round in 0..2 {
        world.receiver.set_down(true);
        // The service reads three days: whether any of their few sales changes is chance.
        world.simulator.advance(TimeDelta::days(2));
        world.run();
        service.wait_for(&["changes aren't accepted"]).unwrap();
        if round == 1 {
            // What it had claimed is free again soon.
            service.kill();
            service = Service::start(&world.operator).unwrap();
        }
        world.receiver.set_down(false);
        service.wait_for(&["changes are delivered"]).unwrap();
        world.has_all(&mut service, "true");
    }
    let several = world.delivered().values().filter(|versions| versions.len() > 1).count();
    assert!(several > 0, "no transaction changed: the test shows nothing of their order");
}

/// Changes the state store, as time would.
fn change_state(operator: &Operator, statement: &str) {
    let url = format!("sqlite:{}", operator.join("state.db").display());
    runtime().block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
        assert!(done.rows_affected() > 0, "{statement} changed nothing");
    });
}

#[test]
fn a_batch_that_was_accepted_the_moment_before_a_crash_is_sent_again_under_its_id() {
    let world = World::new("from = \"beginning\"\nbatch = 20\n");
    world.run();
    for step in Step::OF_FEED {
        let died = world.operator.command(&["run", "--due"]).env("SLUICE_STOP_AT", step.name()).output().unwrap();
        assert_eq!(died.status.signal(), Some(9), "{} isn't passed: {died:?}", step.name());
    }
    assert_eq!(world.receiver.server.asked().len(), 1);
    world.operator.succeed(&["run", "--due"]).unwrap();
    assert_eq!(world.receiver.server.asked().len(), 1, "the dead process's claim isn't over");
    change_state(&world.operator, "UPDATE outlets SET due_at = 0");
    world.operator.succeed(&["run", "--due"]).unwrap();
    let asked = world.receiver.server.asked();
    assert_eq!(header(&asked[0], "webhook-id"), header(&asked[1], "webhook-id"));
    assert_eq!(asked[0].body, asked[1].body);
    assert_ne!(header(&asked[1], "webhook-id"), header(&asked[2], "webhook-id"));
    assert_eq!(world.delivered(), world.versions("true"));
}

#[test]
fn two_services_take_turns_and_keep_the_order() {
    let world = World::new("from = \"beginning\"\nbatch = 10\n");
    let server = PostgresServer::start().unwrap();
    let settings = std::fs::read_to_string(world.operator.join("sluice.toml")).unwrap();
    let lake = world.operator.join("lake").display().to_string();
    let settings = settings.replace("file:./lake", &format!("file:{lake}"));
    let settings = settings.replace("sqlite:./state.db", &server.url());
    let mut other = Operator::of(&world.simulator, &["awin"]).unwrap();
    other.set("FEED_KEY", &format!("whsec_{}", STANDARD.encode(KEY)));
    other.read_every_second(&world.simulator, "awin").unwrap();
    for operator in [&world.operator, &other] {
        operator.write("sluice.toml", &settings).unwrap();
    }
    world.run();
    let mut services = [&world.operator, &other].map(|operator| Service::start(operator).unwrap());
    for _ in 0..3 {
        world.simulator.advance(TimeDelta::days(2));
        world.run();
        world.has_all(&mut services[0], "true");
    }
    // Whoever had the turn: without it, the other one goes on where it stopped.
    services[0].kill();
    world.simulator.advance(TimeDelta::days(2));
    world.run();
    world.has_all(&mut services[1], "true");
    services[1].wait_for(&["changes are delivered"]).unwrap();
    let several = world.delivered().values().filter(|versions| versions.len() > 1).count();
    assert!(several > 0, "no transaction changed: the test shows nothing of their order");
}

#[test]
fn a_receiver_that_stays_down_is_an_alarm_until_it_accepts() {
    let world = World::new("from = \"beginning\"\n");
    world.run();
    world.receiver.set_down(true);
    let open = || {
        let text = world.operator.succeed(&["--output", "json", "alarms"]).unwrap();
        let alarms: Vec<Value> = serde_json::from_str(&text).unwrap();
        alarms.into_iter().filter(|alarm| alarm["rule"] == "receiver").collect::<Vec<_>>()
    };
    let mut service = Service::start(&world.operator).unwrap();
    service.wait_for(&["[feed.shop] accepts no changes"]).unwrap();
    assert_eq!(open()[0]["subject"], "feed/shop");
    world.receiver.set_down(false);
    world.has_all(&mut service, "true");
    let deadline = Instant::now() + PATIENCE;
    while !open().is_empty() {
        assert!(Instant::now() < deadline, "the alarm never ended:\n{}", service.log());
    }
}

#[test]
fn a_receiver_gets_what_it_asked_for_from_now_on() {
    let world = World::new("networks = [\"awin\"]\nchanges = [\"network-change\"]\n");
    world.run();
    let earlier = "SELECT max(observed_at) AS at FROM unified.transaction_versions";
    let earlier = world.operator.sql(earlier).unwrap()[0]["at"].as_str().unwrap().to_owned();
    // Once, as a scheduler of containers has it: the place is decided now.
    world.operator.succeed(&["run", "--due"]).unwrap();
    assert!(world.receiver.server.asked().is_empty(), "what was there isn't sent");
    world.simulator.advance(TimeDelta::days(4));
    world.run();
    let mut service = Service::start(&world.operator).unwrap();
    service.wait_for(&["changes are delivered"]).unwrap();
    let filter = format!("change = 'network-change' AND observed_at > TIMESTAMP '{earlier}'");
    world.has_all(&mut service, &filter);
    assert!(!world.delivered().is_empty());
    service.kill();
    let settings = std::fs::read_to_string(world.operator.join("sluice.toml")).unwrap();
    let unreadable = settings.replace("env:FEED_KEY", "env:NOT_THERE") + "[publish.reporting]\nurl = \"env:NOWHERE\"\n";
    world.operator.write("sluice.toml", &unreadable).unwrap();
    let checked = world.operator.sluice(&["check"]).unwrap();
    assert!(checked.code == 78 && checked.stderr.contains("feed.shop: "), "{checked:?}");
    assert!(checked.stderr.contains("publish.reporting"), "{checked:?}");
    let unknown = settings.replace("networks = [\"awin\"]", "networks = [\"awin\", \"awim\"]");
    world.operator.write("sluice.toml", &unknown).unwrap();
    let checked = world.operator.sluice(&["check"]).unwrap();
    let expected = "feed.shop: no file in networks/ has the network `awim`: there are awin";
    assert!(checked.code == 78 && checked.stderr.contains(expected), "{checked:?}");
    let mut service = Service::start(&world.operator).unwrap();
    service.wait_for(&[expected]).unwrap();
}

#[test]
fn a_feed_that_can_not_go_on_says_so_and_goes_on_now() {
    let world = World::new("from = \"beginning\"\n");
    world.run();
    let mut service = Service::start(&world.operator).unwrap();
    world.has_all(&mut service, "true");
    service.kill();
    // Other tables take the place of those that it followed.
    std::fs::remove_dir_all(world.operator.join("lake/tables")).unwrap();
    world.operator.succeed(&["build", "--from-raw"]).unwrap();
    let before = world.receiver.events().len();
    let mut service = Service::start(&world.operator).unwrap();
    service.wait_for(&["its feed can't go on where it was"]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while world.receiver.events().len() == before {
        assert!(Instant::now() < deadline, "it never came:\n{}", service.log());
    }
    let event = world.receiver.events().remove(before);
    assert_eq!(event["type"], "sluice.feed.reset", "{event}");
    world.simulator.advance(TimeDelta::days(3));
    world.run();
    service.wait_for(&["changes are delivered"]).unwrap();
}
