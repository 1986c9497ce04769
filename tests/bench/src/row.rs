//! An Awin transaction as a native pipeline reads it: typed, borrowed where it can be, and written column by column.
//!
//! Amounts are floats, which is the cheapest that a pipeline can do and the wrong thing for money: the yardstick
//! shall err on the fast side.

mod versions;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use chrono::NaiveDateTime;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

pub(crate) use versions::{Origin, versions};

/// A text that is borrowed from the body unless it has escapes; serde's own `Option<Cow>` always copies.
#[derive(Serialize)]
pub(crate) struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Read)
    }
}

type Optional<'a> = Option<Text<'a>>;

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Amount<'a> {
    amount: Option<f64>,
    currency: Optional<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct ClickRefs<'a> {
    click_ref: Optional<'a>,
    click_ref2: Optional<'a>,
    click_ref3: Optional<'a>,
    click_ref4: Optional<'a>,
    click_ref5: Optional<'a>,
    click_ref6: Optional<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Parameter<'a> {
    key: Optional<'a>,
    value: Optional<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Tracked<'a> {
    code: Optional<'a>,
    amount: Option<f64>,
    currency: Optional<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct RowGroup<'a> {
    commission_group_id: Option<i64>,
    amount: Option<f64>,
    commission_amount: Option<f64>,
    advertiser_cost: Option<f64>,
    commission_group_code: Optional<'a>,
    commission_group_name: Optional<'a>,
    tracked_parts: Option<Vec<Tracked<'a>>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Product<'a> {
    product_id: Optional<'a>,
    product_name: Optional<'a>,
    quantity: Option<i64>,
    unit_price: Option<f64>,
}

/// One transaction with every documented field.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(crate) struct Row<'a> {
    id: i64,
    url: Optional<'a>,
    advertiser_id: Option<i64>,
    publisher_id: Option<i64>,
    commission_sharing_publisher_id: Option<i64>,
    commission_sharing_selected_rate_publisher_id: Option<i64>,
    site_name: Optional<'a>,
    publisher_url: Optional<'a>,
    campaign: Optional<'a>,
    commission_status: Optional<'a>,
    commission_amount: Option<Amount<'a>>,
    sale_amount: Option<Amount<'a>>,
    ip_hash: Optional<'a>,
    customer_country: Optional<'a>,
    click_refs: Option<ClickRefs<'a>>,
    click_date: Optional<'a>,
    transaction_date: Optional<'a>,
    validation_date: Optional<'a>,
    r#type: Optional<'a>,
    decline_reason: Optional<'a>,
    voucher_code_used: Option<bool>,
    voucher_code: Optional<'a>,
    lapse_time: Option<i64>,
    amended: Option<bool>,
    amend_reason: Optional<'a>,
    old_sale_amount: Option<Amount<'a>>,
    old_commission_amount: Option<Amount<'a>>,
    click_device: Optional<'a>,
    transaction_device: Optional<'a>,
    customer_acquisition: Optional<'a>,
    advertiser_country: Optional<'a>,
    order_ref: Optional<'a>,
    custom_parameters: Option<Vec<Parameter<'a>>>,
    transaction_parts: Option<Vec<RowGroup<'a>>>,
    paid_to_publisher: Option<bool>,
    payment_id: Option<i64>,
    transaction_query_id: Option<i64>,
    tracked_currency_amount: Option<Amount<'a>>,
    original_sale_amount: Option<Amount<'a>>,
    advertiser_cost: Option<Amount<'a>>,
    network_fee: Option<Amount<'a>>,
    basket_products: Option<Vec<Product<'a>>>,
}

/// Rows as columns.
pub(crate) fn batch(rows: &[Row<'_>]) -> anyhow::Result<RecordBatch> {
    let of = Columns(rows);
    let mut columns = of.scalars();
    columns.extend(of.click_refs());
    columns.extend(of.amounts("commissionAmount", |row| &row.commission_amount));
    columns.extend(of.amounts("saleAmount", |row| &row.sale_amount));
    columns.extend(of.amounts("oldSaleAmount", |row| &row.old_sale_amount));
    columns.extend(of.amounts("oldCommissionAmount", |row| &row.old_commission_amount));
    columns.extend(of.amounts("trackedCurrencyAmount", |row| &row.tracked_currency_amount));
    columns.extend(of.amounts("originalSaleAmount", |row| &row.original_sale_amount));
    columns.extend(of.amounts("advertiserCost", |row| &row.advertiser_cost));
    columns.extend(of.amounts("networkFee", |row| &row.network_fee));
    columns.push(of.json("customParameters", |row| &row.custom_parameters));
    columns.push(of.json("transactionParts", |row| &row.transaction_parts));
    columns.push(of.json("basketProducts", |row| &row.basket_products));
    let nullable = columns.into_iter().map(|(name, array)| (name, array, true));
    Ok(RecordBatch::try_from_iter_with_nullable(nullable)?)
}

struct Columns<'r, 'a>(&'r [Row<'a>]);

type Column = (String, ArrayRef);

impl<'r, 'a> Columns<'r, 'a> {
    fn scalars(&self) -> Vec<Column> {
        vec![
            self.integer("id", |row| Some(row.id)),
            self.text("url", |row| row.url.as_ref()),
            self.integer("advertiserId", |row| row.advertiser_id),
            self.integer("publisherId", |row| row.publisher_id),
            self.integer("commissionSharingPublisherId", |row| row.commission_sharing_publisher_id),
            self.integer("commissionSharingSelectedRatePublisherId", |row| {
                row.commission_sharing_selected_rate_publisher_id
            }),
            self.text("siteName", |row| row.site_name.as_ref()),
            self.text("publisherUrl", |row| row.publisher_url.as_ref()),
            self.text("campaign", |row| row.campaign.as_ref()),
            self.text("commissionStatus", |row| row.commission_status.as_ref()),
            self.text("ipHash", |row| row.ip_hash.as_ref()),
            self.text("customerCountry", |row| row.customer_country.as_ref()),
            self.time("clickDate", |row| row.click_date.as_ref()),
            self.time("transactionDate", |row| row.transaction_date.as_ref()),
            self.time("validationDate", |row| row.validation_date.as_ref()),
            self.text("type", |row| row.r#type.as_ref()),
            self.text("declineReason", |row| row.decline_reason.as_ref()),
            self.flag("voucherCodeUsed", |row| row.voucher_code_used),
            self.text("voucherCode", |row| row.voucher_code.as_ref()),
            self.integer("lapseTime", |row| row.lapse_time),
            self.flag("amended", |row| row.amended),
            self.text("amendReason", |row| row.amend_reason.as_ref()),
            self.text("clickDevice", |row| row.click_device.as_ref()),
            self.text("transactionDevice", |row| row.transaction_device.as_ref()),
            self.text("customerAcquisition", |row| row.customer_acquisition.as_ref()),
            self.text("advertiserCountry", |row| row.advertiser_country.as_ref()),
            self.text("orderRef", |row| row.order_ref.as_ref()),
            self.flag("paidToPublisher", |row| row.paid_to_publisher),
            self.integer("paymentId", |row| row.payment_id),
            self.integer("transactionQueryId", |row| row.transaction_query_id),
        ]
    }

    fn click_refs(&self) -> Vec<Column> {
        let column = |name: &str, of: fn(&'r ClickRefs<'a>) -> &'r Optional<'a>| {
            self.text(name, move |row| row.click_refs.as_ref().and_then(|refs| of(refs).as_ref()))
        };
        vec![
            column("clickRef", |refs| &refs.click_ref),
            column("clickRef2", |refs| &refs.click_ref2),
            column("clickRef3", |refs| &refs.click_ref3),
            column("clickRef4", |refs| &refs.click_ref4),
            column("clickRef5", |refs| &refs.click_ref5),
            column("clickRef6", |refs| &refs.click_ref6),
        ]
    }

    fn amounts(&self, name: &str, of: fn(&'r Row<'a>) -> &'r Option<Amount<'a>>) -> [Column; 2] {
        let values = Float64Array::from_iter(self.0.iter().map(|row| of(row).as_ref().and_then(|it| it.amount)));
        let currency = format!("{name}.currency");
        let currency = self.text(&currency, |row| of(row).as_ref().and_then(|it| it.currency.as_ref()));
        [(format!("{name}.amount"), Arc::new(values)), currency]
    }

    fn text(&self, name: &str, of: impl Fn(&'r Row<'a>) -> Option<&'r Text<'a>>) -> Column {
        let values = self.0.iter().map(|row| of(row).map(|text| text.0.as_ref()));
        (name.to_owned(), Arc::new(StringArray::from_iter(values)))
    }

    fn integer(&self, name: &str, of: impl Fn(&Row<'a>) -> Option<i64>) -> Column {
        (name.to_owned(), Arc::new(Int64Array::from_iter(self.0.iter().map(of))))
    }

    fn flag(&self, name: &str, of: impl Fn(&Row<'a>) -> Option<bool>) -> Column {
        (name.to_owned(), Arc::new(BooleanArray::from_iter(self.0.iter().map(of))))
    }

    fn time(&self, name: &str, of: impl Fn(&'r Row<'a>) -> Option<&'r Text<'a>>) -> Column {
        let micros = |text: &Text<'_>| Some(text.0.parse::<NaiveDateTime>().ok()?.and_utc().timestamp_micros());
        let values = self.0.iter().map(|row| of(row).and_then(micros));
        (name.to_owned(), Arc::new(TimestampMicrosecondArray::from_iter(values).with_timezone("UTC")))
    }

    /// Lists, as JSON text.
    fn json<T: Serialize + 'r>(&self, name: &str, of: impl Fn(&'r Row<'a>) -> &'r Option<Vec<T>>) -> Column {
        let text = |list: &Vec<T>| serde_json::to_string(list).ok();
        let values = self.0.iter().map(|row| of(row).as_ref().and_then(text));
        (name.to_owned(), Arc::new(StringArray::from_iter(values)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_row_becomes_columns() {
        let body = r#"[{"id": 5, "url": "a\"b", "saleAmount": {"amount": 1.5, "currency": "EUR"}, "clickRefs": null,
            "transactionDate": "2026-01-02T03:04:05", "amended": true, "customParameters": [{"key": "a", "value": null}]}]"#;
        let rows: Vec<Row<'_>> = serde_json::from_str(body).unwrap();
        let batch = batch(&rows).unwrap();
        let text = |name: &str| {
            let column = batch.column_by_name(name).unwrap();
            arrow::util::display::array_value_to_string(column, 0).unwrap()
        };
        assert_eq!(batch.num_columns(), 55);
        assert_eq!(text("url"), "a\"b");
        assert_eq!(text("saleAmount.amount"), "1.5");
        assert_eq!(text("transactionDate"), "2026-01-02T03:04:05Z");
        assert_eq!(text("customParameters"), r#"[{"key":"a","value":null}]"#);
    }
}
