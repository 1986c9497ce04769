//! The same transactions as versions of the unified table: what `unified.transaction_versions` holds of a first read.

use std::sync::Arc;

use anyhow::Context;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Int32Array, Int64Array, MapBuilder,
    MapFieldNames, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray, new_null_array,
};
use chrono::NaiveDateTime;
use sluice_model::unified::transaction_versions_schema;
use twox_hash::XxHash3_128;

use super::{Amount, ClickRefs, Optional, Row};

/// Where rows come from.
pub(crate) struct Origin {
    /// The account's name.
    pub(crate) account: String,
    /// The request, as 32 hexadecimal digits.
    pub(crate) request: String,
    /// The digest of the body, hexadecimal.
    pub(crate) body: String,
    /// When the response was received, microseconds since 1970.
    pub(crate) observed_at: i64,
}

/// The first version of each row, in the columns of `unified.transaction_versions`.
pub(crate) fn versions(rows: &[Row<'_>], origin: &Origin) -> anyhow::Result<RecordBatch> {
    let schema = transaction_versions_schema();
    let made: Vec<Made> = rows.iter().map(Made::of).collect();
    let of = Versions { rows, made: &made, origin };
    let columns = schema.fields().iter().map(|field| {
        let column = of.column(field.name());
        column.unwrap_or_else(|| new_null_array(field.data_type(), rows.len()))
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).context("no versions")
}

/// What is computed of a row.
struct Made {
    key: String,
    content: [u8; 16],
    transacted_at: i64,
    validation: &'static str,
    payment: &'static str,
}

impl Made {
    fn of(row: &Row<'_>) -> Self {
        let validation = match text(&row.commission_status).unwrap_or_default() {
            "approved" => "approved",
            "declined" | "deleted" => "declined",
            _ => "pending",
        };
        let payment = match row.paid_to_publisher {
            Some(true) => "paid",
            _ => "unpaid",
        };
        let key = format!("{:032x}", XxHash3_128::oneshot(format!("awin\0a\0transactions\0{}", row.id).as_bytes()));
        let transacted_at = micros(&row.transaction_date).unwrap_or_default();
        Self { key, content: content(row), transacted_at, validation, payment }
    }
}

/// A hash of the cells that the unified table has of a row.
fn content(row: &Row<'_>) -> [u8; 16] {
    let mut cells = Vec::with_capacity(512);
    let texts = [
        &row.commission_status,
        &row.r#type,
        &row.decline_reason,
        &row.amend_reason,
        &row.order_ref,
        &row.site_name,
        &row.transaction_date,
        &row.click_date,
        &row.validation_date,
        &row.voucher_code,
        &row.transaction_device,
        &row.customer_country,
        &row.customer_acquisition,
    ];
    let refs = row.click_refs.iter().flat_map(references);
    for (place, cell) in (0_u8..).zip(texts.into_iter().chain(refs)) {
        if let Some(cell) = text(cell) {
            cells.push(place);
            cells.extend_from_slice(&cell.len().to_le_bytes());
            cells.extend_from_slice(cell.as_bytes());
        }
    }
    for amount in [&row.sale_amount, &row.commission_amount, &row.old_sale_amount, &row.old_commission_amount] {
        cells.extend(millionths(amount).unwrap_or(i128::MIN).to_le_bytes());
        cells.extend_from_slice(currency(amount).unwrap_or_default().as_bytes());
    }
    cells.extend(row.advertiser_id.unwrap_or_default().to_le_bytes());
    cells.extend(row.payment_id.unwrap_or_default().to_le_bytes());
    XxHash3_128::oneshot(&cells).to_be_bytes()
}

fn text<'r>(of: &'r Optional<'_>) -> Option<&'r str> {
    of.as_ref().map(|text| text.0.as_ref())
}

fn micros(of: &Optional<'_>) -> Option<i64> {
    Some(text(of)?.parse::<NaiveDateTime>().ok()?.and_utc().timestamp_micros())
}

fn millionths(of: &Option<Amount<'_>>) -> Option<i128> {
    of.as_ref().and_then(|amount| amount.amount).map(|amount| (amount * 1e6).round() as i128)
}

fn currency<'r>(of: &'r Option<Amount<'_>>) -> Option<&'r str> {
    of.as_ref().and_then(|amount| text(&amount.currency))
}

fn references<'r, 'a>(refs: &'r ClickRefs<'a>) -> [&'r Optional<'a>; 6] {
    let ClickRefs { click_ref, click_ref2, click_ref3, click_ref4, click_ref5, click_ref6 } = refs;
    [click_ref, click_ref2, click_ref3, click_ref4, click_ref5, click_ref6]
}

struct Versions<'r, 'a> {
    rows: &'r [Row<'a>],
    made: &'r [Made],
    origin: &'r Origin,
}

impl<'r, 'a> Versions<'r, 'a> {
    /// A column by its name; none if Awin fills none.
    fn column(&self, name: &str) -> Option<ArrayRef> {
        self.of_connector(name).or_else(|| self.of_host(name))
    }

    fn of_connector(&self, name: &str) -> Option<ArrayRef> {
        Some(match name {
            "transaction_id" => self.own_texts(|row| row.id.to_string()),
            "order_id" => self.texts(|row| text(&row.order_ref)),
            "advertiser_id" => self.numbers(|row| row.advertiser_id),
            "site_name" => self.texts(|row| text(&row.site_name)),
            "clicked_at" => self.times(|row| micros(&row.click_date)),
            "validated_at" => self.times(|row| micros(&row.validation_date)),
            "status_raw" => self.texts(|row| text(&row.commission_status)),
            "reason_raw" => self.texts(|row| text(&row.decline_reason).or(text(&row.amend_reason))),
            "sale_amount" => self.money(|row| millionths(&row.sale_amount)),
            "sale_currency" => self.texts(|row| currency(&row.sale_amount)),
            "commission_amount" => self.money(|row| millionths(&row.commission_amount)),
            "commission_currency" => self.texts(|row| currency(&row.commission_amount)),
            "original_sale_amount" => self.money(|row| millionths(&row.old_sale_amount)),
            "original_commission_amount" => self.money(|row| millionths(&row.old_commission_amount)),
            "sub_ids" => self.sub_ids(),
            "voucher_code" => self.texts(|row| text(&row.voucher_code)),
            "device" => self.texts(|row| text(&row.transaction_device).or(text(&row.click_device))),
            "customer_country" => self.texts(|row| text(&row.customer_country)),
            "customer_is_new" => self.flags(|row| text(&row.customer_acquisition).map(|word| word == "NEW")),
            "payment_id" => self.numbers(|row| row.payment_id),
            _ => return None,
        })
    }

    fn of_host(&self, name: &str) -> Option<ArrayRef> {
        let count = self.rows.len();
        let each = |word: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(vec![word; count])) };
        let words =
            |of: fn(&Made) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(self.made.iter().map(of))) };
        let days = |made: &Made| i32::try_from(made.transacted_at.div_euclid(86_400_000_000)).unwrap_or_default();
        Some(match name {
            "transaction_key" => words(|made| &made.key),
            "network" | "connector" => each("awin"),
            "account" => each(&self.origin.account),
            "stream" => each("transactions"),
            "id_basis" => each("native"),
            "kind" => each("sale"),
            "transacted_at" => self.instants(self.made.iter().map(|made| made.transacted_at)),
            "time_basis" => each("instant"),
            "transaction_day" => Arc::new(Date32Array::from_iter_values(self.made.iter().map(days))),
            "network_timezone" => each("UTC"),
            "timezone_basis" => each("declared"),
            "validation_status" => words(|made| made.validation),
            "payment_status" => words(|made| made.payment),
            "commission_effective" => self.effective(),
            "version" => Arc::new(Int32Array::from_iter_values(vec![1; count])),
            "content_hash" => Arc::new(BinaryArray::from_iter_values(self.made.iter().map(|made| made.content))),
            "change" => each("first-seen"),
            "observed_at" => self.instants(std::iter::repeat_n(self.origin.observed_at, count)),
            "connector_version" => each("1.0.0"),
            "connector_digest" | "raw_object" => each(&self.origin.body),
            "run_id" | "request_id" => each(&self.origin.request),
            "record_index" => Arc::new(Int64Array::from_iter_values((0_i64..).take(count))),
            "month" => self.own_texts(|row| text(&row.transaction_date).unwrap_or_default().chars().take(7).collect()),
            _ => return None,
        })
    }

    fn texts(&self, of: impl Fn(&'r Row<'a>) -> Option<&'r str>) -> ArrayRef {
        Arc::new(StringArray::from_iter(self.rows.iter().map(of)))
    }

    fn own_texts(&self, of: impl Fn(&Row<'a>) -> String) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(self.rows.iter().map(of)))
    }

    fn numbers(&self, of: impl Fn(&Row<'a>) -> Option<i64>) -> ArrayRef {
        Arc::new(StringArray::from_iter(self.rows.iter().map(|row| of(row).map(|number| number.to_string()))))
    }

    fn times(&self, of: impl Fn(&Row<'a>) -> Option<i64>) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter(self.rows.iter().map(of)).with_timezone("UTC"))
    }

    fn instants(&self, of: impl Iterator<Item = i64>) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(of).with_timezone("UTC"))
    }

    fn flags(&self, of: impl Fn(&Row<'a>) -> Option<bool>) -> ArrayRef {
        Arc::new(BooleanArray::from_iter(self.rows.iter().map(of)))
    }

    fn money(&self, of: impl Fn(&Row<'a>) -> Option<i128>) -> ArrayRef {
        let amounts = Decimal128Array::from_iter(self.rows.iter().map(of));
        Arc::new(amounts.with_data_type(sluice_model::unified::money_type()))
    }

    fn effective(&self) -> ArrayRef {
        let effective = |(row, made): (&Row<'_>, &Made)| match made.validation {
            "declined" => 0,
            _ => millionths(&row.commission_amount).unwrap_or_default(),
        };
        let amounts = Decimal128Array::from_iter_values(self.rows.iter().zip(self.made).map(effective));
        Arc::new(amounts.with_data_type(sluice_model::unified::money_type()))
    }

    fn sub_ids(&self) -> ArrayRef {
        let names = MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
        let mut pairs = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
        let keys = ["clickRef", "clickRef2", "clickRef3", "clickRef4", "clickRef5", "clickRef6"];
        for row in self.rows {
            let refs = row.click_refs.iter().flat_map(|refs| keys.into_iter().zip(references(refs)));
            let mut any = false;
            for (key, value) in refs.filter_map(|(key, value)| Some((key, text(value)?))) {
                pairs.keys().append_value(key);
                pairs.values().append_value(value);
                any = true;
            }
            // The builder's lengths agree: a key and a value for each pair.
            let _ = pairs.append(any);
        }
        Arc::new(pairs.finish())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::util::display::array_value_to_string;

    use super::*;

    #[test]
    fn a_row_becomes_a_version() {
        let body = r#"[{"id": 5, "commissionStatus": "declined", "commissionAmount": {"amount": 1.5, "currency": "EUR"},
            "clickRefs": {"clickRef": "a", "clickRef3": "c"}, "transactionDate": "2026-01-02T03:04:05"}]"#;
        let rows: Vec<Row<'_>> = serde_json::from_str(body).unwrap();
        let (account, body) = ("shop".to_owned(), "0".repeat(64));
        let origin = Origin { account, request: "1".repeat(32), body, observed_at: 7 };
        let batch = versions(&rows, &origin).unwrap();
        let cell = |name: &str| array_value_to_string(batch.column_by_name(name).unwrap(), 0).unwrap();
        assert_eq!((cell("transaction_id"), cell("month")), ("5".to_owned(), "2026-01".to_owned()));
        assert_eq!(
            (cell("commission_amount"), cell("commission_effective")),
            ("1.500000".to_owned(), "0.000000".to_owned())
        );
        assert_eq!(cell("sub_ids"), "{clickRef: a, clickRef3: c}");
        assert_eq!(cell("transaction_key").len(), 32);
    }
}
