//! Where records are in a body, and the columns that they become.

use arrow::array::{Array, StringArray};
use serde::{Deserialize, Serialize};

/// How the host finds records in a body and turns each into columns. See `wit/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// The body's format.
    pub format: Format,
    /// Types of known columns, which exist from the first row on.
    pub pins: Vec<Pin>,
    /// Paths of the fields that the connector's mapping reads, in its order.
    pub inputs: Vec<String>,
    /// Paths that identify a record among others of its account; empty: its whole content does.
    pub key: Vec<String>,
}

/// A body's format and the place of the records in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// JSON; the records' place as a JSON Pointer in which `*` steps through every member.
    Json(String),
    /// One JSON object per line.
    Ndjson,
    /// XML; the records' place as local element names joined by `.`, `*` for any one element.
    Xml(String),
    /// Lines of delimited fields.
    Delimited(Delimited),
    /// The connector reads the body itself.
    Opaque,
}

/// CSV and its relatives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delimited {
    /// The byte between fields.
    pub delimiter: u8,
    /// The byte around fields, if the network quotes.
    pub quote: Option<u8>,
    /// Lines before the header.
    pub skip_lines: u32,
    /// Column names; empty: the first line has them.
    pub header: Vec<String>,
    /// WHATWG label. A byte-order mark wins.
    pub charset: String,
    /// Every row has all fields of the header: one with fewer or more is torn, and a reject.
    #[serde(default)]
    pub exact_fields: bool,
    /// Inputs and key paths that the header may lack.
    #[serde(default)]
    pub optional: Vec<String>,
}

/// A column's type as its connector declares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    /// The field's path.
    pub path: String,
    /// Its type.
    pub kind: Kind,
}

/// Types of native columns: the widest of each kind, because a Delta table can't widen one later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Arrow `Boolean`.
    Boolean,
    /// Arrow `Int64`.
    Int64,
    /// Arrow `Float64`.
    Float64,
    /// Arrow `Decimal128(38, 12)`.
    Decimal,
    /// Arrow `Timestamp(Microsecond, "UTC")`, from RFC 3339 with an offset.
    Timestamp,
    /// Arrow `Utf8`.
    Text,
}

/// What the values of a column were seen to be, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// `null`.
    pub const NULL: Self = Self(1);
    /// `true` or `false`.
    pub const BOOLEAN: Self = Self(2);
    /// A number without point or exponent that fits an `i64`.
    pub const INTEGER: Self = Self(4);
    /// Any other number.
    pub const FLOAT: Self = Self(8);
    /// A string, or any text of a format without types.
    pub const TEXT: Self = Self(16);
    /// An array or an empty object, kept as JSON text.
    pub const JSON: Self = Self(32);

    /// Adds what `other` has.
    #[inline]
    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether anything of `other` was seen.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The narrowest type that holds every value seen without loss; none if only nulls were seen.
    pub fn narrowest(self) -> Option<Kind> {
        let seen = Self(self.0 & !Self::NULL.0);
        match seen {
            Self(0) => None,
            Self::BOOLEAN => Some(Kind::Boolean),
            Self::INTEGER => Some(Kind::Int64),
            Self::FLOAT | Self(12) => Some(Kind::Float64),
            _ => Some(Kind::Text),
        }
    }
}

/// The records of one response with every field, each value as its literal text.
#[derive(Clone, Debug, Default)]
pub struct NativeBatch {
    /// How many records.
    pub rows: usize,
    /// Columns in the order in which they were first seen, each of `rows` values.
    pub columns: Vec<NativeColumn>,
}

/// One field of all records.
#[derive(Clone, Debug)]
pub struct NativeColumn {
    /// Where the field is: member names joined by `.`.
    pub path: String,
    /// Strings unescaped, numbers and booleans as they are written, arrays and empty objects as JSON text.
    pub text: StringArray,
    /// What its values were seen to be.
    pub kinds: Kinds,
}

impl NativeBatch {
    /// The column whose path is exactly this one.
    pub fn column(&self, path: &str) -> Option<&NativeColumn> {
        self.columns.iter().find(|column| column.path == path)
    }

    /// What it takes in memory, in bytes: its cells, and the paths of its columns, which may be most of it.
    pub fn bytes(&self) -> usize {
        let of =
            |column: &NativeColumn| size_of::<NativeColumn>() + column.path.len() + column.text.get_array_memory_size();
        self.columns.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_count_as_memory() {
        let column = |path: String| NativeColumn { path, text: StringArray::new_null(1), kinds: Kinds::default() };
        let batch = |length: usize| NativeBatch { rows: 1, columns: vec![column("x".repeat(length)); 100] };
        assert_eq!(batch(4_000).bytes() - batch(0).bytes(), 400_000);
    }

    #[test]
    fn integers_and_floats_meet_in_float() {
        let mut kinds = Kinds::NULL;
        assert_eq!(kinds.narrowest(), None);
        kinds.insert(Kinds::INTEGER);
        assert_eq!(kinds.narrowest(), Some(Kind::Int64));
        kinds.insert(Kinds::FLOAT);
        assert_eq!(kinds.narrowest(), Some(Kind::Float64));
        kinds.insert(Kinds::TEXT);
        assert_eq!(kinds.narrowest(), Some(Kind::Text));
    }
}
