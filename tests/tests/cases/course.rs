//! What an operator does in a case, step by step, and what must come of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sluice_tests::{Answer, NETWORKS, Operator, repository};

use crate::network::Network;

/// The variables that the cases' settings name as secrets.
const SECRETS: [(&str, &str); 7] = [
    ("AWIN_TOKEN", "token-of-awin-1"),
    ("CJ_TOKEN", "token-of-cj-2"),
    ("RAKUTEN_ID", "id-of-rakuten-3"),
    ("RAKUTEN_SECRET", "secret-of-rakuten-3"),
    ("SAS_TOKEN", "token-of-shareasale-4"),
    ("SAS_KEY", "key-of-shareasale-4"),
    ("TT_PASS", "passphrase-of-tradetracker-5"),
];

/// Where the cases are.
pub(crate) fn cases_dir() -> PathBuf {
    repository().join("tests/cases")
}

/// A case's network, and an operator's folder that knows it.
pub(crate) fn laid_out(folder: &str) -> (Network, Operator) {
    let case = cases_dir().join(folder);
    let network = Network::start(&case);
    let mut operator = Operator::empty().unwrap();
    for (name, value) in SECRETS {
        operator.set(name, value);
    }
    for name in NETWORKS {
        operator.install(name, &format!("{name}.wasm")).unwrap();
    }
    let name = std::fs::read_to_string(case.join("NETWORK")).unwrap();
    let name = format!("{}.json", name.trim());
    let own = case.join("networks").join(&name);
    add_network(
        &operator,
        &network,
        &if own.is_file() { own } else { cases_dir().join("networks").join(&name) },
        &name,
    );
    (network, operator)
}

fn add_network(operator: &Operator, network: &Network, from: &Path, name: &str) {
    let text = std::fs::read_to_string(from).unwrap().replace("http://127.0.0.1:@PORT@", &network.origin());
    operator.write(&format!("networks/{name}"), &text).unwrap();
}

/// Plays a case's `course.json`.
pub(crate) fn play(folder: &str) {
    let (network, operator) = laid_out(folder);
    let course = std::fs::read_to_string(cases_dir().join(folder).join("course.json")).unwrap();
    let steps: Vec<Value> = serde_json::from_str(&course).unwrap();
    let mut kept: BTreeMap<String, String> = BTreeMap::new();
    for (number, step) in steps.iter().enumerate() {
        let place = format!("{folder}, step {number}");
        let mut text = step.to_string();
        for (name, value) in &kept {
            text = text.replace(&format!("${name}"), value);
        }
        let step = serde_json::from_str(&text).unwrap();
        take(&step, &place, &network, &operator, &mut kept);
    }
}

fn take(step: &Value, place: &str, network: &Network, operator: &Operator, kept: &mut BTreeMap<String, String>) {
    let text = |name: &str| step[name].as_str();
    if let Some(command) = text("sluice") {
        check(step, place, &run(operator, command, step["clock_ahead_secs"].as_i64()));
    } else if let (Some(name), Some(query)) = (text("keep"), text("sql")) {
        let rows = operator.sql(query).unwrap();
        assert_eq!(rows.len(), 1, "{place}: {query} gave {rows:?}");
        let value = rows[0].as_object().unwrap().values().next().unwrap().as_str().unwrap();
        kept.insert(name.to_owned(), value.to_owned());
    } else if let Some(query) = text("sql") {
        let rows = operator.sql(query).unwrap();
        assert_eq!(Value::from(rows), step["rows"], "{place}: {query}");
    } else if let Some(state) = step["step"].as_u64() {
        network.set_step(state as usize);
    } else if let (Some(path), Some(from), Some(to)) = (text("edit"), text("from"), text("to")) {
        let before = std::fs::read_to_string(operator.join(path)).unwrap();
        assert!(before.contains(from), "{place}: {path} lacks {from}");
        operator.write(path, &before.replace(from, to)).unwrap();
    } else if let (Some(name), Some(file)) = (text("network"), text("as")) {
        add_network(operator, network, &cases_dir().join(format!("networks/{name}.json")), file);
    } else if let Some(path) = text("remove") {
        std::fs::remove_file(operator.join(path)).unwrap();
    } else {
        assert_eq!(step["fresh"], true, "{place}: {step} is no step");
        std::fs::remove_dir_all(operator.join("lake")).unwrap();
        std::fs::remove_file(operator.join("state.db")).unwrap();
    }
}

fn check(step: &Value, place: &str, answer: &Answer) {
    match step.get("fails") {
        None | Some(Value::Bool(false)) => assert_eq!(answer.code, 0, "{place}: {step}\n{answer:?}"),
        Some(Value::Bool(true)) => assert_ne!(answer.code, 0, "{place}: {step}\n{answer:?}"),
        Some(_) => {
            assert!((0..=100).contains(&answer.code), "{place}: {step} ended by a signal or a panic\n{answer:?}")
        }
    }
    let output = format!("{}{}", answer.stdout, answer.stderr);
    for words in step["says"].as_array().into_iter().flatten() {
        assert!(output.contains(words.as_str().unwrap()), "{place}: {step} doesn't say {words}:\n{output}");
    }
}

pub(crate) fn run(operator: &Operator, command: &str, clock_ahead_secs: Option<i64>) -> Answer {
    let mut process = operator.command(&command.split(' ').collect::<Vec<_>>());
    let clock = clock_ahead_secs.map(|secs| (secs, shifted_clock(operator.path())));
    if let Some((secs, library)) = clock {
        process.env("SLUICE_TEST_CLOCK_SECS", secs.to_string()).env("LD_PRELOAD", library);
    }
    let output = process.output().unwrap();
    Answer {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A library that puts a process' wall clock forward, built by the C compiler that links Rust here.
fn shifted_clock(folder: &Path) -> PathBuf {
    let library = folder.join("clock.so");
    let source = repository().join("tests/src/clock.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status().unwrap();
    assert!(built.success(), "cc: {built}");
    library
}
