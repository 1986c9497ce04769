//! When a service evaluates alarms and sends messages: beside its loop, one at a time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::clock::ClockWatch;
use super::outage::StateOutage;
use super::{Evaluated, Occasion, evaluate, outbox, run_checks};
use crate::app::App;
use crate::failure::Failure;
use crate::settings::Settings;

/// How long after an evaluation one follows because runs have ended, or because it failed.
const SOON: Duration = Duration::from_secs(30);
/// How often it looks for messages that are due.
const SEND: Duration = Duration::from_secs(5);

/// Evaluates alarms after runs and by time.
#[derive(Default)]
pub struct AlarmWatcher {
    /// Networks that were run since the last evaluation.
    ran: BTreeSet<String>,
    /// The settings as they were at the last evaluation.
    settings: Option<Settings>,
    /// Whether the state store, which keeps alarms, fails itself.
    outage: StateOutage,
    /// This machine's clock.
    clock: ClockWatch,
    evaluated_at: Option<Instant>,
    evaluation: Option<JoinHandle<Evaluation>>,
    /// Whether checks are to be run that are due.
    has_checks: bool,
    /// Whether runs have ended since checks were run that follow them.
    unchecked: bool,
    checking: Option<JoinHandle<Checked>>,
    sent_at: Option<Instant>,
    sending: Option<JoinHandle<Result<(), Failure>>>,
    /// What was logged last: the same isn't logged again.
    logged: Option<String>,
}

/// An evaluation that has ended.
struct Evaluation {
    outage: StateOutage,
    ran: BTreeSet<String>,
    evaluated: Result<Evaluated, Failure>,
}

/// Checks that have ended.
struct Checked {
    /// Whether they were those that follow runs, too.
    has_run: bool,
    /// None if another process runs checks.
    changes: Result<Option<usize>, Failure>,
}

impl AlarmWatcher {
    /// Takes note that a network was run.
    pub fn ran(&mut self, network: String) {
        self.ran.insert(network);
    }

    /// Begins what is due of evaluating and sending.
    pub async fn tick(&mut self, app: &Arc<App>) {
        if let Some(ended) = finished(&mut self.evaluation).await {
            self.take_over(ended);
        }
        if let Some(ended) = finished(&mut self.sending).await {
            self.log(ended.and_then(|sent| sent));
            self.sent_at = Some(Instant::now());
        }
        if let Some(ended) = finished(&mut self.checking).await {
            self.note_checked(ended);
        }
        let now = Instant::now();
        self.clock.look(now, Utc::now());
        let settings = self.settings.clone().unwrap_or_else(|| app.settings.clone());
        let is_urgent = !self.ran.is_empty() || self.unchecked || self.outage.is_there() || self.clock.has_jumped();
        let pause = if is_urgent { settings.alarms.every().min(SOON) } else { settings.alarms.every() };
        let is_due = |last: Option<Instant>, pause: Duration| last.is_none_or(|last| last + pause <= now);
        if self.evaluation.is_none() && is_due(self.evaluated_at, pause) {
            let (ran, outage) = (std::mem::take(&mut self.ran), std::mem::take(&mut self.outage));
            let of = Evaluation::of(app.clone(), settings.clone(), ran, outage, self.clock.clone());
            self.evaluation = Some(tokio::spawn(of));
        }
        if self.checking.is_none() && std::mem::take(&mut self.has_checks) {
            let (app, settings) = (app.clone(), settings.clone());
            let has_run = std::mem::take(&mut self.unchecked);
            let checked = async move { Checked { has_run, changes: run_checks(&app, &settings, has_run).await } };
            self.checking = Some(tokio::spawn(checked));
        }
        let pause = SEND.min(Duration::from_secs(settings.alarms.retry_secs.into()));
        if self.sending.is_none() && is_due(self.sent_at, pause) {
            let app = app.clone();
            self.sending = Some(tokio::spawn(async move { outbox::send_due(&app, &settings).await }));
        }
    }

    fn take_over(&mut self, ended: Result<Evaluation, Failure>) {
        let settings = match ended {
            Ok(Evaluation { outage, ran, evaluated }) => {
                self.outage = outage;
                // What another host kept this one from is judged next time.
                if evaluated.as_ref().is_ok_and(|evaluated| evaluated.is_whole) {
                    self.has_checks = true;
                    self.unchecked |= !ran.is_empty();
                } else {
                    self.ran.extend(ran);
                }
                evaluated.map(|evaluated| evaluated.settings)
            }
            Err(failure) => Err(failure),
        };
        self.settings = self.log(settings).or(self.settings.take());
        // What was found is sent at once.
        (self.evaluated_at, self.sent_at) = (Some(Instant::now()), None);
    }

    /// What another process kept this one from is run after the next evaluation.
    fn note_checked(&mut self, ended: Result<Checked, Failure>) {
        let changes = ended.and_then(|Checked { has_run, changes }| {
            self.unchecked |= has_run && !matches!(changes, Ok(Some(_)));
            changes
        });
        if self.log(changes).flatten().is_some_and(|changes| changes > 0) {
            self.sent_at = None;
        }
    }

    /// Logs a failure, once as long as it stays the same.
    fn log<T>(&mut self, ended: Result<T, Failure>) -> Option<T> {
        match ended {
            Ok(done) => {
                self.logged = None;
                Some(done)
            }
            Err(failure) => {
                let text = failure.render(false);
                if self.logged.as_ref() != Some(&text) {
                    tracing::error!("alarms aren't evaluated or sent: {text}");
                }
                self.logged = Some(text);
                None
            }
        }
    }
}

impl Evaluation {
    async fn of(
        app: Arc<App>,
        before: Settings,
        ran: BTreeSet<String>,
        mut outage: StateOutage,
        clock: ClockWatch,
    ) -> Self {
        let evaluated = evaluate(&app, &ran, Some(&clock), Occasion::Service).await;
        match &evaluated {
            Ok(now) => outage.ended(&app.state, &now.settings).await,
            Err(failure) => outage.lasts(&before, failure).await,
        }
        Self { outage, ran, evaluated }
    }
}

/// The result of a task that has ended.
async fn finished<T>(task: &mut Option<JoinHandle<T>>) -> Option<Result<T, Failure>> {
    let ended = task.take_if(|task| task.is_finished())?.await;
    Some(ended.map_err(Failure::failed))
}
