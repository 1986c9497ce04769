//! Processes that die while they write: from some write on, their store takes nothing more.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, PutOptions, PutPayload, PutResult, Result};

use super::super::super::intercepted::{Intercepted, Interceptor};
use super::{World, open_ledger, whole_windows};
use crate::tests::histories::model::Response;
use crate::{Lake, Ledger};

/// What opens a lake by itself, as a process does.
pub(super) struct Process {
    lake: Lake,
    store: Arc<DyingStore>,
}

impl Process {
    pub(super) fn new(lake: &Lake) -> Self {
        let store = Arc::<DyingStore>::default();
        let lake = lake.through(|inner| Arc::new(Intercepted { inner, interceptor: store.clone() }));
        Self { lake, store }
    }

    /// One that dies after so many writes.
    fn that_dies(lake: &Lake, writes: u8) -> Self {
        let process = Self::new(lake);
        process.store.die_after(writes);
        process
    }

    /// A ledger, and the process that has opened it.
    pub(super) fn ledger(self) -> (Ledger, Self) {
        (open_ledger(&self.lake), self)
    }
}

/// A store that takes so many writes; any number without one.
#[derive(Debug, Default)]
struct DyingStore {
    left: Mutex<Option<u8>>,
    /// Writes under way hold it.
    writing: Arc<()>,
}

impl DyingStore {
    fn die_after(&self, writes: u8) {
        *self.left.lock().unwrap() = Some(writes);
    }

    fn admit(&self) -> Result<Arc<()>> {
        match &mut *self.left.lock().unwrap() {
            Some(0) => return Err(dead()),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(self.writing.clone())
    }

    /// Takes no further write, and ends when those under way are done: whoever began one may be gone.
    async fn stop_writing(&self) {
        self.die_after(0);
        while Arc::strong_count(&self.writing) > 1 {
            tokio::task::yield_now().await;
        }
    }
}

fn dead() -> StoreError {
    StoreError::Generic { store: "dying", source: "the process is dead".into() }
}

#[async_trait]
impl Interceptor for DyingStore {
    async fn put(
        &self,
        inner: Arc<dyn ObjectStore>,
        location: Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let writing = self.admit()?;
        let put = tokio::spawn(async move {
            let done = inner.put_opts(&location, payload, options).await;
            drop(writing);
            done
        });
        put.await.unwrap_or_else(|_| Err(dead()))
    }
}

impl World {
    /// A lane's process dies while it writes what has gathered, or while it ends its run. Another one resumes the run, and then
    /// also ends it. Returns whether it died before it was done.
    pub(in crate::tests::histories) async fn die(&mut self, at: usize, writes: u8, ends: bool) -> bool {
        let Some(lane) = &mut self.lanes[at] else { return false };
        lane.process.store.die_after(writes);
        let (mut flushed, mut run) = (self.model.clone(), lane.model.clone());
        flushed.flush(&mut run);
        let mut ended = flushed.clone();
        let done = if ends {
            let responses: Vec<Response> = lane.responses.iter().map(|place| self.raw[*place].clone()).collect();
            let (whole, read_at) = whole_windows(&mut lane.ledger, &responses);
            ended.end(&mut run, &whole, read_at);
            lane.ledger.commit().await.map(drop)
        } else {
            lane.ledger.flush().await
        };
        lane.process.store.stop_writing().await;
        self.caught_up = false;
        // Each table is committed at once: what the dead one wrote of its rows is all or nothing.
        let (rows, absent) = (self.version_rows().await, self.absent().await);
        if self.model.rows() != rows {
            self.model = if flushed.rows() == rows { flushed } else { ended.clone() };
        }
        if self.model.absent() != absent {
            self.model.take_absent_of(&ended);
        }
        self.crash(at).await;
        if ends {
            self.end(at, false).await;
        }
        done.is_err()
    }

    /// A replay is applied by a process that dies, and by another one then. Returns whether the first died before it was done.
    pub(in crate::tests::histories) async fn die_in_replay(
        &mut self,
        network: &'static str,
        salt: u8,
        writes: u8,
    ) -> bool {
        let process = Process::that_dies(&self.lake, writes);
        let done = self.apply(&process.lake, network, salt).await;
        process.store.stop_writing().await;
        self.replay(network, salt).await;
        done.is_err()
    }

    /// The last replay is taken back by a process that dies, and by another one then. Returns whether the first died before it
    /// was done.
    pub(in crate::tests::histories) async fn die_in_roll_back(&mut self, writes: u8) -> bool {
        let Some(last) = self.replays.iter().rfind(|replay| replay.written > 0) else { return false };
        let process = Process::that_dies(&self.lake, writes);
        let done = process.lake.roll_back_replay(last.network, &last.run, None).await;
        process.store.stop_writing().await;
        self.roll_back().await;
        done.is_err()
    }
}
