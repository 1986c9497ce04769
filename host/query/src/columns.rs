//! `meta.columns` with what only the native tables know of their columns: when one last had a value, and how often it
//! has none. That is counted when it is queried, in the tables of the columns that are queried.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, col};

use crate::catalogue::{Lake, external};
use crate::computed::Compute;
use crate::statement;

const LAST_SEEN: &str = "last_seen";
const NULL_SHARE: &str = "null_share";

/// Schema and name of a native table.
type TableName = (String, String);

/// What a native table knows of a column.
#[derive(Clone, Copy, Debug, Default)]
struct Fact {
    /// When the newest record with a value in it was observed, in microseconds since 1970.
    last_seen: Option<i64>,
    /// The share of records without a value in it; none if there are no records.
    null_share: Option<f64>,
}

/// The rows of `meta.columns`.
#[derive(Debug)]
pub(crate) struct Columns {
    lake: Arc<Lake>,
    base: Arc<dyn TableProvider>,
    columns: SchemaRef,
}

impl Columns {
    /// Over the table that the lake keeps.
    pub(crate) fn new(lake: Arc<Lake>, base: Arc<dyn TableProvider>) -> Self {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let counted = [Field::new(LAST_SEEN, time, true), Field::new(NULL_SHARE, DataType::Float64, true)];
        let kept = base.schema().fields().iter().map(|field| field.as_ref().clone()).collect::<Vec<_>>();
        let columns = Arc::new(Schema::new(kept.into_iter().chain(counted).collect::<Vec<_>>()));
        Self { lake, base, columns }
    }

    /// The rows that the lake keeps, each column once: of two writers that saw it at the same time, the first one's.
    async fn kept(&self, filters: &[Expr]) -> PlanResult<RecordBatch> {
        let mut plan = LogicalPlanBuilder::scan("meta.columns", provider_as_source(self.base.clone()), None)?;
        for filter in filters {
            plan = plan.filter(filter.clone())?;
        }
        // By all that is shown, so that each query takes the same one of two that were seen at the same moment.
        let is_there = |name: &&str| self.base.schema().field_with_name(name).is_ok();
        let order = ["first_seen", "path", "type", "example"].into_iter().filter(is_there);
        plan = plan.sort(order.map(|name| col(name).sort(true, false)))?;
        let rows = DataFrame::new(self.lake.state(), plan.build()?).collect().await?;
        let rows = concat_batches(&self.base.schema(), &rows)?;
        let [networks, streams, columns] = ["network", "stream", "column"].map(|name| texts(&rows, name));
        let (networks, streams, columns) = (networks?, streams?, columns?);
        let mut known = HashSet::new();
        let is_new = |row: usize| known.insert((networks.value(row), streams.value(row), columns.value(row)));
        let first = BooleanArray::from((0..rows.num_rows()).map(is_new).collect::<Vec<bool>>());
        Ok(filter_record_batch(&rows, &first)?)
    }

    /// What the native tables know of the columns in `rows`.
    async fn facts(&self, rows: &RecordBatch) -> PlanResult<Vec<Fact>> {
        let [networks, streams, columns] = ["network", "stream", "column"].map(|name| texts(rows, name));
        let (networks, streams, columns) = (networks?, streams?, columns?);
        let place = |row: usize| (networks.value(row).to_owned(), streams.value(row).to_owned());
        let mut tables: BTreeMap<TableName, Vec<String>> = BTreeMap::new();
        for row in 0..rows.num_rows() {
            tables.entry(place(row)).or_default().push(columns.value(row).to_owned());
        }
        let mut facts: HashMap<TableName, HashMap<String, Fact>> = HashMap::new();
        for (table, columns) in tables {
            let counted = self.count(&table, &columns).await?;
            facts.insert(table, counted);
        }
        let fact = |row: usize| facts.get(&place(row)).and_then(|table| table.get(columns.value(row))).copied();
        Ok((0..rows.num_rows()).map(|row| fact(row).unwrap_or_default()).collect())
    }

    /// What a native table knows of some columns; nothing of those that it doesn't have.
    async fn count(&self, table: &TableName, columns: &[String]) -> PlanResult<HashMap<String, Fact>> {
        let (schema, name) = table;
        let Some(native) = self.lake.open(schema, name).await? else { return Ok(HashMap::new()) };
        let native = native.schema();
        let there: Vec<&String> = columns.iter().filter(|column| native.field_with_name(column).is_ok()).collect();
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let counts = there.iter().map(|column| {
            let column = quoted(column);
            format!(", count({column}), max(CASE WHEN {column} IS NOT NULL THEN _observed_at END)")
        });
        let counts: String = counts.collect();
        let sql = format!("SELECT count(*){counts} FROM {}.{}", quoted(schema), quoted(name));
        let state = self.lake.state();
        let plan = state.statement_to_plan(statement::parse(&sql).map_err(external)?).await?;
        let mut facts = HashMap::new();
        for row in DataFrame::new(state, plan).collect().await?.iter().filter(|rows| rows.num_rows() > 0) {
            let count = |place: usize| row.column(place).as_primitive::<Int64Type>().value(0);
            let records = count(0);
            for (place, column) in there.iter().enumerate() {
                let seen = row.column(2 + 2 * place).as_primitive::<TimestampMicrosecondType>();
                let null_share = (records > 0).then(|| (records - count(1 + 2 * place)) as f64 / records as f64);
                facts.insert((*column).clone(), Fact { last_seen: seen.iter().next().flatten(), null_share });
            }
        }
        Ok(facts)
    }
}

fn texts(rows: &RecordBatch, name: &str) -> PlanResult<StringArray> {
    let column = rows.column(rows.schema().index_of(name)?);
    Ok(arrow::compute::cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
}

#[async_trait]
impl Compute for Columns {
    fn schema(&self) -> SchemaRef {
        self.columns.clone()
    }

    /// So that only the tables of the networks that are queried are read.
    fn takes(&self, filter: &Expr) -> bool {
        filter.column_refs().iter().all(|column| ["network", "stream", "column"].contains(&column.name.as_str()))
    }

    async fn rows(&self, projection: Option<&Vec<usize>>, filters: &[Expr]) -> PlanResult<RecordBatch> {
        let kept = self.kept(filters).await?;
        let first_counted = kept.num_columns();
        let is_counted = projection.is_none_or(|places| places.iter().any(|place| *place >= first_counted));
        let facts = if is_counted { self.facts(&kept).await? } else { vec![Fact::default(); kept.num_rows()] };
        let seen = facts.iter().map(|fact| fact.last_seen).collect::<TimestampMicrosecondArray>();
        let shares: Float64Array = facts.iter().map(|fact| fact.null_share).collect();
        let counted: [ArrayRef; 2] = [Arc::new(seen.with_timezone("UTC")), Arc::new(shares)];
        let columns = kept.columns().iter().cloned().chain(counted).collect();
        Ok(RecordBatch::try_new(self.columns.clone(), columns)?)
    }
}
