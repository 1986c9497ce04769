//! A transaction's parts: each is a commission of its own, so each is a row.

use sluice_connector::*;

use crate::STATUSES;
use crate::inputs_of_transactions::*;

/// The rows of a transaction: one for each part, tied by the transaction.
pub(crate) fn map(slice: &Slice, _: &Response, record: Record, out: &mut Output) -> Result<(), String> {
    let id = record.required(ID)?;
    let parts = record.nested(PARTS).items();
    if parts.is_empty() {
        return Err("it has no parts".into());
    }
    let default = slice.setting("currency").map(str::trim).filter(|code| !code.is_empty());
    parts.into_iter().try_for_each(|part| part_row(record, id, part, default, out))
}

fn part_row(record: Record, id: &str, part: Nested, default: Option<&str>, out: &mut Output) -> Result<(), String> {
    let money = |name: &str| match part.filled(name) {
        Some(text) => Money::parse(&text).map(Some).ok_or_else(|| format!("`{name}` of a part: `{text}` is no amount")),
        None => Ok(None),
    };
    let time = |name: &str| {
        let Some(text) = part.filled(name) else { return Ok(None) };
        let time = Time::iso(&text);
        if Time::stands_for_none(&text, time) {
            return Ok(None);
        }
        time.map(Some).ok_or_else(|| format!("`{name}` of a part: `{text}` is no time"))
    };
    let part_id = part.filled("id").ok_or("a part has no `id`")?;
    let transaction_id = format!("{id}-{part_id}");
    let status_raw = part.filled("status");
    let status = out.status(STATUSES, status_raw.as_deref());
    let (stated, order, media, media_name, reason) = (
        part.filled("currency_code"),
        part.filled("referencenumber"),
        part.filled("media_id"),
        part.filled("media_name"),
        part.filled("disapproved_reason"),
    );
    let sub_ids = ["subid", "subid_2", "subid_3"].map(|name| (name, part.filled(name)));
    let sub_ids = sub_ids.each_ref().map(|(name, value)| (*name, value.as_deref()));
    let currency = stated.as_deref().or(default);
    // It is called a date of approval; other decisions have none.
    let approved_at = time("approval_date")?.filter(|_| status.validation == ValidationStatus::Approved);
    let row = Transaction {
        transaction_id: &transaction_id,
        id_basis: IdBasis::Composed,
        group_key: Some(id),
        order_id: order.as_deref(),
        advertiser_id: record.filled(PROGRAM),
        advertiser_name: record.filled(PROGRAM_NAME),
        site_id: media.as_deref(),
        site_name: media_name.as_deref(),
        clicked_at: time("date_click")?,
        transacted_at: match time("date")? {
            Some(date) => Some(date),
            None => record.iso_time(DATE)?,
        },
        modified_at: time("last_modified")?,
        validated_at: approved_at,
        validation_status: status.validation,
        payment_status: status.payment,
        status_raw: status_raw.as_deref(),
        reason_raw: reason.as_deref(),
        sale_amount: money("revenue")?,
        sale_currency: currency,
        commission_amount: money("commission")?,
        commission_currency: currency,
        device: record.filled(DEVICE),
        sub_ids: &sub_ids,
        ..Transaction::default()
    };
    out.push(record, &row);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn mapped(currency: &str, parts: &str) -> Mapped {
        let fields = [(ID, "ABC"), (DATE, "2026-01-05 10:00:00"), (PARTS, parts)];
        Output::of_one_answer(6, &fields, &[("currency", currency)], map)
    }

    #[test]
    fn each_part_is_a_row_with_the_transaction_as_its_group() {
        let parts = r#"[{"id":"1","status":"approved","commission":1.5,"revenue":"10","date":"2026-01-05 09:00:00"},
            {"id":2,"status":"disapproved","commission":2,"disapproved_reason":"returned"}]"#;
        let rows = mapped("EUR", parts).transactions.expect("rows");
        assert_eq!(rows.transaction_id.bytes, b"ABC-1ABC-2");
        assert_eq!(rows.commission_amount.unwrap().values, [1_500_000, 2_000_000]);
        assert_eq!(rows.commission_currency.unwrap().bytes, b"EUREUR");
        let hour = 3_600 * SECOND_MICROS;
        assert_eq!(rows.transacted_at.values[1] - rows.transacted_at.values[0], hour, "the transaction's own date");
    }

    #[test]
    fn a_currency_that_nobody_states_is_none() {
        let rows =
            mapped("", r#"{"id":1,"status":"open","commission":1}"#).transactions.expect("one object is one part");
        assert!(rows.commission_currency.is_none());
        let rows = mapped("EUR", r#"[{"id":1,"commission":1,"currency_code":"GBP"}]"#).transactions.expect("rows");
        assert_eq!(rows.commission_currency.unwrap().bytes, b"GBP");
    }

    #[test]
    fn a_transaction_without_parts_is_rejected() {
        for parts in ["[]", "null", r#"[{"commission":1}]"#] {
            assert_eq!(mapped("EUR", parts).rejects.len(), 1, "{parts}");
        }
    }
}
