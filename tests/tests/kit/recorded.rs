//! Live answers become fixtures that hold no secret and name nobody.

use std::collections::BTreeSet;

use sluice_simulator::{AccountSpec, Options, Simulator};
use sluice_tests::{Operator, connectors_dir, repository, runtime, visit_files};

/// All networks: JSON by pages and in one answer, with a lookup first, XML, lines of fields.
fn networks() -> Vec<String> {
    let folders = std::fs::read_dir(repository().join("connectors")).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = folders
        .filter(|path| path.is_dir())
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
