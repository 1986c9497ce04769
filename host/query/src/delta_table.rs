//! A Delta table that is only read, and whose limits hold.
//!
//! Where a query needs no column of a data file (`SELECT network FROM … LIMIT 5`), deltalake 1.1 answers from the log
//! alone, by a scan that claims to take a limit and doesn't: every row would come.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use deltalake::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use deltalake::kernel::Snapshot;
use sluice_lake::Lake;
use url::Url;

use crate::distributed::{LakeScan, ScansAsLeaves, TableVersion};

#[derive(Debug)]
pub(crate) struct DeltaReader {
    scan: DeltaScanNext,
    /// Where other hosts find it; none outside the lake.
    version: Option<TableVersion>,
}

impl DeltaReader {
    pub(crate) fn open(lake: &Lake, url: &Url, snapshot: Snapshot) -> Result<Self> {
        let version = TableVersion::of(lake, url, &snapshot);
        Ok(Self { scan: DeltaScanNext::new(snapshot, scan_config())?, version })
    }
}

/// Partition columns as plain text, not as dictionaries: they join and print like any other.
pub(crate) fn scan_config() -> DeltaScanConfig {
    DeltaScanConfig::new().with_wrap_partition_values(false)
}

#[async_trait]
impl TableProvider for DeltaReader {
    fn schema(&self) -> SchemaRef {
        self.scan.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.scan.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let leaves = session.config().get_extension::<ScansAsLeaves>();
        if let (Some(version), Some(_)) = (&self.version, leaves) {
            let plan = self.scan.scan(session, projection, filters, None).await?;
            let partitions = session.config().target_partitions();
            return Ok(Arc::new(LakeScan::new(version, plan, projection, filters, partitions)?));
        }
        let scan = self.scan.scan(session, projection, filters, limit).await?;
        Ok(if scan.supports_limit_pushdown() && scan.children().is_empty() { Arc::new(Unlimited(scan)) } else { scan })
    }
}

/// A scan that declares that it takes no limit: the limit stays above it.
#[derive(Debug)]
struct Unlimited(Arc<dyn ExecutionPlan>);

impl DisplayAs for Unlimited {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unlimited")
    }
}

impl ExecutionPlan for Unlimited {
    fn name(&self) -> &str {
        "Unlimited"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.0]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(scan) if children.is_empty() => Ok(Arc::new(Self(scan))),
            _ => internal_err!("a scan has one child"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.0.execute(partition, context)
    }
}
