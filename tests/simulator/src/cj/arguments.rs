//! The arguments of `publisherCommissions`, from the document or its variables.

use super::query::{Document, Selection, Value};
use super::rows::Record;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

const LISTS: [&str; 9] = [
    "forPublishers",
    "advertiserIds",
    "commissionIds",
    "adIds",
    "websiteIds",
    "actionStatuses",
    "actionTypes",
    "lockingMethods",
    "validationStatuses",
];
const DATES: [&str; 6] = [
    "sincePostingDate",
    "beforePostingDate",
    "sinceEventDate",
    "beforeEventDate",
    "sinceLockingDate",
    "beforeLockingDate",
];

/// The arguments, checked.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) publishers: Vec<String>,
    pub(crate) since_commission: Option<u64>,
    lists: BTreeMap<String, Vec<String>>,
    dates: BTreeMap<String, DateTime<Utc>>,
}

impl Arguments {
    /// Resolves the variables and checks names and types.
    pub(crate) fn of(root: &Selection, document: &Document, given: &BTreeMap<String, Value>) -> Result<Self, String> {
        let mut arguments = Self::default();
        for (name, value) in &root.arguments {
            let value = match value {
                Value::Variable(variable) => {
                    let declared = document.variables.get(variable);
                    let default = declared.ok_or_else(|| format!("Variable \"${variable}\" is not defined."))?;
                    given.get(variable).or(default.as_ref()).unwrap_or(&Value::Null)
                }
                other => other,
            };
            arguments.put(name, value, given)?;
        }
        arguments.publishers = arguments.lists.remove("forPublishers").unwrap_or_default();
        if arguments.publishers.is_empty() {
            let missing =
                "Field \"publisherCommissions\" argument \"forPublishers\" of type \"[String!]!\" is required";
            return Err(missing.to_owned());
        }
        Ok(arguments)
    }

    fn put(&mut self, name: &str, value: &Value, given: &BTreeMap<String, Value>) -> Result<(), String> {
        let wrong = || format!("Argument \"{name}\" has an invalid value.");
        let known = LISTS.contains(&name) || DATES.contains(&name) || name == "sinceCommissionId";
        if !known {
            return Err(format!("Unknown argument \"{name}\" on field \"publisherCommissions\" of type \"Query\"."));
        }
        if *value == Value::Null {
            return Ok(());
        }
        if LISTS.contains(&name) {
            let texts = scalars(value, given).ok_or_else(wrong)?;
            self.lists.insert(name.to_owned(), texts);
            return Ok(());
        }
        let Value::Scalar(text) = value else { return Err(wrong()) };
        if name == "sinceCommissionId" {
            self.since_commission = Some(text.parse().map_err(|_| wrong())?);
            return Ok(());
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| format!("{} Use ISO 8601 in UTC.", wrong()))?;
        self.dates.insert(name.to_owned(), time.with_timezone(&Utc));
        Ok(())
    }

    /// Whether a record is asked for. Since is part of a window, before isn't.
    pub(crate) fn holds(&self, record: &Record) -> bool {
        let within = |since: &str, before: &str, time: Option<DateTime<Utc>>| {
            let after = self.dates.get(since).is_none_or(|since| time.is_some_and(|time| *since <= time));
            after && self.dates.get(before).is_none_or(|before| time.is_some_and(|time| time < *before))
        };
        let listed = |name: &str, value: &str| {
            self.lists.get(name).is_none_or(|list| list.iter().any(|it| it.eq_ignore_ascii_case(value)))
        };
        within("sincePostingDate", "beforePostingDate", Some(record.posted_at))
            && within("sinceEventDate", "beforeEventDate", Some(record.event_at))
            && within("sinceLockingDate", "beforeLockingDate", record.locks_at)
            && listed("advertiserIds", &record.advertiser.id.to_string())
            && listed("commissionIds", &record.id.to_string())
            && listed("adIds", &record.ad_id)
            && listed("websiteIds", &record.website_id)
            && listed("actionStatuses", &record.status)
            && listed("actionTypes", record.action_type)
            && listed("lockingMethods", record.locking_method)
            && listed("validationStatuses", record.validation_status)
    }
}

/// A list of scalars; one scalar counts as a list of one, as GraphQL coerces it.
fn scalars(value: &Value, given: &BTreeMap<String, Value>) -> Option<Vec<String>> {
    match value {
        Value::Scalar(text) => Some(vec![text.clone()]),
        Value::List(items) => {
            let mut texts = Vec::new();
            for item in items {
                match item {
                    Value::Variable(name) => texts.extend(scalars(given.get(name)?, given)?),
                    other => texts.extend(scalars(other, given)?),
                }
            }
            Some(texts)
        }
        _ => None,
    }
}
