//! `[publish.<database>]` of `sluice.toml`: databases that get the unified tables.

use std::collections::BTreeSet;

use serde::Deserialize;
use sluice_outlets::{Publication, PublishedTable};

use crate::failure::Failure;

/// A database, and what it gets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishSettings {
    /// Which database it is, and so how rows get into it.
    #[serde(default)]
    pub dialect: PublishDialect,
    /// Reference to its URL, which holds a password; a `postgres://` URL without one may be written out. Redshift has none.
    #[serde(default)]
    pub url: String,
    /// The schema of the tables.
    #[serde(default = "schema")]
    pub schema: String,
    /// Which tables it gets.
    #[serde(default = "tables")]
    pub tables: BTreeSet<PublishedTable>,
    /// Only what is of these networks, by their ids; of all without any.
    #[serde(default)]
    pub networks: BTreeSet<String>,
}

/// A kind of database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublishDialect {
    /// PostgreSQL, which Sluice writes.
    #[default]
    Postgresql,
    /// Amazon Redshift, for which Sluice prints a script.
    Redshift,
}

fn schema() -> String {
    Publication::default().schema
}

fn tables() -> BTreeSet<PublishedTable> {
    Publication::default().tables
}

impl PublishSettings {
    /// What of the lake it gets, without the way to it.
    pub fn publication(&self) -> Publication {
        Publication { schema: self.schema.clone(), tables: self.tables.clone(), networks: self.networks.clone() }
    }

    /// Whether the URL is written out.
    pub fn is_written_out(&self) -> bool {
        self.url.contains("://")
    }

    /// Refuses what can't be meant.
    ///
    /// # Errors
    /// A settings failure that names the key.
    pub(super) fn check(&self, name: &str) -> Result<(), Failure> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if self.schema.is_empty() || !self.schema.chars().all(is_plain) {
            return Err(Failure::settings(format!("publish.{name}.schema = \"{}\" can't name a schema", self.schema))
                .hint("use lower-case letters, digits and `_`"));
        }
        if self.tables.is_empty() {
            return Err(Failure::settings(format!("publish.{name}.tables is empty"))
                .hint("leave it out, or name transactions, transaction_versions, payments or payment_versions"));
        }
        if self.url.is_empty() == (self.dialect == PublishDialect::Postgresql) {
            return Err(Failure::settings(format!("publish.{name}.url belongs to the dialect postgresql"))
                .hint("set it to a reference such as env:REPORTING_URL; the dialect redshift has none: `sluice publish` prints a script"));
        }
        if self.is_written_out() && has_password(&self.url) {
            return Err(Failure::settings(format!("publish.{name}.url holds a password"))
                .hint("set it to a reference such as env:REPORTING_URL"));
        }
        Ok(())
    }
}

/// Also if it can't be parsed: then nobody knows.
fn has_password(url: &str) -> bool {
    url::Url::parse(url)
        .map_or(true, |url| url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::settings::tests::section;

    #[test]
    fn what_can_not_be_meant_is_refused_by_its_name() {
        let check = |text: &str| section(text, |settings: &PublishSettings| settings.check("reporting"));
        let settings = check("url = \"env:URL\"\nnetworks = [\"awin\"]").unwrap();
        assert_eq!(settings.publication().tables.len(), 4);
        assert!(check("url = \"postgres://user@host/db\"\ntables = [\"transactions\"]").is_ok());
        for (text, words) in [
            ("url = \"env:URL\"\nschema = \"a\\\"b\"", "publish.reporting.schema"),
            ("url = \"env:URL\"\ntables = []", "publish.reporting.tables is empty"),
            ("url = \"env:URL\"\ntables = [\"programmes\"]", "unknown variant"),
            ("url = \"postgres://user:secret@host/db\"", "publish.reporting.url holds a password"),
            ("url = \"postgres://host/db?password=secret@\"", "publish.reporting.url holds a password"),
            ("schema = \"a\"", "publish.reporting.url belongs"),
            ("url = \"env:URL\"\ndialect = \"redshift\"", "publish.reporting.url belongs"),
            ("url = \"env:URL\"\ndialect = \"oracle\"", "unknown variant"),
        ] {
            let refused = check(text).unwrap_err();
            assert!(refused.contains(words) && !refused.contains("secret@"), "{text}: {refused}");
        }
    }
}
