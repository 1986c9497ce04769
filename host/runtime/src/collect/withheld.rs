//! Responses of a slice that are doubted, or cut: raw keeps them, and nothing of them reaches the tables.

use sluice_model::RawObject;

use crate::doubt::Observation;

/// Their requests, what they are like, and the version that mapped the last one.
#[derive(Default)]
pub(super) struct Withheld {
    pub(super) request_ids: Vec<String>,
    pub(super) seen: Observation,
    pub(super) connector_version: String,
}

impl Withheld {
    /// Records a response, and of what it is like as far as it could be read.
    pub(super) fn add(&mut self, raw: &RawObject, seen: &Observation) {
        self.request_ids.push(raw.request_id.clone());
        self.seen.merge(seen);
        raw.connector_version.clone_into(&mut self.connector_version);
    }

    /// Records what another one has.
    pub(super) fn append(&mut self, other: Self) {
        let Self { request_ids, seen, connector_version } = other;
        if request_ids.is_empty() {
            return;
        }
        self.request_ids.extend(request_ids);
        self.seen.merge(&seen);
        self.connector_version = connector_version;
    }
}
