//! What an operator decides: doubts and alarms, by their ids.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::{HostileServer, Operator, repository, response};

use crate::{console, shell, substituted};

const PATIENCE: Duration = Duration::from_secs(120);

/// An operator of one account of Awin, which is at `origin`.
fn operator_of(origin: &str) -> Operator {
    let mut operator = Operator::empty().unwrap();
    operator.set("TOKEN", "token-of-the-test");
    operator.install("awin", "awin.wasm").unwrap();
    let file = json!({
        "connector": "awin", "schedule": "* * * * * *", "look_back": [{"every": "1s", "days": 3}], "base_url": origin,
        "rate": {"requests": 1000, "per_secs": 1, "concurrency": 4},
        "accounts": [{"name": "uk", "settings": {"publisher_id": "123456"}, "secrets": {"token": "env:TOKEN"}}],
    });
    operator.write("networks/awin.json", &file.to_string()).unwrap();
    operator
}

#[test]
fn doubts_are_shown_accepted_and_rejected() {
    let case = repository().join("tests/cases/51-awin-doubt-accepted");
    let body = Arc::new(Mutex::new(Vec::new()));
    let given = body.clone();
    let server = HostileServer::start(move |_, stream| {
        let body = given.lock().unwrap().clone();
        stream.write_all(&response(200, &[("Content-Type", "application/json;charset=UTF-8")], &body))
    });
    let server = server.unwrap();
    let operator = operator_of(&server.origin());
    let read = |file: &str| {
        *body.lock().unwrap() = std::fs::read(case.join(file)).unwrap();
        let command = "run awin --since 2026-01-01 --until 2026-02-01 --axis transaction";
        operator.sluice(&command.split(' ').collect::<Vec<_>>()).unwrap()
    };
    assert_eq!(read("0-pounds.json").code, 0);
    let doubtful = read("1-dollars.json");
    assert_eq!(doubtful.code, 3, "{doubtful:?}");
    let found = operator.sql("SELECT doubt_id FROM meta.doubts WHERE state = 'open'").unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    let id = &found[0]["doubt_id"].as_str().unwrap()[..6];
    let block = console("sluice doubts accept");
    for (left_out, state, reason, currency) in [
        ("doubts reject", "accepted", json!("they moved to USD"), "USD"),
        ("doubts accept", "rejected", json!("rejected"), "GBP"),
    ] {
        let operator = operator.fork().unwrap();
        let lines: Vec<&str> = block.lines().filter(|line| !line.contains(left_out)).collect();
        assert_eq!(lines.len(), block.lines().count() - 1, "{left_out} isn't in: {block}");
        let printed = shell(&operator, &substituted(&lines.join("\n"), &[("3f9a0c", id)]));
        for text in ["1 open doubt", "commission in the tables: 80.00 GBP", &format!("{state}: ")] {
            assert!(printed.contains(text), "no {text}: {printed}");
        }
        let decided = operator.sql("SELECT state, decision FROM meta.doubts").unwrap();
        assert_eq!((decided.len(), &decided[0]["state"], &decided[0]["decision"]), (1, &json!(state), &reason));
        let query = "SELECT commission_currency AS c, count(*) AS n FROM unified.transactions GROUP BY 1";
        assert_eq!(operator.sql(query).unwrap(), [json!({"c": currency, "n": 10})]);
    }
}

#[test]
fn alarms_are_acknowledged_and_snoozed() {
    let server = HostileServer::saying(response(401, &[], b"")).unwrap();
    let operator = operator_of(&server.origin());
    let settings = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n\
                    [alarms.expires]\n\"awin/uk\" = \"2026-01-31\"\n";
    operator.write("sluice.toml", settings).unwrap();
    let alarms =
        || -> Vec<Value> { serde_json::from_str(&operator.succeed(&["--output", "json", "alarms"]).unwrap()).unwrap() };
    let of_rule = |rule: &str| alarms().into_iter().find(|alarm| alarm["rule"] == rule);
    let deadline = Instant::now() + PATIENCE;
    let (refused, expired) = loop {
        // It fails: the network refuses its secrets.
        let ran = operator.sluice(&["run", "--due"]).unwrap();
        if let (Some(refused), Some(expired)) = (of_rule("credentials"), of_rule("expiry")) {
            break (refused, expired);
        }
        assert!(Instant::now() < deadline, "{:#?}: {ran:?}", alarms());
    };
    let id = |alarm: &Value| alarm["alarm_id"].as_str().unwrap().to_owned();
    let block = console("sluice alarms ack");
    let [acknowledge, snooze] = block.lines().collect::<Vec<_>>()[..] else { panic!("not two lines: {block}") };
    let shown = acknowledge.split_whitespace().nth(3).unwrap();
    // Its beginning is enough, although the other one opened at the same time.
    shell(&operator, &substituted(acknowledge, &[(shown, &id(&refused)[..8])]));
    shell(&operator, &substituted(snooze, &[(shown, &id(&expired))]));
    let (refused, expired) = (of_rule("credentials").unwrap(), of_rule("expiry").unwrap());
    assert_eq!([&refused["state"], &expired["state"]], ["acknowledged", "acknowledged"]);
    assert!(refused["snoozed_until"].is_null() && expired["snoozed_until"].is_string(), "{refused} {expired}");
}
