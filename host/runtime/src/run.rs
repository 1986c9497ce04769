//! A run: plan → collect → build → publish what happened. Each stage is one call in this file.
//!
//! A run is recorded in the state store before it sends anything, and removed from it when `meta.runs` has it. An
//! interrupted run is resumed under its own id: what it kept in raw is not requested again. A run of the schedule is
//! recorded, and waits in the queue, before anybody works on it; it may be of a part of its network's accounts.

mod amounts;
mod cursors;
mod held;
mod report;
mod wide;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use sluice_lake::{Counts, Covered};
use sluice_model::{ErrorKind, Step, describe};
use sluice_query::Session;
use sluice_state::{Claim, NotedRun, RunEnd, Selection, Verb};

pub use amounts::MoneyChanges;
pub use report::{RunFailure, RunReport, VersionCounts};

use crate::app::{App, Network, fence};
use crate::claims::Claims;
use crate::collect::{Collected, Collector, Guard, ResponseBounds, ResumedResponses, collect};
use crate::failure::{Failure, SliceError};
use crate::meter::Unit;
use crate::network::look_back_rules;
use crate::settings::look_back::LookBackRule;
use crate::slice_done::{SliceDone, coverage};
use crate::slices::{self, Jobs};
use crate::widths::Widths;
use crate::{adaptive, duplicates, guests, identity, pauses, record, step, tables, widths};

/// Responses of one run in memory at once.
const RESPONSES_AT_ONCE: usize = 12;
/// How often a run is begun without keeping one more response, before it is given up.
const MAX_STARTS: u32 = 3;
/// How long after its beginning a run whose starts end in an error, as while the lake can't be written, isn't given up.
const ERRORS_FORGIVEN: TimeDelta = TimeDelta::days(1);

/// Reads a network's slices into raw and, unless the verb is collect, into the tables.
///
/// Interrupted runs of the network, which must be claimed as a whole, are finished first. One with the same verb and
/// selection is this run.
///
/// # Errors
/// A failure of the settings, the state store or the lake. Requests that fail are in the report.
pub async fn run(
    app: &Arc<App>,
    network: &Network,
    claim: &Claim,
    verb: Verb,
    selection: &Selection,
) -> Result<RunReport, Failure> {
    for noted in app.state.unfinished_runs(&network.settings.name).await? {
        if noted.selection.work.is_some() {
            // It reads nothing: a service goes on with it.
            continue;
        }
        let is_this_one = noted.verb == verb && noted.selection == *selection;
        if let Some(report) = resume(app, network, claim, noted).await?.filter(|_| is_this_one) {
            return Ok(report);
        }
    }
    let noted = NotedRun {
        run_id: uuid::Uuid::now_v7().to_string(),
        network: network.settings.name.clone(),
        verb,
        selection: selection.clone(),
        slices: Vec::new(),
        connector: network.connector.digest(),
        started_at: Utc::now(),
        starts: 0,
        kept: 0,
    };
    begin(app, network, claim, noted).await
}

/// Plans a run that wasn't begun yet, records it and carries it out.
///
/// # Errors
/// As [`run`].
pub async fn begin(app: &Arc<App>, network: &Network, claim: &Claim, queued: NotedRun) -> Result<RunReport, Failure> {
    let starting = app.starting.acquire().await.map_err(Failure::failed)?;
    let all = crate::settings::network::load_each(&app.settings.networks_dir)?.networks;
    identity::check(&all, network, &app.settings.secrets, &app.lake).await?;
    identity::record(network, &queued.selection.accounts, &app.lake).await?;
    let started_at = Utc::now();
    let widths = Widths::new(app.state.widths(&network.manifest().network).await?);
    let (asked, warnings) = pauses::without_paused(&app.state, network, &queued.selection).await?;
    let (again, unread) = adaptive::reads(&app.lake, &app.settings.limits, network, &asked, started_at).await?;
    let limits = (&widths, app.settings.limits.slices_per_run);
    let mut jobs = slices::jobs(network, &app.fetcher, &asked, &again, limits, started_at).await?;
    jobs.left_out.extend(warnings.into_iter().chain(unread));
    cursors::give(app, network, &mut jobs.jobs).await?;
    let connector = network.connector.digest();
    let mut noted = NotedRun { slices: jobs.planned(), connector, started_at, starts: 1, ..queued };
    app.state.note_run(&noted).await?;
    drop(starting);
    // The store has them for whoever resumes the run; here they are in its jobs.
    noted.slices = Vec::new();
    // On the heap: a run is large, and so would be whatever waits for one.
    forgive_errors(app, &noted, Box::pin(carry_out(app, network, claim, &noted, jobs, None))).await
}

/// Resumes an interrupted run; none if it was begun too often and is given up.
///
/// # Errors
/// As [`run`]; the next call resumes it again.
pub async fn resume(
    app: &Arc<App>,
    network: &Network,
    claim: &Claim,
    mut noted: NotedRun,
) -> Result<Option<RunReport>, Failure> {
    let kept = ResumedResponses::of(&app.lake, &noted.run_id, noted.started_at).await?;
    let grew = kept.progress() > noted.kept;
    noted.starts = if grew { 1 } else { noted.starts + 1 };
    noted.kept = kept.progress();
    if noted.starts > MAX_STARTS {
        give_up(app, network, claim, &noted).await?;
        return Ok(None);
    }
    let (slices, paused) = pauses::split(&app.state, &network.settings.name, std::mem::take(&mut noted.slices)).await?;
    let mut jobs = slices::jobs_of(network, &app.fetcher, slices).await?;
    jobs.failed.extend(paused);
    app.state.note_start(&noted).await?;
    let other_connector = noted.connector != network.connector.digest();
    tracing::info!(run_id = noted.run_id, kept = noted.kept, other_connector, "an interrupted run is resumed");
    let carried_out = Box::pin(carry_out(app, network, claim, &noted, jobs, Some(kept)));
    Ok(Some(forgive_errors(app, &noted, carried_out).await?))
}

/// A start of a run that ends in an error hasn't ended the process, so it doesn't count, for a day.
async fn forgive_errors(
    app: &App,
    noted: &NotedRun,
    carried_out: impl Future<Output = Result<RunReport, Failure>>,
) -> Result<RunReport, Failure> {
    let carried_out = carried_out.await;
    if carried_out.is_err()
        && Utc::now() - noted.started_at < ERRORS_FORGIVEN
        && let Err(error) = app.state.note_start(&noted.clone().forgiven()).await
    {
        tracing::warn!(run_id = noted.run_id, "the failed start counts: {}", describe(&error));
    }
    carried_out
}

/// Collects the slices, builds the tables, and records the run. `kept`: of a run that is resumed.
#[tracing::instrument(name = "run", skip_all, fields(network = noted.network, run_id = noted.run_id))]
async fn carry_out(
    app: &Arc<App>,
    network: &Network,
    claim: &Claim,
    noted: &NotedRun,
    mut jobs: Jobs,
    kept: Option<ResumedResponses>,
) -> Result<RunReport, Failure> {
    step::passed(Step::Planned);
    record::keep_connector(&app.lake, network).await?;
    let run_id = noted.run_id.clone();
    let tables = (noted.verb == Verb::Run).then(|| Arc::new(app.committer.run(Some(fence(claim)))));
    let is_resumed = kept.is_some();
    let kept = Arc::new(kept.unwrap_or_default());
    let covered = if is_resumed { app.lake.covered(&run_id).await? } else { Covered::default() };
    let guard = Arc::new(Guard::open(app, network, &run_id, noted.verb).await?);
    let collector = Collector {
        app: app.clone(),
        network: network.clone(),
        run_id: run_id.clone(),
        kept: kept.clone(),
        bounds: Arc::new(ResponseBounds::new(RESPONSES_AT_ONCE, app.memory.clone())),
        clock: Arc::default(),
        warnings: Arc::default(),
        months: Arc::default(),
        texts: Arc::default(),
        tables: tables.clone(),
        guard: guard.clone(),
        erased: Arc::new(app.state.erasures().await?.erased.distinctive()),
    };
    let left_out = std::mem::take(&mut jobs.left_out);
    let reading = app.meter.begin_run(format!("{} {}", noted.verb.name(), noted.network), jobs.jobs.len() as u64);
    let (collected, took) = guests::timed(collect_slices(&collector, jobs, &covered)).await;
    drop((collector, reading));
    // A run that the store didn't give what it kept, or whose tables failed, isn't over: it is resumed.
    kept.take_store_failure().map_or(Ok(()), Err)?;
    app.meter.rename(format!("write the tables of {}", noted.network));
    let counts = match tables {
        Some(tables) => tables.finish().await?,
        None => Counts::default(),
    };
    guard.note_unseen(&network.manifest().streams);
    let (warnings, has_moved) = (guard.warnings(), guard.has_moved());
    guard.conclude(&app.lake, Some(fence(claim))).await?;
    if counts.beyond_columns > 0 || is_resumed {
        wide::note(app, network, &noted.run_id, &collected, fence(claim)).await;
    }
    let mut report = report::summarise(run_id, network, noted.verb, noted.started_at, &collected);
    report.warnings = [left_out, held::versions(&app.registry, network), warnings].concat();
    report.set_time(took);
    report.count(counts);
    amounts::count(app, &network.manifest().network, &mut report, has_moved || is_resumed).await;
    close(app, network, claim, noted, &report, is_resumed, &collected).await?;
    if counts.new_versions > 0 {
        report.warnings.extend(suspected_duplicates(app, network, &report.run_id).await);
    }
    Ok(report)
}

/// Suspected duplicates of the run. All is committed: a query that fails now is a warning.
async fn suspected_duplicates(app: &App, network: &Network, run_id: &str) -> Vec<String> {
    let suspected = match session(app).await {
        Ok(session) => duplicates::suspected(&session, &network.manifest().network, run_id).await,
        Err(failure) => Err(failure),
    };
    suspected.unwrap_or_else(|failure| {
        vec![format!("suspected duplicates weren't looked for: {}", describe(failure.error.as_ref()))]
    })
}

/// A session for a run's own queries, within what these may use.
async fn session(app: &App) -> Result<Session, Failure> {
    let options = app.settings.limits.queries_of_a_run();
    Ok(Session::open(app.lake.clone(), app.lake.tables().await?, options)?)
}

/// Collects the slices. Those that were read, or failed before they were sent, are covered unless they are already.
async fn collect_slices(collector: &Collector, jobs: Jobs, covered: &Covered) -> Collected {
    let manifest = collector.network.manifest();
    let cover = |slice: &SliceDone| {
        let row = coverage(manifest, &collector.run_id, slice);
        if let (Some(tables), Some(row)) = (&collector.tables, row.filter(|row| !covered.has(row))) {
            tables.covered(row);
        }
    };
    jobs.failed.iter().for_each(cover);
    let mut collected = collect(collector, jobs.jobs, cover).await;
    collected.done.extend(jobs.failed);
    let is_uncovered = |done: &&SliceDone| coverage(manifest, &collector.run_id, done).is_none();
    record::warn_of_uncovered(collected.done.iter().filter(is_uncovered).map(|done| &done.slice));
    collected
}

/// Records a run whose tables are written, and then what depends on it: cursors, widths, the shadow's comparison.
async fn close(
    app: &Arc<App>,
    network: &Network,
    claim: &Claim,
    noted: &NotedRun,
    report: &RunReport,
    is_resumed: bool,
    collected: &Collected,
) -> Result<(), Failure> {
    record::finish(&app.lake, network, report, is_resumed, Some(fence(claim))).await?;
    // Only now are the rows durable that they follow from. If the process dies before, the resumed run has them again.
    for (slice, rule, cursor) in slices::cursors(&collected.done) {
        app.state.keep_cursor(slice, rule, cursor).await?;
    }
    widths::keep(&app.state, &network.manifest().network, &collected.done).await?;
    app.state.end_run(&report.run_id, &run_end(network, noted, report, collected)).await?;
    note_shadow(app, network).await
}

/// Which look-back rules a run has read, and of which accounts. A slice without a rule is an adaptive one's.
fn run_end(network: &Network, noted: &NotedRun, report: &RunReport, collected: &Collected) -> RunEnd {
    if report.status == "done" {
        return RunEnd::all_read();
    }
    let rules = look_back_rules(network);
    let adaptive: Vec<String> = rules.iter().filter(|rule| rule.budget().is_some()).map(LookBackRule::key).collect();
    let mut unread = BTreeSet::new();
    for done in collected.done.iter().filter(|done| !done.report.errors.is_empty()) {
        let of_slice = done.rule.as_ref().map_or(&adaptive[..], std::slice::from_ref);
        let wanted =
            of_slice.iter().filter(|rule| noted.selection.rules.iter().flatten().any(|wanted| wanted == *rule));
        unread.extend(wanted.map(|rule| (done.slice.account.clone(), rule.clone())));
    }
    // What failed beside the slices may be about all of them.
    if unread.is_empty() { RunEnd::Unread } else { RunEnd::Read { unread } }
}

/// Records the shadow's comparison, after which it may serve.
async fn note_shadow(app: &Arc<App>, network: &Network) -> Result<(), Failure> {
    let Some(shadow) = &network.shadow else { return Ok(()) };
    let comparison = shadow.take();
    if comparison.slices == 0 && comparison.faults == 0 {
        return Ok(());
    }
    let candidate = shadow.candidate();
    app.policy.add_comparison(candidate.network(), candidate.digest(), &comparison).await?;
    app.registry.reconsider().await;
    Ok(())
}

/// Records a run as failed that ended the process too often.
async fn give_up(app: &Arc<App>, network: &Network, claim: &Claim, noted: &NotedRun) -> Result<(), Failure> {
    let nothing = Collected::default();
    let mut report = report::summarise(noted.run_id.clone(), network, noted.verb, noted.started_at, &nothing);
    let name = &network.settings.name;
    let reason = format!(
        "it was begun {MAX_STARTS} times and never came to its end; what was answered is in raw: \
         sluice build {name} --run {}",
        noted.run_id
    );
    report.fail(SliceError::new(ErrorKind::Host, reason));
    tracing::error!(network = name, run_id = noted.run_id, "{}", report.errors.join("; "));
    record::finish(&app.lake, network, &report, true, Some(fence(claim))).await?;
    Ok(app.state.end_run(&noted.run_id, &RunEnd::Unread).await?)
}

/// Builds tables from raw alone: no request is sent.
///
/// # Errors
/// A failure of the settings or the lake.
pub async fn build(
    app: &Arc<App>,
    network: &Network,
    claims: &Claims,
    selection: &tables::RawSelection,
) -> Result<RunReport, Failure> {
    let started_at = Utc::now();
    let run_id = uuid::Uuid::now_v7().to_string();
    let gone = app.lake.raw_gone(&selection.filter(&network.manifest().network)).await?;
    if !gone.is_nothing() {
        tracing::warn!(
            network = network.settings.name,
            "{}: what they gave stays as it is",
            tables::missing_raw(&gone)
        );
    }
    record::keep_connector(&app.lake, network).await?;
    let writer = Arc::new(app.committer.run(claims.fence()));
    app.meter.begin(format!("build {} from raw", network.settings.name), Unit::Responses, 0);
    let (read, took) = guests::timed(tables::read_raw(app, network, selection, &writer)).await;
    app.meter.rename(format!("write the tables of {}", network.settings.name));
    let counts = writer.finish().await;
    let (mut read, failure) = match read {
        Ok(read) => (read, None),
        Err(failure) => (tables::RawRead::default(), Some(failure)),
    };
    let mut collected = Collected { done: std::mem::take(&mut read.judged.done), ..Collected::default() };
    collected.done.retain(SliceDone::is_doubtful);
    let mut report = report::summarise(run_id, network, Verb::Build, started_at, &collected);
    report.set_time(took);
    report.records = read.records;
    report.failures_total += read.further_errors;
    read.errors.into_iter().chain(failure.map(SliceError::from)).for_each(|error| report.fail(error));
    if counts.is_ok() {
        report.warnings = read.judged.keep(&app.lake, claims.fence()).await?;
    }
    match counts {
        Ok(counts) => report.count(counts),
        Err(error) => {
            let failure = Failure::from(error);
            report.fail(SliceError::new(failure.kind, failure.render(false)));
            record::finish(&app.lake, network, &report, false, claims.fence()).await?;
            return Err(failure);
        }
    }
    record::finish(&app.lake, network, &report, false, claims.fence()).await?;
    Ok(report)
}
