//! A simulator and what tests ask of it.

use crate::client::{Answer, send};
use sluice_simulator::{Account, Options, Simulator, TruthRow};
use std::collections::BTreeMap;

/// Options of a short, busy history over the end of summer time in Amsterdam and Chicago.
pub(crate) fn busy() -> Options {
    let start = "2025-11-10T12:00:00Z".parse().unwrap();
    Options { seed: 11, start, history_days: 45, rows_per_day: 8, ..Options::default() }
}

/// An account by network and name.
pub(crate) fn account(simulator: &Simulator, network: &str, name: &str) -> Account {
    simulator.accounts().iter().find(|it| it.network == network && it.name == name).unwrap().clone()
}

pub(crate) async fn get(simulator: &Simulator, network: &str, uri: &str, headers: &[(&str, &str)]) -> Answer {
    send(&simulator.origin(network), "GET", uri, headers, "").await.unwrap()
}

/// The truth by id.
pub(crate) fn truth(simulator: &Simulator, network: &str, name: &str) -> BTreeMap<String, TruthRow> {
    let rows = simulator.truth(network, name);
    let count = rows.len();
    let rows: BTreeMap<_, _> = rows.into_iter().map(|row| (row.transaction_id.clone(), row)).collect();
    assert_eq!(rows.len(), count, "ids are unique");
    assert!(count > 100, "there is something to compare");
    rows
}

/// A decimal without needless zeros, as the truth writes it.
pub(crate) fn plain(text: &str) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
}

/// The text of a number behind a name in a JSON text: exact, where a parser would make it a float.
pub(crate) fn number_after(text: &str, name: &str) -> String {
    let start = text.find(name).unwrap() + name.len();
    text[start..].chars().take_while(|it| it.is_ascii_digit() || "-.".contains(*it)).collect()
}
