//! Rescans when the directory changes.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Registry;
use crate::error::Error;

/// Quiet time after which a burst of events is over.
const QUIET: Duration = Duration::from_millis(200);
/// Longest burst: a file that is written forever doesn't hold up the others.
const LONGEST_BURST: Duration = Duration::from_secs(5);
/// How often the directory is looked at without an event: network drives send none.
const IDLE: Duration = Duration::from_secs(30);

/// Keeps a registry in step with its directory until it is dropped.
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
    /// Rescans, on a thread of its own, whenever the directory changes. Changes are logged.
    ///
    /// # Errors
    /// [`Error::Path`] if the directory can't be watched, [`Error::Host`] if there's no thread.
    pub fn watch(self: &Arc<Self>) -> Result<Watcher, Error> {
        let cannot =
            |source: notify::Error| Error::Path { action: "watch", path: self.dir.clone(), source: source.into() };
        let (sender, events) = channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too, and the scan reads.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = sender.send(());
            }
        })
        .map_err(cannot)?;
        watcher.watch(&self.dir, RecursiveMode::NonRecursive).map_err(cannot)?;
        let registry = Arc::downgrade(self);
        std::thread::Builder::new()
            .name("sluice-connectors".to_owned())
            .spawn(move || follow(&registry, &events))
            .map_err(|error| Error::host("start the thread that watches connectors")(error.into()))?;
        Ok(Watcher { _events: watcher })
    }
}

/// Rescans after each burst of events, until the watcher or the registry is gone.
fn follow(registry: &Weak<Registry>, events: &Receiver<()>) {
    loop {
        match events.recv_timeout(IDLE) {
            Ok(()) => wait_for_quiet(events),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let Some(registry) = registry.upgrade() else { return };
        registry.rescan();
    }
}

fn wait_for_quiet(events: &Receiver<()>) {
    let burst = Instant::now();
    while burst.elapsed() < LONGEST_BURST && events.recv_timeout(QUIET).is_ok() {}
}
