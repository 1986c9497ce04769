//! Files that come, change and go.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_registry::{FileOutcome, Registry, Serving};

use crate::guest::Guest;
use crate::{engine, wait};

struct Directory {
    dir: tempfile::TempDir,
    registry: Arc<Registry>,
}

impl Directory {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Arc::new(wait(Registry::open(engine(), dir.path())).unwrap());
        Self { dir, registry }
    }

    /// A folder in which version 1.0.0 of Awin serves.
    fn with_awin() -> Self {
        let directory = Self::new();
        directory.scanned("awin.wasm", &connector("awin", "1.0.0"));
        directory
    }

    fn put(&self, file: &str, bytes: &[u8]) {
        let aside = self.dir.path().join(".aside");
        fs::write(&aside, bytes).unwrap();
        fs::rename(aside, self.dir.path().join(file)).unwrap();
    }

    /// Has a file in the folder, and what the registry makes of it.
    fn scanned(&self, file: &str, bytes: &[u8]) -> Vec<FileOutcome> {
        self.put(file, bytes);
        self.rescan()
    }

    fn rescan(&self) -> Vec<FileOutcome> {
        wait(self.registry.rescan()).into_iter().map(|change| change.outcome).collect()
    }

    fn version(&self, network: &str) -> Option<String> {
        self.registry.get(network).map(|connector| connector.version().to_owned())
    }

    fn refusal(&self, file: &str) -> Option<String> {
        let entry = self.registry.entries().into_iter().find(|entry| entry.file == file).expect("an entry");
        entry.refusal().map(str::to_owned)
    }
}

fn connector(network: &str, version: &str) -> Vec<u8> {
    Guest::new(network, version).component()
}

#[test]
fn a_new_file_serves_and_an_unchanged_one_is_left_alone() {
    let directory = Directory::new();
    assert_eq!(directory.version("awin"), None);
    let outcomes = directory.scanned("awin.wasm", &connector("awin", "1.0.0"));
    assert!(matches!(&outcomes[..], [FileOutcome::Serves { network, replaces: None, .. }] if network == "awin"));
    assert_eq!(directory.version("awin").as_deref(), Some("1.0.0"));
    assert!(directory.rescan().is_empty());
}

#[test]
fn a_changed_file_is_switched_and_running_slices_keep_theirs() {
    let directory = Directory::with_awin();
    let running = directory.registry.get("awin").unwrap();
    let outcomes = directory.scanned("awin.wasm", &connector("awin", "1.0.1"));
    assert!(matches!(&outcomes[..], [FileOutcome::Serves { replaces: Some(before), .. }] if before == "1.0.0"));
    assert_eq!(directory.version("awin").as_deref(), Some("1.0.1"));
    assert_eq!(running.version(), "1.0.0");
}

#[test]
fn a_broken_file_is_refused_while_the_old_one_serves() {
    let directory = Directory::with_awin();
    directory.put("awin.wasm", b"<html>");
    assert!(matches!(&directory.rescan()[..], [FileOutcome::Held(Serving::Refused(reason))] if reason.hint.is_some()));
    assert_eq!(directory.version("awin").as_deref(), Some("1.0.0"));
    assert_eq!(
        directory.refusal("awin.wasm").as_deref(),
        Some("cannot load connector `awin.wasm`: the file is not WebAssembly")
    );
    // The same refusal isn't reported twice.
    assert!(directory.rescan().is_empty());
    directory.scanned("awin.wasm", &connector("awin", "1.0.2"));
    assert_eq!(directory.version("awin").as_deref(), Some("1.0.2"));
    assert_eq!(directory.refusal("awin.wasm"), None);
}

#[test]
fn half_a_file_is_refused_until_the_rest_is_there() {
    let directory = Directory::new();
    let whole = connector("awin", "1.0.0");
    fs::write(directory.dir.path().join("awin.wasm"), &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(&directory.rescan()[..], [FileOutcome::Held(Serving::Refused(_))]));
    fs::write(directory.dir.path().join("awin.wasm"), &whole).unwrap();
    assert!(matches!(&directory.rescan()[..], [FileOutcome::Serves { .. }]));
}

#[test]
fn a_file_that_is_put_back_serves_again() {
    let directory = Directory::new();
    let good = connector("awin", "1.0.0");
    directory.scanned("awin.wasm", &good);
    directory.scanned("awin.wasm", b"");
    directory.scanned("awin.wasm", &good);
    assert_eq!(directory.refusal("awin.wasm"), None);
}

#[test]
fn a_removed_file_stops_serving() {
    let directory = Directory::with_awin();
    fs::remove_file(directory.dir.path().join("awin.wasm")).unwrap();
    let outcomes = directory.rescan();
    assert!(matches!(&outcomes[..], [FileOutcome::Removed { network: Some(network) }] if network == "awin"));
    assert_eq!(directory.version("awin"), None);
    assert!(directory.registry.entries().is_empty());
}

#[test]
fn the_first_file_of_a_network_serves_and_the_second_waits() {
    let directory = Directory::new();
    directory.scanned("b.wasm", &connector("awin", "1.0.0"));
    directory.scanned("a.wasm", &connector("awin", "2.0.0"));
    assert_eq!(directory.version("awin").as_deref(), Some("1.0.0"));
    assert_eq!(
        directory.refusal("a.wasm").as_deref(),
        Some("cannot load connector `a.wasm`: network `awin` is already served by `b.wasm`")
    );
    fs::remove_file(directory.dir.path().join("b.wasm")).unwrap();
    directory.rescan();
    assert_eq!(directory.version("awin").as_deref(), Some("2.0.0"));
    assert_eq!(directory.refusal("a.wasm"), None);
}

#[test]
fn a_file_that_turns_to_another_network_is_refused() {
    let directory = Directory::with_awin();
    directory.scanned("awin.wasm", &connector("cj", "1.0.0"));
    assert_eq!(directory.version("awin").as_deref(), Some("1.0.0"));
    assert_eq!(directory.version("cj"), None);
    assert_eq!(
        directory.refusal("awin.wasm").as_deref(),
        Some("cannot load connector `awin.wasm`: it says that it serves `cj`, but this file serves `awin`")
    );
}

#[test]
fn a_renamed_file_goes_on_serving() {
    let directory = Directory::with_awin();
    fs::rename(directory.dir.path().join("awin.wasm"), directory.dir.path().join("network-awin.wasm")).unwrap();
    directory.rescan();
    assert_eq!(directory.version("awin").as_deref(), Some("1.0.0"));
    assert_eq!(directory.registry.entries().len(), 1);
}

/// As an orchestrator mounts files: the file is a link into a folder that is itself a link, which is switched.
#[cfg(unix)]
#[test]
fn a_link_serves_what_it_leads_to_though_time_and_size_are_the_same() {
    let directory = Directory::new();
    let path = |name: &str| directory.dir.path().join(name);
    let time = std::time::SystemTime::UNIX_EPOCH;
    for (folder, version) in [("..v1", "1.0.0"), ("..v2", "1.0.1")] {
        fs::create_dir(path(folder)).unwrap();
        let file = path(folder).join("awin.wasm");
        fs::write(&file, connector("awin", version)).unwrap();
        fs::File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
    }
    std::os::unix::fs::symlink("..v1", path("..data")).unwrap();
    std::os::unix::fs::symlink("..data/awin.wasm", path("awin.wasm")).unwrap();
    directory.rescan();
    assert_eq!(directory.version("awin").as_deref(), Some("1.0.0"));
    std::os::unix::fs::symlink("..v2", path("..next")).unwrap();
    fs::rename(path("..next"), path("..data")).unwrap();
    directory.rescan();
    assert_eq!(directory.version("awin").as_deref(), Some("1.0.1"));
    fs::remove_dir_all(path("..v2")).unwrap();
    assert!(matches!(&directory.rescan()[..], [FileOutcome::Removed { .. }]), "a link to nowhere is no file");
}

#[cfg(unix)]
#[test]
fn what_is_no_plain_file_is_not_read() {
    let directory = Directory::new();
    std::os::unix::fs::symlink("/dev/zero", directory.dir.path().join("awin.wasm")).unwrap();
    std::os::unix::fs::symlink("loop.wasm", directory.dir.path().join("loop.wasm")).unwrap();
    assert!(directory.rescan().is_empty());
}

#[test]
fn what_editors_leave_behind_is_not_looked_at() {
    let directory = Directory::new();
    for name in [".awin.wasm.swp", "awin.wasm~", "#awin.wasm#", "4913", "awin.wasm.part", ".#awin.wasm", "awin.WASM"] {
        fs::write(directory.dir.path().join(name), "x").unwrap();
    }
    assert!(directory.rescan().is_empty());
}

#[test]
fn other_files_are_not_looked_at() {
    let directory = Directory::new();
    fs::write(directory.dir.path().join("README.md"), "x").unwrap();
    fs::write(directory.dir.path().join(".awin.wasm"), "x").unwrap();
    fs::create_dir(directory.dir.path().join("dir.wasm")).unwrap();
    assert!(directory.rescan().is_empty());
}

#[test]
fn a_directory_that_is_not_there_is_an_error_with_a_hint() {
    let error = wait(Registry::open(engine(), Path::new("/nowhere/connectors.d"))).unwrap_err();
    assert_eq!(error.to_string(), "cannot read /nowhere/connectors.d");
    assert!(error.hint().is_some());
}

#[test]
fn a_watched_directory_needs_no_rescan() {
    let directory = Directory::new();
    let watcher = wait(async { directory.registry.watch() }).unwrap();
    directory.put("awin.wasm", &connector("awin", "1.0.0"));
    let begun = Instant::now();
    while directory.version("awin").is_none() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the file was not noticed");
        std::thread::yield_now();
    }
    drop(watcher);
}
