//! The engines, and how each of them registers a Delta table.

use sluice_lake::{TableColumns, TableRef};
use url::Url;

use super::spectrum;

/// An engine that reads Delta tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Amazon Athena, with the Glue catalogue.
    Athena,
    /// Amazon Redshift Spectrum.
    RedshiftSpectrum,
    /// Trino, with its connector `delta_lake`.
    Trino,
    /// Apache Spark, with Delta Lake.
    Spark,
    /// Databricks.
    Databricks,
    /// DuckDB, with its extension `delta`.
    DuckDb,
    /// ClickHouse.
    ClickHouse,
    /// Snowflake, as Iceberg tables over Delta files.
    Snowflake,
    /// Google BigQuery, as BigLake tables.
    BigQuery,
}

/// The default name of what an engine reads the bucket by.
const CONNECTION: &str = "sluice";

impl Dialect {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Athena,
        Self::RedshiftSpectrum,
        Self::Trino,
        Self::Spark,
        Self::Databricks,
        Self::DuckDb,
        Self::ClickHouse,
        Self::Snowflake,
        Self::BigQuery,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Athena => "athena",
            Self::RedshiftSpectrum => "redshift-spectrum",
            Self::Trino => "trino",
            Self::Spark => "spark",
            Self::Databricks => "databricks",
            Self::DuckDb => "duckdb",
            Self::ClickHouse => "clickhouse",
            Self::Snowflake => "snowflake",
            Self::BigQuery => "bigquery",
        }
    }

    /// The dialect that the command line calls so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|dialect| dialect.name() == name)
    }

    /// The default of [`super::Names::connection`]: Trino's catalogue, Snowflake's external volume, BigQuery's connection,
    /// the role of Redshift.
    pub fn connection(self) -> &'static str {
        match self {
            Self::Trino => "delta",
            Self::BigQuery => "aws-us-east-1.sluice",
            Self::RedshiftSpectrum => "default",
            _ => CONNECTION,
        }
    }

    /// Whether it reads files of its own machine.
    pub(super) fn reads_files(self) -> bool {
        matches!(self, Self::Trino | Self::Spark | Self::Databricks | Self::DuckDb | Self::ClickHouse)
    }

    /// What has to be there before.
    pub(super) fn notes(self, lake: &Url, connection: &str) -> Vec<String> {
        let notes: &[&str] = match self {
            Self::Athena => &["Athena reads the newest snapshot at each query."],
            Self::RedshiftSpectrum => &[
                "Redshift Spectrum reads Delta tables by manifests, which Sluice doesn't write. After commits, run in Spark:",
                "  GENERATE symlink_format_manifest FOR TABLE delta.`<location of the table>`",
            ],
            Self::Trino => {
                &["The catalogue uses the connector delta_lake, with delta.register-table-procedure.enabled=true."]
            }
            Self::Spark => &["The session has the package io.delta:delta-spark and Delta's catalogue and extension."],
            Self::Databricks => &["An external location of Unity Catalog covers the bucket."],
            Self::DuckDb => &["The views read the newest snapshot at each query."],
            Self::ClickHouse => &["ClickHouse finds credentials for the bucket in its environment or its settings."],
            Self::Snowflake => &[
                "The external volume's base URL is the lake's; its role reads the bucket.",
                "AUTO_REFRESH follows commits.",
            ],
            Self::BigQuery => &["The connection reads the bucket, and is in the datasets' location."],
        };
        let head = format!("Tables of {lake} for {}.", self.name());
        let named = matches!(self, Self::Trino | Self::Snowflake | Self::BigQuery);
        let named = named.then(|| format!("Catalogue, volume or connection: {connection} (--connection)."));
        std::iter::once(head).chain(named).chain(notes.iter().map(|note| (*note).to_owned())).collect()
    }

    /// Statements before the first table.
    pub(super) fn set_up(self, lake: &Url, connection: &str) -> Vec<String> {
        let all: &[&str] = match self {
            Self::DuckDb if lake.scheme() == "file" => &["INSTALL delta", "LOAD delta"],
            Self::DuckDb => &[
                "INSTALL delta",
                "LOAD delta",
                "INSTALL httpfs",
                "LOAD httpfs",
                "INSTALL aws",
                "LOAD aws",
                "CREATE OR REPLACE SECRET sluice (TYPE s3, PROVIDER credential_chain)",
            ],
            Self::Snowflake => {
                return vec![format!(
                    "CREATE CATALOG INTEGRATION IF NOT EXISTS {connection}_delta CATALOG_SOURCE = OBJECT_STORE \
                     TABLE_FORMAT = DELTA ENABLED = TRUE"
                )];
            }
            _ => &[],
        };
        all.iter().map(|statement| (*statement).to_owned()).collect()
    }

    /// The statement that makes a schema.
    pub(super) fn schema(self, schema: &str, connection: &str) -> String {
        match self {
            Self::Athena | Self::Spark | Self::Databricks | Self::BigQuery => {
                format!("CREATE SCHEMA IF NOT EXISTS `{schema}`")
            }
            Self::RedshiftSpectrum => spectrum::schema(schema, connection),
            Self::Trino => format!("CREATE SCHEMA IF NOT EXISTS \"{connection}\".\"{schema}\""),
            Self::DuckDb => format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\""),
            Self::ClickHouse => format!("CREATE DATABASE IF NOT EXISTS `{schema}`"),
            Self::Snowflake => format!("CREATE SCHEMA IF NOT EXISTS \"{}\"", schema.to_uppercase()),
        }
    }

    /// The statements that make a table of the lake a table here.
    pub(super) fn table(
        self,
        schema: &str,
        table: &TableRef,
        columns: &TableColumns,
        lake: &Url,
        connection: &str,
    ) -> Vec<String> {
        let (name, url) = (&table.name, literal(table.url.as_str()));
        let statement = match self {
            Self::Athena => format!(
                "CREATE EXTERNAL TABLE IF NOT EXISTS `{schema}`.`{name}` LOCATION {url} \
                 TBLPROPERTIES ('table_type' = 'DELTA')"
            ),
            Self::RedshiftSpectrum => return spectrum::table(schema, table, columns),
            Self::Trino => format!(
                "CALL \"{connection}\".system.register_table(schema_name => '{schema}', table_name => '{name}', \
                 table_location => {url})"
            ),
            Self::Spark => {
                let url = literal(&table.url.as_str().replacen("s3://", "s3a://", 1));
                format!("CREATE TABLE IF NOT EXISTS `{schema}`.`{name}` USING DELTA LOCATION {url}")
            }
            Self::Databricks => format!("CREATE TABLE IF NOT EXISTS `{schema}`.`{name}` USING DELTA LOCATION {url}"),
            Self::DuckDb => {
                format!("CREATE OR REPLACE VIEW \"{schema}\".\"{name}\" AS SELECT * FROM delta_scan({url})")
            }
            Self::ClickHouse => {
                let engine = match table.url.to_file_path() {
                    Ok(path) => format!("DeltaLakeLocal({})", literal(&path.display().to_string())),
                    Err(()) => format!("DeltaLake({url})"),
                };
                format!("CREATE TABLE IF NOT EXISTS `{schema}`.`{name}` ENGINE = {engine}")
            }
            Self::Snowflake => format!(
                "CREATE ICEBERG TABLE IF NOT EXISTS \"{}\".\"{}\" EXTERNAL_VOLUME = '{connection}' \
                 CATALOG = '{connection}_delta' BASE_LOCATION = {} AUTO_REFRESH = TRUE",
                schema.to_uppercase(),
                name.to_uppercase(),
                literal(table.url.as_str().strip_prefix(lake.as_str()).unwrap_or(table.url.path())),
            ),
            Self::BigQuery => {
                let url = literal(table.url.as_str().trim_end_matches('/'));
                format!(
                    "CREATE EXTERNAL TABLE IF NOT EXISTS `{schema}`.`{name}` WITH CONNECTION `{connection}` \
                     OPTIONS (format = 'DELTA_LAKE', uris = [{url}])"
                )
            }
        };
        vec![statement]
    }
}

/// A text in SQL. What of a URL could end it is escaped in the URL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
