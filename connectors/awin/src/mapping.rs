//! How a record becomes a transaction.

use sluice_connector::*;

inputs! {
    ID = "id",
    STATUS = "commissionStatus",
    TYPE = "type",
    COMMISSION = "commissionAmount.amount",
    COMMISSION_CURRENCY = "commissionAmount.currency",
    SALE = "saleAmount.amount",
    SALE_CURRENCY = "saleAmount.currency",
    OLD_SALE = "oldSaleAmount.amount",
    OLD_COMMISSION = "oldCommissionAmount.amount",
    ORIGINAL_SALE = "originalSaleAmount.amount",
    CLICKED = "clickDate",
    TRANSACTED = "transactionDate",
    VALIDATED = "validationDate",
    ADVERTISER = "advertiserId",
    ADVERTISER_NAME = "advertiserName",
    SITE_NAME = "siteName",
    ORDER = "orderRef",
    REASON = "declineReason",
    AMEND_REASON = "amendReason",
    VOUCHER = "voucherCode",
    COUNTRY = "customerCountry",
    CUSTOMER = "customerAcquisition",
    DEVICE = "transactionDevice",
    CLICK_DEVICE = "clickDevice",
    PAID = "paidToPublisher",
    PAYMENT = "paymentId",
    REF1 = "clickRefs.clickRef",
    REF2 = "clickRefs.clickRef2",
    REF3 = "clickRefs.clickRef3",
    REF4 = "clickRefs.clickRef4",
    REF5 = "clickRefs.clickRef5",
    REF6 = "clickRefs.clickRef6",
}

/// Status words. A payout is no word: `paidToPublisher` says it while the status stays `approved`.
pub(crate) const STATUSES: &[Status] = &[
    Status::new("pending", ValidationStatus::Pending, PaymentStatus::Unpaid),
    Status::new("approved", ValidationStatus::Approved, PaymentStatus::Unknown),
    Status::new("declined", ValidationStatus::Declined, PaymentStatus::Unpaid),
    Status::new("deleted", ValidationStatus::Declined, PaymentStatus::Unpaid),
];

const PINS: &[(Kind, &[&str])] = &[
    (
        Kind::Decimal,
        &[
            "commissionAmount.amount",
            "saleAmount.amount",
            "oldSaleAmount.amount",
            "oldCommissionAmount.amount",
            "originalSaleAmount.amount",
            "trackedCurrencyAmount.amount",
            "advertiserCost.amount",
            "networkFee.amount",
        ],
    ),
    (
        Kind::Int64,
        &[
            "id",
            "advertiserId",
            "publisherId",
            "commissionSharingPublisherId",
            "commissionSharingSelectedRatePublisherId",
            "lapseTime",
            "paymentId",
            "transactionQueryId",
        ],
    ),
    (Kind::Boolean, &["voucherCodeUsed", "amended", "paidToPublisher"]),
    (Kind::Text, TEXTS),
];

pub(crate) fn layout() -> Layout {
    Layout { pins: pins_by_kind(PINS), inputs: inputs(), key: vec!["id".into()], ..json("") }
}

const TEXTS: &[&str] = &[
    "url",
    "siteName",
    "publisherUrl",
    "commissionStatus",
    "commissionAmount.currency",
    "saleAmount.currency",
    "oldSaleAmount.currency",
    "oldCommissionAmount.currency",
    "originalSaleAmount.currency",
    "trackedCurrencyAmount.currency",
    "advertiserCost.currency",
    "networkFee.currency",
    "ipHash",
    "customerCountry",
    "clickRefs.clickRef",
    "clickRefs.clickRef2",
    "clickRefs.clickRef3",
    "clickRefs.clickRef4",
    "clickRefs.clickRef5",
    "clickRefs.clickRef6",
    "clickDate",
    "transactionDate",
    "validationDate",
    "type",
    "declineReason",
    "voucherCode",
    "amendReason",
    "clickDevice",
    "transactionDevice",
    "advertiserCountry",
    "orderRef",
    "customParameters",
    "transactionParts",
    "basketProducts",
    "customerAcquisition",
    "advertiserName",
    "campaign",
];

pub(crate) fn map(record: Record, out: &mut Output) -> Result<(), String> {
    let status_raw = record.filled(STATUS);
    let status = out.status(STATUSES, status_raw);
    let row = Transaction {
        transaction_id: record.required(ID)?,
        kind: kind_in(record.filled(TYPE).unwrap_or_default()),
        validation_status: status.validation,
        payment_status: payment(record.flag(PAID), status.validation, status.payment),
        status_raw,
        reason_raw: record.filled(REASON).or(record.filled(AMEND_REASON)),
        order_id: record.filled(ORDER),
        advertiser_id: record.filled(ADVERTISER),
        advertiser_name: record.filled(ADVERTISER_NAME),
        site_name: record.filled(SITE_NAME),
        transacted_at: record.iso_time(TRANSACTED)?,
        clicked_at: record.iso_time(CLICKED)?,
        validated_at: record.iso_time(VALIDATED)?,
        sale_amount: record.money(SALE)?,
        sale_currency: record.filled(SALE_CURRENCY),
        commission_amount: record.money(COMMISSION)?,
        commission_currency: record.filled(COMMISSION_CURRENCY),
        original_sale_amount: record.money(OLD_SALE)?.or(record.money(ORIGINAL_SALE)?),
        original_commission_amount: record.money(OLD_COMMISSION)?,
        sub_ids: &[
            ("clickRef", record.text(REF1)),
            ("clickRef2", record.text(REF2)),
            ("clickRef3", record.text(REF3)),
            ("clickRef4", record.text(REF4)),
            ("clickRef5", record.text(REF5)),
            ("clickRef6", record.text(REF6)),
        ],
        voucher_code: record.filled(VOUCHER),
        device: record.filled(DEVICE).or(record.filled(CLICK_DEVICE)),
        customer_country: record.filled(COUNTRY),
        customer_is_new: record.filled(CUSTOMER).and_then(is_new),
        payment_id: record.filled(PAYMENT).filter(|id| *id != "0"),
        ..Transaction::default()
    };
    out.push(record, &row);
    Ok(())
}

fn payment(paid: Option<bool>, validation: ValidationStatus, stated: PaymentStatus) -> PaymentStatus {
    match (paid, validation) {
        (Some(true), ValidationStatus::Declined) => PaymentStatus::ClawedBack,
        (Some(true), _) => PaymentStatus::Paid,
        (Some(false), _) => PaymentStatus::Unpaid,
        (None, _) => stated,
    }
}

/// Advertisers tag sales `NEW` or `RETURNING`: <https://help.awin.com/developers/docs/customer-acquisition>, read 2026-11.
/// The API's own words for it are undocumented; `existing` has been read for the latter.
fn is_new(customer: &str) -> Option<bool> {
    let is = |word: &str| customer.eq_ignore_ascii_case(word);
    if is("new") { Some(true) } else { (is("returning") || is("existing")).then_some(false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_say_so_make_a_customer_new_or_known() {
        assert_eq!(
            ["new", "NEW", "RETURNING", "existing", "unknown"].map(is_new),
            [Some(true), Some(true), Some(false), Some(false), None]
        );
    }

    #[test]
    fn a_paid_row_that_is_declined_was_clawed_back() {
        assert_eq!(payment(Some(true), ValidationStatus::Declined, PaymentStatus::Unpaid), PaymentStatus::ClawedBack);
        assert_eq!(payment(Some(true), ValidationStatus::Approved, PaymentStatus::Unknown), PaymentStatus::Paid);
        assert_eq!(payment(None, ValidationStatus::Approved, PaymentStatus::Unknown), PaymentStatus::Unknown);
    }
}
