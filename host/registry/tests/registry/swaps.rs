//! What a policy holds back, what records name, and what a thousand swaps leave behind.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sluice_engine::Engine;
use sluice_model::Digest;
use sluice_registry::{
    Candidate, FileOutcome, Keys, Reason, Recorded, Registry, Ruling, Serving, ServingPolicy, StoredVersion,
};

use crate::guest::Guest;
use crate::{engine, wait};

/// A policy that keeps what was active and records its calls.
#[derive(Default)]
pub(crate) struct Book {
    kept: Mutex<HashMap<Digest, Vec<u8>>>,
    active: Mutex<HashMap<String, Recorded>>,
    holds: Mutex<Option<Ruling>>,
    fails: Mutex<Option<Reason>>,
    judged: Mutex<Vec<(String, bool)>>,
    /// The files of each call that noted what serves.
    recorded_at_once: Mutex<Vec<Vec<String>>>,
    /// What happens during the next trial.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// Whether what was superseded waits, as the real policy has it.
    holds_superseded: AtomicBool,
}

#[async_trait]
impl ServingPolicy for Book {
    async fn recorded(&self, file: &str, network: Option<&str>) -> Result<Option<Recorded>, Reason> {
        let active = self.active.lock().unwrap();
        Ok(match network {
            Some(network) => active.get(network).cloned(),
            None => active.values().find(|recorded| recorded.file == file).cloned(),
        })
    }

    async fn stored(&self, digest: Digest) -> Result<StoredVersion, Reason> {
        let kept = self.kept.lock().unwrap();
        let component = kept.get(&digest).cloned().ok_or_else(|| reason("it isn't kept"))?;
        Ok(StoredVersion { component, signature: None })
    }

    async fn admit(&self, candidate: &Candidate<'_>) -> Result<Ruling, Reason> {
        self.judged.lock().unwrap().push((candidate.connector.version().to_owned(), candidate.superseded));
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(happens) = meanwhile {
            happens();
        }
        if candidate.superseded && self.holds_superseded.load(Ordering::Relaxed) {
            return Ok(Ruling::Wait(reason("another one serves by the records")));
        }
        Ok(self.holds.lock().unwrap().clone().unwrap_or(Ruling::Serve))
    }

    async fn activate(&self, candidates: &[Candidate<'_>]) -> Vec<Result<(), Reason>> {
        self.recorded_at_once.lock().unwrap().push(candidates.iter().map(|one| one.file.to_owned()).collect());
        if let Some(reason) = self.fails.lock().unwrap().clone() {
            return vec![Err(reason); candidates.len()];
        }
        for Candidate { file, connector, .. } in candidates {
            self.kept.lock().unwrap().insert(connector.digest(), connector.component().to_vec());
            let recorded = Recorded { file: (*file).to_owned(), digest: connector.digest() };
            self.active.lock().unwrap().insert(connector.network().to_owned(), recorded);
        }
        vec![Ok(()); candidates.len()]
    }
}

struct Directory {
    dir: tempfile::TempDir,
    book: Arc<Book>,
    registry: Registry,
}

impl Directory {
    fn new() -> Self {
        let (dir, book) = (tempfile::tempdir().unwrap(), Arc::new(Book::default()));
        let registry = open(engine(), dir.path(), &book);
        Self { dir, book, registry }
    }

    /// The same directory and records in another process.
    fn restart(&mut self) {
        self.registry = open(engine(), self.dir.path(), &self.book);
    }

    fn put(&self, file: &str, bytes: &[u8]) -> Vec<FileOutcome> {
        let aside = self.dir.path().join(".aside");
        fs::write(&aside, bytes).unwrap();
        fs::rename(aside, self.dir.path().join(file)).unwrap();
        wait(self.registry.rescan()).into_iter().map(|change| change.outcome).collect()
    }

    fn says(&self, verdict: Option<Ruling>) {
        *self.book.holds.lock().unwrap() = verdict;
    }

    fn version(&self) -> Option<String> {
        self.registry.get("awin").map(|connector| connector.version().to_owned())
    }

    fn state(&self) -> Serving {
        self.registry.entries().remove(0).state
    }
}

fn open(engine: Engine, dir: &std::path::Path, book: &Arc<Book>) -> Registry {
    wait(Registry::open_with_policy(engine, dir, Keys::default(), book.clone())).unwrap()
}

fn reason(text: &str) -> Reason {
    Reason { reason: text.to_owned(), hint: None }
}

fn connector(network: &str, version: &str) -> Vec<u8> {
    Guest::new(network, version).component()
}

#[test]
fn a_held_candidate_waits_beside_what_serves_until_it_is_let_in() {
    let directory = Directory::new();
    directory.put("awin.wasm", &connector("awin", "1.0.0"));
    let waits = Serving::Waiting(reason("ask the operator"));
    directory.says(Some(Ruling::Wait(reason("ask the operator"))));
    assert_eq!(directory.put("awin.wasm", &connector("awin", "1.1.0")), [FileOutcome::Held(waits.clone())]);
    assert_eq!((directory.version().as_deref(), directory.state()), (Some("1.0.0"), waits));
    assert_eq!(directory.registry.candidate("awin").unwrap().version(), "1.1.0");
    assert!(wait(directory.registry.reconsider()).is_empty(), "the same reason isn't reported twice");
    directory.says(None);
    let changes = wait(directory.registry.reconsider());
    assert!(matches!(&changes[0].outcome, FileOutcome::Serves { replaces: Some(before), .. } if before == "1.0.0"));
    assert_eq!((directory.version().as_deref(), directory.state()), (Some("1.1.0"), Serving::Serving));
}

#[test]
fn the_first_connectors_of_their_networks_are_recorded_together() {
    let (dir, book) = (tempfile::tempdir().unwrap(), Arc::new(Book::default()));
    let put = |file: &str, bytes: &[u8]| fs::write(dir.path().join(file), bytes).unwrap();
    for network in ["awin", "cj", "impact"] {
        put(&format!("{network}.wasm"), &connector(network, "1.0.0"));
    }
    // A second claimant, and a file whose network only the records could tell: what waits is recorded before them.
    put("cj-2.wasm", &connector("cj", "1.1.0"));
    put("junk.wasm", b"no component");
    let registry = open(engine(), dir.path(), &book);
    let groups = std::mem::take(&mut *book.recorded_at_once.lock().unwrap());
    let names = |group: &Vec<String>| group.join(" ");
    // The name with the hyphen comes before the one with the dot.
    assert_eq!(groups.iter().map(names).collect::<Vec<_>>(), ["awin.wasm cj-2.wasm", "impact.wasm"]);
    let versions = ["awin", "cj", "impact"].map(|network| registry.get(network).unwrap().version().to_owned());
    assert_eq!(versions, ["1.0.0", "1.1.0", "1.0.0"]);
    let held = registry.entries().into_iter().filter(|entry| entry.state != Serving::Serving).map(|entry| entry.file);
    assert_eq!(held.collect::<Vec<_>>(), ["cj.wasm", "junk.wasm"]);

    // Each that replaces another is recorded at once: a trial may take long.
    for network in ["awin", "impact"] {
        put(&format!("{network}.wasm"), &connector(network, "2.0.0"));
    }
    wait(registry.rescan());
    let groups = std::mem::take(&mut *book.recorded_at_once.lock().unwrap());
    assert_eq!(groups.iter().map(names).collect::<Vec<_>>(), ["awin.wasm", "impact.wasm"]);
}

#[test]
fn no_connector_serves_whose_record_failed() {
    let (dir, book) = (tempfile::tempdir().unwrap(), Arc::new(Book::default()));
    for network in ["awin", "cj"] {
        fs::write(dir.path().join(format!("{network}.wasm")), connector(network, "1.0.0")).unwrap();
    }
    *book.fails.lock().unwrap() = Some(reason("the disk is full"));
    let registry = open(engine(), dir.path(), &book);
    let waits = Serving::Waiting(reason("the disk is full"));
    assert!(registry.entries().iter().all(|entry| entry.state == waits));
    assert!(registry.get("awin").is_none() && registry.get("cj").is_none());
    *book.fails.lock().unwrap() = None;
    wait(registry.rescan());
    assert!(registry.get("awin").is_some() && registry.get("cj").is_some());
}

#[test]
fn a_file_that_changes_during_its_own_trial_serves_as_it_was_tried() {
    let directory = Directory::new();
    directory.put("awin.wasm", &connector("awin", "1.0.0"));
    let path = directory.dir.path().join("awin.wasm");
    let third = connector("awin", "1.2.0");
    *directory.book.meanwhile.lock().unwrap() = Some(Box::new(move || fs::write(path, third).unwrap()));
    let second = connector("awin", "1.1.0");
    directory.put("awin.wasm", &second);
    assert_eq!(directory.registry.get("awin").unwrap().digest(), Digest::of(&second), "what was tried serves");
    wait(directory.registry.rescan());
    assert_eq!(directory.version().as_deref(), Some("1.2.0"));
    let judged: Vec<String> =
        directory.book.judged.lock().unwrap().iter().map(|(version, _)| version.clone()).collect();
    assert_eq!(judged, ["1.0.0", "1.1.0", "1.2.0"], "nothing serves that wasn't tried");
}

#[test]
fn hosts_that_swap_at_once_come_to_serve_one_version() {
    let here = Directory::new();
    let dir = tempfile::tempdir().unwrap();
    let registry = open(engine(), dir.path(), &here.book);
    let there = Directory { dir, book: here.book.clone(), registry };
    let first = connector("awin", "1.0.0");
    here.put("awin.wasm", &first);
    there.put("awin.wasm", &first);
    here.book.holds_superseded.store(true, Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| here.put("awin.wasm", &connector("awin", "1.1.0")));
        scope.spawn(|| there.put("awin.wasm", &connector("awin", "1.2.0")));
    });
    let both = || [&here, &there].map(|host| wait(host.registry.reconsider()).len());
    both();
    let recorded = here.book.active.lock().unwrap()["awin"].digest;
    let serving = [&here, &there].map(|host| host.registry.get("awin").unwrap().digest());
    assert_eq!(serving, [recorded; 2], "both serve what is recorded");
    assert_eq!((both(), both()), ([0, 0], [0, 0]), "and neither switches back");
    assert_eq!(here.book.active.lock().unwrap()["awin"].digest, recorded);
}

#[test]
fn a_shadow_is_given_out_beside_what_serves() {
    let directory = Directory::new();
    directory.put("awin.wasm", &connector("awin", "1.0.0"));
    assert!(directory.registry.pair("awin").unwrap().1.is_none());
    directory.says(Some(Ruling::Shadow(reason("0 of 5 slices compared"))));
    directory.put("awin.wasm", &connector("awin", "1.1.0"));
    let (serving, beside) = directory.registry.pair("awin").unwrap();
    assert_eq!((serving.version(), beside.unwrap().version()), ("1.0.0", "1.1.0"));
}

#[test]
fn what_cannot_be_noted_does_not_serve_and_is_tried_again() {
    let directory = Directory::new();
    directory.put("awin.wasm", &connector("awin", "1.0.0"));
    *directory.book.fails.lock().unwrap() = Some(reason("the lake is away"));
    directory.put("awin.wasm", &connector("awin", "1.1.0"));
    assert_eq!(directory.version().as_deref(), Some("1.0.0"));
    assert_eq!(directory.state(), Serving::Waiting(reason("the lake is away")));
    *directory.book.fails.lock().unwrap() = None;
    wait(directory.registry.rescan());
    assert_eq!(directory.version().as_deref(), Some("1.1.0"));
}

#[test]
fn after_a_restart_what_served_serves_though_its_file_is_broken() {
    let mut directory = Directory::new();
    directory.put("awin.wasm", &connector("awin", "1.0.0"));
    directory.put("awin.wasm", b"<html>");
    directory.restart();
    assert_eq!(directory.version().as_deref(), Some("1.0.0"));
    assert!(matches!(directory.state(), Serving::Refused(_)));
}

#[test]
fn after_a_restart_an_unchanged_file_is_not_judged_again() {
    let mut directory = Directory::new();
    directory.put("awin.wasm", &connector("awin", "1.0.0"));
    directory.restart();
    assert_eq!(directory.version().as_deref(), Some("1.0.0"));
    assert_eq!(directory.book.judged.lock().unwrap().len(), 1);
}

#[test]
fn after_a_restart_a_held_candidate_is_held() {
    let mut directory = Directory::new();
    directory.put("awin.wasm", &connector("awin", "1.0.0"));
    directory.says(Some(Ruling::Refuse(reason("no"))));
    directory.put("awin.wasm", &connector("awin", "1.1.0"));
    directory.restart();
    assert_eq!(directory.version().as_deref(), Some("1.0.0"));
    assert_eq!(directory.state(), Serving::Refused(reason("no")));
}

#[test]
fn after_a_restart_the_file_that_served_goes_before_another_of_its_network() {
    let mut directory = Directory::new();
    directory.put("b.wasm", &connector("awin", "1.0.0"));
    directory.put("a.wasm", &connector("awin", "2.0.0"));
    directory.restart();
    assert_eq!(directory.version().as_deref(), Some("1.0.0"));
    assert!(directory.registry.entries()[0].refusal().unwrap().contains("already served by `b.wasm`"));
    fs::remove_file(directory.dir.path().join("b.wasm")).unwrap();
    wait(directory.registry.rescan());
    assert_eq!(directory.version().as_deref(), Some("2.0.0"));
}

#[test]
fn records_that_name_an_earlier_version_bring_it_back_from_what_is_kept() {
    let directory = Directory::new();
    let first = connector("awin", "1.0.0");
    directory.put("awin.wasm", &first);
    directory.put("awin.wasm", &connector("awin", "1.1.0"));
    let running = directory.registry.get("awin").unwrap();
    let recorded = Recorded { file: "awin.wasm".to_owned(), digest: Digest::of(&first) };
    directory.book.active.lock().unwrap().insert("awin".to_owned(), recorded);
    directory.says(Some(Ruling::Wait(reason("it was rolled back"))));
    let changes = wait(directory.registry.reconsider());
    assert!(matches!(&changes[0].outcome, FileOutcome::Serves { version, .. } if version == "1.0.0"));
    assert_eq!((directory.version().as_deref(), running.version()), (Some("1.0.0"), "1.1.0"));
    assert_eq!(directory.state(), Serving::Waiting(reason("it was rolled back")));
    let superseded = ("1.1.0".to_owned(), true);
    assert_eq!(directory.book.judged.lock().unwrap().last(), Some(&superseded), "it isn't taken for a new file");
    assert!(wait(directory.registry.rescan()).is_empty(), "what was rolled back doesn't come back by itself");
    directory.put("awin.wasm", &first);
    assert_eq!(directory.state(), Serving::Serving);
}

#[test]
fn records_of_a_version_that_is_gone_change_nothing() {
    let directory = Directory::new();
    directory.put("awin.wasm", &connector("awin", "1.0.0"));
    let recorded = Recorded { file: "awin.wasm".to_owned(), digest: Digest::of(b"gone") };
    directory.book.active.lock().unwrap().insert("awin".to_owned(), recorded);
    wait(directory.registry.reconsider());
    assert_eq!(directory.version().as_deref(), Some("1.0.0"));
}

/// Resident memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_swaps_leave_nothing_behind() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let registry = wait(Registry::open(engine.clone(), dir.path())).unwrap();
    let (file, component) = (dir.path().join("awin.wasm"), connector("awin", "1.0.0"));
    let swap = |round: u32| {
        // Every version has its own bytes, so every one is compiled.
        let note: [u8; 4] = round.to_le_bytes();
        let component = [&component[..], &[0, 6, 1, b'n'], &note].concat();
        fs::write(&file, &component).unwrap();
        let running = registry.get("awin");
        wait(registry.rescan());
        assert_eq!(registry.get("awin").unwrap().digest(), Digest::of(&component));
        assert_eq!(engine.live().connectors, 1 + usize::from(running.is_some()), "a running slice keeps its version");
    };
    (0..100).for_each(&swap);
    let before = resident();
    (100..1_100).for_each(&swap);
    let live = engine.live();
    assert_eq!((live.connectors, live.instances, live.memories), (1, 0, 0));
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "a thousand swaps left {grown} bytes behind");
    drop(registry);
    assert_eq!(engine.live().connectors, 0);
}
