//! Deleting data files that no snapshot needs any more.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use deltalake::kernel::Action;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::Maintained;
use crate::error::Error;
use crate::table::Table;

/// Objects that are read or deleted at once.
const AT_ONCE: usize = 16;

/// Deletes the files that were written before `cutoff` and that no snapshot since then names.
///
/// What was removed since is read from the commits themselves, not from tombstones: a checkpoint drops these after a
/// time of its own. A file of a commit that is still to come is younger than `cutoff`.
pub(crate) async fn vacuum(
    table: &Table,
    cutoff: DateTime<Utc>,
    dry_run: bool,
    done: &mut Maintained,
) -> Result<(), Error> {
    let store = table.store();
    let failed = |action: &'static str, source| Error::store(action, table.name(), source);
    let listed: Vec<ObjectMeta> = store.list(None).try_collect().await.map_err(|source| failed("list", source))?;
    let is_log = |meta: &ObjectMeta| meta.location.parts().next().is_some_and(|part| part.as_ref() == "_delta_log");
    let (log, data): (Vec<ObjectMeta>, Vec<ObjectMeta>) = listed.into_iter().partition(is_log);
    let mut needed: HashSet<Path> = table.files().into_iter().map(|file| file.path).collect();
    all_there(table, &needed, &data)?;
    needed.extend(removed_since(table, &log, cutoff).await?);
    let dead: Vec<ObjectMeta> =
        data.into_iter().filter(|meta| meta.last_modified < cutoff && !needed.contains(&meta.location)).collect();
    done.deleted_files += dead.len() as u64;
    done.deleted_bytes += dead.iter().map(|meta| meta.size).sum::<u64>();
    if dry_run || dead.is_empty() {
        return Ok(());
    }
    tracing::info!(table = table.name(), files = dead.len(), "deleting what no snapshot needs");
    let paths = stream::iter(dead.into_iter().map(|meta| Ok(meta.location))).boxed();
    let deleted = store.delete_stream(paths).map(|outcome| match outcome {
        Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(source) => Err(failed("delete files of", source)),
    });
    deleted.try_collect().await
}

/// If a file that the table names isn't where it should be, nothing is known of the others either.
fn all_there(table: &Table, needed: &HashSet<Path>, data: &[ObjectMeta]) -> Result<(), Error> {
    let there: HashSet<&Path> = data.iter().map(|meta| &meta.location).collect();
    match needed.iter().find(|path| !there.contains(path)) {
        None => Ok(()),
        Some(path) => Err(Error::Damaged {
            path: format!("{}{path}", table.log().root_url()),
            reason: format!("{} names it and it isn't there; nothing is deleted from the table", table.name()),
        }),
    }
}

/// The files that commits since `cutoff` removed.
async fn removed_since(table: &Table, log: &[ObjectMeta], cutoff: DateTime<Utc>) -> Result<HashSet<Path>, Error> {
    let store = table.store();
    let recent = log.iter().filter(|meta| meta.last_modified >= cutoff && is_commit(&meta.location));
    let recent: Vec<Path> = recent.map(|meta| meta.location.clone()).collect();
    stream::iter(recent)
        .map(|path| {
            let store = store.clone();
            async move {
                let failed = |source| Error::store("read", format!("{} of {}", path, table.name()), source);
                let text = store.get(&path).await.map_err(failed)?.bytes().await.map_err(failed)?;
                removed(&text).map_err(|error| Error::Damaged { path: path.to_string(), reason: error.to_string() })
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_fold(HashSet::new(), |mut all, removed| async move {
            all.extend(removed);
            Ok(all)
        })
        .await
}

fn is_commit(path: &Path) -> bool {
    let name = path.filename().unwrap_or_default();
    name.strip_suffix(".json").is_some_and(|version| version.len() == 20 && version.bytes().all(|b| b.is_ascii_digit()))
}

fn removed(commit: &[u8]) -> Result<Vec<Path>, serde_json::Error> {
    let mut paths = Vec::new();
    for action in serde_json::Deserializer::from_slice(commit).into_iter::<Action>() {
        if let Action::Remove(remove) = action? {
            paths.extend(Path::parse(&remove.path));
        }
    }
    Ok(paths)
}
