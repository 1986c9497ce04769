//! Heavy queries spread over the hosts whose services have the role `query`, by `datafusion-distributed`.
//!
//! A query is planned for this host first. If it reads more than a threshold, other hosts that take parts are looked for, and it is
//! planned again, its scans as leaves that carry a table, a version, files, columns and filters: each worker plans its share of the files again
//! ([`scan`]). What fails before the first row is tried once more on this host alone; there is no second attempt within a query.
//!
//! Two faults of the library would lose rows silently, and are met here: a panic on a worker ends its rows as if they were all
//! ([`guard`]), and so may a worker whose runtime ends ([`connection`]).

mod channels;
mod codec;
mod connection;
mod guard;
mod key;
mod scan;
mod share;
mod snapshots;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion_distributed::{
    DistributedExec, DistributedExt, DistributedLeafExec, SessionStateBuilderExt, WorkerResolver,
};
use futures::future::{BoxFuture, join_all};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::net::TcpStream;
use url::Url;

use crate::error::Error;
use channels::Channels;
use codec::LakeScanCodec;
pub use key::WorkerKey;
use scan::bytes_read;
pub(crate) use scan::{LakeScan, TableVersion};
pub(crate) use share::ScansAsLeaves;
pub use worker::QueryWorker;

/// How long a worker may take to answer before a query is planned without it.
const REACHED_WITHIN: Duration = Duration::from_secs(1);
/// A scan is cut so that each worker reads at least this part of what makes a query heavy.
const TASKS_OF_A_HEAVY_QUERY: u64 = 4;

/// Finds the addresses of hosts that take parts of queries now.
pub type FindWorkers = dyn Fn() -> BoxFuture<'static, Vec<Url>> + Send + Sync;

/// Hosts that take parts of queries. They are looked for when a query is heavy: others pay nothing, and a session that lasts sees
/// those that came since it began.
#[derive(Clone)]
pub struct Workers {
    find: Arc<FindWorkers>,
    channels: Channels,
    spread_from_bytes: u64,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("spread_from_bytes", &self.spread_from_bytes).finish_non_exhaustive()
    }
}

impl Workers {
    /// Those that `find` finds, for queries that read at least so many bytes of files.
    pub fn new(find: Arc<FindWorkers>, key: WorkerKey, spread_from_bytes: u64) -> Self {
        Self { find, channels: Channels::new(key), spread_from_bytes }
    }

    /// Those that answer now.
    async fn reached(&self) -> Arc<[Url]> {
        let found = (self.find)().await;
        let asked = found.into_iter().map(|url| async move { is_reached(&url).await.then_some(url) });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// The rows of a query that is heavy and can be spread; none if it has to run on this host. `plan` is not optimised,
    /// `embedded` is its plan for this host.
    pub(crate) async fn rows(
        &self,
        session: &SessionState,
        plan: &LogicalPlan,
        embedded: &Arc<dyn ExecutionPlan>,
    ) -> Option<SendableRecordBatchStream> {
        if bytes_read(embedded) < self.spread_from_bytes {
            return None;
        }
        // Planned for workers, a scalar subquery would be a join, which doesn't refuse several rows.
        if embedded.exists(|node| Ok(node.is::<ScalarSubqueryExec>())).unwrap_or(true) {
            return None;
        }
        let urls = self.reached().await;
        if urls.is_empty() {
            return None;
        }
        match self.begin(session, plan, urls).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "query workers failed; the query is tried once more, on this host alone");
                None
            }
        }
    }

    /// Starts a query, up to its first rows; none if it can't be spread.
    async fn begin(
        &self,
        session: &SessionState,
        plan: &LogicalPlan,
        urls: Arc<[Url]>,
    ) -> Result<Option<SendableRecordBatchStream>> {
        let state = self.state(session, urls)?;
        let plan = state.optimize(plan)?;
        let plan = state.query_planner().create_physical_plan(&plan, &state).await?;
        if !plan.is::<DistributedExec>() || !can_travel(&plan)? {
            return Ok(None);
        }
        let schema = plan.schema();
        let mut rows = execute_stream(plan, state.task_ctx())?;
        let first = rows.try_next().await?.map(Ok);
        let rows = stream::iter(first).chain(rows.map_err(Error::of_worker));
        let rows: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
        Ok(Some(rows))
    }

    /// A session that plans for the workers.
    fn state(&self, session: &SessionState, urls: Arc<[Url]>) -> Result<SessionState> {
        let mut state = SessionStateBuilder::new_from_existing(session.clone())
            .with_distributed_worker_resolver(Known(urls))
            .with_distributed_channel_resolver(self.channels.clone())
            .with_distributed_user_codec(LakeScanCodec::of_coordinator())
            .with_distributed_desired_task_count_handler(share::desired_tasks)
            .with_distributed_scale_up_leaf_node_handler(share::share_files)
            // Nobody reads them, and workers add a node to their plans, which these are matched with.
            .with_distributed_metrics_collection(false)?
            .with_distributed_planner()
            .build();
        let task_bytes = self.spread_from_bytes / TASKS_OF_A_HEAVY_QUERY;
        // Of a scan of one partition a step believes to have all rows, and it is cut for several workers all the same.
        let execution = &mut state.config_mut().options_mut().execution;
        execution.target_partitions = execution.target_partitions.max(2);
        state.config_mut().set_extension(Arc::new(ScansAsLeaves { task_bytes }));
        Ok(state)
    }
}

/// The workers that a query was planned for.
struct Known(Arc<[Url]>);

impl WorkerResolver for Known {
    fn get_urls(&self) -> Result<Vec<Url>, DataFusionError> {
        Ok(self.0.to_vec())
    }
}

/// Whether all rows of a plan come from what workers can plan again.
fn can_travel(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut travels = true;
    plan.apply(|node| {
        if !node.children().is_empty() {
            return Ok(TreeNodeRecursion::Continue);
        }
        let shared = node.downcast_ref::<DistributedLeafExec>();
        travels &= shared.is_some_and(|leaf| leaf.original().is::<LakeScan>())
            || node.is::<LakeScan>()
            || node.is::<EmptyExec>()
            || node.is::<PlaceholderRowExec>();
        Ok(if travels { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(travels)
}

/// Whether something listens there.
async fn is_reached(url: &Url) -> bool {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    matches!(tokio::time::timeout(REACHED_WITHIN, TcpStream::connect((host, port))).await, Ok(Ok(_)))
}
