//! Contract versions side by side: one service runs guests of both, and swaps one for the other.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Value, json};
use sluice_guests::Guest;
use sluice_tests::{HostileServer, Operator, Service, patched, response};

const BODY: &[u8] = br#"{"data":[{"id":"1"},{"id":"2"}]}"#;

/// A guest that gives two transactions. By contract 0.2 the second one's id is composed, and the zone assumed.
fn guest(network: &str, contract: &str) -> Vec<u8> {
    let mut rows = json!({
        "records": [0, 1], "timezone": "Europe/Berlin", "timezone-basis": "declared",
        "transaction-id": {"offsets": [0, 3, 6], "bytes": "t-1t-2"}, "kind": {"values": [0, 0]},
        "validation-status": {"values": [1, 1]}, "payment-status": {"values": [4, 4]},
        "transacted-at": {"values": [1_767_225_600_000_000_i64, 1_767_229_200_000_000_i64], "bases": [0, 0]},
    });
    if contract == "0.2.0" {
        rows["id-basis"] = json!({"values": [0, 1]});
        rows["timezone-basis"] = json!("assumed");
    }
    let description = json!({
        "contract": contract, "manifest": {"version": contract}, "stream": {"unified": true},
        "map-response": {"ok": {"transactions": rows}},
    });
    Guest::new(network, &description).component().unwrap()
}

struct Bench {
    operator: Operator,
    _server: HostileServer,
}

impl Bench {
    /// Networks `elder` and `younger`, each served by a guest of its contract and looked at every second.
    fn new() -> Self {
        let operator = Operator::empty().unwrap();
        let server = HostileServer::saying(response(200, &[], BODY)).unwrap();
        for (network, contract) in [("elder", "0.1.0"), ("younger", "0.2.0")] {
            let file = json!({
                "connector": network, "schedule": "* * * * * *", "look_back": [{"every": "1s", "days": 1}],
                "base_url": server.origin(), "rate": {"requests": 1000, "per_secs": 1, "concurrency": 4},
                "accounts": [{"name": "main", "settings": {}, "secrets": {}}],
                // The guests give no commissions.
                "doubt": {"fill": false},
            });
            operator.write(&format!("networks/{network}.json"), &file.to_string()).unwrap();
            operator.put_connector(&format!("{network}.wasm"), &guest(network, contract)).unwrap();
        }
        Self { operator, _server: server }
    }

    /// What `sluice connectors` says of a network: its contract and its state.
    fn entry(&self, network: &str) -> (String, String) {
        let text = self.operator.succeed(&["--output", "json", "connectors"]).unwrap();
        let entries: Vec<Value> = serde_json::from_str(&text).unwrap();
        let entry = entries.iter().find(|entry| entry["network"] == network).unwrap();
        let word = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        (word("contract"), word("state"))
    }

    /// Each version of a network's transactions: the contract by which it was mapped, and the bases that it says.
    fn versions(&self, network: &str) -> Vec<[String; 4]> {
        let query = format!(
            "SELECT transaction_id AS id, connector_version AS contract, id_basis, timezone_basis
             FROM unified.transaction_versions WHERE network = '{network}' ORDER BY transaction_id, version"
        );
        let rows = self.operator.sql(&query).unwrap();
        let word = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        rows.iter().map(|row| ["id", "contract", "id_basis", "timezone_basis"].map(|name| word(row, name))).collect()
    }
}

fn rows(rows: &[[&str; 4]]) -> Vec<[String; 4]> {
    rows.iter().map(|row| row.map(str::to_owned)).collect()
}

#[test]
fn both_contracts_serve_in_one_service_and_in_place_of_each_other() {
    let bench = Bench::new();
    let mut service = Service::start(&bench.operator).unwrap();
    let finished = |network: &str| (network.to_owned(), "2 new versions".to_owned());
    service.wait_for_all(&["elder", "younger"].map(finished)).unwrap();
    let serving = |contract: &str| (contract.to_owned(), "serving".to_owned());
    assert_eq!((bench.entry("elder"), bench.entry("younger")), (serving("0.1.0"), serving("0.2.0")));

    // The network of the older contract comes over to the newer one …
    bench.operator.put_connector("elder.wasm", &guest("elder", "0.2.0")).unwrap();
    service.wait_for(&["connector serves", "elder.wasm", "0.2.0"]).unwrap();
    service.wait_for(&["elder", "2 new versions"]).unwrap();
    assert_eq!(bench.entry("elder"), serving("0.2.0"));
    // … and back.
    bench.operator.succeed(&["connectors", "rollback", "elder"]).unwrap();
    service.wait_for(&["connector serves", "elder.wasm", "0.1.0"]).unwrap();
    service.wait_for(&["elder", "2 new versions"]).unwrap();
    assert_eq!(bench.entry("elder").0, "0.1.0");

    // What claims a contract that this host doesn't know is refused by its name, and what it was goes on.
    let later = patched(&guest("younger", "0.2.0"), &[("connector@0.2.0", "connector@0.3.0")]).unwrap();
    bench.operator.put_connector("younger.wasm", &later).unwrap();
    let refused = service.wait_for(&["younger.wasm", "connector is refused"]).unwrap();
    let words = "the component speaks contract version 0.3.0, this host speaks `0.1.0`, `0.2.0`";
    assert!(refused.contains(words), "{refused}");
    service.wait_for(&["younger", "run begins"]).unwrap();
    service.wait_for(&["younger", "0 new versions"]).unwrap();
    drop(service);

    let first = |id: &'static str| [id, "0.1.0", "native", "declared"];
    let of_elder = [first("t-1"), ["t-1", "0.2.0", "native", "assumed"], first("t-1")];
    let of_elder = [of_elder, [first("t-2"), ["t-2", "0.2.0", "composed", "assumed"], first("t-2")]].concat();
    assert_eq!(bench.versions("elder"), rows(&of_elder));
    assert_eq!(
        bench.versions("younger"),
        rows(&[["t-1", "0.2.0", "native", "assumed"], ["t-2", "0.2.0", "composed", "assumed"]])
    );
}

#[test]
fn a_contract_that_nobody_knows_yet_is_refused_before_anything_of_it_runs() {
    let operator = Operator::empty().unwrap();
    // It would never end.
    let spins = Guest::new("later", &json!({"contract": "0.2.0", "describe": "(loop (br 0)) i32.const 0"}));
    let later = patched(&spins.component().unwrap(), &[("connector@0.2.0", "connector@0.3.0")]).unwrap();
    std::fs::write(operator.join("later.wasm"), &later).unwrap();
    let answer = operator.sluice(&["connectors", "verify", "later.wasm"]).unwrap();
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.stderr.contains("contract version 0.3.0, this host speaks `0.1.0`, `0.2.0`"), "{answer:?}");
    assert!(answer.stderr.contains("hint: "), "{answer:?}");
}
