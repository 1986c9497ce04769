//! What a query reads, by its plan: so that a warning can name what is missing from its result.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, TableScan};
use sluice_lake::StreamAxis;

use crate::{DEFAULT_SCHEMA, relations};

/// The streams that a query's result may hold rows of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Networks whose unified rows are read; none: all.
    unified: Option<BTreeSet<String>>,
    /// Native tables, by schema and name.
    native: BTreeSet<(String, String)>,
}

impl Scope {
    /// Whether rows of the stream may be in the result.
    pub fn holds(&self, stream: &StreamAxis) -> bool {
        let schema = stream.network.replace('-', "_");
        self.unified.as_ref().is_none_or(|networks| networks.contains(&stream.network))
            || self.native.contains(&(schema, stream.stream.clone()))
    }

    /// Whether no table of a network is read at all.
    pub fn is_empty(&self) -> bool {
        self.native.is_empty() && self.unified.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// That of an optimised plan, in which filters stand at the tables that they hold for.
    pub(crate) fn of(plan: &LogicalPlan) -> PlanResult<Self> {
        let mut scope = Self { unified: Some(BTreeSet::new()), native: BTreeSet::new() };
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                scope.add(scan);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(scope)
    }

    fn add(&mut self, scan: &TableScan) {
        let schema = scan.table_name.schema().unwrap_or(DEFAULT_SCHEMA);
        let (schema, name) = relations::behind(schema, scan.table_name.table());
        match schema.as_str() {
            "meta" | "raw" | "information_schema" | "pg_catalog" => {}
            "unified" => match (&mut self.unified, networks(&scan.filters)) {
                (Some(all), Some(networks)) => all.extend(networks),
                (all, _) => *all = None,
            },
            _ => _ = self.native.insert((schema, name)),
        }
    }
}

/// The networks that filters let through; none: all.
fn networks(filters: &[Expr]) -> Option<BTreeSet<String>> {
    let mut through: Option<BTreeSet<String>> = None;
    for set in filters.iter().flat_map(split_conjunction).filter_map(named) {
        through = Some(match through {
            Some(known) => known.intersection(&set).cloned().collect(),
            None => set,
        });
    }
    through
}

/// The networks that a condition names, if it holds for no others.
fn named(condition: &Expr) -> Option<BTreeSet<String>> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let literal = if is_network(left) { right } else { left };
            let other = if is_network(left) { left } else { right };
            is_network(other).then(|| text(literal)).flatten().map(|name| BTreeSet::from([name]))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(named(left)?.union(&named(right)?).cloned().collect())
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => match (named(left), named(right)) {
            (Some(left), Some(right)) => Some(left.intersection(&right).cloned().collect()),
            (left, right) => left.or(right),
        },
        Expr::InList(list) if !list.negated && is_network(&list.expr) => list.list.iter().map(text).collect(),
        _ => None,
    }
}

fn is_network(expression: &Expr) -> bool {
    match expression {
        Expr::Column(column) => column.name == "network",
        Expr::Cast(cast) => is_network(&cast.expr),
        _ => false,
    }
}

fn text(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Utf8) {
            Ok(ScalarValue::Utf8(text)) => text,
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    fn let_through(filters: &[Expr]) -> Option<Vec<String>> {
        networks(filters).map(|set| set.into_iter().collect())
    }

    #[test]
    fn equality_lists_and_alternatives_name_networks() {
        let network = || col("t.network");
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(let_through(&[network().eq(lit("awin"))]), names(&["awin"]));
        assert_eq!(let_through(&[lit("awin").eq(network())]), names(&["awin"]));
        assert_eq!(let_through(&[network().in_list(vec![lit("cj"), lit("awin")], false)]), names(&["awin", "cj"]));
        let either = network().eq(lit("awin")).or(network().eq(lit("cj")));
        assert_eq!(let_through(std::slice::from_ref(&either)), names(&["awin", "cj"]));
        assert_eq!(let_through(&[either, network().eq(lit("cj")).and(col("kind").eq(lit("sale")))]), names(&["cj"]));
    }

    #[test]
    fn what_is_not_understood_lets_all_through() {
        let network = || col("network");
        for filter in [
            network().not_eq(lit("awin")),
            network().in_list(vec![lit("awin")], true),
            network().eq(lit("awin")).or(col("kind").eq(lit("sale"))),
            network().eq(col("account")),
            col("account").eq(lit("awin")),
            network().like(lit("aw%")),
        ] {
            assert_eq!(let_through(std::slice::from_ref(&filter)), None, "{filter}");
        }
    }
}
