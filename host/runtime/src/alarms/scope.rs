//! The networks that were run since the last evaluation: what is costly to judge is judged only of them.

use std::collections::{BTreeMap, BTreeSet};

use sluice_model::Alarm;
use sluice_query::Session;

use super::fault::{Fault, Findings};
use super::rule::Rule;
use crate::duplicates::quoted;
use crate::settings::alarms::AlarmSettings;
use crate::settings::network::NetworkSettings;

/// The files of networks.
#[derive(Default)]
pub(super) struct Files {
    /// Those that can be used.
    pub(super) networks: Vec<NetworkSettings>,
    /// The names of the others: what is known of their networks isn't judged.
    pub(super) broken: BTreeSet<String>,
}

impl Files {
    /// What commands call the network of an account: the name of the file that has it, as several may name one connector.
    pub(super) fn name_of<'a>(&'a self, id: &'a str, account: &str) -> &'a str {
        let of_id = || self.networks.iter().filter(move |network| network.content.connector == id);
        let has = |network: &&NetworkSettings| network.content.accounts.iter().any(|known| known.id() == account);
        of_id().find(has).or_else(|| of_id().next()).map_or(id, |network| network.name.as_str())
    }
}

/// Networks by their connector's id, each with its names in the settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Networks(BTreeMap<String, Vec<String>>);

impl Networks {
    /// The networks that the settings call so.
    pub(super) fn named(ran: &BTreeSet<String>, networks: &[NetworkSettings]) -> Self {
        let mut named = Self::default();
        for network in networks.iter().filter(|network| ran.contains(&network.name)) {
            named.0.entry(network.content.connector.clone()).or_default().push(network.name.clone());
        }
        named
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Their ids as SQL lists them.
    pub(super) fn list(&self) -> String {
        self.ids().map(quoted).collect::<Vec<_>>().join(", ")
    }

    /// Their names in the settings as SQL lists them.
    pub(super) fn names(&self) -> String {
        self.0.values().flatten().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
    }

    /// The id of the network of this name.
    pub(super) fn id_of(&self, name: &str) -> Option<&str> {
        let of = self.0.iter().find(|(_, names)| names.iter().any(|known| known == name));
        of.map(|(id, _)| id.as_str())
    }

    /// The schemas of their native tables, as SQL lists them.
    pub(super) fn schemas(&self) -> String {
        self.ids().map(|id| quoted(&schema(id))).collect::<Vec<_>>().join(", ")
    }

    /// The network whose native tables are in a schema.
    pub(super) fn of_schema(&self, name: &str) -> String {
        self.ids().find(|id| schema(id) == name).unwrap_or(name).to_owned()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Which alarms are judged when these networks are.
    pub(super) fn covers(&self) -> impl Fn(&Alarm) -> bool + Send + Sync + 'static {
        let networks: BTreeSet<String> = self.0.keys().cloned().collect();
        move |alarm| alarm.network.as_ref().is_some_and(|network| networks.contains(network))
    }
}

/// What queries judge: networks, in the lake as it is now, by the thresholds of the settings.
pub(super) struct Scope<'a> {
    pub(super) session: &'a Session,
    pub(super) networks: &'a Networks,
    pub(super) files: &'a Files,
    pub(super) alarms: &'a AlarmSettings,
}

impl Scope<'_> {
    /// Adds what a rule found in rows that are sorted by their first two texts, such as network and account: one fault for
    /// all rows in which these are the same.
    pub(super) fn add<const N: usize>(
        &self,
        rule: Rule,
        rows: &[[String; N]],
        fault: impl Fn(&[[String; N]]) -> Fault,
        findings: &mut Findings,
    ) {
        let faults = rows.chunk_by(|a, b| a[..2] == b[..2]).map(fault);
        findings.add(rule, self.networks.covers(), faults);
    }
}

/// The schema of a network's native tables.
pub(super) fn schema(id: &str) -> String {
    id.replace('-', "_")
}
