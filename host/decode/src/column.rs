//! One column in the making.

use arrow::array::StringArray;
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use sluice_model::{Kinds, NativeColumn};

use super::DecodeError;
use super::notes::NoteKind;
use super::table::NodeId;

/// How many bytes are looked at between two decisions.
const BLOCK: usize = 64;

/// A cell is appended to three buffers, which become the array as they are.
pub(super) struct Column {
    pub(super) node: NodeId,
    /// Where each value ends in `bytes`, behind a 0.
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    /// 1 for each value, 0 for each null: a byte is cheaper to append than a bit.
    valid: Vec<u8>,
    pub(super) kinds: Kinds,
    /// An integer was seen that no `f64` holds.
    pub(super) wide: bool,
}

impl Column {
    pub(super) fn new(node: NodeId) -> Self {
        let (bytes, valid) = (Vec::new(), Vec::new());
        Self { node, offsets: vec![0], bytes, valid, kinds: Kinds::default(), wide: false }
    }

    #[inline]
    pub(super) fn put(&mut self, row: usize, text: &[u8], kinds: Kinds) -> Result<(), DecodeError> {
        if self.offsets.len() != row + 1 {
            self.move_to(row);
        }
        self.bytes.extend_from_slice(text);
        self.offsets.push(offset(self.bytes.len())?);
        self.valid.push(1);
        self.kinds.insert(kinds);
        Ok(())
    }

    /// Takes back the value of `row`, if there is one.
    pub(super) fn take_back(&mut self, row: usize) {
        if self.offsets.len() > row + 1 {
            self.move_to(row);
        }
    }

    /// Fills up with nulls, or takes back, so that the next value is that of `row`.
    #[cold]
    fn move_to(&mut self, row: usize) {
        let rows = self.offsets.len() - 1;
        if rows < row {
            let end = self.offsets.last().copied().unwrap_or_default();
            self.offsets.resize(row + 1, end);
            self.valid.resize(row, 0);
        } else if rows > row {
            self.offsets.truncate(row + 1);
            let end = self.offsets.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or_default();
            self.bytes.truncate(end);
            self.valid.truncate(row);
        }
    }

    /// Replaces NULs, and gives `note` each row that has one; and each with another control character, where the
    /// format allows `no_controls`. One look at all bytes, if there is none.
    pub(super) fn clean(&mut self, no_controls: bool, note: impl FnMut(usize, NoteKind)) -> Result<(), DecodeError> {
        let is_odd = if no_controls { has(&self.bytes, is_control) } else { has(&self.bytes, |byte| byte == 0) };
        if is_odd { self.mend(no_controls, note) } else { Ok(()) }
    }

    #[cold]
    fn mend(&mut self, no_controls: bool, mut note: impl FnMut(usize, NoteKind)) -> Result<(), DecodeError> {
        if no_controls {
            let odd = self.rows().filter(|(_, cell)| cell.iter().any(|byte| *byte != 0 && is_control(*byte)));
            odd.for_each(|(row, _)| note(row, NoteKind::Control));
        }
        if self.bytes.contains(&0) {
            let (mut bytes, mut offsets) = (Vec::with_capacity(self.bytes.len() + 16), vec![0]);
            for (row, cell) in self.rows() {
                let mut pieces = cell.split(|byte| *byte == 0);
                bytes.extend_from_slice(pieces.next().unwrap_or_default());
                let before = bytes.len();
                for piece in pieces {
                    bytes.extend_from_slice("\u{fffd}".as_bytes());
                    bytes.extend_from_slice(piece);
                }
                if bytes.len() > before {
                    note(row, NoteKind::Nul);
                }
                offsets.push(offset(bytes.len())?);
            }
            (self.bytes, self.offsets) = (bytes, offsets);
        }
        Ok(())
    }

    fn rows(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let end = |at: usize| self.offsets.get(at).and_then(|end| usize::try_from(*end).ok()).unwrap_or_default();
        let rows = self.offsets.len() - 1;
        (0..rows).map(move |row| (row, self.bytes.get(end(row)..end(row + 1)).unwrap_or_default()))
    }

    pub(super) fn finish(mut self, path: String, rows: usize) -> Result<NativeColumn, DecodeError> {
        self.move_to(rows);
        if self.wide && self.kinds.intersects(Kinds::FLOAT) {
            // As floats the wide integers would lose digits.
            self.kinds.insert(Kinds::TEXT);
        }
        let valid = self.valid.contains(&0).then(|| {
            NullBuffer::new(BooleanBuffer::collect_bool(rows, |row| {
                self.valid.get(row).is_some_and(|valid| *valid != 0)
            }))
        });
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let text = StringArray::try_new(offsets, Buffer::from_vec(self.bytes), valid);
        let text = text.map_err(|_| DecodeError::Charset { charset: "UTF-8" })?;
        Ok(NativeColumn { path, text, kinds: self.kinds })
    }
}

#[inline]
fn offset(length: usize) -> Result<i32, DecodeError> {
    i32::try_from(length).map_err(|_| DecodeError::Limit { limit: "2 GiB of one field" })
}

/// A control character that isn't white space.
#[inline]
fn is_control(byte: u8) -> bool {
    (byte < 0x20) & (byte != b'\t') & (byte != b'\n') & (byte != b'\r')
}

/// Whether one of the bytes is odd. Without branches in a block, so that it is compiled to SIMD.
#[inline]
fn has(bytes: &[u8], is_odd: impl Fn(u8) -> bool) -> bool {
    let in_block = |block: &[u8]| block.iter().fold(0, |odd, byte| odd | u8::from(is_odd(*byte))) != 0;
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    blocks.iter().any(|block| in_block(block)) || in_block(rest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn column(cells: &[Option<&str>]) -> Column {
        let mut column = Column::new(0);
        for (row, cell) in cells.iter().enumerate() {
            if let Some(text) = cell {
                column.put(row, text.as_bytes(), Kinds::TEXT).unwrap();
            }
        }
        column
    }

    fn cleaned(cells: &[Option<&str>], no_controls: bool) -> (Vec<Option<String>>, Vec<(usize, NoteKind)>) {
        let (mut column, mut notes) = (column(cells), Vec::new());
        column.clean(no_controls, |row, kind| notes.push((row, kind))).unwrap();
        let text = column.finish("a".to_owned(), cells.len()).unwrap().text;
        (text.iter().map(|cell| cell.map(str::to_owned)).collect(), notes)
    }

    #[test]
    fn nuls_are_replaced_and_rows_noted() {
        let (cells, notes) = cleaned(&[Some("a"), None, Some("\0b\0\0"), Some(""), Some("\0"), None], false);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(cells, [text("a"), None, text("\u{fffd}b\u{fffd}\u{fffd}"), text(""), text("\u{fffd}"), None]);
        assert_eq!(notes, [(2, NoteKind::Nul), (4, NoteKind::Nul)]);
    }

    #[test]
    fn control_characters_are_kept_and_noted_where_there_may_be_none() {
        let long = format!("{}\u{1d}", "x".repeat(100));
        let cells = [Some("\t\r\n"), Some(long.as_str()), None, Some("\u{b}")];
        let (kept, notes) = cleaned(&cells, true);
        assert_eq!(kept, cells.map(|cell| cell.map(str::to_owned)));
        assert_eq!(notes, [(1, NoteKind::Control), (3, NoteKind::Control)]);
        assert!(cleaned(&cells, false).1.is_empty());
    }
}
