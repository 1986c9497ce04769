//! Handles of statements. A handle holds the statement itself, so the service keeps none, and any service of the lake takes it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::error::internal;
use crate::login::Caller;
use crate::request::QueryRequest;

/// The most bytes of a statement and its parameters: a client sends them back in one message.
const MAX_HANDLE_BYTES: usize = crate::MAX_REQUEST_BYTES / 2;

/// A statement of a client.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatementHandle {
    /// The name of the token that it was made with.
    token: String,
    sql: String,
    /// The messages with the values of its parameters, in base64.
    #[serde(default)]
    parameters: Vec<String>,
}

impl StatementHandle {
    pub(crate) fn new(caller: &Caller, sql: String) -> Self {
        Self { token: caller.name.clone(), sql, parameters: Vec::new() }
    }

    /// The statement that a client sent back.
    ///
    /// # Errors
    /// What is no handle, and one of another token.
    pub(crate) fn open(bytes: &[u8], caller: &Caller) -> Result<Self, Status> {
        let handle: Self = serde_json::from_slice(bytes)
            .map_err(|_| Status::invalid_argument("the statement's handle is malformed"))?;
        if handle.token != caller.name {
            return Err(Status::permission_denied("the statement is of another token"));
        }
        Ok(handle)
    }

    /// The same with values for its parameters.
    pub(crate) fn with_parameters(self, parameters: Vec<String>) -> Self {
        Self { parameters, ..self }
    }

    /// What the client sends back.
    ///
    /// # Errors
    /// A statement that is too long.
    pub(crate) fn to_bytes(&self) -> Result<Bytes, Status> {
        let bytes = serde_json::to_vec(self).map_err(internal)?;
        if bytes.len() > MAX_HANDLE_BYTES {
            let most = MAX_HANDLE_BYTES >> 10;
            return Err(Status::invalid_argument(format!(
                "the statement and its parameters have more than {most} KiB"
            )));
        }
        Ok(bytes.into())
    }

    pub(crate) fn into_request(self) -> QueryRequest {
        QueryRequest::Rows { sql: self.sql, parameters: self.parameters }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tonic::Code;

    use super::*;

    fn caller(name: &str) -> Caller {
        Caller { name: name.to_owned() }
    }

    #[test]
    fn a_handle_is_of_one_token_and_bounded() {
        let handle = StatementHandle::new(&caller("a"), "SELECT 1".to_owned());
        let bytes = handle.to_bytes().unwrap();
        assert_eq!(StatementHandle::open(&bytes, &caller("a")).unwrap(), handle);
        let refused = |bytes: &[u8], name: &str| StatementHandle::open(bytes, &caller(name)).unwrap_err().code();
        assert_eq!(refused(&bytes, "b"), Code::PermissionDenied);
        assert_eq!(refused(b"1", "a"), Code::InvalidArgument);
        let long = StatementHandle::new(&caller("a"), "x".repeat(MAX_HANDLE_BYTES));
        assert_eq!(long.to_bytes().unwrap_err().code(), Code::InvalidArgument);
    }
}
