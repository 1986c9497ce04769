//! Tables whose rows are computed when a query scans them, and not before.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// What is computed.
#[async_trait]
pub(crate) trait Compute: Debug + Send + Sync + 'static {
    /// The table's columns.
    fn schema(&self) -> SchemaRef;

    /// Whether [`Compute::rows`] can make use of a filter. It needn't leave out all that the filter does.
    fn takes(&self, _filter: &Expr) -> bool {
        false
    }

    /// All columns of the rows; those that aren't in `projection` may hold nulls.
    async fn rows(&self, projection: Option<&Vec<usize>>, filters: &[Expr]) -> Result<RecordBatch>;
}

/// The table.
#[derive(Debug)]
pub(crate) struct Computed<C>(pub(crate) C);

#[async_trait]
impl<C: Compute> TableProvider for Computed<C> {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let each = filters.iter().map(|filter| {
            if self.0.takes(filter) {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        });
        Ok(each.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.0.rows(projection, filters).await?;
        let table = MemTable::try_new(self.0.schema(), vec![vec![rows]])?;
        // What is filtered is filtered once more above, so the limit is as well.
        table.scan(state, projection, &[], limit.filter(|_| filters.is_empty())).await
    }
}
