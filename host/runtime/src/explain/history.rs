//! The versions of a transaction, and what changed from one to the next.

use std::fmt;

use arrow::array::{Array, RecordBatch};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use sluice_query::Session;

use crate::failure::Failure;

/// Columns about the origin of a version, not its content.
const LINEAGE: &[&str] = &[
    "transaction_key",
    "network",
    "account",
    "stream",
    "transaction_id",
    "version",
    "content_hash",
    "change",
    "observed_at",
    "connector",
    "connector_version",
    "connector_digest",
    "run_id",
    "request_id",
    "raw_object",
    "record_index",
    "month",
    "_live",
];

/// A transaction's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionIdentity {
    /// `transaction_key`.
    pub key: String,
    /// The network id.
    pub network: String,
    /// The operator's name for the account.
    pub account: String,
    /// The stream, by its name in the manifest.
    pub stream: String,
    /// `transaction_id`.
    pub id: String,
}

impl fmt::Display for TransactionIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}/{} ({})", self.key, self.network, self.account, self.id, self.stream)
    }
}

/// A field that differs from the version before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The column.
    pub field: String,
    /// Its value in the version before.
    pub before: Option<String>,
    /// Its value in this version.
    pub after: Option<String>,
}

/// A version: its origin, and what it changes.
#[derive(Clone, Debug, Default)]
pub struct Version {
    /// 1, 2, 3 …
    pub version: String,
    /// The cause, as the column `change` names it.
    pub change: String,
    /// Whether the transaction is there by this version; else it is a tombstone.
    pub live: bool,
    /// When it was observed, RFC 3339.
    pub observed_at: String,
    /// The connector that mapped it.
    pub connector: String,
    /// Its version, as its manifest states it.
    pub connector_version: String,
    /// Digest of its file.
    pub connector_digest: String,
    /// The run that fetched its response.
    pub run_id: String,
    /// The id of the request that it was read by.
    pub request_id: String,
    /// Digest of the response's body.
    pub raw_object: String,
    /// The record's place in the response, from 0.
    pub record_index: Option<usize>,
    /// The columns that differ from the version before.
    pub changed: Vec<Changed>,
}

/// A read that did without a transaction, which a further one decides about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// When the window was read, RFC 3339.
    pub first_at: String,
    /// The run that read it.
    pub run_id: String,
}

/// The first read that did without a transaction since its last version; none if there is none.
pub(super) async fn absence(session: &Session, of: &TransactionIdentity) -> Result<Option<Absence>, Failure> {
    let query = format!(
        "SELECT first_absent_at, run_id FROM meta.absent WHERE transaction_key = '{key}' AND first_absent_at >
           (SELECT max(observed_at) FROM unified.transaction_versions WHERE transaction_key = '{key}')",
        key = of.key
    );
    let rows = rows(session, &query).await?;
    let text = |row: &Row, name: &str| value(row, name).unwrap_or_default().to_owned();
    Ok(rows.first().map(|row| Absence { first_at: text(row, "first_absent_at"), run_id: text(row, "run_id") }))
}

/// The transactions that a condition lets through, at most so many, sorted by key.
pub(super) async fn identities(
    session: &Session,
    condition: &str,
    most: usize,
) -> Result<Vec<TransactionIdentity>, Failure> {
    let query = format!(
        "SELECT DISTINCT transaction_key, network, account, stream, transaction_id
         FROM unified.transaction_versions WHERE {condition} ORDER BY transaction_key LIMIT {most}"
    );
    let rows = rows(session, &query).await?;
    let text = |row: &Row, name: &str| value(row, name).unwrap_or_default().to_owned();
    Ok(rows
        .iter()
        .map(|row| TransactionIdentity {
            key: text(row, "transaction_key"),
            network: text(row, "network"),
            account: text(row, "account"),
            stream: text(row, "stream"),
            id: text(row, "transaction_id"),
        })
        .collect())
}

/// The versions of a transaction in order. All fields of the first one count as changed.
pub(super) async fn versions(session: &Session, of: &TransactionIdentity) -> Result<Vec<Version>, Failure> {
    let network = of.network.replace('\'', "''");
    let query = format!(
        "SELECT *, is_live(content_hash) AS _live FROM unified.transaction_versions
         WHERE network = '{network}' AND transaction_key = '{}' ORDER BY version",
        of.key
    );
    let rows = rows(session, &query).await?;
    let nothing = Row::new();
    let before = std::iter::once(&nothing).chain(&rows);
    Ok(rows.iter().zip(before).map(|(row, before)| version(row, before)).collect())
}

fn version(row: &Row, before: &Row) -> Version {
    let text = |name: &str| value(row, name).unwrap_or_default().to_owned();
    let content = row.iter().filter(|(name, _)| !LINEAGE.contains(&name.as_str()));
    let changed = content.filter_map(|(name, after)| {
        let old = value(before, name);
        (old != after.as_deref()).then(|| Changed {
            field: name.clone(),
            before: old.map(str::to_owned),
            after: after.clone(),
        })
    });
    Version {
        changed: changed.collect(),
        version: text("version"),
        change: text("change"),
        live: text("_live") == "true",
        observed_at: text("observed_at"),
        connector: text("connector"),
        connector_version: text("connector_version"),
        connector_digest: text("connector_digest"),
        run_id: text("run_id"),
        request_id: text("request_id"),
        raw_object: text("raw_object"),
        record_index: text("record_index").parse().ok(),
    }
}

/// A row's cells as text, in the table's order.
type Row = Vec<(String, Option<String>)>;

fn value<'a>(row: &'a Row, name: &str) -> Option<&'a str> {
    row.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.as_deref())
}

async fn rows(session: &Session, query: &str) -> Result<Vec<Row>, Failure> {
    let batches = session.query(query).await?.collect().await?;
    let rows: Result<Vec<Vec<Row>>, ArrowError> = batches.iter().map(texts).collect();
    Ok(rows.map_err(Failure::failed)?.into_iter().flatten().collect())
}

/// Decimals with all their digits, times as RFC 3339.
pub(crate) fn texts(batch: &RecordBatch) -> Result<Vec<Row>, ArrowError> {
    let options = FormatOptions::default();
    let schema = batch.schema();
    let mut rows = vec![Row::with_capacity(batch.num_columns()); batch.num_rows()];
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
        for (at, row) in rows.iter_mut().enumerate() {
            let text = column.is_valid(at).then(|| formatter.value(at).try_to_string()).transpose()?;
            row.push((field.name().clone(), text));
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let row = |cells: &[(&str, Option<&str>)]| -> Row {
            cells.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect()
        };
        let before = row(&[("version", Some("1")), ("status", Some("a")), ("order_id", Some("x")), ("money", None)]);
        let after =
            row(&[("version", Some("2")), ("status", Some("b")), ("order_id", Some("x")), ("money", Some("1"))]);
        let changes = version(&after, &before);
        let changed: Vec<_> = changes.changed.iter().map(|changed| changed.field.as_str()).collect();
        assert_eq!((changes.version.as_str(), changed), ("2", vec!["status", "money"]));
        assert_eq!(version(&before, &Row::new()).changed.len(), 2, "a first version has no changed nulls");
    }
}
