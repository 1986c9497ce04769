//! Statements that register the lake's Delta tables in other engines, in each one's own way.
//!
//! Names of schemas and tables are lower-case letters, digits and `_`; they are quoted all the same, since some are
//! reserved words somewhere.

mod dialect;
mod spectrum;

use sluice_lake::{TableColumns, TableRef};
use url::Url;

pub use dialect::Dialect;

use crate::error::Error;

/// What the operator's own names are in the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Put before the names of schemas, such as `sluice_`.
    pub prefix: String,
    /// What the engine reads the bucket by, see [`Dialect::connection`]; its default without.
    pub connection: Option<String>,
}

/// Statements that register tables, to be run in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// What has to be there before, one line each.
    pub notes: Vec<String>,
    /// The statements, without a semicolon.
    pub statements: Vec<String>,
}

impl Registration {
    /// A script: the notes as comments, then the statements.
    pub fn script(&self) -> String {
        let notes = self.notes.iter().map(|note| format!("-- {note}\n"));
        let statements = self.statements.iter().map(|statement| format!("{statement};\n"));
        notes.chain(statements).collect()
    }
}

/// The statements that register these tables of the lake at `lake` in an engine.
///
/// # Errors
/// [`Error::Unreachable`] for an engine that can't read where the lake is; [`Error::Name`] for a name that could end a
/// quoted one.
pub fn registration(
    dialect: Dialect,
    lake: &Url,
    tables: &[(TableRef, TableColumns)],
    names: &Names,
) -> Result<Registration, Error> {
    if lake.scheme() == "file" && !dialect.reads_files() {
        return Err(Error::Unreachable { dialect: dialect.name(), url: lake.to_string() });
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-. :/+=@".contains(c);
    for name in [Some(&names.prefix), names.connection.as_ref()].into_iter().flatten() {
        if !name.chars().all(is_plain) {
            return Err(Error::Name { name: name.clone() });
        }
    }
    let connection = names.connection.as_deref().unwrap_or(dialect.connection());
    let mut registration =
        Registration { notes: dialect.notes(lake, connection), statements: dialect.set_up(lake, connection) };
    let mut last = None;
    for (table, columns) in tables {
        let schema = format!("{}{}", names.prefix, table.schema);
        if last.as_ref() != Some(&schema) {
            registration.statements.push(dialect.schema(&schema, connection));
            last = Some(schema.clone());
        }
        registration.statements.extend(dialect.table(&schema, table, columns, lake, connection));
    }
    Ok(registration)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use sluice_model::unified::transaction_versions_schema;

    use super::*;

    fn tables(lake: &str) -> Vec<(TableRef, TableColumns)> {
        let lake = Url::parse(lake).unwrap();
        let table = |schema: &str, name: &str| TableRef {
            schema: schema.to_owned(),
            name: name.to_owned(),
            url: lake.join(&format!("tables/{schema}/{name}/")).unwrap(),
        };
        let flat = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, true),
            Field::new("is_paid", DataType::Boolean, true),
            Field::new("ratio", DataType::Float64, true),
            Field::new("_content_hash", DataType::Binary, false),
        ]));
        let partition = [("network".to_owned(), "awin".to_owned()), ("month".to_owned(), "2026-01".to_owned())];
        let parted = TableColumns {
            schema: transaction_versions_schema(),
            partitioned_by: vec!["network".to_owned(), "month".to_owned()],
            partitions: [partition.into()].into(),
        };
        let flat = TableColumns { schema: flat, partitioned_by: Vec::new(), partitions: BTreeSet::new() };
        vec![(table("awin", "transactions"), flat), (table("unified", "transactions"), parted)]
    }

    #[test]
    fn each_dialect_registers_tables_in_its_own_way() {
        for dialect in Dialect::ALL {
            for lake in ["s3://bucket/lake/", "file:///srv/lake/"] {
                let url = Url::parse(lake).unwrap();
                let place = url.scheme();
                match registration(*dialect, &url, &tables(lake), &Names::default()) {
                    Ok(found) => insta::assert_snapshot!(format!("{}_{place}", dialect.name()), found.script()),
                    Err(error) => {
                        assert!(place == "file" && matches!(error, Error::Unreachable { .. }), "{error}");
                    }
                }
            }
        }
    }

    #[test]
    fn names_of_the_operator_can_not_end_a_quoted_one() {
        let (url, tables) = (Url::parse("s3://bucket/lake/").unwrap(), tables("s3://bucket/lake/"));
        let named = |prefix: &str, connection: &str| {
            let names = Names { prefix: prefix.to_owned(), connection: Some(connection.to_owned()) };
            registration(Dialect::BigQuery, &url, &tables, &names)
        };
        let found = named("sluice_", "eu.lake").unwrap().script();
        assert!(found.contains("`sluice_unified`.`transactions` WITH CONNECTION `eu.lake`"), "{found}");
        for (prefix, connection) in [("a`; DROP", "x"), ("", "x'"), ("\"", "x")] {
            assert!(matches!(named(prefix, connection), Err(Error::Name { .. })), "{prefix} {connection}");
        }
    }
}
