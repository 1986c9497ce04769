//! Parameters of a session: those that a client may set without changing what a query means.

use std::collections::BTreeMap;
use std::time::Duration;

use pgwire::error::PgWireResult;
use sluice_query::SERVER_VERSION;

use crate::error::{error, with_hint};

/// The parameters of a session and their values.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    values: BTreeMap<String, String>,
    first: BTreeMap<String, String>,
}

/// Those that are reported to the client at the start and when they change, by their names as PostgreSQL writes them.
const REPORTED: [(&str, &str); 12] = [
    ("server_version", SERVER_VERSION),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("integer_datetimes", "on"),
    ("standard_conforming_strings", "on"),
    ("is_superuser", "off"),
    ("default_transaction_read_only", "on"),
    ("in_hot_standby", "off"),
    ("application_name", ""),
];

/// Others with a value that can be asked for.
const OTHERS: [(&str, &str); 18] = [
    ("server_version_num", "160006"),
    ("search_path", "unified"),
    ("transaction_isolation", "read committed"),
    ("default_transaction_isolation", "read committed"),
    ("transaction_read_only", "on"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("client_min_messages", "notice"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("row_security", "on"),
    ("jit", "off"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
];

/// Those that may be set to anything: nothing here depends on them.
const WITHOUT_EFFECT: [&str; 11] = [
    "application_name",
    "bytea_output",
    "client_min_messages",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "jit",
    "lock_timeout",
    "row_security",
    "synchronize_seqscans",
    "tcp_user_timeout",
];
/// Schemas of a search path that mean no other tables than those of `unified`.
const SEARCHED: [&str; 5] = ["unified", "public", "$user", "pg_catalog", ""];

impl Parameters {
    pub(crate) fn new(user: &str) -> Self {
        let known = REPORTED.iter().chain(&OTHERS);
        let mut values: BTreeMap<String, String> =
            known.map(|(name, value)| (name.to_lowercase(), (*value).to_owned())).collect();
        values.insert("session_authorization".to_owned(), user.to_owned());
        Self { first: values.clone(), values }
    }

    /// What a client states when it connects: as [`Parameters::set`], but a time zone and a form of dates that aren't
    /// ours are left as they are, since drivers send those of their machine. The client learns what holds.
    ///
    /// # Errors
    /// A parameter that can't be set so.
    pub(crate) fn begin(&mut self, stated: &[(String, String)]) -> PgWireResult<()> {
        for (name, value) in stated {
            match name.to_lowercase().as_str() {
                "user" | "database" | "replication" | "timezone" | "datestyle" => {}
                name if name.starts_with("_pq_.") => {}
                "options" => {
                    for (name, value) in options(value) {
                        self.set(&name, Some(&value))?;
                    }
                }
                name => self.set(name, Some(value))?,
            }
        }
        self.first = self.values.clone();
        Ok(())
    }

    /// Sets a parameter; without a value, to what it was at first.
    ///
    /// # Errors
    /// One that isn't known, or a value that would change what queries mean and isn't honoured.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) -> PgWireResult<()> {
        let name = name.to_lowercase();
        let Some(value) = value else {
            let first = self.first.get(&name).cloned().ok_or_else(|| unknown(&name))?;
            self.values.insert(name, first);
            return Ok(());
        };
        // Some drivers send the quotes of a statement.
        let value = value.trim_matches('\'');
        let is_same = self.values.get(&name).is_some_and(|known| known.eq_ignore_ascii_case(value));
        let is_allowed = match name.as_str() {
            name if WITHOUT_EFFECT.contains(&name) => true,
            "statement_timeout" => {
                milliseconds(value)
                    .ok_or_else(|| error("22023", format!("`{value}` is no time: write 5000, 5s or 1min")))?;
                true
            }
            "client_encoding" => ["utf8", "utf-8", "unicode"].contains(&value.to_lowercase().as_str()),
            "datestyle" => value.to_lowercase().starts_with("iso"),
            "timezone" => ["utc", "gmt", "etc/utc", "z", "0", "+00", "+00:00"].contains(&value.to_lowercase().as_str()),
            "search_path" => value.split(',').all(|schema| SEARCHED.contains(&schema.trim().trim_matches('"'))),
            "default_transaction_isolation" | "transaction_isolation" => {
                ["read committed", "read uncommitted"].contains(&value.to_lowercase().as_str())
            }
            "standard_conforming_strings" | "default_transaction_read_only" | "transaction_read_only" => {
                ["on", "true", "yes", "1"].contains(&value.to_lowercase().as_str())
            }
            _ => is_same,
        };
        if !is_allowed && !is_same {
            return Err(self.refused(&name, value));
        }
        // What is kept by another spelling stays as it is reported.
        if WITHOUT_EFFECT.contains(&name.as_str()) || name == "statement_timeout" {
            self.values.insert(name, value.to_owned());
        }
        Ok(())
    }

    fn refused(&self, name: &str, value: &str) -> pgwire::error::PgWireError {
        let hint = match name {
            "timezone" => "moments are in UTC; local_day(moment, 'Europe/Berlin') gives the day of a zone",
            "search_path" => "write the schema before the table: awin.transactions",
            "client_encoding" => "texts are in UTF-8",
            name if name.contains("read_only") => "nothing can be changed here",
            name if !self.values.contains_key(name) => return unknown(name),
            _ => "it can't be changed",
        };
        with_hint("0A000", format!("\"{name}\" can't be \"{value}\" here"), Some(hint.to_owned()))
    }

    /// All as they were at first.
    pub(crate) fn reset(&mut self) {
        self.values = self.first.clone();
    }

    /// The value of one.
    ///
    /// # Errors
    /// One that isn't known.
    pub(crate) fn get(&self, name: &str) -> PgWireResult<&str> {
        self.values.get(&name.to_lowercase()).map(String::as_str).ok_or_else(|| unknown(name))
    }

    /// Name and value of all that is reported to the client.
    pub(crate) fn reported(&self) -> Vec<(String, String)> {
        let value = |name: &str| self.values.get(&name.to_lowercase()).cloned().unwrap_or_default();
        let others = ["session_authorization"].into_iter();
        REPORTED.iter().map(|(name, _)| *name).chain(others).map(|name| (name.to_owned(), value(name))).collect()
    }

    /// How long a query may take, if the client wants less than the service gives.
    pub(crate) fn statement_timeout(&self) -> Option<Duration> {
        milliseconds(self.values.get("statement_timeout")?).filter(|limit| !limit.is_zero())
    }
}

fn unknown(name: &str) -> pgwire::error::PgWireError {
    error("42704", format!("unrecognized configuration parameter \"{name}\""))
}

/// `5000`, `5s`, `100ms`, `1min`, `1h`.
fn milliseconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(unit)?))
}

/// `-c name=value --name=value`, as `PGOPTIONS` has them.
fn options(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let assignment =
            match word.strip_prefix("--").or_else(|| word.strip_prefix("-c").filter(|rest| !rest.is_empty())) {
                Some(rest) => Some(rest),
                None if word == "-c" => words.next(),
                None => None,
            };
        if let Some((name, value)) = assignment.and_then(|assignment| assignment.split_once('=')) {
            found.push((name.replace('-', "_"), value.to_owned()));
        }
    }
    found
}
