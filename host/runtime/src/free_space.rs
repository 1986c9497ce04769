//! The floor of free space of the lake's disk: below it nothing is fetched, so that what was fetched can be written.

use std::collections::BTreeMap;
use std::path::Path;

use sluice_model::ErrorKind;

use crate::failure::SliceError;
use crate::settings::Settings;

/// Fails if the lake is on a disk of this machine that has less free space than `limits.min_free_mb`.
///
/// # Errors
/// A failure of the host that names the folder, what is free and what has to be.
pub(crate) fn check(settings: &Settings) -> Result<(), SliceError> {
    let floor = settings.limits.min_free_mb.saturating_mul(1 << 20);
    let Some(folder) = settings.lake_url.strip_prefix("file:") else { return Ok(()) };
    let Some(free) = free_bytes(Path::new(folder.trim_start_matches("//"))).filter(|free| *free < floor) else {
        return Ok(());
    };
    let reason = format!(
        "the disk of {folder} has {} MiB of free space, and nothing is fetched below {} MiB (min_free_mb of [limits]): free \
         space, or run `sluice maintain`",
        free >> 20,
        settings.limits.min_free_mb
    );
    tracing::error!(folder, free_bytes = free, "the lake's disk is full");
    Err(SliceError::new(ErrorKind::Host, reason))
}

/// Paths of the lake and the state store on this machine, with what is free there in bytes: one path per disk.
pub(crate) fn disks(settings: &Settings) -> Vec<(String, u64)> {
    let urls = [settings.lake_url.strip_prefix("file:"), settings.state_url.strip_prefix("sqlite:")];
    let mut disks = BTreeMap::new();
    for path in urls.into_iter().flatten().map(|path| path.trim_start_matches("//")) {
        let Some(existing) = Path::new(path).ancestors().find(|folder| folder.exists()) else { continue };
        let device = rustix::fs::stat(existing).map(|found| found.st_dev).ok();
        if let Some(free) = free_bytes(existing) {
            disks.entry(device).or_insert_with(|| (path.to_owned(), free));
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
}
