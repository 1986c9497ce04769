//! Rescans when the folder changes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout};

use super::Registry;
use crate::error::Error;

/// Time without events after which a burst of them has ended.
const QUIET: Duration = Duration::from_millis(200);
/// Longest burst: a file that is written forever doesn't hold up the others.
const LONGEST_BURST: Duration = Duration::from_secs(5);
/// How often the folder is scanned without an event: network drives send none.
const IDLE: Duration = Duration::from_secs(30);

/// Keeps a registry in step with its folder until it is dropped.
#[must_use = "dropping it stops the watching"]
pub struct Watcher {
    _events: RecommendedWatcher,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

impl Registry {
    /// Rescans, in a task of its own, whenever the folder changes. Changes are logged. Must be called on a runtime.
    ///
    /// # Errors
    /// [`Error::Folder`] if the folder can't be watched.
    pub fn watch(self: &Arc<Self>) -> Result<Watcher, Error> {
        let cannot = |error: notify::Error| {
            let source = match error.kind {
                notify::ErrorKind::Io(source) => source,
                _ => std::io::Error::other(error),
            };
            Error::Folder { action: "watch", path: self.dir.clone(), source }
        };
        #[expect(clippy::disallowed_methods, reason = "events are empty; the callback may not block")]
        let (sender, events) = unbounded_channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too, and the scan reads.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = sender.send(());
            }
        })
        .map_err(cannot)?;
        watcher.watch(&self.dir, RecursiveMode::NonRecursive).map_err(cannot)?;
        tokio::spawn(follow(Arc::downgrade(self), events));
        Ok(Watcher { _events: watcher })
    }
}

/// Rescans after each burst of events, until the watcher or the registry is gone.
async fn follow(registry: Weak<Registry>, mut events: UnboundedReceiver<()>) {
    loop {
        match timeout(IDLE, events.recv()).await {
            Ok(Some(())) => wait_for_quiet(&mut events).await,
            Ok(None) => return,
            Err(_) => {}
        }
        let Some(registry) = registry.upgrade() else { return };
        registry.rescan().await;
    }
}

async fn wait_for_quiet(events: &mut UnboundedReceiver<()>) {
    let burst = Instant::now();
    while burst.elapsed() < LONGEST_BURST && matches!(timeout(QUIET, events.recv()).await, Ok(Some(()))) {}
}
