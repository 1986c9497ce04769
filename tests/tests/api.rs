//! The HTTP API of a running service.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::{API_SETTINGS, Api, Operator, Service, http, state_rows};

#[test]
fn without_a_token_there_is_health_and_nothing_else() {
    let mut api = Api::start().unwrap();
    for (path, words) in [("/healthz", "ok"), ("/readyz", "\"ready\":true"), ("/metrics", "sluice_runs_in_flight")] {
        let answer = http(&api.address, "GET", path, None, None).unwrap();
        assert!(answer.status == 200 && answer.text().contains(words), "{path}: {answer:?}");
    }
    api.service.wait_for(&["awin", "new versions"]).unwrap();
    let metrics = http(&api.address, "GET", "/metrics", None, None).unwrap().text();
    assert!(metrics.contains("sluice_runs_total{network=\"awin\",outcome=\"done\"} 1"), "{metrics}");
    assert!(metrics.contains("sluice_requests_total{network=\"awin\"}") && !metrics.contains("alpha"), "{metrics}");
    let routes = api.routes().unwrap();
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

/// All files below a folder, each with its size.
fn files_in(folder: &Path, found: &mut Vec<String>) {
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        match std::fs::metadata(&path) {
            Ok(entry) if entry.is_dir() => files_in(&path, found),
            Ok(entry) => found.push(format!("{}: {}", path.display(), entry.len())),
            Err(_) => {}
        }
    }
}

/// The lake's files but those that the service's alarms come from, and what the state store has of an operator's decisions.
fn stored(api: &Api) -> Vec<String> {
    let mut stored = Vec::new();
    files_in(&api.operator.join("lake"), &mut stored);
    stored.retain(|name| !name.contains("_probe") && !name.contains("alarm"));
    stored.sort();
    let tables = "SELECT 'run ' || run_id FROM runs UNION ALL SELECT 'pause ' || network || account FROM pauses
                  UNION ALL SELECT 'job ' || id FROM jobs UNION ALL SELECT 'token ' || name FROM api_tokens
                  UNION ALL SELECT 'decision ' || network || digest || word FROM connector_words
                  UNION ALL SELECT 'backfill ' || network || selection FROM backfills";
    stored.extend(state_rows(&api.operator, tables).unwrap());
    stored
}

#[test]
fn a_token_that_reads_changes_nothing_by_any_route() {
    let mut api = Api::with_settings("[maintain]\nevery = \"never\"\n").unwrap();
    api.service.wait_for(&["awin", "new versions"]).unwrap();
    let token = api.token("reader", "read").unwrap();
    let mut writing = 0;
    for (method, path) in api.routes().unwrap() {
        let before = stored(&api);
        let answer = http(&api.address, &method, &path, Some(&token), Some(&json!({}))).unwrap();
        // A query is a question, however long.
        let reads = method == "GET" || path == "/v1/sql" || path == "/v1/queries";
        assert_eq!(answer.status == 403, !reads, "{method} {path}: {answer:?}");
        assert_ne!(answer.status, 500, "{method} {path}: {answer:?}");
        assert_eq!(stored(&api), before, "{method} {path}");
        writing += usize::from(!reads);
    }
    assert!(writing >= 10, "{writing}");
    // Not even a probe is written: a lake that isn't there isn't made.
    let (lake, aside) = (api.operator.join("lake"), api.operator.join("aside"));
    std::fs::rename(&lake, &aside).unwrap();
    let checked = api.get("/v1/check", &token).unwrap();
    assert!(!lake.exists(), "{checked:?}");
    std::fs::rename(&aside, &lake).unwrap();
    let operator = api.token("ops", "operate").unwrap();
    let refused = api.post("/v1/connectors/awin/approve", &operator, &json!({})).unwrap();
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(api.get("/v1/networks", &token).unwrap().json().unwrap()[0]["paused"].as_array().unwrap().is_empty());
}

#[test]
fn a_pause_is_made_noted_and_seen() {
    let api = Api::start().unwrap();
    let token = api.token("ops", "operate").unwrap();
    let paused = api.post("/v1/networks/awin/pause", &token, &json!({"account": "alpha", "reason": "locked"})).unwrap();
    assert_eq!(paused.status, 200, "{paused:?}");
    let networks = api.get("/v1/networks", &token).unwrap().json().unwrap();
    assert_eq!(networks[0]["paused"][0]["reason"], "locked", "{networks}");
    assert!(!networks.to_string().contains("env:"), "references to secrets stay in the settings: {networks}");
    let status = api.get("/v1/status", &token).unwrap().json().unwrap();
    assert_eq!(status["networks"][0]["paused"][0]["account"], "alpha", "{status}");
    let unknown = api.post("/v1/networks/nothing/pause", &token, &json!({})).unwrap();
    assert_eq!((unknown.status, unknown.json().unwrap()["kind"].clone()), (404, "settings".into()), "{unknown:?}");
    let wrong = api.post("/v1/networks/awin/pause", &token, &json!({"who": "alpha"})).unwrap();
    assert!(wrong.status == 422 && wrong.text().contains("who"), "{wrong:?}");
    api.post("/v1/networks/awin/resume", &token, &json!({"account": "alpha"})).unwrap();
    assert!(api.get("/v1/networks", &token).unwrap().json().unwrap()[0]["paused"].as_array().unwrap().is_empty());
    let calls = api.get("/v1/audit", &token).unwrap().json().unwrap();
    let calls: Vec<_> =
        calls.as_array().unwrap().iter().map(|call| (call["path"].clone(), call["status"].clone())).collect();
    let expected = [("awin/resume", 200), ("awin/pause", 422), ("nothing/pause", 404), ("awin/pause", 200)];
    let expected: Vec<(Value, Value)> =
        expected.iter().map(|(path, status)| (format!("/v1/networks/{path}").into(), (*status).into())).collect();
    assert_eq!(calls, expected);
}

#[test]
fn a_call_whose_caller_hangs_up_is_noted_and_so_is_one_that_is_refused() {
    let api = Api::start().unwrap();
    let (token, reader) = (api.token("ops", "operate").unwrap(), api.token("reader", "read").unwrap());
    let path = "/v1/networks/awin/pause";
    let mut caller = TcpStream::connect(&api.address).unwrap();
    write!(
        caller,
        "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: 2\r\nExpect: 100-continue\r\n\r\n",
        api.address
    )
    .unwrap();
    // The server asks for the body once the call has begun: one that hangs up before that may not be heard at all.
    let mut asked = [0; 12];
    caller.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100");
    caller.write_all(b"{}").unwrap();
    // The command takes longer than the caller does.
    drop(caller);
    let calls = || api.get("/v1/audit", &token).unwrap().json().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while calls().as_array().is_none_or(Vec::is_empty) {
        assert!(Instant::now() < deadline, "it isn't noted");
        #[expect(clippy::disallowed_methods, reason = "a token has so many calls a second")]
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!((&calls()[0]["path"], &calls()[0]["status"]), (&path.into(), &200.into()));
    assert!(!api.get("/v1/networks", &token).unwrap().json().unwrap()[0]["paused"].as_array().unwrap().is_empty());
    assert_eq!(api.post(path, &reader, &json!({})).unwrap().status, 403);
    assert_eq!((&calls()[0]["token"], &calls()[0]["status"]), (&"reader".into(), &403.into()));
}

#[test]
fn tokens_that_are_not_known_are_not_looked_for_without_end() {
    let api = Api::start().unwrap();
    let forged = format!("sluice_{}", "0".repeat(64));
    let answers = (0..8).map(|_| {
        std::thread::scope(|scope| {
            let ask = || http(&api.address, "GET", "/v1/status", Some(&forged), None).unwrap();
            let asked: Vec<_> =
                (0..8).map(|_| scope.spawn(move || (0..100).map(|_| ask()).collect::<Vec<_>>())).collect();
            asked.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        })
    });
    let refused = answers.flatten().find(|answer| answer.status != 401).expect("hundreds in a second");
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.header.to_lowercase().contains("retry-after: 1"), "{refused:?}");
}

#[test]
fn services_of_all_roles_show_their_health_and_their_counts() {
    let api = Api::start().unwrap();
    let others: Vec<(Service, String)> = ["scheduler", "worker"]
        .iter()
        .map(|role| {
            let mut service = Service::start_as(&api.operator, &["--role", role]).unwrap();
            let line = service.wait_for(&["health and metrics are on http://"]).unwrap();
            let address = line.rsplit("http://").next().unwrap().split(['"', ' ']).next().unwrap().to_owned();
            (service, address)
        })
        .collect();
    for (_, address) in &others {
        for (path, words) in [("/healthz", "ok"), ("/readyz", "\"ready\":true"), ("/metrics", "sluice_runs_in_flight")]
        {
            let answer = http(address, "GET", path, None, None).unwrap();
            assert!(answer.status == 200 && answer.text().contains(words), "{path}: {answer:?}");
        }
        for path in ["/v1/networks", "/openapi.json", "/"] {
            assert_eq!(http(address, "GET", path, None, None).unwrap().status, 404, "{path}");
        }
    }
}

#[test]
fn a_connection_on_which_no_whole_request_comes_is_closed() {
    let api = Api::start().unwrap();
    let begun = ["", "GET /healthz HTTP/1.1\r\nHost: a"].map(|begin| {
        let mut connection = TcpStream::connect(&api.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
        connection.write_all(begin.as_bytes()).unwrap();
        connection
    });
    for mut connection in begun {
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).expect("it is closed in time");
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    }
}

#[test]
fn a_plan_that_the_limits_do_not_allow_is_the_callers_fault() {
    let api = Api::with_settings("[limits]\nslices_per_run = 100\n").unwrap();
    let token = api.token("reader", "read").unwrap();
    let plan = api.get("/v1/plan?network=awin&since=2001-01-01&until=2026-01-01", &token).unwrap();
    assert!(plan.status == 422 && plan.text().contains("slices"), "{plan:?}");
}

#[test]
fn a_query_answers_in_each_format_and_a_wrong_one_says_why() {
    let api = Api::start().unwrap();
    let token = api.token("analyst", "read").unwrap();
    let ask =
        |query: &str, format: &str| api.post("/v1/sql", &token, &json!({"query": query, "format": format})).unwrap();
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
    let body = api.get(&format!("/v1/raw/{digest}"), &token).unwrap();
    assert_eq!(body.status, 200, "{body:?}");
    assert_eq!(body.text(), api.operator.succeed(&["raw", digest, "--body"]).unwrap());
    let header = body.header.to_lowercase();
    assert!(header.contains("nosniff") && header.contains("application/octet-stream"), "{header}");
}

#[test]
fn the_change_feed_goes_on_from_its_cursor_and_refuses_what_is_none() {
    let api = Api::start().unwrap();
    let token = api.token("shop", "read").unwrap();
    let versions = api.operator.sql("SELECT count(*) AS n FROM unified.transaction_versions").unwrap()[0]["n"].clone();
    let page = |after: &str| api.get(&format!("/v1/changes?limit=10000{after}"), &token).unwrap();
    let first = page("").json().unwrap();
    assert_eq!(first["changes"].as_array().unwrap().len(), versions);
    let next = first["next"].as_str().unwrap();
    assert_eq!(page(&format!("&after={next}")).json().unwrap()["changes"], json!([]));
    let refused = page("&after=yesterday");
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.json().unwrap()["error"].as_str().unwrap().contains("no cursor"), "{refused:?}");
}

#[test]
fn a_token_is_kept_as_a_hash_and_refused_once_it_is_removed() {
    let api = Api::start().unwrap();
    let token = api.token("reader", "read").unwrap();
    assert_eq!(api.get("/v1/networks", &token).unwrap().status, 200);
    for file in std::fs::read_dir(api.operator.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if file.is_file() {
            let bytes = std::fs::read(&file).unwrap();
            assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()), "{}", file.display());
        }
    }
    let answers: Vec<u16> = (0..40).map(|_| api.get("/v1/audit", &token).unwrap().status).collect();
    assert!(answers.contains(&429), "so many calls in a second: {answers:?}");
    let listed = api.operator.succeed(&["tokens"]).unwrap();
    assert!(listed.starts_with("reader (read), made ") && !listed.contains(&token), "{listed}");
    api.operator.succeed(&["tokens", "remove", "reader"]).unwrap();
    assert_eq!(api.get("/v1/networks", &token).unwrap().status, 401);
}

#[test]
fn log_lines_are_json_where_that_is_asked_for() {
    let mut operator = Operator::empty().unwrap();
    operator.write("sluice.toml", API_SETTINGS).unwrap();
    operator.set("SLUICE_LOG_FORMAT", "json");
    let mut service = Service::start(&operator).unwrap();
    let line: Value = serde_json::from_str(&service.wait_for(&["the HTTP API listens"]).unwrap()).unwrap();
    assert_eq!((&line["level"], &line["target"]), (&"INFO".into(), &"sluice_server".into()), "{line}");
    assert!(line["fields"]["message"].as_str().unwrap().contains("http://127.0.0.1:"), "{line}");
}

#[test]
fn other_machines_are_not_answered_without_a_token() {
    let operator = Operator::empty().unwrap();
    operator.write("sluice.toml", &API_SETTINGS.replace("127.0.0.1", "0.0.0.0")).unwrap();
    let refused = operator.sluice(&["serve"]).unwrap();
    assert_eq!(refused.code, 78, "{refused:?}");
    assert!(refused.stderr.contains("sluice tokens create NAME --role read"), "{refused:?}");
}
