//! The HTTP API of a running service.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{HttpAnswer, Operator, Service, http, runtime, whole_window};
use tokio::runtime::Runtime;

const HISTORY_DAYS: u32 = 10;
const SETTINGS: &str = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n\
                        [server]\nlisten = \"127.0.0.1:0\"\n";

fn start() -> DateTime<Utc> {
    "2025-11-10T12:00:00Z".parse().unwrap()
}

/// A service over Awin's simulated accounts, whose history is read.
struct Api {
    operator: Operator,
    service: Service,
    address: String,
    _simulator: (Simulator, Runtime),
}

impl Api {
    fn new() -> Self {
        let runtime = runtime();
        let options = Options { start: start(), history_days: HISTORY_DAYS, rows_per_day: 2, ..Options::default() };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let mut operator = Operator::of(&simulator, &["awin"]).unwrap();
        operator.write("sluice.toml", SETTINGS).unwrap();
        let network = json!({
            "connector": "awin", "schedule": "0 0 29 2 *", "look_back": [{"every": "1h", "days": 15}],
            "base_url": simulator.origin("awin"), "rate": {"requests": 2000, "per_secs": 1, "concurrency": 8},
            "accounts": operator.accounts(&simulator, "awin"),
        });
        operator.write("networks/awin.json", &network.to_string()).unwrap();
        let [since, until] = whole_window(&simulator, start(), HISTORY_DAYS.into());
        operator.succeed(&["run", "awin", "--since", &since, "--until", &until]).unwrap();
        let mut service = Service::start(&operator).unwrap();
        let line = service.wait_for(&["the HTTP API listens on http://"]).unwrap();
        let address = line.rsplit("http://").next().unwrap().split(['"', ' ']).next().unwrap().to_owned();
        Self { operator, service, address, _simulator: (simulator, runtime) }
    }

    fn token(&self, name: &str, role: &str) -> String {
        self.operator.succeed(&["tokens", "create", name, "--role", role]).unwrap().trim().to_owned()
    }

    fn get(&self, path: &str, token: &str) -> HttpAnswer {
        http(&self.address, "GET", path, Some(token), None).unwrap()
    }

    fn post(&self, path: &str, token: &str, body: &Value) -> HttpAnswer {
        http(&self.address, "POST", path, Some(token), Some(body)).unwrap()
    }

    /// Method and path of all routes under `/v1`, their parameters filled in.
    fn routes(&self) -> Vec<(String, String)> {
        let description = http(&self.address, "GET", "/openapi.json", None, None).unwrap().json().unwrap();
        let paths = description["paths"].as_object().unwrap().iter();
        for (path, methods) in paths.clone() {
            let declared = methods.as_object().unwrap().values().next().unwrap()["parameters"].to_string();
            for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
                assert!(declared.contains(&format!("\"name\":\"{name}\"")), "{path}: {name} isn't declared");
            }
        }
        let routes = paths.filter(|(path, _)| path.starts_with("/v1")).flat_map(|(path, methods)| {
            let path = ["{network}", "{id}", "{key}", "{digest}", "{decision}"]
                .into_iter()
                .fold(path.clone(), |path, name| path.replace(name, "awin"));
            methods.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
        });
        routes.collect()
    }
}

#[test]
fn without_a_token_there_is_health_and_nothing_else() {
    let mut api = Api::new();
    for (path, words) in [("/healthz", "ok"), ("/readyz", "\"ready\":true"), ("/metrics", "sluice_runs_in_flight")] {
        let answer = http(&api.address, "GET", path, None, None).unwrap();
        assert!(answer.status == 200 && answer.text().contains(words), "{path}: {answer:?}");
    }
    api.service.wait_for(&["awin", "new versions"]).unwrap();
    let metrics = http(&api.address, "GET", "/metrics", None, None).unwrap().text();
    assert!(metrics.contains("sluice_runs_total{network=\"awin\",outcome=\"done\"} 1"), "{metrics}");
    assert!(metrics.contains("sluice_requests_total{network=\"awin\"}") && !metrics.contains("alpha"), "{metrics}");
    let routes = api.routes();
    assert!(routes.len() >= 15, "{routes:?}");
    let forged = format!("sluice_{}", "0".repeat(64));
    for (method, path) in &routes {
        for token in [None, Some("x"), Some(forged.as_str())] {
            let answer = http(&api.address, method, path, token, Some(&json!({}))).unwrap();
            assert_eq!(answer.status, 401, "{method} {path} {token:?}: {answer:?}");
            assert!(answer.header.to_lowercase().contains("www-authenticate: bearer"), "{answer:?}");
        }
    }
    assert!(api.service.is_alive());
}

#[test]
fn a_token_that_reads_changes_nothing_by_any_route() {
    let api = Api::new();
    let token = api.token("reader", "read");
    let mut writing = 0;
    for (method, path) in api.routes() {
        let answer = http(&api.address, &method, &path, Some(&token), Some(&json!({}))).unwrap();
        let reads = method == "GET" || path == "/v1/sql";
        assert_eq!(answer.status == 403, !reads, "{method} {path}: {answer:?}");
        assert_ne!(answer.status, 500, "{method} {path}: {answer:?}");
        writing += usize::from(!reads);
    }
    assert!(writing >= 5, "{writing}");
    let operator = api.token("ops", "operate");
    let refused = api.post("/v1/connectors/awin/approve", &operator, &json!({}));
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(api.get("/v1/networks", &token).json().unwrap()[0]["paused"].as_array().unwrap().is_empty());
}

#[test]
fn a_pause_is_made_noted_and_seen() {
    let api = Api::new();
    let token = api.token("ops", "operate");
    let paused = api.post("/v1/networks/awin/pause", &token, &json!({"account": "alpha", "reason": "locked"}));
    assert_eq!(paused.status, 200, "{paused:?}");
    let networks = api.get("/v1/networks", &token).json().unwrap();
    assert_eq!(networks[0]["paused"][0]["reason"], "locked", "{networks}");
    assert!(!networks.to_string().contains("env:"), "references to secrets stay in the settings: {networks}");
    let status = api.get("/v1/status", &token).json().unwrap();
    assert_eq!(status["networks"][0]["paused"][0]["account"], "alpha", "{status}");
    let unknown = api.post("/v1/networks/nothing/pause", &token, &json!({}));
    assert_eq!((unknown.status, unknown.json().unwrap()["kind"].clone()), (404, "settings".into()), "{unknown:?}");
    let wrong = api.post("/v1/networks/awin/pause", &token, &json!({"who": "alpha"}));
    assert!(wrong.status == 422 && wrong.text().contains("who"), "{wrong:?}");
    api.post("/v1/networks/awin/resume", &token, &json!({"account": "alpha"}));
    assert!(api.get("/v1/networks", &token).json().unwrap()[0]["paused"].as_array().unwrap().is_empty());
    let calls = api.get("/v1/audit", &token).json().unwrap();
    let calls: Vec<_> =
        calls.as_array().unwrap().iter().map(|call| (call["path"].clone(), call["status"].clone())).collect();
    let expected = [("awin/resume", 200), ("awin/pause", 422), ("nothing/pause", 404), ("awin/pause", 200)];
    let expected: Vec<(Value, Value)> =
        expected.iter().map(|(path, status)| (format!("/v1/networks/{path}").into(), (*status).into())).collect();
    assert_eq!(calls, expected);
}

#[test]
fn a_query_answers_in_each_format_and_a_wrong_one_says_why() {
    let api = Api::new();
    let token = api.token("analyst", "read");
    let ask = |query: &str, format: &str| api.post("/v1/sql", &token, &json!({"query": query, "format": format}));
    let sum = "SELECT count(*) AS n, sum(commission_amount) AS money FROM unified.transactions";
    let answer = ask(sum, "json");
    assert_eq!(answer.status, 200, "{answer:?}");
    let shown = api.operator.succeed(&["sql", sum, "--format", "json"]).unwrap();
    assert_eq!(answer.text(), shown, "what the command prints");
    assert!(ask(sum, "csv").text().starts_with("n,money\n"));
    assert!(ask(sum, "parquet").body.starts_with(b"PAR1"));
    assert!(ask(sum, "arrow").body.starts_with(&[0xFF, 0xFF, 0xFF, 0xFF]));
    let wrong = ask("SELECT comission_amount FROM unified.transactions", "json");
    let body = wrong.json().unwrap();
    assert!(wrong.status == 422 && body["error"].as_str().unwrap().contains("comission_amount"), "{wrong:?}");
    for query in ["--help", "SELECT 1\0", "DELETE FROM unified.transactions", ""] {
        let refused = ask(query, "json");
        assert!((400..500).contains(&refused.status), "{query}: {refused:?}");
    }
    let raw = api.operator.sql("SELECT raw_object FROM raw.objects LIMIT 1").unwrap();
    let digest = raw[0]["raw_object"].as_str().unwrap();
    let body = api.get(&format!("/v1/raw/{digest}"), &token);
    assert_eq!(body.status, 200, "{body:?}");
    assert_eq!(body.text(), api.operator.succeed(&["raw", digest, "--body"]).unwrap());
    let header = body.header.to_lowercase();
    assert!(header.contains("nosniff") && header.contains("application/octet-stream"), "{header}");
}

#[test]
fn a_token_is_kept_as_a_hash_and_refused_once_it_is_removed() {
    let api = Api::new();
    let token = api.token("reader", "read");
    assert_eq!(api.get("/v1/networks", &token).status, 200);
    for file in std::fs::read_dir(api.operator.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if file.is_file() {
            let bytes = std::fs::read(&file).unwrap();
            assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()), "{}", file.display());
        }
    }
    let answers: Vec<u16> = (0..40).map(|_| api.get("/v1/audit", &token).status).collect();
    assert!(answers.contains(&429), "so many calls in a second: {answers:?}");
    let listed = api.operator.succeed(&["tokens"]).unwrap();
    assert!(listed.starts_with("reader (read), made ") && !listed.contains(&token), "{listed}");
    api.operator.succeed(&["tokens", "remove", "reader"]).unwrap();
    assert_eq!(api.get("/v1/networks", &token).status, 401);
}

#[test]
fn log_lines_are_json_where_that_is_asked_for() {
    let mut operator = Operator::empty().unwrap();
    operator.write("sluice.toml", SETTINGS).unwrap();
    operator.set("SLUICE_LOG_FORMAT", "json");
    let mut service = Service::start(&operator).unwrap();
    let line: Value = serde_json::from_str(&service.wait_for(&["the HTTP API listens"]).unwrap()).unwrap();
    assert_eq!((&line["level"], &line["target"]), (&"INFO".into(), &"sluice_server".into()), "{line}");
    assert!(line["fields"]["message"].as_str().unwrap().contains("http://127.0.0.1:"), "{line}");
}

#[test]
fn other_machines_are_not_answered_without_a_token() {
    let operator = Operator::empty().unwrap();
    operator.write("sluice.toml", &SETTINGS.replace("127.0.0.1", "0.0.0.0")).unwrap();
    let refused = operator.sluice(&["serve"]).unwrap();
    assert_eq!(refused.code, 78, "{refused:?}");
    assert!(refused.stderr.contains("sluice tokens create NAME --role read"), "{refused:?}");
}
