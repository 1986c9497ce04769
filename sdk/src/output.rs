//! What a mapping gives, filled row by row.

use std::collections::BTreeSet;

use crate::bindings::sluice::connector0_1_0::columns::Reject;
use crate::columns::{ByteBuffer, IdBases, MoneyBuffer, PairsBuffer, Sparse, TextBuffer, TimeBuffer};
use crate::row_hash::RowHashes;
use crate::{
    IdBasis, Mapped, Money, PaymentStatus, Record, Records, Status, Time, TimezoneBasis, TransactionKind,
    ValidationStatus,
};

/// Longest transaction id that the contract takes, in bytes.
const MAX_ID: usize = 1_024;
/// Most unknown status words that it takes of one response.
const MAX_UNKNOWN: usize = 1_000;

/// One unified transaction. What the network doesn't offer stays as [`Transaction::default`] has it: nothing,
/// a pending sale whose payment is unknown. DATA-MODEL.md says what each column means.
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'a> {
    /// The network's id, verbatim; or what stands for it: see `id_basis`.
    pub transaction_id: &'a str,
    /// Where that id comes from.
    pub id_basis: IdBasis,
    /// What kind of row it is.
    pub kind: TransactionKind,
    /// The advertiser's decision.
    pub validation_status: ValidationStatus,
    /// Where the publisher's money is.
    pub payment_status: PaymentStatus,
    /// Whether the network says that it can no longer change.
    pub is_locked: Option<bool>,
    /// The network's status, verbatim.
    pub status_raw: Option<&'a str>,
    /// The network's payment status, verbatim.
    pub payment_status_raw: Option<&'a str>,
    /// Why it was declined or corrected, verbatim.
    pub reason_raw: Option<&'a str>,
    /// The row that this one corrects.
    pub parent_transaction_id: Option<&'a str>,
    /// The network's key over rows of one conversion.
    pub group_key: Option<&'a str>,
    /// The advertiser's order reference.
    pub order_id: Option<&'a str>,
    /// Programme or merchant.
    pub advertiser_id: Option<&'a str>,
    /// Programme's or merchant's name.
    pub advertiser_name: Option<&'a str>,
    /// The publisher's property.
    pub site_id: Option<&'a str>,
    /// The publisher's property's name.
    pub site_name: Option<&'a str>,
    /// When it happened. A row without it is rejected.
    pub transacted_at: Option<Time>,
    /// When it was clicked.
    pub clicked_at: Option<Time>,
    /// When the network booked it.
    pub recorded_at: Option<Time>,
    /// When it last changed.
    pub modified_at: Option<Time>,
    /// When it was decided.
    pub validated_at: Option<Time>,
    /// When it was reversed.
    pub reversed_at: Option<Time>,
    /// When it will be locked.
    pub locks_at: Option<Time>,
    /// When it will be paid.
    pub payable_at: Option<Time>,
    /// When it was paid.
    pub paid_at: Option<Time>,
    /// The order's value.
    pub sale_amount: Option<Money>,
    /// ISO 4217.
    pub sale_currency: Option<&'a str>,
    /// The publisher's commission, with its sign.
    pub commission_amount: Option<Money>,
    /// ISO 4217.
    pub commission_currency: Option<&'a str>,
    /// The order's value before an amendment.
    pub original_sale_amount: Option<Money>,
    /// The commission before an amendment.
    pub original_commission_amount: Option<Money>,
    /// The same amounts in further currencies, as JSON text.
    pub amounts_reported: Option<&'a str>,
    /// Sub-ids under the network's own names. Empty values are left out.
    pub sub_ids: &'a [(&'a str, Option<&'a str>)],
    /// The network's click id.
    pub click_id: Option<&'a str>,
    /// The voucher code used.
    pub voucher_code: Option<&'a str>,
    /// The device.
    pub device: Option<&'a str>,
    /// ISO 3166 country of the customer.
    pub customer_country: Option<&'a str>,
    /// The commission group.
    pub commission_group: Option<&'a str>,
    /// The network's payment batch.
    pub payment_id: Option<&'a str>,
}

impl Default for Transaction<'_> {
    fn default() -> Self {
        Self {
            transaction_id: "",
            id_basis: IdBasis::Native,
            kind: TransactionKind::Sale,
            validation_status: ValidationStatus::Pending,
            payment_status: PaymentStatus::Unknown,
            is_locked: None,
            status_raw: None,
            payment_status_raw: None,
            reason_raw: None,
            parent_transaction_id: None,
            group_key: None,
            order_id: None,
            advertiser_id: None,
            advertiser_name: None,
            site_id: None,
            site_name: None,
            transacted_at: None,
            clicked_at: None,
            recorded_at: None,
            modified_at: None,
            validated_at: None,
            reversed_at: None,
            locks_at: None,
            payable_at: None,
            paid_at: None,
            sale_amount: None,
            sale_currency: None,
            commission_amount: None,
            commission_currency: None,
            original_sale_amount: None,
            original_commission_amount: None,
            amounts_reported: None,
            sub_ids: &[],
            click_id: None,
            voucher_code: None,
            device: None,
            customer_country: None,
            commission_group: None,
            payment_id: None,
        }
    }
}

/// The kind that a network's own word for it has in it: a bonus or a lead, else a sale.
///
/// ```
/// use sluice_connector::{TransactionKind, kind_in};
/// assert_eq!(kind_in("Commission group Lead"), TransactionKind::Lead);
/// assert_eq!(kind_in(""), TransactionKind::Sale);
/// ```
pub fn kind_in(word: &str) -> TransactionKind {
    let has = |part: &str| word.as_bytes().windows(part.len()).any(|at| at.eq_ignore_ascii_case(part.as_bytes()));
    match () {
        () if has("bonus") => TransactionKind::Bonus,
        () if has("lead") => TransactionKind::Lead,
        () => TransactionKind::Sale,
    }
}

#[derive(Default)]
pub(crate) struct Columns {
    pub(crate) transaction_id: Sparse<TextBuffer>,
    pub(crate) id_basis: IdBases,
    pub(crate) kind: Sparse<ByteBuffer>,
    pub(crate) validation_status: Sparse<ByteBuffer>,
    pub(crate) payment_status: Sparse<ByteBuffer>,
    pub(crate) is_locked: Sparse<ByteBuffer>,
    pub(crate) status_raw: Sparse<TextBuffer>,
    pub(crate) payment_status_raw: Sparse<TextBuffer>,
    pub(crate) reason_raw: Sparse<TextBuffer>,
    pub(crate) parent_transaction_id: Sparse<TextBuffer>,
    pub(crate) group_key: Sparse<TextBuffer>,
    pub(crate) order_id: Sparse<TextBuffer>,
    pub(crate) advertiser_id: Sparse<TextBuffer>,
    pub(crate) advertiser_name: Sparse<TextBuffer>,
    pub(crate) site_id: Sparse<TextBuffer>,
    pub(crate) site_name: Sparse<TextBuffer>,
    pub(crate) transacted_at: Sparse<TimeBuffer>,
    pub(crate) clicked_at: Sparse<TimeBuffer>,
    pub(crate) recorded_at: Sparse<TimeBuffer>,
    pub(crate) modified_at: Sparse<TimeBuffer>,
    pub(crate) validated_at: Sparse<TimeBuffer>,
    pub(crate) reversed_at: Sparse<TimeBuffer>,
    pub(crate) locks_at: Sparse<TimeBuffer>,
    pub(crate) payable_at: Sparse<TimeBuffer>,
    pub(crate) paid_at: Sparse<TimeBuffer>,
    pub(crate) sale_amount: Sparse<MoneyBuffer>,
    pub(crate) sale_currency: Sparse<TextBuffer>,
    pub(crate) commission_amount: Sparse<MoneyBuffer>,
    pub(crate) commission_currency: Sparse<TextBuffer>,
    pub(crate) original_sale_amount: Sparse<MoneyBuffer>,
    pub(crate) original_commission_amount: Sparse<MoneyBuffer>,
    pub(crate) amounts_reported: Sparse<TextBuffer>,
    pub(crate) sub_ids: Sparse<PairsBuffer>,
    pub(crate) click_id: Sparse<TextBuffer>,
    pub(crate) voucher_code: Sparse<TextBuffer>,
    pub(crate) device: Sparse<TextBuffer>,
    pub(crate) customer_country: Sparse<TextBuffer>,
    pub(crate) commission_group: Sparse<TextBuffer>,
    pub(crate) payment_id: Sparse<TextBuffer>,
}

/// The transactions and rejects of one response.
pub struct Output {
    /// IANA zone of the network's reporting day and of local times; UTC unless set.
    pub timezone: String,
    /// How that zone is known.
    pub timezone_basis: TimezoneBasis,
    pub(crate) records: Vec<u32>,
    pub(crate) columns: Columns,
    pub(crate) rejects: Vec<Reject>,
    pub(crate) unknown_statuses: BTreeSet<String>,
    row_hashes: RowHashes,
}

impl Output {
    /// An empty output for about so many rows.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            timezone: "UTC".into(),
            timezone_basis: TimezoneBasis::Declared,
            records: Vec::with_capacity(rows),
            columns: Columns::default(),
            rejects: Vec::new(),
            unknown_statuses: BTreeSet::new(),
            row_hashes: RowHashes::default(),
        }
    }

    /// What `map` makes of one record that has these fields out of so many inputs; for native tests. Of a field that is
    /// given twice the first counts.
    pub fn of_one(
        inputs: usize,
        fields: &[(usize, &str)],
        map: impl Fn(Record, &mut Self) -> Result<(), String>,
    ) -> Mapped {
        let mut out = Self::with_capacity(1);
        out.map_each(&Records::of_one(inputs, fields), map);
        out.into_mapped()
    }

    /// Maps every record; one for which `map` fails becomes a reject with that reason.
    pub fn map_each(&mut self, records: &Records, map: impl Fn(Record, &mut Self) -> Result<(), String>) {
        for record in records {
            if let Err(reason) = map(record, self) {
                self.reject(record, reason);
            }
        }
    }

    /// Adds a transaction of a record.
    ///
    /// A row that the contract doesn't take becomes a reject, so that it costs the other rows nothing: without id or
    /// time, with an id of more than 1,024 bytes, a transaction outside of the years 1900 to 2200, or a currency that
    /// isn't three capital letters. Other times outside of these years are left out.
    pub fn push(&mut self, record: Record, row: &Transaction) {
        if let Err(reason) = check(row) {
            return self.reject(record, reason);
        }
        self.records.push(record.index() as u32);
        let c = &mut self.columns;
        c.transaction_id.push(Some(row.transaction_id));
        c.id_basis.push(row.id_basis);
        c.kind.push(Some(row.kind as u8));
        c.validation_status.push(Some(row.validation_status as u8));
        c.payment_status.push(Some(row.payment_status as u8));
        c.is_locked.push(row.is_locked.map(u8::from));
        c.status_raw.push(row.status_raw);
        c.payment_status_raw.push(row.payment_status_raw);
        c.reason_raw.push(row.reason_raw);
        c.parent_transaction_id.push(row.parent_transaction_id);
        c.group_key.push(row.group_key);
        c.order_id.push(row.order_id);
        c.advertiser_id.push(row.advertiser_id);
        c.advertiser_name.push(row.advertiser_name);
        c.site_id.push(row.site_id);
        c.site_name.push(row.site_name);
        c.sub_ids.push((!row.sub_ids.is_empty()).then_some(row.sub_ids));
        c.click_id.push(row.click_id);
        c.voucher_code.push(row.voucher_code);
        c.device.push(row.device);
        c.customer_country.push(row.customer_country);
        c.commission_group.push(row.commission_group);
        c.payment_id.push(row.payment_id);
        c.push_times(row);
        c.push_money(row);
    }

    /// Adds a record that can't be mapped.
    pub fn reject(&mut self, record: Record, reason: impl Into<String>) {
        self.rejects.push(Reject { record: record.index() as u32, reason: reason.into() });
    }

    /// An id for a row to which the network gives none ([`IdBasis::RowHash`]): a hash of its `parts`, another one for
    /// each further row of the response with the same parts.
    ///
    /// The parts are what makes the row this one and never changes: a part that changes makes it another transaction,
    /// and its money counts twice. Give amounts and times as numbers: `8.0` and `8.00` are one amount, not two parts.
    pub fn row_hash(&mut self, parts: &[&str]) -> String {
        self.row_hashes.next(parts)
    }

    /// What a status word means by the network's list. One that isn't in it is [`Status::UNKNOWN`], and the host is told.
    pub fn status(&mut self, words: &'static [Status], word: Option<&str>) -> Status {
        let known = word.and_then(|word| Status::find(words, word)).copied();
        if let (Some(word), None) = (word, known) {
            self.unknown_status(word);
        }
        known.unwrap_or(Status::UNKNOWN)
    }

    /// Tells the host of a status word that the connector doesn't know, the first thousand of them.
    pub fn unknown_status(&mut self, word: &str) {
        if self.unknown_statuses.len() < MAX_UNKNOWN && !self.unknown_statuses.contains(word) {
            self.unknown_statuses.insert(word.into());
        }
    }

    /// The contract's form, for native use: tests and the bench.
    pub fn into_mapped(self) -> Mapped {
        crate::columns::into_mapped(self)
    }
}

/// Why the contract doesn't take a row.
fn check(row: &Transaction) -> Result<(), String> {
    if row.transaction_id.is_empty() {
        return Err("it has no transaction id".into());
    }
    if row.transaction_id.len() > MAX_ID {
        return Err(format!("its transaction id has {} bytes, {MAX_ID} are allowed", row.transaction_id.len()));
    }
    let time = row.transacted_at.ok_or("it has no transaction time")?;
    if !time.is_real() {
        return Err("its transaction time is outside of the years 1900 to 2200".into());
    }
    let is_code = |code: &str| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    match [row.sale_currency, row.commission_currency].into_iter().flatten().find(|code| !is_code(code)) {
        Some(code) => Err(format!("`{}` is no currency", code.chars().take(40).collect::<String>())),
        None => Ok(()),
    }
}

impl Columns {
    fn push_times(&mut self, row: &Transaction) {
        let real = |time: Option<Time>| time.filter(Time::is_real);
        self.transacted_at.push(row.transacted_at);
        self.clicked_at.push(real(row.clicked_at));
        self.recorded_at.push(real(row.recorded_at));
        self.modified_at.push(real(row.modified_at));
        self.validated_at.push(real(row.validated_at));
        self.reversed_at.push(real(row.reversed_at));
        self.locks_at.push(real(row.locks_at));
        self.payable_at.push(real(row.payable_at));
        self.paid_at.push(real(row.paid_at));
    }

    fn push_money(&mut self, row: &Transaction) {
        self.sale_amount.push(row.sale_amount);
        self.sale_currency.push(row.sale_currency);
        self.commission_amount.push(row.commission_amount);
        self.commission_currency.push(row.commission_currency);
        self.original_sale_amount.push(row.original_sale_amount);
        self.original_commission_amount.push(row.original_commission_amount);
        self.amounts_reported.push(row.amounts_reported);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_the_contract_does_not_take_has_its_reason() {
        let (now, never) = (Time::iso("2026-01-01"), Time::iso("0001-01-01"));
        let good =
            Transaction { transaction_id: "1", transacted_at: now, validated_at: never, ..Transaction::default() };
        assert_eq!(check(&good), Ok(()));
        let long = "1".repeat(MAX_ID + 1);
        for (row, reason) in [
            (Transaction { transaction_id: "", ..good }, "it has no transaction id"),
            (Transaction { transaction_id: &long, ..good }, "its transaction id has 1025 bytes, 1024 are allowed"),
            (Transaction { transacted_at: None, ..good }, "it has no transaction time"),
            (Transaction { transacted_at: never, ..good }, "its transaction time is outside of the years 1900 to 2200"),
            (Transaction { sale_currency: Some("£"), ..good }, "`£` is no currency"),
            (Transaction { commission_currency: Some("gbp"), ..good }, "`gbp` is no currency"),
        ] {
            assert_eq!(check(&row), Err(reason.to_owned()));
        }
        let mut columns = Columns::default();
        columns.push_times(&good);
        assert!(columns.validated_at.into_wire().is_none(), "never is no time");
        let mut output = Output::with_capacity(0);
        (0..3 * MAX_UNKNOWN).for_each(|n| output.unknown_status(&n.to_string()));
        assert_eq!(output.unknown_statuses.len(), MAX_UNKNOWN);
    }
}
