//! A service that answers clients of Flight SQL, and the clients.

use std::process::Command;

use anyhow::ensure;
use serde_json::Value;

use crate::child::output_for;
use crate::{Api, repository, target_dir};

/// A client of Flight SQL that nobody here wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlightClient {
    /// ADBC's driver with a bearer token.
    AdbcToken,
    /// ADBC's driver with the token's name and the token.
    AdbcLogin,
    /// pyarrow's client of Flight, which sees headers and tickets.
    Plain,
}

impl FlightClient {
    fn name(self) -> &'static str {
        match self {
            Self::AdbcToken => "adbc-token",
            Self::AdbcLogin => "adbc-login",
            Self::Plain => "flight",
        }
    }
}

/// A service over a history that was read, where clients of Flight SQL can ask.
pub struct Flight {
    /// The service and what it needs.
    pub api: Api,
    /// Where it answers.
    pub port: String,
    /// The token that clients use unless they say otherwise, whose name is `analyst`.
    pub token: String,
}

impl Flight {
    /// Starts it, with more lines of `[flight]` and more sections.
    ///
    /// # Errors
    /// A binary or a connector that isn't built.
    pub fn start(more: &str) -> anyhow::Result<Self> {
        let (api, port, token) = Api::with_clients("flight", "Flight SQL is answered on", more)?;
        Ok(Self { api, port, token })
    }

    /// Answers of a client to questions, see `tests/tools/flight.py`.
    ///
    /// # Errors
    /// A client that isn't there or can't connect, with what it says.
    pub fn ask(&self, client: FlightClient, token: &str, questions: &Value) -> anyhow::Result<Vec<Value>> {
        let mut command = Command::new(target_dir().join("drivers/bin/python"));
        command.arg(repository().join("tests/tools/flight.py")).args([client.name(), &self.port, "analyst"]);
        command.env("PGPASSWORD", token);
        let output = output_for(command, &questions.to_string())?;
        ensure!(output.status.success(), "{client:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}
