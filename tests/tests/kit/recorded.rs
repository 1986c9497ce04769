//! Live answers become fixtures that hold no secret and name nobody.

use std::collections::BTreeSet;
use std::io::Write;

use serde_json::json;
use sluice_simulator::{AccountSpec, Options, Simulator};
use sluice_tests::{HostileServer, Operator, connectors_dir, repository, response, runtime, visit_files};

/// All networks that are simulated: JSON by pages and in one answer, with a lookup first, XML, lines of fields.
fn networks() -> Vec<String> {
    let folders = std::fs::read_dir(repository().join("connectors")).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = folders
        .filter(|path| path.join("simulated.json").is_file() || path.join("src/requests.rs").is_file())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_recording_plays_as_it_was_received_and_names_nobody() {
    let runtime = runtime();
    for network in &networks() {
        let options = Options {
            start: "2026-01-20T12:00:00Z".parse().unwrap(),
            history_days: 6,
            rows_per_day: 4,
            accounts: vec![AccountSpec::new(network, "alpha")],
            page_limit: Some(20),
            ..Options::default()
        };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let operator = Operator::of(&simulator, &[network]).unwrap();
        let window = ["--since", "2026-01-10", "--until", "2026-01-21"];
        let arguments = [&["record", network, "--account", "alpha", "--into", "made"][..], &window].concat();
        let printed = operator.succeed(&arguments).unwrap();
        assert!(printed.contains("ids, names and references are replaced"), "{network}: {printed}");
        let component = std::path::absolute(connectors_dir().join(format!("{network}.wasm"))).unwrap();
        let component = component.display().to_string();
        let test = ["test", &component, "--fixtures", "made"];
        let tested = operator.sluice(&[&test[..], &["--bless"]].concat()).unwrap();
        assert!(tested.stdout.contains("blessed made/plan.json"), "{network}: {}", tested.stdout);
        let tested = operator.sluice(&test).unwrap();
        assert!(tested.stdout.contains("ok      fixtures"), "{network}: {}", tested.stdout);
        let rows = rows(&operator);
        let truth = simulator.truth(network, "alpha");
        assert!(rows.len() >= truth.len() && truth.len() > 10, "{network}: {} of {}", rows.len(), truth.len());
        assert_unnamed(&operator, &simulator, network);
    }
}

/// A network of daily sums only: a person's sub-id is in nothing but what these are grouped by.
#[test]
fn a_recording_of_sums_names_nobody() {
    let server = HostileServer::start(|_, stream| {
        let body = br#"{"reports":[{"date":"2026-01-05","brandId":"1001","brandName":"Lamp & Co","asin":"B0AAAA0001",
            "source":"member-77","clicks":12,"conversions":2,"sales":50,"commissions":4.5,"currency":"USD"}]}"#;
        stream.write_all(&response(200, &[("Content-Type", "application/json")], body))
    });
    let server = server.unwrap();
    let mut operator = Operator::empty().unwrap();
    operator.set("KEY", "a key of the creator account");
    let account = json!({"name": "main", "settings": {}, "secrets": {"api_key": "env:KEY"}});
    operator.write_network("levanta", &server.origin(), vec![account]).unwrap();
    operator.install("levanta", "levanta.wasm").unwrap();
    let window = ["--since", "2026-01-05", "--until", "2026-01-06"];
    let arguments = [&["record", "levanta", "--account", "main", "--into", "made"][..], &window].concat();
    let printed = operator.succeed(&arguments).unwrap();
    assert!(printed.contains("1 answer, 1 row: "), "{printed}");
    visit_files(&operator.join("made"), &mut |name, bytes| {
        let text = String::from_utf8_lossy(bytes);
        let named = ["member-77", "Lamp & Co", "B0AAAA0001"].into_iter().find(|one| text.contains(one));
        assert_eq!(named, None, "{name}");
    })
    .unwrap();
}

/// The ids of all rows of the recording.
fn rows(operator: &Operator) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    visit_files(&operator.join("made"), &mut |name, bytes| {
        let Some(seen) = name.ends_with("expected.json").then(|| serde_json::from_slice::<serde_json::Value>(bytes))
        else {
            return;
        };
        for answer in seen.unwrap()["answers"].as_array().into_iter().flatten() {
            let rows = answer["mapped"]["transactions"].as_array().into_iter().flatten();
            ids.extend(rows.map(|row| row["transaction_id"].as_str().unwrap().to_owned()));
        }
    })
    .unwrap();
    ids
}

/// No secret, no identifying setting, no id and no order of the truth is in any file.
fn assert_unnamed(operator: &Operator, simulator: &Simulator, network: &str) {
    let account = simulator.accounts().iter().find(|account| account.network == network).unwrap();
    let mut names: BTreeSet<String> = account.secrets.values().cloned().collect();
    names.extend(account.settings.iter().filter(|(name, _)| *name != "timezone").map(|(_, value)| value.clone()));
    for row in simulator.truth(network, "alpha") {
        names.insert(row.transaction_id);
        names.extend(row.order_id);
    }
    let mut files = 0;
    visit_files(&operator.join("made"), &mut |name, bytes| {
        files += 1;
        let text = String::from_utf8_lossy(bytes);
        let named: Vec<_> = names.iter().filter(|one| one.len() > 5 && text.contains(one.as_str())).collect();
        assert!(named.is_empty(), "{network}: {name} has {named:?}");
    })
    .unwrap();
    assert!(files > 4, "{network}: {files} files");
}
