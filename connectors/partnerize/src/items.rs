//! A conversion's items: each has its own status and amounts, so each is a row, and an item of it.

use sluice_connector::*;

use crate::STATUSES;
use crate::inputs_of_transactions::*;

/// The rows of a conversion: one for each item, tied by the conversion; without items one for the whole.
pub(crate) fn map(_: &Slice, _: &Response, record: Record, out: &mut Output) -> Result<(), String> {
    let id = record.required(ID)?;
    let items = record.nested(ITEMS).items();
    let row = conversion(record)?;
    if items.is_empty() {
        let status_raw = record.filled(STATUS);
        let status = out.status(STATUSES, status_raw);
        let row = Transaction {
            transaction_id: id,
            validation_status: status.validation,
            payment_status: payment(record, status),
            status_raw,
            sale_amount: record.money(VALUE)?,
            commission_amount: record.money(COMMISSION)?,
            ..row
        };
        out.push(record, &row);
        return Ok(());
    }
    for (number, item) in items.into_iter().enumerate() {
        item_row(record, id, number, item, &row, out)?;
    }
    Ok(())
}

/// What all items of a conversion have.
fn conversion(record: Record<'_>) -> Result<Transaction<'_>, String> {
    let utc = |input| record.time_by(input, |text| Time::iso(text).map(Time::in_utc));
    let currency = record.filled(CURRENCY);
    Ok(Transaction {
        group_key: record.filled(ID),
        order_id: record.filled(REFERENCE),
        advertiser_id: record.filled(CAMPAIGN),
        advertiser_name: record.filled(CAMPAIGN_TITLE),
        clicked_at: utc(CLICK_TIME)?,
        transacted_at: utc(TIME)?,
        modified_at: utc(MODIFIED)?,
        sale_currency: currency,
        commission_currency: currency,
        payment_status_raw: record.filled(PAYMENT_STATUS),
        click_id: record.filled(CLICK_ID),
        device: record.filled(DEVICE),
        customer_country: record.filled(COUNTRY),
        customer_is_new: record.filled(CUSTOMER_TYPE).map(|word| word.eq_ignore_ascii_case("new")),
        ..Transaction::default()
    })
}

/// `paid` where the payment says so; else what the status says.
fn payment(record: Record, status: Status) -> PaymentStatus {
    match record.filled(PAYMENT_STATUS) {
        Some(word) if word.eq_ignore_ascii_case("paid") => PaymentStatus::Paid,
        _ => status.payment,
    }
}

fn item_row(
    record: Record,
    conversion: &str,
    number: usize,
    item: Nested,
    row: &Transaction,
    out: &mut Output,
) -> Result<(), String> {
    let money = |name: &str| match item.filled(name) {
        Some(text) => {
            Money::parse(&text).map(Some).ok_or_else(|| format!("`{name}` of an item: `{text}` is no amount"))
        }
        None => Ok(None),
    };
    let time = |name: &str| {
        let Some(text) = item.filled(name) else { return Ok(None) };
        let time = Time::iso(&text);
        if Time::stands_for_none(&text, time) {
            return Ok(None);
        }
        let time = time.ok_or_else(|| format!("`{name}` of an item: `{text}` is no time"))?;
        Ok::<_, String>(Some(time.in_utc()))
    };
    // Without an id of its own an item is known by its place.
    let item_id = item.filled("conversion_item_id").map_or_else(|| (number + 1).to_string(), |id| id.into_owned());
    let transaction_id = format!("{conversion}-{item_id}");
    let own_status = item.filled("item_status");
    let status_raw = own_status.as_deref().or_else(|| record.filled(STATUS));
    let status = out.status(STATUSES, status_raw);
    let (commission, reason) = (money("item_publisher_commission")?, item.filled("reject_reason"));
    let (bill, sku) = (item.filled("publisher_self_bill_id"), item.filled("sku"));
    let voucher = item.at("voucher_codes").and_then(|codes| codes.items().first().copied());
    let voucher = voucher.and_then(|code| code.filled("voucher_code").or_else(|| code.filled("")));
    let row = Transaction {
        transaction_id: &transaction_id,
        id_basis: IdBasis::Composed,
        validation_status: status.validation,
        payment_status: payment(record, status),
        status_raw,
        reason_raw: reason.as_deref(),
        sku: sku.as_deref(),
        validated_at: time("approved_at")?.filter(|_| status.validation == ValidationStatus::Approved),
        sale_amount: money("item_value")?,
        commission_amount: commission,
        payment_id: bill.as_deref(),
        voucher_code: voucher.as_deref(),
        sub_ids: &[("publisher_reference", record.text(PUBLISHER_REFERENCE)), ("clickref", record.text(CLICKREF))],
        ..*row
    };
    out.push(record, &row);
    push_item(record, (item, &item_id), &row, out);
    Ok(())
}

/// What was bought, beside the row that it is. It can't fail: the row is given already, and the conversion's other rows follow.
fn push_item(record: Record, (item, number): (Nested, &str), row: &Transaction, out: &mut Output) {
    // Such a row was rejected.
    if row.transacted_at.is_none() {
        return;
    }
    let category = item.filled("category");
    // The native table has a quantity that is no number as it came.
    let quantity = item.filled("quantity").and_then(|text| Money::parse(&text));
    let item = Item {
        item_id: row.transaction_id,
        transaction_id: row.transaction_id,
        item_number: Some(number),
        order_id: row.order_id,
        sku: row.sku,
        category: category.as_deref(),
        advertiser_id: row.advertiser_id,
        transacted_at: row.transacted_at,
        validation_status: row.validation_status,
        status_raw: row.status_raw,
        reason_raw: row.reason_raw,
        quantity,
        sale_amount: row.sale_amount,
        sale_currency: row.sale_currency,
        commission_amount: row.commission_amount,
        commission_currency: row.commission_currency,
        ..Item::default()
    };
    out.push_item(record, &item);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// The rows of a conversion with these fields.
    fn mapped(fields: &[(usize, &str)]) -> Transactions {
        let inputs = 19;
        let fields = [fields, &[(ID, "1l2"), (TIME, "2026-01-05 10:00:00"), (STATUS, "mixed")]].concat();
        let rows = Output::of_one_answer(inputs, &fields, &[], map);
        rows.transactions.expect("rows")
    }

    #[test]
    fn each_item_is_a_row_with_its_own_status() {
        let items = r#"[{"conversion_item_id":"7","item_status":"approved","item_value":10,"item_publisher_commission":1.5},
            {"conversion_item_id":"8","item_status":"rejected","item_value":"4.00","item_publisher_commission":"0.6",
             "reject_reason":"returned"}]"#;
        let rows = mapped(&[(ITEMS, items)]);
        assert_eq!(rows.transaction_id.bytes, b"1l2-71l2-8");
        let (approved, declined) = (ValidationStatus::Approved as u8, ValidationStatus::Declined as u8);
        assert_eq!(rows.validation_status.values, [approved, declined]);
        assert_eq!(rows.commission_amount.unwrap().values, [1_500_000, 600_000]);
        assert_eq!(rows.group_key.unwrap().bytes, b"1l21l2");
    }

    #[test]
    fn a_quantity_that_is_no_number_costs_no_row() {
        let items = r#"[{"conversion_item_id":"7","item_publisher_commission":6,"quantity":"1 pc"},
            {"conversion_item_id":"8","item_publisher_commission":"6.00","quantity":2}]"#;
        let fields = [(ID, "1l2"), (TIME, "2026-01-05 10:00:00"), (STATUS, "pending"), (ITEMS, items)];
        let mapped = Output::of_one_answer(19, &fields, &[], map);
        assert!(mapped.rejects.is_empty());
        let rows = mapped.transactions.expect("rows");
        assert_eq!(rows.commission_amount.unwrap().values, [6_000_000, 6_000_000]);
        assert_eq!(mapped.facts[0].records, [0, 0], "an item of each");
    }

    #[test]
    fn a_conversion_without_items_is_one_row() {
        let rows = mapped(&[(VALUE, "12"), (COMMISSION, "1.2"), (PAYMENT_STATUS, "paid")]);
        assert_eq!(rows.transaction_id.bytes, b"1l2");
        assert_eq!(rows.validation_status.values, [ValidationStatus::Pending as u8]);
        assert_eq!(rows.payment_status.values, [PaymentStatus::Paid as u8]);
    }
}
