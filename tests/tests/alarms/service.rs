//! Alarms of a running service: hosts that are gone, a lake that can't be written, files edited to nonsense; and its API.

use serde_json::{Value, json};
use sluice_tests::{HostileServer, Service, StateLock, http, response};

use crate::world::{PROMPT, World, sales, wait_until};

#[test]
fn a_host_that_is_gone_is_an_alarm_until_a_service_reports_there() {
    let world = World::new(PROMPT);
    world.answer(200, &sales());
    let mut service = Service::start(&world.operator).unwrap();
    service.wait_for(&["awin", "new version"]).unwrap();
    wait_until(|| service.vitals(&world.operator).is_ok(), "its note");
    drop(service);
    let long_ago = "2026-01-01T00:00:00Z";
    // A minute passes.
    let earlier = (chrono::Utc::now() - chrono::TimeDelta::minutes(5)).to_rfc3339();
    world.change_state(&format!(
        "UPDATE services SET vitals = json_set(vitals, '$.noted_at', '{earlier}', '$.started_at', '{long_ago}')"
    ));
    let gone = world.opened("host");
    assert_eq!(gone["severity"], "critical");
    assert!(gone["summary"].as_str().unwrap().contains("stopped reporting at"), "{gone}");
    let service = Service::start(&world.operator).unwrap();
    wait_until(|| world.open("host").is_empty(), "the end of the alarm");
    drop(service);
}

#[test]
fn of_three_services_on_a_machine_the_one_that_is_gone_is_an_alarm() {
    let world = World::new(PROMPT);
    world.answer(200, &sales());
    let mut services: Vec<Service> = ["scheduler", "worker", "worker"]
        .iter()
        .map(|role| Service::start_as(&world.operator, &["--role", role]).unwrap())
        .collect();
    // What was started before another one's last report doesn't take its place.
    let moment = |service: &Service, of: &str| {
        let vitals = service.vitals(&world.operator).ok()?;
        vitals[of].as_str()?.parse::<chrono::DateTime<chrono::Utc>>().ok()
    };
    let all_report = || {
        let last = moment(&services[2], "noted_at")?;
        let began = services.iter().map(|service| moment(service, "started_at")).collect::<Option<Vec<_>>>()?;
        Some(began.into_iter().all(|began| began < last))
    };
    wait_until(|| all_report() == Some(true), "their notes");
    let gone = services.remove(2);
    let process = gone.id();
    drop(gone);
    wait_until(|| world.open("host").len() == 1, "the alarm");
    let alarm = world.open("host").remove(0);
    assert!(alarm["evidence"].as_str().unwrap().starts_with(&format!("process {process} since")), "{alarm}");
    // Those that were there before don't end it, a new one does.
    services.push(Service::start_as(&world.operator, &["--role", "worker"]).unwrap());
    wait_until(|| world.open("host").is_empty(), "the end of the alarm");
}

#[test]
fn a_state_store_that_is_locked_is_an_alarm_until_it_is_not() {
    let receiver = HostileServer::saying(response(204, &[], b"")).unwrap();
    let url = receiver.origin();
    let world = World::new(&format!(
        "{PROMPT}[alarms.rules.state]\nafter = \"0s\"\n[alarms.chat]\nslack = \"{url}\"\nrules = [\"state\"]\n"
    ));
    world.answer(200, &sales());
    let mut service = Service::start(&world.operator).unwrap();
    service.wait_for(&["awin", "new version"]).unwrap();
    let lock = StateLock::hold(&world.operator).unwrap();
    service.wait_for(&["alarm: ", "the state store fails", "open"]).unwrap();
    wait_until(|| !receiver.asked().is_empty(), "its message");
    drop(lock);
    service.wait_for(&["the state store answers again"]).unwrap();
    let query = "SELECT state FROM meta.alarms WHERE rule = 'state'";
    wait_until(|| world.operator.sql(query).is_ok_and(|rows| rows == [json!({"state": "resolved"})]), "it in the lake");
    wait_until(|| receiver.asked().len() == 2, "the message that it is over");
}

#[test]
fn a_service_whose_lake_and_settings_go_wrong_says_so_and_goes_on() {
    let world = World::new(&format!("{PROMPT}[alarms.rules.lake]\nafter = \"0s\"\n"));
    let settings = std::fs::read_to_string(world.operator.join("sluice.toml")).unwrap();
    world.answer(200, &sales());
    let mut service = Service::start(&world.operator).unwrap();
    service.wait_for(&["awin", "new version"]).unwrap();
    // Something else is where the lake was.
    let (lake, aside) = (world.operator.join("lake"), world.operator.join("aside"));
    std::fs::rename(&lake, &aside).unwrap();
    std::fs::write(&lake, "no folder").unwrap();
    service.wait_for(&["alarm: ", "the lake", "open"]).unwrap();
    std::fs::remove_file(&lake).unwrap();
    std::fs::rename(&aside, &lake).unwrap();
    service.wait_for(&["alarm: ", "the lake", "resolved"]).unwrap();
    // What a rebuild leaves that was interrupted between two tables.
    std::fs::write(lake.join("tables.placing"), "sluice").unwrap();
    service.wait_for(&["alarm: ", "some may be new and others old", "open"]).unwrap();
    std::fs::remove_file(lake.join("tables.placing")).unwrap();
    service.wait_for(&["alarm: ", "the lake", "resolved"]).unwrap();
    world.operator.write("sluice.toml", "nonsense").unwrap();
    service.wait_for(&["alarm: ", "sluice.toml can't be used", "open"]).unwrap();
    world.operator.write("sluice.toml", &settings).unwrap();
    service.wait_for(&["alarm: ", "sluice.toml can't be used", "resolved"]).unwrap();
    let query = "SELECT rule, state FROM meta.alarms WHERE rule IN ('lake', 'settings') ORDER BY rule";
    let expected = ["lake", "lake", "settings"].map(|rule| json!({"rule": rule, "state": "resolved"}));
    wait_until(|| world.operator.sql(query).is_ok_and(|rows| rows == expected), "all in the lake");
    assert!(service.is_alive());
}

#[test]
fn a_check_that_takes_long_holds_no_alarm_up() {
    let world = World::new(&format!("{PROMPT}[limits]\nquery_secs = 240\n"));
    std::fs::create_dir(world.operator.join("checks")).unwrap();
    let slow = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    world.operator.write("checks/slow.sql", slow).unwrap();
    world.answer(200, &sales());
    let mut service = Service::start(&world.operator).unwrap();
    service.wait_for(&["awin", "new version"]).unwrap();
    world.operator.write("networks/other.json", "{").unwrap();
    service.wait_for(&["alarm: ", "networks/other.json can't be used", "open"]).unwrap();
    std::fs::remove_file(world.operator.join("networks/other.json")).unwrap();
    service.wait_for(&["alarm: ", "networks/other.json can't be used", "resolved"]).unwrap();
    // Runs come before what is asked of their tables.
    let own = threads_niceness(std::process::id())[0];
    let niceness = || children(service.id()).into_iter().flat_map(threads_niceness).collect::<Vec<i64>>();
    let is_behind = |niceness: &[i64]| niceness.len() > 1 && niceness.iter().all(|&nice| nice == (own + 5).min(19));
    wait_until(|| is_behind(&niceness()), "the check's process behind the service");
    // The check's process ends with the service.
    service.terminate().unwrap();
}

/// Processes that a process started.
fn children(parent: u32) -> Vec<u32> {
    let ids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    ids.filter(|id| stat(&format!("/proc/{id}/stat")).is_some_and(|stat| stat[1] == parent.to_string())).collect()
}

/// The niceness of each thread of a process.
fn threads_niceness(process: u32) -> Vec<i64> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    let stats = threads.flatten().filter_map(|thread| stat(&format!("{}/stat", thread.path().display())));
    stats.map(|stat| stat[16].parse().unwrap()).collect()
}

/// What the system says of a process or thread, from its state on (proc_pid_stat(5)). None if it has ended.
fn stat(file: &str) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.rsplit(')').next()?.split_whitespace().map(str::to_owned).collect())
}

#[test]
fn watchers_and_prometheus_see_an_alarm_come_and_go() {
    let world = World::new(&format!("{PROMPT}[server]\nlisten = \"127.0.0.1:0\"\n"));
    world.answer(200, &sales());
    let token = world.operator.succeed(&["tokens", "create", "reader", "--role", "read"]).unwrap().trim().to_owned();
    let mut service = Service::start(&world.operator).unwrap();
    let line = service.wait_for(&["the HTTP API listens on http://"]).unwrap();
    let address = line.rsplit("http://").next().unwrap().split(['"', ' ']).next().unwrap().to_owned();
    service.wait_for(&["awin", "new version"]).unwrap();
    // Beyond so many calls in a second there is no answer.
    let answered = || {
        let answer = http(&address, "GET", "/v1/events", Some(&token), None).unwrap();
        answer.json().ok().and_then(|answer| answer["changes"]["alarms"].as_u64())
    };
    let events = || std::iter::repeat_with(answered).flatten().next();
    let shows = |number: u32| {
        let metrics = http(&address, "GET", "/metrics", None, None).unwrap().text();
        metrics.contains(&format!("sluice_alarms{{rule=\"credentials\",severity=\"critical\"}} {number}\n"))
    };
    wait_until(|| shows(0), "an evaluation");
    for (status, number) in [(401, 1), (200, 0)] {
        let before = events();
        world.answer(status, &sales());
        wait_until(|| shows(number), "the gauge");
        wait_until(|| events() > before, "the event");
    }
}

#[test]
fn the_api_lists_and_acknowledges_under_the_name_of_the_token() {
    let world = World::new(&format!("{PROMPT}[server]\nlisten = \"127.0.0.1:0\"\n"));
    world.answer(401, &[]);
    let alarm = world.opened("credentials");
    let id = alarm["alarm_id"].as_str().unwrap();
    let token = |name: &str, role: &str| {
        let made = world.operator.succeed(&["tokens", "create", name, "--role", role]).unwrap();
        made.trim().to_owned()
    };
    let (reader, operator) = (token("reader", "read"), token("night-shift", "operate"));
    let mut service = Service::start(&world.operator).unwrap();
    let line = service.wait_for(&["the HTTP API listens on http://"]).unwrap();
    let address = line.rsplit("http://").next().unwrap().split(['"', ' ']).next().unwrap();
    let listed = http(address, "GET", "/v1/alarms", Some(&reader), None).unwrap().json().unwrap();
    assert!(listed.as_array().unwrap().iter().any(|alarm| alarm["alarm_id"] == id), "{listed}");
    let open = || http(address, "GET", "/v1/alarms/open", Some(&reader), None).unwrap().json().unwrap();
    let names = |open: &Value| open["newest"].as_array().unwrap().iter().any(|alarm| alarm["alarm_id"] == id);
    let before = open();
    assert!(before["open"].as_u64() >= Some(1) && names(&before), "{before}");
    let path = format!("/v1/alarms/{id}/acknowledge");
    let refused = http(address, "POST", &path, Some(&reader), Some(&json!({}))).unwrap();
    assert_eq!(refused.status, 403, "{refused:?}");
    let acknowledged: Value = http(address, "POST", &path, Some(&operator), Some(&json!({}))).unwrap().json().unwrap();
    assert_eq!(
        (&acknowledged["state"], &acknowledged["acknowledged_by"]),
        (&json!("acknowledged"), &json!("night-shift"))
    );
    let after = open();
    assert!(!names(&after), "{after}");
    let unknown = http(address, "POST", "/v1/alarms/none/acknowledge", Some(&operator), Some(&json!({}))).unwrap();
    assert_eq!(unknown.status, 404, "{unknown:?}");
}
