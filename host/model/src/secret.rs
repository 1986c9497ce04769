//! A value that can't be printed, by type.

use std::fmt;

use zeroize::Zeroizing;

/// A secret's bytes, wiped when dropped. It has no `Display`, no `Serialize`, and a `Debug` that prints none of it.
///
/// ```compile_fail
/// println!("{}", sluice_model::Secret::new("s3cret".into()));
/// ```
/// ```compile_fail
/// serde_json::to_string(&sluice_model::Secret::new("s3cret".into())).unwrap();
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a value.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself: for requests and for redaction, nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_nothing() {
        assert_eq!(format!("{:?}", Secret::new("s3cret".into())), "Secret(…)");
    }
}
