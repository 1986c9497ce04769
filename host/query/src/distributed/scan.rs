//! A scan of a Delta table as a leaf: all that a worker needs to plan it again, and its plan on the host that has one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::memory::DataSourceExec;
use datafusion::common::internal_err;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use deltalake::kernel::Snapshot;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use sluice_lake::Lake;
use tokio::sync::OnceCell;
use url::Url;

use super::worker::WorkerLake;

/// Where a table is in a lake, and its version.
#[derive(Clone, Debug)]
pub(crate) struct TableVersion {
    url: Url,
    /// Its folder, from the lake's.
    folder: String,
    /// The table's own id: a rebuilt one has the same folder, and may have the same version.
    id: String,
    version: u64,
}

impl TableVersion {
    /// None for a table outside the lake.
    pub(crate) fn of(lake: &Lake, url: &Url, snapshot: &Snapshot) -> Option<Self> {
        let folder = url.as_str().strip_prefix(lake.url().as_str())?.to_owned();
        let (id, version) = (snapshot.metadata().id().to_owned(), snapshot.version());
        Some(Self { url: url.clone(), folder, id, version })
    }
}

/// A data file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ScanFile {
    /// Its path from the table's folder, as in a URL.
    pub(super) path: String,
    pub(super) bytes: u64,
}

/// What is scanned.
#[derive(Clone, Debug)]
pub(super) struct Scanned {
    /// The table's folder, from the lake's.
    pub(super) folder: String,
    /// The table's id.
    pub(super) id: String,
    pub(super) version: u64,
    pub(super) projection: Option<Vec<usize>>,
    pub(super) filters: Vec<Expr>,
    /// Only these; none: all, of a scan that can't be cut.
    pub(super) files: Option<Vec<ScanFile>>,
}

/// The leaf.
#[derive(Debug)]
pub(crate) struct LakeScan {
    scanned: Scanned,
    rows: Rows,
    properties: Arc<PlanProperties>,
}

/// Where its rows are from.
#[derive(Clone, Debug)]
enum Rows {
    /// A plan of this host, of all files.
    Here(Arc<dyn ExecutionPlan>),
    /// A worker.
    Elsewhere,
    /// This worker, which plans it when it is asked for rows.
    Sent(Arc<WorkerLake>, Arc<OnceCell<Arc<dyn ExecutionPlan>>>),
}

impl LakeScan {
    /// Of a scan that was planned on this host.
    pub(crate) fn new(
        table: &TableVersion,
        plan: Arc<dyn ExecutionPlan>,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        partitions: usize,
    ) -> Result<Self> {
        let scanned = Scanned {
            folder: table.folder.clone(),
            id: table.id.clone(),
            version: table.version,
            projection: projection.cloned(),
            filters: filters.to_vec(),
            files: files_of(&plan, &table.url)?,
        };
        let properties = properties(plan.schema(), partitions);
        Ok(Self { scanned, rows: Rows::Here(plan), properties })
    }

    /// Of a scan that another host sent.
    pub(super) fn sent(scanned: Scanned, schema: SchemaRef, partitions: usize, lake: Arc<WorkerLake>) -> Self {
        Self { scanned, rows: Rows::Sent(lake, Arc::default()), properties: properties(schema, partitions) }
    }

    /// The same of some files, for a worker.
    pub(super) fn reading(&self, files: Option<Vec<ScanFile>>) -> Self {
        let scanned = Scanned { files, ..self.scanned.clone() };
        Self { scanned, rows: Rows::Elsewhere, properties: self.properties.clone() }
    }

    pub(super) fn scanned(&self) -> &Scanned {
        &self.scanned
    }

    /// Its files; none if it can't be cut.
    pub(super) fn files(&self) -> Option<&[ScanFile]> {
        self.scanned.files.as_deref()
    }

    pub(super) fn partitions(&self) -> usize {
        self.properties.output_partitioning().partition_count()
    }
}

fn properties(schema: SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(partitions.max(1)),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

impl DisplayAs for LakeScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scanned { folder, version, files, .. } = &self.scanned;
        write!(f, "LakeScan: {folder} at version {version}")?;
        files.iter().try_for_each(|files| write!(f, ", {} files", files.len()))
    }
}

impl ExecutionPlan for LakeScan {
    fn name(&self) -> &str {
        "LakeScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a scan of the lake has no children") }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let partitions = self.partitions();
        let (lake, planned) = match &self.rows {
            Rows::Here(plan) => return rows_of(plan, partition, partitions, &context),
            Rows::Elsewhere => return internal_err!("a worker's part of a scan isn't read on this host"),
            Rows::Sent(lake, planned) => (lake.clone(), planned.clone()),
        };
        let (scanned, schema) = (self.scanned.clone(), self.schema());
        let rows = stream::once(async move {
            let plan = planned.get_or_try_init(|| lake.plan(&scanned, &schema)).await?;
            rows_of(plan, partition, partitions, &context)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows.try_flatten())))
    }
}

/// A partition's rows: every so many partitions of the plan, which has more or fewer.
fn rows_of(
    plan: &Arc<dyn ExecutionPlan>,
    partition: usize,
    partitions: usize,
    context: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let count = plan.output_partitioning().partition_count();
    let mine = (partition..count).step_by(partitions).map(|at| plan.execute(at, Arc::clone(context)));
    let mine = mine.collect::<Result<Vec<_>>>()?;
    Ok(Box::pin(RecordBatchStreamAdapter::new(plan.schema(), stream::iter(mine).flatten())))
}

/// The bytes of files that a plan reads.
pub(crate) fn bytes_read(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let mut bytes = 0_u64;
    // It fails only where a step does.
    let _ = visit_scans(plan, |scan| {
        let files = scan.file_groups.iter().flat_map(|group| group.files());
        bytes = files.fold(bytes, |sum, file| sum.saturating_add(file.effective_size()));
    });
    bytes
}

/// The files that a scan reads; none if it reads none, as where the log alone answers, or one outside the table's folder.
fn files_of(plan: &Arc<dyn ExecutionPlan>, table: &Url) -> Result<Option<Vec<ScanFile>>> {
    let mut files: Option<BTreeMap<String, u64>> = None;
    let mut is_inside = true;
    visit_scans(plan, |scan| {
        let files = files.get_or_insert_default();
        for file in scan.file_groups.iter().flat_map(|group| group.files()) {
            let mut url = table.clone();
            url.set_path(&format!("/{}", file.object_meta.location));
            match url.as_str().strip_prefix(table.as_str()) {
                Some(path) => _ = files.insert(path.to_owned(), file.object_meta.size),
                None => is_inside = false,
            }
        }
    })?;
    let files = files.filter(|_| is_inside);
    Ok(files.map(|files| files.into_iter().map(|(path, bytes)| ScanFile { path, bytes }).collect()))
}

fn visit_scans(plan: &Arc<dyn ExecutionPlan>, mut visit: impl FnMut(&FileScanConfig)) -> Result<()> {
    plan.apply(|node| {
        let source = node.downcast_ref::<DataSourceExec>();
        if let Some(scan) = source.and_then(|source| source.data_source().downcast_ref::<FileScanConfig>()) {
            visit(scan);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}
