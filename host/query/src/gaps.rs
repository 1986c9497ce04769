//! `meta.gaps`: what is missing, worked out when it is read: from the folded coverage, or, as it was at a moment, from
//! the rows of `meta.coverage` at that moment.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::dataframe::DataFrame;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::Expr;
use futures::TryStreamExt;
use sluice_lake::{Coverage, CoverageFold, Gap, StreamAxis, WindowRead};
use sluice_model::Window;

use crate::catalogue::{Lake, external};
use crate::computed::Compute;
use crate::error::Error;
use crate::statement;

const READS: &str = "
    SELECT network, account, stream, axis, since, until, read_at, complete, error
    FROM meta.coverage
    WHERE since IS NOT NULL AND until IS NOT NULL AND read_at IS NOT NULL";

impl Lake {
    /// What was read of each stream, and what is missing of it.
    pub(crate) async fn coverage(self: &Arc<Self>) -> PlanResult<Vec<Coverage>> {
        if self.is_as_it_was() {
            self.coverage_by_reads().await
        } else {
            self.store().coverage().await.map_err(|source| external(Error::Coverage { source }))
        }
    }

    async fn coverage_by_reads(self: &Arc<Self>) -> PlanResult<Vec<Coverage>> {
        let state = self.state();
        let statement = statement::parse(READS).map_err(external)?;
        let plan = state.statement_to_plan(statement).await?;
        let mut rows = DataFrame::new(state, plan).execute_stream().await?;
        let mut fold = CoverageFold::default();
        while let Some(batch) = rows.try_next().await? {
            take(&mut fold, &batch)?;
        }
        Ok(fold.coverage())
    }
}

fn take(fold: &mut CoverageFold, batch: &RecordBatch) -> Result<(), ArrowError> {
    let texts = |column: usize| arrow::compute::cast(batch.column(column), &DataType::Utf8);
    let [networks, accounts, streams, axes, errors] = [texts(0)?, texts(1)?, texts(2)?, texts(3)?, texts(8)?];
    let text = |array: &Arc<dyn Array>, row: usize| array.as_string::<i32>().value(row).to_owned();
    let moments = |column: usize| batch.column(column).as_primitive::<TimestampMicrosecondType>();
    let complete = batch.column(7).as_boolean();
    for row in 0..batch.num_rows() {
        let moment = |column: usize| DateTime::from_timestamp_micros(moments(column).value(row));
        let (Some(since), Some(until), Some(at)) = (moment(4), moment(5), moment(6)) else { continue };
        let of = StreamAxis {
            network: text(&networks, row),
            account: text(&accounts, row),
            stream: text(&streams, row),
            axis: text(&axes, row),
        };
        let error = errors.is_valid(row).then(|| text(&errors, row));
        let complete = complete.is_valid(row) && complete.value(row);
        fold.add(of, WindowRead { window: Window { since, until }, at, complete, error });
    }
    Ok(())
}

/// The columns of `meta.gaps`.
fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true);
    let mut fields = ["network", "account", "stream", "axis"].map(text).to_vec();
    fields.extend([time("since"), time("until"), text("kind"), time("failed_at"), text("error")]);
    Arc::new(Schema::new(fields))
}

fn rows(coverage: &[Coverage]) -> Result<RecordBatch, ArrowError> {
    let gaps: Vec<(&StreamAxis, &Gap)> =
        coverage.iter().flat_map(|stream| stream.gaps.iter().map(|gap| (&stream.of, gap))).collect();
    let text = |of: fn(&StreamAxis, &Gap) -> Option<String>| {
        let values = gaps.iter().map(|(stream, gap)| of(stream, gap));
        Arc::new(values.collect::<StringArray>()) as Arc<dyn Array>
    };
    let time = |of: fn(&Gap) -> Option<DateTime<Utc>>| {
        let micros = gaps.iter().map(|(_, gap)| of(gap).map(|t| t.timestamp_micros()));
        Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC")) as Arc<dyn Array>
    };
    let columns = vec![
        text(|of, _| Some(of.network.clone())),
        text(|of, _| Some(of.account.clone())),
        text(|of, _| Some(of.stream.clone())),
        text(|of, _| Some(of.axis.clone())),
        time(|gap| Some(gap.window.since)),
        time(|gap| Some(gap.window.until)),
        text(|_, gap| Some(gap.kind.name().to_owned())),
        time(|gap| gap.failed_at),
        text(|_, gap| gap.error.clone()),
    ];
    RecordBatch::try_new(schema(), columns)
}

/// The rows of `meta.gaps`.
#[derive(Debug)]
pub(crate) struct Gaps {
    lake: Arc<Lake>,
    columns: SchemaRef,
}

impl Gaps {
    pub(crate) fn new(lake: Arc<Lake>) -> Self {
        Self { lake, columns: schema() }
    }
}

#[async_trait]
impl Compute for Gaps {
    fn schema(&self) -> SchemaRef {
        self.columns.clone()
    }

    async fn rows(&self, _: Option<&Vec<usize>>, _: &[Expr]) -> PlanResult<RecordBatch> {
        Ok(rows(&self.lake.coverage().await?)?)
    }
}
