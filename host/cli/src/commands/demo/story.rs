//! What the demo shows: each part is a title and a small table.

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use sluice_lake::DoubtRow;
use sluice_query::Session;
use sluice_runtime::failure::Failure;
use sluice_runtime::run::RunReport;
use sluice_runtime::text::thousands;

use super::{Collects, HISTORY_DAYS, LATER_COLLECTS, LATER_DAYS};

/// What a unit of each currency is worth in EUR. The lake keeps amounts as networks report them; rates are the query's.
const RATES: &str =
    "(VALUES ('EUR', 1.00), ('USD', 0.86), ('GBP', 1.15), ('PLN', 0.24), ('SEK', 0.09)) AS rates (currency, eur)";

/// What each collect brought.
pub(super) fn collected(collects: &Collects) -> String {
    let mut rows = vec![texts(["network", "records", "transactions", "then new", "changed", "again"])];
    for (first, again) in collects.first.iter().zip(&collects.again) {
        let later = || collects.later.iter().filter(|report| report.network == first.network);
        let new: u64 = later().map(|report| report.versions.causes.first_seen).sum();
        let versions: u64 = later().map(|report| report.new_versions).sum();
        let numbers = [first.records, first.new_versions, new, versions - new, again.new_versions].map(thousands);
        rows.push([first.network.clone()].into_iter().chain(numbers).collect());
    }
    format!(
        "Collected from 5 simulated networks with 2 accounts each: {HISTORY_DAYS} days, then {LATER_COLLECTS} times what \
         {LATER_DAYS} days brought,\nthen the same again, which adds nothing.\n{}",
        table(&rows)
    )
}

/// Commissions by network and status.
///
/// # Errors
/// The lake's failure.
pub(super) async fn earnings(session: &Session) -> Result<String, Failure> {
    let sum = |condition: &str, amount: &str, name: &str| {
        format!("CAST(sum(CASE WHEN {condition} THEN {amount} * eur ELSE 0 END) AS DECIMAL(12, 2)) AS {name}")
    };
    let query = format!(
        "SELECT network, {}, {}, {}, {} FROM unified.transactions JOIN {RATES} ON currency = commission_currency
         GROUP BY 1 ORDER BY 1",
        sum("validation_status = 'pending'", "commission_effective", "pending"),
        sum("validation_status = 'approved' AND payment_status <> 'paid'", "commission_effective", "approved"),
        sum("payment_status = 'paid'", "commission_effective", "paid"),
        sum("validation_status = 'declined'", "commission_amount", "declined"),
    );
    Ok(format!("Commissions in EUR, by network and status:\n{}", ask(session, &query).await?))
}

/// What changed from the first collect to the later one, and why.
///
/// # Errors
/// The lake's failure.
pub(super) async fn changes(session: &Session, later: &[RunReport]) -> Result<String, Failure> {
    let runs: Vec<String> = later.iter().map(|report| format!("'{}'", report.run_id)).collect();
    let query = format!(
        "SELECT CASE WHEN v.change = 'first-seen' THEN 'new transaction'
                     WHEN v.change = 'correction' THEN 'new row that corrects another'
                     WHEN v.change <> 'network-change' THEN v.change
                     WHEN v.validation_status <> earlier.validation_status
                         THEN 'validation: ' || earlier.validation_status || ' to ' || v.validation_status
                     WHEN v.payment_status <> earlier.payment_status
                         THEN 'payment: ' || earlier.payment_status || ' to ' || v.payment_status
                     WHEN v.commission_amount <> earlier.commission_amount THEN 'commission corrected'
                     ELSE 'other fields' END AS what,
                count(*) AS transactions,
                CAST(sum((v.commission_effective - coalesce(earlier.commission_effective, 0)) * eur) AS DECIMAL(12, 2))
                    AS difference,
                max(CASE WHEN v.change <> 'first-seen' AND coalesce(v.reason_raw, '') <> coalesce(earlier.reason_raw, '')
                    THEN v.reason_raw END) AS example_of_a_reason
         FROM unified.transaction_versions v
         JOIN {RATES} ON currency = v.commission_currency
         LEFT JOIN unified.transaction_versions earlier
             ON earlier.transaction_key = v.transaction_key AND earlier.version = v.version - 1
         WHERE v.run_id IN ({}) GROUP BY 1 ORDER BY 2 DESC, 1",
        runs.join(", ")
    );
    let days = LATER_COLLECTS * LATER_DAYS;
    let title = format!("What changed in those {days} days, and what that is in EUR:");
    Ok(format!("{title}\n{}", ask(session, &query).await?))
}

/// A transaction of which much is known, as `explain` takes it, and its history.
///
/// # Errors
/// The lake's failure.
pub(super) async fn history(session: &Session) -> Result<(String, String), Failure> {
    let pick = "SELECT network || '/' || account || '/' || transaction_id FROM unified.transactions
                WHERE network = 'awin' AND commission_effective > 0
                ORDER BY (original_commission_amount IS NULL), version DESC, transaction_key LIMIT 1";
    let found = rows(session, pick).await?;
    let transaction = found.get(1).and_then(|row| row.first()).cloned().unwrap_or_default();
    let query = format!(
        "SELECT version, change, validation_status AS validation, payment_status AS payment,
                CAST(commission_amount AS DECIMAL(12, 2)) AS commission, commission_currency AS currency,
                reason_raw AS reason, substr(raw_object, 1, 12) AS raw_object
         FROM unified.transaction_versions
         WHERE network || '/' || account || '/' || transaction_id = '{}' ORDER BY version",
        transaction.replace('\'', "''")
    );
    let history = format!(
        "The history of {transaction}, each version with the response it came from:\n{}",
        ask(session, &query).await?
    );
    Ok((transaction, history))
}

/// A doubtful answer, and what was decided.
pub(super) fn doubt(doubt: &DoubtRow) -> String {
    let DoubtRow { network, account, reason, doubt_id, .. } = doubt;
    // What is new, and what would be null; the second field that is gone is the same again.
    let reason = reason.split("; ").take(4).collect::<Vec<_>>().join(";\n  ");
    let decision = doubt.decision.as_deref().unwrap_or_default();
    let state = doubt.state.name();
    format!(
        "A doubt: an answer of {network}/{account} would have moved money wrongly, so it was kept and not committed.
  {reason}
  In the tables: {}. In the answer: {}.
  $ sluice doubts reject {doubt_id} --reason \"{decision}\"  ({state})
",
        money(&doubt.money_in_tables),
        money(&doubt.money_in_answer),
    )
}

/// Sums by currency for people, of a JSON object.
fn money(json: &str) -> String {
    let sums: BTreeMap<String, String> = serde_json::from_str(json).unwrap_or_default();
    let amounts = sums.iter().filter(|(_, sum)| sum.bytes().any(|byte| matches!(byte, b'1'..=b'9')));
    let amounts: Vec<String> = amounts.map(|(code, sum)| format!("{sum} {code}")).collect();
    if amounts.is_empty() { "no commission".to_owned() } else { amounts.join(", ") }
}

async fn ask(session: &Session, query: &str) -> Result<String, Failure> {
    Ok(table(&rows(session, query).await?))
}

/// The names of the columns, then the rows.
async fn rows(session: &Session, query: &str) -> Result<Vec<Vec<String>>, Failure> {
    let batches = session.query(query).await?.collect().await?;
    let mut rows = Vec::new();
    for batch in &batches {
        if rows.is_empty() {
            rows.push(batch.schema().fields().iter().map(|field| field.name().clone()).collect());
        }
        rows.extend(cells(batch).map_err(Failure::failed)?);
    }
    Ok(rows)
}

fn cells(batch: &RecordBatch) -> Result<Vec<Vec<String>>, ArrowError> {
    let options = FormatOptions::default();
    let formatters = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
    let formatters = formatters.collect::<Result<Vec<_>, _>>()?;
    let cell = |row: usize, place: usize, column: &ArrayFormatter<'_>| {
        if batch.column(place).is_null(row) { Ok(String::new()) } else { column.value(row).try_to_string() }
    };
    (0..batch.num_rows())
        .map(|row| formatters.iter().enumerate().map(|(place, column)| cell(row, place, column)).collect())
        .collect()
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

/// Aligned columns: numbers to the right, the rest to the left.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let is_number =
        |text: &str| text.is_empty() || text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b',' | b'-'));
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0))
        .collect();
    let numeric: Vec<bool> = (0..columns)
        .map(|column| rows.len() > 1 && rows.iter().skip(1).all(|row| is_number(&cell(row, column))))
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells = widths.iter().zip(&numeric).enumerate().map(|(column, (width, numeric))| {
            if *numeric { format!("{:>width$}", cell(row, column)) } else { format!("{:<width$}", cell(row, column)) }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(&format!("  {}\n", line.trim_end()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right() {
        let rows = [texts(["network", "sum"]), texts(["awin", "1,200.50"]), texts(["cj", "-7"])];
        assert_eq!(table(&rows), "  network       sum\n  awin     1,200.50\n  cj             -7\n");
    }
}
