//! Transactions of a run that may be others under another id, or of another account: a warning with ids and money.

use arrow::array::{Array, AsArray};
use chrono::{DateTime, TimeDelta, Utc};
use sluice_query::Session;

use crate::failure::Failure;

/// What is compared with the table at once: all of a long history would be read into memory.
const PIECE: TimeDelta = TimeDelta::days(100);
/// Pieces that a run looks through: a backfill of many years would take longer than itself.
const MAX_PIECES: i64 = 8;

/// What is suspected of transactions that a run saw first: a line for each advertiser and currency of a piece of time, largest
/// sum first; or that it wasn't looked for.
///
/// `network` is the connector's network id.
///
/// # Errors
/// A failure of the lake.
pub async fn suspected(session: &Session, network: &str, run_id: &str) -> Result<Vec<String>, Failure> {
    let (network, run_id) = (quoted(network), quoted(run_id));
    let span = format!(
        "SELECT CAST(CAST(min(transacted_at) AS BIGINT) AS VARCHAR), CAST(CAST(max(transacted_at) AS BIGINT) AS VARCHAR)
         FROM unified.transaction_versions
         WHERE network = {network} AND run_id = {run_id} AND change = 'first-seen' HAVING count(*) > 0"
    );
    let Some([first, last]) = texts(session, &span).await?.pop() else { return Ok(Vec::new()) };
    let Some(pieces) = pieces(&first, &last) else { return Ok(Vec::new()) };
    if pieces.len() as i64 > MAX_PIECES {
        return Ok(vec![format!(
            "suspected duplicates weren't looked for: the new transactions are more than {} days apart; sluice sql \
             \"SELECT * FROM unified.suspected_duplicates\"",
            MAX_PIECES * PIECE.num_days()
        )]);
    }
    let mut lines = Vec::new();
    for [since, until] in pieces {
        let of_piece = format!("transacted_at >= TIMESTAMP '{since}' AND transacted_at < TIMESTAMP '{until}'");
        let rows = texts(session, &sets(&network, &run_id, &of_piece)).await?;
        lines.extend(rows.into_iter().map(|row| line(&row)));
    }
    Ok(lines)
}

/// The time from a moment to another, in microseconds since 1970, in pieces as SQL writes their ends.
fn pieces(first: &str, last: &str) -> Option<Vec<[String; 2]>> {
    let moment = |text: &str| DateTime::from_timestamp_micros(text.parse().ok()?);
    let (first, last) = (moment(first)?, moment(last)?);
    let shown = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    let begins = std::iter::successors(Some(first), |since| since.checked_add_signed(PIECE));
    let begins = begins.take_while(|since| *since <= last).take(MAX_PIECES as usize + 1);
    Some(begins.filter_map(|since| Some([shown(since), shown(since.checked_add_signed(PIECE)?)])).collect())
}

/// The query of sets of transactions of which a run saw one first.
fn sets(network: &str, run_id: &str, of_piece: &str) -> String {
    format!(
        "WITH sets AS (
             SELECT coalesce(advertiser_id, '') AS advertiser, commission_currency AS currency, duplicate_of,
                    duplicate_account, max(account) AS other_account, max(transaction_id) AS other, count(*) - 1 AS more,
                    sum(commission_effective) - max(commission_effective) AS surplus
             FROM unified.suspected_duplicates
             WHERE network = {network} AND {of_piece}
             GROUP BY 1, 2, 3, 4, transacted_at, commission_effective
             HAVING bool_or(run_id = {run_id})
         )
         SELECT advertiser, currency, CAST(sum(more) AS VARCHAR), CAST(sum(surplus) AS VARCHAR),
                min(duplicate_of), first_value(other ORDER BY duplicate_of),
                duplicate_account, other_account
         FROM sets GROUP BY advertiser, currency, duplicate_account, other_account ORDER BY sum(surplus) DESC"
    )
}

fn line([advertiser, currency, more, surplus, first, other, of, account]: &[String; 8]) -> String {
    let money = surplus.trim_end_matches('0').trim_end_matches('.');
    let is_one = more == "1";
    let these =
        format!("{more} transaction{} of advertiser {advertiser} ({money} {currency})", if is_one { "" } else { "s" });
    if of != account {
        let (was, counts) = if is_one { ("was", "counts") } else { ("were", "count") };
        let ids = if is_one { "id" } else { "ids" };
        return format!(
            "{these} {was} reported to the accounts {of} and {account} under the same {ids}, such as {first}, and {counts} twice: \
             compare the settings of the two; sluice sql \"SELECT * FROM unified.suspected_duplicates WHERE advertiser_id = \
             '{advertiser}'\""
        );
    }
    let others = if is_one { "another" } else { "others" };
    format!(
        "{these} may be {others} under another id, such as {other} of {first}: sluice sql \"SELECT * FROM \
         unified.suspected_duplicates WHERE advertiser_id = '{advertiser}'\""
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_long_time_is_looked_through_in_pieces() {
        let day = |day: i64| (day * 86_400_000_000).to_string();
        let shown = |from, to| pieces(&day(from), &day(to)).unwrap();
        assert_eq!(shown(0, 0), [["1970-01-01 00:00:00.000000", "1970-04-11 00:00:00.000000"]]);
        let two = shown(0, 180);
        assert_eq!((two.len(), &two[0][1]), (2, &two[1][0]));
        assert_eq!(shown(0, 100_000).len() as i64, MAX_PIECES + 1, "more aren't counted");
        assert_eq!(pieces("", ""), None);
    }
}
