//! A worker: takes parts of queries from other hosts of the installation, and reads the lake by itself.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::common::{exec_err, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_distributed::{DistributedExt, Worker, WorkerQueryContext, WorkerSessionBuilder};
use deltalake::DeltaTable;
use deltalake::delta_datafusion::DeltaScanNext;
use futures::FutureExt;
use sluice_lake::Lake;
use tokio::net::TcpListener;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use url::Url;

use super::channels::{Channels, PING};
use super::codec::LakeScanCodec;
use super::connection::{PROVEN_WITHIN, connections};
use super::guard::guard;
use super::key::{ProofChecker, WorkerKey};
use super::scan::Scanned;
use super::snapshots::Snapshots;
use crate::delta_table::scan_config;
use crate::error::Error;
use crate::session::{self, SessionOptions};

/// The lake as a worker reads it.
pub(super) struct WorkerLake {
    lake: Lake,
    /// Plans scans; its stores and its memory are those of all parts of queries.
    state: SessionState,
    snapshots: Snapshots,
}

impl fmt::Debug for WorkerLake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerLake").field("lake", &self.lake).finish_non_exhaustive()
    }
}

impl WorkerLake {
    /// Plans a scan that another host sent: of a table of this lake and of files that its version has, or not at all.
    pub(super) async fn plan(&self, scanned: &Scanned, schema: &SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
        let root = self.lake.url();
        let url = root.join(&scanned.folder).map_err(|error| DataFusionError::External(Box::new(error)))?;
        if !url.as_str().starts_with(root.as_str()) {
            return plan_err!("`{}` is no folder of {root}", scanned.folder);
        }
        let log = self.lake.log_store(&url).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let table = DeltaTable::new(log.clone());
        table.update_datafusion_session(&self.state).map_err(DataFusionError::from)?;
        let snapshot = self.snapshots.of(scanned, log.as_ref()).await?;
        let mut scan = DeltaScanNext::new(snapshot, scan_config())?;
        if let Some(files) = &scanned.files {
            scan = scan.with_file_paths(files.iter().map(|file| file.path.as_str()));
        }
        let plan = scan.scan(&self.state, scanned.projection.as_ref(), &scanned.filters, None).await?;
        if plan.schema().fields() != schema.fields() {
            return exec_err!("this host reads other columns of {url}: it may be of another version of sluice");
        }
        // The planner of a whole query would have cut it for this machine's threads.
        let config = self.state.config();
        Ok(plan.repartitioned(config.target_partitions(), config.options())?.unwrap_or(plan))
    }
}

/// What each part of a query is run with.
struct Parts {
    lake: Arc<WorkerLake>,
    channels: Channels,
    options: SessionOptions,
}

#[async_trait]
impl WorkerSessionBuilder for Parts {
    async fn build_session_state(&self, context: WorkerQueryContext) -> Result<SessionState, DataFusionError> {
        tracing::info!("takes a part of a query");
        let mut builder = context.builder;
        // What the library has put in it stays.
        let config = builder.config().take().unwrap_or_default();
        let mut state = builder
            .with_config(session::configured(config, &self.options))
            .with_distributed_channel_resolver(self.channels.clone())
            .with_distributed_user_codec(LakeScanCodec::of_worker(self.lake.clone()))
            .with_distributed_worker_plan_rewrite_handler(guard)
            .build();
        session::add_functions(&mut state, self.options.memory_bytes)?;
        Ok(state)
    }
}

/// A worker that listens.
pub struct QueryWorker {
    listener: TcpListener,
    address: Url,
    worker: Worker,
    checker: ProofChecker,
}

impl QueryWorker {
    /// Listens at `listen`. Others call it by `address`; by where it listens without one.
    ///
    /// # Errors
    /// An address that is taken; a set-up that fails.
    pub async fn bind(
        lake: Lake,
        options: SessionOptions,
        key: WorkerKey,
        listen: SocketAddr,
        address: Option<Url>,
    ) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::setup(DataFusionError::IoError(error));
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = match address {
            Some(address) => address,
            None => {
                let address = format!("http://{}", listener.local_addr().map_err(failed)?);
                let unfit = |error: url::ParseError| Error::setup(DataFusionError::External(Box::new(error)));
                Url::parse(&address).map_err(unfit)?
            }
        };
        let state = session::engine(&options)?;
        let runtime = state.runtime_env().clone();
        let lake = Arc::new(WorkerLake { lake, state, snapshots: Snapshots::default() });
        let checker = ProofChecker::new(key.clone(), address.as_str());
        let parts = Parts { lake, channels: Channels::new(key), options };
        let worker = Worker::from_session_builder(parts).with_runtime_env(runtime);
        Ok(Self { listener, address, worker, checker })
    }

    /// What other hosts call it by.
    pub fn address(&self) -> &Url {
        &self.address
    }

    /// Takes parts of queries until `stop` is ready, and lets those that it has end within `grace`.
    ///
    /// # Errors
    /// A failure of the server.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send, grace: Duration) -> std::io::Result<()> {
        let cut = Arc::new(AtomicBool::new(false));
        let stop = stop.shared();
        let service = InterceptedService::new(self.worker.into_worker_server(), self.checker);
        let serving = Server::builder()
            .http2_keepalive_interval(Some(PING))
            .http2_keepalive_timeout(Some(PING))
            .add_service(service)
            .serve_with_incoming_shutdown(connections(self.listener, cut.clone(), PROVEN_WITHIN), stop.clone());
        let late = async {
            stop.await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            served = serving => served.map_err(std::io::Error::other),
            () = late => {
                cut.store(true, Ordering::SeqCst);
                tracing::warn!("parts of queries were cut off");
                Ok(())
            }
        }
    }
}
