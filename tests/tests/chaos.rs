//! Three hosts on one state store and one lake, while hosts die, hang, and lose the state store and the lake: the tables end
//! up as if nothing had happened. Half a minute in `just test`; `just chaos` takes two.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sluice_simulator::{AccountSpec, FaultPlan, Options, Simulator};
use sluice_tests::{
    BUCKET, Operator, PostgresServer, Proxy, S3Server, Service, broken_claims, lake_sums, runtime, true_sums,
};
use tokio::runtime::Runtime;

const NETWORKS: [&str; 2] = ["awin", "cj"];
const HOSTS: usize = 3;
/// Days of history, and those by which the networks' state advances meanwhile, one at a time.
const HISTORY_DAYS: u32 = 8;
const ADVANCE_DAYS: i64 = 6;
const LOOK_BACK_DAYS: i64 = HISTORY_DAYS as i64 + ADVANCE_DAYS + 2;
/// The key of the look-back rule.
const RULE: &str = "1s/16d/default";
/// A short lease, and still longer than a busy machine holds up a heartbeat.
const LEASE_SECS: u64 = 4;
/// How many requests a credential of Awin may send in how many seconds, as the simulator counts them. What the operator
/// states leaves as much room as a busy machine takes from the sending of a request to its arrival.
const RATE: (usize, u64) = (8, 4);
/// How long it may take until all has settled.
const PATIENCE: Duration = Duration::from_secs(240);

/// For how long there is trouble, and how long an outage takes.
fn trouble() -> (Duration, Duration) {
    match std::env::var("SLUICE_CHAOS_SECS").ok().and_then(|secs| secs.parse().ok()) {
        Some(secs) => (Duration::from_secs(secs), Duration::from_secs(10)),
        None => (Duration::from_secs(1), Duration::from_secs(5)),
    }
}

struct World {
    _runtime: Runtime,
    simulator: Simulator,
    database: PostgresServer,
    _store: S3Server,
    to_database: Proxy,
    to_store: Proxy,
    hosts: Vec<Operator>,
    /// Sees all without a proxy.
    witness: Operator,
}

impl World {
    fn new() -> Self {
        let runtime = runtime();
        let accounts = (0..12).map(|number| ("awin", number)).chain((0..4).map(|number| ("cj", number)));
        let options = Options {
            start: Utc::now() - TimeDelta::days(ADVANCE_DAYS) - TimeDelta::hours(1),
            history_days: HISTORY_DAYS,
            rows_per_day: 3,
            accounts: accounts.map(|(network, number)| AccountSpec::new(network, &format!("a{number}"))).collect(),
            faults: FaultPlan::all(0.2, 2),
            enforce_rate_limits: true,
            awin_rate: Some(RATE),
            ..Options::default()
        };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let (database, store) = (PostgresServer::start().unwrap(), S3Server::start().unwrap());
        let to_database = Proxy::before(&database.address()).unwrap();
        let to_store = Proxy::before(&store.address()).unwrap();
        let state = database.url_at(&to_database.address());
        let hosts = (0..HOSTS).map(|_| operator(&simulator, &store, &to_store.address(), &state)).collect();
        let witness = operator(&simulator, &store, &store.address(), &database.url());
        // The stores are set up before anybody asks for them.
        witness.succeed(&["check"]).unwrap();
        Self { _runtime: runtime, simulator, database, _store: store, to_database, to_store, hosts, witness }
    }

    /// When the rule was last read of all accounts of a network.
    fn read_at(&self, network: &str) -> Option<DateTime<Utc>> {
        let query = format!(
            "SELECT happened_at FROM schedule_times WHERE network = '{network}' AND entry = '{RULE}'
             AND NOT EXISTS (SELECT 1 FROM rule_reads WHERE network = '{network}' AND entry = '{RULE}')"
        );
        self.database.query(&query).unwrap().first().map(|time| time.parse().unwrap())
    }
}

/// An operator whose lake and state are those of all hosts.
fn operator(simulator: &Simulator, store: &S3Server, endpoint: &str, state: &str) -> Operator {
    let mut operator = Operator::of(simulator, &NETWORKS).unwrap();
    store.environment().iter().for_each(|(name, value)| operator.set(name, value));
    operator.set("AWS_ENDPOINT_URL", &format!("http://{endpoint}"));
    let settings = format!(
        "[lake]\nurl = \"s3://{BUCKET}/chaos\"\n[state]\nurl = \"{state}\"\nlease_secs = {LEASE_SECS}\n\
         [schedule]\nretry_secs = 1\nretry_max_secs = 4\n"
    );
    operator.write("sluice.toml", &settings).unwrap();
    for network in NETWORKS {
        let file = json!({
            "connector": network, "schedule": "* * * * * *", "hosts": [], "base_url": simulator.origin(network),
            "look_back": [{"every": "1s", "days": LOOK_BACK_DAYS}],
            "rate": {"requests": RATE.0, "per_secs": RATE.1 + 1, "concurrency": 4},
            "accounts": operator.accounts(simulator, network),
        });
        operator.write(&format!("networks/{network}.json"), &file.to_string()).unwrap();
    }
    operator
}

#[expect(clippy::disallowed_methods, reason = "trouble takes time")]
fn let_pass(time: Duration) {
    std::thread::sleep(time);
}

/// The services of all hosts, and what they went through.
struct Fleet<'a> {
    world: &'a World,
    services: Vec<Service>,
    /// The logs of those that were killed.
    logs: Vec<String>,
    /// When one was stopped, and when it went on.
    stopped: Vec<[DateTime<Utc>; 2]>,
}

impl<'a> Fleet<'a> {
    fn start(world: &'a World) -> Self {
        let services = world.hosts.iter().map(|host| Service::start(host).unwrap()).collect();
        Self { world, services, logs: vec![String::new(); HOSTS], stopped: Vec::new() }
    }

    /// Kills a host's service in the midst of whatever it does, and starts another one.
    fn kill(&mut self, host: usize) {
        let log = self.services[host].log().to_owned();
        self.logs[host].push_str(&log);
        // Dropping kills.
        self.services[host] = Service::start(&self.world.hosts[host]).unwrap();
    }

    /// Stops a host's service for longer than its lease.
    fn stop(&mut self, host: usize) {
        let from = Utc::now();
        self.services[host].pause().unwrap();
        let_pass(Duration::from_secs(LEASE_SECS + 2));
        self.services[host].go_on().unwrap();
        self.stopped.push([from, Utc::now()]);
    }

    /// Has each of the troubles once.
    fn trouble(&mut self, turn: usize, outage: Duration) {
        for host in 0..2 {
            let_pass(Duration::from_secs(2));
            self.kill((turn + host) % HOSTS);
        }
        let_pass(Duration::from_secs(1));
        self.stop((turn + 2) % HOSTS);
        let_pass(Duration::from_secs(1));
        for wire in [&self.world.to_database, &self.world.to_store] {
            wire.cut();
            let_pass(outage);
            wire.mend();
            let_pass(Duration::from_secs(2));
        }
    }

    /// Waits until all accounts were read once more.
    fn read_once_more(&mut self) {
        let (after, deadline) = (Utc::now(), Instant::now() + PATIENCE);
        for network in NETWORKS {
            while self.world.read_at(network).is_none_or(|at| at <= after) {
                if Instant::now() > deadline {
                    let logs: Vec<String> = self.services.iter_mut().map(|service| service.log().to_owned()).collect();
                    panic!("{network} isn't read any more:\n{}", logs.join("\n=== the next host ===\n"));
                }
                assert!(self.services.iter_mut().all(Service::is_alive), "a service ended by itself");
                let_pass(Duration::from_millis(100));
            }
        }
    }

    /// Ends all services, and gives the log of each host.
    fn end(mut self) -> (Vec<String>, Vec<[DateTime<Utc>; 2]>) {
        for (log, service) in self.logs.iter_mut().zip(&mut self.services) {
            log.push_str(service.log());
        }
        (self.logs, self.stopped)
    }
}

#[test]
fn hosts_that_die_hang_and_lose_their_stores_leave_the_tables_exact() {
    let world = World::new();
    let (time, outage) = trouble();
    let mut fleet = Fleet::start(&world);
    fleet.read_once_more();
    let (deadline, mut turn) = (Instant::now() + time, 0);
    while turn == 0 || Instant::now() < deadline {
        if i64::try_from(turn).unwrap() < ADVANCE_DAYS {
            world.simulator.advance(TimeDelta::days(1));
        }
        fleet.trouble(turn, outage);
        turn += 1;
    }
    fleet.read_once_more();
    let (logs, stopped) = fleet.end();
    let sharing = logs.iter().filter(|log| log.contains("run begins") && log.contains("awin")).count();
    assert!(sharing >= 2, "{sharing} hosts worked on awin");
    assert!(logs.iter().any(|log| log.contains("an interrupted run is resumed")), "nothing was interrupted");
    is_exact(&world);
    requested_nothing_twice(&world, &stopped);
    kept_to_the_rate(&world);
}

fn is_exact(world: &World) {
    let witness = &world.witness;
    let broken = broken_claims(witness).unwrap();
    assert!(broken.is_empty(), "{broken:#?}");
    for network in NETWORKS {
        assert_eq!(lake_sums(witness, network).unwrap(), true_sums(&world.simulator, network), "{network}");
    }
    let twice = "SELECT run_id, count(*) AS n FROM meta.runs GROUP BY run_id HAVING count(*) > 1";
    assert_eq!(witness.sql(twice).unwrap(), Vec::<Value>::new(), "a run is recorded twice");
    // Accounts were given back, and whatever is in the queue is of a moment that came last.
    for network in NETWORKS {
        let text = witness.succeed(&["--output", "json", "build", network]).unwrap();
        let reports: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&reports[0]["new_versions"], &reports[0]["native_rows"]), (&0.into(), &0.into()), "{text}");
    }
}

/// A response that was stored isn't asked for again. One that was on its way to a host that was stopped may be stored once
/// it goes on, when another host has asked for it.
fn requested_nothing_twice(world: &World, stopped: &[[DateTime<Utc>; 2]]) {
    let twice =
        "SELECT earlier.url AS url, earlier.received_at AS stored, later.sent_at AS sent FROM meta.requests earlier
                 JOIN meta.requests later ON earlier.run_id = later.run_id AND earlier.request_id = later.request_id
                 WHERE earlier.outcome = 'answered' AND later.sent_at > earlier.received_at + INTERVAL '1 second'";
    let moment = |row: &Value, name: &str| -> DateTime<Utc> { row[name].as_str().unwrap().parse().unwrap() };
    let mut found = world.witness.sql(twice).unwrap();
    let second = TimeDelta::seconds(1);
    found.retain(|row| {
        let stored = moment(row, "stored");
        !stopped.iter().any(|[from, until]| *from - second < stored && stored < *until + second)
    });
    assert!(found.is_empty(), "{found:#?}");
}

fn kept_to_the_rate(world: &World) {
    let requests = world.simulator.requests();
    let refused = requests.iter().filter(|request| request.status == 429 && request.fault.is_none()).count();
    let awin = requests.iter().filter(|request| request.network == "awin").count();
    assert_eq!(refused, 0, "of {awin} requests to awin");
}
