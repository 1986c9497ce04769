//! Three hosts on one state store and one lake, while hosts die, hang, and lose the state store and the lake: the tables end
//! up as if nothing had happened. Half a minute in `just test`, each trouble once. `just chaos` goes on for two minutes, and kills a
//! host every few seconds whatever else goes wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sluice_simulator::{AccountSpec, FaultPlan, Options, Simulator};
use sluice_tests::{BUCKET, Operator, PostgresServer, Proxy, S3Server, Service, check_exact, check_runs_once, runtime};
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

/// What goes wrong.
struct Plan {
    /// For how long.
    time: Duration,
    /// How long each outage of a store takes.
    outage: Duration,
    /// How often a host is killed beside everything else.
    kill_every: Option<Duration>,
}

impl Plan {
    fn of_environment() -> Self {
        let secs = Duration::from_secs;
        match std::env::var("SLUICE_CHAOS_SECS").ok().and_then(|secs| secs.parse().ok()) {
            Some(time) => Self { time: secs(time), outage: secs(10), kill_every: Some(secs(4)) },
            None => Self { time: secs(1), outage: secs(5), kill_every: None },
        }
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
    /// The one that is stopped now.
    hanging: Option<usize>,
    kills: usize,
    kill_every: Option<Duration>,
    next_kill: Instant,
    /// How many ended by themselves since the last outage, and were started again.
    revived: usize,
}

impl<'a> Fleet<'a> {
    fn start(world: &'a World, kill_every: Option<Duration>) -> Self {
        let services = world.hosts.iter().map(|host| Service::start(host).unwrap()).collect();
        let (logs, stopped, hanging) = (vec![String::new(); HOSTS], Vec::new(), None);
        Self { world, services, logs, stopped, hanging, kills: 0, kill_every, next_kill: Instant::now(), revived: 0 }
    }

    /// Kills a host's service in the midst of whatever it does, and starts another one.
    fn kill(&mut self, host: usize) {
        self.kills += 1;
        self.services[host].kill();
        self.start_again(host);
    }

    fn start_again(&mut self, host: usize) {
        self.logs[host].push_str(self.services[host].whole_log());
        self.services[host] = Service::start(&self.world.hosts[host]).unwrap();
    }

    /// Lets time pass, in which hosts die that are to.
    fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if let Some(every) = self.kill_every
                && Instant::now() >= self.next_kill
            {
                let next = self.kills % HOSTS;
                let host = if self.hanging == Some(next) { (next + 1) % HOSTS } else { next };
                self.kill(host);
                self.next_kill = Instant::now() + every;
            }
            self.revive();
            let_pass(until.saturating_duration_since(Instant::now()).min(Duration::from_millis(500)));
        }
    }

    /// Starts services again that ended because a store wasn't there when they began, as a service manager does.
    fn revive(&mut self) {
        for host in 0..HOSTS {
            if self.services[host].is_alive() {
                continue;
            }
            let status = self.services[host].wait().unwrap();
            self.start_again(host);
            self.revived += 1;
            let is_refusal = matches!(status.code(), Some(1 | 78)) && self.kill_every.is_some();
            assert!(is_refusal, "a service ended by itself, {status}:\n{}", self.logs[host]);
        }
    }

    /// Stops a host's service for longer than its lease.
    fn stop(&mut self, host: usize) {
        let from = Utc::now();
        self.services[host].pause().unwrap();
        self.hanging = Some(host);
        self.pass(Duration::from_secs(LEASE_SECS + 2));
        self.hanging = None;
        self.services[host].go_on().unwrap();
        self.stopped.push([from, Utc::now()]);
    }

    /// Has each of the troubles once.
    fn trouble(&mut self, turn: usize, outage: Duration) {
        for host in 0..2 {
            self.pass(Duration::from_secs(2));
            self.kill((turn + host) % HOSTS);
        }
        self.pass(Duration::from_secs(1));
        self.stop((turn + 2) % HOSTS);
        self.pass(Duration::from_secs(1));
        let world = self.world;
        for wire in [&world.to_database, &world.to_store] {
            wire.cut();
            self.pass(outage);
            wire.mend();
            self.revived = 0;
            self.pass(Duration::from_secs(2));
        }
    }

    /// Waits until all accounts were read once more. What began in an outage may end once.
    fn read_once_more(&mut self) {
        let (after, deadline) = (Utc::now(), Instant::now() + PATIENCE);
        for network in NETWORKS {
            while self.world.read_at(network).is_none_or(|at| at <= after) {
                if Instant::now() > deadline {
                    let logs: Vec<String> = self.services.iter_mut().map(|service| service.log().to_owned()).collect();
                    panic!("{network} isn't read any more:\n{}", logs.join("\n=== the next host ===\n"));
                }
                self.revive();
                assert!(self.revived <= HOSTS, "services end by themselves, and there is no outage");
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
    let plan = Plan::of_environment();
    let mut fleet = Fleet::start(&world, plan.kill_every);
    fleet.read_once_more();
    let (deadline, mut turn) = (Instant::now() + plan.time, 0);
    while turn == 0 || Instant::now() < deadline {
        if i64::try_from(turn).unwrap() < ADVANCE_DAYS {
            world.simulator.advance(TimeDelta::days(1));
        }
        fleet.trouble(turn, plan.outage);
        turn += 1;
    }
    fleet.read_once_more();
    if let Some(every) = plan.kill_every {
        // A busy machine takes its time.
        let fewest = plan.time.as_secs() / every.as_secs() / 3;
        assert!(u64::try_from(fleet.kills).unwrap() >= fewest, "only {} kills", fleet.kills);
    }
    let (logs, stopped) = fleet.end();
    let sharing = logs.iter().filter(|log| log.contains("run begins") && log.contains("awin")).count();
    assert!(sharing >= 2, "{sharing} hosts worked on awin");
    assert!(logs.iter().any(|log| log.contains("an interrupted run is resumed")), "nothing was interrupted");
    is_exact(&world);
    requested_nothing_twice(&world, &stopped, &logs);
    kept_to_the_rate(&world);
}

fn is_exact(world: &World) {
    let witness = &world.witness;
    check_exact(witness, &world.simulator, &NETWORKS).unwrap();
    check_runs_once(witness).unwrap();
    // Accounts were given back, and whatever is in the queue is of a moment that came last.
    for network in NETWORKS {
        let text = witness.succeed(&["--output", "json", "build", network]).unwrap();
        let reports: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&reports[0]["new_versions"], &reports[0]["native_rows"]), (&0.into(), &0.into()), "{text}");
    }
}

/// When runs were resumed, with what the log says of it.
fn resumed(logs: &[String]) -> Vec<(DateTime<Utc>, &str)> {
    let lines = logs.iter().flat_map(|log| log.lines()).filter(|line| line.contains("an interrupted run is resumed"));
    lines.map(|line| (line.split_whitespace().next().unwrap().parse().unwrap(), line)).collect()
}

/// A response that was stored isn't asked for again. Whoever resumes a run looks for it before each request. One that came while a run
/// changed hands may be stored after that look: it was on its way to the store when its host was killed, or its host was too busy
/// to notice that its lease had expired. The same with a host that was stopped, once it goes on.
fn requested_nothing_twice(world: &World, stopped: &[[DateTime<Utc>; 2]], logs: &[String]) {
    let twice =
        "SELECT earlier.run_id AS run, earlier.url AS url, earlier.received_at AS received, later.sent_at AS sent
                 FROM meta.requests earlier
                 JOIN meta.requests later ON earlier.run_id = later.run_id AND earlier.request_id = later.request_id
                 WHERE earlier.outcome = 'answered' AND later.sent_at > earlier.received_at + INTERVAL '1 second'";
    let moment = |row: &Value, name: &str| -> DateTime<Utc> { row[name].as_str().unwrap().parse().unwrap() };
    let mut found = world.witness.sql(twice).unwrap();
    let (second, run) = (TimeDelta::seconds(1), |row: &Value| row["run"].as_str().unwrap().to_owned());
    let resumed = resumed(logs);
    found.retain(|row| {
        let received = moment(row, "received");
        let was_stopped = stopped.iter().any(|[from, until]| *from - second < received && received < *until + second);
        let was_on_its_way = resumed.iter().any(|(at, line)| {
            line.contains(&run(row)) && (*at - received).abs() < second * 3 && *at < moment(row, "sent")
        });
        !was_stopped && !was_on_its_way
    });
    let runs: Vec<String> = found.iter().map(run).collect();
    let is_of_them = |line: &&str| runs.iter().any(|run| line.contains(run)) || line.contains("WARN");
    let lines: Vec<&str> = logs.iter().flat_map(|log| log.lines()).filter(is_of_them).collect();
    assert!(found.is_empty(), "{found:#?}\n{}", lines.join("\n"));
}

fn kept_to_the_rate(world: &World) {
    let requests = world.simulator.requests();
    let refused = requests.iter().filter(|request| request.status == 429 && request.fault.is_none()).count();
    let awin = requests.iter().filter(|request| request.network == "awin").count();
    assert_eq!(refused, 0, "of {awin} requests to awin");
}
