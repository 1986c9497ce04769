//! What holds of the tables after any history, whatever the model says.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Row, rows_with};
use crate::Lake;

fn number(row: &Row, name: &str) -> i64 {
    row[name].replace('.', "").parse().unwrap()
}

/// The claims about `unified.transaction_versions` that don't hold.
pub(super) fn of_versions(versions: &[Row]) -> Vec<String> {
    let mut by_key: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in versions {
        by_key.entry(&row["transaction_key"]).or_default().push(row);
    }
    let mut broken = Vec::new();
    for rows in by_key.values() {
        let id = format!("{}/{}", rows[0]["network"], rows[0]["transaction_id"]);
        let mut numbers: Vec<i64> = rows.iter().map(|row| number(row, "version")).collect();
        numbers.sort_unstable();
        if numbers.windows(2).any(|pair| pair[0] == pair[1]) {
            broken.push(format!("a version of {id} comes twice: {numbers:?}"));
        } else if !numbers.iter().copied().eq(1..=rows.len() as i64) {
            broken.push(format!("versions of {id} aren't 1..={}: {numbers:?}", rows.len()));
        }
        let months: BTreeSet<&str> = rows.iter().map(|row| row["month"].as_str()).collect();
        if months.len() > 1 {
            broken.push(format!("versions of {id} are in several months: {months:?}"));
        }
    }
    broken
}

/// What is read of a row of `unified`.
pub(super) const COLUMNS: [&str; 12] = [
    "transaction_key",
    "network",
    "transaction_id",
    "version",
    "transacted_at",
    "commission_amount",
    "commission_effective",
    "order_id",
    "change",
    "observed_at",
    "run_id",
    "month",
];

pub(super) async fn unified(lake: &Lake, table: &str) -> Vec<Row> {
    rows_with(lake, "unified", table, |name| COLUMNS.contains(&name)).await
}

/// The claims about the rows of `unified.transactions` that don't hold, given those of the versions table.
pub(super) fn of_latest(latest: &[Row], versions: &[Row]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut seen: BTreeMap<&str, &Row> = BTreeMap::new();
    for row in latest {
        if seen.insert(&row["transaction_key"], row).is_some() {
            broken.push(format!("{}/{} is twice in the latest state", row["network"], row["transaction_id"]));
        }
    }
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    for row in versions {
        let version = newest.entry(&row["transaction_key"]).or_default();
        *version = number(row, "version").max(*version);
    }
    for (key, version) in &newest {
        match seen.get(key) {
            None => broken.push(format!("{key} isn't in the latest state")),
            Some(row) if number(row, "version") != *version => {
                broken.push(format!("the latest state has {} of {key}, not {version}", row["version"]));
            }
            Some(row) if !versions.contains(*row) => {
                broken.push(format!("the latest state of {key} is no row of the versions table"));
            }
            Some(_) => {}
        }
    }
    broken.extend(seen.keys().filter(|key| !newest.contains_key(*key)).map(|key| format!("{key} has no version")));
    broken
}

/// The transactions of the latest state, and the sum of their effective commissions in millionths.
pub(super) fn sums(latest: &[Row]) -> (usize, i64) {
    (latest.len(), latest.iter().map(|row| number(row, "commission_effective")).sum())
}

/// Records of native tables that were written twice from one response.
pub(super) async fn of_native(lake: &Lake, networks: &[&str]) -> Vec<String> {
    let mut broken = Vec::new();
    for network in networks {
        let mut seen = BTreeSet::new();
        let names = ["_key", "_content_hash", "_observed_at", "_request_id", "id"];
        let schema = network.replace('-', "_");
        for row in rows_with(lake, &schema, "transactions", |name| names.contains(&name)).await {
            let of = names.map(|name| row[name].clone());
            if !seen.insert(of) {
                broken.push(format!("record {} of {network} stands twice, from {}", row["id"], row["_request_id"]));
            }
        }
    }
    broken
}
