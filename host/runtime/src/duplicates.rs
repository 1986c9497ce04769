//! Transactions of a run that may be others under another id, or of another account: a warning with ids and money.

use arrow::array::{Array, AsArray};
use chrono::TimeDelta;
use sluice_query::Session;

use crate::app::App;
use crate::failure::Failure;

/// A run whose new transactions are further apart isn't compared with the table: a backfill would read all of it.
const MAX_SPAN: TimeDelta = TimeDelta::days(100);

/// What is suspected of transactions that a run saw first: a line for each advertiser and currency, largest sum first.
///
/// `network` is the connector's network id.
///
/// # Errors
/// A failure of the lake.
pub async fn suspected(app: &App, network: &str, run_id: &str) -> Result<Vec<String>, Failure> {
    let options = app.settings.limits.queries_of_a_run();
    let session = Session::open(app.lake.clone(), app.lake.tables().await?, options)?;
    let (network, run_id) = (quoted(network), quoted(run_id));
    let span = format!(
        "SELECT CAST(min(transacted_at) AS VARCHAR), CAST(max(transacted_at) AS VARCHAR)
         FROM unified.transaction_versions
         WHERE network = {network} AND run_id = {run_id} AND change = 'first-seen'
         HAVING max(transacted_at) < min(transacted_at) + INTERVAL '{} days'",
        MAX_SPAN.num_days()
    );
    let Some([first, last]) = texts(&session, &span).await?.pop() else { return Ok(Vec::new()) };
    let suspected = format!(
        "WITH sets AS (
             SELECT coalesce(advertiser_id, '') AS advertiser, commission_currency AS currency, duplicate_of,
                    duplicate_account, max(account) AS other_account, max(transaction_id) AS other, count(*) - 1 AS more,
                    sum(commission_effective) - max(commission_effective) AS surplus
             FROM unified.suspected_duplicates
             WHERE network = {network} AND transacted_at BETWEEN TIMESTAMP '{first}' AND TIMESTAMP '{last}'
             GROUP BY 1, 2, 3, 4, transacted_at, commission_effective
             HAVING bool_or(run_id = {run_id})
         )
         SELECT advertiser, currency, CAST(sum(more) AS VARCHAR), CAST(sum(surplus) AS VARCHAR),
                min(duplicate_of), first_value(other ORDER BY duplicate_of),
                duplicate_account, other_account
         FROM sets GROUP BY advertiser, currency, duplicate_account, other_account ORDER BY sum(surplus) DESC"
    );
    let rows = texts(&session, &suspected).await?;
    Ok(rows.into_iter().map(|row| line(&row)).collect())
}

fn line([advertiser, currency, more, surplus, first, other, of, account]: &[String; 8]) -> String {
    let money = surplus.trim_end_matches('0').trim_end_matches('.');
    if of != account {
        return format!(
            "{more} transactions of advertiser {advertiser} ({money} {currency}) were reported to the accounts {of} and \
             {account} under the same ids, such as {first}, and count twice: compare the settings of the two; sluice sql \
             \"SELECT * FROM unified.suspected_duplicates WHERE advertiser_id = '{advertiser}'\""
        );
    }
    format!(
        "{more} transactions of advertiser {advertiser} ({money} {currency}) may be others under another id, such as {other} \
         of {first}: sluice sql \"SELECT * FROM unified.suspected_duplicates WHERE advertiser_id = '{advertiser}'\""
    )
}

/// A text as SQL writes it.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The rows of a query, as texts; null is empty.
pub(crate) async fn texts<const N: usize>(session: &Session, query: &str) -> Result<Vec<[String; N]>, Failure> {
    let mut rows = Vec::new();
    for batch in session.query(query).await?.collect().await? {
        let columns =
            batch.columns().iter().map(|column| arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(Failure::failed)?;
        for row in 0..batch.num_rows() {
            rows.push(std::array::from_fn(|at| {
                let column = columns[at].as_string::<i32>();
                if column.is_valid(row) { column.value(row).to_owned() } else { String::new() }
            }));
        }
    }
    Ok(rows)
}
