//! Columns that grow while records are read, and the tree of paths that finds them.

use std::collections::HashMap;

use arrow::array::StringArray;
use sluice_model::{Kinds, NativeBatch, NativeColumn};

use super::clock::Clock;
use super::column::Column;
use super::notes::{NoteKind, NoteLog, NoteSet, Notes};
use super::number::number_kinds;
use super::path::escape;
use super::scan::Number;
use super::{DecodeError, MAX_CELLS, MAX_FIELDS};

/// How many cells a body may have for each of its bytes, and how many besides: in JSON the shortest field takes 6 bytes and
/// in delimited text one, so beyond this nearly all cells are empty. Each takes 5 bytes of memory.
const CELLS_PER_BYTE: usize = 2;
const FREE_CELLS: usize = 1 << 18;
const TOO_MANY_CELLS: &str = "67108864 values, or 2 for each of its bytes, most of them empty";
/// How long a path may be, in bytes.
const MAX_PATH_BYTES: usize = 4096;
/// How long all paths together may be for each byte of the body, and how long in any case: a name stands once in a body, and
/// in the path of each field below it.
const PATH_BYTES_PER_BYTE: usize = 2;
const FREE_PATH_BYTES: usize = 1 << 20;
const TOO_LONG_PATHS: &str = "1048576 bytes, or 2 for each of its own, in the paths of all fields";
/// How many steps may be spent on taking back the values of names that stand twice.
const MAX_TAKEN_BACK: usize = 1 << 26;
/// Steps of that between two looks at the clock.
const TAKEN_BACK_STEP: usize = 1 << 12;
/// Up to so many children, a name is sought by comparing.
const FEW: usize = 16;

/// A path of the records.
pub(super) type NodeId = usize;
/// The record itself.
pub(super) const ROOT: NodeId = 0;

/// A member name in its object: a step of a path.
struct Node {
    name: Box<str>,
    /// Its JSON text is itself in quotes.
    plain: bool,
    path: String,
    column: Option<usize>,
    children: Vec<NodeId>,
    /// Positions in `children`, for when they are many.
    by_name: HashMap<Box<str>, usize>,
    /// The row after the last one that has it: a name that occurs twice in one object is noticed by this.
    seen: usize,
}

/// The records read so far.
pub(super) struct Table {
    nodes: Vec<Node>,
    columns: Vec<Column>,
    row: usize,
    taken_back: usize,
    log: Option<Box<NoteLog>>,
    /// How many cells the records may have, empty ones included.
    max_cells: usize,
    /// How many bytes the paths of further fields may have.
    path_bytes_left: usize,
    clock: Clock,
}

impl Table {
    /// Of a body of so many bytes. Each record has a cell in every column, so a body that has many fields once and many
    /// records of few fields would take hundreds of bytes for one of its own.
    pub(super) fn new(body_bytes: usize, clock: Clock) -> Self {
        let max_cells = body_bytes.saturating_mul(CELLS_PER_BYTE).saturating_add(FREE_CELLS).min(MAX_CELLS);
        let path_bytes_left = body_bytes.saturating_mul(PATH_BYTES_PER_BYTE).saturating_add(FREE_PATH_BYTES);
        let mut table = Self {
            nodes: Vec::new(),
            columns: Vec::new(),
            row: 0,
            taken_back: 0,
            log: None,
            max_cells,
            path_bytes_left,
            clock,
        };
        table.add_node("", String::new());
        table
    }

    /// Fails if the time is over when the reader is at this byte of the body.
    #[inline]
    pub(super) fn check_time(&mut self, at: usize) -> Result<(), DecodeError> {
        self.clock.check(at)
    }

    fn add_node(&mut self, name: &str, path: String) -> NodeId {
        let (children, by_name) = (Vec::new(), HashMap::new());
        let plain = !name.bytes().any(|byte| matches!(byte, b'"' | b'\\' | ..0x20));
        self.nodes.push(Node { name: name.into(), plain, path, column: None, children, by_name, seen: 0 });
        self.nodes.len() - 1
    }

    /// The name that followed here in an earlier record, if it has no escapes in JSON. `cursor` starts at 0 for each
    /// object: records mostly repeat their names in one order.
    #[inline]
    pub(super) fn expected(&self, parent: NodeId, cursor: usize) -> Option<&str> {
        let child = &self.nodes[*self.nodes[parent].children.get(cursor)?];
        child.plain.then_some(&*child.name)
    }

    /// The member that was [expected](Self::expected), without a value yet.
    #[inline]
    pub(super) fn next_child(&mut self, parent: NodeId, cursor: &mut usize) -> Result<NodeId, DecodeError> {
        let child = self.nodes[parent].children[*cursor];
        *cursor += 1;
        self.enter(child)
    }

    /// The member `name` of `parent` in the current record, without a value yet.
    pub(super) fn child(&mut self, parent: NodeId, cursor: &mut usize, name: &str) -> Result<NodeId, DecodeError> {
        match self.nodes[parent].children.get(*cursor) {
            Some(child) if *self.nodes[*child].name == *name => self.next_child(parent, cursor),
            _ => {
                let child = self.child_elsewhere(parent, cursor, name)?;
                self.enter(child)
            }
        }
    }

    #[inline]
    fn enter(&mut self, child: NodeId) -> Result<NodeId, DecodeError> {
        if self.nodes[child].seen == self.row + 1 {
            self.take_back(child)?;
            self.note(child, NoteKind::DuplicateName);
        }
        self.nodes[child].seen = self.row + 1;
        Ok(child)
    }

    fn child_elsewhere(&mut self, parent: NodeId, cursor: &mut usize, name: &str) -> Result<NodeId, DecodeError> {
        let children = &self.nodes[parent].children;
        let is_it = |child: &NodeId| *self.nodes[*child].name == *name;
        let next = (*cursor + 1).min(children.len())..(*cursor + 4).min(children.len());
        let at = match children[next.clone()].iter().position(is_it) {
            Some(at) => Some(next.start + at),
            None if children.len() <= FEW => children.iter().position(is_it),
            None => self.nodes[parent].by_name.get(name).copied(),
        };
        let at = match at {
            Some(at) => at,
            None => self.add_child(parent, name)?,
        };
        *cursor = at + 1;
        Ok(self.nodes[parent].children[at])
    }

    #[cold]
    fn add_child(&mut self, parent: NodeId, name: &str) -> Result<usize, DecodeError> {
        if self.nodes.len() > MAX_FIELDS {
            return Err(DecodeError::Limit { limit: "10000 different fields" });
        }
        let path = match parent {
            ROOT => escape(name),
            _ => format!("{}.{}", self.nodes[parent].path, escape(name)),
        };
        if path.len() > MAX_PATH_BYTES {
            return Err(DecodeError::Limit { limit: "4096 bytes in a field's path" });
        }
        let Some(left) = self.path_bytes_left.checked_sub(path.len()) else {
            return Err(DecodeError::Limit { limit: TOO_LONG_PATHS });
        };
        self.path_bytes_left = left;
        let child = self.add_node(name, path);
        let at = self.nodes[parent].children.len();
        self.nodes[parent].children.push(child);
        self.nodes[parent].by_name.insert(name.into(), at);
        Ok(at)
    }

    /// Forgets the current record's values at `node` and below, because its name occurs twice: the last one counts.
    #[cold]
    fn take_back(&mut self, node: NodeId) -> Result<(), DecodeError> {
        let before = self.taken_back;
        self.taken_back += 1 + self.nodes[node].children.len();
        if self.taken_back > MAX_TAKEN_BACK {
            return Err(DecodeError::Limit { limit: "its share of names that stand twice" });
        }
        if before / TAKEN_BACK_STEP < self.taken_back / TAKEN_BACK_STEP {
            self.clock.look(0)?;
        }
        self.nodes[node].seen = 0;
        if let Some(column) = self.nodes[node].column {
            self.columns[column].take_back(self.row);
        }
        for at in 0..self.nodes[node].children.len() {
            let child = self.nodes[node].children[at];
            if self.nodes[child].seen == self.row + 1 {
                self.take_back(child)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn column(&mut self, node: NodeId) -> &mut Column {
        let at = match self.nodes[node].column {
            Some(at) => at,
            None => {
                self.columns.push(Column::new(node));
                self.nodes[node].column = Some(self.columns.len() - 1);
                self.columns.len() - 1
            }
        };
        &mut self.columns[at]
    }

    /// Sets the current record's value at `node`.
    #[inline]
    pub(super) fn put(&mut self, node: NodeId, text: &[u8], kinds: Kinds) -> Result<(), DecodeError> {
        let row = self.row;
        self.column(node).put(row, text, kinds)
    }

    /// Sets the current record's value at `node` to a number, as it is written.
    #[inline]
    pub(super) fn put_number(&mut self, node: NodeId, body: &[u8], number: &Number) -> Result<(), DecodeError> {
        let (row, text) = (self.row, &body[number.span.clone()]);
        let (kinds, wide) = number_kinds(text, number.integer, number.exponent);
        let column = self.column(node);
        column.wide |= wide;
        column.put(row, text, kinds)
    }

    /// Notes an explicit null.
    #[inline]
    pub(super) fn put_null(&mut self, node: NodeId) {
        self.column(node).kinds.insert(Kinds::NULL);
    }

    /// Makes the column at `node`, even if it gets no value.
    pub(super) fn declare(&mut self, node: NodeId) {
        self.column(node);
    }

    /// Notes what is odd in the current record's value at `node`.
    #[cold]
    pub(super) fn note(&mut self, node: NodeId, kind: NoteKind) {
        self.log.get_or_insert_default().note(self.row, node, kind);
    }

    /// Notes all that is odd in the current record's value at `node`.
    #[cold]
    pub(super) fn note_all(&mut self, node: NodeId, kinds: NoteSet) {
        kinds.kinds().for_each(|kind| self.note(node, kind));
    }

    /// Notes what is odd outside of the records.
    #[cold]
    pub(super) fn note_outside(&mut self, kind: NoteKind, values: u64) {
        self.log.get_or_insert_default().note_outside(kind, values);
    }

    /// The member `name` of `parent`, without entering it.
    pub(super) fn find(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        let at = self.nodes[parent].by_name.get(name)?;
        self.nodes[parent].children.get(*at).copied()
    }

    /// How many records there are.
    pub(super) fn rows(&self) -> usize {
        self.row
    }

    /// Whether a name stood twice.
    pub(super) fn has_taken_back(&self) -> bool {
        self.taken_back > 0
    }

    /// Ends the current record.
    #[inline]
    pub(super) fn end_record(&mut self) -> Result<(), DecodeError> {
        self.row += 1;
        if self.row.saturating_mul(self.columns.len().max(1)) > self.max_cells {
            Err(DecodeError::Limit { limit: TOO_MANY_CELLS })
        } else {
            Ok(())
        }
    }

    /// The columns, an empty one for each of the `expected` paths that no record has, and what was odd.
    /// `no_controls`: the format allows no control characters in texts.
    pub(super) fn finish<'a>(
        mut self,
        expected: impl Iterator<Item = &'a str>,
        no_controls: bool,
    ) -> Result<(NativeBatch, Notes), DecodeError> {
        let rows = self.row;
        for column in &mut self.columns {
            self.clock.look(0)?;
            let (node, log) = (column.node, &mut self.log);
            column.clean(no_controls, |row, kind| log.get_or_insert_default().note(row, node, kind))?;
        }
        let notes = match self.log.take() {
            Some(log) => log.finish(|node| self.nodes[node].path.clone()),
            None => Notes::default(),
        };
        let mut batch = NativeBatch { rows, columns: Vec::with_capacity(self.columns.len()) };
        for column in self.columns {
            let path = std::mem::take(&mut self.nodes[column.node].path);
            batch.columns.push(column.finish(path, rows)?);
        }
        for path in expected {
            if batch.column(path).is_none() {
                let text = StringArray::new_null(rows);
                batch.columns.push(NativeColumn { path: path.to_owned(), text, kinds: Kinds::default() });
            }
        }
        Ok((batch, notes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use arrow::array::Array;

    use super::*;

    fn table_of(records: &[&[(&str, &str)]]) -> Table {
        let mut table = Table::new(usize::MAX, Clock::new(None));
        for record in records {
            let mut cursor = 0;
            for (name, text) in *record {
                let node = table.child(ROOT, &mut cursor, name).unwrap();
                table.put(node, text.as_bytes(), Kinds::TEXT).unwrap();
            }
            table.end_record().unwrap();
        }
        table
    }

    #[test]
    fn names_are_found_in_any_order() {
        let names: Vec<String> = (0..40).map(|n| format!("field {n}")).collect();
        let forth: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "forth")).collect();
        let back: Vec<(&str, &str)> = names.iter().rev().map(|name| (name.as_str(), "back")).collect();
        let batch = table_of(&[&forth, &back, &forth[7..9]]).finish(std::iter::empty(), false).unwrap().0;
        assert_eq!((batch.rows, batch.columns.len()), (3, 40));
        for column in &batch.columns {
            assert_eq!((column.text.value(0), column.text.value(1)), ("forth", "back"));
        }
        assert_eq!(batch.columns.iter().map(|column| column.text.null_count()).sum::<usize>(), 38);
    }

    #[test]
    fn missing_values_are_null_before_between_and_after() {
        let records: [&[(&str, &str)]; 4] = [&[], &[("a", "1")], &[("b", "2")], &[("a", "3")]];
        let batch = table_of(&records).finish(std::iter::empty(), false).unwrap().0;
        let a: Vec<_> = batch.column("a").unwrap().text.iter().collect();
        let b: Vec<_> = batch.column("b").unwrap().text.iter().collect();
        assert_eq!(a, [None, Some("1"), None, Some("3")]);
        assert_eq!(b, [None, None, Some("2"), None]);
    }

    #[test]
    fn a_long_name_may_not_stand_in_the_paths_of_very_many_fields() {
        let long = "n".repeat(4000);
        let mut table = Table::new(100_000, Clock::new(None));
        let parent = table.child(ROOT, &mut 0, &long).unwrap();
        let refused =
            (0..9_000).find_map(|n| table.child(parent, &mut 0, &n.to_string()).err().map(|error| (n, error)));
        let (n, error) = refused.unwrap();
        assert!((250..350).contains(&n), "{n}");
        assert_eq!(error.to_string(), format!("body has more than {TOO_LONG_PATHS}"));
    }

    #[test]
    fn too_many_fields_and_too_many_values_are_refused() {
        let mut table = Table::new(usize::MAX, Clock::new(None));
        let mut result = Ok(());
        for n in 0..=MAX_FIELDS {
            result = table.child(ROOT, &mut 0, &n.to_string()).map(|node| table.declare(node));
        }
        assert_eq!(result.unwrap_err().to_string(), "body has more than 10000 different fields");
        let refused = (0..MAX_CELLS).any(|_| table.end_record().is_err());
        assert!(refused);
        let mut small = Table::new(100, Clock::new(None));
        assert!((0..FREE_CELLS + 200).all(|_| small.end_record().is_ok()));
        assert!(small.end_record().is_err());
        assert!(table.child(ROOT, &mut 0, &"x".repeat(MAX_PATH_BYTES + 1)).is_err());
    }
}
