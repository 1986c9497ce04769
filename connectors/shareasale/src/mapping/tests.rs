#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

/// One record that has these fields, later ones first.
fn mapped(fields: &[(usize, &str)]) -> Mapped {
    let fields: Vec<_> = fields.iter().rev().copied().collect();
    Output::of_one(inputs().len(), &fields, map)
}

fn sale(more: &[(usize, &str)]) -> Mapped {
    let fields = [
        (ID, "9000001"),
        (OCCURRED, "01/10/2026 09:30:00 AM"),
        (SALE, "120.50"),
        (COMMISSION, "9.64"),
        (TYPE, "Sale"),
        (REFERENCE, ""),
    ];
    mapped(&[&fields, more].concat())
}

/// Validation, payment and lock of a sale.
fn axes(more: &[(usize, &str)]) -> (u8, u8, Option<u8>) {
    let rows = sale(more).transactions.unwrap();
    let locked = rows.is_locked.map(|column| column.values[0]);
    (rows.validation_status.values[0], rows.payment_status.values[0], locked)
}

fn expected(validation: ValidationStatus, payment: PaymentStatus, locked: Option<u8>) -> (u8, u8, Option<u8>) {
    (validation as u8, payment as u8, locked)
}

#[test]
fn the_three_columns_decide_in_the_facts_order() {
    let voided = expected(ValidationStatus::Declined, PaymentStatus::Unpaid, None);
    let clawed_back = expected(ValidationStatus::Declined, PaymentStatus::ClawedBack, Some(1));
    let paid = expected(ValidationStatus::Approved, PaymentStatus::Paid, Some(1));
    let locked = expected(ValidationStatus::Approved, PaymentStatus::Unknown, Some(1));
    let pending = expected(ValidationStatus::Pending, PaymentStatus::Unpaid, Some(0));
    assert_eq!(axes(&[(VOIDED, "1")]), voided);
    assert_eq!(axes(&[(VOIDED, "1"), (PAID, "03/20/2026"), (LOCKED, "1")]), clawed_back);
    assert_eq!(axes(&[(PAID, "03/20/2026"), (LOCKED, "1")]), paid);
    assert_eq!(axes(&[(VOIDED, "0"), (LOCKED, "1")]), locked);
    assert_eq!(axes(&[(VOIDED, "0"), (LOCKED, "0")]), pending);
    assert_eq!(axes(&[]), pending);
}

#[test]
fn a_date_of_payment_that_stands_for_none_pays_nothing() {
    let pending = expected(ValidationStatus::Pending, PaymentStatus::Unpaid, Some(0));
    for none in ["00/00/0000", "0000-00-00 00:00:00.0", "1970-01-01 00:00:00.0", "01/01/1900"] {
        assert_eq!(axes(&[(PAID, none)]), pending, "{none}");
        let voided = expected(ValidationStatus::Declined, PaymentStatus::Unpaid, None);
        assert_eq!(axes(&[(PAID, none), (VOIDED, "1")]), voided, "{none}");
    }
}

#[test]
fn a_flag_that_is_none_is_an_unknown_status() {
    let mapped = sale(&[(VOIDED, "maybe")]);
    assert_eq!(mapped.unknown_statuses, ["Voided=maybe, Locked="]);
    let rows = mapped.transactions.unwrap();
    assert_eq!(rows.validation_status.values, [ValidationStatus::Unknown as u8]);
    assert_eq!(rows.status_raw.unwrap().bytes, b"Voided=maybe, Locked=");
}

#[test]
fn a_negative_row_that_refers_to_another_is_an_adjustment_and_never_declined() {
    let more = [(COMMISSION, "-9.64"), (SALE, "-120.50"), (REFERENCE, "8999999"), (VOIDED, "1")];
    let rows = sale(&more).transactions.unwrap();
    assert_eq!(rows.kind.values, [TransactionKind::Adjustment as u8]);
    assert_eq!(rows.validation_status.values, [ValidationStatus::Pending as u8]);
    assert_eq!(rows.parent_transaction_id.unwrap().bytes, b"8999999");
    assert_eq!(rows.commission_amount.unwrap().values, [-9_640_000]);
    assert_eq!(rows.status_raw.unwrap().bytes, b"voided");
    let alone = sale(&[(COMMISSION, "-9.64"), (REFERENCE, "0")]).transactions.unwrap();
    assert_eq!(alone.kind.values, [TransactionKind::Sale as u8]);
    assert!(alone.parent_transaction_id.is_none());
}

#[test]
fn a_comment_has_the_order_and_the_reason_of_a_void() {
    let read = |text| {
        let Comment { order, reason } = Comment::read(text);
        (order, reason)
    };
    assert_eq!(read("Sale - 10001"), (Some("10001"), None));
    assert_eq!(read("VOIDED Returned Merchandise Sale - 10001"), (Some("10001"), Some("Returned Merchandise")));
    assert_eq!(read("ORD-1&amp;2"), (Some("ORD-1&amp;2"), None));
    assert_eq!(read("Thanks for your order"), (None, None));
    assert_eq!(read("Sale - "), (None, None));
    assert_eq!(read(""), (None, None));
}

#[test]
fn a_payout_is_a_payment_and_no_transaction() {
    for word in ["Affiliate Payment", "AFFILIATE PAYMENT"] {
        let paid = [(COMMISSION, "-206.91999999999996"), (PAID, "2026-01-20"), (LOCKED, "1")];
        let mapped = sale(&[&[(TYPE, word), (MERCHANT, "47")][..], &paid].concat());
        assert!(mapped.rejects.is_empty() && mapped.transactions.is_none(), "{word}");
        let [batch] = &mapped.facts[..] else { panic!("{word}: {:?}", mapped.facts) };
        let names: Vec<&str> = batch.columns.iter().map(|column| column.name.as_str()).collect();
        let expected = ["payment_id", "created_at", "paid_at", "payment_status", "amount", "currency"];
        assert_eq!((batch.fact.as_str(), &names[..]), ("payments", &expected[..]), "{word}");
        let amount = format!("{:?}", batch.columns[4]);
        assert!(amount.contains("[206920000]"), "{word}: {amount}");
    }
}

#[test]
fn a_voided_row_that_stays_locked_is_declined() {
    let more = [(VOIDED, "1"), (LOCKED, "1"), (LOCKS, "2021-04-20"), (REVERSED, "2021-02-13 00:00:00.0")];
    let rows = sale(&more).transactions.unwrap();
    assert_eq!(rows.validation_status.values, [ValidationStatus::Declined as u8]);
    assert_eq!(rows.is_locked.unwrap().values, [1]);
    let at = |text| vec![Time::iso(text).unwrap().micros];
    assert_eq!(rows.reversed_at.unwrap().values, at("2021-02-13"));
    assert_eq!(rows.locks_at.unwrap().values, at("2021-04-20"));
    assert!(rows.validated_at.is_none(), "a scheduled lock is no decision");
}

#[test]
fn times_are_read_in_every_form_seen() {
    let at = |text: &str| time(text).map(|time| (time.micros, time.basis as u8));
    let same = |text: &str| Time::iso(text).map(|time| (time.micros, time.basis as u8));
    for text in ["01/10/2026 09:30:00 PM", "1/10/2026 9:30 PM", "01/10/2026 21:30:00", "01/10/2026 09:30:00pm"] {
        assert_eq!(at(text), same("2026-01-10T21:30:00"), "{text}");
    }
    assert_eq!(at("01/10/2026"), same("2026-01-10"));
    assert_eq!(at("2026-01-10 21:30:00.0"), same("2026-01-10T21:30:00"));
    assert_eq!(at("13/10/2026"), None);
}

#[test]
fn a_click_joins_its_two_columns() {
    let at = |text: &str| Ok(Time::iso(text));
    assert_eq!(clicked(Some("01/10/2026"), Some("09:00:00 AM")), at("2026-01-10T09:00:00"));
    assert_eq!(clicked(Some("2026-01-10 00:00:00.000"), Some("09:00:00 AM")), at("2026-01-10T09:00:00"));
    assert_eq!(clicked(Some("2026-01-10 00:00:00.0"), Some("12:38:39 PM")), at("2026-01-10T12:38:39"));
    assert_eq!(clicked(Some("0000-00-00"), Some("09:00:00 AM")), Ok(None));
    assert_eq!(clicked(Some("01/10/2026"), None), at("2026-01-10"));
    assert_eq!(clicked(None, Some("09:00:00 AM")), Ok(None));
    assert!(clicked(None, Some("01/10/2026")).is_err());
}

#[test]
fn a_row_that_is_too_long_is_a_reject_but_a_trailing_bar_is_none() {
    assert_eq!(sale(&[(EXTRA, "77")]).rejects.len(), 1);
    assert_eq!(sale(&[(EXTRA, ""), (VOIDED, "rest of a comment")]).rejects.len(), 1);
    assert!(sale(&[(EXTRA, "")]).transactions.is_some());
}

#[test]
fn every_row_has_all_fields() {
    // A row that a line feed in a comment has torn lacks the flag that voids it: the host makes it a reject.
    assert!(matches!(layout().format, Format::Delimited(Delimited { exact_fields: true, .. })));
}

#[test]
fn torn_lines_are_rejects() {
    for wrong in [(ID, "rest of a comment"), (ID, ""), (COMMISSION, "9,64"), (OCCURRED, ""), (CLICK_TIME, "01/10/2026")]
    {
        let mapped = sale(&[wrong]);
        assert!(mapped.transactions.is_none() && mapped.rejects.len() == 1, "{wrong:?}");
    }
}
