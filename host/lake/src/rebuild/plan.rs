//! What a rebuild that several hosts share keeps in the lake: the runs of each of its parts.

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::NEW;
use crate::error::Error;
use crate::lake::Lake;
use crate::meta::networks_of_requests;
use crate::table::{Fence, Table};

/// The name of what is there once all parts are kept.
const WHOLE: &str = "whole";
/// Tables to which each run of a rebuild appends once: what it looked up before it was stopped may be out of date.
const APPENDED: [&str; 2] = ["requests", "coverage"];

impl Lake {
    /// The network that each of these runs read: by `meta.requests`, and by raw for those that it doesn't have. Runs of which
    /// raw has nothing any more are left out. They stay in their order.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn networks_of_runs(&self, runs: Vec<String>) -> Result<Vec<(String, String)>, Error> {
        let mut known = networks_of_requests(&self.system_table("requests").await?).await?;
        let mut networks = Vec::new();
        for run in runs {
            let network = match known.remove(&run) {
                Some(network) => Some(network),
                None => self.network_of_run(&run).await?,
            };
            networks.extend(network.map(|network| (run, network)));
        }
        Ok(networks)
    }

    async fn network_of_run(&self, run: &str) -> Result<Option<String>, Error> {
        if let Some((_, object)) = self.envelopes(run).await?.try_next().await? {
            return Ok(Some(object.slice.network));
        }
        Ok(self.slice_reads(run).await?.into_iter().next().map(|read| read.slice.network))
    }

    /// Keeps the runs of a part of a rebuild, oldest first.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn put_rebuild_part(&self, rebuild: &str, part: &str, runs: &[String]) -> Result<(), Error> {
        let path = part_path(rebuild, part);
        let put = self.store().put(&path, Bytes::from(runs.join("\n")).into()).await;
        put.map(drop).map_err(|source| Error::store("write", self.display(&path), source))
    }

    /// The runs of a part of a rebuild, oldest first; none if the rebuild isn't there any more.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn rebuild_part(&self, rebuild: &str, part: &str) -> Result<Option<Vec<String>>, Error> {
        match self.get(&part_path(rebuild, part)).await {
            Ok(text) => Ok(Some(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Notes that all parts of a rebuild are kept.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn close_rebuild_plan(&self, rebuild: &str) -> Result<(), Error> {
        self.put_rebuild_part(rebuild, WHOLE, &[]).await
    }

    /// Whether the tables of a rebuild that was cut into parts hold what the parts gave: whoever deletes them deletes the plan first.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn has_rebuild_plan(&self, rebuild: &str) -> Result<bool, Error> {
        Ok(self.rebuild_part(rebuild, WHOLE).await?.is_some())
    }

    /// Shuts out of the tables that runs append to whoever let its lease lapse. What such a host looked up before is older than
    /// what is looked up from now on, and its commit is refused.
    ///
    /// # Errors
    /// The store's failure; [`Error::Fenced`] if this lease itself was taken over.
    pub async fn shut_out_lapsed(&self, fence: &Fence) -> Result<(), Error> {
        for name in APPENDED {
            let mut table = Table::open(self, "meta", name).await?;
            table.shut_out(fence).await?;
        }
        Ok(())
    }
}

fn part_path(rebuild: &str, part: &str) -> Path {
    Path::from_iter([NEW, rebuild, "plan", part])
}

/// What a plan in the folder of a rebuild has last.
pub(super) fn whole_path(folder: &Path) -> Path {
    folder.clone().join("plan").join(WHOLE)
}
