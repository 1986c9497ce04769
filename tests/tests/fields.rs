//! Every field of every response is in the native table.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sluice_simulator::{Options, Shapes, Simulator};
use sluice_tests::{Operator, runtime, whole_window};

/// The paths of a record's leaves; arrays and empty objects are leaves.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                let name = name.replace('\\', "\\\\").replace('.', "\\.");
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                leaves(member, &path, found);
            }
        }
        _ => _ = found.insert(path.to_owned()),
    }
}

/// The bodies that a network's runs kept and mapped.
fn bodies(operator: &Operator, network: &str) -> Vec<Vec<u8>> {
    let query =
        format!("SELECT DISTINCT raw_object FROM raw.objects WHERE network = '{network}' AND outcome = 'answered'");
    let digests = operator.sql(&query).unwrap();
    let body = |row: &Value| {
        let digest = row["raw_object"].as_str().unwrap();
        let path = operator.join(&format!("lake/raw/bodies/{}/{digest}.zst", &digest[..2]));
        zstd::decode_all(&std::fs::read(path).unwrap()[..]).unwrap()
    };
    digests.iter().map(body).collect()
}

#[test]
fn every_path_in_raw_is_a_column() {
    let start: DateTime<Utc> = "2026-01-20T12:00:00Z".parse().unwrap();
    let runtime = runtime();
    let shapes = Shapes { duplicate_rows: false, new_field_from: Some(start), changed_type: true };
    let options = Options { seed: 21, start, history_days: 20, rows_per_day: 4, shapes, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let networks = [
        ("awin", ""),
        ("cj", "/data/publisherCommissions/records"),
        ("rakuten", ""),
        ("shareasale", "|"),
        ("tradetracker", "<"),
    ];
    let names: Vec<&str> = networks.iter().map(|(name, _)| *name).collect();
    let operator = Operator::of(&simulator, &names).unwrap();
    let window = whole_window(&simulator, start, 20);
    for (network, place) in networks {
        operator.run(network, &window).unwrap();
        let columns: BTreeSet<String> = operator
            .sql(&format!("SELECT DISTINCT path FROM meta.columns WHERE network = '{network}'"))
            .unwrap()
            .iter()
            .map(|row| row["path"].as_str().unwrap().to_owned())
            .collect();
        let mut paths = BTreeSet::new();
        for body in bodies(&operator, network) {
            let text = String::from_utf8(body).unwrap();
            match place {
                // Columns are named as the layout spells them, without the header's spaces.
                "|" => {
                    paths.extend(text.lines().next().unwrap_or_default().split('|').map(|name| name.replace(' ', "")))
                }
                "<" => paths.extend(xml_leaves(&text)),
                _ => {
                    let body: Value = serde_json::from_str(&text).unwrap();
                    for record in body.pointer(place).and_then(Value::as_array).unwrap() {
                        leaves(record, "", &mut paths);
                    }
                }
            }
        }
        assert!(paths.len() > 10, "{network}: {paths:?}");
        let missing: Vec<_> = paths.difference(&columns).collect();
        assert!(missing.is_empty(), "{network} lost fields: {missing:?}");
        let width = operator.sql(&format!("SELECT * FROM {network}.transactions LIMIT 1")).unwrap();
        assert!(!width.is_empty(), "{network} has no rows");
    }
}

/// Schema, table, column and type of the tables that SQL can name before the first run.
fn fixed_columns(operator: &Operator) -> BTreeSet<String> {
    let rows = operator
        // How a scan holds text in memory is no difference: `Utf8View` is `Utf8`.
        .sql(
            "SELECT table_schema || '.' || table_name || ' ' || column_name || ' ' || replace(data_type, 'View', '') AS line
             FROM information_schema.columns WHERE table_schema IN ('meta', 'raw', 'unified')",
        )
        .unwrap();
    rows.iter().map(|row| row["line"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn tables_have_the_same_columns_before_and_after_the_first_run() {
    let start: DateTime<Utc> = "2026-01-20T12:00:00Z".parse().unwrap();
    let runtime = runtime();
    let options = Options { seed: 22, start, history_days: 5, rows_per_day: 2, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    let before = fixed_columns(&operator);
    operator.run("awin", &whole_window(&simulator, start, 5)).unwrap();
    let after = fixed_columns(&operator);
    assert!(before.len() > 100, "{before:?}");
    let differing: Vec<_> = before.symmetric_difference(&after).collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

/// Element names below `item`, joined by dots: enough of XML for a body without attributes that matter.
fn xml_leaves(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<String> = Vec::new();
    let mut last_opened = false;
    for tag in text.split('<').skip(1).filter_map(|part| part.split('>').next()) {
        let name = |tag: &str| {
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
            name.rsplit(':').next().unwrap_or_default().to_owned()
        };
        if tag.starts_with(['?', '!']) {
            continue;
        }
        let inside = |open: &[String]| {
            let at = open.iter().position(|name| name == "conversionTransactions")? + 2;
            (open.len() > at).then(|| open[at..].join("."))
        };
        if tag.starts_with('/') {
            if last_opened && let Some(path) = inside(&open) {
                found.insert(path);
            }
            open.pop();
            last_opened = false;
        } else {
            open.push(name(tag));
            last_opened = true;
            if tag.ends_with('/') {
                if let Some(path) = inside(&open) {
                    found.insert(path);
                }
                open.pop();
                last_opened = false;
            }
        }
    }
    found
}
