//! Which column of a native table a field goes to.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use heck::ToSnakeCase;
use sluice_model::Kind;

/// Field metadata: the path that a column holds.
pub(super) const PATH: &str = "path";
/// Field metadata: the column whose unfitting values a sibling holds.
pub(super) const TEXT_OF: &str = "text_of";
/// What a sibling's name adds to its column's. Snake case never has two underscores, so no field is named so.
const SIBLING: &str = "__text";
/// Characters of a column's name. The path that it holds stays whole.
const MAX_NAME: usize = 100;

/// The path of the field that a column holds, or whose unfitting values it holds; its name without one.
pub(crate) fn path_of_field(field: &Field) -> &str {
    field.metadata().get(PATH).unwrap_or(field.name())
}

/// The columns of a native table by the paths they hold.
#[derive(Debug, Default)]
pub(super) struct Columns {
    by_path: HashMap<String, (String, Kind)>,
    taken: HashSet<String>,
    fields: usize,
}

impl Columns {
    /// What a table's schema has.
    pub(super) fn of(schema: &Schema) -> Self {
        let mut columns = Self::default();
        for field in schema.fields() {
            columns.taken.insert(field.name().clone());
            columns.fields += usize::from(!field.name().starts_with('_'));
            let sibling = field.metadata().contains_key(TEXT_OF);
            if let (Some(path), false, Some(kind)) = (field.metadata().get(PATH), sibling, kind_of(field.data_type())) {
                columns.by_path.insert(path.clone(), (field.name().clone(), kind));
            }
        }
        // Another writer's columns, or ones whose metadata it lost, hold the field of their name.
        for field in schema.fields().iter().filter(|field| !field.metadata().contains_key(PATH)) {
            let own = field.name().starts_with('_') || field.name().ends_with(SIBLING);
            if let (false, Some(kind)) = (own, kind_of(field.data_type())) {
                columns.by_path.entry(field.name().clone()).or_insert_with(|| (field.name().clone(), kind));
            }
        }
        columns
    }

    /// The name and the kind of a path's column.
    pub(super) fn get(&self, path: &str) -> Option<(&str, Kind)> {
        self.by_path.get(path).map(|(name, kind)| (name.as_str(), *kind))
    }

    /// Whether a column of this name exists.
    pub(super) fn has(&self, name: &str) -> bool {
        self.taken.contains(name)
    }

    /// How many there are, siblings included, those of the ledger itself not.
    pub(super) fn fields(&self) -> usize {
        self.fields
    }

    /// Takes note of a new sibling.
    pub(super) fn add_sibling(&mut self, sibling: &Field) {
        self.taken.insert(sibling.name().clone());
        self.fields += 1;
    }

    /// A new column for a path that has none.
    pub(super) fn add(&mut self, path: &str, kind: Kind) -> Field {
        let mut base: String = path.to_snake_case().chars().take(MAX_NAME).collect();
        if base.is_empty() {
            base.push_str("column");
        }
        let mut name = base.clone();
        let mut nth = 2_u32;
        while self.taken.contains(&name) {
            name = format!("{base}_{nth}");
            nth += 1;
        }
        self.taken.insert(name.clone());
        self.fields += 1;
        self.by_path.insert(path.to_owned(), (name.clone(), kind));
        Field::new(name, data_type(kind), true).with_metadata(HashMap::from([(PATH.to_owned(), path.to_owned())]))
    }
}

/// The name of the column that holds what `column` can't.
pub(super) fn sibling_name(column: &str) -> String {
    format!("{column}{SIBLING}")
}

/// The column that holds what `column` can't.
pub(super) fn sibling(column: &str, path: &str) -> Field {
    let metadata = [(PATH, path), (TEXT_OF, column)].map(|(key, value)| (key.to_owned(), value.to_owned()));
    Field::new(sibling_name(column), DataType::Utf8, true).with_metadata(HashMap::from(metadata))
}

/// The widest Arrow type of a kind.
pub(super) fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Boolean => DataType::Boolean,
        Kind::Int64 => DataType::Int64,
        Kind::Float64 => DataType::Float64,
        Kind::Decimal => DataType::Decimal128(38, 12),
        Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Kind::Text => DataType::Utf8,
    }
}

pub(super) fn kind_of(data_type: &DataType) -> Option<Kind> {
    match data_type {
        DataType::Boolean => Some(Kind::Boolean),
        DataType::Int64 => Some(Kind::Int64),
        DataType::Float64 => Some(Kind::Float64),
        DataType::Decimal128(38, 12) => Some(Kind::Decimal),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Some(Kind::Timestamp),
        DataType::Utf8 => Some(Kind::Text),
        _ => None,
    }
}

/// A kind's name in `meta.columns`.
pub(super) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Int64 => "int64",
        Kind::Float64 => "float64",
        Kind::Decimal => "decimal",
        Kind::Timestamp => "timestamp",
        Kind::Text => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_snake_case_and_stay_apart() {
        let mut columns = Columns::default();
        assert_eq!(columns.add("saleAmount.amount", Kind::Float64).name(), "sale_amount_amount");
        assert_eq!(columns.add("sale_amount.amount", Kind::Text).name(), "sale_amount_amount_2");
        assert_eq!(columns.add("SaleAmount.Amount", Kind::Text).name(), "sale_amount_amount_3");
        assert_eq!(columns.add("_id", Kind::Text).name(), "id");
        assert_eq!(columns.add("@", Kind::Text).name(), "column");
        assert_eq!(columns.get("sale_amount.amount"), Some(("sale_amount_amount_2", Kind::Text)));
    }

    #[test]
    fn a_schema_gives_its_columns_back() {
        let mut columns = Columns::default();
        let field = columns.add("a.b", Kind::Decimal);
        let schema = Schema::new(vec![field, sibling("a_b", "a.b")]);
        let read = Columns::of(&schema);
        assert_eq!(read.get("a.b"), Some(("a_b", Kind::Decimal)));
        assert!(read.has("a_b__text"));
    }
}
