//! Snapshots of tables that a worker has read: the parts of a query scan the same ones, which never change.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::plan_err;
use datafusion::error::{DataFusionError, Result};
use deltalake::kernel::Snapshot;
use deltalake::logstore::LogStore;
use tokio::sync::OnceCell;

use super::scan::Scanned;

/// How many are kept, the last that were used: those of some queries.
const KEPT: usize = 32;

/// A snapshot that is read once by all that wait for it.
type Shared = Arc<OnceCell<Snapshot>>;

/// What names a snapshot: its table's folder and id, and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    folder: String,
    id: String,
    version: u64,
}

/// Snapshots by their names, the last used one at the end.
#[derive(Default)]
pub(super) struct Snapshots(Mutex<VecDeque<(Name, Shared)>>);

impl Snapshots {
    /// The snapshot that a scan is of, of this table and no other that stands in its folder by now.
    pub(super) async fn of(&self, scanned: &Scanned, log: &dyn LogStore) -> Result<Snapshot> {
        let Scanned { folder, id, version, .. } = scanned;
        let shared = self.shared(Name { folder: folder.clone(), id: id.clone(), version: *version });
        let read = async {
            let snapshot = Snapshot::try_new(log, Some(*version)).await.map_err(DataFusionError::from)?;
            if snapshot.metadata().id() == id { Ok(snapshot) } else { plan_err!("`{folder}` is another table by now") }
        };
        shared.get_or_try_init(|| read).await.cloned()
    }

    fn shared(&self, name: Name) -> Shared {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(other, _)| *other == name);
        let (name, shared) = at.and_then(|at| kept.remove(at)).unwrap_or_else(|| (name, Shared::default()));
        kept.push_back((name, shared.clone()));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(version: u64) -> Name {
        Name { folder: "tables/a/b/".to_owned(), id: "1".to_owned(), version }
    }

    #[test]
    fn a_snapshot_is_shared_and_the_last_used_are_kept() {
        let snapshots = Snapshots::default();
        let first = snapshots.shared(name(0));
        assert!(!Arc::ptr_eq(&first, &snapshots.shared(Name { id: "2".to_owned(), ..name(0) })), "a rebuilt table");
        for version in 1..100 {
            snapshots.shared(name(version));
            assert!(Arc::ptr_eq(&first, &snapshots.shared(name(0))));
        }
        let last = snapshots.shared(name(99));
        (100..100 + KEPT as u64).for_each(|version| drop(snapshots.shared(name(version))));
        assert!(!Arc::ptr_eq(&last, &snapshots.shared(name(99))), "it was the longest unused");
    }
}
