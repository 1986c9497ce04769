//! Buffers that cross the boundary, filled row by row without an allocation per cell.

use crate::bindings::sluice::connector0_1_0::columns::{ByteColumn, MapColumn, MoneyColumn, TextColumn, TimeColumn};
use crate::bindings::sluice::connector0_2_0::columns::{Mapped, Transactions};
use crate::{IdBasis, Money, Output, Time};

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

#[derive(Default)]
pub(crate) struct MoneyBuffer {
    values: Vec<i64>,
    valid: Validity,
}

impl Column for MoneyBuffer {
    type Value<'a> = Money;
    type Wire = MoneyColumn;

    #[inline]
    fn push_value(&mut self, value: Money) {
        self.values.push(value.micros());
        self.valid.push(true);
    }

    fn push_null(&mut self) {
        self.values.push(0);
        self.valid.push(false);
    }

    fn into_wire(self) -> MoneyColumn {
        MoneyColumn { values: self.values, valid: self.valid.bits }
    }
}

#[derive(Default)]
pub(crate) struct ByteBuffer {
    values: Vec<u8>,
    valid: Validity,
}

impl Column for ByteBuffer {
    type Value<'a> = u8;
    type Wire = ByteColumn;

    #[inline]
    fn push_value(&mut self, value: u8) {
        self.values.push(value);
        self.valid.push(true);
    }

    fn push_null(&mut self) {
        self.values.push(0);
        self.valid.push(false);
    }

    fn into_wire(self) -> ByteColumn {
        ByteColumn { values: self.values, valid: self.valid.bits }
    }
}

/// Where ids come from: a column that begins with the first id that isn't the network's own, so that most answers have
/// none.
#[derive(Default)]
pub(crate) struct IdBases {
    values: Vec<u8>,
    rows: usize,
}

impl IdBases {
    #[inline]
    pub(crate) fn push(&mut self, basis: IdBasis) {
        if basis != IdBasis::Native || !self.values.is_empty() {
            self.values.resize(self.rows, IdBasis::Native as u8);
            self.values.push(basis as u8);
        }
        self.rows += 1;
    }

    fn into_wire(self) -> Option<ByteColumn> {
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

/// The contract's form of an output.
pub(crate) fn into_mapped(out: Output) -> Mapped {
    let rows = out.records.len();
    let c = out.columns;
    let transactions = (rows > 0).then(|| Transactions {
        records: out.records,
        timezone: out.timezone,
        timezone_basis: out.timezone_basis,
        transaction_id: c.transaction_id.into_whole(),
        id_basis: c.id_basis.into_wire(),
        kind: c.kind.into_whole(),
        validation_status: c.validation_status.into_whole(),
        payment_status: c.payment_status.into_whole(),
        is_locked: c.is_locked.into_wire(),
        status_raw: c.status_raw.into_wire(),
        payment_status_raw: c.payment_status_raw.into_wire(),
        reason_raw: c.reason_raw.into_wire(),
        parent_transaction_id: c.parent_transaction_id.into_wire(),
        group_key: c.group_key.into_wire(),
        order_id: c.order_id.into_wire(),
        advertiser_id: c.advertiser_id.into_wire(),
        advertiser_name: c.advertiser_name.into_wire(),
        site_id: c.site_id.into_wire(),
        site_name: c.site_name.into_wire(),
        transacted_at: c.transacted_at.into_whole(),
        clicked_at: c.clicked_at.into_wire(),
        recorded_at: c.recorded_at.into_wire(),
        modified_at: c.modified_at.into_wire(),
        validated_at: c.validated_at.into_wire(),
        reversed_at: c.reversed_at.into_wire(),
        locks_at: c.locks_at.into_wire(),
        payable_at: c.payable_at.into_wire(),
        paid_at: c.paid_at.into_wire(),
        sale_amount: c.sale_amount.into_wire(),
        sale_currency: c.sale_currency.into_wire(),
        commission_amount: c.commission_amount.into_wire(),
        commission_currency: c.commission_currency.into_wire(),
        original_sale_amount: c.original_sale_amount.into_wire(),
        original_commission_amount: c.original_commission_amount.into_wire(),
        amounts_reported: c.amounts_reported.into_wire(),
        sub_ids: c.sub_ids.into_wire(),
        click_id: c.click_id.into_wire(),
        voucher_code: c.voucher_code.into_wire(),
        device: c.device.into_wire(),
        customer_country: c.customer_country.into_wire(),
        commission_group: c.commission_group.into_wire(),
        payment_id: c.payment_id.into_wire(),
    });
    Mapped {
        transactions,
        native: Vec::new(),
        rejects: out.rejects,
        unknown_statuses: out.unknown_statuses.into_iter().collect(),
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
    fn bases_of_ids_begin_with_the_first_that_is_not_the_networks() {
        let of = |bases: &[IdBasis]| {
            let mut column = IdBases::default();
            bases.iter().for_each(|basis| column.push(*basis));
            column.into_wire().map(|column| column.values)
        };
        assert_eq!(of(&[IdBasis::Native; 2]), None);
        assert_eq!(of(&[IdBasis::Native, IdBasis::RowHash, IdBasis::Native]), Some(vec![0, 2, 0]));
        assert_eq!(of(&[IdBasis::Composed]), Some(vec![1]));
    }

    #[test]
    fn empty_sub_ids_are_left_out() {
        let mut pairs = PairsBuffer::default();
        pairs.push_value(&[("a", Some("1")), ("b", None), ("c", Some(""))]);
        assert_eq!(pairs.offsets, vec![0, 1]);
    }
}
