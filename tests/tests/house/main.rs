//! The walls of the house: who may depend on what, what every connector's folder holds, names and sizes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod files;
mod names;
mod sizes;

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use sluice_tests::repository;

/// Crates that only the named packages may depend on directly, and why.
const WALLS: &[(&str, &[&str])] = &[
    // Guests run in one place, so that no limit is forgotten.
    ("wasmtime", &["sluice-engine"]),
    ("wasmtime-wasi", &["sluice-engine"]),
    // Networks are talked to in one place, so that no check of where a request goes is forgotten.
    ("reqwest", &["sluice-fetch"]),
    ("lettre", &["sluice-fetch"]),
    // SQL is planned in one place.
    ("datafusion", &["sluice-query"]),
    // The lake is written in one place and read as SQL in another.
    ("deltalake", &["sluice-lake", "sluice-query"]),
    // One place answers over HTTP; networks that tests simulate are the other.
    ("axum", &["sluice-server", "sluice-simulator", "sluice-bench", "sluice-tests"]),
    // State is kept in one place.
    ("sqlx", &["sluice-state"]),
];

/// What the host's crates may know of each other.
const ROOMS: &[(&str, &[&str])] = &[
    ("sluice-model", &[]),
    ("sluice-decode", &["sluice-model"]),
    ("sluice-engine", &["sluice-model", "sluice-decode"]),
    ("sluice-fetch", &["sluice-model"]),
    ("sluice-lake", &["sluice-model"]),
    ("sluice-query", &["sluice-model", "sluice-lake"]),
    ("sluice-state", &["sluice-model", "sluice-fetch"]),
    ("sluice-registry", &["sluice-model", "sluice-engine", "sluice-fetch", "sluice-lake", "sluice-state"]),
    (
        "sluice-runtime",
        &[
            "sluice-model",
            "sluice-engine",
            "sluice-fetch",
            "sluice-lake",
            "sluice-query",
            "sluice-registry",
            "sluice-state",
        ],
    ),
    ("sluice-server", &["sluice-runtime", "sluice-state"]),
    ("sluice-connector", &[]),
    ("sluice-simulator", &[]),
];

fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(repository())
        .output()
        .expect("cargo metadata");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("its JSON");
    metadata["packages"].as_array().unwrap().clone()
}

/// Names of a package's dependencies outside its tests.
fn dependencies(package: &Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().unwrap().iter();
    all.filter(|d| d["kind"].is_null()).map(|d| d["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn walls_hold() {
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        for (wall, allowed) in WALLS {
            let crosses = dependencies(&package).contains(*wall) && !allowed.contains(&name);
            assert!(!crosses, "`{name}` may not depend on `{wall}`: only {allowed:?} may");
        }
    }
}

#[test]
fn rooms_know_only_their_neighbours() {
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let allowed = match ROOMS.iter().find(|(room, _)| *room == name) {
            Some((_, allowed)) => *allowed,
            None if name.starts_with("connector-") => &["sluice-connector"],
            None => continue,
        };
        for dependency in dependencies(&package).iter().filter(|d| d.starts_with("sluice-")) {
            assert!(allowed.contains(&dependency.as_str()), "`{name}` may not know `{dependency}`, only {allowed:?}");
        }
    }
}

#[test]
fn every_connector_has_the_same_shape() {
    let connectors = std::fs::read_dir(repository().join("connectors")).unwrap();
    for folder in connectors.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for part in
            ["Cargo.toml", "README.md", "src/lib.rs", "src/requests.rs", "src/mapping.rs", "fixtures/slice.json"]
        {
            assert!(folder.join(part).is_file(), "{} lacks {part}", folder.display());
        }
        for case in ["normal", "empty", "error-body", "odd-rows"] {
            assert!(
                folder.join("fixtures").join(case).join("body").is_file(),
                "{} lacks case {case}",
                folder.display()
            );
        }
    }
}
