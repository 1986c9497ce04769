//! What `sluice fuzz` does: changes the bodies of fixtures, and finds those on which a connector fails.
//!
//! A connector may refuse any body and reject any record. It may not trap, take too long or too much, return what the host
//! refuses, or return something else for the same bytes.

mod bodies;
mod dice;
mod minimise;
mod mutate;
mod problem;
mod spans;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use sluice_engine::Connector;
use sluice_model::Digest;

use crate::answer::{Sample, play};
use crate::error::Error;
use crate::fixture::Fixtures;
use bodies::{Bodies, Subject};
use minimise::minimised;
use problem::Problem;

/// A search ends with so many findings: what else there is shows once these are corrected.
const MOST_FINDINGS: usize = 20;
/// Characters of a digest in a file's name.
const NAME_DIGITS: usize = 12;

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct FuzzOptions {
    /// The same seed tries the same bodies in the same order.
    pub seed: u64,
    /// When the search ends. Making a finding small isn't part of it.
    pub time: Duration,
}

/// A body on which a connector fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FuzzFinding {
    /// What it does that it may not: `trap`, `time-out`, `memory`, `large-result`, `refused-result`, `not-deterministic`, or
    /// `host` if the host itself failed.
    pub kind: &'static str,
    /// The stream.
    pub stream: String,
    /// The case whose answer was changed.
    pub case: String,
    /// What the host reports, with the guest's own text.
    pub text: String,
    /// The size of the body.
    pub bytes: usize,
    /// The file that holds it.
    pub file: PathBuf,
}

/// What a search found.
#[derive(Clone, Debug, Serialize)]
pub struct FuzzReport {
    /// The connector's network.
    pub network: String,
    /// The connector's version, from its manifest.
    pub version: String,
    /// What the order of bodies followed from; none of a replay.
    pub seed: Option<u64>,
    /// How many answers of fixtures were changed.
    pub answers: usize,
    /// How many bodies were tried.
    pub tried: u64,
    /// The bodies on which it fails, each for another reason.
    pub findings: Vec<FuzzFinding>,
}

impl FuzzReport {
    fn new(connector: &Connector, seed: Option<u64>, answers: usize) -> Self {
        let (network, version) = (connector.network().to_owned(), connector.version().to_owned());
        Self { network, version, seed, answers, tried: 0, findings: Vec::new() }
    }
}

/// Tries bodies until the time is over. What is found is made small and written into the folder `fuzz` beside the fixtures.
/// `on_try` gets the number of findings before each body.
///
/// # Errors
/// Fixtures that can't be read or have no answer, and a finding that can't be written.
pub fn fuzz(
    connector: &Connector,
    fixtures: &Fixtures,
    options: FuzzOptions,
    mut on_try: impl FnMut(usize),
) -> Result<FuzzReport, Error> {
    let samples = samples(connector, fixtures)?;
    let subjects: Vec<Subject<'_>> = samples.iter().map(|sample| Subject::of(connector, sample)).collect();
    let mut report = FuzzReport::new(connector, Some(options.seed), samples.len());
    let mut known = BTreeSet::new();
    let begun = Instant::now();
    for (subject, body) in Bodies::new(&subjects, options.seed) {
        if begun.elapsed() >= options.time || report.findings.len() >= MOST_FINDINGS {
            break;
        }
        on_try(report.findings.len());
        report.tried += 1;
        let Some(found) = problem_of(connector, subject.sample, &body).filter(|found| known.insert(found.key.clone()))
        else {
            continue;
        };
        let fails = |body: &[u8]| problem_of(connector, subject.sample, body).is_some_and(|now| now.key == found.key);
        let small = minimised(body, &subject.markup, found.most_tries(), fails);
        // Of the small body: what is reported may name its values.
        let found = problem_of(connector, subject.sample, &small).unwrap_or(found);
        let is_final = found.is_final();
        report.findings.push(write(&fixtures.folder, subject.sample, found, &small)?);
        if is_final {
            break;
        }
    }
    Ok(report)
}

/// Tries one body in place of the body of each answer. Nothing is written.
///
/// # Errors
/// A file or fixtures that can't be read.
pub fn replay(connector: &Connector, fixtures: &Fixtures, file: &Path) -> Result<FuzzReport, Error> {
    let body = std::fs::read(file).map_err(Error::read(file))?;
    let samples = samples(connector, fixtures)?;
    let mut report = FuzzReport::new(connector, None, samples.len());
    let mut known = BTreeSet::new();
    for sample in &samples {
        report.tried += 1;
        let found = problem_of(connector, sample, &body).filter(|found| known.insert(found.key.clone()));
        report.findings.extend(found.map(|found| finding(sample, found, body.len(), file.to_owned())));
    }
    Ok(report)
}

/// The answers of all cases.
fn samples(connector: &Connector, fixtures: &Fixtures) -> Result<Vec<Sample>, Error> {
    let mut samples = Vec::new();
    for case in &fixtures.cases {
        let (_, played) = play(connector, fixtures, case)?;
        samples.extend(played);
    }
    if samples.is_empty() {
        return Err(Error::fixture(&fixtures.folder, "no case has an answer whose body could be changed"));
    }
    Ok(samples)
}

/// What the connector does with a body in place of an answer's own.
fn problem_of(connector: &Connector, sample: &Sample, body: &[u8]) -> Option<Problem> {
    let mut changed = sample.clone();
    changed.answer.body = Bytes::copy_from_slice(body);
    Problem::of(connector, &changed)
}

fn finding(sample: &Sample, found: Problem, bytes: usize, file: PathBuf) -> FuzzFinding {
    let (stream, case) = (sample.slice.stream.clone(), sample.case.clone());
    FuzzFinding { kind: found.kind, stream, case, text: found.text, bytes, file }
}

/// Writes the body of a finding.
fn write(fixtures: &Path, sample: &Sample, found: Problem, body: &[u8]) -> Result<FuzzFinding, Error> {
    // In `fixtures` itself each folder is a case.
    let folder = match fixtures.file_name() {
        Some(_) => fixtures.with_file_name("fuzz"),
        None => fixtures.join("../fuzz"),
    };
    std::fs::create_dir_all(&folder).map_err(Error::write(&folder))?;
    let digest = Digest::of(body).to_hex();
    let digest = digest.get(..NAME_DIGITS).unwrap_or(&digest);
    let file = folder.join(format!("{}-{}-{digest}", sample.case, found.kind));
    std::fs::write(&file, body).map_err(Error::write(&file))?;
    Ok(finding(sample, found, body.len(), file))
}
