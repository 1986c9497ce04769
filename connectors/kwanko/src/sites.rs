//! A conversion's sites: each earns a commission of its own, so each is a row.

use sluice_connector::*;

use crate::STATUSES;
use crate::inputs_of_transactions::*;

/// The rows of a conversion: one for each site, tied by the conversion. The sale's value stands on the first.
pub(crate) fn map(_: &Slice, _: &Response, record: Record, out: &mut Output) -> Result<(), String> {
    // `kwanko_id` repeats across campaigns.
    let conversion = format!("{}-{}", record.required(CAMPAIGN)?, record.required(ID)?);
    let status_raw = record.filled(STATE);
    let status = out.status(STATUSES, status_raw);
    let transacted_at = match record.time_by(COMPLETED, Time::unix)? {
        Some(time) => Some(time),
        None => record.iso_time(COMPLETED_ISO)?,
    };
    let row = Transaction {
        group_key: Some(&conversion),
        order_id: record.filled(ORDER),
        kind: kind_in(record.filled(KIND).unwrap_or_default()),
        advertiser_id: record.filled(CAMPAIGN),
        advertiser_name: record.filled(CAMPAIGN_NAME),
        transacted_at,
        validation_status: status.validation,
        payment_status: status.payment,
        status_raw,
        id_basis: IdBasis::Composed,
        sale_currency: record.filled(SALE_CURRENCY),
        ..Transaction::default()
    };
    let sale = record.money(SALE)?;
    let sites = record.nested(SITES).items();
    if sites.is_empty() {
        out.push(record, &Transaction { transaction_id: &conversion, sale_amount: sale, ..row });
    }
    for (number, site) in sites.into_iter().enumerate() {
        let sale = sale.filter(|_| number == 0);
        site_row(record, &conversion, site, &Transaction { sale_amount: sale, ..row }, out)?;
    }
    Ok(())
}

fn site_row(record: Record, conversion: &str, site: Nested, row: &Transaction, out: &mut Output) -> Result<(), String> {
    let id = site.filled("id").ok_or("a site has no `id`")?;
    let transaction_id = format!("{conversion}-{id}");
    // `spending`, which one client reads, is the advertiser's cost.
    let commission = match site.filled("earnings.value") {
        Some(text) => Some(Money::parse(&text).ok_or_else(|| format!("`earnings.value`: `{text}` is no amount"))?),
        None => None,
    };
    let (name, currency) = (site.filled("name"), site.filled("earnings.currency"));
    let arguments = site.at("argsites").map(Nested::members).unwrap_or_default();
    let texts: Vec<_> = arguments.iter().map(|(name, value)| (*name, value.text(""))).collect();
    let sub_ids: Vec<(&str, Option<&str>)> = texts.iter().map(|(name, text)| (*name, text.as_deref())).collect();
    let row = Transaction {
        transaction_id: &transaction_id,
        site_id: Some(&id),
        site_name: name.as_deref(),
        commission_amount: commission,
        commission_currency: currency.as_deref(),
        sub_ids: &sub_ids,
        ..*row
    };
    out.push(record, &row);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn mapped(sites: &str) -> Mapped {
        let fields = [
            (ID, "7"),
            (CAMPAIGN, "500"),
            (COMPLETED, "1775037600"),
            (STATE, "approved"),
            (SALE, "120.0"),
            (SALE_CURRENCY, "EUR"),
            (SITES, sites),
        ];
        Output::of_one_answer(11, &fields, &[], map)
    }

    #[test]
    fn each_site_is_a_row_and_the_sale_counts_once() {
        let sites = r#"[{"id":1,"name":"Blog","earnings":{"value":6.0,"currency":"EUR"},"argsites":{"argsite":"a"}},
            {"id":2,"earnings":{"value":"1.5","currency":"EUR"},"spending":{"value":"9"}}]"#;
        let rows = mapped(sites).transactions.expect("rows");
        assert_eq!(rows.transaction_id.bytes, b"500-7-1500-7-2");
        assert_eq!(rows.commission_amount.unwrap().values, [6_000_000, 1_500_000]);
        let sale = rows.sale_amount.expect("the sale");
        assert_eq!((sale.values[0], sale.valid[0] & 0b11), (120_000_000, 0b01));
    }

    #[test]
    fn a_conversion_without_sites_is_kept_without_commission() {
        let rows = mapped("[]").transactions.expect("a row");
        assert_eq!(rows.transaction_id.bytes, b"500-7");
        assert!(rows.commission_amount.is_none());
    }
}
