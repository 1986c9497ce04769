//! A service that answers clients of PostgreSQL, and the clients.

use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::child::output_for;
use crate::{Answer, Api, repository, target_dir};

/// A driver of PostgreSQL that nobody here wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// psycopg, values as text.
    Psycopg,
    /// psycopg, prepared, values in binary form.
    PsycopgBinary,
    /// asyncpg: always prepared and binary.
    Asyncpg,
    /// ADBC's driver, over libpq and Arrow.
    Adbc,
    /// node's `pg`.
    Node,
}

impl Driver {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Psycopg, Self::PsycopgBinary, Self::Asyncpg, Self::Adbc, Self::Node];

    fn command(self) -> Command {
        let name = match self {
            Self::Psycopg => "psycopg",
            Self::PsycopgBinary => "psycopg-binary",
            Self::Asyncpg => "asyncpg",
            Self::Adbc => "adbc",
            Self::Node => {
                let mut command = Command::new("node");
                let folder = target_dir().join("drivers/node");
                command.arg(repository().join("tests/drivers/pg.mjs"));
                command.arg(std::path::absolute(&folder).unwrap_or(folder));
                return command;
            }
        };
        let mut command = Command::new(target_dir().join("drivers/bin/python"));
        command.arg(repository().join("tests/tools/drivers.py")).arg(name);
        command
    }
}

/// A service over a history that was read, where clients of PostgreSQL can ask.
pub struct Wire {
    /// The service and what it needs.
    pub api: Api,
    /// Where it answers.
    pub port: String,
    /// The token that clients use unless they say otherwise, whose name is `analyst`.
    pub token: String,
}

impl Wire {
    /// Starts it, with more lines of `[wire]` and more sections.
    ///
    /// # Errors
    /// A binary or a connector that isn't built.
    pub fn start(more: &str) -> anyhow::Result<Self> {
        let (api, port, token) = Api::with_clients("wire", "PostgreSQL's protocol is answered on", more)?;
        Ok(Self { api, port, token })
    }

    /// `psql` as a user with a password, without a start-up file.
    pub fn psql(&self, user: &str, password: &str, database: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("psql");
        command.args(["-X", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", &self.port, "-U", user, "-d", database]);
        command.args(arguments).env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "60").env_remove("PGOPTIONS");
        command
    }

    /// What `psql` prints for a text of statements, its rows in bare lines.
    ///
    /// # Errors
    /// No `psql`.
    pub fn ask(&self, sql: &str) -> anyhow::Result<Answer> {
        answer(self.psql("analyst", &self.token, "sluice", &["-A", "-t", "-c", sql]))
    }

    /// What `psql` prints for a text of statements that succeed.
    ///
    /// # Errors
    /// What it reports otherwise.
    pub fn rows(&self, sql: &str) -> anyhow::Result<String> {
        let Answer { code, stdout, stderr } = self.ask(sql)?;
        ensure!(code == 0, "{sql}: {stderr}");
        Ok(stdout.trim_end().to_owned())
    }

    /// Answers of a driver to questions: each has `sql`, and maybe `values` and their `types`.
    ///
    /// # Errors
    /// A driver that isn't there or can't connect, with what it says.
    pub fn drive(&self, driver: Driver, token: &str, questions: &Value) -> anyhow::Result<Vec<Value>> {
        let mut command = driver.command();
        command.args(["127.0.0.1", &self.port, "analyst"]).env("PGPASSWORD", token);
        let output = output_for(command, &questions.to_string())?;
        ensure!(output.status.success(), "{driver:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// What a command prints.
///
/// # Errors
/// A program that isn't there.
pub fn answer(mut command: Command) -> anyhow::Result<Answer> {
    let output = command.output().context("no program: run `just tools`")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Answer { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}
