//! Buffers that cross the boundary, filled row by row without an allocation per cell.

use crate::bindings::sluice::connector0_1_0::columns::{ByteColumn, MapColumn, MoneyColumn, TextColumn, TimeColumn};
use crate::{Money, Time};

/// A validity bitmap that exists only once something is null.
#[derive(Default)]
pub(crate) struct Validity {
    bits: Vec<u8>,
    rows: usize,
}

impl Validity {
    fn push(&mut self, valid: bool) {
        if valid && self.bits.is_empty() {
            self.rows += 1;
            return;
        }
        if self.bits.is_empty() {
            self.bits = vec![0xff; self.rows / 8];
            if !self.rows.is_multiple_of(8) {
                self.bits.push((1 << (self.rows % 8)) - 1);
            }
            self.bits.reserve(self.rows / 8);
        }
        if self.rows.is_multiple_of(8) {
            self.bits.push(0);
        }
        if valid && let Some(last) = self.bits.last_mut() {
            *last |= 1 << (self.rows % 8);
        }
        self.rows += 1;
    }
}

/// A column that begins with its first value: rows before it are null, and without any it is none.
pub(crate) trait Column: Default {
    type Value<'a>: Copy;
    type Wire;
    fn push_value(&mut self, value: Self::Value<'_>);
    fn push_null(&mut self);
    fn into_wire(self) -> Self::Wire;
}

#[derive(Default)]
pub(crate) struct Sparse<C> {
    column: Option<C>,
    rows: usize,
}

impl<C: Column> Sparse<C> {
    #[inline]
    pub(crate) fn push(&mut self, value: Option<C::Value<'_>>) {
        match (value, &mut self.column) {
            (None, None) => {}
            (None, Some(column)) => column.push_null(),
            (Some(value), Some(column)) => column.push_value(value),
            (Some(value), None) => {
                let mut column = C::default();
                for _ in 0..self.rows {
                    column.push_null();
                }
                column.push_value(value);
                self.column = Some(column);
            }
        }
        self.rows += 1;
    }

    pub(crate) fn into_wire(self) -> Option<C::Wire> {
        self.column.map(C::into_wire)
    }

    /// The column, of no rows if nothing was ever pushed.
    pub(crate) fn into_whole(self) -> C::Wire {
        self.column.unwrap_or_default().into_wire()
    }
}

pub(crate) struct TextBuffer {
    offsets: Vec<u32>,
    bytes: Vec<u8>,
    valid: Validity,
}

impl Default for TextBuffer {
    fn default() -> Self {
        Self { offsets: vec![0], bytes: Vec::new(), valid: Validity::default() }
    }
}

impl Column for TextBuffer {
    type Value<'a> = &'a str;
    type Wire = TextColumn;

    #[inline]
    fn push_value(&mut self, value: &str) {
        self.bytes.extend_from_slice(value.as_bytes());
        self.offsets.push(self.bytes.len() as u32);
        self.valid.push(true);
    }

    fn push_null(&mut self) {
        self.offsets.push(self.bytes.len() as u32);
        self.valid.push(false);
    }

    fn into_wire(self) -> TextColumn {
        TextColumn { offsets: self.offsets, bytes: self.bytes, valid: self.valid.bits }
    }
}

#[derive(Default)]
pub(crate) struct TimeBuffer {
    values: Vec<i64>,
    bases: Vec<u8>,
    valid: Validity,
}

impl Column for TimeBuffer {
    type Value<'a> = Time;
    type Wire = TimeColumn;

    #[inline]
    fn push_value(&mut self, value: Time) {
        self.values.push(value.micros);
        self.bases.push(value.basis as u8);
        self.valid.push(true);
    }

    fn push_null(&mut self) {
        self.values.push(0);
        self.bases.push(0);
        self.valid.push(false);
    }

    fn into_wire(self) -> TimeColumn {
        TimeColumn { values: self.values, bases: self.bases, valid: self.valid.bits }
    }
}

/// Numbers of one width: amounts, flags, ordinals.
#[derive(Default)]
pub(crate) struct Numbers<T> {
    values: Vec<T>,
    valid: Validity,
}

pub(crate) type MoneyBuffer = Numbers<i64>;
pub(crate) type ByteBuffer = Numbers<u8>;

/// A number of the contract, and what rows give for it.
pub(crate) trait Number: Copy + Default {
    type Cell: Copy;
    type Wire;
    fn of(cell: Self::Cell) -> Self;
    fn wire(values: Vec<Self>, valid: Vec<u8>) -> Self::Wire;
}

impl Number for i64 {
    type Cell = Money;
    type Wire = MoneyColumn;

    fn of(cell: Money) -> Self {
        cell.micros()
    }

    fn wire(values: Vec<Self>, valid: Vec<u8>) -> MoneyColumn {
        MoneyColumn { values, valid }
    }
}

impl Number for u8 {
    type Cell = Self;
    type Wire = ByteColumn;

    fn of(cell: Self) -> Self {
        cell
    }

    fn wire(values: Vec<Self>, valid: Vec<u8>) -> ByteColumn {
        ByteColumn { values, valid }
    }
}

impl<T: Number> Column for Numbers<T> {
    type Value<'a> = T::Cell;
    type Wire = T::Wire;

    #[inline]
    fn push_value(&mut self, value: T::Cell) {
        self.values.push(T::of(value));
        self.valid.push(true);
    }

    fn push_null(&mut self) {
        self.values.push(T::default());
        self.valid.push(false);
    }

    fn into_wire(self) -> T::Wire {
        T::wire(self.values, self.valid.bits)
    }
}

/// Ordinals of which one is implied: a column that begins with the first other one, so that most answers have none.
#[derive(Default)]
pub(crate) struct Implied {
    values: Vec<u8>,
    rows: usize,
}

impl Implied {
    #[inline]
    pub(crate) fn push(&mut self, ordinal: u8, implied: u8) {
        if ordinal != implied || !self.values.is_empty() {
            self.values.resize(self.rows, implied);
            self.values.push(ordinal);
        }
        self.rows += 1;
    }

    pub(crate) fn into_wire(self) -> Option<ByteColumn> {
        (!self.values.is_empty()).then(|| ByteColumn { values: self.values, valid: Vec::new() })
    }
}

/// Per row the pairs whose value is there and isn't empty.
pub(crate) struct PairsBuffer {
    offsets: Vec<u32>,
    keys: TextBuffer,
    values: TextBuffer,
    pairs: u32,
}

impl Default for PairsBuffer {
    fn default() -> Self {
        Self { offsets: vec![0], keys: TextBuffer::default(), values: TextBuffer::default(), pairs: 0 }
    }
}

impl Column for PairsBuffer {
    type Value<'a> = &'a [(&'a str, Option<&'a str>)];
    type Wire = MapColumn;

    fn push_value(&mut self, value: Self::Value<'_>) {
        for (key, value) in value {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                self.keys.push_value(key);
                self.values.push_value(value);
                self.pairs += 1;
            }
        }
        self.offsets.push(self.pairs);
    }

    fn push_null(&mut self) {
        self.offsets.push(self.pairs);
    }

    fn into_wire(self) -> MapColumn {
        MapColumn { offsets: self.offsets, keys: self.keys.into_wire(), values: self.values.into_wire() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_first_null_fills_the_bitmap_before_it() {
        let mut column: Sparse<TextBuffer> = Sparse::default();
        for _ in 0..10 {
            column.push(Some("x"));
        }
        column.push(None);
        column.push(Some("y"));
        let wire = column.into_whole();
        assert_eq!(wire.valid, vec![0xff, 0b0000_1011]);
        assert_eq!(wire.offsets, (0..=10).chain([10, 11]).collect::<Vec<u32>>());
    }

    #[test]
    fn a_late_first_value_leaves_nulls_before_it() {
        let mut column: Sparse<ByteBuffer> = Sparse::default();
        column.push(None);
        column.push(Some(7));
        assert_eq!(column.into_wire().map(|c| (c.values, c.valid)), Some((vec![0, 7], vec![0b10])));
    }

    #[test]
    fn a_column_begins_with_the_first_ordinal_that_is_not_implied() {
        let of = |ordinals: &[u8]| {
            let mut column = Implied::default();
            ordinals.iter().for_each(|ordinal| column.push(*ordinal, 1));
            column.into_wire().map(|column| column.values)
        };
        assert_eq!(of(&[1, 1]), None);
        assert_eq!(of(&[1, 2, 1]), Some(vec![1, 2, 1]));
        assert_eq!(of(&[0]), Some(vec![0]));
    }

    #[test]
    fn empty_sub_ids_are_left_out() {
        let mut pairs = PairsBuffer::default();
        pairs.push_value(&[("a", Some("1")), ("b", None), ("c", Some(""))]);
        assert_eq!(pairs.offsets, vec![0, 1]);
    }
}
