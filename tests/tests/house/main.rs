//! The walls of the house: who may depend on what, what every connector's folder holds, names and sizes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod files;
mod names;
mod sizes;
mod storeys;

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
    // Parts of queries are sent and taken in one place, so that no proof of the caller is forgotten.
    ("datafusion-distributed", &["sluice-query"]),
    // PostgreSQL's protocol is spoken in one place.
    ("pgwire", &["sluice-wire"]),
    // Flight SQL is spoken in one place.
    ("arrow-flight", &["sluice-flight"]),
    ("tonic", &["sluice-flight", "sluice-query"]),
    ("prost", &["sluice-flight"]),
    ("datafusion-pg-catalog", &["sluice-query"]),
    // The lake is written in one place and read as SQL in another.
    ("deltalake", &["sluice-lake", "sluice-query"]),
    ("object_store", &["sluice-lake", "sluice-query"]),
    // One place answers over HTTP; networks that tests simulate are the other.
    ("axum", &["sluice-server", "sluice-simulator", "sluice-bench", "sluice-tests"]),
    // State is kept in one place, and outside databases are written in another.
    ("sqlx", &["sluice-state", "sluice-outlets"]),
];

/// What the host's crates may know of each other.
const ROOMS: &[(&str, &[&str])] = &[
    ("sluice-model", &[]),
    ("sluice-decode", &["sluice-model"]),
    ("sluice-engine", &["sluice-model", "sluice-decode"]),
    ("sluice-kit", &["sluice-model", "sluice-engine"]),
    ("sluice-fetch", &["sluice-model"]),
    ("sluice-lake", &["sluice-model"]),
    ("sluice-query", &["sluice-model", "sluice-lake"]),
    ("sluice-outlets", &["sluice-model", "sluice-lake"]),
    ("sluice-state", &["sluice-model", "sluice-fetch"]),
    ("sluice-registry", &["sluice-model", "sluice-engine", "sluice-fetch", "sluice-lake", "sluice-state"]),
    (
        "sluice-runtime",
        &[
            "sluice-model",
            "sluice-engine",
            "sluice-fetch",
            "sluice-lake",
            "sluice-outlets",
            "sluice-query",
            "sluice-registry",
            "sluice-state",
        ],
    ),
    ("sluice-server", &["sluice-runtime", "sluice-state"]),
    ("sluice-flight", &["sluice-query", "sluice-runtime", "sluice-state"]),
    ("sluice-wire", &["sluice-lake", "sluice-query", "sluice-runtime", "sluice-state"]),
    ("sluice-connector", &["sluice-connector-macros"]),
    ("sluice-connector-macros", &[]),
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

/// The table of crates in `docs/architecture.md`: what each may depend on.
#[test]
fn the_page_of_the_architecture_says_what_rooms_know() {
    let page = std::fs::read_to_string(repository().join("docs/architecture.md")).unwrap();
    for (room, allowed) in ROOMS.iter().filter(|(room, _)| repository().join("host").join(&room[7..]).is_dir()) {
        let name = room.trim_start_matches("sluice-");
        let begin = format!("| `{name}` | ");
        let row =
            page.lines().find_map(|line| line.strip_prefix(&begin)).unwrap_or_else(|| panic!("no row of `{name}`"));
        let known = row.split(" |").next().unwrap_or_default().split(" (").next().unwrap_or_default();
        let known: BTreeSet<String> =
            known.split(", ").filter(|name| *name != "–").map(|name| format!("sluice-{name}")).collect();
        let allowed: BTreeSet<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(known, allowed, "`{name}` in docs/architecture.md, and in this test");
    }
}

#[test]
fn every_connector_has_the_same_shape() {
    let connectors = std::fs::read_dir(repository().join("connectors")).unwrap();
    for folder in connectors.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        // A network is declared, or written in two parts.
        let own = if folder.join("network.toml").is_file() {
            &["network.toml"][..]
        } else {
            &["src/requests.rs", "src/mapping.rs"]
        };
        for part in ["Cargo.toml", "README.md", "src/lib.rs", "fixtures/slice.json"].iter().chain(own) {
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

/// A network by data lives in its folder: nothing else names its crate, so that adding one touches nothing else.
#[test]
fn adding_a_network_touches_its_folder_and_nothing_else() {
    let folders = std::fs::read_dir(repository().join("connectors")).unwrap().map(|entry| entry.unwrap().path());
    let networks: Vec<String> = folders
        .filter(|folder| folder.join("network.toml").is_file() && folder.join("simulated.json").is_file())
        .map(|folder| folder.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(networks.len() >= 15, "{networks:?}");
    let mut named = Vec::new();
    for source in files::sources(&["rs", "toml", "yml", "yaml", "sh", "py"]) {
        let path = source.path.strip_prefix(repository()).unwrap().display().to_string();
        for network in networks.iter().filter(|network| !path.starts_with(&format!("connectors/{network}/"))) {
            let names = [format!("connector-{network}"), format!("connector_{}", network.replace('-', "_"))];
            if names.iter().any(|name| source.text.contains(name))
                || source.text.contains(&format!("connectors/{network}/"))
            {
                named.push(format!("{path}: {network}"));
            }
        }
    }
    assert!(named.is_empty(), "these name a network of a folder: {named:?}");
    let justfile = std::fs::read_to_string(repository().join("justfile")).unwrap();
    assert!(justfile.contains("`ls connectors"), "the recipes follow the folders");
}
