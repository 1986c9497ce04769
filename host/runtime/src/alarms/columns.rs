//! Columns of native tables that appeared, and those that have no values any more.

use std::collections::{BTreeMap, BTreeSet};

use sluice_query::Session;
use sluice_state::State;

use super::fault::{Fault, Findings, first_of};
use super::rule::Rule;
use super::scope::{Networks, Scope, schema};
use crate::doubt::Profile;
use crate::duplicates::{quoted, texts};
use crate::failure::Failure;
use crate::text::count;

/// Columns of a table that are looked for: each costs a count.
const MAX_COLUMNS: usize = 200;
/// Lines of evidence.
const MAX_LINES: usize = 20;

/// Judges columns that came to a table after it was made.
///
/// # Errors
/// The lake's failure.
pub(super) async fn find_new(scope: &Scope<'_>, findings: &mut Findings) -> Result<(), Failure> {
    let Scope { session, networks, alarms, .. } = *scope;
    let query = format!(
        "SELECT network, stream, \"column\", coalesce(path, ''), coalesce(example, ''), CAST(first_seen AS VARCHAR) FROM (
             SELECT *, min(first_seen) OVER (PARTITION BY network, stream) AS made_at
             FROM meta.columns WHERE network IN ({}))
         WHERE first_seen > now() - INTERVAL '{} days' AND first_seen > made_at + INTERVAL '{} hours'
         ORDER BY network, stream, \"column\"",
        networks.schemas(),
        alarms.threshold(Rule::NewColumns, |of| of.days, 7),
        alarms.threshold(Rule::NewColumns, |of| of.settle_hours, 24)
    );
    let rows: Vec<[String; 6]> = texts(session, &query).await?;
    scope.add(Rule::NewColumns, &rows, |rows| new_columns(rows, networks), findings);
    Ok(())
}

fn new_columns(rows: &[[String; 6]], networks: &Networks) -> Fault {
    let [schema, stream, ..] = &rows[0];
    let network = networks.of_schema(schema);
    let names = first_of(rows.iter().map(|row| format!("`{}`", row[2])).collect(), 5).join(", ");
    let summary = format!("{schema}.{stream} has {}: {names}", count(rows.len() as u64, "new column"));
    let line = |[_, _, column, path, example, seen]: &[String; 6]| {
        format!("{column} of {path} since {seen}, such as {example}")
    };
    Fault::of(Rule::NewColumns, &network, None, Some(stream), summary)
        .evidence(first_of(rows.iter().map(line).collect(), MAX_LINES))
        .advice("the network sends more than before: see whether a unified column should have it; this ends by itself")
}

/// Judges columns that most records had and that none has any more.
///
/// # Errors
/// The failure of the lake or the state store.
pub(super) async fn find_vanished(
    state: &State,
    scope: &Scope<'_>,
    accounts: &[(String, String, String)],
    findings: &mut Findings,
) -> Result<(), Failure> {
    let Scope { session, networks, alarms, .. } = *scope;
    let rows = alarms.threshold(Rule::VanishedColumns, |of| of.rows, 50);
    let days = alarms.threshold(Rule::VanishedColumns, |of| of.days, 3);
    let mut tables: BTreeMap<(&str, &str), UsualPaths> = BTreeMap::new();
    for (network, account, stream) in accounts {
        let Some(profile) = state.profile(network, account, stream).await? else { continue };
        let paths = Profile::from_json(&profile).usual_paths(rows).map(str::to_owned).collect();
        tables.entry((network, stream)).or_default().insert(account.clone(), paths);
    }
    let mut faults = Vec::new();
    for ((network, stream), usual) in tables {
        let columns = columns_of(session, network, stream, &usual).await?;
        for (account, records, empty) in without_values(session, network, stream, &columns, days, rows).await? {
            let Some(paths) = usual.get(&account) else { continue };
            // What other accounts have isn't missed in this one.
            let is_missed = |column: &String| columns.get(column).is_some_and(|path| paths.contains(path));
            let gone: Vec<String> = empty.into_iter().filter(is_missed).collect();
            faults.extend((!gone.is_empty()).then(|| vanished(network, &account, stream, records, &gone)));
        }
    }
    findings.add(Rule::VanishedColumns, networks.covers(), faults);
    Ok(())
}

/// The paths that most records of each account have had.
type UsualPaths = BTreeMap<String, BTreeSet<String>>;

/// The columns of a native table that most records of an account have had, with their paths.
async fn columns_of(
    session: &Session,
    network: &str,
    stream: &str,
    usual: &UsualPaths,
) -> Result<BTreeMap<String, String>, Failure> {
    let paths: BTreeSet<&String> = usual.values().flatten().collect();
    if paths.is_empty() {
        return Ok(BTreeMap::new());
    }
    let query = format!(
        "SELECT \"column\", path FROM meta.columns WHERE network = {} AND stream = {} ORDER BY \"column\"",
        quoted(&schema(network)),
        quoted(stream)
    );
    let rows: Vec<[String; 2]> = texts(session, &query).await?;
    let usual = rows.into_iter().filter(|[_, path]| paths.contains(path)).map(|[column, path]| (column, path));
    Ok(usual.take(MAX_COLUMNS).collect())
}

/// Accounts with recent records, their number, and those columns in which none of them has a value.
async fn without_values(
    session: &Session,
    network: &str,
    stream: &str,
    columns: &BTreeMap<String, String>,
    days: u32,
    rows: u64,
) -> Result<Vec<(String, u64, Vec<String>)>, Failure> {
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let identifier = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    // The empty columns of each account, as one text.
    let empty = columns.keys().map(|column| {
        format!("CASE WHEN count({}) = 0 THEN {} ELSE '' END", identifier(column), quoted(&format!("{column}\n")))
    });
    let query = format!(
        "SELECT _account, CAST(count(*) AS VARCHAR), concat({}) FROM {}.{}
         WHERE _observed_at > now() - INTERVAL '{days} days' GROUP BY _account HAVING count(*) >= {rows} ORDER BY _account",
        empty.collect::<Vec<_>>().join(", "),
        identifier(&schema(network)),
        identifier(stream)
    );
    let found: Vec<[String; 3]> = texts(session, &query).await?;
    let account = |[account, records, empty]: [String; 3]| {
        (account, records.parse().unwrap_or_default(), empty.lines().map(str::to_owned).collect())
    };
    Ok(found.into_iter().map(account).collect())
}

fn vanished(network: &str, account: &str, stream: &str, records: u64, columns: &[String]) -> Fault {
    let names = first_of(columns.iter().map(|column| format!("`{column}`")).collect(), 5).join(", ");
    let summary = format!("{stream} of {network} {account} has no values any more in {names}");
    let evidence = format!("none of the last {} has a value in it, and most had one before", count(records, "record"));
    Fault::of(Rule::VanishedColumns, network, Some(account), Some(stream), summary)
        .evidence(std::iter::once(evidence).chain(first_of(columns.to_vec(), MAX_LINES)))
        .advice(
            "the network may have renamed or dropped the field: compare a response (`sluice raw`) with its documentation, \
             and install a connector that reads the new one",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_columns_of_a_table_are_one_fault_of_its_network() {
        let row = |column: &str| ["trade_tracker", "sales", column, "a.b", "x", "2026-01-05"].map(str::to_owned);
        let fault = new_columns(&[row("a_b"), row("c")], &Networks::default());
        assert_eq!(fault.summary, "trade_tracker.sales has 2 new columns: `a_b`, `c`");
        assert_eq!(fault.subject, "trade_tracker/sales");
    }
}
