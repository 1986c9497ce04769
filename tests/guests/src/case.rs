//! The folders: each guest beside its expected outcome.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::guest::Guest;

/// What a folder may hold as its guest, one of these.
const SOURCES: [&str; 4] = ["guest.json", "guest.wat", "guest.wasm", "build.sh"];

/// A guest and its expected outcome.
#[derive(Clone, Debug)]
pub struct Case {
    /// The folder's name.
    pub name: String,
    /// The component; none if another language's tools have to make it.
    pub component: Option<Vec<u8>>,
    /// Its expected outcome.
    pub expectation: Expectation,
}

/// `expect.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Where it is stopped.
    pub stopped_in: Stage,
    /// The error, whole.
    #[serde(default)]
    pub error: Option<String>,
    /// What a run says of it, if that isn't the error; a part of it is enough.
    #[serde(default)]
    pub run_says: Option<String>,
    /// Secret slots that the operator fills.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Ids that its rows shall have, where it gives some.
    #[serde(default)]
    pub ids: Vec<String>,
}

/// A step at which a guest can be stopped, in the order in which a run takes them.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// When its file is looked at.
    Load,
    /// When it is asked for a slice's requests.
    Plan,
    /// When it judges a response.
    Follow,
    /// When it maps one.
    Map,
    /// When its requests are to be sent.
    Fetch,
    /// By what watches over a whole run.
    Run,
    /// Nowhere: it tried, and got nowhere.
    Nowhere,
}

/// Every guest's folder, by name.
///
/// # Errors
/// A folder without guest or without expectation, and whatever of them makes no sense.
pub fn cases() -> anyhow::Result<Vec<Case>> {
    let root = repository().join("tests/guests");
    let folders = std::fs::read_dir(&root).with_context(|| format!("cannot read {}", root.display()))?;
    let mut folders: Vec<PathBuf> = folders.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    folders.retain(|path| path.is_dir() && !path.ends_with("src"));
    folders.sort();
    folders.iter().map(|folder| in_folder(folder).with_context(|| format!("{}", folder.display()))).collect()
}

/// The guest of this name.
///
/// # Errors
/// As [`cases`].
pub fn case(name: &str) -> anyhow::Result<Case> {
    in_folder(&repository().join("tests/guests").join(name)).with_context(|| format!("tests/guests/{name}"))
}

/// The expected outcome of a guest.
///
/// # Errors
/// A folder that doesn't say it.
pub fn expectation(name: &str) -> anyhow::Result<Expectation> {
    let file = repository().join("tests/guests").join(name).join("expect.json");
    let text = std::fs::read(&file)
        .with_context(|| format!("nothing gives the expected outcome of the guest: {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("cannot read {}", file.display()))
}

fn in_folder(folder: &Path) -> anyhow::Result<Case> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sources: Vec<&str> = SOURCES.into_iter().filter(|source| folder.join(source).is_file()).collect();
    ensure!(sources.len() == 1, "it needs one guest, as one of {SOURCES:?}, and has {sources:?}");
    let expectation = expectation(&name)?;
    let read = || std::fs::read(folder.join(sources[0]));
    let component = match sources[0] {
        "guest.json" => {
            Some(Guest::new(&name, &serde_json::from_slice(&read()?).context("its guest.json is wrong")?).component()?)
        }
        "guest.wat" => Some(wat::parse_bytes(&read()?)?.into_owned()),
        "guest.wasm" => Some(read()?),
        _ => None,
    };
    Ok(Case { name, component, expectation })
}

/// The repository's root.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
