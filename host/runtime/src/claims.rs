//! Claims of all networks of a connector: several files may name one, and what is written of its history is of all of them.

use std::future::Future;

use sluice_lake::Fence;
use sluice_state::{Claim, Error, guard_all};

use crate::app::{App, fence};
use crate::failure::Failure;
use crate::maintenance;
use crate::settings::network;

/// Claims of whole networks, given back together.
pub struct Claims(Vec<Claim>);

impl Claims {
    /// Claims all networks whose files name a connector, and the one called `network`, one after another in the order of their
    /// names, so that two who want the same don't wait for each other.
    ///
    /// # Errors
    /// The state store's failure, or that one is in use for too long; a folder of networks that can't be read.
    pub async fn of_connector(app: &App, connector: &str, network: &str) -> Result<Self, Failure> {
        Self::of_others(app, connector, network, None).await
    }

    /// The same where `taken`, the first of them by name, is claimed already.
    ///
    /// # Errors
    /// As [`Claims::of_connector`].
    pub async fn of_others(app: &App, connector: &str, network: &str, taken: Option<&str>) -> Result<Self, Failure> {
        let mut names = networks_of(app, connector)?;
        names.push(network.to_owned());
        names.retain(|name| Some(name.as_str()) != taken);
        Self::of(app, names).await
    }

    /// Claims all networks, but `taken` if that is claimed already.
    ///
    /// # Errors
    /// As [`Claims::of_connector`]; settings of a network that can't be read.
    pub async fn of_all(app: &App, taken: Option<&str>) -> Result<Self, Failure> {
        Self::of(app, all_networks(app, taken)?).await
    }

    /// Claims all networks, and maintenance.
    ///
    /// # Errors
    /// As [`Claims::of_all`].
    pub async fn of_lake(app: &App) -> Result<Self, Failure> {
        let mut names = all_networks(app, None)?;
        names.push(maintenance::LAKE.to_owned());
        Self::of(app, names).await
    }

    async fn of(app: &App, mut names: Vec<String>) -> Result<Self, Failure> {
        names.sort_unstable();
        names.dedup();
        let mut claims = Self(Vec::new());
        for name in &names {
            match app.claim(name).await {
                Ok(claim) => claims.0.push(claim),
                Err(failure) => {
                    claims.release().await;
                    return Err(failure);
                }
            }
        }
        Ok(claims)
    }

    /// Does `work` as long as all of them are valid.
    ///
    /// # Errors
    /// The work's failure, or that of a lost lease.
    pub async fn guard<T, E: From<Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        guard_all(&self.0, work).await
    }

    /// The fence in commits of what is written under them: that of the last one, which knows most of leases that lapsed.
    pub fn fence(&self) -> Option<Fence> {
        self.0.last().map(fence)
    }

    /// Gives them back.
    pub async fn release(self) {
        for claim in self.0 {
            claim.release().await;
        }
    }
}

fn all_networks(app: &App, taken: Option<&str>) -> Result<Vec<String>, Failure> {
    let networks = network::load_all(&app.settings.networks_dir)?;
    Ok(networks.into_iter().map(|network| network.name).filter(|name| Some(name.as_str()) != taken).collect())
}

/// The names of the networks whose files name a connector, sorted.
///
/// # Errors
/// A folder of networks that can't be read.
pub fn networks_of(app: &App, connector: &str) -> Result<Vec<String>, Failure> {
    let networks = network::load_each(&app.settings.networks_dir)?.networks;
    let of_connector = networks.into_iter().filter(|network| network.content.connector == connector);
    Ok(of_connector.map(|network| network.name).collect())
}
