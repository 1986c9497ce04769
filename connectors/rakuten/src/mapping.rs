//! How a record becomes a transaction.

use sluice_connector::*;

inputs! {
    ID = "etransaction_id",
    ADVERTISER = "advertiser_id",
    SITE = "sid",
    ORDER = "order_id",
    SKU = "sku_number",
    SALE = "sale_amount",
    COMMISSION = "commissions",
    CURRENCY = "currency",
    TRANSACTED = "transaction_date",
    PROCESSED = "process_date",
    EVENT = "is_event",
    U1 = "u1",
}

const PINS: &[(Kind, &[&str])] = &[
    (Kind::Decimal, &["sale_amount", "commissions"]),
    (Kind::Int64, &["advertiser_id", "sid", "quantity"]),
    (Kind::Text, TEXTS),
];

pub(crate) fn layout() -> Layout {
    Layout { pins: pins_by_kind(PINS), inputs: inputs(), key: vec!["etransaction_id".into()], ..json("") }
}

const TEXTS: &[&str] = &[
    "etransaction_id",
    "order_id",
    "offer_id",
    "sku_number",
    "product_name",
    "process_date",
    "transaction_date",
    "transaction_type",
    "u1",
    "currency",
    "is_event",
    "commissions_list_id",
    // As one client writes it.
    "commission_list_id",
];

/// One row per SKU, each with its own amounts, tied by the order. The network has no status: amounts of this API
/// are provisional, so every row is pending, corrections too: they net their sale in any sum by status.
pub(crate) fn map(record: Record, out: &mut Output) -> Result<(), String> {
    let (sale, commission) = (record.money(SALE)?, record.money(COMMISSION)?);
    let (order, currency) = (record.filled(ORDER), record.filled(CURRENCY));
    let (transacted, processed) = (record.time_by(TRANSACTED, time)?, record.time_by(PROCESSED, time)?);
    let hash;
    let (transaction_id, id_basis) = match record.filled(ID) {
        Some(id) => (id, IdBasis::Native),
        None => {
            let transacted = transacted.map(|time| time.micros);
            hash = row_hash(record, transacted, [sale, commission].map(|amount| amount.map(Money::micros)), out);
            (hash.as_str(), IdBasis::RowHash)
        }
    };
    let row = Transaction {
        transaction_id,
        id_basis,
        kind: kind(record.flag(EVENT), sale, commission),
        group_key: order,
        order_id: order,
        sku: record.filled(SKU),
        advertiser_id: record.filled(ADVERTISER),
        site_id: record.filled(SITE),
        transacted_at: transacted,
        recorded_at: processed,
        modified_at: processed,
        sale_amount: sale,
        sale_currency: currency,
        commission_amount: commission,
        commission_currency: currency,
        sub_ids: &[("u1", record.text(U1))],
        ..Transaction::default()
    };
    out.push(record, &row);
    Ok(())
}

/// The id of a row that has none: a hash of what makes the event. What else the row says (its sub-id, names) may be
/// filled in later, and would make another row of it. So would `process_date`: the network processes rows again. Its
/// place among the parts stays, empty, so that a row that never had one keeps its id.
fn row_hash(record: Record, transacted: Option<i64>, amounts: [Option<i64>; 2], out: &mut Output) -> String {
    let text = |input| record.filled(input).unwrap_or_default();
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    let (transacted, [sale, commission]) = (number(transacted), amounts.map(number));
    let texts = [ADVERTISER, SITE, ORDER, SKU, CURRENCY].map(text);
    out.row_hash(&[&texts[..], &[&transacted, "", &sale, &commission]].concat())
}

/// A row with a negative amount corrects an earlier one of its order and SKU. A flagged row is a signal without
/// commission; one that does carry a commission is money, whatever its flag says.
fn kind(is_event: Option<bool>, sale: Option<Money>, commission: Option<Money>) -> TransactionKind {
    let is_negative = |amount: Option<Money>| amount.is_some_and(|amount| amount.micros() < 0);
    let is_unpaid = commission.is_none_or(|amount| amount.micros() == 0);
    match is_event {
        Some(true) if is_unpaid => TransactionKind::Event,
        _ if is_negative(sale) || is_negative(commission) => TransactionKind::Adjustment,
        _ => TransactionKind::Sale,
    }
}

/// Both forms of the documents, `2014-04-30 02:18:36` and `Wed Apr 30 2014 02:18:36 GMT+0000 (UTC)`. Times are UTC,
/// so the first is an instant like the second: the same moment in another form is no change.
fn time(text: &str) -> Option<Time> {
    let without_zone_name = text.split(" (").next().unwrap_or(text);
    let stated = Time::iso(text).or_else(|| Time::parse(without_zone_name, "%a %b %d %Y %H:%M:%S GMT%z"))?;
    let basis = match stated.basis {
        TimeBasis::Local => TimeBasis::Instant,
        other => other,
    };
    Some(Time { basis, ..stated })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// One record of these inputs, the others absent.
    fn mapped(fields: &[(usize, &str)]) -> Mapped {
        Output::of_one(inputs().len(), fields, map)
    }

    fn money(text: &str) -> Option<Money> {
        Money::parse(text)
    }

    #[test]
    fn both_forms_of_a_time_are_one_instant() {
        let plain = time("2014-04-30 02:18:36").unwrap();
        assert_eq!(Some(plain), time("Wed Apr 30 2014 02:18:36 GMT+0000 (UTC)"));
        assert_eq!(Some(plain), time("Wed Apr 30 2014 04:18:36 GMT+0200 (Central European Summer Time)"));
        assert_eq!(plain.basis, TimeBasis::Instant);
        assert_eq!(time("30/04/2014"), None);
    }

    #[test]
    fn a_negative_row_is_an_adjustment_and_never_declined() {
        assert_eq!(kind(None, money("-120"), money("-9.6")), TransactionKind::Adjustment);
        assert_eq!(kind(Some(false), money("0"), money("-9.6")), TransactionKind::Adjustment);
        assert_eq!(kind(None, money("120"), money("9.6")), TransactionKind::Sale);
        let rows = mapped(&[(ID, "t1"), (TRANSACTED, "2026-01-05 10:00:00"), (SALE, "-120.0"), (COMMISSION, "-9.6")]);
        let rows = rows.transactions.expect("a row");
        assert_eq!(rows.validation_status.values, [ValidationStatus::Pending as u8]);
        assert_eq!(rows.commission_amount.expect("commission").values, [-9_600_000]);
        assert!(rows.status_raw.is_none() && rows.commission_currency.is_none());
    }

    #[test]
    fn only_a_flagged_row_without_commission_is_an_event() {
        assert_eq!(kind(Some(true), money("120"), None), TransactionKind::Event);
        assert_eq!(kind(Some(true), money("120"), money("0.00")), TransactionKind::Event);
        assert_eq!(kind(Some(true), money("120"), money("9.6")), TransactionKind::Sale);
        assert_eq!(kind(Some(true), money("-120"), money("-9.6")), TransactionKind::Adjustment);
        assert_eq!(kind(None, None, None), TransactionKind::Sale);
    }

    #[test]
    fn rows_of_an_order_share_its_key() {
        let rows = mapped(&[(ID, "t1"), (TRANSACTED, "2026-01-05 10:00:00"), (ORDER, "A-1")]);
        let rows = rows.transactions.expect("a row");
        assert_eq!(rows.group_key.expect("group").bytes, b"A-1");
        assert_eq!(rows.order_id.expect("order").bytes, b"A-1");
    }

    /// The id of a row that has none.
    fn hashed(more: &[(usize, &str)]) -> String {
        let row =
            [(TRANSACTED, "2026-01-05 10:00:00"), (ORDER, "A-1"), (SKU, "S-1"), (COMMISSION, "9.60"), (U1, "m-7")];
        let rows = mapped(&[more, &row].concat()).transactions.expect("a row");
        assert_eq!(rows.id_basis.expect("a basis").values, [IdBasis::RowHash as u8]);
        String::from_utf8(rows.transaction_id.bytes).unwrap()
    }

    #[test]
    fn a_row_without_id_has_a_hash_of_what_makes_it() {
        let same = hashed(&[]);
        assert_eq!(same, hashed(&[(ID, " ")]));
        assert_eq!(same, hashed(&[(COMMISSION, "9.6"), (TRANSACTED, "Mon Jan 05 2026 10:00:00 GMT+0000 (UTC)")]));
        assert_eq!(same, hashed(&[(U1, "m-8"), (EVENT, "N")]));
        for other in [(ORDER, "A-2"), (SKU, "S-2"), (COMMISSION, "-9.60")] {
            assert_ne!(same, hashed(&[other]), "{other:?}");
        }
        let rows = mapped(&[(ID, "t1"), (TRANSACTED, "2026-01-05 10:00:00")]).transactions.expect("a row");
        assert!(rows.id_basis.is_none());
    }

    #[test]
    fn a_row_that_is_processed_again_keeps_its_id() {
        let same = hashed(&[]);
        for processed in ["2026-01-06 00:00:00", "2026-02-01 12:00:00", " "] {
            assert_eq!(same, hashed(&[(PROCESSED, processed)]), "{processed}");
        }
        // As it was before the processing date was left out: stored ids of such rows go on.
        assert_eq!(same, "aeb61859c46165659fd00c79328ede83");
    }

    #[test]
    fn a_row_without_time_or_with_a_word_for_an_amount_is_rejected() {
        for fields in [
            &[(ID, "t1")][..],
            &[(ORDER, "A-1")],
            &[(ID, "t1"), (TRANSACTED, "2026-01-05 10:00:00"), (SALE, "n/a")],
            &[(ID, "t1"), (TRANSACTED, "yesterday")],
        ] {
            let rows = mapped(fields);
            assert!(rows.transactions.is_none() && rows.rejects.len() == 1, "{fields:?}");
        }
    }
}
