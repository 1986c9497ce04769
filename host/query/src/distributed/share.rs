//! How many workers a scan is cut for, and which files each of them reads.

use std::cmp::Reverse;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_distributed::{
    DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedLeafExec, ScaleUpLeafNodeEvent,
    ScaleUpLeafNodeEventResponse,
};

use super::scan::{LakeScan, ScanFile};

/// Marks a session whose scans are planned for workers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScansAsLeaves {
    /// What each worker shall read of a scan at least.
    pub(crate) task_bytes: u64,
}

/// On how many workers a scan is worth being read.
pub(super) fn desired_tasks(event: DesiredTaskCountEvent<'_>) -> Option<Result<DesiredTaskCountEventResponse>> {
    let scan = event.plan.downcast_ref::<LakeScan>()?;
    let task_bytes = event.session_config.get_extension::<ScansAsLeaves>()?.task_bytes.max(1);
    let Some(files) = scan.files() else { return Some(Ok(DesiredTaskCountEventResponse::maximum(1))) };
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let tasks = usize::try_from(bytes.div_ceil(task_bytes)).unwrap_or(usize::MAX);
    Some(Ok(DesiredTaskCountEventResponse::desired(tasks.min(files.len()).max(1))))
}

/// Gives each worker its files.
pub(super) fn share_files(event: ScaleUpLeafNodeEvent<'_>) -> Option<Result<ScaleUpLeafNodeEventResponse>> {
    let scan = event.plan.downcast_ref::<LakeScan>()?;
    if event.task_count <= 1 {
        return None;
    }
    let parts: Vec<Option<Vec<ScanFile>>> = match scan.files() {
        Some(files) => shares(files, event.task_count).into_iter().map(Some).collect(),
        // What can't be cut is read by one.
        None => {
            let mut parts = vec![Some(Vec::new()); event.task_count];
            parts[0] = None;
            parts
        }
    };
    let scans = parts.into_iter().map(|files| Arc::new(scan.reading(files)) as Arc<dyn ExecutionPlan>);
    let leaf = DistributedLeafExec::try_new(Arc::clone(event.plan), scans);
    Some(leaf.map(|leaf| ScaleUpLeafNodeEventResponse::new(Arc::new(leaf))))
}

/// Files in as many parts of about the same size, each in one of them.
fn shares(files: &[ScanFile], parts: usize) -> Vec<Vec<ScanFile>> {
    let mut files = files.to_vec();
    files.sort_by(|one, other| (Reverse(one.bytes), &one.path).cmp(&(Reverse(other.bytes), &other.path)));
    let mut shares = vec![(0_u64, Vec::new()); parts];
    for file in files {
        if let Some((bytes, share)) = shares.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            *bytes += file.bytes;
            share.push(file);
        }
    }
    shares.into_iter().map(|(_, share)| share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_in_one_share() {
        let files: Vec<ScanFile> =
            (0..23).map(|at| ScanFile { path: format!("{at}.parquet"), bytes: at * at + 1 }).collect();
        for parts in 1..30 {
            let shares = shares(&files, parts);
            assert_eq!(shares.len(), parts);
            let mut paths: Vec<_> = shares.iter().flatten().map(|file| file.path.clone()).collect();
            paths.sort_unstable();
            let mut all: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
            all.sort_unstable();
            assert_eq!(paths, all);
        }
        let sizes: Vec<u64> = shares(&files, 2).iter().map(|share| share.iter().map(|file| file.bytes).sum()).collect();
        assert!(sizes[0].abs_diff(sizes[1]) < 30, "{sizes:?}");
    }
}
