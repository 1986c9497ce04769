//! `sluice dev`: builds a connector when its files change, and shows how its records change.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use sluice_engine::Engine;
use sluice_kit::{Fixtures, Source, difference};
use sluice_runtime::failure::Failure;
use sluice_runtime::text::count;

use super::{engine, failed, load};
use crate::arguments::DevArgs;

/// How often the files are looked at.
const POLL: Duration = Duration::from_millis(300);
/// What builds write.
const BUILT: [&str; 7] = ["target", "node_modules", ".venv", "__pycache__", ".git", "dist", "Cargo.lock"];
/// Most lines of a difference that are shown.
const MOST_LINES: usize = 60;

/// Works until it is interrupted. A build that fails is shown, and the next change is waited for.
///
/// # Errors
/// A path that holds no connector.
pub(in crate::commands) async fn dev(args: &DevArgs) -> Result<(), Failure> {
    let source = Source::of(&args.path).map_err(failed)?;
    let fixtures = args.fixtures.clone().unwrap_or_else(|| source.fixtures());
    let engine = engine()?;
    let mut before = None;
    loop {
        let changed = newest(&args.path).max(newest(&fixtures));
        let (engine, source, fixtures_of) = (engine.clone(), source.clone(), fixtures.clone());
        let played = tokio::task::spawn_blocking(move || play(&engine, &source, &fixtures_of));
        match played.await.map_err(Failure::failed)? {
            Ok(now) => {
                show(before.as_ref(), &now)?;
                before = Some(now);
            }
            Err(failure) => eprintln!("{}", failure.render(false)),
        }
        writeln!(std::io::stdout(), "waiting for a change in {}", args.path.display())?;
        while newest(&args.path).max(newest(&fixtures)) == changed {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
            }
        }
    }
}

/// What the connector makes of each case, and what is expected of it.
struct Played {
    network: String,
    /// By the file of the expectation: what is seen, and what is expected.
    files: BTreeMap<String, (String, Option<String>)>,
}

fn play(engine: &Engine, source: &Source, folder: &Path) -> Result<Played, Failure> {
    let connector = load(engine, source)?;
    let fixtures = Fixtures::read(folder).map_err(failed)?;
    let mut files = BTreeMap::new();
    let mut add = |file: &Path, seen: &serde_json::Value| {
        let name = file.strip_prefix(folder).unwrap_or(file).display().to_string();
        files.insert(name, (format!("{seen:#}\n"), std::fs::read_to_string(file).ok()));
    };
    let slice = fixtures.slice(&connector).map_err(failed)?;
    add(&folder.join("plan.json"), &sluice_kit::plan(&connector, &slice));
    for case in &fixtures.cases {
        let (seen, _) = sluice_kit::play(&connector, &fixtures, case).map_err(failed)?;
        add(&case.folder.join("expected.json"), &seen);
    }
    Ok(Played { network: format!("{} {}", connector.network(), connector.version()), files })
}

/// Shows what differs from the last time, or, the first time, from what is expected.
fn show(before: Option<&Played>, now: &Played) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut unexpected = 0;
    for (file, (seen, expected)) in &now.files {
        unexpected += u64::from(expected.as_ref() != Some(seen));
        let earlier = match before {
            Some(before) => before.files.get(file).map(|(seen, _)| seen),
            None => expected.as_ref(),
        };
        let lines = difference(earlier.map(String::as_str).unwrap_or_default(), seen);
        if lines.is_empty() {
            continue;
        }
        writeln!(out, "{file}")?;
        for line in lines.iter().take(MOST_LINES) {
            writeln!(out, "  {line}")?;
        }
        if let Some(more) = lines.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
            writeln!(out, "  and {}", count(more as u64, "line"))?;
        }
    }
    let of = count(now.files.len() as u64, "expectation");
    match unexpected {
        0 => writeln!(out, "{}: all of {of} are met", now.network),
        n => writeln!(out, "{}: {n} of {of} differ; `sluice test --bless` takes them as expected", now.network),
    }
}

/// When the newest file was written, without what builds write; and how many there are.
fn newest(path: &Path) -> (Option<SystemTime>, u64) {
    let Ok(entries) = std::fs::read_dir(path) else {
        return (std::fs::metadata(path).and_then(|file| file.modified()).ok(), 1);
    };
    let mut found = (None, 0);
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_component = Path::new(&name).extension().is_some_and(|extension| extension == "wasm");
        if is_component || BUILT.iter().any(|built| name == *built) {
            continue;
        }
        let (time, files) = newest(&entry.path());
        found = (found.0.max(time), found.1 + files);
    }
    found
}
