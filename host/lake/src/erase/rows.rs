//! Rows of a table with substitutes in the place of what they held, and the keys and hashes that follow.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field};
use sluice_model::{Fact, transaction_keys};

use super::cells::replaced;
use super::{ErasedRows, NativeSubstitutes, Replace, Substitutes};
use crate::error::Error;
use crate::hash::{VANISHED, content_hashes, hash};
use crate::index::{keys_of, to_hex};
use crate::lake::TableRef;
use crate::lineage::binary;
use crate::meta::reject_key;
use crate::native::path_of_field;
use crate::table::Table;

/// Hexadecimal digits of a body's digest, and of a key or an id that is a hash.
const NAME_DIGITS: [usize; 2] = [64, 32];

/// What was found in a table's rows.
#[derive(Default)]
pub(super) struct Changed {
    pub(super) rows: ErasedRows,
    /// Names of changed rows in other tables, and what they become.
    pub(super) names: HashMap<String, String>,
}

/// How rows of a table follow from their cells.
pub(super) struct Shape {
    kind: Kind,
    table: Table,
    /// By column, the field that it holds.
    paths: HashMap<String, String>,
    native: NativeSubstitutes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unified(Fact),
    Native,
    Rejects,
    ResolvedRejects,
    Other,
}

/// What may be replaced in a column.
enum Scope {
    /// Values and names.
    All,
    /// Values in texts of JSON, and names.
    Documents,
    /// Values that can be no amount, and names.
    Words,
    /// Names.
    Names,
}

impl Shape {
    pub(super) fn of(place: &TableRef, substitutes: &Substitutes, table: &Table) -> Result<Self, Error> {
        let kind = match (place.schema.as_str(), place.name.as_str()) {
            ("unified", name) => Fact::of_versions(name).map_or(Kind::Other, Kind::Unified),
            ("meta", "rejects") => Kind::Rejects,
            ("meta", "resolved_rejects") => Kind::ResolvedRejects,
            ("meta", _) => Kind::Other,
            _ => Kind::Native,
        };
        let mut paths = HashMap::new();
        if kind == Kind::Native {
            for field in table.schema()?.fields() {
                paths.insert(field.name().clone(), path_of_field(field).to_owned());
            }
        }
        let native = substitutes.native.get(table.name()).cloned().unwrap_or_default();
        Ok(Self { kind, table: table.clone().without_snapshot(), paths, native })
    }

    /// The rows as they become; none if they stay. What is found is added to `found`.
    pub(super) fn change(
        &self,
        rows: &RecordBatch,
        partitions: &HashMap<String, Option<String>>,
        substitutes: &Substitutes,
        found: &mut Changed,
    ) -> Result<Option<RecordBatch>, Error> {
        let failed = |source| Error::rows(self.table.name(), source);
        let mut columns = rows.columns().to_vec();
        let (mut has_value, mut is_changed) = (vec![false; rows.num_rows()], vec![false; rows.num_rows()]);
        for (place, field) in rows.schema().fields().iter().enumerate() {
            let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::Map(..));
            // A number of a system table counts something.
            let scope = Some(self.scope(field.name())).filter(|scope| is_text || !matches!(scope, Scope::Documents));
            let scope = scope.unwrap_or(Scope::Names);
            let value = |text: &str| match scope {
                Scope::All => (substitutes.values)(text),
                Scope::Documents => (substitutes.documents)(text),
                Scope::Words => (substitutes.words)(text),
                Scope::Names => None,
            };
            if let Some((column, rows)) = replaced(&columns[place], &value).map_err(failed)? {
                *found.rows.columns.entry(field.name().clone()).or_default() += rows.len() as u64;
                rows.iter().for_each(|row| (has_value[*row], is_changed[*row]) = (true, true));
                columns[place] = column;
            }
            if let Some(left) = self.left(&scope, field, substitutes)
                && let Some((_, rows)) = replaced(&columns[place], left).map_err(failed)?
            {
                *found.rows.left.entry(field.name().clone()).or_default() += rows.len() as u64;
            }
            let name = |text: &str| renamed(text, &substitutes.names);
            if let Some((column, rows)) = replaced(&columns[place], &name).map_err(failed)? {
                rows.iter().for_each(|row| is_changed[*row] = true);
                columns[place] = column;
            }
        }
        let mut changed = RecordBatch::try_new(rows.schema(), columns).map_err(failed)?;
        match self.kind {
            Kind::Unified(fact) => changed = self.unified(fact, rows, changed, partitions, found)?,
            Kind::Native => changed = self.native(rows, changed, substitutes.salt, &is_changed, &mut has_value)?,
            Kind::Rejects => changed = self.rejects(rows, changed, partitions, &is_changed, found)?,
            Kind::ResolvedRejects => {
                changed = self.resolved(changed, substitutes, &mut is_changed)?;
            }
            Kind::Other => {}
        }
        let with_value = has_value.iter().filter(|has| **has).count();
        let is_other = (0..rows.num_rows()).filter(|row| is_changed[*row] && !has_value[*row]).count();
        found.rows.rows += with_value as u64;
        found.rows.renamed += is_other as u64;
        self.note_bodies(rows, &has_value, found);
        Ok((with_value + is_other > 0).then_some(changed))
    }

    fn scope(&self, column: &str) -> Scope {
        match self.kind {
            Kind::Unified(fact) if fact.personal_columns().contains(&column) => Scope::All,
            Kind::Unified(_) => Scope::Names,
            Kind::Native if column == "_rest" => Scope::Documents,
            Kind::Native if column.starts_with('_') => Scope::Names,
            Kind::Native if self.paths.get(column).is_some_and(|path| self.native.paths.contains(path)) => Scope::All,
            Kind::Native => Scope::Words,
            _ => Scope::Documents,
        }
    }

    /// Finds what stays in a column and is equal to a value: numbers of native tables that may be amounts, and texts of the unified
    /// ones that say nothing of a person.
    fn left<'a>(&self, scope: &Scope, field: &Field, substitutes: &'a Substitutes) -> Option<&'a Replace> {
        match (scope, self.kind) {
            (Scope::Words, _) => Some(&substitutes.values),
            (Scope::Names, Kind::Unified(fact)) if *field.data_type() == DataType::Utf8 => {
                fact.mapped_column(field.name()).map(|_| &substitutes.words)
            }
            _ => None,
        }
    }

    /// The bodies that rows with a value came from.
    fn note_bodies(&self, rows: &RecordBatch, has_value: &[bool], found: &mut Changed) {
        let column = match self.kind {
            Kind::Unified(_) => "raw_object",
            Kind::Native => "_raw_object",
            _ => return,
        };
        let Some(bodies) = rows.column_by_name(column).and_then(|bodies| bodies.as_string_opt::<i32>()) else { return };
        let with_value = bodies.iter().zip(has_value).filter(|(_, has)| **has);
        found.rows.bodies.extend(with_value.filter_map(|(body, _)| body.map(str::to_owned)));
    }

    /// Facts with the keys and content hashes of what they now hold. A tombstone's hash says nothing of content.
    fn unified(
        &self,
        fact: Fact,
        before: &RecordBatch,
        after: RecordBatch,
        partitions: &HashMap<String, Option<String>>,
        found: &mut Changed,
    ) -> Result<RecordBatch, Error> {
        let hashes = |rows: &RecordBatch| -> Result<Vec<u128>, Error> {
            content_hashes(fact, &mapped(fact, rows).map_err(|source| Error::rows(self.table.name(), source))?)
        };
        let (old, new) = (hashes(before)?, hashes(&after)?);
        let mut contents = keys_of(&self.table, before, "content_hash")?;
        for (row, content) in contents.iter_mut().enumerate() {
            if old[row] != new[row] && *content != VANISHED {
                *content = new[row];
            }
        }
        let network = partitions.get("network").cloned().flatten().unwrap_or_default();
        let mut after = self.with(after, "content_hash", binary(contents.into_iter()))?;
        for named in std::iter::once(fact).chain((fact == Fact::Items).then_some(Fact::Transactions)) {
            let keys = self.keys(named, &network, before, &after, found)?;
            after = self.with(after, named.key(), keys)?;
        }
        Ok(after)
    }

    /// The keys that rows have of a kind of facts, their own or those of their transactions: other ones where ids changed.
    fn keys(
        &self,
        fact: Fact,
        network: &str,
        before: &RecordBatch,
        after: &RecordBatch,
        found: &mut Changed,
    ) -> Result<ArrayRef, Error> {
        let text = |rows: &RecordBatch, name: &str| -> Option<StringArray> {
            rows.column_by_name(name).and_then(|column| column.as_string_opt::<i32>()).cloned()
        };
        let columns = ["account", "stream", fact.id()].map(|name| text(after, name));
        let ids = text(before, fact.id());
        let mut keys = keys_of(&self.table, before, fact.key())?;
        if let ([Some(accounts), Some(streams), Some(new_ids)], Some(ids)) = (columns, ids) {
            for row in (0..before.num_rows()).filter(|row| ids.value(*row) != new_ids.value(*row)) {
                let key = transaction_keys(network, accounts.value(row), streams.value(row))(new_ids.value(row));
                found.names.insert(hex_of(keys[row]), hex_of(key));
                keys[row] = key;
            }
        }
        Ok(Arc::new(StringArray::from_iter_values(keys.into_iter().map(hex_of))))
    }

    /// Native rows with the keys and content hashes of the changed records. Where no response shows these any more, a row
    /// gets ones that nothing can be guessed from.
    fn native(
        &self,
        before: &RecordBatch,
        after: RecordBatch,
        salt: u128,
        is_changed: &[bool],
        has_value: &mut [bool],
    ) -> Result<RecordBatch, Error> {
        let mut keys = keys_of(&self.table, before, "_key")?;
        let mut contents = keys_of(&self.table, before, "_content_hash")?;
        let is_key = |column: &str| self.paths.get(column).is_some_and(|path| self.native.key.contains(path));
        let key_columns: Vec<usize> =
            (0..before.num_columns()).filter(|place| is_key(before.schema().field(*place).name())).collect();
        for row in 0..before.num_rows() {
            match self.native.rows.get(&(keys[row], contents[row])) {
                Some((key, content)) => {
                    (keys[row], contents[row]) = (*key, *content);
                    has_value[row] = true;
                }
                None if is_changed[row] && has_value[row] => {
                    contents[row] = salted(contents[row], salt);
                    let differs = |place: &usize| {
                        before.column(*place).slice(row, 1).to_data() != after.column(*place).slice(row, 1).to_data()
                    };
                    if key_columns.iter().any(differs) {
                        keys[row] = salted(keys[row], salt);
                    }
                }
                None => {}
            }
        }
        let after = self.with(after, "_key", binary(keys.into_iter()))?;
        self.with(after, "_content_hash", binary(contents.into_iter()))
    }

    /// Rejects under the keys of what they now name.
    fn rejects(
        &self,
        before: &RecordBatch,
        after: RecordBatch,
        partitions: &HashMap<String, Option<String>>,
        is_changed: &[bool],
        found: &mut Changed,
    ) -> Result<RecordBatch, Error> {
        let mut keys = keys_of(&self.table, before, "_key")?;
        let text = |name: &str, row: usize| -> String {
            let column = after.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            let partition = partitions.get(name).cloned().flatten();
            column.map(|column| column.value(row).to_owned()).or(partition).unwrap_or_default()
        };
        let places = after.column_by_name("record_index").cloned();
        let places = places.as_ref().and_then(|places| places.as_primitive_opt::<arrow::datatypes::Int64Type>());
        for row in (0..before.num_rows()).filter(|row| is_changed[*row]) {
            let slice = ["network", "account", "stream"].map(|name| text(name, row));
            let place = places.map_or(0, |places| places.value(row));
            let key =
                reject_key([&slice[0], &slice[1], &slice[2]], &text("raw_object", row), place, &text("reason", row));
            found.names.insert(hex_of(keys[row]), hex_of(key));
            keys[row] = key;
        }
        self.with(after, "_key", binary(keys.into_iter()))
    }

    /// What was decided about rejects, under their keys.
    fn resolved(
        &self,
        rows: RecordBatch,
        substitutes: &Substitutes,
        is_changed: &mut [bool],
    ) -> Result<RecordBatch, Error> {
        let mut keys = keys_of(&self.table, &rows, "_key")?;
        for (key, is_changed) in keys.iter_mut().zip(is_changed) {
            let other = substitutes.names.get(&hex_of(*key)).and_then(|name| crate::index::parse_hex(name));
            if let Some(other) = other {
                (*key, *is_changed) = (other, true);
            }
        }
        self.with(rows, "_key", binary(keys.into_iter()))
    }

    fn with(&self, rows: RecordBatch, name: &str, column: ArrayRef) -> Result<RecordBatch, Error> {
        let failed = |source| Error::rows(self.table.name(), source);
        let place = rows.schema().index_of(name).map_err(failed)?;
        let mut columns = rows.columns().to_vec();
        columns[place] = column;
        RecordBatch::try_new(rows.schema(), columns).map_err(failed)
    }
}

/// The columns that mapping gave, in its order, which hashes follow.
fn mapped(fact: Fact, rows: &RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let schema = fact.mapped_schema();
    let known = schema.fields().iter().filter(|field| fact.mapped_column(field.name()).is_some());
    let places: Vec<usize> = known.filter_map(|field| rows.schema().index_of(field.name()).ok()).collect();
    rows.project(&places)
}

fn salted(key: u128, salt: u128) -> u128 {
    hash(&[key.to_be_bytes(), salt.to_be_bytes()].concat())
}

fn hex_of(key: u128) -> String {
    String::from_utf8_lossy(&to_hex(key)).into_owned()
}

/// A text with other names, those of [`Substitutes::names`]; none if it holds none of them.
pub fn renamed(text: &str, names: &HashMap<String, String>) -> Option<String> {
    let shortest = NAME_DIGITS[1];
    if names.is_empty() || text.len() < shortest {
        return None;
    }
    if let Some(name) = names.get(text) {
        return Some(name.clone());
    }
    let mut out = String::new();
    let mut copied = 0;
    let mut start = None;
    for (at, byte) in text.bytes().chain([b' ']).enumerate() {
        match (byte.is_ascii_alphanumeric(), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                start = None;
                let token = &text[from..at];
                if let Some(name) = names.get(token).filter(|_| NAME_DIGITS.contains(&token.len())) {
                    out.push_str(&text[copied..from]);
                    out.push_str(name);
                    copied = at;
                }
            }
            _ => {}
        }
    }
    (copied > 0).then(|| out + &text[copied..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_as_whole_tokens() {
        let (old, new) = ("a".repeat(64), "b".repeat(64));
        let names = HashMap::from([(old.clone(), new.clone())]);
        assert_eq!(renamed(&old, &names), Some(new.clone()));
        assert_eq!(renamed(&format!("{{\"ß\":\"{old}\"}}"), &names), Some(format!("{{\"ß\":\"{new}\"}}")));
        assert_eq!(renamed(&format!("{old}a"), &names), None);
        assert_eq!(renamed("nothing", &names), None);
    }
}
