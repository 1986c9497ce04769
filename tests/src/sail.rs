//! Sail, an engine on many hosts that understands Spark's SQL, run as `tests/tools/sail.py`.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::child::output_for;
use crate::{BUCKET, S3Server, repository, sail_python};

/// What Sail answered.
#[derive(Clone, Debug)]
pub struct SailAnswers {
    /// Workers that it ran on.
    pub workers: u64,
    /// The answers by the questions' names.
    pub answers: BTreeMap<String, SailAnswer>,
}

/// The answer of a question.
#[derive(Clone, Debug)]
pub struct SailAnswer {
    /// Rows as CSV, without a header.
    pub rows: String,
    /// What each round took, the first of which reads the tables' metadata.
    pub seconds: Vec<f64>,
}

impl SailAnswers {
    /// Asks questions of a lake, in a cluster of two workers that ends with this; each question so many rounds.
    ///
    /// # Errors
    /// Without what `just tools` installs, or Sail's own error.
    pub fn of(server: &S3Server, questions: &BTreeMap<String, String>, rounds: usize) -> anyhow::Result<Self> {
        let mut command = Command::new(sail_python());
        command.arg(repository().join("tests/tools/sail.py")).arg(rounds.to_string()).envs(server.environment());
        let output = output_for(command, &serde_json::to_string(questions)?)?;
        let log = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "Sail failed:\n{log}");
        let answer: Value = serde_json::from_slice(&output.stdout).with_context(|| log.into_owned())?;
        let answers = answer["answers"].as_object().context("no answers")?;
        Ok(Self {
            workers: answer["workers"].as_u64().context("no workers")?,
            answers: answers.iter().map(|(name, answer)| (name.clone(), SailAnswer::read(answer))).collect(),
        })
    }
}

impl SailAnswer {
    fn read(answer: &Value) -> Self {
        let seconds = answer["seconds"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            rows: answer["rows"].as_str().unwrap_or_default().to_owned(),
            seconds: seconds.iter().filter_map(Value::as_f64).collect(),
        }
    }
}

/// The name that Sail knows a table by, of a lake at `s3://lake/<prefix>`.
pub fn sail_table(prefix: &str, schema: &str, table: &str) -> String {
    format!("delta.`s3://{BUCKET}/{prefix}/tables/{schema}/{table}`")
}
