//! `sluice sql`, and `runs`, which is a query.

use std::collections::BTreeMap;
use std::io::Write;

use sluice_lake::{DoubtRow, Lake};
use sluice_query::{Format, Gap, GapKind, Scope, Session, StreamAxis};

use sluice_runtime::app::{open_lake, open_limited_session, open_session};
use sluice_runtime::failure::Failure;
use sluice_runtime::query_watch::QueryWatch;
use sluice_runtime::settings::Settings;
use sluice_runtime::status::{self, OpenRejects};
use sluice_runtime::text::{count, is_are};

use super::rfc3339;
use crate::arguments::{RunsArgs, SqlArgs};

/// Gaps that are listed under a result; `sluice status` has all.
const MAX_WARNINGS: usize = 5;

/// Runs a query against the lake.
///
/// # Errors
/// What is wrong with the query, or the lake.
pub(super) async fn sql(settings: &Settings, args: &SqlArgs, json: bool) -> Result<(), Failure> {
    let default = if json { Format::Json } else { Format::Table };
    let format = match &args.format {
        None => default,
        Some(name) => name.parse().map_err(|_| {
            Failure::usage(format!("`{name}` is not a format")).hint("write table, csv, json, parquet or arrow")
        })?,
    };
    let lake = open_lake(settings).await?;
    let session = open_limited_session(lake.clone(), settings).await?;
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let watch = watch(settings, json);
    let result = session.query(&args.query).await?;
    let scope = result.scope().clone();
    sluice_query::write(result, format, &mut out).await?;
    drop(watch);
    out.flush()?;
    if lake.is_half_rebuilt().await? {
        warn_of_halves(json)?;
    }
    warn_of_doubts(&lake, &scope, json).await?;
    warn_of_gaps(&session, &scope, json).await?;
    warn_of_rejects(&lake, &scope, json).await
}

/// Ends the process, with the failure that says so, when a query takes more than it may.
pub(super) fn watch(settings: &Settings, json: bool) -> QueryWatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "the query doesn't pause to be ended, and nothing was taken to write"
    )]
    QueryWatch::start(&settings.limits, move |failure| {
        let code = crate::failed(&failure, json);
        std::process::exit(code.into());
    })
}

/// Warns on standard error of answers that are held back, and that the result may lack.
async fn warn_of_doubts(lake: &Lake, scope: &Scope, json: bool) -> Result<(), Failure> {
    if scope.is_empty() {
        return Ok(());
    }
    let mut open = status::open_doubts(lake).await?;
    open.retain(|doubt| {
        let (network, account) = (doubt.network.clone(), doubt.account.clone());
        scope.holds(&StreamAxis { network, account, stream: doubt.stream.clone(), axis: doubt.axis.clone() })
    });
    let mut err = std::io::stderr().lock();
    for doubt in open.iter().take(MAX_WARNINGS) {
        let DoubtRow { doubt_id, network, account, stream, reason, .. } = doubt;
        let (since, until) = (rfc3339(doubt.window.since), rfc3339(doubt.window.until));
        let text =
            format!("rows of {network} {account} are held back: {since} to {until} of {stream} is doubtful: {reason}");
        match json {
            true => writeln!(err, "{}", serde_json::json!({"warning": text, "doubt_id": doubt_id}))?,
            false => writeln!(err, "warning: {text}")?,
        }
    }
    if open.len() > MAX_WARNINGS && !json {
        writeln!(err, "warning: and {} more", open.len() - MAX_WARNINGS)?;
    }
    if let (Some(doubt), false) = (open.first(), json) {
        writeln!(err, "hint: sluice doubts show {}", doubt.doubt_id)?;
    }
    Ok(())
}

/// Warns on standard error that tables may not fit together, because a rebuild is replacing them.
pub(super) fn warn_of_halves(json: bool) -> Result<(), Failure> {
    let text = "a rebuild is putting new tables in place, or was interrupted at that: some may be new and others old";
    let hint = "unless a `sluice build --from-raw` is running, start one";
    let mut err = std::io::stderr().lock();
    match json {
        true => writeln!(err, "{}", serde_json::json!({"warning": text, "hint": hint}))?,
        false => writeln!(err, "warning: {text}\nhint: {hint}")?,
    }
    Ok(())
}

/// Warns on standard error of records of the streams that were read which could not be mapped.
async fn warn_of_rejects(lake: &Lake, scope: &Scope, json: bool) -> Result<(), Failure> {
    if scope.is_empty() {
        return Ok(());
    }
    let mut networks: BTreeMap<String, u64> = BTreeMap::new();
    for OpenRejects { network, account, stream, count } in status::by_stream(&lake.open_rejects(None).await?) {
        let of = StreamAxis { network: network.clone(), account, stream, axis: String::new() };
        if scope.holds(&of) {
            *networks.entry(network).or_default() += count;
        }
    }
    let mut err = std::io::stderr().lock();
    for (network, number) in &networks {
        let text =
            format!("{} of {network} could not be mapped and {} missing", count(*number, "record"), is_are(*number));
        match json {
            true => {
                writeln!(err, "{}", serde_json::json!({"warning": text, "network": network, "open_rejects": number}))?
            }
            false => writeln!(err, "warning: {text}")?,
        }
    }
    if !networks.is_empty() && !json {
        writeln!(err, "hint: `sluice rejects` shows the records and why")?;
    }
    Ok(())
}

/// Warns on standard error of windows that the result may lack rows of.
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
        writeln!(err, "hint: `sluice status` shows what is missing and the commands that read it")?;
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
    let session = open_session(open_lake(settings).await?).await?;
    let mut out = std::io::BufWriter::new(std::io::stdout());
    answer(&session, &query, if json { Format::Json } else { Format::Table }, &mut out).await?;
    Ok(out.flush()?)
}

/// Writes the result of a query.
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
