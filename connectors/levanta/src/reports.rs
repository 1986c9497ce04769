//! Daily rows: each is known by all that Levanta groups by, some of which it may leave out.

use sluice_connector::*;

use crate::inputs_of_reports::*;

/// The sums of a day, brand, product and source.
pub(crate) fn map(_: &Slice, _: &Response, record: Record, out: &mut Output) -> Result<(), String> {
    let (date, brand) = (record.required(DATE)?, record.required(BRAND)?);
    let groups = [PRODUCT, SOURCE, AD_GROUP].map(|input| record.filled(input));
    let [product, source, ad_group] = groups.map(Option::unwrap_or_default);
    let aggregate_id = [date, brand, product, source, ad_group].join("/");
    let grouped_by = groups.into_iter().flatten().collect::<Vec<_>>().join(" / ");
    let row = Aggregate {
        aggregate_id: &aggregate_id,
        day: record.iso_time(DATE)?,
        advertiser_id: Some(brand),
        advertiser_name: record.filled(BRAND_NAME),
        grouped_by: Some(grouped_by.as_str()).filter(|text| !text.is_empty()),
        clicks: record.count(CLICKS)?,
        sales: record.count(ORDERS)?,
        sale_amount: record.money(SALES)?,
        commission_amount: record.money(COMMISSIONS)?,
        currency: record.filled(CURRENCY),
        ..Aggregate::default()
    };
    out.push_aggregate(record, &row);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_known_by_all_that_it_is_grouped_by() {
        let ids = |fields: &[(usize, &str)]| {
            let fields = [fields, &[(DATE, "2026-01-05"), (BRAND, "1001"), (CLICKS, "12")]].concat();
            let mapped = Output::of_one_answer(11, &fields, &[], map);
            let columns = mapped.facts.into_iter().flat_map(|batch| batch.columns);
            columns.map(|column| column.name).collect::<Vec<_>>()
        };
        assert_eq!(ids(&[]), ["aggregate_id", "day", "advertiser_id", "clicks"]);
        assert_eq!(ids(&[(SOURCE, "blog")]), ["aggregate_id", "day", "advertiser_id", "grouped_by", "clicks"]);
        assert!(ids(&[(ORDERS, "1.5")]).is_empty(), "half an order is a reject");
    }
}
