//! Bodies nobody would think of: what a connector can't stand is found, made small and kept.

use std::path::{Path, PathBuf};

use sluice_tests::{Operator, copy_folder};

use super::{author, component, fixtures, sdk};

/// A line of the template, and one that panics on a long name.
const RIGHT: &str = "advertiser_name: record.filled(SHOP_NAME),";
const WRONG: &str = "advertiser_name: record.filled(SHOP_NAME).inspect(|name| assert!(name.len() < 100, \"a shop's name has {} bytes\", name.len())),";

/// The only file whose name holds this.
fn file(folder: &Path, part: &str) -> PathBuf {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = entries.filter(|path| path.display().to_string().contains(part)).collect();
    assert_eq!(files.len(), 1, "{part}: {files:?}");
    files[0].clone()
}

#[test]
fn a_panic_on_an_odd_field_is_found_made_small_and_tried_again() {
    let operator = author();
    operator.succeed(&["new", "market", "--language", "rust", "--sdk", &sdk()]).unwrap();
    let source = operator.join("market/src/lib.rs");
    let right = std::fs::read_to_string(&source).unwrap();
    assert!(right.contains(RIGHT), "nothing to break");
    std::fs::write(&source, right.replace(RIGHT, WRONG)).unwrap();
    let found = operator.sluice(&["fuzz", "market", "--seconds", "20", "--seed", "7"]).unwrap();
    assert_eq!(found.code, 1, "{found:?}");
    let panic = "FAILED  trap: connector `market` 0.1.0 failed in `map-response`: panicked at src/lib.rs:";
    assert!(found.stdout.contains(panic) && found.stdout.contains("a shop's name has "), "{found:?}");
    assert!(found.stdout.contains("again: sluice fuzz market --replay market/fuzz/"), "{found:?}");
    assert!(found.stderr.contains("error: market 0.1.0 fails on odd bodies: "), "{found:?}");

    // One record with a few fields and the long name is left of four.
    let body = file(&operator.join("market/fuzz"), "-trap-");
    let bytes = std::fs::read(&body).unwrap();
    assert!(bytes.len() < 250, "{}", String::from_utf8_lossy(&bytes));
    let replay = ["fuzz", "market", "--replay", body.to_str().unwrap()];
    let again = operator.sluice(&replay).unwrap();
    assert!(again.code == 1 && again.stdout.contains(panic), "{again:?}");
    std::fs::write(&source, &right).unwrap();
    let held = operator.succeed(&replay).unwrap();
    assert!(held.ends_with(", 0 findings\n"), "{held}");
    // What was found is no case of the fixtures.
    operator.succeed(&["test", "market"]).unwrap();
}

/// A component and a copy of its fixtures, so that nothing is written into the repository.
fn search(operator: &Operator, network: &str, more: &[&str]) -> sluice_tests::Answer {
    copy_folder(Path::new(&fixtures(network)), &operator.join("fixtures")).unwrap();
    let component = std::path::absolute(component(network)).unwrap().display().to_string();
    operator
        .sluice(
            &[more, &["fuzz", component.as_str(), "--fixtures", "fixtures", "--seconds", "4", "--seed", "7"]].concat(),
        )
        .unwrap()
}

#[test]
fn an_honest_connector_stands_odd_bodies() {
    for network in ["awin", "shareasale", "tradetracker"] {
        let operator = author();
        let answer = search(&operator, network, &[]);
        assert!(answer.code == 0 && answer.stdout.contains("from --seed 7, 0 findings"), "{answer:?}");
        // Progress is for terminals.
        assert!(!answer.stderr.contains("fuzz"), "{answer:?}");
        assert!(!operator.join("fuzz").exists());
    }
    let report = search(&author(), "awin", &["--output", "json"]);
    let report: serde_json::Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!((&report["network"], &report["seed"]), (&"awin".into(), &7.into()), "{report}");
    assert!(report["tried"].as_u64() > Some(20) && report["findings"] == serde_json::json!([]), "{report}");
}
