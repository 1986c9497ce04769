//! What a version of a connector would read with the operator's settings, before it serves: a manifest's windows are no
//! rights, so a newer version may change them by itself.

use std::path::Path;

use chrono::Utc;
use sluice_engine::Connector;
use sluice_model::Slice;
use sluice_registry::{Error, PlannedReads};

use crate::failure::Failure;
use crate::network::Network;
use crate::settings::network;
use crate::settings::secrets::SecretSources;
use crate::slices;
use crate::widths::Widths;

/// Slices for which a version is asked for its requests before it serves.
const MOST_PLANNED: usize = 256;

/// How much a version may read, and for whom.
pub(crate) struct SwapPlan {
    /// The folder of the networks' settings.
    pub(crate) networks_dir: std::path::PathBuf,
    pub(crate) secrets: SecretSources,
    pub(crate) slices_per_run: u64,
    pub(crate) requests_per_slice: usize,
}

impl SwapPlan {
    /// The newest slice of each account, stream and look-back rule that a version would read, for all files that name its
    /// network; or why it would read too much.
    pub(crate) fn of(&self, connector: &Connector) -> Result<PlannedReads, Error> {
        let now = Utc::now();
        let mut newest: Vec<Slice> = Vec::new();
        for settings in load(&self.networks_dir)? {
            if settings.content.connector != connector.network() {
                continue;
            }
            let secrets = self.secrets.clone();
            let network = Network { settings, connector: connector.clone(), shadow: None, secrets };
            match slices::reads(&network, &Widths::default(), self.slices_per_run, now) {
                Ok(reads) => {
                    let left = MOST_PLANNED - newest.len();
                    newest.extend(reads.iter().filter_map(|read| read.slices().next_back()).take(left));
                }
                Err(failure) => return Ok(PlannedReads::TooMany(reason(failure))),
            }
        }
        Ok(PlannedReads::Slices { newest, requests_per_slice: self.requests_per_slice })
    }
}

fn load(dir: &Path) -> Result<Vec<network::NetworkSettings>, Error> {
    let loaded = network::load_each(dir).map_err(|failure| {
        let reason = reason(failure);
        Error::Settings { reason: reason.reason, hint: reason.hint }
    })?;
    Ok(loaded.networks)
}

fn reason(failure: Failure) -> sluice_registry::Reason {
    sluice_registry::Reason { reason: sluice_model::describe(failure.error.as_ref()), hint: failure.hint }
}
