//! A script that publishes the newest snapshot to Amazon Redshift: it copies the lake's own files from S3 and merges them.
//!
//! Nothing is sent through this machine, and running it again changes nothing. A file's columns are named, since files of
//! earlier versions have fewer, and those of its partition, which aren't in the file, are set after each copy.

use std::fmt::Write;

use arrow::datatypes::{DataType, Field, Schema};
use sluice_model::Fact;

use super::columns::quoted;
use super::{Publication, PublishedTable};

/// A data file of a table of versions on S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredFile {
    /// Where it is.
    pub(super) url: String,
    /// The columns that it has, in their order.
    pub(super) columns: Vec<String>,
    /// The columns that it hasn't, with their values.
    pub(super) partition: Vec<(String, String)>,
}

/// The script, in one transaction.
pub(super) fn script(
    publication: &Publication,
    fact: Fact,
    columns: &Schema,
    files: &[StoredFile],
    version: u64,
) -> String {
    let schema = quoted(&publication.schema);
    let mut script = format!("BEGIN;\nCREATE SCHEMA IF NOT EXISTS {schema};\n");
    let definitions: Vec<String> = columns.fields().iter().map(|field| definition(field)).collect();
    let definitions = definitions.join(", ");
    let (key, staged) = (quoted(fact.key()), staged(fact));
    for table in publication.tables_of(fact) {
        let name = format!("{schema}.{}", quoted(table.name()));
        line(&mut script, &format!("CREATE TABLE IF NOT EXISTS {name} ({definitions}) DISTKEY ({key})"));
    }
    line(&mut script, &format!("CREATE TEMPORARY TABLE {staged} ({definitions})"));
    for file in files {
        let names: Vec<String> = file.columns.iter().map(|name| quoted(name)).collect();
        let copy = format!(
            "COPY {staged} ({}) FROM {} IAM_ROLE default FORMAT AS PARQUET SERIALIZETOJSON",
            names.join(", "),
            literal(&file.url)
        );
        line(&mut script, &copy);
        if let Some((first, _)) = file.partition.first() {
            let set: Vec<String> =
                file.partition.iter().map(|(name, value)| format!("{} = {}", quoted(name), literal(value))).collect();
            let set = set.join(", ");
            line(&mut script, &format!("UPDATE {staged} SET {set} WHERE {} IS NULL", quoted(first)));
        }
    }
    for table in publication.tables_of(fact) {
        merge(&mut script, table, &format!("{schema}.{}", quoted(table.name())), columns);
    }
    let _ = write!(script, "COMMIT;\n-- Version {version} of unified.{}.\n", fact.versions());
    script
}

/// Where files of a kind of facts are copied to: a session has the scripts of all kinds.
fn staged(fact: Fact) -> String {
    if fact == Fact::Transactions { "sluice_staged".to_owned() } else { format!("sluice_staged_{}", fact.view()) }
}

/// What the snapshot doesn't have goes, and what the table doesn't have comes.
fn merge(script: &mut String, table: PublishedTable, name: &str, columns: &Schema) {
    let list: Vec<String> = columns.fields().iter().map(|field| quoted(field.name())).collect();
    let list = list.join(", ");
    let (key, staged) = (quoted(table.fact().key()), staged(table.fact()));
    let source = if table.is_latest() {
        let latest = staged.replace("staged", "latest");
        let ranked = format!(
            "SELECT {list}, row_number() OVER (PARTITION BY {key} ORDER BY \"version\" DESC) AS place FROM {staged}"
        );
        line(
            script,
            &format!("CREATE TEMPORARY TABLE {latest} AS SELECT {list} FROM ({ranked}) AS ranked WHERE place = 1"),
        );
        latest
    } else {
        staged
    };
    let same =
        |one: &str, other: &str| format!("{one}.{key} = {other}.{key} AND {one}.\"version\" = {other}.\"version\"");
    let gone = same(&source, name);
    line(script, &format!("DELETE FROM {name} WHERE NOT EXISTS (SELECT 1 FROM {source} WHERE {gone})"));
    let known = same(name, &source);
    let new = format!("SELECT {list} FROM {source} WHERE NOT EXISTS (SELECT 1 FROM {name} WHERE {known})");
    line(script, &format!("INSERT INTO {name} ({list}) {new}"));
}

fn line(script: &mut String, statement: &str) {
    script.push_str(statement);
    script.push_str(";\n");
}

fn definition(field: &Field) -> String {
    format!("{} {}", quoted(field.name()), column_type(field.data_type()))
}

/// Texts as long as Redshift has them; amounts stay exact.
fn column_type(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Timestamp(..) => "timestamptz",
        DataType::Date32 => "date",
        DataType::Decimal128(precision, scale) => return format!("decimal({precision}, {scale})"),
        DataType::Boolean => "boolean",
        DataType::Int32 => "integer",
        DataType::Int64 => "bigint",
        DataType::Float64 => "double precision",
        DataType::Binary => "varbyte(1024)",
        DataType::Map(..) => "super",
        _ => "varchar(65535)",
    };
    name.to_owned()
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use sluice_model::unified::transaction_versions_schema;

    use super::*;

    #[test]
    fn the_script_copies_files_from_s3_and_merges_them() {
        let schema = transaction_versions_schema();
        let parted = ["network", "month"];
        let columns: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let columns = columns.into_iter().filter(|name| !parted.contains(&name.as_str())).collect::<Vec<_>>();
        let file = |month: &str| StoredFile {
            url: format!(
                "s3://bucket/lake/tables/unified/transaction_versions/network=awin/month={month}/part-0.parquet"
            ),
            columns: columns.clone(),
            partition: vec![("network".to_owned(), "awin".to_owned()), ("month".to_owned(), month.to_owned())],
        };
        let files = [file("2026-01"), file("2026-02")];
        insta::assert_snapshot!(script(&Publication::default(), Fact::Transactions, &schema, &files, 7));
        let payments = script(&Publication::default(), Fact::Payments, &Fact::Payments.versions_schema(), &[], 3);
        for words in ["\"payments\" (", "\"payment_versions\" (", "DISTKEY (\"payment_key\")", "sluice_latest_payments"]
        {
            assert!(payments.contains(words), "{payments}");
        }
        assert!(
            !payments.contains("\"transactions\"") && payments.ends_with("of unified.payment_versions.\n"),
            "{payments}"
        );
    }
}
