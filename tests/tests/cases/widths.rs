//! Windows that a network doesn't answer because they are wide.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sluice_tests::{HostileServer, Operator, response};

const HEADERS: [(&str, &str); 1] = [("Content-Type", "application/json")];

fn moment(head: &str, name: &str) -> DateTime<Utc> {
    let text = head.split([' ', '?', '&']).find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).unwrap();
    format!("{}Z", text.replace("%3A", ":")).parse().unwrap()
}

/// Three halves of a month are still too wide, and the day that is read each hour is answered.
#[test]
fn windows_are_halved_until_they_are_as_narrow_as_others_that_were_answered() {
    let server = HostileServer::start(|ask, stream| {
        let is_wide = moment(&ask.head, "endDate") - moment(&ask.head, "startDate") > TimeDelta::days(1);
        let answer = if is_wide { response(504, &HEADERS, b"") } else { response(200, &HEADERS, b"[]") };
        std::io::Write::write_all(stream, &answer)
    })
    .unwrap();
    let mut operator = Operator::empty().unwrap();
    operator.set("TOKEN", "s3cret/token+of=awin");
    operator.install("awin", "awin.wasm").unwrap();
    let sections = std::fs::read_to_string(operator.join("sluice.toml")).unwrap();
    let settings = format!("{sections}[fetch]\nmax_attempts = 2\nmax_retry_wait_secs = 1\n");
    operator.write("sluice.toml", &settings).unwrap();
    let account = json!({"name": "uk", "settings": {"publisher_id": "123456"}, "secrets": {"token": "env:TOKEN"}});
    let rule = |every: &str, days: u32| json!({"every": every, "days": days, "axis": "transaction"});
    let network = json!({"connector": "awin", "base_url": server.origin(), "accounts": [account],
        "rate": {"requests": 1000, "per_secs": 1, "concurrency": 8}, "look_back": [rule("1h", 1), rule("1d", 45)]});
    operator.write("networks/awin.json", &network.to_string()).unwrap();
    let answer = operator.sluice(&["run", "awin"]).unwrap();
    assert_eq!(answer.code, 0, "{answer:?}");
    let gaps = operator.sql("SELECT count(*) n FROM meta.coverage WHERE NOT complete").unwrap();
    assert_eq!(gaps, [json!({"n": 0})]);
}
