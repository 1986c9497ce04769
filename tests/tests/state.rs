//! What is remembered between runs, and runs that can't start or can't read all their accounts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sluice_guests::Guest;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{
    HostileServer, Operator, PostgresServer, Service, lake_sums, response, runtime, true_sums, whole_window,
};
use tokio::runtime::Runtime;

const HISTORY_DAYS: u32 = 20;
/// Never again in the time of a test.
const ONCE: &str = "0 0 29 2 *";

fn start() -> DateTime<Utc> {
    "2025-11-10T12:00:00Z".parse().unwrap()
}

fn simulator(start: DateTime<Utc>) -> (Runtime, Simulator) {
    let runtime = runtime();
    let options = Options { start, history_days: HISTORY_DAYS, rows_per_day: 2, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    (runtime, simulator)
}

/// Gives the accounts of a network secrets in files `secrets/<account>`, and writes those of `readable`.
fn keep_secrets_in_files(operator: &Operator, simulator: &Simulator, schedule: &str, readable: &[&str]) {
    std::fs::create_dir_all(operator.join("secrets")).unwrap();
    let accounts: Vec<Value> = simulator
        .accounts()
        .iter()
        .filter(|account| account.network == "awin")
        .map(|account| {
            let file = format!("secrets/{}", account.name);
            let (slot, value) = account.secrets.iter().next().unwrap();
            if readable.contains(&account.name.as_str()) {
                operator.write(&file, value).unwrap();
            }
            json!({"name": account.name, "settings": account.settings, "secrets": {slot: format!("file:{file}")}})
        })
        .collect();
    let file = json!({
        "connector": "awin", "schedule": schedule, "look_back": [{"every": "1h", "days": 15}],
        "base_url": simulator.origin("awin"), "rate": {"requests": 2000, "per_secs": 1, "concurrency": 8},
        "accounts": accounts,
    });
    operator.write("networks/awin.json", &file.to_string()).unwrap();
}

/// The rows of the lake by account.
fn rows(operator: &Operator, account: &str) -> u64 {
    let sums = lake_sums(operator, "awin").unwrap();
    sums.iter().filter(|((name, ..), _)| name == account).map(|(_, (rows, _))| rows).sum()
}

#[test]
fn an_account_whose_secret_can_not_be_read_fails_its_own_slices_only() {
    let (_runtime, simulator) = simulator(start());
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    keep_secrets_in_files(&operator, &simulator, ONCE, &["alpha"]);
    let [since, until] = whole_window(&simulator, start(), HISTORY_DAYS.into());
    let run = ["--output", "json", "run", "awin", "--since", &since, "--until", &until];
    let answer = operator.sluice(&run).unwrap();
    assert_eq!(answer.code, 78, "{answer:?}");
    let reports: Value = serde_json::from_str(&answer.stdout).unwrap();
    let (slices, failed) = (reports[0]["slices"].as_u64().unwrap(), reports[0]["slices_failed"].as_u64().unwrap());
    assert!(slices > 0 && failed * 2 == slices, "{reports}");
    let error = reports[0]["errors"][0].as_str().unwrap();
    assert!(error.contains("account `beta`, secret `token`") && error.contains("hint:"), "{error}");
    let truth = true_sums(&simulator, "awin");
    let of_alpha = truth.iter().filter(|((name, ..), _)| name == "alpha").map(|(_, (rows, _))| rows).sum::<u64>();
    assert_eq!((rows(&operator, "alpha"), rows(&operator, "beta")), (of_alpha, 0));
    let coverage =
        "SELECT account, complete, count(*) AS n, max(error) AS error FROM meta.coverage GROUP BY 1, 2 ORDER BY 1";
    let coverage = operator.sql(coverage).unwrap();
    assert_eq!(coverage.len(), 2, "{coverage:?}");
    assert_eq!((&coverage[0]["account"], &coverage[0]["complete"]), (&"alpha".into(), &true.into()), "{coverage:?}");
    assert_eq!((&coverage[1]["account"], &coverage[1]["complete"]), (&"beta".into(), &false.into()), "{coverage:?}");
    assert!(coverage[1]["error"].as_str().unwrap().contains("secret `token`"), "{coverage:?}");

    keep_secrets_in_files(&operator, &simulator, ONCE, &["alpha", "beta"]);
    operator.succeed(&run).unwrap();
    assert_eq!(lake_sums(&operator, "awin").unwrap(), truth);
}

#[test]
fn a_network_without_any_readable_secret_is_a_settings_failure() {
    let (_runtime, simulator) = simulator(start());
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    keep_secrets_in_files(&operator, &simulator, ONCE, &[]);
    for command in ["run", "collect", "plan"] {
        let answer = operator.sluice(&[command, "awin"]).unwrap();
        assert_eq!(answer.code, 78, "{command}: {answer:?}");
        assert!(answer.stderr.contains("secret `token`") && answer.stderr.contains("hint: "), "{command}: {answer:?}");
    }
    keep_secrets_in_files(&operator, &simulator, ONCE, &["beta"]);
    let answer = operator.sluice(&["plan", "awin"]).unwrap();
    assert_eq!(answer.code, 78, "{answer:?}");
    assert!(answer.stdout.contains("awin/beta/") && !answer.stdout.contains("awin/alpha/"), "{answer:?}");
}

#[test]
fn an_unreadable_secret_does_not_block_an_interrupted_run() {
    let (_runtime, simulator) = simulator(start());
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    keep_secrets_in_files(&operator, &simulator, ONCE, &["alpha", "beta"]);
    let [since, until] = whole_window(&simulator, start(), HISTORY_DAYS.into());
    let run = ["--output", "json", "run", "awin", "--since", &since, "--until", &until];
    let killed = operator.command(&run).env("SLUICE_STOP_AT", "response-kept:1").output().unwrap();
    assert_eq!(killed.status.code(), None, "{killed:?}");
    std::fs::remove_file(operator.join("secrets/beta")).unwrap();
    let answer = operator.sluice(&run).unwrap();
    assert_eq!(answer.code, 78, "{answer:?}");
    let runs = operator.sql("SELECT outcome, slices_failed FROM meta.runs").unwrap();
    assert_eq!((runs.len(), &runs[0]["outcome"]), (1, &"failed".into()), "it is over: {runs:?}");
    assert!(rows(&operator, "alpha") > 0);

    keep_secrets_in_files(&operator, &simulator, ONCE, &["alpha", "beta"]);
    operator.succeed(&run).unwrap();
    assert_eq!(lake_sums(&operator, "awin").unwrap(), true_sums(&simulator, "awin"));
}

#[test]
fn a_run_that_could_not_start_is_tried_again_soon() {
    let (_runtime, simulator) = simulator(Utc::now());
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    let settings = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n[schedule]\nretry_secs = 1\n";
    operator.write("sluice.toml", settings).unwrap();
    keep_secrets_in_files(&operator, &simulator, ONCE, &[]);
    let mut service = Service::start(&operator).unwrap();
    service.wait_for(&["awin", "tried again in 1 s"]).unwrap();
    service.wait_for(&["awin", "tried again in 2 s"]).unwrap();
    keep_secrets_in_files(&operator, &simulator, ONCE, &["alpha", "beta"]);
    service.wait_for(&["awin", "new versions"]).unwrap();
    service.wait_for(&["at rest"]).unwrap();
    drop(service);
    let runs = operator.sql("SELECT outcome FROM meta.runs").unwrap();
    assert_eq!((runs.len(), &runs[0]["outcome"]), (1, &"done".into()), "and not once more: {runs:?}");
}

/// A network whose connector gives a cursor with each answer, and its server.
struct WithCursors {
    store: PostgresServer,
    operator: Operator,
}

impl WithCursors {
    fn new() -> Self {
        let server = HostileServer::start(|ask, stream| {
            let is_answered = ask.head.starts_with("GET /sales ");
            if is_answered { stream.write_all(&response(200, &[], br#"{"data":[{"id":"1"}]}"#)) } else { Ok(()) }
        });
        let server = server.unwrap();
        let store = PostgresServer::start().unwrap();
        let operator = Operator::empty().unwrap();
        let settings =
            format!("[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"{}\"\n[fetch]\nmax_attempts = 1\n", store.url());
        operator.write("sluice.toml", &settings).unwrap();
        let world = Self { store, operator };
        world.install("1.0.0", &["sales"], "one");
        let file = json!({
            "connector": "shop", "schedule": ONCE, "base_url": server.origin(),
            "look_back": [{"every": "1h", "days": 1}, {"every": "1d", "days": 30}],
            "rate": {"requests": 2000, "per_secs": 1, "concurrency": 4},
            "accounts": [{"name": "main", "settings": {}, "secrets": {}}],
        });
        world.operator.write("networks/shop.json", &file.to_string()).unwrap();
        world
    }

    /// A connector that asks for these paths, and gives this cursor with each answer.
    fn install(&self, version: &str, paths: &[&str], cursor: &str) {
        let request = |path: &&str| json!({"key": path, "url": [{"text": format!("https://api.example.com/{path}")}], "yields-records": true});
        let plan = json!({"ok": paths.iter().map(request).collect::<Vec<_>>()});
        let follow = json!({"ok": {"verdict": "done", "cursor": cursor}});
        let guest = json!({"manifest": {"version": version}, "plan": plan, "follow": follow});
        let component = Guest::new("shop", &guest).component().unwrap();
        self.operator.put_connector("shop.wasm", &component).unwrap();
    }

    fn cursors(&self) -> Vec<String> {
        self.store.query("SELECT rule, value FROM cursors ORDER BY rule").unwrap()
    }
}

#[test]
fn a_cursor_is_kept_once_its_slice_is_durable_and_belongs_to_its_rule() {
    let world = WithCursors::new();
    let killed = world.operator.command(&["run", "shop"]).env("SLUICE_STOP_AT", "coverage-noted").output().unwrap();
    assert_eq!(killed.status.code(), None, "{killed:?}");
    assert!(world.cursors().is_empty(), "the run isn't over: {:?}", world.cursors());
    world.operator.succeed(&["run", "shop"]).unwrap();
    assert_eq!(world.cursors(), ["3600s/1d/default|one", "86400s/30d/default|one"]);

    let noted = |arguments: &[&str]| {
        let killed = world.operator.command(arguments).env("SLUICE_STOP_AT", "planned").output().unwrap();
        assert_eq!(killed.status.code(), None, "{killed:?}");
        let slices = world.store.query("SELECT slices FROM runs").unwrap();
        world.store.query("DELETE FROM runs").unwrap();
        serde_json::from_str::<Vec<Value>>(&slices[0]).unwrap()
    };
    assert!(noted(&["run", "shop"]).iter().all(|slice| slice["cursor"] == "one"));
    let explicit = ["run", "shop", "--since", "2026-01-01", "--until", "2026-01-02"];
    assert!(noted(&explicit).iter().all(|slice| slice["cursor"].is_null()), "a window is read whole");

    world.install("1.1.0", &["sales"], "two");
    world.operator.succeed(&explicit).unwrap();
    assert_eq!(world.cursors(), ["3600s/1d/default|one", "86400s/30d/default|one"]);
    world.install("1.2.0", &["sales", "broken"], "three");
    let failed = world.operator.sluice(&["run", "shop"]).unwrap();
    assert_eq!(failed.code, 1, "{failed:?}");
    assert_eq!(world.cursors(), ["3600s/1d/default|one", "86400s/30d/default|one"], "the slice isn't complete");
}
