//! A scan whose filter lets nothing through is nothing, and so is what is joined to it.
//!
//! A constant that a view adds to each of its parts is compared with a query's filter only at the scans, where DataFusion
//! keeps the outcome as a filter of the scan: the parts that no one needs would be joined and summed up all the
//! same.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The rule.
#[derive(Debug)]
pub(crate) struct EmptyScans;

impl OptimizerRule for EmptyScans {
    fn name(&self) -> &str {
        "empty_scans"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match &plan {
            LogicalPlan::TableScan(scan) if scan.filters.iter().any(lets_nothing_through) => {
                let schema = scan.projected_schema.clone();
                Ok(Transformed::yes(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema })))
            }
            _ => Ok(Transformed::no(plan)),
        }
    }
}

fn lets_nothing_through(filter: &Expr) -> bool {
    matches!(filter, Expr::Literal(ScalarValue::Boolean(Some(false) | None), _))
}
