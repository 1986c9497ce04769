//! What is odd of answers: doubts, rejects, unknown status words, suspected duplicates.

use std::collections::BTreeMap;

use sluice_lake::{DoubtRow, RejectRow};
use sluice_model::Severity;

use super::fault::{Fault, Findings, first_of};
use super::rule::Rule;
use super::scope::{Files, Scope};
use crate::doubt::DoubtKind;
use crate::duplicates::texts;
use crate::failure::Failure;
use crate::text::count;

/// Lines of evidence.
const MAX_LINES: usize = 10;

/// Judges the open doubts of all networks.
pub(super) fn find_doubts(open: &[DoubtRow], findings: &mut Findings) {
    findings.add(Rule::Doubt, |_| true, doubt_faults(open));
}

fn doubt_faults(open: &[DoubtRow]) -> Vec<Fault> {
    let mut streams: BTreeMap<[&str; 3], Vec<&DoubtRow>> = BTreeMap::new();
    for doubt in open {
        streams.entry([&doubt.network, &doubt.account, &doubt.stream]).or_default().push(doubt);
    }
    let fault = |([network, account, stream], doubts): ([&str; 3], Vec<&DoubtRow>)| {
        // It holds nothing back.
        let is_note = doubts.iter().all(|doubt| doubt.kind == DoubtKind::Columns.name());
        let what = if is_note { "noted" } else { "held back" };
        let number = count(doubts.len() as u64, "answer");
        let summary = format!("{number} of {stream} of {network} {account} {what}: {}", doubts[0].reason);
        let line = |doubt: &&DoubtRow| {
            format!("{}: {} to {}: {}", doubt.doubt_id, doubt.window.since, doubt.window.until, doubt.reason)
        };
        let fault = Fault::of(Rule::Doubt, network, Some(account), Some(stream), summary);
        Fault { severity: is_note.then_some(Severity::Info), ..fault }
            .evidence(first_of(doubts.iter().map(line).collect(), MAX_LINES))
            .advice(format!("sluice doubts show {}, then accept or reject it", doubts[0].doubt_id))
    };
    streams.into_iter().map(fault).collect()
}

/// Judges the share of records that the last run of each network couldn't map, as long as any of them is open.
///
/// # Errors
/// The lake's failure.
pub(super) async fn find_rejects(
    scope: &Scope<'_>,
    open: &[RejectRow],
    findings: &mut Findings,
) -> Result<(), Failure> {
    let Scope { session, networks, alarms, .. } = *scope;
    let query = format!(
        "SELECT network, CAST(rejects AS VARCHAR), CAST(greatest(native_rows, rejects) AS VARCHAR) FROM (
             SELECT *, row_number() OVER (PARTITION BY network ORDER BY finished_at DESC) AS place
             FROM meta.runs
             WHERE network IN ({}) AND command = 'run' AND native_rows + rejects > 0
               AND finished_at > now() - INTERVAL '7 days')
         WHERE place = 1 ORDER BY network",
        networks.names()
    );
    let limit = alarms.threshold(Rule::Rejects, |of| of.share, 0.01);
    let rows: Vec<[String; 3]> = texts(session, &query).await?;
    let faults = rows.iter().filter_map(|row| {
        let [name, rejects, records] = row;
        let id = networks.id_of(name)?;
        let of_network: Vec<&RejectRow> = open.iter().filter(|reject| reject.network == id).collect();
        rejected(name, id, rejects.parse().ok()?, records.parse().ok()?, limit, &of_network)
    });
    findings.add(Rule::Rejects, networks.covers(), faults.collect::<Vec<_>>());
    Ok(())
}

fn rejected(name: &str, id: &str, rejects: u64, records: u64, limit: f64, open: &[&RejectRow]) -> Option<Fault> {
    let share = rejects as f64 / records.max(1) as f64;
    if open.is_empty() || rejects == 0 || share < limit {
        return None;
    }
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for reject in open {
        *reasons.entry(&reject.reason).or_default() += 1;
    }
    let records = count(records, "record");
    let summary = format!("{name}: {rejects} of {records} could not be mapped ({:.1} %)", 100.0 * share);
    let lines = reasons.into_iter().map(|(reason, number)| format!("{number} times: {reason}"));
    let fault = Fault::of(Rule::Rejects, id, None, None, summary).evidence(first_of(lines.collect(), MAX_LINES));
    let advice = format!(
        "sluice rejects list {name} shows them; with a connector that maps them, `sluice rejects retry {name}` writes them"
    );
    Some(Fault { subject: name.to_owned(), ..fault }.advice(advice))
}

/// Judges the status words of recent transactions.
///
/// # Errors
/// The lake's failure.
pub(super) async fn find_unknown(scope: &Scope<'_>, findings: &mut Findings) -> Result<(), Failure> {
    let query = format!(
        "SELECT network, account, status_raw, CAST(count(*) AS VARCHAR), min(transaction_id)
         FROM unified.live_transactions
         WHERE network IN ({}) AND validation_status = 'unknown' AND status_raw <> ''
           AND transacted_at > now() - INTERVAL '{} days'
         GROUP BY network, account, status_raw ORDER BY network, account, count(*) DESC, status_raw",
        scope.networks.list(),
        scope.alarms.threshold(Rule::UnknownStatus, |of| of.days, 90)
    );
    let rows: Vec<[String; 5]> = texts(scope.session, &query).await?;
    scope.add(Rule::UnknownStatus, &rows, |rows| unknown(rows, scope.files), findings);
    Ok(())
}

fn unknown(rows: &[[String; 5]], files: &Files) -> Fault {
    let [network, account, ..] = &rows[0];
    let name = files.name_of(network, account);
    let words = first_of(rows.iter().map(|[_, _, word, ..]| format!("`{word}`")).collect(), 5).join(", ");
    let summary = format!("{network} {account}: the connector doesn't know the status {words}");
    let line = |[_, _, word, number, first]: &[String; 5]| format!("`{word}`: {number} transactions, such as {first}");
    Fault::of(Rule::UnknownStatus, network, Some(account), None, summary)
        .evidence(first_of(rows.iter().map(line).collect(), MAX_LINES))
        .advice(format!(
            "install a version of connector `{network}` that maps it, then `sluice replay {name} --apply`; until then these \
             transactions are `unknown`"
        ))
}

/// Judges recent transactions that may be others under another id.
///
/// # Errors
/// The lake's failure.
pub(super) async fn find_duplicates(scope: &Scope<'_>, findings: &mut Findings) -> Result<(), Failure> {
    let query = format!(
        "SELECT network, account, coalesce(commission_currency, ''), CAST(count(*) AS VARCHAR),
                CAST(sum(commission_effective) AS VARCHAR), min(transaction_id), min(duplicate_of), min(duplicate_account)
         FROM unified.suspected_duplicates
         WHERE network IN ({}) AND transacted_at > now() - INTERVAL '{} days'
               AND (transaction_id <> duplicate_of OR account <> duplicate_account)
         GROUP BY network, account, commission_currency ORDER BY network, account, count(*) DESC",
        scope.networks.list(),
        scope.alarms.threshold(Rule::Duplicates, |of| of.days, 45)
    );
    let rows: Vec<[String; 8]> = texts(scope.session, &query).await?;
    scope.add(Rule::Duplicates, &rows, duplicated, findings);
    Ok(())
}

fn duplicated(rows: &[[String; 8]]) -> Fault {
    let [network, account, ..] = &rows[0];
    let number: u64 = rows.iter().filter_map(|row| row[3].parse::<u64>().ok()).sum();
    let what = count(number, "transaction");
    let summary = format!("{network} {account}: {what} may be others under another id, or of another account");
    let line = |[_, account, currency, number, money, id, other, of]: &[String; 8]| {
        let money = money.trim_end_matches('0').trim_end_matches('.');
        let of = if of == account { String::new() } else { format!(" of {of}") };
        let plural = if number == "1" { "" } else { "s" };
        format!("{number} transaction{plural}, commission {money} {currency}, such as {id}, which may be {other}{of}")
    };
    let account_is = account.replace('\'', "''");
    Fault::of(Rule::Duplicates, network, Some(account), None, summary)
        .evidence(first_of(rows.iter().map(line).collect(), MAX_LINES))
        .advice(format!(
            "compare them with the network's own report: sluice sql \"SELECT * FROM unified.suspected_duplicates WHERE network \
             = '{network}' AND account = '{account_is}'\""
        ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reject(reason: &str) -> RejectRow {
        RejectRow {
            key: 0,
            network: "awin".to_owned(),
            account: "uk".to_owned(),
            stream: "transactions".to_owned(),
            run_id: String::new(),
            request_id: String::new(),
            raw_object: String::new(),
            record_index: 0,
            reason: reason.to_owned(),
            observed_at: chrono::DateTime::UNIX_EPOCH,
            connector_version: String::new(),
        }
    }

    #[test]
    fn a_share_of_rejects_is_a_fault_while_any_is_open() {
        let (one, two) = (reject("no date"), reject("no id"));
        let found = rejected("awin-uk", "awin", 2, 100, 0.01, &[&one, &one, &two]).unwrap();
        assert_eq!(found.summary, "awin-uk: 2 of 100 records could not be mapped (2.0 %)");
        assert_eq!(found.evidence, "2 times: no date\n1 times: no id");
        assert_eq!((found.subject.as_str(), found.network.as_deref()), ("awin-uk", Some("awin")));
        assert_eq!(rejected("awin", "awin", 2, 1_000, 0.01, &[&one]), None);
        assert_eq!(rejected("awin", "awin", 2, 100, 0.01, &[]), None, "they were retried");
    }

    #[test]
    fn words_of_one_account_are_one_fault() {
        let row = |account: &str, word: &str| ["awin", account, word, "3", "t1"].map(str::to_owned);
        let rows = [row("uk", "frozen"), row("uk", "thawed")];
        let fault = unknown(&rows, &Files::default());
        assert_eq!(fault.summary, "awin uk: the connector doesn't know the status `frozen`, `thawed`");
        assert!(fault.evidence.starts_with("`frozen`: 3 transactions, such as t1\n"), "{fault:?}");
    }
}
