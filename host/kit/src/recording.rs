//! From live answers to fixtures that name nobody.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sluice_engine::{Connector, visible_headers};
use sluice_model::{Digest, Format, Op, RawObject, Slice};

use crate::answer::play;
use crate::error::Error;
use crate::fixture::{Fixtures, ResponseFile};
use crate::rows::{all_rows, row_count};
use crate::scrub::{Fields, Scrubber, stands_in};

/// The account of all fixtures.
const ACCOUNT: &str = "main";
/// Headers of an answer that a connector may read, besides those that begin with `x-`.
const HEADERS: [&str; 3] = ["content-type", "link", "retry-after"];

/// What was recorded.
#[derive(Clone, Debug, Serialize)]
pub struct Recording {
    /// The folders of the cases, one for each slice.
    pub cases: Vec<PathBuf>,
    /// How many answers they have.
    pub answers: usize,
    /// How many rows they give: transactions and facts of other kinds.
    pub rows: usize,
    /// What doesn't play as it was recorded.
    pub warnings: Vec<String>,
}

/// Writes answers of raw, oldest first, into a folder of fixtures: a case for each slice, with its expectation. Ids, names and
/// references are replaced, the same ones by the same everywhere. `answers`: each with its unpacked body.
///
/// # Errors
/// An answer that can't be scrubbed, a folder that can't be written or holds such a case, or a file in which something of what
/// had to be replaced is left: then no case is kept.
pub fn record(connector: &Connector, answers: &[(RawObject, Bytes)], into: &Path) -> Result<Recording, Error> {
    let answers: Vec<_> =
        answers.iter().filter(|(raw, _)| ["answered", "step"].contains(&raw.outcome.as_str())).collect();
    let mut scrub = Scrub::learn(connector, &answers)?;
    let mut slices: Vec<(String, Vec<&(RawObject, Bytes)>)> = Vec::new();
    for answer in answers {
        let id = answer.0.slice.id();
        match slices.iter_mut().find(|(slice, _)| *slice == id) {
            Some((_, answers)) => answers.push(answer),
            None => slices.push((id, vec![answer])),
        }
    }
    if slices.is_empty() {
        return Err(Error::NothingRecorded);
    }
    let mut recording = Recording { cases: Vec::new(), answers: 0, rows: 0, warnings: Vec::new() };
    let written = recording.write(connector, &slices, into, &mut scrub);
    if written.is_err() {
        for case in &recording.cases {
            // What can't be removed is reported by the error that is returned.
            let _ = std::fs::remove_dir_all(case);
        }
    }
    written.map(|()| recording)
}

impl Recording {
    fn write(
        &mut self,
        connector: &Connector,
        slices: &[(String, Vec<&(RawObject, Bytes)>)],
        into: &Path,
        scrub: &mut Scrub<'_>,
    ) -> Result<(), Error> {
        for (place, (_, answers)) in slices.iter().enumerate() {
            let Some((first, _)) = answers.first() else { continue };
            let case = into.join(format!("recorded-{}-{}-{}", first.slice.stream, first.slice.axis.name(), place + 1));
            if case.exists() {
                return Err(Error::Exists { path: case });
            }
            self.cases.push(case.clone());
            let slice = scrub.slice(&first.slice);
            let base = into.join("slice.json");
            if !base.exists() {
                write(&base, format!("{:#}\n", Value::Object(slice.clone())).as_bytes())?;
            }
            for (nth, (raw, body)) in answers.iter().enumerate() {
                let folder = case.join((nth + 1).to_string());
                let mut about = scrub.about(raw);
                if nth == 0 {
                    about.slice.clone_from(&slice);
                }
                let about = serde_json::to_value(about).map_err(|error| Error::fixture(&folder, error))?;
                write(&folder.join("response.json"), format!("{about:#}\n").as_bytes())?;
                write(&folder.join("body"), &scrub.body(raw, body))?;
                self.answers += 1;
            }
        }
        self.expect(connector, into)?;
        self.cases.iter().try_for_each(|case| scrub.check(case))
    }

    /// Plays the cases, and writes what they give.
    fn expect(&mut self, connector: &Connector, into: &Path) -> Result<(), Error> {
        let fixtures = Fixtures::read(into)?;
        for case in fixtures.cases.iter().filter(|case| self.cases.contains(&case.folder)) {
            let (seen, _) = play(connector, &fixtures, case)?;
            for answer in seen["answers"].as_array().into_iter().flatten() {
                self.rows += row_count(answer);
                // Where mapping fails, `mapped` is the reason: nothing was learned of where names land.
                for error in [&answer["error"], &answer["mapped"]].into_iter().filter_map(Value::as_str) {
                    self.warnings.push(format!("{}: {error}", case.name()));
                }
            }
            if seen["unanswered"].as_array().is_some_and(|keys| !keys.is_empty()) {
                self.warnings.push(format!("{}: without an answer: {}", case.name(), seen["unanswered"]));
            }
            write(&case.folder.join("expected.json"), format!("{seen:#}\n").as_bytes())?;
        }
        Ok(())
    }
}

/// What is replaced in the answers of a connector.
struct Scrub<'a> {
    connector: &'a Connector,
    scrubber: Scrubber,
    fields: BTreeMap<String, Fields>,
}

impl<'a> Scrub<'a> {
    /// Learns what there is to replace in all answers.
    fn learn(connector: &'a Connector, answers: &[&(RawObject, Bytes)]) -> Result<Self, Error> {
        let bodies: String = answers.iter().map(|(raw, _)| raw.body.to_hex()).collect();
        let words = connector.manifest().statuses.iter().map(|status| status.token.clone()).collect();
        let scrubber = Scrubber::new(Digest::of(bodies.as_bytes()), words);
        let mut scrub = Self { connector, scrubber, fields: BTreeMap::new() };
        for (raw, body) in answers {
            let name = &raw.slice.stream;
            let Some(stream) = connector.manifest().stream(name).filter(|_| raw.request.yields_records) else {
                continue;
            };
            if stream.layout.format == Format::Opaque {
                return Err(Error::Opaque { stream: name.clone() });
            }
            let found = connector.decode_response(name, raw.status, visible_headers(&raw.headers), body.clone());
            let Some(decoded) = found.decoded else { continue };
            let batch = decoded.batch.clone();
            let mapped = connector.map(&raw.slice, &raw.request, &found.response, decoded).ok();
            let rows = mapped.as_ref().map(all_rows).unwrap_or_default();
            scrub.fields.entry(name.clone()).or_default().learn(&batch, &stream.layout.inputs, &rows);
        }
        for (raw, _) in answers {
            scrub.keep_words(&raw.slice);
        }
        // Once without keeping anything, so that what the last answer has is known in the first.
        for (raw, body) in answers {
            scrub.slice(&raw.slice);
            scrub.body(raw, body);
        }
        Ok(scrub)
    }

    /// Keeps the words of requests, as they are planned for an account that has no names.
    fn keep_words(&mut self, slice: &Slice) {
        let settings = self.settings(slice);
        let requests = self.connector.plan(&Slice { settings, ..slice.clone() }).unwrap_or_default();
        for op in requests.iter().flat_map(|request| request.url.iter().chain(request.body.iter().flatten())) {
            if let Op::Text(text) = op {
                self.scrubber.keep_words(text);
            }
        }
    }

    fn body(&mut self, raw: &RawObject, body: &Bytes) -> Vec<u8> {
        let stream = self.connector.manifest().stream(&raw.slice.stream).filter(|_| raw.request.yields_records);
        let format = stream.map(|stream| &stream.layout.format);
        let none = Fields::default();
        let fields = self.fields.get(&raw.slice.stream).unwrap_or(&none);
        self.scrubber.body(body, format, fields)
    }

    /// The settings of a slice: those that identify the account are replaced.
    fn settings(&mut self, slice: &Slice) -> Vec<(String, String)> {
        let manifest = self.connector.manifest();
        let replaced = slice.settings.iter().map(|(name, value)| {
            let setting = manifest.settings.iter().find(|setting| setting.name == *name);
            let identifies = setting.is_some_and(|setting| setting.identifies);
            let value = if identifies { self.scrubber.replace(value) } else { value.clone() };
            (name.clone(), value)
        });
        replaced.collect()
    }

    /// `slice.json` of a slice.
    fn slice(&mut self, slice: &Slice) -> Map<String, Value> {
        let settings: Map<String, Value> =
            self.settings(slice).into_iter().map(|(name, value)| (name, value.into())).collect();
        let window = slice.window.to_string();
        let (since, until) = window.split_once('/').unwrap_or_default();
        let file = json!({
            "account": ACCOUNT, "axis": slice.axis, "stream": slice.stream, "settings": settings,
            "since": since, "until": until,
        });
        file.as_object().cloned().unwrap_or_default()
    }

    /// `response.json` of an answer.
    fn about(&self, raw: &RawObject) -> ResponseFile {
        let headers = visible_headers(&raw.headers).into_iter();
        let kept = headers.filter(|(name, _)| HEADERS.contains(&name.as_str()) || name.starts_with("x-"));
        ResponseFile {
            status: raw.status,
            headers: kept.map(|(name, value)| (name, self.scrubber.line(&value))).collect(),
            plan_request: 0,
            state: None,
            request: Some(self.scrubber.line(&raw.request.key)),
            slice: Map::new(),
        }
    }

    /// Whether any file of a case still has a text that was replaced.
    fn check(&self, case: &Path) -> Result<(), Error> {
        let mut folders = vec![case.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).map_err(Error::read(&folder))? {
                let path = entry.map_err(Error::read(&folder))?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let bytes = std::fs::read(&path).map_err(Error::read(&path))?;
                let text = String::from_utf8_lossy(&bytes);
                if let Some(replaced) = self.scrubber.replaced().find(|replaced| stands_in(&text, replaced)) {
                    return Err(Error::Leak { text: replaced.to_owned(), path });
                }
            }
        }
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent).map_err(Error::write(parent))?;
    std::fs::write(path, bytes).map_err(Error::write(path))
}
