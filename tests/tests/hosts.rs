//! Several hosts on one PostgreSQL: they share a network by its accounts, and what one leaves another one resumes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::{Value, json};
use sluice_simulator::{AccountSpec, Options, Simulator};
use sluice_tests::{Operator, PostgresServer, Service, check_exact, runtime, variant};
use tokio::runtime::Runtime;

const NETWORK: &str = "awin";
const ACCOUNTS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(120);

/// Hosts that share a lake on a disk, and the network that they read.
struct World {
    runtime: Runtime,
    simulator: Simulator,
    server: PostgresServer,
    hosts: Vec<Operator>,
}

impl World {
    /// `schedule`: by which the network is read.
    fn new(hosts: usize, schedule: &str) -> Self {
        let runtime = runtime();
        let accounts = (0..ACCOUNTS).map(|number| AccountSpec::new(NETWORK, &format!("a{number}"))).collect();
        let options = Options { start: Utc::now(), history_days: 10, rows_per_day: 2, accounts, ..Options::default() };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let server = PostgresServer::start().unwrap();
        let mut hosts: Vec<Operator> = (0..hosts).map(|_| Operator::of(&simulator, &[NETWORK]).unwrap()).collect();
        let lake = hosts[0].join("lake").display().to_string();
        for host in &mut hosts {
            let settings =
                format!("[lake]\nurl = \"file:{lake}\"\n[state]\nurl = \"{}\"\nlease_secs = 3\n", server.url());
            host.write("sluice.toml", &settings).unwrap();
            let file = json!({
                "connector": NETWORK, "schedule": schedule, "look_back": [{"every": "1s", "days": 12}],
                "base_url": simulator.origin(NETWORK), "rate": {"requests": 200, "per_secs": 1, "concurrency": 1},
                "accounts": host.accounts(&simulator, NETWORK),
            });
            host.write(&format!("networks/{NETWORK}.json"), &file.to_string()).unwrap();
        }
        // The store's tables are there before anybody asks for them.
        hosts[0].succeed(&["check"]).unwrap();
        Self { runtime, simulator, server, hosts }
    }

    /// Waits until a query gives something else than nothing, by a condition on its rows.
    fn wait_until(&self, query: &str, holds: impl Fn(&[String]) -> bool) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rows = self.server.query(query).unwrap();
            if holds(&rows) {
                return rows;
            }
            assert!(Instant::now() < deadline, "{query} never came to be: {rows:?}");
            #[expect(clippy::disallowed_methods, reason = "another process's rows are only seen by asking")]
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_exact(&self) {
        check_exact(&self.hosts[0], &self.simulator, &[NETWORK]).unwrap();
    }
}

#[test]
fn hosts_share_a_network_and_resume_what_another_leaves() {
    let world = World::new(2, "* * * * * *");
    // Nobody is answered before both hosts have accounts.
    world.simulator.allow(0);
    // The worker is there before a moment is queued, so that the network is cut into parts.
    let died = Service::start_as(&world.hosts[0], &["--role", "worker"]).unwrap();
    world.wait_until("SELECT id FROM services", |rows| rows.len() == 1);
    let mut heir = Service::start(&world.hosts[1]).unwrap();
    let claims = "SELECT lease, accounts FROM claims WHERE network = 'awin' ORDER BY lease";
    let claimed =
        world.wait_until(claims, |rows| rows.len() == 2 && rows[0].split('|').next() != rows[1].split('|').next());
    let accounts: Vec<&str> = claimed.iter().flat_map(|row| row.split('"').skip(1).step_by(2)).collect();
    let distinct: BTreeSet<&&str> = accounts.iter().collect();
    assert_eq!(distinct.len(), accounts.len(), "an account is worked on twice: {claimed:?}");
    // One of them dies, with a request on its way: the other one resumes its run.
    let lost = world.wait_until("SELECT run_id FROM runs WHERE starts > 0", |rows| rows.len() == 2);
    drop(died);
    world.simulator.allow(usize::MAX);
    heir.wait_for(&["an interrupted run is resumed"]).unwrap();
    world.wait_until("SELECT entry FROM schedule_times WHERE entry LIKE '1s/%'", |rows| !rows.is_empty());
    drop(heir);
    world.is_exact();
    let runs = world.hosts[0].sql("SELECT run_id, outcome FROM meta.runs").unwrap();
    let ids: BTreeSet<&str> = runs.iter().map(|run| run["run_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), runs.len(), "a run is recorded twice: {runs:?}");
    assert!(lost.iter().all(|run| ids.contains(run.as_str())), "{lost:?} in {ids:?}");
}

#[test]
fn a_scheduler_queues_and_a_worker_reads() {
    let world = World::new(2, "* * * * * *");
    let _scheduler = Service::start_as(&world.hosts[0], &["--role", "scheduler"]).unwrap();
    let queued = "SELECT run_id FROM runs WHERE starts = 0 AND entry = 'start'";
    let queued = world.wait_until(queued, |rows| !rows.is_empty());
    assert_eq!(queued.len(), 1, "without a worker nobody shares the network: {queued:?}");
    assert!(world.simulator.requests().is_empty(), "a scheduler reads nothing");
    let _worker = Service::start_as(&world.hosts[1], &["--role", "worker"]).unwrap();
    world.wait_until("SELECT entry FROM schedule_times WHERE entry LIKE '1s/%'", |rows| !rows.is_empty());
    world.is_exact();
    let wrong = world.hosts[0].sluice(&["serve", "--role", "workers"]).unwrap();
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("there are scheduler, worker, api and query"), "{wrong:?}");
}

#[test]
fn a_backfill_is_spread_over_the_services() {
    let world = World::new(2, "0 0 29 2 *");
    let host = &world.hosts[0];
    // The schedule's first moment is past before there is a service.
    host.succeed(&["run", "--due"]).unwrap();
    let asked = world.simulator.requests().len();
    let _workers: Vec<Service> =
        world.hosts.iter().map(|host| Service::start_as(host, &["--role", "worker"]).unwrap()).collect();
    world.wait_until("SELECT id FROM services", |rows| rows.len() == 2);
    let since = (Utc::now() - chrono::TimeDelta::days(70)).format("%F").to_string();
    let queued = host.succeed(&["backfill", NETWORK, "--since", &since, "--queue"]).unwrap();
    assert!(queued.contains(" runs of `awin` are queued for the services"), "{queued}");
    let noted: usize = queued.split(' ').next().unwrap().parse().unwrap();
    assert!(noted >= 3 * 2, "three months in two parts: {queued}");
    world.wait_until("SELECT run_id FROM runs", |rows| rows.is_empty());
    assert!(world.simulator.requests().len() > asked);
    let runs = host.sql("SELECT run_id FROM meta.runs WHERE outcome = 'done'").unwrap();
    assert_eq!(runs.len(), noted + 1, "and the run of the schedule");
    world.is_exact();
}

/// Statuses of all transactions, as a replay changes them.
fn statuses(host: &Operator) -> Vec<Value> {
    let query =
        "SELECT status_raw, validation_status, count(*) AS n FROM unified.transactions GROUP BY 1, 2 ORDER BY 1, 2";
    host.sql(query).unwrap()
}

#[test]
fn a_queued_replay_is_done_month_by_month_and_taken_back_as_one() {
    let world = World::new(2, "0 0 29 2 *");
    let host = &world.hosts[0];
    host.succeed(&["run", "--due"]).unwrap();
    let (before, asked) = (statuses(host), world.simulator.requests().len());
    // Approved and declined exchanged.
    let exchanged = variant(NETWORK, "pendingapproveddeclined", "pendingdeclinedapproved").unwrap();
    std::fs::write(host.join("exchanged.wasm"), exchanged).unwrap();
    let by = ["--output", "json", "replay", NETWORK, "--connector", "exchanged.wasm", "--apply"];
    let since = (Utc::now() - chrono::TimeDelta::days(70)).format("%F").to_string();
    let queued = host.succeed(&[&by[..], &["--queue", "--since", &since]].concat()).unwrap();
    let queued: Value = serde_json::from_str(&queued).unwrap();
    let (months, id) = (queued["queued"].as_u64().unwrap(), queued["replay"].as_str().unwrap());
    assert!(months >= 3, "{queued}");
    assert_eq!(statuses(host), before, "nobody has begun");
    host.succeed(&["run", "--due"]).unwrap();
    assert_eq!(statuses(host), before, "what is due is no replay");
    let _workers: Vec<Service> =
        world.hosts.iter().map(|host| Service::start_as(host, &["--role", "worker"]).unwrap()).collect();
    world.wait_until("SELECT run_id FROM runs", |rows| rows.is_empty());
    let runs = format!("SELECT run_id FROM meta.runs WHERE command = 'replay' AND starts_with(run_id, '{id}.')");
    assert_eq!(host.sql(&runs).unwrap().len() as u64, months);
    assert_eq!(world.simulator.requests().len(), asked, "nothing is requested");
    assert_ne!(statuses(host), before);
    let again: Value = serde_json::from_str(&host.succeed(&by).unwrap()).unwrap();
    assert_eq!(again["changed"]["count"], 0, "the months left nothing: {again}");
    host.succeed(&["replay", NETWORK, "--rollback", id]).unwrap();
    assert_eq!(statuses(host), before);
    // What waits when it is taken back isn't done.
    drop(_workers);
    let queued = host.succeed(&[&by[..], &["--queue", "--since", &since]].concat()).unwrap();
    let queued: Value = serde_json::from_str(&queued).unwrap();
    host.succeed(&["replay", NETWORK, "--rollback", queued["replay"].as_str().unwrap()]).unwrap();
    assert!(world.server.query("SELECT run_id FROM runs").unwrap().is_empty());
    assert_eq!(statuses(host), before);
    world.is_exact();
}

#[test]
fn a_command_that_needs_the_whole_network_waits_for_the_accounts_of_others() {
    let world = World::new(1, "0 0 29 2 *");
    let host = &world.hosts[0];
    let now = "CAST(extract(epoch FROM now()) * 1000 AS BIGINT)";
    let elsewhere = format!(
        "INSERT INTO leases (resource, epoch, holder, host, machine, process_id, process_start, since, expires_at)
         VALUES ('process/9', 5, 'x', 'elsewhere', '', 17, 0, {now}, {now} + 3600000);
         INSERT INTO claims (claim_id, network, accounts, lease, epoch, since)
         VALUES ('c', 'awin', '[\"a3\"]', 'process/9', 5, {now})"
    );
    world.server.query(&elsewhere).unwrap();
    let settings = std::fs::read_to_string(host.join("sluice.toml")).unwrap();
    host.write("sluice.toml", &format!("{settings}lease_wait_secs = 0\n")).unwrap();
    for command in [&["replay", "awin", "--apply"][..], &["build", "--from-raw"], &["run", "awin"]] {
        let answer = host.sluice(command).unwrap();
        assert_eq!(answer.code, 1, "{command:?}: {answer:?}");
        assert!(answer.stderr.contains("network `awin` is in use by process 17 on elsewhere since"), "{answer:?}");
    }
    world.server.query("UPDATE leases SET expires_at = 1 WHERE resource = 'process/9'").unwrap();
    host.succeed(&["run", "awin"]).unwrap();
    assert_eq!(world.server.query("SELECT lapsed > 5 FROM leases WHERE resource = 'process/9'").unwrap(), ["t"]);
    world.runtime.block_on(world.simulator.wait_for_requests(1));
    world.is_exact();
}

/// A worker that is pruned while its job runs.
#[test]
fn a_host_that_is_taken_for_dead_while_its_run_lasts_writes_nothing_more() {
    // A moment that came before there was a service, and none after it.
    let world = World::new(2, "0 0 29 2 *");
    world.simulator.allow(0);
    let mut pruned = Service::start(&world.hosts[0]).unwrap();
    let run = world.wait_until("SELECT run_id FROM runs WHERE starts > 0", |rows| rows.len() == 1).remove(0);
    let mut heir = Service::start_as(&world.hosts[1], &["--role", "worker"]).unwrap();
    world.wait_until("SELECT id FROM services", |rows| rows.len() == 2);
    // What a host does that finds a lease expired. This one is alive, and its run waits for answers.
    let prune = "UPDATE leases SET epoch = epoch + 1, lapsed = epoch + 1, holder = '', expires_at = 0
                 WHERE resource IN (SELECT lease FROM claims WHERE network = 'awin') RETURNING resource";
    assert_eq!(world.server.query(prune).unwrap().len(), 1);
    heir.wait_for(&["an interrupted run is resumed", &run]).unwrap();
    // Both get their answers.
    world.simulator.allow(usize::MAX);
    pruned.wait_for(&[NETWORK, "lease"]).unwrap();
    world.wait_until("SELECT run_id FROM runs", |rows| rows.is_empty());
    assert!(pruned.is_alive() && heir.is_alive());
    assert_eq!(pruned.terminate().unwrap(), Some(0));
    world.is_exact();
    let runs = world.hosts[0].sql("SELECT run_id, outcome FROM meta.runs").unwrap();
    assert_eq!(runs, [json!({"run_id": run, "outcome": "done"})]);
}

/// This machine, as leases name it.
fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap();
    format!("{} {}", boot.trim(), namespace.display())
}

/// A stale worker id that passes for alive.
#[test]
fn neither_a_reused_process_id_nor_a_reused_lease_keeps_the_accounts_of_the_dead() {
    let world = World::new(1, "* * * * * *");
    let now = "CAST(extract(epoch FROM now()) * 1000 AS BIGINT)";
    // The process that claimed the network is gone: another one, which lives, has got its number. Its lease is valid for an hour.
    let (machine, living) = (machine(), std::process::id());
    let stale = format!(
        "INSERT INTO leases (resource, epoch, holder, host, machine, process_id, process_start, since, expires_at)
         VALUES ('process/1', 5, 'x', 'here', '{machine}', {living}, 1, {now}, {now} + 3600000);
         INSERT INTO claims (claim_id, network, accounts, lease, epoch, since)
         VALUES ('c', 'awin', '[]', 'process/1', 5, {now})"
    );
    world.server.query(&stale).unwrap();
    world.simulator.allow(0);
    let _service = Service::start(&world.hosts[0]).unwrap();
    // The service has the lease of that name now, and the claim of before isn't its.
    let taken = "SELECT claims.epoch FROM claims JOIN leases ON lease = resource AND claims.epoch = leases.epoch
                 WHERE network = 'awin' AND resource = 'process/1' AND claims.epoch > 5";
    world.wait_until(taken, |rows| rows.len() == 1);
    world.simulator.allow(usize::MAX);
    world.wait_until("SELECT entry FROM schedule_times WHERE entry LIKE '1s/%'", |rows| !rows.is_empty());
    world.is_exact();
}

/// A crash between a change of state and queueing.
#[test]
fn a_scheduler_that_dies_before_the_runs_of_a_moment_are_queued_has_not_noted_the_moment() {
    let world = World::new(1, "* * * * * *");
    let hold = "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql
                AS 'BEGIN PERFORM pg_sleep(3600); RETURN NEW; END';
                CREATE TRIGGER hold BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION hold()";
    world.server.query(hold).unwrap();
    let scheduler = Service::start_as(&world.hosts[0], &["--role", "scheduler"]).unwrap();
    // It has noted the moment, and is about to queue its run.
    let held = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    world.wait_until(held, |rows| !rows.is_empty());
    // Killed. The server sees that when it next writes to the connection.
    drop(scheduler);
    world.server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'").unwrap();
    world.server.query("DROP TRIGGER hold ON runs").unwrap();
    let noted = "SELECT entry FROM schedule_times WHERE network = 'awin' UNION ALL SELECT run_id FROM runs";
    assert_eq!(world.server.query(noted).unwrap(), Vec::<String>::new());
    let _service = Service::start(&world.hosts[0]).unwrap();
    world.wait_until("SELECT entry FROM schedule_times WHERE entry LIKE '1s/%'", |rows| !rows.is_empty());
    world.is_exact();
}
