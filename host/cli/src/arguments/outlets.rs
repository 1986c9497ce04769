//! How other systems get at the lake's tables.

use clap::Args;
use clap::builder::PossibleValuesParser;
use sluice_outlets::Dialect;

/// Which databases.
#[derive(Args)]
pub(crate) struct PublishArgs {
    /// Only this database: the name of its table under [publish] [default: all]
    pub(crate) database: Option<String>,
    /// Make the tables anew, whatever they have
    #[arg(long)]
    pub(crate) rebuild: bool,
}

/// Where tables are registered.
#[derive(Args)]
pub(crate) struct TablesArgs {
    /// Print the statements that register the tables in this engine
    #[arg(long, value_name = "ENGINE", value_parser = engines())]
    pub(crate) ddl: Option<String>,
    /// Put this before the names of schemas
    #[arg(long, requires = "ddl", default_value = "")]
    pub(crate) prefix: String,
    /// What the engine reads the bucket by: Trino's catalogue, Snowflake's external volume, BigQuery's connection, Redshift's
    /// role
    #[arg(long, requires = "ddl")]
    pub(crate) connection: Option<String>,
}

fn engines() -> PossibleValuesParser {
    PossibleValuesParser::new(Dialect::ALL.iter().map(|dialect| dialect.name()))
}
