//! How a command fails: a message, a hint that can be pasted, an exit code.

use std::fmt::Write;

/// Exit codes, as DESIGN.md fixes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Something went wrong while running.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The settings are wrong (`EX_CONFIG` of sysexits).
    Settings = 78,
}

/// A command's failure, as a person reads it.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What was tried, with what, and its causes.
    pub error: anyhow::Error,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure at run time.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Failed, error: error.into(), hint: None }
    }

    /// A fault in the settings.
    pub fn settings(message: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Settings, error: anyhow::anyhow!("{message}"), hint: None }
    }

    /// A fault in the command line.
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Usage, error: anyhow::anyhow!("{message}"), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what to do about it, if anything is known.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// `error: …`, its causes and `hint: …`, or the same as one JSON object.
    pub fn render(&self, json: bool) -> String {
        let message = self.error.chain().map(ToString::to_string).collect::<Vec<_>>();
        // A source that its parent has already quoted says nothing new.
        let causes: Vec<_> =
            message.iter().enumerate().skip(1).filter(|(at, cause)| !message[at - 1].contains(*cause)).collect();
        if json {
            let causes: Vec<_> = causes.iter().map(|(_, cause)| cause).collect();
            return serde_json::json!({"error": message[0], "causes": causes, "hint": self.hint}).to_string();
        }
        let mut text = format!("error: {}", message[0]);
        for (_, cause) in causes {
            // Writing to a String doesn't fail.
            let _ = write!(text, "\n  because: {cause}");
        }
        if let Some(hint) = &self.hint {
            let _ = write!(text, "\nhint: {hint}");
        }
        text
    }
}

macro_rules! fails {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let hint = error.hint();
                Self::failed(error).maybe_hint(hint)
            }
        }
    )*};
}

fails!(sluice_engine::Error, sluice_fetch::Error, sluice_lake::Error, sluice_query::Error);

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let hint = crate::state::hint(&error);
        let error = anyhow::Error::from(error).context("the state store failed");
        Self { exit: Exit::Settings, error, hint: Some(hint) }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_and_hint_have_their_lines() {
        let failure = Failure::failed(anyhow::anyhow!("disk full").context("cannot write the lake")).hint("free space");
        assert_eq!(failure.render(false), "error: cannot write the lake\n  because: disk full\nhint: free space");
    }
}
