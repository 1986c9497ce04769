//! Versions of a connector that don't serve, for the report of a run that another one maps.

use sluice_registry::{Registry, Serving};

use crate::network::Network;

/// Which files of the network's connector were refused or wait for a decision, and why: a sentence each.
pub(super) fn versions(registry: &Registry, network: &Network) -> Vec<String> {
    let id = &network.manifest().network;
    let entries = registry.entries().into_iter().filter(|entry| entry.network.as_ref() == Some(id));
    let sentence = |entry: sluice_registry::Entry| {
        let (what, reason) = match &entry.state {
            Serving::Refused(reason) => ("is refused", reason),
            Serving::Waiting(reason) => ("waits", reason),
            Serving::Serving | Serving::Shadow(_) => return None,
        };
        let version = entry.candidate.as_ref().map_or_else(String::new, |(version, _)| format!(" {version}"));
        let serving = network.connector.version();
        Some(format!("connector{version} in {} {what}, and {serving} maps: {}", entry.file, reason.reason))
    };
    entries.filter_map(sentence).collect()
}
