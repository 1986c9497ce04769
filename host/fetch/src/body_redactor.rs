//! The search of bodies for secrets by itself, without a request: tests and fuzzing of other crates call it.

use bytes::Bytes;

use crate::redact::Redactor;

/// Masks secrets in bodies, as a response's body is masked before it is returned. It has no `Debug`, which would print them.
pub struct BodyRedactor(Redactor);

impl BodyRedactor {
    /// Masks these secrets, unless they are too short to be masked.
    pub fn new(secrets: &[&str]) -> Self {
        Self(Redactor::new(secrets.iter().map(|secret| secret.as_bytes()), Vec::new()))
    }

    /// The body with `***` in place of each secret, in whatever form it is written; none if the body holds none. It must be
    /// without content encodings.
    pub fn redacted(&self, body: &[u8]) -> Option<Bytes> {
        self.0.body(body)
    }
}
