//! Makes a panic in a worker's part of a query an error.
//!
//! `datafusion-distributed` 4.0 polls a part's rows in tasks of their own and takes the end of such a task for the end of its rows
//! (`spawn_select_all`): after a panic, a sum would be too small, without an error.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use datafusion_distributed::{BroadcastExec, WorkerPlanRewriteEvent, WorkerPlanRewriteEventResponse};
use futures::StreamExt;

use crate::catalogue::external;
use crate::error::Error;

/// Puts a guard at the head of a plan; below an exchange, which a worker makes anew.
pub(super) fn guard(event: WorkerPlanRewriteEvent<'_>) -> Result<WorkerPlanRewriteEventResponse> {
    let plan = event.plan;
    let is_exchange = plan.is::<RepartitionExec>() || plan.is::<BroadcastExec>();
    let inputs = plan.children();
    let guarded: Arc<dyn ExecutionPlan> = match inputs.first() {
        Some(&input) if is_exchange => {
            let guarded: Vec<Arc<dyn ExecutionPlan>> = vec![Arc::new(Guarded(Arc::clone(input)))];
            let recompute = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            Arc::clone(&plan).replace_children(guarded, recompute)?
        }
        _ => Arc::new(Guarded(Arc::clone(&plan))),
    };
    Ok(WorkerPlanRewriteEventResponse::new(guarded))
}

/// A plan whose panics are errors.
#[derive(Debug)]
struct Guarded(Arc<dyn ExecutionPlan>);

impl DisplayAs for Guarded {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guarded")
    }
}

impl ExecutionPlan for Guarded {
    fn name(&self) -> &str {
        "Guarded"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.0]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(plan) if children.is_empty() => Ok(Arc::new(Self(plan))),
            _ => internal_err!("a guard has one child"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = AssertUnwindSafe(self.0.execute(partition, context)?).catch_unwind();
        let rows = rows.map(|rows| rows.unwrap_or_else(|panic| Err(external(Error::panicked(&*panic)))));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::task::Poll;

    use arrow::array::RecordBatch;
    use arrow::datatypes::Schema;
    use datafusion::physical_plan::empty::EmptyExec;
    use futures::stream;

    use super::*;

    /// Fails as a step of a query with a fault does.
    #[derive(Debug)]
    struct Panics(EmptyExec);

    impl DisplayAs for Panics {
        fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Panics")
        }
    }

    impl ExecutionPlan for Panics {
        fn name(&self) -> &str {
            "Panics"
        }

        fn properties(&self) -> &Arc<PlanProperties> {
            self.0.properties()
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

        fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
            Ok(self)
        }

        fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
            let rows = stream::poll_fn(|_| -> Poll<Option<Result<RecordBatch>>> { panic!("a broken step") });
            Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
        }
    }

    #[tokio::test]
    async fn a_panic_is_no_end_of_rows() {
        let guarded = Guarded(Arc::new(Panics(EmptyExec::new(Arc::new(Schema::empty())))));
        let mut rows = guarded.execute(0, Arc::default()).unwrap();
        let error = rows.next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("a broken step"), "{error}");
        assert!(rows.next().await.is_none());
    }
}
