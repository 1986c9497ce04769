//! How a record becomes a transaction.

use sluice_connector::*;

/// The zone of dates without an offset. Assumed: see README.md.
pub(crate) const TIMEZONE: &str = "Europe/Amsterdam";

inputs! {
    ID = "ID",
    TYPE = "transactionType",
    STATUS = "transactionStatus",
    PAID = "paidOut",
    CAMPAIGN = "campaign.ID",
    CAMPAIGN_NAME = "campaign.name",
    COMMISSION = "commission",
    SALE = "orderAmount",
    CURRENCY = "currency",
    REGISTERED = "registrationDate",
    ASSESSED = "assessmentDate",
    CLICKED = "originatingClickDate",
    REFERENCE = "reference",
    REASON = "rejectionReason",
    COUNTRY = "countryCode",
    PRODUCT = "campaignProduct.name",
}

/// Status words. A payout is no word: `paidOut` says it.
pub(crate) const STATUSES: &[Status] = &[
    Status::new("pending", ValidationStatus::Pending, PaymentStatus::Unpaid),
    Status::new("accepted", ValidationStatus::Approved, PaymentStatus::Unknown),
    Status::new("rejected", ValidationStatus::Declined, PaymentStatus::Unpaid),
];

const PINS: &[(Kind, &[&str])] = &[
    (Kind::Decimal, &["commission", "orderAmount", "attributableCommission"]),
    (Kind::Int64, &["numTouchPointsTotal", "numTouchPointsAttributed"]),
    (Kind::Boolean, &["paidOut"]),
    (Kind::Text, TEXTS),
];

/// The records lie in the method's response: `item`s in `conversionTransactions` by the WSDL and by what was recorded;
/// other names of the two elements are taken too.
pub(crate) fn layout() -> Layout {
    Layout {
        pins: pins_by_kind(PINS),
        inputs: inputs(),
        key: vec!["ID".into()],
        ..xml("Envelope.Body.getConversionTransactionsResponse.*.*")
    }
}

const TEXTS: &[&str] = &[
    "ID",
    "transactionType",
    "transactionStatus",
    "campaign.ID",
    "campaign.name",
    "campaign.URL",
    "campaignProduct.ID",
    "campaignProduct.name",
    "currency",
    "registrationDate",
    "assessmentDate",
    "originatingClickDate",
    "reference",
    "rejectionReason",
    "description",
    "IP",
    "countryCode",
    "clickToConversion",
    "attributionModel",
    "affiliateSitesPaidOut",
];

pub(crate) fn map(record: Record, site: Option<&str>, out: &mut Output) -> Result<(), String> {
    let status_raw = record.filled(STATUS);
    let status = out.status(STATUSES, status_raw);
    let (validation_status, payment_status) = axes(status, record.flag(PAID));
    let currency = record.filled(CURRENCY);
    let row = Transaction {
        transaction_id: record.filled(ID).unwrap_or_default(),
        kind: kind(record.filled(TYPE).unwrap_or_default()),
        validation_status,
        payment_status,
        status_raw,
        payment_status_raw: record.filled(PAID),
        reason_raw: record.filled(REASON),
        advertiser_id: record.filled(CAMPAIGN),
        advertiser_name: record.filled(CAMPAIGN_NAME),
        site_id: site,
        transacted_at: record.iso_time(REGISTERED)?,
        clicked_at: record.iso_time(CLICKED)?,
        validated_at: record.iso_time(ASSESSED)?,
        sale_amount: record.money(SALE)?,
        sale_currency: currency,
        commission_amount: record.money(COMMISSION)?,
        commission_currency: currency,
        // The publisher's own sub-id, never an order id: the publisher side has none.
        sub_ids: &[("reference", record.text(REFERENCE))],
        customer_country: record.filled(COUNTRY),
        commission_group: record.filled(PRODUCT),
        ..Transaction::default()
    };
    out.push(record, &row);
    Ok(())
}

fn kind(word: &str) -> TransactionKind {
    match () {
        () if word.eq_ignore_ascii_case("lead") => TransactionKind::Lead,
        () if word.eq_ignore_ascii_case("click") => TransactionKind::Click,
        () => TransactionKind::Sale,
    }
}

/// The payout flag wins over the word: what was paid was approved, and what was paid and is rejected was taken back.
fn axes(status: Status, is_paid: Option<bool>) -> (ValidationStatus, PaymentStatus) {
    let (validation, stated) = (status.validation, status.payment);
    match (is_paid, validation) {
        (Some(true), ValidationStatus::Declined) => (validation, PaymentStatus::ClawedBack),
        (Some(true), ValidationStatus::Pending) => (ValidationStatus::Approved, PaymentStatus::Paid),
        (Some(true), _) => (validation, PaymentStatus::Paid),
        (Some(false), _) => (validation, PaymentStatus::Unpaid),
        (None, _) => (validation, stated),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// One record of these inputs, the others absent.
    fn mapped(fields: &[(usize, &str)]) -> Mapped {
        Output::of_one(inputs().len(), fields, |record, out| map(record, Some("98765"), out))
    }

    #[test]
    fn the_payout_flag_wins_over_the_word() {
        let of = |word, paid| axes(Output::with_capacity(0).status(STATUSES, Some(word)), paid);
        assert_eq!(of("accepted", Some(true)), (ValidationStatus::Approved, PaymentStatus::Paid));
        assert_eq!(of("pending", Some(true)), (ValidationStatus::Approved, PaymentStatus::Paid));
        assert_eq!(of("rejected", Some(true)), (ValidationStatus::Declined, PaymentStatus::ClawedBack));
        assert_eq!(of("accepted", Some(false)), (ValidationStatus::Approved, PaymentStatus::Unpaid));
        assert_eq!(of("accepted", None), (ValidationStatus::Approved, PaymentStatus::Unknown));
        assert_eq!(of("frozen", None), (ValidationStatus::Unknown, PaymentStatus::Unknown));
    }

    #[test]
    fn a_reference_is_a_sub_id_and_never_an_order() {
        let rows = mapped(&[(ID, "2001"), (REGISTERED, "2026-01-15 10:00:00"), (REFERENCE, "member-7")]);
        let rows = rows.transactions.expect("a row");
        assert!(rows.order_id.is_none());
        let sub_ids = rows.sub_ids.expect("sub-ids");
        assert_eq!((sub_ids.keys.bytes, sub_ids.values.bytes), (b"reference".to_vec(), b"member-7".to_vec()));
        assert_eq!(rows.site_id.expect("site").bytes, b"98765");
    }

    #[test]
    fn dates_are_local_unless_they_have_an_offset() {
        let basis = |date| mapped(&[(ID, "1"), (REGISTERED, date)]).transactions.expect("a row").transacted_at.bases;
        assert_eq!(basis("2026-01-15 10:00:00"), [TimeBasis::Local as u8]);
        assert_eq!(basis("2026-01-15T10:00:00+01:00"), [TimeBasis::Instant as u8]);
    }

    #[test]
    fn a_date_of_zeros_is_none() {
        let rows = mapped(&[(ID, "1"), (REGISTERED, "2026-01-15 10:00:00"), (ASSESSED, "0000-00-00 00:00:00")]);
        assert!(rows.transactions.expect("a row").validated_at.is_none());
        let never = mapped(&[(ID, "1"), (REGISTERED, "0000-00-00 00:00:00")]);
        assert_eq!(never.rejects[0].reason, "it has no transaction time");
    }

    #[test]
    fn each_transaction_type_has_its_kind() {
        let words = ["click", "lead", "sale", "other"].map(|word| kind(word) as u8);
        let kinds = [TransactionKind::Click, TransactionKind::Lead, TransactionKind::Sale, TransactionKind::Sale];
        assert_eq!(words, kinds.map(|kind| kind as u8));
    }

    #[test]
    fn an_unknown_word_is_kept_and_told() {
        let rows = mapped(&[(ID, "1"), (REGISTERED, "2026-01-15 10:00:00"), (STATUS, "frozen")]);
        assert_eq!(rows.unknown_statuses, ["frozen"]);
        let rows = rows.transactions.expect("a row");
        assert_eq!(rows.validation_status.values, [ValidationStatus::Unknown as u8]);
        assert_eq!(rows.status_raw.expect("raw").bytes, b"frozen");
    }

    #[test]
    fn an_amount_or_a_date_that_is_none_rejects_the_row() {
        for fields in [
            &[(ID, "1"), (REGISTERED, "2026-01-15 10:00:00"), (COMMISSION, "4,25")][..],
            &[(ID, "1"), (REGISTERED, "15 January")],
            &[(ID, "1")],
            &[(REGISTERED, "2026-01-15 10:00:00")],
        ] {
            let rows = mapped(fields);
            assert!(rows.transactions.is_none() && rows.rejects.len() == 1, "{fields:?}");
        }
    }
}
