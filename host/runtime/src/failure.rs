//! How a command fails: a message, a hint that can be pasted, an exit code.

use std::fmt::Write;

use sluice_model::{Digest, ErrorKind, describe};

/// Exit codes. They are fixed, and further kinds of errors get none (`docs/decisions/0037-exit-codes-say-what-to-change.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Something went wrong while running.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Answers are doubted: see `sluice doubts`.
    Doubtful = 3,
    /// The settings are wrong (`EX_CONFIG` of sysexits).
    Settings = 78,
}

/// A command's failure, as a person reads it.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What it needs.
    pub kind: ErrorKind,
    /// What was tried, with what, and its causes.
    pub error: anyhow::Error,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure at run time, of this host.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Failed, kind: ErrorKind::Host, error: error.into(), hint: None }
    }

    /// A fault in the settings.
    pub fn settings(message: impl std::fmt::Display) -> Self {
        let error = anyhow::anyhow!("{message}");
        Self { exit: Exit::Settings, kind: ErrorKind::Settings, error, hint: None }
    }

    /// A fault in the command line.
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Usage, ..Self::settings(message) }
    }

    /// The same failure of another kind. The exit code stays.
    #[must_use]
    pub fn kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
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

    /// Several failures as one, the first one's kind and hint. There must be one.
    pub fn all(failures: Vec<Self>) -> Self {
        let mut failures = failures.into_iter();
        let Some(mut first) = failures.next() else { return Self::failed(anyhow::anyhow!("nothing failed")) };
        let mut messages = vec![describe(first.error.as_ref())];
        for failure in failures {
            let message = describe(failure.error.as_ref());
            if !messages.contains(&message) {
                messages.push(message);
            }
        }
        if messages.len() > 1 {
            first.error = anyhow::anyhow!("{}", messages.join("\n  "));
        }
        first
    }

    /// Whether the reader of standard output closed it.
    pub fn is_closed_output(&self) -> bool {
        let is_closed = |kind: Option<std::io::ErrorKind>| kind == Some(std::io::ErrorKind::BrokenPipe);
        let error = &self.error;
        is_closed(error.downcast_ref::<std::io::Error>().map(std::io::Error::kind))
            || is_closed(error.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind))
            || matches!(error.downcast_ref(), Some(sluice_query::Error::Output(io)) if is_closed(Some(io.kind())))
    }

    /// `error: …`, its causes and `hint: …`, or the same as one JSON object.
    pub fn render(&self, json: bool) -> String {
        let message = self.error.chain().map(ToString::to_string).collect::<Vec<_>>();
        // A source that its parent has already quoted adds nothing.
        let causes: Vec<_> =
            message.iter().enumerate().skip(1).filter(|(at, cause)| !message[at - 1].contains(*cause)).collect();
        if json {
            let causes: Vec<_> = causes.iter().map(|(_, cause)| cause).collect();
            let kind = self.kind.name();
            return serde_json::json!({"error": message[0], "kind": kind, "causes": causes, "hint": self.hint})
                .to_string();
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

/// One thing that failed in a slice or a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceError {
    /// What it needs.
    pub kind: ErrorKind,
    /// What was tried, with what, its causes and what to do about it, on one line. It holds no secrets.
    pub message: String,
    /// The exit code of a run in which nothing else failed.
    pub exit: Exit,
    /// Digest of the body of the response that it is about, if it is about one.
    pub raw_object: Option<String>,
}

impl SliceError {
    /// A failure without a response; its exit code follows from the kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let exit = match kind {
            ErrorKind::Settings => Exit::Settings,
            ErrorKind::Doubt => Exit::Doubtful,
            _ => Exit::Failed,
        };
        Self { kind, message: message.into(), exit, raw_object: None }
    }

    /// The same about a response whose body has this digest.
    #[must_use]
    pub fn about(self, body: Digest) -> Self {
        Self { raw_object: Some(body.to_hex()), ..self }
    }

    /// The same with so many bytes of its message at most.
    #[must_use]
    pub fn cut(mut self, most_bytes: usize) -> Self {
        let end = self.message.floor_char_boundary(most_bytes);
        if end < self.message.len() {
            self.message.truncate(end);
            self.message.push('…');
            self.message.shrink_to_fit();
        }
        self
    }

    /// The same with more words around its message.
    #[must_use]
    pub fn map(self, message: impl FnOnce(String) -> String) -> Self {
        Self { message: message(self.message), ..self }
    }
}

impl std::fmt::Display for SliceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<&Failure> for SliceError {
    fn from(failure: &Failure) -> Self {
        let text = describe(failure.error.as_ref());
        let message = match &failure.hint {
            Some(hint) => format!("{text} (hint: {hint})"),
            None => text,
        };
        Self { kind: failure.kind, message, exit: failure.exit, raw_object: None }
    }
}

impl From<Failure> for SliceError {
    fn from(failure: Failure) -> Self {
        Self::from(&failure)
    }
}

macro_rules! fails {
    ($($error:ty: $is_local:expr),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let (kind, hint) = (error.kind(), error.hint());
                let is_local: fn(&$error) -> bool = $is_local;
                let exit = if is_local(&error) { Exit::Settings } else { Exit::Failed };
                Self { exit, kind, ..Self::failed(error) }.maybe_hint(hint)
            }
        }
    )*};
}

fails!(
    sluice_engine::Error: |error| error.kind() == ErrorKind::Settings,
    sluice_fetch::Error: sluice_fetch::Error::is_local,
    sluice_lake::Error: |error| error.kind() == ErrorKind::Settings,
    sluice_outlets::Error: |error| error.kind() == ErrorKind::Settings,
    sluice_registry::Error: sluice_registry::Error::is_settings,
    sluice_state::Error: sluice_state::Error::is_settings,
);

impl From<SliceError> for Failure {
    fn from(error: SliceError) -> Self {
        Self { exit: error.exit, kind: error.kind, ..Self::failed(anyhow::anyhow!(error.message)) }
    }
}

impl From<sluice_query::Error> for Failure {
    fn from(error: sluice_query::Error) -> Self {
        let hint = error.hint();
        Self::failed(error).maybe_hint(hint)
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

    #[test]
    fn each_kind_has_its_exit_code_and_is_named_in_json() {
        for kind in ErrorKind::ALL {
            let code = match kind {
                ErrorKind::Settings => 78,
                ErrorKind::Doubt => 3,
                ErrorKind::Credentials
                | ErrorKind::Format
                | ErrorKind::Guest
                | ErrorKind::Host
                | ErrorKind::Quota
                | ErrorKind::Network => 1,
            };
            let error = SliceError::new(kind, "refused");
            assert_eq!(error.exit as i32, code, "{kind:?}");
            let json: serde_json::Value = serde_json::from_str(&Failure::from(error).render(true)).unwrap_or_default();
            assert_eq!(json["kind"], kind.name());
        }
    }

    #[test]
    fn a_failure_keeps_its_kind_and_its_exit_code_on_one_line() {
        let lake = sluice_lake::Error::Url { url: "ftp://x".to_owned(), reason: "it is no lake".to_owned() };
        let error = SliceError::from(Failure::from(lake));
        assert_eq!((error.kind, error.exit), (ErrorKind::Settings, Exit::Settings));
        assert!(error.message.starts_with("`ftp://x` names no lake: it is no lake (hint: set `url`"), "{error}");
        let unreadable = Failure::settings("env AWIN_TOKEN isn't set").kind(ErrorKind::Credentials);
        assert!(unreadable.render(true).contains(r#""kind":"credentials""#));
        let error = SliceError::from(unreadable);
        assert_eq!((error.kind, error.exit), (ErrorKind::Credentials, Exit::Settings));
        assert_eq!(SliceError::new(ErrorKind::Credentials, "refused").exit, Exit::Failed);
    }
}
