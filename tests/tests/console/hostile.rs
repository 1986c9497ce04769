//! Networks and connectors whose strings want to be more than text.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use sluice_tests::{HostileServer, Operator, connectors_dir, patched, repository, response};

use crate::world::{Console, SETTINGS, text};

/// What a network may put into its fields. It begins as the page marks numbers, and holds a letter that nobody sees.
const PAYLOAD: &str =
    "\u{e000}<img src=x onerror=window.hacked=1><script>window.hacked=1</script>\u{202e}\u{1}\u{e0041}</pre>";
/// What a connector says of a setting that is no number, and what a hostile one says instead, in as many bytes.
const MESSAGE: &str = "`publisher_id` must be a number";
const HOSTILE_MESSAGE: &str = "<img src=x onerror=hacked=1>\u{202e}";
/// Bytes of a response.
const BODY_BYTES: usize = 100_000_000;
/// Records before and after what fills it.
const RECORDS: u64 = 750;

fn records(from: u64) -> String {
    let fixture = std::fs::read(repository().join("connectors/awin/fixtures/normal/body")).unwrap();
    let fixture: Vec<Value> = serde_json::from_slice(&fixture).unwrap();
    let hostile = |number: u64| {
        let mut record = fixture[0].clone();
        record["id"] = (5_000 + number).into();
        record["orderRef"] = PAYLOAD.into();
        record["siteName"] = PAYLOAD.into();
        record["clickRefs"] = json!({"clickRef": PAYLOAD.repeat(2)});
        record["transactionDate"] = text(Utc::now() - TimeDelta::days(1)).trim_end_matches('Z').into();
        if number == RECORDS {
            record["commissionStatus"] = PAYLOAD.into();
        }
        record
    };
    let text = serde_json::to_string(&(from..from + RECORDS).map(hostile).collect::<Vec<_>>()).unwrap();
    // As it is, which JSON doesn't allow.
    text.trim_matches(['[', ']']).replace("\\u0001", "\u{1}")
}

/// Transactions of Awin whose fields are scripts, in a body of 100 MB, a connector whose message is a picture, and a
/// connector's file that is none.
#[test]
fn bodies_and_strings_of_others_stay_texts() {
    let (first, last) = (records(0), records(RECORDS));
    let space = " ".repeat(BODY_BYTES - first.len() - last.len());
    let body = format!("[{first},{space}{last}]").into_bytes();
    let server = HostileServer::saying(response(
        200,
        &[("Content-Type", "text/html"), ("X-Note", "<img src=x onerror=window.hacked=1>")],
        &body,
    ));
    let server = server.unwrap();
    let mut operator = Operator::empty().unwrap();
    operator.write("sluice.toml", SETTINGS).unwrap();
    let component = std::fs::read(connectors_dir().join("awin.wasm")).unwrap();
    operator.put_connector("awin.wasm", &patched(&component, &[(MESSAGE, HOSTILE_MESSAGE)]).unwrap()).unwrap();
    operator.set("AWIN_TOKEN", "token-of-awin-1");
    let account = |name: &str, publisher: &str| json!({"name": name, "settings": {"publisher_id": publisher}, "secrets": {"token": "env:AWIN_TOKEN"}});
    let accounts = vec![account("alpha", "123456"), account("beta", "none")];
    operator.write_network("awin", &server.origin(), accounts).unwrap();
    operator.succeed(&["pause", "awin"]).unwrap();
    let [since, until] = [Utc::now() - TimeDelta::days(2), Utc::now()].map(text);
    operator.sluice(&["run", "awin", "--since", &since, "--until", &until]).unwrap();
    operator.write("connectors.d/<img src=x onerror=window.hacked=1>.wasm", "no component").unwrap();
    Console::of(operator).drive("hostile.mjs");
}
