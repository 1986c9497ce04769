//! How a record becomes a transaction.

use sluice_connector::*;

inputs! {
    ID = "commissionId",
    STATUS = "actionStatus",
    TYPE = "actionType",
    ORIGINAL = "original",
    ORIGINAL_ACTION = "originalActionId",
    REASON = "correctionReason",
    COMMISSION = "pubCommissionAmountPubCurrency",
    COMMISSION_USD = "pubCommissionAmountUsd",
    SALE = "saleAmountPubCurrency",
    SALE_USD = "saleAmountUsd",
    OCCURRED = "eventDate",
    CLICKED = "clickDate",
    POSTED = "postingDate",
    LOCKS = "lockingDate",
    ADVERTISER = "advertiserId",
    ADVERTISER_NAME = "advertiserName",
    SITE = "websiteId",
    SITE_NAME = "websiteName",
    ORDER = "orderId",
    COUPON = "coupon",
    COUNTRY = "country",
    DEVICE = "concludingDeviceType",
    DEVICE_NAME = "concludingDeviceName",
    CLICK_DEVICE = "initiatingDeviceType",
    SHOPPER = "shopperId",
    SID = "sid",
    ITEMS = "items",
}

/// Status words of `actionStatus`. None of them declines: a reversal is a further record.
pub(crate) const STATUSES: &[Status] = &[
    Status::new("new", ValidationStatus::Pending, PaymentStatus::Unpaid).locked(false),
    Status::new("extended", ValidationStatus::Pending, PaymentStatus::Unpaid).locked(false),
    Status::new("locked", ValidationStatus::Approved, PaymentStatus::Unknown).locked(true),
    Status::new("closed", ValidationStatus::Approved, PaymentStatus::Payable).locked(true),
];

const PINS: &[(Kind, &[&str])] = &[
    (
        Kind::Decimal,
        &[
            "pubCommissionAmountPubCurrency",
            "pubCommissionAmountUsd",
            "saleAmountPubCurrency",
            "saleAmountUsd",
            "orderDiscountUsd",
            "orderDiscountPubCurrency",
            "orderDiscountOrigCurrency",
            "orderDiscountAdvCurrency",
        ],
    ),
    (Kind::Boolean, &["isCrossDevice", "original"]),
    (Kind::Text, TEXTS),
];

pub(crate) fn layout() -> Layout {
    Layout {
        pins: pins_by_kind(PINS),
        inputs: inputs(),
        key: vec!["commissionId".into()],
        ..json("/data/publisherCommissions/records")
    }
}

/// Ids are strings in the schema; arrays stay JSON text.
const TEXTS: &[&str] = &[
    "actionStatus",
    "actionTrackerId",
    "actionTrackerName",
    "actionType",
    "advertiserId",
    "advertiserName",
    "aid",
    "clickDate",
    "clickReferringURL",
    "commissionId",
    "concludingBrowser",
    "concludingDeviceName",
    "concludingDeviceType",
    "correctionReason",
    "country",
    "coupon",
    "eventDate",
    "initiatingBrowser",
    "initiatingDeviceName",
    "initiatingDeviceType",
    "lockingDate",
    "lockingMethod",
    "orderId",
    "validationStatus",
    "originalActionId",
    "postingDate",
    "publisherId",
    "publisherName",
    "reviewedStatus",
    "siteToStoreOffer",
    "source",
    "websiteId",
    "websiteName",
    "items",
    "situationDetails",
    "shopperId",
    "sid",
];

pub(crate) fn map(record: Record, currency: &str, out: &mut Output) -> Result<(), String> {
    let status_raw = record.filled(STATUS);
    let status = out.status(STATUSES, status_raw);
    let (commission, sale) = (record.money(COMMISSION)?, record.money(SALE)?);
    let is_negative = commission.is_some_and(|amount| amount.micros() < 0);
    let is_further = record.flag(ORIGINAL).map_or(is_negative || record.filled(REASON).is_some(), |first| !first);
    let kind = kind_of(record.filled(TYPE), out);
    let locks_at = record.iso_time(LOCKS)?;
    let reported = reported(&[
        ("pubCommissionAmountUsd", record.filled(COMMISSION_USD)),
        ("saleAmountUsd", record.filled(SALE_USD)),
    ]);
    let mut skus: Vec<_> = record.nested(ITEMS).items().iter().filter_map(|item| item.filled("sku")).collect();
    // The network promises no order.
    skus.sort_unstable();
    skus.dedup();
    let skus = skus.join(", ");
    let row = Transaction {
        transaction_id: record.required(ID)?,
        kind: if is_further { TransactionKind::Adjustment } else { kind },
        validation_status: status.validation,
        payment_status: status.payment,
        is_locked: status.locked,
        status_raw,
        reason_raw: record.filled(REASON),
        group_key: record.filled(ORIGINAL_ACTION),
        order_id: record.filled(ORDER),
        sku: Some(skus.as_str()).filter(|skus| !skus.is_empty()),
        advertiser_id: record.filled(ADVERTISER),
        advertiser_name: record.filled(ADVERTISER_NAME),
        site_id: record.filled(SITE),
        site_name: record.filled(SITE_NAME),
        transacted_at: record.iso_time(OCCURRED)?,
        clicked_at: record.iso_time(CLICKED)?,
        recorded_at: record.iso_time(POSTED)?,
        // Locking is the decision: until then the advertiser may still correct.
        validated_at: locks_at.filter(|_| status.locked == Some(true)),
        locks_at,
        sale_amount: sale,
        sale_currency: sale.map(|_| currency),
        commission_amount: commission,
        commission_currency: commission.map(|_| currency),
        amounts_reported: reported.as_deref(),
        sub_ids: &[("shopperId", record.text(SHOPPER)), ("sid", record.text(SID))],
        voucher_code: record.filled(COUPON),
        device: record.filled(DEVICE).or(record.filled(DEVICE_NAME)).or(record.filled(CLICK_DEVICE)),
        customer_country: record.filled(COUNTRY),
        ..Transaction::default()
    };
    out.push(record, &row);
    Ok(())
}

/// Of an original record; an unknown word is a sale, with a warning to the host.
fn kind_of(word: Option<&str>, out: &mut Output) -> TransactionKind {
    let Some(word) = word else { return TransactionKind::Sale };
    kind(word).unwrap_or_else(|| {
        out.unknown_status(&format!("actionType={word}"));
        TransactionKind::Sale
    })
}

/// The schema's words, and those of the older REST API (`advanced lead`). `imp` and `click` are paid too, rarely.
const KINDS: &[(&str, TransactionKind)] = &[
    ("item_sale", TransactionKind::Sale),
    ("sim_sale", TransactionKind::Sale),
    ("advanced_sale", TransactionKind::Sale),
    ("sale", TransactionKind::Sale),
    ("item_lead", TransactionKind::Lead),
    ("sim_lead", TransactionKind::Lead),
    ("advanced_lead", TransactionKind::Lead),
    ("lead", TransactionKind::Lead),
    ("bonus", TransactionKind::Bonus),
    ("perf_inc", TransactionKind::Bonus),
    ("performance_incentive", TransactionKind::Bonus),
    ("click", TransactionKind::Click),
    ("imp", TransactionKind::Event),
    ("impression", TransactionKind::Event),
];

/// The kind of a word, whatever its case; spaces are underscores.
fn kind(word: &str) -> Option<TransactionKind> {
    let is_same = |(one, other): (u8, u8)| one.eq_ignore_ascii_case(&other) || (one == b'_' && other == b' ');
    let is = |known: &str| known.len() == word.len() && known.bytes().zip(word.bytes()).all(is_same);
    KINDS.iter().find(|(known, _)| is(known)).map(|(_, kind)| *kind)
}

/// The amounts that are there as a JSON object of their literal texts; none if there are none.
fn reported(amounts: &[(&str, Option<&str>)]) -> Option<String> {
    let amounts = amounts.iter().filter_map(|(name, amount)| Some(format!("{}:{}", quoted(name), quoted((*amount)?))));
    let members = amounts.collect::<Vec<_>>().join(",");
    (!members.is_empty()).then(|| format!("{{{members}}}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// One record that has these fields.
    fn mapped(fields: &[(usize, &str)]) -> Mapped {
        Output::of_one(inputs().len(), fields, |record, out| map(record, "USD", out))
    }

    /// The sale with other values.
    fn sale_with(fields: &[(usize, &str)]) -> Mapped {
        let fields: Vec<_> = fields.iter().copied().chain(SALE_ROW.iter().copied()).collect();
        mapped(&fields)
    }

    const SALE_ROW: &[(usize, &str)] = &[
        (ID, "C-1"),
        (STATUS, "CLOSED"),
        (TYPE, "item_sale"),
        (ORIGINAL, "true"),
        (ORIGINAL_ACTION, "A-1"),
        (COMMISSION, "3.20"),
        (OCCURRED, "2026-01-10T10:00:00Z"),
        (LOCKS, "2026-02-11T00:00:00Z"),
    ];

    #[test]
    fn closed_is_approved_locked_and_payable_in_any_case() {
        let rows = mapped(SALE_ROW).transactions.unwrap();
        assert_eq!(rows.validation_status.values, [ValidationStatus::Approved as u8]);
        assert_eq!(rows.payment_status.values, [PaymentStatus::Payable as u8]);
        assert_eq!(rows.is_locked.unwrap().values, [1]);
        assert_eq!(rows.status_raw.unwrap().bytes, b"CLOSED");
        assert_eq!(rows.validated_at.unwrap().values, rows.locks_at.unwrap().values);
    }

    #[test]
    fn a_further_record_is_an_adjustment_that_keeps_its_sign() {
        let mapped = sale_with(&[(ORIGINAL, "false"), (COMMISSION, "-3.20"), (STATUS, "new")]);
        let rows = mapped.transactions.unwrap();
        assert_eq!(rows.kind.values, [TransactionKind::Adjustment as u8]);
        assert_eq!(rows.validation_status.values, [ValidationStatus::Pending as u8]);
        assert_eq!(rows.commission_amount.unwrap().values, [-3_200_000]);
        assert_eq!(rows.group_key.unwrap().bytes, b"A-1");
        assert!(rows.parent_transaction_id.is_none() && rows.validated_at.is_none());
    }

    #[test]
    fn without_original_the_sign_or_a_reason_tells() {
        let of = |more: &[(usize, &str)]| {
            let rest = SALE_ROW.iter().copied().filter(|(at, _)| *at != ORIGINAL);
            let fields: Vec<_> = more.iter().copied().chain(rest).collect();
            mapped(&fields).transactions.unwrap().kind.values[0]
        };
        assert_eq!(of(&[(COMMISSION, "-1")]), TransactionKind::Adjustment as u8);
        assert_eq!(of(&[(REASON, "OTHER_REASON")]), TransactionKind::Adjustment as u8);
        assert_eq!(of(&[]), TransactionKind::Sale as u8);
    }

    #[test]
    fn an_unknown_status_is_told_and_kept() {
        let mapped = sale_with(&[(STATUS, "paused")]);
        assert_eq!(mapped.unknown_statuses, ["paused"]);
        assert_eq!(mapped.transactions.unwrap().validation_status.values, [ValidationStatus::Unknown as u8]);
    }

    #[test]
    fn an_amount_that_is_none_is_a_reject() {
        let mapped = sale_with(&[(COMMISSION, "3,20")]);
        assert!(mapped.transactions.is_none() && mapped.rejects[0].reason.contains("3,20"));
    }

    #[test]
    fn a_currency_stands_only_beside_an_amount() {
        let rows = mapped(SALE_ROW).transactions.unwrap();
        assert_eq!(rows.commission_currency.unwrap().bytes, b"USD");
        assert!(rows.sale_amount.is_none() && rows.sale_currency.is_none());
    }

    #[test]
    fn each_action_type_has_its_kind() {
        for (word, expected) in [
            ("ITEM_LEAD", TransactionKind::Lead),
            ("perf_inc", TransactionKind::Bonus),
            ("imp", TransactionKind::Event),
            ("click", TransactionKind::Click),
            ("sim_sale", TransactionKind::Sale),
            ("advanced lead", TransactionKind::Lead),
            ("Advanced Sale", TransactionKind::Sale),
            ("PERF_INC", TransactionKind::Bonus),
        ] {
            assert_eq!(kind(word).map(|kind| kind as u8), Some(expected as u8), "{word}");
        }
    }

    #[test]
    fn an_unknown_action_type_is_a_sale_and_told() {
        let mapped = sale_with(&[(TYPE, "something_new")]);
        assert_eq!(mapped.unknown_statuses, ["actionType=something_new"]);
        assert_eq!(mapped.transactions.unwrap().kind.values, [TransactionKind::Sale as u8]);
    }

    #[test]
    fn older_forms_of_dates_are_read() {
        let more = [(OCCURRED, "2026-01-10T02:26:46-0700"), (LOCKS, "2026-02-09")];
        let rows = sale_with(&more).transactions.unwrap();
        let at = |text| Time::iso(text).unwrap().micros;
        assert_eq!(rows.transacted_at.values, [at("2026-01-10T09:26:46Z")]);
        assert_eq!(rows.locks_at.unwrap().values, [at("2026-02-09")]);
    }

    #[test]
    fn amounts_are_reported_verbatim() {
        let both = reported(&[("a", Some("3.200")), ("b", None), ("c", Some("1\"0"))]);
        assert_eq!(both.as_deref(), Some(r#"{"a":"3.200","c":"1\"0"}"#));
        assert_eq!(reported(&[("a", None)]), None);
    }
}
