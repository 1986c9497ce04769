//! The schema of the unified layer, as data. The meaning of a column is in `docs/data-model.md`, which is generated from it.

mod columns;
mod fact;
mod facts;
mod table;

use std::sync::Arc;

use arrow::array::{Array, AsArray, MapArray};
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};

pub use self::columns::TRANSACTION_COLUMNS;
pub use self::fact::Fact;

/// What a column holds, in the lake and on its way there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// UTF-8.
    Text,
    /// Text of 1 to 1,024 bytes that names a row.
    Id,
    /// An ISO 4217 code: three upper-case letters.
    Currency,
    /// One of these words; a connector gives their ordinals.
    Enum(&'static [&'static str]),
    /// An instant, in microseconds.
    Time,
    /// A calendar day.
    Day,
    /// An exact amount in major units, `decimal(18, 6)`.
    Money,
    /// True or false.
    Flag,
    /// Texts by name.
    Pairs,
    /// A number of 32 bits.
    Int32,
    /// A number of 64 bits.
    Int64,
    /// Bytes.
    Bytes,
}

impl ColumnKind {
    /// Its type in Arrow and Delta tables.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Text | Self::Id | Self::Currency | Self::Enum(_) => DataType::Utf8,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Day => DataType::Date32,
            Self::Money => money_type(),
            Self::Flag => DataType::Boolean,
            Self::Pairs => pairs_type(),
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Bytes => DataType::Binary,
        }
    }

    /// Its type as SQL users know it.
    pub fn type_name(self) -> String {
        type_name(&self.data_type())
    }
}

/// A type by the name that SQL users know it by: `decimal(18, 6)`.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".to_owned(),
        DataType::Map(..) => "map(text, text)".to_owned(),
        other => other.to_string(),
    }
}

/// Whether a row of a column of [`ColumnKind::Pairs`] has a value that isn't blank.
pub fn has_filled_pair(pairs: &MapArray, row: usize) -> bool {
    let Some(values) = pairs.values().as_string_opt::<i32>() else { return false };
    let ends = pairs.value_offsets();
    let is_filled = |at: usize| values.is_valid(at) && !values.value(at).trim().is_empty();
    pairs.is_valid(row) && (ends[row] as usize..ends[row + 1] as usize).any(is_filled)
}

/// What a column is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// What identifies a row.
    Key,
    /// What was sold, by whom and to whom.
    Core,
    /// Dates and statuses.
    Lifecycle,
    /// Amounts and currencies.
    Money,
    /// Who sent the customer. Networks fill it in later without anything having happened to the transaction, so it is
    /// hashed apart, and what only arrives is `late-attribution`.
    Attribution,
    /// Which version of the row it is.
    Version,
    /// Where the version came from.
    Lineage,
}

impl Group {
    /// Its name in `meta.unified_columns`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Core => "core",
            Self::Lifecycle => "lifecycle",
            Self::Money => "money",
            Self::Attribution => "attribution",
            Self::Version => "version",
            Self::Lineage => "lineage",
        }
    }
}

/// Who gives a column its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenBy {
    /// The connector's mapping.
    Connector,
    /// The engine, from what the connector mapped.
    Engine,
    /// The lake, on writing.
    Lake,
}

impl GivenBy {
    /// Its name in `meta.unified_columns`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connector => "connector",
            Self::Engine => "engine",
            Self::Lake => "lake",
        }
    }
}

/// Whether every row has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Every row has one.
    Required,
    /// Rows may have none.
    Nullable,
    /// Every row has one: this word, unless the connector gives the column.
    Implied(&'static str),
}

/// A column of a table of the unified layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnifiedColumn {
    /// Its name, in SQL and in the contract.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether every row has a value.
    pub presence: Presence,
    /// What it is about.
    pub group: Group,
    /// Who gives it its values.
    pub given_by: GivenBy,
    /// One sentence for users.
    pub documentation: &'static str,
}

impl UnifiedColumn {
    /// Whether rows may lack a value.
    pub fn nullable(&self) -> bool {
        self.presence == Presence::Nullable
    }

    /// The column in Arrow and Delta tables.
    pub fn field(&self) -> Field {
        Field::new(self.name, self.kind.data_type(), self.nullable())
    }

    /// Its documentation, with the words of an enum.
    pub fn description(&self) -> String {
        match self.kind {
            ColumnKind::Enum(words) => format!("{} One of `{}`.", self.documentation, words.join("`, `")),
            _ => self.documentation.to_owned(),
        }
    }

    /// Whether a content hash covers it: it is mapped, not added by the lake.
    fn is_mapped(&self) -> bool {
        self.given_by != GivenBy::Lake
    }
}

/// The column of transactions of this name that a connector or the engine gives.
pub fn mapped_column(name: &str) -> Option<&'static UnifiedColumn> {
    Fact::Transactions.mapped_column(name)
}

/// The type of unified money: major units, exact.
pub fn money_type() -> DataType {
    DataType::Decimal128(18, 6)
}

/// Map of Utf8 to nullable Utf8, with the entry names that Delta Lake uses.
fn pairs_type() -> DataType {
    let key = Field::new("key", DataType::Utf8, false);
    let value = Field::new("value", DataType::Utf8, true);
    let entries = Field::new("key_value", DataType::Struct(vec![key, value].into()), false);
    DataType::Map(Arc::new(entries), false)
}

/// The columns of unified transactions as the engine returns them: `record_index` (UInt32, the record that each row came
/// from), then those of [`TRANSACTION_COLUMNS`] that connector and engine give.
pub fn mapped_transactions_schema() -> SchemaRef {
    Fact::Transactions.mapped_schema()
}

/// The columns of `unified.transaction_versions`.
pub fn transaction_versions_schema() -> SchemaRef {
    Fact::Transactions.versions_schema()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_documented() {
        let names: BTreeSet<&str> = TRANSACTION_COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), TRANSACTION_COLUMNS.len());
        for column in TRANSACTION_COLUMNS {
            assert!(column.documentation.ends_with('.') && !column.documentation.contains('|'), "{column:?}");
        }
    }

    /// Their order is part of the content hash of every row that was ever written.
    #[test]
    fn attribution_is_what_networks_fill_in_later() {
        let of = |group| TRANSACTION_COLUMNS.iter().filter(move |column| column.group == group);
        let attribution: Vec<&str> = of(Group::Attribution).map(|column| column.name).collect();
        assert_eq!(attribution, ["order_id", "sku", "sub_ids", "click_id", "voucher_code"]);
    }

    #[test]
    fn the_id_is_native_unless_a_connector_gives_its_basis() {
        let basis = mapped_column("id_basis").map(|column| column.presence);
        assert_eq!(basis, Some(Presence::Implied("native")));
    }

    #[test]
    fn descriptions_list_the_words_of_an_enum() {
        let description = mapped_column("time_basis").map(UnifiedColumn::description);
        let words = "How `transacted_at` was stated. One of `instant`, `local`, `date`, `local-doubled`.";
        assert_eq!(description.as_deref(), Some(words));
    }

    #[test]
    fn what_the_lake_adds_is_not_mapped() {
        assert_eq!(mapped_column("content_hash"), None);
        assert!(mapped_transactions_schema().field_with_name("version").is_err());
        assert!(transaction_versions_schema().field_with_name("version").is_ok());
    }
}
