//! Views that every lake has, and those that take moments. `docs/data-model.md` lists their columns, which
//! [`crate::documentation`] explains.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{JoinType, LogicalPlanBuilder, col, lit};
use datafusion::prelude::{Expr, ident};
use sluice_model::Fact;

use crate::DEFAULT_SCHEMA;
use crate::live::is_live;

mod usage;

/// The table that holds all versions of a kind: a scan that names it so is known as one of it.
fn versions_of(fact: Fact) -> String {
    format!("{DEFAULT_SCHEMA}.{}", fact.versions())
}

/// The SQL of `unified.restatements`, with its parameters.
pub(crate) const RESTATEMENTS: &str = include_str!("views/restatements.sql");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// The latest version of each fact of a kind: `unified.transactions`.
    Latest(Fact),
    /// `unified.live_transactions`.
    LiveTransactions,
    /// `raw.objects`.
    RawObjects,
    /// `meta.doubts`.
    Doubts,
    /// `meta.alarms`.
    Alarms,
    /// `meta.usage`.
    Usage,
    /// `unified.earnings_daily`.
    EarningsDaily,
    /// `unified.unpaid`.
    Unpaid,
    /// `unified.validation_latency`.
    ValidationLatency,
    /// `unified.suspected_duplicates`.
    SuspectedDuplicates,
}

/// What a view is made of.
pub(crate) enum Definition {
    /// A plan over one table, by schema and name.
    Over(&'static str, &'static str),
    /// SQL over the lake.
    Sql(&'static str),
}

impl View {
    /// All of them.
    pub(crate) const ALL: [Self; 14] = [
        Self::Latest(Fact::Transactions),
        Self::Latest(Fact::Items),
        Self::Latest(Fact::Payments),
        Self::Latest(Fact::Programmes),
        Self::Latest(Fact::Aggregates),
        Self::LiveTransactions,
        Self::RawObjects,
        Self::Doubts,
        Self::Alarms,
        Self::Usage,
        Self::EarningsDaily,
        Self::Unpaid,
        Self::ValidationLatency,
        Self::SuspectedDuplicates,
    ];

    /// Its schema and name.
    pub(crate) fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Latest(fact) => ("unified", fact.view()),
            Self::LiveTransactions => ("unified", "live_transactions"),
            Self::RawObjects => ("raw", "objects"),
            Self::Doubts => ("meta", "doubts"),
            Self::Alarms => ("meta", "alarms"),
            Self::Usage => ("meta", "usage"),
            Self::EarningsDaily => ("unified", "earnings_daily"),
            Self::Unpaid => ("unified", "unpaid"),
            Self::ValidationLatency => ("unified", "validation_latency"),
            Self::SuspectedDuplicates => ("unified", "suspected_duplicates"),
        }
    }

    /// What it is made of.
    pub(crate) fn definition(self) -> Definition {
        match self {
            Self::Latest(fact) => Definition::Over("unified", fact.versions()),
            Self::LiveTransactions => Definition::Sql(include_str!("views/live_transactions.sql")),
            Self::RawObjects => Definition::Over("meta", "requests"),
            Self::Doubts => Definition::Sql(include_str!("views/doubts.sql")),
            Self::Alarms => Definition::Sql(include_str!("views/alarms.sql")),
            Self::Usage => Definition::Over("meta", "runs"),
            Self::EarningsDaily => Definition::Sql(include_str!("views/earnings_daily.sql")),
            Self::Unpaid => Definition::Sql(include_str!("views/unpaid.sql")),
            Self::ValidationLatency => Definition::Sql(include_str!("views/validation_latency.sql")),
            Self::SuspectedDuplicates => Definition::Sql(include_str!("views/suspected_duplicates.sql")),
        }
    }

    /// A view over one table as a plan over it.
    pub(crate) fn over(self, base: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
        match self {
            Self::RawObjects => stored_objects(base),
            Self::Usage => usage::view(base),
            Self::Latest(fact) => latest_versions(fact, base, None),
            _ => Ok(base),
        }
    }
}

/// A view that takes moments of observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MomentsView {
    /// `unified.as_of(moment)`.
    AsOf,
    /// `unified.restatements(from, to)`.
    Restatements,
}

impl MomentsView {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::AsOf, Self::Restatements];

    /// That of this name in the default schema.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AsOf => "as_of",
            Self::Restatements => "restatements",
        }
    }

    /// Its schema and name.
    pub(crate) fn full_name(self) -> String {
        format!("{DEFAULT_SCHEMA}.{}", self.name())
    }

    /// What its arguments are.
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::AsOf => &["a moment"],
            Self::Restatements => &["a moment", "a later one"],
        }
    }

    /// An example that can be pasted.
    pub(crate) fn usage(self) -> String {
        let arguments = match self {
            Self::AsOf => "'2026-01-31T00:00:00Z'",
            Self::Restatements => "'2026-01-31', '2026-02-28'",
        };
        format!("SELECT * FROM {}({arguments})", self.full_name())
    }
}

/// A moment as SQL knows it.
pub(crate) fn moment_value(moment: DateTime<Utc>) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(moment.timestamp_micros()), Some("UTC".into()))
}

/// Each version that no newer one supersedes. If a moment is given: of those that were observed by then, the live ones. Of facts
/// other than transactions the live ones in any case: only a transaction has a column, `commission_effective`, by which what is
/// gone counts nothing.
///
/// Only rows of version 2 and up can supersede, and these are the few: they are aggregated and hashed, and everything
/// else streams past them. A window function sorts all rows instead: over 275,000 versions of 200,000 transactions, in
/// an unoptimised build, three queries took 3.5 to 12.3 s with it and 0.6 to 1.9 s with this. A network's key is no
/// other's, so it only joins to let a filter on it pass over the other networks' files on both sides.
pub(crate) fn latest_versions(
    fact: Fact,
    base: Arc<dyn TableProvider>,
    by: Option<DateTime<Utc>>,
) -> Result<Arc<dyn TableProvider>> {
    let observed: Option<Expr> = by.map(|by| ident("observed_at").lt_eq(lit(moment_value(by))));
    let known = |plan: LogicalPlanBuilder| match &observed {
        Some(observed) => plan.filter(observed.clone()),
        None => Ok(plan),
    };
    let (table, key) = (versions_of(fact), fact.key());
    let (newer_key, versions_key) = (format!("newer.{key}"), format!("versions.{key}"));
    let source = provider_as_source(base);
    let versions =
        known(LogicalPlanBuilder::scan(table.as_str(), source.clone(), None)?)?.alias("versions")?.build()?;
    let latest = known(LogicalPlanBuilder::scan(table.as_str(), source, None)?)?
        .alias("newer")?
        .filter(col("newer.version").gt(lit(1)))?
        .aggregate(
            [col("newer.network"), col(newer_key.as_str())],
            [max(col("newer.version")).alias("newest_version")],
        )?
        // The left side is the one that is hashed.
        .join(
            versions,
            JoinType::RightAnti,
            (vec!["newer.network", newer_key.as_str()], vec!["versions.network", versions_key.as_str()]),
            Some(col("versions.version").lt(col("newest_version"))),
        )?;
    let mut definition = format!(
        "SELECT v.* FROM {table} v WHERE NOT EXISTS (SELECT 1 FROM {table} n WHERE n.{key} = v.{key} AND \
         n.version > v.version)"
    );
    let latest = if by.is_some() || fact != Fact::Transactions {
        definition.push_str(" AND is_live(v.content_hash)");
        latest.filter(is_live().call(vec![col("versions.content_hash")]))?.build()?
    } else {
        latest.build()?
    };
    Ok(Arc::new(ViewTable::new(latest, by.is_none().then_some(definition))))
}

/// The versions with the columns that came to the schema after the table was made: until something is written to it, it
/// lacks them.
pub(crate) fn with_later_columns(fact: Fact, table: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let columns = table.schema();
    let is_there = |name: &str| columns.field_with_name(name).is_ok();
    if fact.columns().iter().all(|column| is_there(column.name)) {
        return Ok(table);
    }
    let known = fact.columns().iter().map(|column| {
        if is_there(column.name) {
            Ok(ident(column.name))
        } else {
            ScalarValue::try_from(&column.kind.data_type()).map(|null| lit(null).alias(column.name))
        }
    });
    let own = |name: &&str| !fact.columns().iter().any(|column| column.name == *name);
    let others = columns.fields().iter().map(|field| field.name().as_str()).filter(own).map(|name| Ok(ident(name)));
    let projected = known.chain(others).collect::<Result<Vec<Expr>>>()?;
    let plan =
        LogicalPlanBuilder::scan(versions_of(fact), provider_as_source(table), None)?.project(projected)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// The requests that left a body, whatever the table calls its digest.
fn stored_objects(base: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let columns = base.schema();
    let body = ["raw_object", "body"].into_iter().find(|name| columns.field_with_name(name).is_ok());
    let mut plan = LogicalPlanBuilder::scan("meta.requests", provider_as_source(base), None)?;
    let mut definition = "SELECT * FROM meta.requests".to_owned();
    if let Some(body) = body {
        definition.push_str(&format!(" WHERE {body} IS NOT NULL"));
        plan = plan.filter(ident(body).is_not_null())?;
    }
    Ok(Arc::new(ViewTable::new(plan.build()?, Some(definition))))
}
