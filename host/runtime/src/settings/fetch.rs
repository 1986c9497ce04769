//! `[fetch]` of `sluice.toml`: how much a network's response may take.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use sluice_fetch::FetchOptions;

use crate::failure::Failure;

/// The section; what it leaves out is the default of [`FetchOptions`].
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FetchSection {
    user_agent: Option<String>,
    connect_timeout_secs: Option<u64>,
    answer_timeout_secs: Option<u64>,
    read_timeout_secs: Option<u64>,
    request_timeout_secs: Option<u64>,
    max_body_bytes: Option<u64>,
    max_header_bytes: Option<u64>,
    max_redirects: Option<usize>,
    max_ratio: Option<u32>,
    max_attempts: Option<u32>,
    min_retry_wait_secs: Option<u64>,
    max_retry_wait_secs: Option<u64>,
}

impl FetchSection {
    /// The options that the section of the settings `path` means.
    ///
    /// # Errors
    /// A settings failure for a limit of nothing.
    pub(super) fn options(self, path: &Path) -> Result<FetchOptions, Failure> {
        let mut options = FetchOptions::default();
        let secs = |secs: u64| Duration::from_secs(secs.min(u64::from(u32::MAX)));
        for (name, given, limit) in [
            ("connect_timeout_secs", self.connect_timeout_secs, &mut options.connect_timeout),
            ("answer_timeout_secs", self.answer_timeout_secs, &mut options.answer_timeout),
            ("read_timeout_secs", self.read_timeout_secs, &mut options.read_timeout),
            ("request_timeout_secs", self.request_timeout_secs, &mut options.request_timeout),
            ("min_retry_wait_secs", self.min_retry_wait_secs, &mut options.min_retry_wait),
            ("max_retry_wait_secs", self.max_retry_wait_secs, &mut options.max_retry_wait),
        ] {
            set(path, name, given.map(secs), limit)?;
        }
        set(path, "max_body_bytes", self.max_body_bytes, &mut options.max_body_bytes)?;
        set(path, "max_header_bytes", self.max_header_bytes, &mut options.max_header_bytes)?;
        set(path, "max_ratio", self.max_ratio, &mut options.max_ratio)?;
        set(path, "max_attempts", self.max_attempts, &mut options.max_attempts)?;
        options.max_redirects = self.max_redirects.unwrap_or(options.max_redirects);
        options.user_agent = self.user_agent.unwrap_or(options.user_agent);
        Ok(options)
    }
}

/// Sets a limit that is given, and refuses one of nothing.
fn set<T: Default + PartialEq>(path: &Path, name: &str, given: Option<T>, limit: &mut T) -> Result<(), Failure> {
    let Some(given) = given else { return Ok(()) };
    if given == T::default() {
        return Err(Failure::settings(format!(
            "fetch.{name} in {} is 0: nothing would ever be fetched",
            path.display()
        ))
        .hint(format!("leave {name} out to have its default")));
    }
    *limit = given;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_left_out_is_the_default_and_nothing_may_be_nothing() {
        let options = |text: &str| toml::from_str::<FetchSection>(text).unwrap().options(Path::new("sluice.toml"));
        let changed = options("max_body_bytes = 1000\nanswer_timeout_secs = 7\nmax_redirects = 0").unwrap();
        assert_eq!((changed.max_body_bytes, changed.answer_timeout.as_secs(), changed.max_redirects), (1000, 7, 0));
        assert_eq!(changed.max_ratio, FetchOptions::default().max_ratio);
        for nothing in ["read_timeout_secs = 0", "max_header_bytes = 0", "max_ratio = 0", "max_attempts = 0"] {
            let failure = options(nothing).unwrap_err();
            assert!(failure.render(false).contains("fetch."), "{nothing}");
        }
        assert!(toml::from_str::<FetchSection>("max_body = 1").is_err());
    }
}
