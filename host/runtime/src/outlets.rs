//! When a service brings other systems up to the lake: beside its loop, shortly after each commit.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::app::App;
use crate::failure::Failure;
use crate::feed::Feeding;
use crate::publish::Publishing;

/// How often the lake is looked at, besides after runs: other processes commit too.
const EVERY: Duration = Duration::from_secs(3);

/// Publishes and feeds. Neither waits for the other.
#[derive(Default)]
pub struct OutletWatcher {
    publishing: RepeatedTask<Publishing>,
    feeding: RepeatedTask<Feeding>,
}

/// Work that is done again and again, one at a time, with what it keeps between.
struct RepeatedTask<T> {
    kept: Option<T>,
    task: Option<JoinHandle<(T, Result<(), Failure>)>>,
    done_at: Option<Instant>,
    /// What was logged last: the same isn't logged again.
    logged: Option<String>,
}

impl<T: Default> Default for RepeatedTask<T> {
    fn default() -> Self {
        Self { kept: Some(T::default()), task: None, done_at: None, logged: None }
    }
}

impl OutletWatcher {
    /// Takes note that a run ended: what it committed is passed on at once.
    pub fn ran(&mut self) {
        self.publishing.done_at = None;
        self.feeding.done_at = None;
    }

    /// Begins what is due.
    pub async fn tick(&mut self, app: &Arc<App>) {
        self.publishing.end().await;
        if !app.settings.publish.is_empty()
            && let Some(mut kept) = self.publishing.take_due()
        {
            let app = app.clone();
            self.publishing.task = Some(tokio::spawn(async move {
                let done = kept.catch_up(&app).await;
                (kept, done)
            }));
        }
        self.feeding.end().await;
        if !app.settings.feed.is_empty()
            && let Some(mut kept) = self.feeding.take_due()
        {
            let app = app.clone();
            self.feeding.task = Some(tokio::spawn(async move {
                let done = kept.send_new(&app).await;
                (kept, done)
            }));
        }
    }
}

impl<T: Default> RepeatedTask<T> {
    /// What is kept, if it is due.
    fn take_due(&mut self) -> Option<T> {
        if self.done_at.is_some_and(|last| last + EVERY > Instant::now()) {
            return None;
        }
        self.kept.take()
    }

    /// Takes back what is kept, once the work has ended. Work that panicked begins anew.
    async fn end(&mut self) {
        let Some(task) = self.task.take_if(|task| task.is_finished()) else { return };
        let (kept, done) = task.await.unwrap_or_else(|error| (T::default(), Err(Failure::failed(error))));
        (self.kept, self.done_at) = (Some(kept), Some(Instant::now()));
        let text = done.err().map(|failure| failure.render(false));
        if let Some(text) = text.as_ref().filter(|text| self.logged.as_ref() != Some(text)) {
            tracing::error!("changes aren't passed on: {text}");
        }
        self.logged = text;
    }
}

/// Publishes and feeds once, after what was due has run. What fails is logged: the runs are done.
pub async fn pass_on(app: &App) {
    let (mut publishing, mut feeding) = (Publishing::default(), Feeding::default());
    let (published, fed) = tokio::join!(publishing.catch_up(app), feeding.send_new(app));
    for failure in [published.err(), fed.err()].into_iter().flatten() {
        tracing::warn!("changes aren't passed on: {}", failure.render(false));
    }
}
