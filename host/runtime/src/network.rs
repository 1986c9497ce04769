//! A network with the connector that serves it: what is read of it, and with which rights.

use std::sync::Arc;

use futures::FutureExt;
use sluice_engine::Connector;
use sluice_fetch::{Access, SecretReloader};
use sluice_lake::ConnectorRef;
use sluice_model::Manifest;
use sluice_registry::Shadow;

use crate::failure::Failure;
use crate::settings::look_back::LookBackRule;
use crate::settings::network::{Account, NetworkSettings};
use crate::settings::secrets::SecretSources;

/// The rate for a network that states no limit; `rate` in its settings changes it.
const DEFAULT_RATE: sluice_model::Rate = sluice_model::Rate { requests: 5, per_secs: 1, concurrency: 4 };

/// A network with the connector that serves it now.
#[derive(Clone)]
pub struct Network {
    /// What its file in `networks/` says.
    pub settings: NetworkSettings,
    /// The connector. What it began, a slice or a build, it ends, even if another version is swapped in.
    pub connector: Connector,
    /// What maps beside it.
    pub shadow: Option<Arc<Shadow>>,
    /// What references to secrets may name.
    pub secrets: SecretSources,
}

impl Network {
    /// The connector's manifest.
    pub fn manifest(&self) -> &Manifest {
        self.connector.manifest()
    }

    /// Reads an account's secrets again, for when the network has refused them.
    fn secret_reloader(&self, account: &Account) -> SecretReloader {
        let (network, account) = (self.clone(), account.clone());
        SecretReloader::new(move || {
            let (network, account) = (network.clone(), account.clone());
            let read = async move {
                let secrets = network.settings.account_secrets(network.manifest(), &account, &network.secrets).await;
                secrets.map_err(|failure| failure.render(false))
            };
            read.boxed()
        })
    }

    /// What requests of an account may use, its secrets read now.
    ///
    /// # Errors
    /// A settings failure for a missing setting, secret or right.
    pub async fn access(&self, account: &Account) -> Result<Access, Failure> {
        let content = &self.settings.content;
        let manifest = self.manifest();
        if content.hosts.is_empty() && content.base_url.is_none() {
            let hosts = serde_json::to_string(&manifest.hosts).unwrap_or_default();
            return Err(Failure::settings(format!("{} allows no hosts", self.settings.file))
                .hint(format!("connector `{}` asks for \"hosts\": {hosts}", manifest.network)));
        }
        Ok(Access {
            network: manifest.network.clone(),
            account: account.id().to_owned(),
            manifest_hosts: manifest.hosts.clone(),
            operator_hosts: content.hosts.clone(),
            base_url: content.base_url.clone(),
            settings: self.settings.account_settings(manifest, account)?,
            secrets: self.settings.account_secrets(manifest, account, &self.secrets).await?,
            secret_reloader: Some(self.secret_reloader(account)),
            tokens: manifest.tokens.clone(),
            rate: content.rate.or(manifest.rate).unwrap_or(DEFAULT_RATE),
        })
    }
}

/// The network's look-back rules: the operator's, else the connector's.
pub fn look_back_rules(network: &Network) -> Vec<LookBackRule> {
    let own = || {
        network.manifest().look_back.iter().map(|rule| LookBackRule {
            every: rule.every_secs,
            days: rule.days,
            axis: Some(rule.axis),
            requests: None,
            at_least_every: None,
        })
    };
    network.settings.content.look_back.clone().unwrap_or_else(|| own().collect())
}

/// How tables name a connector.
pub fn connector_ref(connector: &Connector) -> ConnectorRef {
    ConnectorRef {
        name: connector.network().to_owned(),
        version: connector.version().to_owned(),
        digest: connector.digest(),
    }
}
