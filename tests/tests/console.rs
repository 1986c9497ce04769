//! The console in a real browser, driven by the scripts in `tests/console`, against a real service.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Timelike, Utc};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{
    HostileServer, HttpAnswer, NETWORKS, Operator, Service, connectors_dir, http, patched, repository, response,
    runtime, target_dir,
};
use tokio::runtime::Runtime;

const HISTORY_DAYS: u32 = 75;
/// Between the first read and the second one.
const LATER: TimeDelta = TimeDelta::days(2);
const SETTINGS: &str = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n\
                        [server]\nlisten = \"127.0.0.1:0\"\n";
/// What a network may put into its fields.
const PAYLOAD: &str = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>\u{202e}\u{1}</pre>";

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A service with a page, in an operator's folder.
struct Console {
    operator: Operator,
    address: String,
    service: Service,
}

impl Console {
    fn of(operator: Operator) -> Self {
        let mut service = Service::start(&operator).unwrap();
        let line = service.wait_for(&["the HTTP API listens on http://"]).unwrap();
        let address = line.rsplit("http://").next().unwrap().split(['"', ' ']).next().unwrap().to_owned();
        let console = Self { operator, address, service };
        let page = console.get("/");
        assert_eq!(page.status, 200, "no page: build with `--features sluice-cli/console`, as `just test` does");
        console
    }

    fn get(&self, path: &str) -> HttpAnswer {
        http(&self.address, "GET", path, None, None).unwrap()
    }

    fn token(&self, name: &str, role: &str) -> String {
        self.operator.succeed(&["tokens", "create", name, "--role", role]).unwrap().trim().to_owned()
    }

    /// Runs a script of `tests/console` in a browser.
    fn drive(&self, script: &str) {
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

/// Five networks over weeks, read twice, with a gap, a doubt and a version that waits; the schedule leaves all alone.
fn five_networks() -> (Console, (Simulator, Runtime)) {
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
    operator.write("sluice.toml", SETTINGS).unwrap();
    for network in NETWORKS {
        let file = json!({
            "connector": network, "schedule": "0 3 * * *", "base_url": simulator.origin(network),
            "rate": {"requests": 2000, "per_secs": 1, "concurrency": 8},
            "accounts": operator.accounts(&simulator, network),
        });
        operator.write(&format!("networks/{network}.json"), &file.to_string()).unwrap();
        operator.succeed(&["pause", network, "--reason", "the test reads"]).unwrap();
        read(&operator, network, start);
    }
    simulator.advance(LATER);
    for network in NETWORKS {
        let recent = [simulator.clock() - TimeDelta::days(15), simulator.clock()].map(text);
        operator.run(network, &recent).unwrap();
    }
    doubt(&operator, &simulator);
    let first = std::fs::read(connectors_dir().join("awin.wasm")).unwrap();
    let second = patched(&first, &[("awinAwin0.1.0", "awinAwin0.2.0"), ("api.awin.com", "cdn.awin.com")]).unwrap();
    operator.put_connector("awin.wasm", &second).unwrap();
    (Console::of(operator), (simulator, runtime))
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

/// Has Awin give commissions in another field for once, which is doubted.
fn doubt(operator: &Operator, simulator: &Simulator) {
    simulator.move_commissions(true);
    let [since, until] = [simulator.clock() - TimeDelta::days(10), simulator.clock()].map(text);
    let run = operator.sluice(&["run", "awin", "--account", "beta", "--since", &since, "--until", &until]).unwrap();
    assert_ne!(run.code, 0, "{run:?}");
    simulator.move_commissions(false);
}

#[test]
fn every_view_does_its_work() {
    let (console, _simulator) = five_networks();
    console.drive("views.mjs");
    let doubts = console.operator.sql("SELECT state, decision FROM meta.doubts").unwrap();
    assert_eq!(doubts, [json!({"state": "rejected", "decision": "Awin puts the field back"})]);
    let calls =
        console.operator.sql("SELECT count(*) AS n FROM meta.gaps WHERE kind = 'never-read' AND account = 'alpha'");
    assert_eq!(calls.unwrap(), [json!({"n": 0})], "the gap is read");
}

#[test]
fn a_token_that_reads_is_shown_what_it_may_not_do() {
    let (console, _simulator) = five_networks();
    console.drive("rights.mjs");
}

/// Transactions of Awin whose fields are scripts, in a body of megabytes, and a connector's file that is none.
#[test]
fn bodies_and_strings_of_others_stay_texts() {
    let fixture = std::fs::read(repository().join("connectors/awin/fixtures/normal/body")).unwrap();
    let records: Vec<Value> = serde_json::from_slice(&fixture).unwrap();
    let hostile = |number: u64| {
        let mut record = records[0].clone();
        record["id"] = (5_000 + number).into();
        record["orderRef"] = PAYLOAD.into();
        record["siteName"] = PAYLOAD.into();
        record["clickRefs"] = json!({"clickRef": PAYLOAD.repeat(2)});
        record["transactionDate"] = text(Utc::now() - TimeDelta::days(1)).trim_end_matches('Z').into();
        record
    };
    let body = serde_json::to_string(&(0..1_500).map(hostile).collect::<Vec<_>>()).unwrap();
    // As it is, which JSON doesn't allow.
    let body = body.replace("\\u0001", "\u{1}").into_bytes();
    assert!(body.len() > 2_000_000, "{}", body.len());
    let server = HostileServer::saying(response(200, &[("Content-Type", "text/html")], &body)).unwrap();
    let mut operator = Operator::empty().unwrap();
    operator.write("sluice.toml", SETTINGS).unwrap();
    paused_awin(&mut operator, &server.origin());
    let [since, until] = [Utc::now() - TimeDelta::days(2), Utc::now()].map(text);
    operator.sluice(&["run", "awin", "--since", &since, "--until", &until]).unwrap();
    operator.write("connectors.d/<img src=x onerror=window.hacked=1>.wasm", "no component").unwrap();
    Console::of(operator).drive("hostile.mjs");
}

/// Awin with one account, which the schedule leaves alone.
fn paused_awin(operator: &mut Operator, base_url: &str) {
    operator.set("AWIN_TOKEN", "token-of-awin-1");
    let settings = json!({"publisher_id": "123456"});
    let account = json!({"name": "alpha", "settings": settings, "secrets": {"token": "env:AWIN_TOKEN"}});
    operator.write_network("awin", base_url, vec![account]).unwrap();
    operator.install("awin", "awin.wasm").unwrap();
    operator.succeed(&["pause", "awin"]).unwrap();
}

#[test]
fn events_count_what_changed_and_end_with_the_service() {
    let mut operator = Operator::empty().unwrap();
    operator.write("sluice.toml", SETTINGS).unwrap();
    paused_awin(&mut operator, "http://127.0.0.1:9");
    let console = Console::of(operator);
    let (address, token) = (&console.address, console.token("ops", "operate"));
    let once = http(address, "GET", "/v1/events", Some(&token), None).unwrap().json().unwrap();
    assert_eq!(
        (&once["token"], &once["role"], &once["changes"]["runs"]),
        (&"ops".into(), &"operate".into(), &0.into())
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(
        stream,
        "GET /v1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n"
    )
    .unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut next = |event: &str| -> Value {
        assert!(lines.any(|line| line == format!("event: {event}")), "the stream ended before {event}");
        serde_json::from_str(lines.next().unwrap().strip_prefix("data: ").unwrap()).unwrap()
    };
    assert_eq!(next("session"), once);
    let resumed = http(address, "POST", "/v1/networks/awin/pause", Some(&token), Some(&json!({"account": "alpha"})));
    assert_eq!(resumed.unwrap().status, 200);
    let changes = next("changes");
    assert_eq!((&changes["networks"], &changes["connectors"]), (&1.into(), &0.into()), "{changes}");
    kill_process(Pid::from_raw(console.service.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert!(lines.all(|line| !line.starts_with("event:")), "it ends");
}

#[test]
fn the_page_is_the_same_at_every_view_and_may_load_nothing_else() {
    let mut operator = Operator::empty().unwrap();
    operator.write("sluice.toml", SETTINGS).unwrap();
    operator.set("NO_COLOR", "1");
    let console = Console::of(operator);
    let page = console.get("/");
    for view in ["/runs", "/transactions/0f", "/doubts/0123/x", "/nothing"] {
        let answer = console.get(view);
        assert_eq!((answer.status, &answer.body), (200, &page.body), "{view}");
        let header = answer.header.to_lowercase();
        for part in
            ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "nosniff", "no-cache", "no-referrer"]
        {
            assert!(header.contains(part), "{view} lacks {part}: {header}");
        }
        assert!(!header.contains("unsafe-") && !header.contains("set-cookie"), "{header}");
    }
    let markup = page.text();
    assert!(!markup.contains("<style") && !markup.contains("style=") && !markup.contains("onload"), "{markup}");
    assert!(markup.matches("<script").count() == 1 && markup.contains("<script type=\"module\""), "{markup}");
    let script = markup.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let script = console.get(script);
    assert!(script.status == 200 && script.header.contains("immutable"), "{}", script.header);
    for (method, path) in [("GET", "/v1/nothing"), ("GET", "/assets/old-0123.js"), ("POST", "/runs"), ("DELETE", "/")] {
        let answer = http(&console.address, method, path, None, None).unwrap();
        assert!((400..500).contains(&answer.status), "{method} {path}: {answer:?}");
    }
}

/// `src/schema.d.ts` is what openapi-typescript makes of the API as it is; `just bless` writes it.
#[test]
fn the_clients_types_are_those_of_the_api() {
    let mut operator = Operator::empty().unwrap();
    operator.write("sluice.toml", SETTINGS).unwrap();
    operator.set("NO_COLOR", "1");
    let console = Console::of(operator);
    let folder = repository().join("host/server/console");
    let made = tempfile::tempdir().unwrap();
    let (description, types) = (made.path().join("openapi.json"), made.path().join("schema.d.ts"));
    std::fs::write(&description, console.get("/openapi.json").body).unwrap();
    let tool: PathBuf = folder.join("node_modules/.bin/openapi-typescript");
    let output = Command::new(&tool).arg(&description).arg("--output").arg(&types).current_dir(&folder).output();
    let output = output.unwrap_or_else(|error| panic!("no {}: run `just console`: {error}", tool.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (kept, made) = (folder.join("src/schema.d.ts"), std::fs::read_to_string(types).unwrap());
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::write(&kept, &made).unwrap();
    }
    assert!(std::fs::read_to_string(&kept).unwrap() == made, "{} is of another API: run `just bless`", kept.display());
}
