//! `sluice tables`: the lake's tables, and what registers them in other engines.

use std::io::Write;

use serde_json::{Value, json};
use sluice_outlets::{Dialect, Names, registration};
use sluice_runtime::app::open_lake;
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::Settings;

use super::print_json;
use crate::arguments::TablesArgs;

/// Lists the tables, or prints statements.
///
/// # Errors
/// The lake's failure; an engine that can't read where the lake is.
pub(super) async fn tables(settings: &Settings, args: &TablesArgs, json: bool) -> Result<(), Failure> {
    let lake = open_lake(settings).await?;
    let tables = lake.tables().await?;
    let mut out = std::io::stdout();
    let Some(dialect) = args.ddl.as_deref().and_then(Dialect::named) else {
        if json {
            let row = |table: &sluice_lake::TableRef| json!({"schema": table.schema, "name": table.name, "url": table.url.as_str()});
            return print_json(&tables.iter().map(row).collect::<Vec<Value>>());
        }
        for table in tables {
            writeln!(out, "{}.{}  {}", table.schema, table.name, table.url)?;
        }
        return Ok(());
    };
    if tables.is_empty() {
        return Err(Failure::usage("the lake has no tables yet").hint("run a network first: sluice run NETWORK"));
    }
    let mut columns = Vec::with_capacity(tables.len());
    for table in tables {
        let of_table = lake.table_columns(&table).await?;
        columns.push((table, of_table));
    }
    let names = Names { prefix: args.prefix.clone(), connection: args.connection.clone() };
    let found = registration(dialect, lake.url(), &columns, &names)?;
    if json {
        let (notes, statements) = (&found.notes, &found.statements);
        return print_json(&json!({"engine": dialect.name(), "notes": notes, "statements": statements}));
    }
    Ok(write!(out, "{}", found.script())?)
}
