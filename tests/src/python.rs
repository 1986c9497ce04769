//! Readers of Delta tables that nobody here wrote, run as `tests/tools/readers.py`.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{python_tool, repository};

/// A reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// DuckDB with its extension `delta`.
    DuckDb,
    /// Polars' `scan_delta`.
    Polars,
    /// `deltalake` for Python, read through Arrow.
    DeltaLake,
}

/// What a reader finds in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Its rows.
    pub rows: u64,
    /// The exact sums of its decimal columns as texts, by column.
    pub sums: BTreeMap<String, String>,
}

impl Reader {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::DuckDb, Self::Polars, Self::DeltaLake];

    /// The name that `readers.py` knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::DuckDb => "duckdb",
            Self::Polars => "polars",
            Self::DeltaLake => "deltalake",
        }
    }

    /// Reads the table in a folder, and sums these columns.
    ///
    /// # Errors
    /// Without the tools that `just tools` installs, or what the reader says.
    pub fn read(self, table: &std::path::Path, columns: &[&str]) -> anyhow::Result<Reading> {
        let python = python_tool("python");
        let script = repository().join("tests/tools/readers.py");
        let output = Command::new(&python)
            .arg(script)
            .arg(self.name())
            .arg(table)
            .args(columns)
            .output()
            .with_context(|| format!("no {}: run `just tools`", python.display()))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} cannot read {}:\n{errors}", self.name(), table.display());
        let answer: Value = serde_json::from_slice(&output.stdout).with_context(|| errors.into_owned())?;
        let sums = answer["sums"].as_object().context("no sums")?;
        Ok(Reading {
            rows: answer["rows"].as_u64().context("no rows")?,
            sums: sums.iter().map(|(name, sum)| (name.clone(), sum.as_str().unwrap_or_default().to_owned())).collect(),
        })
    }
}
