//! Errors with the codes that clients of gRPC understand.

use serde::{Deserialize, Serialize};
use sluice_query::Error;
use sluice_runtime::failure::Failure;
use tonic::{Code, Status};

/// The longest text of an error: it travels in a header.
const MAX_TEXT: usize = 2_000;

/// Why a query's process gives no rows, or no more.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    code: i32,
    message: String,
    hint: Option<String>,
}

impl Refusal {
    pub(crate) fn of(failure: &Failure) -> Self {
        let Some(error) = failure.error.downcast_ref::<Error>() else {
            let message = format!("{:#}", failure.error);
            return Self { code: Code::Internal as i32, message, hint: failure.hint.clone() };
        };
        let (message, hint) = match error {
            // Its texts are about the command line.
            Error::NotReadOnly { statement } => (
                format!("cannot execute {statement}: the lake is read-only"),
                Some("SELECT, WITH, VALUES, EXPLAIN, DESCRIBE and SHOW are answered".to_owned()),
            ),
            Error::Several { count } => {
                (format!("a query is one statement, and these are {count}"), failure.hint.clone())
            }
            _ => (format!("{:#}", failure.error), failure.hint.clone()),
        };
        Self { code: code(error) as i32, message, hint }
    }

    pub(crate) fn status(self) -> Status {
        Status::new(Code::from(self.code), text(&self.message, self.hint.as_deref()))
    }
}

/// What a query's process writes last to standard error when its watch ends it: the client learns of it by this.
///
/// # Errors
/// None that is known.
pub fn last_message(failure: &Failure) -> serde_json::Result<String> {
    serde_json::to_string(&Refusal::of(failure))
}

/// A failure of the service itself. The client learns no more than its text.
pub(crate) fn internal(error: impl std::fmt::Display) -> Status {
    tracing::error!("a call of a Flight SQL client failed: {error}");
    Status::internal(text(&error.to_string(), None))
}

/// What a client is refused that would change something.
pub(crate) fn read_only() -> Status {
    Status::permission_denied("the lake is read-only\nhint: ask by a query")
}

/// The message and its hint, cut.
pub(crate) fn text(message: &str, hint: Option<&str>) -> String {
    let hint = hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    message.chars().take(MAX_TEXT).chain(hint.chars().take(MAX_TEXT)).collect()
}

fn code(error: &Error) -> Code {
    match error {
        Error::NotReadOnly { .. } => Code::PermissionDenied,
        Error::UnknownTable { .. } | Error::UnknownColumn { .. } | Error::NoVersion { .. } => Code::NotFound,
        Error::Unsupported { .. } => Code::Unimplemented,
        Error::Memory { .. } | Error::Disk { .. } | Error::TooLarge { .. } | Error::TooManyRows { .. } => {
            Code::ResourceExhausted
        }
        Error::TooSlow { .. } => Code::DeadlineExceeded,
        Error::Panicked { .. }
        | Error::Setup { .. }
        | Error::Open { .. }
        | Error::Unhonoured(_)
        | Error::Coverage { .. }
        | Error::Tables { .. } => Code::Internal,
        _ => Code::InvalidArgument,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn errors_have_codes_and_hints() {
        let status = |error: Error| Refusal::of(&Failure::from(error)).status();
        let refused = status(Error::NotReadOnly { statement: "COPY".to_owned() });
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(refused.message().starts_with("cannot execute COPY: the lake is read-only\nhint: "), "{refused}");
        assert_eq!(status(Error::TooSlow { limit: Duration::from_secs(1) }).code(), Code::DeadlineExceeded);
        assert_eq!(status(Error::Empty).code(), Code::InvalidArgument);
        let long = Refusal::of(&Failure::usage("x".repeat(10_000))).status();
        assert_eq!((long.code(), long.message().len()), (Code::Internal, MAX_TEXT));
    }
}
