//! `meta.usage`: what each account used in each run. `meta.runs` has it as lines of text, one per account, whose values are
//! separated by tabs.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::common::{Column, NullHandling, ScalarValue, UnnestOptions};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::functions::expr_fn::split_part;
use datafusion::functions_nested::expr_fn::string_to_array;
use datafusion::logical_expr::{LogicalPlanBuilder, cast, lit, when};
use datafusion::prelude::{Expr, ident};

/// The values of a line after the account's id, and the column of `meta.runs` that has the run's total, if one has.
const VALUES: [(&str, Option<&str>); 6] = [
    ("requests", Some("requests")),
    ("bytes", Some("bytes")),
    ("guest_cpu_ms", Some("guest_cpu_ms")),
    ("host_cpu_ms", None),
    ("records", Some("native_rows")),
    ("stored_bytes", None),
];

/// The view over `meta.runs`. A run without lines, of an earlier release or one that asked no network, has one row, its
/// account null. A lake's first runs may lack columns.
pub(super) fn view(runs: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let columns = runs.schema();
    let column = |name: &str, kind: ScalarValue| match columns.field_with_name(name) {
        Ok(_) => ident(name),
        Err(_) => lit(kind).alias(name),
    };
    let mut projected: Vec<Expr> = ["network", "run_id", "command", "started_at"].map(ident).to_vec();
    for total in VALUES.iter().filter_map(|(_, total)| *total) {
        projected.push(column(total, ScalarValue::Int64(None)));
    }
    // The options say what is null beside empty texts: nothing.
    let text = column("usage", ScalarValue::Utf8(None));
    projected.push(string_to_array(text, lit("\n"), lit(ScalarValue::Utf8(None))).alias("line"));
    let lines = LogicalPlanBuilder::scan("meta.runs", provider_as_source(runs), None)?
        .project(projected)?
        .unnest_column_with_options(
            Column::from_name("line"),
            UnnestOptions { null_handling: NullHandling::Preserve, ..UnnestOptions::default() },
        )?;
    let part = |place: i64| split_part(ident("line"), lit("\t"), lit(place));
    let mut values: Vec<Expr> =
        vec![ident("network"), part(1).alias("account"), ident("run_id"), ident("command"), ident("started_at")];
    for ((name, total), place) in VALUES.into_iter().zip(2..) {
        let total = total.map_or(lit(ScalarValue::Int64(None)), ident);
        let of_account = cast(part(place), DataType::Int64);
        values.push(when(ident("line").is_null(), total).otherwise(of_account)?.alias(name));
    }
    let plan = lines.project(values)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, Some("the lines of meta.runs.usage as columns".to_owned()))))
}
