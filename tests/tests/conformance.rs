//! Every connector, as the component that ships, as `sluice test` tests it: against its fixtures, and against what holds of all
//! connectors. `just bless` takes what it does now as what it shall do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;

use sluice_engine::{Connector, Engine, EngineOptions};
use sluice_kit::{Bless, Finding, Fixtures, Indexed, index};
use sluice_model::Axis;
use sluice_tests::{connectors_dir, repository, target_dir};

fn connector_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(repository().join("connectors"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

/// The connectors, each with its folder's name.
fn connectors() -> Vec<(PathBuf, Connector)> {
    // Twenty components take minutes to compile: once is enough for all tests.
    let cache_dir = Some(target_dir().join("conformance"));
    let engine = Engine::new(EngineOptions { cache_dir, ..EngineOptions::default() }).unwrap();
    let load = |folder: PathBuf| {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let wasm = std::fs::read(connectors_dir().join(format!("{name}.wasm"))).expect("built by `just build`");
        (folder, engine.load(&wasm, &name).unwrap())
    };
    connector_folders().into_iter().map(load).collect()
}

#[test]
fn every_connector_does_what_its_fixtures_say_and_what_all_must() {
    let bless = if std::env::var_os("SLUICE_BLESS").is_some() { Bless::Yes } else { Bless::No };
    let mut wrong = Vec::new();
    for (folder, connector) in connectors() {
        let fixtures = Fixtures::read(&folder.join("fixtures")).unwrap_or_else(|error| panic!("{error}"));
        let report = sluice_kit::test(&connector, &fixtures, bless).unwrap_or_else(|error| panic!("{error}"));
        assert!(report.cases >= 4, "{} has too few cases", report.network);
        assert!(report.rows >= 5, "{}: {} rows tell nothing", report.network, report.rows);
        let findings = report.findings.into_iter();
        wrong.extend(findings.map(|Finding { check, at, text, difference }| {
            format!("{} {check} {at}: {text}\n{}", report.network, difference.join("\n"))
        }));
    }
    assert!(wrong.is_empty(), "what differs is blessed by `just bless`, if it is meant:\n{}", wrong.join("\n"));
}

#[test]
fn every_connector_has_the_newest_contract_and_sound_windows() {
    for (_, connector) in connectors() {
        let name = connector.network();
        assert_eq!(connector.contract(), "0.3.0-draft.4", "{name} speaks the newest contract");
        for stream in &connector.manifest().streams {
            // A row leaves its window of any other date by changing once more, and has not vanished.
            let complete = stream.complete_windows.iter().all(|axis| *axis == Axis::Transaction);
            assert!(complete, "{name} has complete windows of a date that changes");
            assert!(!stream.unified || !stream.layout.key.is_empty(), "{name}: a stream without a key");
        }
    }
}

/// Sales are booked late: once a day the last 45 days are read by the transaction's date, as far as the network remembers.
#[test]
fn default_look_backs_cover_late_bookings() {
    for (_, connector) in connectors() {
        let manifest = connector.manifest();
        for stream in
            manifest.streams.iter().filter(|stream| stream.unified && stream.axes.contains(&Axis::Transaction))
        {
            let days = stream.history_days.unwrap_or(u32::MAX).min(45);
            let covers = manifest
                .look_back
                .iter()
                .any(|rule| rule.axis == Axis::Transaction && rule.every_secs <= 86_400 && rule.days >= days);
            assert!(covers, "{} {}: {:?}", manifest.network, stream.name, manifest.look_back);
        }
    }
}

/// Where the simulated network states how many records a list has, as the network does, the connector reads that: the host
/// compares it with what came.
#[test]
fn stated_totals_are_read() {
    for folder in connector_folders() {
        let Ok(simulated) = std::fs::read_to_string(folder.join("simulated.json")) else { continue };
        let declared = std::fs::read_to_string(folder.join("network.toml")).unwrap();
        let reads = |stream: &&str| stream.contains("\ntotal = ") || stream.contains("\nend = \"total");
        let (stated, read) =
            (simulated.matches("{total}").count(), declared.split("[[streams]]").skip(1).filter(reads).count());
        assert!(read >= stated, "{}: {stated} lists state their total, and {read} totals are read", folder.display());
    }
}

const BEGIN: &str = "<!-- generated from manifests and READMEs: edit there, then `just bless` -->\n";
const END: &str = "<!-- end of what is generated -->\n";

#[test]
fn the_index_of_connectors_is_up_to_date() {
    let indexed = |(folder, connector): (PathBuf, Connector)| Indexed {
        folder: folder.file_name().unwrap().to_str().unwrap().to_owned(),
        manifest: connector.manifest().clone(),
        readme: std::fs::read_to_string(folder.join("README.md")).unwrap(),
    };
    let all: Vec<Indexed> = connectors().into_iter().map(indexed).collect();
    let generated = index(&all);
    for one in &all {
        let row = generated.lines().find(|line| line.starts_with(&format!("| [{}]", one.folder)));
        assert!(row.is_some_and(|row| !row.ends_with("| – |")), "{}: its README states no confidence", one.folder);
    }
    let path = repository().join("docs/connector-index.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page says where the generated part begins");
    let (_, after) = rest.split_once(END).expect("the page says where the generated part ends");
    let wanted = format!("{before}{BEGIN}{generated}{END}{after}");
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert!(page == wanted, "docs/connector-index.md differs from the connectors: `just bless` writes it anew");
    }
}
