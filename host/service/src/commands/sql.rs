//! `sluice sql`, and the commands that are questions: `runs` and `status`.

use std::io::Write;

use sluice_query::{Format, Session, SessionOptions};

use crate::app::open_lake;
use crate::cli::{RunsArgs, SqlArgs};
use crate::failure::Failure;
use crate::settings::Settings;

/// Asks the lake.
///
/// # Errors
/// What is wrong with the query, or the lake.
pub(super) async fn sql(settings: &Settings, args: &SqlArgs, json: bool) -> Result<(), Failure> {
    let default = if json { Format::Json } else { Format::Table };
    let format = match &args.format {
        None => default,
        Some(name) => name
            .parse()
            .map_err(|_| Failure::usage(format!("`{name}` is no format")).hint("write table, csv, json or parquet"))?,
    };
    print(settings, &args.query, format).await
}

/// Lists runs.
///
/// # Errors
/// The lake's failure.
pub(super) async fn runs(settings: &Settings, args: &RunsArgs, json: bool) -> Result<(), Failure> {
    let only = args.network.as_ref().map(|name| format!("WHERE network = '{}'", name.replace('\'', "''")));
    let query = format!(
        "SELECT run_id, network, command, outcome, started_at, finished_at, slices, slices_failed, requests,
                native_rows AS records, new_versions, rejects, error
         FROM meta.runs {} ORDER BY started_at DESC LIMIT {}",
        only.unwrap_or_default(),
        args.limit
    );
    print(settings, &query, if json { Format::Json } else { Format::Table }).await
}

/// Says when each stream of each account was last read, how far, and whether the last read failed.
///
/// # Errors
/// The lake's failure.
pub(super) async fn status(settings: &Settings, json: bool) -> Result<(), Failure> {
    let query = "
        SELECT network, account, stream, axis,
               max(read_at) FILTER (WHERE complete) AS last_read_at,
               max(until) FILTER (WHERE complete) AS read_until,
               count(*) FILTER (WHERE NOT complete) AS failed_slices,
               max(read_at) FILTER (WHERE NOT complete) AS last_failed_at
        FROM meta.coverage GROUP BY network, account, stream, axis ORDER BY network, account, stream, axis";
    print(settings, query, if json { Format::Json } else { Format::Table }).await
}

async fn print(settings: &Settings, query: &str, format: Format) -> Result<(), Failure> {
    let session = open(settings).await?;
    let mut out = std::io::BufWriter::new(std::io::stdout());
    answer(&session, query, format, &mut out).await?;
    Ok(out.flush()?)
}

/// Writes the answer to a query.
///
/// # Errors
/// What is wrong with the query, or the lake.
pub(super) async fn answer(
    session: &Session,
    query: &str,
    format: Format,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let result = session.query(query).await?;
    sluice_query::write(result, format, out).await?;
    Ok(())
}

/// A session over the lake's tables as they are now.
///
/// # Errors
/// The lake's failure.
pub(super) async fn open(settings: &Settings) -> Result<Session, Failure> {
    let lake = open_lake(settings).await?;
    let tables = lake.tables().await?;
    Ok(Session::open(lake, tables, SessionOptions::default())?)
}
