//! What the HTTP API lists of runs, and work that it starts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::{Api, HttpAnswer, Service, claim_elsewhere, http};

/// A job once it has ended.
fn end_of(api: &Api, token: &str, job: &str) -> Value {
    for _ in 0..5 {
        let job = api.get(&format!("/v1/jobs/{job}?wait_secs=60"), token).unwrap().json().unwrap();
        if job["state"] != "waiting" && job["state"] != "running" {
            return job;
        }
    }
    panic!("job {job} doesn't end");
}

fn id_of(started: &HttpAnswer) -> String {
    assert_eq!(started.status, 202, "{started:?}");
    let id = started.json().unwrap()["id"].as_str().unwrap().to_owned();
    assert!(started.header.contains(&format!("location: /v1/jobs/{id}")), "{started:?}");
    id
}

#[test]
fn a_run_that_is_asked_for_outlives_its_request() {
    let api = Api::start().unwrap();
    let token = api.token("ops", "operate").unwrap();
    let [since, until] = &api.window;
    let body = json!({"network": "awin", "account": "alpha", "since": since, "until": until});
    let id = id_of(&api.post("/v1/runs", &token, &body).unwrap());
    let job = end_of(&api, &token, &id);
    assert_eq!((&job["state"], &job["token"], &job["work"]["kind"]), (&"done".into(), &"ops".into(), &"run".into()));
    let run = job["result"][0]["run_id"].as_str().unwrap();
    assert!(job["result"][0]["requests"].as_u64().unwrap() > 0, "{job}");
    let row = api.get(&format!("/v1/runs/{run}"), &token).unwrap().json().unwrap();
    assert_eq!((&row[0]["run_id"], &row[0]["outcome"]), (&run.into(), &"done".into()), "{row}");
    let listed = api.get("/v1/jobs", &token).unwrap().json().unwrap();
    assert_eq!(listed[0]["id"], id, "{listed}");
    let audit = api.get("/v1/audit", &token).unwrap().json().unwrap();
    assert_eq!((&audit[0]["path"], &audit[0]["status"]), (&"/v1/runs".into(), &202.into()), "{audit}");

    let backfill =
        api.post("/v1/backfills", &token, &json!({"network": "awin", "since": since, "until": until})).unwrap();
    let job = end_of(&api, &token, &id_of(&backfill));
    assert_eq!((&job["state"], job["result"].as_array().unwrap().is_empty()), (&"done".into(), false), "{job}");
}

#[test]
fn a_full_queue_asks_for_patience_and_of_rebuilds_one_waits() {
    let api = Api::start().unwrap();
    let tokens: Vec<String> = (0..8).map(|number| api.token(&format!("admin-{number}"), "admin").unwrap()).collect();
    // Nothing can begin: another process works on the network.
    claim_elsewhere(&api.operator, "awin", &[]);
    let run = json!({"network": "awin", "since": api.window[0], "until": api.window[1]});
    let started: Vec<HttpAnswer> = (0..4).map(|_| api.post("/v1/runs", &tokens[0], &run).unwrap()).collect();
    started.iter().for_each(|answer| _ = id_of(answer));
    let rebuilds: Vec<String> =
        (0..3).map(|_| id_of(&api.post("/v1/rebuilds", &tokens[0], &json!({})).unwrap())).collect();
    assert!(rebuilds.iter().all(|id| *id == rebuilds[0]), "{rebuilds:?}");
    let other = id_of(&api.post("/v1/rebuilds", &tokens[0], &json!({"lossy": true})).unwrap());
    assert_ne!(other, rebuilds[0], "it does something else");
    let full = (0..200).map(|number| api.post("/v1/runs", &tokens[number % 8], &run).unwrap());
    let full = full.filter(|answer| answer.text().contains("jobs wait")).collect::<Vec<_>>();
    assert!(full.iter().all(|answer| answer.status == 429), "{full:?}");
    assert!(full[0].header.to_lowercase().contains("retry-after: 30"), "{full:?}");
}

#[test]
fn work_that_cannot_be_done_is_refused_at_once() {
    let api = Api::start().unwrap();
    let token = api.token("admin", "admin").unwrap();
    let refused = [
        ("/v1/runs", json!({"network": "nothing"}), "there is no network `nothing`"),
        ("/v1/runs", json!({"network": "awin", "account": "nobody"}), "has no account `nobody`"),
        ("/v1/runs", json!({"network": "awin", "since": "yesterday"}), "is not a time"),
        ("/v1/runs", json!({"network": "awin", "axis": "x"}), "is not an axis"),
        ("/v1/runs", json!({"network": "awin", "who": "alpha"}), "who"),
        ("/v1/backfills", json!({"network": "awin"}), "a backfill needs a window"),
        ("/v1/replays", json!({"network": "awin", "fail_if": ["x"]}), "x"),
        ("/v1/replays/apply", json!({}), "network"),
    ];
    for (path, body, words) in refused {
        let answer = api.post(path, &token, &body).unwrap();
        assert!(answer.status == 422 && answer.text().contains(words), "{path} {body}: {answer:?}");
    }
    let jobs = api.get("/v1/jobs", &token).unwrap().json().unwrap();
    assert_eq!(jobs, json!([]));
    assert_eq!(api.get("/v1/jobs/x", &token).unwrap().status, 404);
}

#[test]
fn history_is_compared_by_an_operator_and_rewritten_by_an_admin() {
    let api = Api::start().unwrap();
    let (operator, admin) = (api.token("ops", "operate").unwrap(), api.token("admin", "admin").unwrap());
    let body = json!({"network": "awin"});
    let compared = api.post("/v1/replays", &operator, &body).unwrap();
    let job = end_of(&api, &operator, &id_of(&compared));
    assert_eq!((&job["state"], &job["result"]["network"]), (&"done".into(), &"awin".into()), "{job}");
    for path in ["/v1/replays/apply", "/v1/rebuilds"] {
        assert_eq!(api.post(path, &operator, &body).unwrap().status, 403, "{path}");
    }
    let applied = api.post("/v1/replays/apply", &admin, &body).unwrap();
    assert_eq!(end_of(&api, &operator, &id_of(&applied))["state"], "done");
    let held = api.post("/v1/replays", &operator, &json!({"network": "awin", "fail_if": ["rows>=0"]})).unwrap();
    assert_eq!(end_of(&api, &operator, &id_of(&held))["state"], "failed");
    let before = api.operator.sql("SELECT count(*) AS n FROM unified.transactions").unwrap();
    let rebuilt = api.post("/v1/rebuilds", &admin, &json!({})).unwrap();
    let job = end_of(&api, &operator, &id_of(&rebuilt));
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(api.operator.sql("SELECT count(*) AS n FROM unified.transactions").unwrap(), before);
}

#[test]
fn bulk_work_is_queued_for_the_workers_and_not_twice() {
    let api = Api::start().unwrap();
    let admin = api.token("admin", "admin").unwrap();
    // What is queued waits: another process works on the network.
    claim_elsewhere(&api.operator, "awin", &[]);
    let [since, until] = &api.window;
    let backfill = json!({"network": "awin", "since": since, "until": until, "queue": true});
    let job = end_of(&api, &admin, &id_of(&api.post("/v1/backfills", &admin, &backfill).unwrap()));
    assert!(job["state"] == "done" && job["result"]["queued"].as_u64().unwrap() > 0, "{job}");
    let again = end_of(&api, &admin, &id_of(&api.post("/v1/backfills", &admin, &backfill).unwrap()));
    assert!(again["state"] == "failed" && again["error"].to_string().contains("queued for `awin` already"), "{again}");
    let rebuild = json!({"queue": true});
    let job = end_of(&api, &admin, &id_of(&api.post("/v1/rebuilds", &admin, &rebuild).unwrap()));
    assert!(job["state"] == "done" && job["result"]["rebuild"].is_string(), "{job}");
    let compared = api.post("/v1/replays", &admin, &json!({"network": "awin", "queue": true})).unwrap();
    assert_eq!(compared.status, 422, "{compared:?}");
    // A host that is no worker does none of it.
    let mut other = Service::start_as(&api.operator, &["--role", "api"]).unwrap();
    let line = other.wait_for(&["the HTTP API listens on http://"]).unwrap();
    let address = line.rsplit("http://").next().unwrap().split(['"', ' ']).next().unwrap().to_owned();
    let replay = json!({"network": "awin"});
    let started = http(&address, "POST", "/v1/replays/apply", Some(&admin), Some(&replay)).unwrap();
    let job = end_of(&api, &admin, &id_of(&started));
    assert!(job["state"] == "done" && job["result"]["replay"].is_string(), "{job}");
}

#[test]
fn a_job_is_lost_with_its_host() {
    let mut api = Api::start().unwrap();
    let token = api.token("ops", "operate").unwrap();
    // A request in ten seconds, so that it isn't over soon.
    let mut network: Value =
        serde_json::from_slice(&std::fs::read(api.operator.join("networks/awin.json")).unwrap()).unwrap();
    network["rate"] = json!({"requests": 1, "per_secs": 10, "concurrency": 1});
    api.operator.write("networks/awin.json", &network.to_string()).unwrap();
    let [since, until] = &api.window;
    let body = json!({"network": "awin", "since": since, "until": until});
    let id = id_of(&api.post("/v1/runs", &token, &body).unwrap());
    api.service.wait_for(&["job begins"]).unwrap();
    let running = api.get(&format!("/v1/jobs/{id}"), &token).unwrap().json().unwrap();
    let open = (&Value::from("running"), &Value::Null, &Value::Null);
    assert_eq!((&running["state"], &running["result"], &running["ended_at"]), open, "{running}");
    api.crash_and_start_again().unwrap();
    assert_eq!(end_of(&api, &token, &id)["state"], "lost");
}

#[test]
fn what_was_read_and_what_is_missing_is_listed() {
    let api = Api::start().unwrap();
    let token = api.token("reader", "read").unwrap();
    let get = |path: &str| {
        let answer = api.get(path, &token).unwrap();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json().unwrap()
    };
    let accounts = get("/v1/accounts");
    assert!(accounts.as_array().unwrap().iter().any(|account| account["name"] == "alpha"), "{accounts}");
    let requests = get("/v1/requests?network=awin&account=alpha&limit=3");
    assert!((1..=3).contains(&requests.as_array().unwrap().len()), "{requests}");
    assert!(requests.as_array().unwrap().iter().all(|request| request["account"] == "alpha"), "{requests}");
    let run = requests[0]["run_id"].as_str().unwrap();
    let slices = get(&format!("/v1/slices?run={run}&limit=10000"));
    assert!(slices.as_array().unwrap().iter().all(|slice| slice["run_id"] == run), "{slices}");
    let digest = requests[0]["raw_object"].as_str().unwrap();
    assert_eq!(api.get(&format!("/v1/raw/{digest}"), &token).unwrap().status, 200);
    assert_eq!(get("/v1/requests?until=2020-01-01"), json!([]));
    assert_eq!(get("/v1/requests?since=2020-01-01&network=x%27%20OR%201=1"), json!([]));
    let coverage = get("/v1/coverage?network=awin&account=alpha");
    let streams = coverage.as_array().unwrap();
    assert!(!streams.is_empty() && streams.iter().all(|stream| stream["gaps"].is_array()), "{coverage}");
    assert!(
        get("/v1/coverage?gaps=true").as_array().unwrap().iter().all(|s| !s["gaps"].as_array().unwrap().is_empty())
    );
    let plan = get("/v1/plan?network=awin&account=alpha&since=2025-11-01&until=2025-11-03");
    assert!(plan[0]["request"]["url"].as_str().unwrap().starts_with("http"), "{plan}");
    for path in ["/v1/requests?since=yesterday", "/v1/requests?limit=-1", "/v1/plan"] {
        assert_eq!(api.get(path, &token).unwrap().status, 422, "{path}");
    }
}

#[test]
fn clients_that_take_nothing_hold_neither_memory_nor_the_next_answer() {
    let api = Api::start().unwrap();
    let token = api.token("reader", "read").unwrap();
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", api.service.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().to_owned();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    };
    let ask = |query: &str| api.post("/v1/sql", &token, &json!({"query": query})).unwrap();
    assert_eq!(ask("SELECT 1 AS one").status, 200);
    let before = resident();
    let large = json!({"query": "SELECT value, repeat('x', 100) AS text FROM generate_series(1, 200000)"}).to_string();
    let clients: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut client = TcpStream::connect(&api.address).unwrap();
            write!(
                client,
                "POST /v1/sql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{large}",
                large.len()
            )
            .unwrap();
            client
        })
        .collect();
    // They have their answers to be read, of 25 MB each: two commands run at once, this one after them.
    let mut first = [0; 12];
    for client in &clients {
        client.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        std::io::Read::read_exact(&mut &*client, &mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    assert_eq!(ask("SELECT 2 AS two").status, 200);
    let more = resident().saturating_sub(before);
    // All of them would be 100 MB. What two take depends on the allocator.
    assert!(more < 64 << 20, "four answers of 25 MB take {} MiB", more >> 20);
}
