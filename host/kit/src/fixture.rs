//! The files of `fixtures/`: the slice of all cases, and for each case the answers of the network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sluice_engine::Connector;
use sluice_model::{Axis, Slice, Window};

use crate::error::Error;

/// A folder of fixtures, read.
#[derive(Clone, Debug)]
pub struct Fixtures {
    /// The folder that has `slice.json` and the cases.
    pub folder: PathBuf,
    /// `slice.json`: what all cases read unless they say otherwise.
    slice: Map<String, Value>,
    /// The cases, by name.
    pub cases: Vec<Case>,
}

/// One case: a subfolder.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its folder, by whose name reports call it.
    pub folder: PathBuf,
    /// The network's answers, in the order in which they come.
    pub answers: Vec<StoredAnswer>,
    /// Whether the answers are in numbered folders: then each answers a request that was planned or followed.
    pub is_chain: bool,
}

/// An answer of the network.
#[derive(Clone, Debug)]
pub struct StoredAnswer {
    /// `response.json`.
    pub about: ResponseFile,
    /// The bytes of the file `body`.
    pub body: Bytes,
}

/// `response.json`: an answer without its body.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseFile {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Which of the planned requests it answers, from 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub plan_request: usize,
    /// The state of the request that it answers, if that isn't a planned one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// In a chain: the key of the request that it answers [default: the first that waits].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What differs from `slice.json`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub slice: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// `slice.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SliceFile {
    stream: String,
    account: String,
    #[serde(default)]
    settings: BTreeMap<String, String>,
    since: String,
    until: String,
    axis: Axis,
    #[serde(default)]
    cursor: Option<String>,
}

impl Fixtures {
    /// Reads a folder of fixtures.
    ///
    /// # Errors
    /// A file that is missing, or isn't what it should be.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let slice = read_json(&folder.join("slice.json"))?;
        let cases = folders(folder)?.into_iter().map(Case::read).collect::<Result<_, _>>()?;
        Ok(Self { folder: folder.to_owned(), slice, cases })
    }

    /// The slice of all cases.
    ///
    /// # Errors
    /// What is wrong with `slice.json`.
    pub fn slice(&self, connector: &Connector) -> Result<Slice, Error> {
        self.slice_with(connector, &Map::new(), &self.folder.join("slice.json"))
    }

    /// The slice of a case.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn slice_of(&self, connector: &Connector, case: &Case) -> Result<Slice, Error> {
        let Some(first) = case.answers.first() else { return self.slice(connector) };
        self.slice_with(connector, &first.about.slice, &case.folder)
    }

    fn slice_with(&self, connector: &Connector, changes: &Map<String, Value>, path: &Path) -> Result<Slice, Error> {
        let mut all = self.slice.clone();
        all.extend(changes.clone());
        let wrong = |what: &dyn std::fmt::Display| Error::fixture(path, format!("the slice: {what}"));
        let file: SliceFile = serde_json::from_value(Value::Object(all)).map_err(|error| wrong(&error))?;
        let SliceFile { stream: name, account, settings, since, until, axis, cursor } = file;
        let manifest = connector.manifest();
        let stream = manifest.stream(&name).ok_or_else(|| wrong(&format!("there is no stream `{name}`")))?;
        let window: Window = format!("{since}/{until}").parse().map_err(|error| wrong(&error))?;
        let timezone = stream.timezone.parse().map_err(|_| wrong(&format!("no zone: `{}`", stream.timezone)))?;
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        for setting in &manifest.settings {
            all.extend(setting.default.clone().map(|default| (setting.name.clone(), default)));
        }
        all.extend(settings);
        Ok(Slice {
            network: manifest.network.clone(),
            account,
            stream: name,
            settings: all.into_iter().collect(),
            window,
            timezone,
            axis,
            cursor,
        })
    }
}

impl Case {
    /// Its name: that of its folder.
    pub fn name(&self) -> String {
        self.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn read(folder: PathBuf) -> Result<Self, Error> {
        let mut parts = folders(&folder)?;
        let is_chain = !parts.is_empty();
        if !is_chain {
            let answers = vec![StoredAnswer::read(&folder)?];
            return Ok(Self { folder, answers, is_chain });
        }
        let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        if let Some(odd) = parts.iter().find(|part| number(part).is_none()) {
            return Err(Error::fixture(odd, "the folders of a case's answers are numbers: 1, 2 …"));
        }
        parts.sort_by_key(number);
        let answers = parts.iter().map(|part| StoredAnswer::read(part)).collect::<Result<_, _>>()?;
        Ok(Self { folder, answers, is_chain })
    }
}

impl StoredAnswer {
    fn read(folder: &Path) -> Result<Self, Error> {
        let body = folder.join("body");
        let bytes = std::fs::read(&body).map_err(Error::read(&body))?;
        Ok(Self { about: read_json(&folder.join("response.json"))?, body: Bytes::from(bytes) })
    }
}

/// The folders in a folder, sorted by name.
fn folders(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::read(folder))? {
        let path = entry.map_err(Error::read(folder))?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::read(path))?;
    serde_json::from_str(&text).map_err(|error| Error::fixture(path, error))
}
