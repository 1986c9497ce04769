//! Connector versions that were active: their history, and their signatures.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::DateTime;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt};
use sluice_model::Digest;

use super::ConnectorRow;
use super::requests::{column, read, times};
use crate::error::Error;
use crate::lake::Lake;

const COLUMNS: [&str; 5] = ["network", "version", "digest", "activated_at", "source"];
/// Of a request, who sent it and when.
const SENDERS: [&str; 5] = ["network", "connector_version", "connector_digest", "outcome", "sent_at"];

impl Lake {
    /// When which version of a network's connector became active, oldest first.
    pub async fn activations(&self, network: &str) -> Result<Vec<ConnectorRow>, Error> {
        let table = self.system_table("connectors").await?;
        let mut activations = Vec::new();
        for file in table.files() {
            for rows in read(&table, &file, &COLUMNS).await? {
                let [networks, versions, digests, sources] =
                    ["network", "version", "digest", "source"].map(|name| column(&rows, name));
                let (networks, versions, digests, sources) = (networks?, versions?, digests?, sources?);
                let at = times(&rows, "activated_at")?;
                activations.extend((0..rows.num_rows()).filter(|&row| networks.value(row) == network).filter_map(
                    |row| {
                        Some(ConnectorRow {
                            network: network.to_owned(),
                            version: versions.value(row).to_owned(),
                            digest: Digest::from_hex(digests.value(row))?,
                            activated_at: DateTime::from_timestamp_micros(at.value(row))?,
                            source: sources.iter().nth(row).flatten().map(str::to_owned),
                        })
                    },
                ));
            }
        }
        activations.sort_by_key(|row| row.activated_at);
        Ok(activations)
    }

    /// Notes the connectors that sent what `meta.requests` has in `meta.connectors`, each since its first request; nothing if
    /// that table is there.
    pub async fn note_connectors_of_requests(&self) -> Result<(), Error> {
        if self.system_table("connectors").await?.version().is_some() {
            return Ok(());
        }
        let table = self.system_table("requests").await?;
        let mut first: BTreeMap<(String, String, String), i64> = BTreeMap::new();
        for file in table.files() {
            for rows in read(&table, &file, &SENDERS).await? {
                let [networks, versions, digests, outcomes] =
                    ["network", "connector_version", "connector_digest", "outcome"].map(|name| column(&rows, name));
                let (networks, versions, digests, outcomes) = (networks?, versions?, digests?, outcomes?);
                let at = times(&rows, "sent_at")?;
                for row in (0..rows.num_rows()).filter(|row| outcomes.value(*row) == "answered") {
                    let sender = [networks, versions, digests].map(|texts| texts.value(row).to_owned());
                    let first = first.entry(sender.into()).or_insert(i64::MAX);
                    *first = (*first).min(at.value(row));
                }
            }
        }
        let rows = first.into_iter().filter_map(|((network, version, digest), at)| {
            let (digest, activated_at) = (Digest::from_hex(&digest)?, DateTime::from_timestamp_micros(at)?);
            Some(ConnectorRow { network, version, digest, activated_at, source: None })
        });
        self.append_connectors(&rows.collect::<Vec<_>>()).await
    }

    /// Keeps the signature of a component.
    pub async fn put_signature(&self, digest: Digest, signature: &str) -> Result<(), Error> {
        let path = signature_path(digest);
        let written = self.store().put(&path, Bytes::from(signature.to_owned()).into()).await;
        written.map(|_| ()).map_err(|source| Error::store("write", self.display(&path), source))
    }

    /// The signature of a component, if one was kept.
    pub async fn signature(&self, digest: Digest) -> Result<Option<String>, Error> {
        let path = signature_path(digest);
        let failed = |source| Error::store("read", self.display(&path), source);
        match self.store().get(&path).await {
            Ok(found) => {
                let bytes = found.bytes().await.map_err(failed)?;
                Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }
}

fn signature_path(digest: Digest) -> Path {
    Path::from(format!("connectors/{digest}.wasm.minisig"))
}
