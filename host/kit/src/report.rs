//! What `sluice test` finds: a connector against its fixtures and against what holds of all connectors.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use sluice_engine::Connector;

use crate::answer::{Sample, plan, play};
use crate::conformance;
use crate::error::Error;
use crate::fixture::Fixtures;
use crate::line_diff::difference;
use crate::rows::row_count;

/// The checks, each with what it says of a connector.
pub const CHECKS: &[(&str, &str)] = &[
    ("fixtures", "plan.json and each expected.json are what the connector plans, judges and maps"),
    ("pure", "the same slice gives the same requests, and the same bytes the same rows"),
    ("windows", "windows that follow each other leave nothing out and ask for nothing twice, also when clocks change"),
    ("order", "records give the same rows in parts as in one answer"),
    ("ids", "in an answer an id is one row's"),
    ("statuses", "a status word that isn't known becomes `unknown`"),
    ("dates", "a date of zeros is no date"),
    ("bodies", "an empty, cut or foreign body is no answer, and none makes the connector fail"),
    ("inputs", "each field that mapping reads is filled in some fixture"),
];

/// Whether expectations are compared or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bless {
    /// Compare.
    No,
    /// Write what the connector does now.
    Yes,
}

/// Something that isn't as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// One of [`CHECKS`].
    pub check: &'static str,
    /// The case, file or stream.
    pub at: String,
    /// What is wrong.
    pub text: String,
    /// Lines that differ, `-` expected and `+` seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub difference: Vec<String>,
}

impl Finding {
    pub(crate) fn new(check: &'static str, at: impl Into<String>, text: impl Into<String>) -> Self {
        Self { check, at: at.into(), text: text.into(), difference: Vec::new() }
    }
}

/// What a test of a connector gave.
#[derive(Clone, Debug, Serialize)]
pub struct TestReport {
    /// The connector's network.
    pub network: String,
    /// The connector's version, from its manifest.
    pub version: String,
    /// How many cases were played.
    pub cases: usize,
    /// How many rows they gave.
    pub rows: usize,
    /// Files that were written.
    pub blessed: Vec<PathBuf>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Tests a connector. With [`Bless::Yes`] the expectations are written, and only the other checks can fail.
///
/// # Errors
/// A fixture that can't be read, or an expectation that can't be written.
pub fn test(connector: &Connector, fixtures: &Fixtures, bless: Bless) -> Result<TestReport, Error> {
    let mut report = TestReport {
        network: connector.network().to_owned(),
        version: connector.version().to_owned(),
        cases: fixtures.cases.len(),
        rows: 0,
        blessed: Vec::new(),
        findings: Vec::new(),
    };
    let base = fixtures.slice(connector)?;
    report.expect(&fixtures.folder.join("plan.json"), &plan(connector, &base), bless)?;
    let mut samples = Vec::new();
    for case in &fixtures.cases {
        let (seen, played) = play(connector, fixtures, case)?;
        let (again, _) = play(connector, fixtures, case)?;
        if seen != again {
            let difference = difference(&format!("{seen:#}"), &format!("{again:#}"));
            let finding = Finding::new("pure", case.name(), "the same bytes give something else the second time");
            report.findings.push(Finding { difference, ..finding });
        }
        report.expect(&case.folder.join("expected.json"), &seen, bless)?;
        report.rows += rows_of(&seen);
        samples.extend(played);
    }
    report.findings.extend(conformance::of_slices(connector, &base));
    report.findings.extend(conformance::of_samples(connector, &samples));
    Ok(report)
}

/// How many transactions and other facts a case gave.
fn rows_of(seen: &Value) -> usize {
    row_count(seen) + seen["answers"].as_array().map_or(0, |answers| answers.iter().map(row_count).sum())
}

impl TestReport {
    /// Compares what is seen with a file, or writes it there.
    fn expect(&mut self, path: &Path, seen: &Value, bless: Bless) -> Result<(), Error> {
        let seen = format!("{seen:#}\n");
        let expected = match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::read(path)(error)),
        };
        if expected.as_ref() == Some(&seen) {
            return Ok(());
        }
        if bless == Bless::Yes {
            std::fs::write(path, &seen).map_err(Error::write(path))?;
            self.blessed.push(path.to_owned());
            return Ok(());
        }
        let parent = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let (text, difference) = match expected {
            None => ("the file is missing: `--bless` writes it", Vec::new()),
            Some(expected) => ("the connector does something else", difference(&expected, &seen)),
        };
        let finding = Finding::new("fixtures", format!("{parent}/{file}"), text);
        self.findings.push(Finding { difference, ..finding });
        Ok(())
    }
}

/// The samples of a case that has records.
pub(crate) fn has_records(connector: &Connector, sample: &Sample) -> bool {
    sample.decode(connector).decoded.is_some_and(|decoded| decoded.batch.rows > 0)
}
