//! `sluice sql`, and `runs`, which is a question.

use std::io::Write;

use sluice_lake::Lake;
use sluice_query::{Format, Gap, GapKind, Scope, Session, SessionOptions, StreamAxis};

use sluice_runtime::app::open_lake;
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::Settings;

use super::rfc3339;
use crate::arguments::{RunsArgs, SqlArgs};

/// Gaps that are told under an answer; `sluice status` has all.
const MAX_WARNINGS: usize = 5;

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
    let lake = open_lake(settings).await?;
    let session = over(lake.clone()).await?;
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let result = session.query(&args.query).await?;
    let scope = result.scope().clone();
    sluice_query::write(result, format, &mut out).await?;
    out.flush()?;
    warn_of_halves(&lake, json).await?;
    warn_of_gaps(&session, &scope, json).await
}

/// Says on standard error that tables may not fit together, because a rebuild is between them.
pub(super) async fn warn_of_halves(lake: &Lake, json: bool) -> Result<(), Failure> {
    if !lake.is_half_rebuilt().await? {
        return Ok(());
    }
    let text = "a rebuild is putting new tables in place, or was broken off at that: some may be new and others old";
    let hint = "if no `sluice build --from-raw` is running, run it again";
    let mut err = std::io::stderr().lock();
    match json {
        true => writeln!(err, "{}", serde_json::json!({"warning": text, "hint": hint}))?,
        false => writeln!(err, "warning: {text}\nhint: {hint}")?,
    }
    Ok(())
}

/// Says on standard error which windows the answer may lack rows of.
async fn warn_of_gaps(session: &Session, scope: &Scope, json: bool) -> Result<(), Failure> {
    if scope.is_empty() {
        return Ok(());
    }
    let coverage = session.coverage().await?;
    let touched = coverage.iter().filter(|stream| scope.holds(&stream.of));
    let gaps: Vec<String> =
        touched.flat_map(|stream| stream.gaps.iter().map(|gap| warning(&stream.of, gap, json))).collect();
    let mut err = std::io::stderr().lock();
    for gap in gaps.iter().take(MAX_WARNINGS) {
        writeln!(err, "{gap}")?;
    }
    if gaps.len() > MAX_WARNINGS && !json {
        writeln!(err, "warning: and {} more", gaps.len() - MAX_WARNINGS)?;
    }
    if !gaps.is_empty() && !json {
        writeln!(err, "hint: `sluice status` shows what is missing, and how to read it")?;
    }
    Ok(())
}

fn warning(of: &StreamAxis, gap: &Gap, json: bool) -> String {
    let StreamAxis { network, account, stream, axis } = of;
    let (since, until) = (rfc3339(gap.window.since), rfc3339(gap.window.until));
    let what = match gap.kind {
        GapKind::NeverRead => "was never read",
        GapKind::Failed => "failed when it was last read",
    };
    let text = format!("rows of {network} {account} may be missing: {since} to {until} of {stream} by {axis} {what}");
    if json {
        return serde_json::json!({
            "warning": text, "network": network, "account": account, "stream": stream, "axis": axis,
            "since": since, "until": until, "kind": gap.kind.name(),
        })
        .to_string();
    }
    format!("warning: {text}")
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
    over(open_lake(settings).await?).await
}

/// A session over a lake's tables as they are now.
///
/// # Errors
/// The lake's failure.
pub(super) async fn over(lake: Lake) -> Result<Session, Failure> {
    let tables = lake.tables().await?;
    Ok(Session::open(lake, tables, SessionOptions::default())?)
}
