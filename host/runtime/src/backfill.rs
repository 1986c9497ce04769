//! Backfills: any range of a network's history, month by month, between the runs of its schedule.
//!
//! Each month is a run of its own that claims the network, and gives it back before the next one: a scheduled run waits for a
//! month at most. Up to where it was read stands in the state store, so that the same command goes on there.
//! The windows are asked for by name, so no look-back rule counts as read and no cursor moves.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Utc};
use sluice_model::Window;
use sluice_state::{Selection, Verb};
use tokio::time::Instant;

use crate::app::App;
use crate::due;
use crate::failure::Failure;
use crate::run::{self, RunReport};

/// How long it waits for a service to begin what is due.
const COURTESY: Duration = Duration::from_secs(10);
/// How often it checks whether one has.
const POLL: Duration = Duration::from_millis(200);

/// What a backfill did.
pub struct Backfill {
    /// The runs, one a month.
    pub reports: Vec<RunReport>,
    /// Up to where it was read; none if it was read to its end. The month after is one that failed.
    pub stopped_at: Option<DateTime<Utc>>,
}

/// Queues the window of a selection for the services that run: a run for each month and part of the accounts, behind what
/// their schedules name. One that fails leaves a gap in the coverage. What is queued already isn't queued again. Returns how many
/// there are.
///
/// # Errors
/// A usage failure without a window, for an account that isn't there, or if all of it is queued already. The state store's
/// failure.
pub async fn queue(app: &App, network: &str, selection: &Selection) -> Result<usize, Failure> {
    let window = window(selection)?;
    let of = app.network(network)?;
    let parts = match &selection.account {
        None => due::parts(&of, due::workers(app).await?),
        Some(named) => {
            let known =
                of.settings.content.accounts.iter().find(|account| account.name == *named || account.id() == named);
            let known = known.ok_or_else(|| Failure::usage(format!("network `{network}` has no account `{named}`")))?;
            vec![vec![known.id().to_owned()]]
        }
    };
    let queued = app.state.queued_bulk(network).await?;
    let mut runs = Vec::new();
    for month in months(window) {
        let of_part = |accounts: &Vec<String>| Selection {
            account: None,
            accounts: accounts.clone(),
            since: Some(month.since),
            until: Some(month.until),
            ..selection.clone()
        };
        runs.extend(parts.iter().map(of_part).filter_map(|run| unqueued(&queued, run)));
    }
    if runs.is_empty() {
        return Err(Failure::usage(format!("all of it is queued for `{network}` already"))
            .hint("a service with the role `worker` reads it, behind what is scheduled"));
    }
    app.state.queue_bulk(network, &runs).await?;
    Ok(runs.len())
}

/// A run without the accounts that queued ones read in all of its window; none if these are all. A run of all accounts is left
/// out only for another one of all.
fn unqueued(queued: &[Selection], run: Selection) -> Option<Selection> {
    let is_same = |of: &&Selection| {
        let whole = Selection { accounts: Vec::new(), since: run.since, until: run.until, ..(*of).clone() };
        of.since <= run.since && of.until >= run.until && whole == Selection { accounts: Vec::new(), ..run.clone() }
    };
    let same: Vec<&Selection> = queued.iter().filter(is_same).collect();
    if same.iter().any(|of| of.accounts.is_empty()) {
        return None;
    }
    if run.accounts.is_empty() {
        return Some(run);
    }
    let is_read = |account: &String| same.iter().any(|of| of.accounts.contains(account));
    let accounts: Vec<String> = run.accounts.iter().filter(|account| !is_read(account)).cloned().collect();
    (!accounts.is_empty()).then_some(Selection { accounts, ..run })
}

fn window(selection: &Selection) -> Result<Window, Failure> {
    let window = selection.window(Utc::now());
    window.ok_or_else(|| Failure::usage("a backfill needs a window").hint("set --since"))
}

/// Reads the window of a selection, oldest month first, to its end or to the first month in which a slice fails. Doubtful
/// slices don't stop it.
///
/// # Errors
/// A usage failure without a window. A failure of the settings, the state store or the lake.
pub async fn backfill(app: &Arc<App>, network: &str, selection: &Selection) -> Result<Backfill, Failure> {
    let window = window(selection)?;
    let mut at = app.state.backfilled_until(network, selection).await?.unwrap_or(window.since);
    if at > window.since {
        tracing::warn!("the backfill goes on at {}: what is before was read", at.format("%F %H:%M UTC"));
    }
    let mut reports = Vec::new();
    while at < window.until {
        let end = next_month(at).min(window.until);
        app.meter.set_part(part_of(window, at));
        let part = Selection { since: Some(at), until: Some(end), ..selection.clone() };
        let of = app.network(network)?;
        let claim = app.claim(network).await?;
        let report = claim.guard(run::run(app, &of, &claim, Verb::Run, &part)).await;
        claim.release().await;
        let report = report?;
        let has_failed = report.slices_failed > 0;
        reports.push(report);
        if has_failed {
            return Ok(Backfill { reports, stopped_at: Some(at) });
        }
        at = end;
        app.state.note_backfill(network, selection, at).await?;
        if at < window.until {
            let_the_schedule_in(app, network).await?;
        }
    }
    app.state.forget_backfill(network, selection).await?;
    Ok(Backfill { reports, stopped_at: None })
}

/// Fails for a selection without a window.
///
/// # Errors
/// A usage failure.
pub fn check(selection: &Selection) -> Result<(), Failure> {
    window(selection).map(drop)
}

/// Waits while the network is due and a service runs that could begin with it.
async fn let_the_schedule_in(app: &App, network: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + COURTESY;
    while Instant::now() < deadline {
        let is_served = app.state.services().await?.iter().any(|service| service.is_fresh(Utc::now()));
        if !is_served || !due::is_due(app, &app.network(network)?).await? || app.state.holder(network).await?.is_some()
        {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// The months of a window, the first and the last one as far as they are in it.
pub(crate) fn months(window: Window) -> impl Iterator<Item = Window> {
    let month = move |since: DateTime<Utc>| {
        (since < window.until).then(|| Window { since, until: next_month(since).min(window.until) })
    };
    std::iter::successors(month(window.since), move |before| month(before.until))
}

/// Which of the months of a window is read, for progress: `2026-03 (3 of 12)`.
fn part_of(window: Window, at: DateTime<Utc>) -> String {
    let before = months(Window { until: at, ..window }).count();
    format!("{} ({} of {})", at.format("%Y-%m"), before + 1, months(window).count())
}

/// The first moment of the month after.
fn next_month(at: DateTime<Utc>) -> DateTime<Utc> {
    let first =
        NaiveDate::from_ymd_opt(at.year(), at.month(), 1).and_then(|day| day.checked_add_months(Months::new(1)));
    first.map_or(DateTime::<Utc>::MAX_UTC, |day| day.and_time(NaiveTime::MIN).and_utc())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_queued_already_is_not_queued_again() {
        let run = |accounts: &[&str], until: &str| Selection {
            accounts: accounts.iter().map(|id| (*id).to_owned()).collect(),
            since: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            until: Some(until.parse().unwrap()),
            ..Selection::default()
        };
        let (january, half) = ("2026-02-01T00:00:00Z", "2026-01-15T00:00:00Z");
        let queued = [run(&["uk", "de"], january)];
        assert_eq!(unqueued(&queued, run(&["uk"], half)), None);
        assert_eq!(unqueued(&queued, run(&["uk", "fr"], january)), Some(run(&["fr"], january)));
        assert_eq!(unqueued(&queued, run(&[], january)), Some(run(&[], january)));
        assert_eq!(unqueued(&[run(&[], half)], run(&["uk"], january)), Some(run(&["uk"], january)), "it ends earlier");
        assert_eq!(unqueued(&[run(&[], january)], run(&["uk"], january)), None);
        let payments = Selection { stream: Some("payments".to_owned()), ..run(&["uk"], january) };
        assert_eq!(unqueued(&queued, payments.clone()), Some(payments));
    }

    #[test]
    fn progress_names_the_month_among_all() {
        let moment = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let window = Window { since: moment("2026-01-15T00:00:00Z"), until: moment("2026-04-02T00:00:00Z") };
        assert_eq!(part_of(window, window.since), "2026-01 (1 of 4)");
        assert_eq!(part_of(window, moment("2026-03-01T00:00:00Z")), "2026-03 (3 of 4)");
        assert_eq!(part_of(window, moment("2026-04-01T00:00:00Z")), "2026-04 (4 of 4)");
    }

    #[test]
    fn a_part_ends_with_its_month() {
        let next = |text: &str| next_month(text.parse().unwrap()).to_rfc3339();
        assert_eq!(next("2026-01-31T23:59:59Z"), "2026-02-01T00:00:00+00:00");
        assert_eq!(next("2026-12-01T00:00:00Z"), "2027-01-01T00:00:00+00:00");
    }
}
