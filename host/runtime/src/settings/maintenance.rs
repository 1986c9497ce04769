//! `[maintain]` and `[raw]` of `sluice.toml`: how the lake is looked after, and how long responses are kept.

use chrono::TimeDelta;
use serde::Deserialize;
use sluice_lake::Upkeep;

use super::network::parse_duration_secs;
use crate::failure::Failure;

/// How the lake is looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceSettings {
    /// How often the service does it by itself; never without it.
    pub every: Option<TimeDelta>,
    /// What is done to each table.
    pub tables: Upkeep,
    /// How long responses stay in raw; for ever without it.
    pub keep_raw: Option<TimeDelta>,
}

/// `[raw]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSection {
    /// Days after which a response is deleted; never without it.
    keep_days: Option<u32>,
}

/// `[maintain]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MaintainSection {
    every: String,
    target_mb: u32,
    min_files: u32,
    keep_days: u32,
    keep_log_days: u32,
    checkpoint_commits: u32,
}

impl Default for MaintainSection {
    fn default() -> Self {
        Self {
            every: "1d".to_owned(),
            target_mb: 64,
            min_files: 4,
            keep_days: 7,
            keep_log_days: 30,
            checkpoint_commits: 20,
        }
    }
}

impl MaintenanceSettings {
    /// The settings of the section.
    ///
    /// # Errors
    /// A settings failure for a value that would lose something or do nothing.
    pub(super) fn of(maintain: &MaintainSection, raw: &RawSection) -> Result<Self, Failure> {
        let every = match maintain.every.as_str() {
            "never" => None,
            text => {
                let secs = parse_duration_secs(text).filter(|secs| *secs > 0).ok_or_else(|| {
                    Failure::settings(format!("maintain.every = \"{text}\" is not a duration"))
                        .hint("write \"1d\", \"6h\" or \"never\"")
                })?;
                Some(TimeDelta::seconds(i64::from(secs)))
            }
        };
        at_least("maintain.target_mb", maintain.target_mb, 1, "files of nothing can't be written")?;
        at_least("maintain.min_files", maintain.min_files, 2, "one file alone is merged already")?;
        at_least("maintain.keep_days", maintain.keep_days, 1, "readers and writers may still be at these files")?;
        at_least(
            "maintain.keep_log_days",
            maintain.keep_log_days,
            maintain.keep_days,
            "the log must reach as far back as the files, maintain.keep_days",
        )?;
        at_least("maintain.checkpoint_commits", maintain.checkpoint_commits, 1, "there is nothing to sum up")?;
        if let Some(days) = raw.keep_days {
            at_least("raw.keep_days", days, 2, "an interrupted run resumes with what it kept")?;
        }
        let days = |days: u32| TimeDelta::days(i64::from(days));
        Ok(Self {
            every,
            keep_raw: raw.keep_days.map(days),
            tables: Upkeep {
                target_bytes: u64::from(maintain.target_mb) << 20,
                min_files: maintain.min_files as usize,
                keep: days(maintain.keep_days),
                keep_log: days(maintain.keep_log_days),
                checkpoint_commits: u64::from(maintain.checkpoint_commits),
                dry_run: false,
            },
        })
    }
}

fn at_least(key: &str, value: u32, least: u32, why: &str) -> Result<(), Failure> {
    if value >= least {
        return Ok(());
    }
    Err(Failure::settings(format!("{key} = {value} is less than {least}: {why}"))
        .hint(format!("write {key} = {least}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parsed(text: &str) -> Result<MaintenanceSettings, Failure> {
        MaintenanceSettings::of(&toml::from_str(text).unwrap(), &RawSection::default())
    }

    #[test]
    fn without_a_section_it_is_what_the_lake_would_do() {
        assert_eq!(parsed("").unwrap().tables, Upkeep::default());
        assert_eq!(parsed("").unwrap().keep_raw, None, "raw is kept for ever");
        assert_eq!(parsed("every = \"never\"").unwrap().every, None);
        assert_eq!(parsed("every = \"6h\"").unwrap().every, Some(TimeDelta::hours(6)));
    }

    #[test]
    fn what_would_lose_something_is_refused() {
        for wrong in ["keep_days = 0", "keep_log_days = 3", "min_files = 1", "every = \"often\"", "target_mb = 0"] {
            let failure = parsed(wrong).unwrap_err();
            assert_eq!(failure.exit, crate::failure::Exit::Settings, "{wrong}");
            assert!(failure.hint.is_some(), "{wrong}");
        }
        let raw = |text: &str| MaintenanceSettings::of(&MaintainSection::default(), &toml::from_str(text).unwrap());
        assert_eq!(raw("keep_days = 400").unwrap().keep_raw, Some(TimeDelta::days(400)));
        assert_eq!(raw("keep_days = 0").unwrap_err().exit, crate::failure::Exit::Settings);
    }
}
