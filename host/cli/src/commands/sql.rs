//! `sluice sql`, and `runs`, which is a query.

mod missing;

use std::io::Write;

use serde_json::json;
use sluice_query::{Format, Scope, Session};

use sluice_runtime::app::{open_lake, open_limited_session, open_session};
use sluice_runtime::failure::Failure;
use sluice_runtime::missing::Missing;
use sluice_runtime::query_watch::QueryWatch;
use sluice_runtime::settings::Settings;

use crate::arguments::{RunsArgs, SqlArgs};

use missing::warn;
pub(super) use missing::warn_of_rebuild;

/// Runs queries against the lake.
///
/// # Errors
/// What is wrong with a query, or the lake.
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
    let watch = query_watch(settings, json);
    if args.batch {
        let answered = answer_all(&session, &args.queries).await?;
        drop(watch);
        let missing = Missing::load(&lake, &session, answered.iter().any(Answered::is_of_streams)).await?;
        return print_all(answered, &missing);
    }
    let [query] = args.queries.as_slice() else {
        return Err(Failure::usage("there are several queries").hint("add --batch, or quote a query as one word"));
    };
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let result = session.query(query).await?;
    let scope = result.scope().clone();
    sluice_query::write(result, format, &mut out).await?;
    drop(watch);
    out.flush()?;
    warn(&Missing::load(&lake, &session, !scope.is_empty()).await?, &scope, json)
}

/// Ends the process, with the failure that says so, when a query takes more than it may.
pub(super) fn query_watch(settings: &Settings, json: bool) -> QueryWatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "the query doesn't pause to be ended, and nothing was taken to write"
    )]
    QueryWatch::start(&settings.limits, move |failure| {
        let code = crate::failed(&failure, json);
        std::process::exit(code.into());
    })
}

/// The result of one of several queries: its rows as JSON, and the streams that they may be of.
struct Answered(Result<(Vec<u8>, Scope), Failure>);

impl Answered {
    fn is_of_streams(&self) -> bool {
        self.0.as_ref().is_ok_and(|(_, scope)| !scope.is_empty())
    }
}

/// Runs queries side by side, under the limits of one.
async fn answer_all(session: &Session, queries: &[String]) -> Result<Vec<Answered>, Failure> {
    let start = |query: &String| {
        let (session, query) = (session.clone(), query.clone());
        tokio::spawn(async move {
            let result = session.query(&query).await?;
            let (scope, mut rows) = (result.scope().clone(), Vec::new());
            sluice_query::write(result, Format::Json, &mut rows).await?;
            Ok::<_, Failure>((rows, scope))
        })
    };
    let tasks: Vec<_> = queries.iter().map(start).collect();
    let mut answered = Vec::with_capacity(tasks.len());
    for task in tasks {
        answered.push(Answered(task.await.map_err(Failure::failed)?));
    }
    Ok(answered)
}

/// Prints an array with an object for each query: its `rows`, the `warnings` of what they may lack, or its `error`. Fails
/// with the first error.
fn print_all(answered: Vec<Answered>, missing: &Missing) -> Result<(), Failure> {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let mut first = None;
    write!(out, "[")?;
    for (at, Answered(result)) in answered.into_iter().enumerate() {
        write!(out, "{}", if at == 0 { "" } else { "," })?;
        match result {
            Ok((rows, scope)) => {
                // As they were written, so that no digit is lost.
                write!(out, "{{\"rows\":")?;
                out.write_all(rows.trim_ascii())?;
                write!(out, ",\"warnings\":{},\"error\":null}}", json!(missing.warnings(&scope)))?;
            }
            Err(failure) => {
                write!(out, "{{\"rows\":[],\"warnings\":[],\"error\":{}}}", failure.render(true))?;
                first.get_or_insert(failure);
            }
        }
    }
    writeln!(out, "]")?;
    out.flush()?;
    first.map_or(Ok(()), Err)
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
