//! Markers of slices: which windows of raw are whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use sluice_model::{Digest, SliceRead};

use crate::error::Error;
use crate::lake::Lake;

/// Markers read ahead.
const MARKERS_AHEAD: usize = 16;

impl Lake {
    /// Keeps the outcome of a slice. It is stored when this returns.
    ///
    /// A slice that a run reads again, because it crashed or because a request had failed, gets another marker: the
    /// latest counts.
    pub async fn put_slice_read(&self, read: &SliceRead) -> Result<(), Error> {
        let failed = |source| Error::Marker { slice: read.slice.id(), source };
        let text = Bytes::from(serde_json::to_vec(read).map_err(failed)?);
        let mut copy = 1;
        while !self.put_if_absent(&marker_path(read, copy), text.clone()).await? {
            if self.get(&marker_path(read, copy)).await? == text {
                return Ok(());
            }
            copy += 1;
        }
        Ok(())
    }

    /// The slices that a run read, each as it was read last, in the order in which they were read; none of those
    /// whose answers raw has no more.
    pub async fn slice_reads(&self, run_id: &str) -> Result<Vec<SliceRead>, Error> {
        let paths = self.kept_in(&Path::from_iter(["raw", "slices", run_id])).await?;
        let markers: Vec<SliceRead> = stream::iter(paths)
            .map(|path| async move { self.slice_read(&path).await })
            .buffer_unordered(MARKERS_AHEAD)
            .try_collect()
            .await?;
        let mut latest: BTreeMap<String, SliceRead> = BTreeMap::new();
        let retired = self.retired().await?;
        for read in markers.into_iter().filter(|read| !retired.holds(run_id, read.read_at)) {
            let id = read.slice.id();
            if latest.get(&id).is_none_or(|other| other.read_at < read.read_at) {
                latest.insert(id, read);
            }
        }
        let mut reads: Vec<SliceRead> = latest.into_values().collect();
        reads.sort_by_key(|read| read.read_at);
        Ok(reads)
    }

    async fn slice_read(&self, path: &Path) -> Result<SliceRead, Error> {
        let text = self.get(path).await?;
        serde_json::from_slice(&text)
            .map_err(|error| Error::Damaged { path: self.display(path), reason: error.to_string() })
    }
}

fn marker_path(read: &SliceRead, copy: u32) -> Path {
    let slice = Digest::of(read.slice.id().as_bytes());
    let name = if copy == 1 { format!("{slice}.json") } else { format!("{slice}.{copy}.json") };
    Path::from_iter(["raw", "slices", read.run_id.as_str(), name.as_str()])
}
