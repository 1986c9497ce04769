//! An order: one row, whose commission is the sum over its items.

use sluice_connector::*;

use crate::STATUSES;
use crate::inputs_of_transactions::*;

/// An empty answer can be the text `null`. A body without a byte may have lost all of them: only a 204 has none.
pub(crate) fn follow(_: &Slice, _: &Request, response: &Response) -> Option<Judgement> {
    let is_broken = response.status == 200 && response.problem.is_some();
    let is_empty = is_broken && response.head(16).trim_ascii() == b"null";
    is_empty.then(done)
}

/// Refunds are rows with the same receipt and another type, so the id is put together of receipt, type and time.
pub(crate) fn map(_: &Slice, _: &Response, record: Record, out: &mut Output) -> Result<(), String> {
    let (receipt, kind, time) = (record.required(RECEIPT)?, record.required(KIND)?, record.required(TIME)?);
    let transaction_id = format!("{receipt}-{kind}-{time}");
    let status = out.status(STATUSES, Some(kind));
    let (sale, commission) = (record.money(AMOUNT)?, commission(record)?);
    let currency = record.filled(CURRENCY);
    let row = Transaction {
        transaction_id: &transaction_id,
        id_basis: IdBasis::Composed,
        group_key: Some(receipt),
        order_id: Some(receipt),
        kind: kind_of(kind, commission),
        advertiser_id: record.filled(VENDOR),
        clicked_at: record.iso_time(CLICKED)?,
        transacted_at: record.iso_time(TIME)?,
        validation_status: status.validation,
        payment_status: status.payment,
        status_raw: Some(kind),
        sale_amount: sale,
        sale_currency: currency,
        commission_amount: commission,
        commission_currency: currency,
        click_id: record.filled(CLICK_ID),
        device: record.filled(DEVICE),
        customer_country: record.filled(COUNTRY),
        sub_ids: &[
            ("trackingId", record.text(TRACKING)),
            ("affSub1", record.text(SUB1)),
            ("affSub2", record.text(SUB2)),
            ("affSub3", record.text(SUB3)),
            ("affSub4", record.text(SUB4)),
            ("affSub5", record.text(SUB5)),
        ],
        ..Transaction::default()
    };
    out.push(record, &row);
    Ok(())
}

/// What all items credit to the account. One item may come as an object, and null as `{"@nil":"true"}`.
fn commission(record: Record) -> Result<Option<Money>, String> {
    let mut sum = record.money(ONLY_AMOUNT)?;
    for item in record.nested(ITEMS).items() {
        let Some(text) = item.filled("accountAmount").filter(|text| !text.starts_with('{')) else { continue };
        let amount = Money::parse(&text).ok_or_else(|| format!("`accountAmount` of an item: `{text}` is no amount"))?;
        sum = Some(match sum {
            Some(sum) => amount.plus(sum).ok_or("the items' sum is no amount")?,
            None => amount,
        });
    }
    Ok(sum)
}

fn kind_of(word: &str, commission: Option<Money>) -> TransactionKind {
    let takes = commission.is_some_and(|amount| amount.micros() < 0);
    match word {
        "RFND" | "CGBK" | "FEE" => TransactionKind::Adjustment,
        _ if word.starts_with("TEST") => TransactionKind::Event,
        _ if takes => TransactionKind::Adjustment,
        _ => TransactionKind::Sale,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn mapped(kind: &str, items: &str) -> Mapped {
        // One item as an object is what the host makes columns of.
        let place = if items.starts_with('[') { ITEMS } else { ONLY_AMOUNT };
        let fields = [(RECEIPT, "R1"), (TIME, "2026-01-05T10:00:00-08:00"), (KIND, kind), (place, items)];
        Output::of_one_answer(18, &fields, &[], map)
    }

    #[test]
    fn the_commission_is_the_sum_over_the_items() {
        for (items, micros) in [
            (r#"[{"accountAmount":"10.25"},{"accountAmount":"1.50"}]"#, Some(11_750_000)),
            (r#"[{"accountAmount":{"@nil":"true"}}]"#, None),
            ("10.25", Some(10_250_000)),
            ("", None),
        ] {
            let rows = mapped("SALE", items).transactions.expect("a row");
            assert_eq!(rows.commission_amount.map(|column| column.values[0]), micros, "{items}");
        }
        assert_eq!(mapped("SALE", r#"[{"accountAmount":"ten"}]"#).rejects.len(), 1);
    }

    #[test]
    fn a_refund_is_an_adjustment_of_its_own_and_a_test_is_no_money() {
        let refund = mapped("RFND", r#"[{"accountAmount":"-10.25"}]"#).transactions.expect("a row");
        assert_eq!(refund.transaction_id.bytes, b"R1-RFND-2026-01-05T10:00:00-08:00");
        assert_eq!(refund.kind.values, [TransactionKind::Adjustment as u8]);
        assert_eq!(refund.validation_status.values, [ValidationStatus::Approved as u8]);
        let test = mapped("TEST_SALE", r#"[{"accountAmount":"10"}]"#).transactions.expect("a row");
        assert_eq!(test.validation_status.values, [ValidationStatus::Declined as u8]);
    }

    #[test]
    fn null_is_an_empty_answer() {
        let look_up = |_: &str| None;
        let judged = |body: &'static [u8], problem| {
            let mut response = Response::new(200, &[], None, Body::Bytes(body, &look_up));
            response.problem = problem;
            let request = get("x", text("https://x.example/"));
            let slice = Slice {
                stream: "transactions".into(),
                account: "main".into(),
                settings: vec![],
                window: Window { since: 0, until: 0, local_since: 0, local_until: 0 },
                axis: "transaction".into(),
                cursor: None,
            };
            follow(&slice, &request, &response).is_some()
        };
        assert!(judged(b"null\n", Some("nothing there")));
        assert!(!judged(b"", Some("empty")) && !judged(b"{}", Some("nothing there")));
        assert!(!judged(b"<html>", Some("HTML")) && !judged(b"null", None));
    }
}
