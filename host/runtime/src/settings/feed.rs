//! `[feed.<receiver>]` of `sluice.toml`: who gets new versions of transactions as they come.

use std::collections::BTreeSet;

use serde::Deserialize;
use sluice_lake::ChangeFilter;
use sluice_model::Change;

use super::look_back::duration_secs;
use crate::failure::Failure;

/// A receiver of the change feed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedSettings {
    /// URL that takes batches of CloudEvents, signed as Standard Webhooks has it; or a reference to it.
    pub webhook: String,
    /// Reference to the key that signs them.
    pub secret: String,
    /// Only transactions of these networks, by their ids; of all without any.
    #[serde(default)]
    pub networks: BTreeSet<String>,
    /// Only versions for these reasons; for all without any.
    #[serde(default)]
    pub changes: BTreeSet<String>,
    /// Where the feed begins for a receiver that is new.
    #[serde(default)]
    pub from: FeedBeginning,
    /// How many versions a request holds, or a few more.
    #[serde(default = "batch")]
    pub batch: u16,
    /// Seconds before a batch is sent again that wasn't accepted; then twice as many, up to five minutes.
    #[serde(rename = "retry", default = "retry_secs", deserialize_with = "duration_secs")]
    pub retry_secs: u32,
}

/// Where a feed begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedBeginning {
    /// With what comes from now on.
    #[default]
    Now,
    /// With the first transaction, as far as the table's log reaches.
    Beginning,
}

fn batch() -> u16 {
    100
}

fn retry_secs() -> u32 {
    5
}

impl FeedSettings {
    /// Which versions it gets.
    pub fn filter(&self) -> ChangeFilter {
        ChangeFilter { networks: self.networks.clone(), changes: self.changes.clone() }
    }

    /// Refuses what can't be meant.
    ///
    /// # Errors
    /// A settings failure that names the key.
    pub(super) fn check(&self, name: &str) -> Result<(), Failure> {
        if let Some(unknown) = self.changes.iter().find(|change| !Change::NAMES.contains(&change.as_str())) {
            return Err(Failure::settings(format!("feed.{name}.changes: there is no change `{unknown}`"))
                .hint(format!("there are {}", Change::NAMES.join(", "))));
        }
        if !(1..=1_000).contains(&self.batch) {
            return Err(Failure::settings(format!("feed.{name}.batch = {} is not from 1 to 1000", self.batch))
                .hint("leave it out: a request then holds 100 versions"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::settings::tests::section;

    #[test]
    fn what_can_not_be_meant_is_refused_by_its_name() {
        let check = |text: &str| {
            let text = format!("webhook = \"https://shop.example/hook\"\nsecret = \"env:KEY\"\n{text}");
            section(&text, |settings: &FeedSettings| settings.check("shop"))
        };
        let settings = check("changes = [\"first-seen\", \"vanished\"]\nfrom = \"beginning\"").unwrap();
        assert_eq!((settings.from, settings.batch, settings.retry_secs), (FeedBeginning::Beginning, 100, 5));
        for (text, words) in [
            ("changes = [\"gone\"]", "feed.shop.changes"),
            ("batch = 0", "feed.shop.batch"),
            ("from = \"yesterday\"", "unknown variant"),
            ("network = \"awin\"", "unknown field"),
        ] {
            let refused = check(text).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
