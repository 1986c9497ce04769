//! Typical questions of a lake, which other engines are asked too.

use anyhow::Context;

/// The transaction that [`QUESTIONS`] ask for; a test puts one of its own.
pub const ASKED_TRANSACTION: &str = "T0000000005";

/// Names of the questions, and their SQL, in which tables stand in braces.
pub const QUESTIONS: [(&str, &str); 4] = [
    (
        "earnings by month, status, currency",
        "SELECT month, validation_status, commission_currency, count(*) AS n, sum(commission_effective) AS effective
         FROM {unified.transactions} GROUP BY month, validation_status, commission_currency ORDER BY 1, 2, 3",
    ),
    (
        "best advertisers of a month",
        "SELECT advertiser_id, advertiser_name, sum(commission_effective) AS effective
         FROM {unified.transactions} WHERE transaction_day >= DATE '2025-12-01' AND transaction_day < DATE '2026-01-01'
         GROUP BY advertiser_id, advertiser_name ORDER BY effective DESC, advertiser_id LIMIT 20",
    ),
    (
        "what changed, by day of the sale",
        "SELECT transaction_day, count(*) AS n, sum(commission_amount) AS commission
         FROM {unified.transaction_versions} WHERE version > 1 GROUP BY transaction_day ORDER BY 1",
    ),
    (
        "how one transaction came to be",
        "SELECT version, change, validation_status, commission_amount FROM {unified.transaction_versions}
         WHERE month = '2025-12' AND transaction_id = 'T0000000005' ORDER BY version",
    ),
];

/// A question's SQL with each table named as an engine names it.
///
/// # Errors
/// A table without a schema.
pub fn naming_tables(sql: &str, name: impl Fn(&str, &str) -> anyhow::Result<String>) -> anyhow::Result<String> {
    let mut sql = sql.to_owned();
    while let (Some(open), Some(close)) = (sql.find('{'), sql.find('}')) {
        let (schema, table) = sql[open + 1..close].split_once('.').context("a table has no schema")?;
        let named = name(schema, table)?;
        sql.replace_range(open..=close, &named);
    }
    Ok(sql)
}
