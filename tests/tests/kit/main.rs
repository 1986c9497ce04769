//! The commands of connector authors: `sluice new`, `test`, `fuzz`, `record`, `dev` and `connectors inspect`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod author;
mod fuzzed;
mod recorded;

use std::path::PathBuf;

use sluice_tests::{Operator, connectors_dir, patched, repository, target_dir};

/// A folder in which an author works: guests are built without asking a registry, into one folder for all tests.
fn author() -> Operator {
    let mut operator = Operator::empty().unwrap();
    operator.set("CARGO_NET_OFFLINE", "true");
    // Where cargo and its toolchains are, if not at home.
    for name in ["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        if let Ok(value) = std::env::var(name) {
            operator.set(name, &value);
        }
    }
    operator.set("CARGO_TARGET_DIR", &target_dir().join("authors").display().to_string());
    operator
}

/// The folder of the SDK.
fn sdk() -> String {
    repository().join("sdk").canonicalize().unwrap().display().to_string()
}

fn fixtures(network: &str) -> String {
    repository().join("connectors").join(network).join("fixtures").display().to_string()
}

fn component(network: &str) -> PathBuf {
    connectors_dir().join(format!("{network}.wasm"))
}

#[test]
fn a_component_is_tested_against_a_folder_of_fixtures() {
    let operator = author();
    let component = std::path::absolute(component("awin")).unwrap().display().to_string();
    let good = operator.succeed(&["test", &component, "--fixtures", &fixtures("awin")]).unwrap();
    assert!(good.contains("ok      fixtures") && good.contains("awin 0.1.0: 5 cases"), "{good}");
    let report = operator.succeed(&["--output", "json", "test", &component, "--fixtures", &fixtures("awin")]).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["findings"], serde_json::json!([]), "{report}");
}

/// Each check fails where it has to.
#[test]
fn what_a_connector_does_wrong_is_found() {
    let operator = author();
    let test = |network: &str, changes: &[(&str, &str)]| {
        let bytes = patched(&std::fs::read(component(network)).unwrap(), changes).unwrap();
        std::fs::write(operator.join("wrong.wasm"), bytes).unwrap();
        let answer = operator.sluice(&["test", "wrong.wasm", "--fixtures", &fixtures(network)]).unwrap();
        assert_eq!(answer.code, 1, "{changes:?}: {}\n{}", answer.stdout, answer.stderr);
        answer.stdout
    };
    // A field under another name, and a parameter.
    let rows = test("awin", &[("commissionStatus", "commissionStatut")]);
    assert!(rows.contains("FAILED  fixtures") && rows.contains("-         \"status_raw\": \"pending\""), "{rows}");
    let parameter = test("awin", &[("/publishers/", "/publisherz/")]);
    assert!(parameter.contains("fixtures/plan.json: the connector does something else"), "{parameter}");
    // A field that no fixture fills.
    let input = test("awin", &[("advertiserId", "advertiserIe")]);
    assert!(input.contains("FAILED  inputs") && input.contains("advertiserIe"), "{input}");
}

#[test]
fn inspect_shows_what_an_operator_and_an_author_need() {
    let operator = author();
    let component = std::path::absolute(component("shareasale")).unwrap().display().to_string();
    let shown = operator.succeed(&["connectors", "inspect", &component]).unwrap();
    // Size, digest and time are the build's.
    let lines = shown.lines().filter(|line| !line.starts_with("  contract "));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
    let json = operator.succeed(&["--output", "json", "connectors", "inspect", &component]).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["manifest"]["network"], "shareasale");
    assert!(json["component_bytes"].as_u64().unwrap() > 10_000 && json["compile_ms"].is_u64(), "{json}");
    // Its fixtures aren't beside it.
    assert_eq!(json["rows_per_second"], serde_json::Value::Null);
}
