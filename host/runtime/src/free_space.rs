//! The floor of free space of the disks of the lake, the state store and bodies that are received: below it nothing is
//! fetched, so that what was fetched can be written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sluice_model::ErrorKind;

use crate::failure::SliceError;
use crate::settings::Settings;

/// How long what was found counts: a request takes longer than asking, but thousands come at once.
const FRESH: Duration = Duration::from_secs(1);
/// The pause between two lines of the log.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// The free space of each folder's disk, asked before every request. Bytes that come between two of them are bounded by the
/// largest body.
#[derive(Debug, Default)]
pub struct DiskFloor(Mutex<BTreeMap<PathBuf, Known>>);

#[derive(Debug, Default)]
struct Known {
    /// When it was asked, and what is free if that is too little.
    asked: Option<(Instant, Option<u64>)>,
    logged: Option<Instant>,
}

impl DiskFloor {
    /// Fails if a folder that is written to is on a disk of this machine that has less free space than
    /// `limits.min_free_mb`.
    ///
    /// # Errors
    /// A failure of the host that names the folder, what is free and what has to be.
    pub(crate) fn check(&self, settings: &Settings) -> Result<(), SliceError> {
        let floor = settings.limits.min_free_mb.saturating_mul(1 << 20);
        for folder in folders(settings) {
            let Some(free) = self.too_little(&folder, floor) else { continue };
            let reason = format!(
                "the disk of {} has {} MiB of free space, and nothing is fetched below {} MiB (min_free_mb of [limits]): \
                 free space, or run `sluice maintain`",
                folder.display(),
                free >> 20,
                floor >> 20,
            );
            return Err(SliceError::new(ErrorKind::Host, reason));
        }
        Ok(())
    }

    /// What is free if that is less than the floor.
    fn too_little(&self, folder: &Path, floor: u64) -> Option<u64> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(folder.to_owned()).or_default();
        if let Some((at, free)) = known.asked
            && at.elapsed() < FRESH
        {
            return free;
        }
        let free = free_bytes(folder).filter(|free| *free < floor);
        known.asked = Some((Instant::now(), free));
        if let Some(free_bytes) = free
            && known.logged.is_none_or(|at| at.elapsed() >= LOG_PAUSE)
        {
            known.logged = Some(Instant::now());
            tracing::error!(folder = %folder.display(), free_bytes, "the disk is full");
        }
        free
    }
}

/// What is written to on this machine while a run fetches: the lake, the state store, and bodies that are received.
fn folders(settings: &Settings) -> Vec<PathBuf> {
    let urls = [settings.lake_url.strip_prefix("file:"), settings.state_url.strip_prefix("sqlite:")];
    let path = |url: &str| PathBuf::from(url.split('?').next().unwrap_or_default().trim_start_matches("//"));
    let mut folders: Vec<PathBuf> =
        urls.into_iter().flatten().filter(|url| !url.contains(":memory:")).map(path).collect();
    folders.push(spool_folder(settings));
    folders
}

/// The folder of bodies that are being received: on the disk of the lake or the state store, if one of them is on this machine.
pub(crate) fn spool_folder(settings: &Settings) -> PathBuf {
    let lake = settings.lake_url.strip_prefix("file:").map(|path| PathBuf::from(path.trim_start_matches("//")));
    let state = settings.state_url.strip_prefix("sqlite:").map(|path| PathBuf::from(path.trim_start_matches("//")));
    let folder = lake.or(state.and_then(|file| file.parent().map(Path::to_owned)));
    folder.filter(|folder| folder.is_dir()).unwrap_or_else(|| settings.fetch.spool_folder.clone())
}

/// Those folders, with what is free there in bytes: one folder per disk.
pub(crate) fn disks(settings: &Settings) -> Vec<(String, u64)> {
    let mut disks = BTreeMap::new();
    for path in folders(settings) {
        let Some(existing) = path.ancestors().find(|folder| folder.exists()) else { continue };
        let device = rustix::fs::stat(existing).map(|found| found.st_dev).ok();
        if let Some(free) = free_bytes(existing) {
            disks.entry(device).or_insert_with(|| (path.display().to_string(), free));
        }
    }
    disks.into_values().collect()
}

/// What is free for this user where a folder is or will be; none where the system doesn't say it.
fn free_bytes(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|folder| folder.exists())?;
    let space = rustix::fs::statvfs(existing).ok()?;
    Some(space.f_bavail.saturating_mul(space.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_is_on_the_disk_of_its_parent() {
        let here = free_bytes(Path::new("/"));
        assert!(here.is_some_and(|bytes| bytes > 0));
        assert!(free_bytes(Path::new("/no/such/folder")).is_some());
    }

    #[test]
    fn a_disk_is_asked_once_a_second_and_logged_once_a_minute() {
        let floor = DiskFloor::default();
        assert!(floor.too_little(Path::new("/"), u64::MAX).is_some());
        assert!(floor.too_little(Path::new("/"), 0).is_some(), "what was found counts for a second");
        let logged = || floor.0.lock().ok().and_then(|known| known.get(Path::new("/")).and_then(|known| known.logged));
        let first = logged();
        assert!(first.is_some());
        let forget = || {
            floor.0.lock().map(|mut known| known.values_mut().for_each(|known| known.asked = None)).unwrap_or_default()
        };
        forget();
        assert!(floor.too_little(Path::new("/"), u64::MAX).is_some());
        assert_eq!(logged(), first, "it isn't logged again");
        forget();
        assert_eq!(floor.too_little(Path::new("/"), 0), None);
    }
}
