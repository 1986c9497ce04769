//! A service with a page, and an operator of five networks whose service has it.

use std::process::Command;

use chrono::{DateTime, SecondsFormat, TimeDelta, Timelike, Utc};
use serde_json::{Value, json};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{
    HttpAnswer, NETWORKS, Operator, Service, connectors_dir, http, patched, repository, runtime, target_dir,
};
use tokio::runtime::Runtime;

const HISTORY_DAYS: u32 = 75;
/// Between the first read and the second one.
const LATER: TimeDelta = TimeDelta::days(2);
/// Alarms are opened as soon as their fault is found.
const PROMPT: &str = "[alarms]\nevery = \"1s\"\n[alarms.rules.gap]\nafter = \"0s\"\n";
pub(crate) const SETTINGS: &str = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n\
                        [server]\nlisten = \"127.0.0.1:0\"\n";
pub(crate) fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A service with a page, in an operator's folder.
pub(crate) struct Console {
    pub(crate) operator: Operator,
    pub(crate) address: String,
    pub(crate) service: Service,
}

impl Console {
    pub(crate) fn of(operator: Operator) -> Self {
        let mut service = Service::start(&operator).unwrap();
        let line = service.wait_for(&["the HTTP API listens on http://"]).unwrap();
        let address = line.rsplit("http://").next().unwrap().split(['"', ' ']).next().unwrap().to_owned();
        let console = Self { operator, address, service };
        let page = console.get("/");
        assert_eq!(page.status, 200, "no page: build with `--features sluice-cli/console`, as `just test` does");
        console
    }

    pub(crate) fn get(&self, path: &str) -> HttpAnswer {
        http(&self.address, "GET", path, None, None).unwrap()
    }

    pub(crate) fn token(&self, name: &str, role: &str) -> String {
        self.operator.succeed(&["tokens", "create", name, "--role", role]).unwrap().trim().to_owned()
    }

    /// Runs a script of `tests/console` in a browser.
    pub(crate) fn drive(&self, script: &str) {
        let tools = target_dir().join("browser");
        assert!(tools.is_dir(), "no {}: run `just tools`", tools.display());
        let output = Command::new("node")
            .arg(repository().join("tests/console").join(script))
            .env("SLUICE_BROWSER_TOOLS", tools)
            .env("SLUICE_SHOTS", target_dir().join("console"))
            .env("SLUICE_URL", format!("http://{}", self.address))
            .env("SLUICE_ADMIN", self.token("ops", "admin"))
            .env("SLUICE_READER", self.token("reader", "read"))
            .output()
            .expect("node, which `just tools` installs");
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {}\n{printed}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Five networks over weeks, read twice, with gaps, accounts that were never read, a transaction that vanished, two doubts,
/// and two versions that wait; the schedule leaves all alone.
pub(crate) fn five_networks() -> (Console, (Simulator, Runtime)) {
    let runtime = runtime();
    let today = Utc::now().with_minute(0).and_then(|now| now.with_second(0)).and_then(|now| now.with_nanosecond(0));
    let start = today.unwrap() - LATER - TimeDelta::hours(1);
    let options = Options {
        start,
        history_days: HISTORY_DAYS,
        rows_per_day: 4,
        everyday_amounts: true,
        seed: 4,
        ..Options::default()
    };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let mut operator = Operator::of(&simulator, &NETWORKS).unwrap();
    operator.write("sluice.toml", &format!("{SETTINGS}{PROMPT}")).unwrap();
    for network in NETWORKS {
        let file = network_file(&mut operator, &simulator, network);
        operator.write(&format!("networks/{network}.json"), &file.to_string()).unwrap();
        operator.succeed(&["pause", network, "--reason", "the test reads"]).unwrap();
        read(&operator, network, start);
    }
    simulator.advance(LATER);
    for network in NETWORKS {
        operator.run(network, &recent(&simulator)).unwrap();
    }
    vanish(&operator, &simulator);
    ["alpha", "beta"].iter().for_each(|account| doubt(&operator, &simulator, account));
    add_unread_accounts(&mut operator, &simulator);
    put_candidates(&operator);
    (Console::of(operator), (simulator, runtime))
}

/// The days that are read again.
fn recent(simulator: &Simulator) -> [String; 2] {
    [simulator.clock() - TimeDelta::days(15), simulator.clock()].map(text)
}

fn network_file(operator: &mut Operator, simulator: &Simulator, network: &str) -> Value {
    let mut file = json!({
        "connector": network, "schedule": "0 3 * * *", "base_url": simulator.origin(network),
        "rate": {"requests": 2000, "per_secs": 1, "concurrency": 8},
        "accounts": operator.accounts(simulator, network), "vanish": {"confirm_after": "0"},
    });
    if network == "cj" {
        file["look_back"] = json!([{"every": "6h", "days": 12, "axis": "transaction"}]);
        file["swap"] = json!({"mode": "manual"});
    }
    file
}

/// Reads a network's history, Awin's but for five days.
fn read(operator: &Operator, network: &str, start: DateTime<Utc>) {
    let days = |days: i64| start - TimeDelta::days(days);
    let windows = match network {
        "awin" => vec![[days(70), days(35)], [days(30), start]],
        _ => vec![[days(70), start]],
    };
    for window in windows {
        operator.run(network, &window.map(text)).unwrap();
    }
}

/// Has Awin lose a transaction, which two reads find.
fn vanish(operator: &Operator, simulator: &Simulator) {
    let [since, until] = [12, 4].map(|days| simulator.clock() - TimeDelta::days(days));
    let mut rows = simulator.truth("awin", "alpha");
    rows.retain(|row| {
        row.transacted_at > since && row.transacted_at < until && !row.commission.starts_with(['-', '0'])
    });
    assert!(simulator.withhold("awin", "alpha", &rows[0].transaction_id), "it had it");
    for _ in 0..2 {
        operator.run("awin", &recent(simulator)).unwrap();
    }
}

/// Has Awin give commissions in another field for once, which is doubted.
fn doubt(operator: &Operator, simulator: &Simulator, account: &str) {
    simulator.move_commissions(true);
    let [since, until] = [simulator.clock() - TimeDelta::days(10), simulator.clock()].map(text);
    let run = operator.sluice(&["run", "awin", "--account", account, "--since", &since, "--until", &until]).unwrap();
    assert_ne!(run.code, 0, "{run:?}");
    simulator.move_commissions(false);
}

/// Adds accounts to ShareASale: one that the network refuses, and one whose secret isn't set.
fn add_unread_accounts(operator: &mut Operator, simulator: &Simulator) {
    let mut file = network_file(operator, simulator, "shareasale");
    let first = file["accounts"][0].clone();
    for (number, name, secret) in [(9_000_001, "broken", "SHAREASALE_WRONG"), (9_000_002, "unread", "SHAREASALE_UNSET")]
    {
        let mut account = first.clone();
        account["name"] = name.into();
        for setting in account["settings"].as_object_mut().unwrap().values_mut() {
            // Another one, or it would be the same account.
            *setting = number.to_string().into();
        }
        for value in account["secrets"].as_object_mut().unwrap().values_mut() {
            *value = format!("env:{secret}").into();
        }
        file["accounts"].as_array_mut().unwrap().push(account);
    }
    operator.set("SHAREASALE_WRONG", "wrong");
    operator.write("networks/shareasale.json", &file.to_string()).unwrap();
    let [since, until] = recent(simulator);
    let run = operator.sluice(&["run", "shareasale", "--account", "broken", "--since", &since, "--until", &until]);
    assert_ne!(run.unwrap().code, 0, "the network refuses it");
}

/// Puts a version of Awin there that wants another host, and one of CJ that reads the commission from a field that isn't there.
fn put_candidates(operator: &Operator) {
    let put = |network: &str, changes: &[(&str, &str)]| {
        let first = std::fs::read(connectors_dir().join(format!("{network}.wasm"))).unwrap();
        operator.put_connector(&format!("{network}.wasm"), &patched(&first, changes).unwrap()).unwrap();
    };
    put("awin", &[("awinAwin0.1.0", "awinAwin0.2.0"), ("api.awin.com", "cdn.awin.com")]);
    let field = ("correctionReasonpubCommissionAmountPubCurrency", "correctionReasonpubCommissionAmountPubCurrencX");
    put("cj", &[("CJ Affiliate0.1.0", "CJ Affiliate0.2.0"), field]);
}
