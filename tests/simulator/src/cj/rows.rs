//! CJ's commission records: an original, and a further record for each correction.

use super::query::Selection;
use crate::core::Core;
use crate::dice::hash;
use crate::json::Json;
use crate::money::Money;
use crate::sale::{Line, Sale, SaleState, What};
use crate::truth::{Flags, Kind, TruthRow, filled, sub_ids};
use crate::words::Advertiser;
use crate::zone::TimeBasis;
use chrono::{DateTime, TimeDelta, Utc};
use std::borrow::Cow;

/// A record.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Rises with the time of posting; the cursor.
    pub(crate) id: u64,
    pub(crate) posted_at: DateTime<Utc>,
    pub(crate) event_at: DateTime<Utc>,
    pub(crate) locks_at: Option<DateTime<Utc>>,
    pub(crate) advertiser: &'static Advertiser,
    pub(crate) ad_id: String,
    pub(crate) website_id: String,
    pub(crate) status: String,
    pub(crate) action_type: &'static str,
    pub(crate) locking_method: &'static str,
    pub(crate) validation_status: &'static str,
    pub(crate) correction: Option<&'static str>,
    value: Money,
    commission: Money,
    currency: String,
    publisher: (String, String),
    lines: Vec<Line>,
    sale: Sale,
}

/// Thousandths of a US dollar for one unit.
fn rate(currency: &str) -> i64 {
    match currency {
        "EUR" => 1100,
        "GBP" => 1250,
        "PLN" => 250,
        "SEK" => 95,
        _ => 1000,
    }
}

/// All records of an account that are posted by a clock.
pub(crate) fn records(core: &Core, index: usize, clock: DateTime<Utc>) -> Vec<Record> {
    let mut records = Vec::new();
    for sale in core.sales(index, clock).iter() {
        let Some(seen) = sale.seen(clock) else { continue };
        let original = original(core, index, sale, &seen, clock);
        let current = sale.amounts(&seen);
        let mut corrections = Vec::new();
        if let Some(amendment) = seen.amendment {
            let reversal = (sale.sale.negated(), sale.commission.negated());
            corrections.push(correct(&original, "reverse", amendment.at, reversal, "RETURNED_MERCHANDISE"));
            let restated = (amendment.sale, amendment.commission);
            corrections.push(correct(&original, "restate", amendment.at, restated, "RETURNED_MERCHANDISE"));
        }
        if let Some(decision) = seen.decision.filter(|_| seen.voided()) {
            let reason = if sale.what == What::Lead { "UNQUALIFIED_LEAD" } else { "DUPLICATED_ORDER" };
            let amounts = (current.0.negated(), current.1.negated());
            corrections.push(correct(&original, "void", decision.at, amounts, reason));
        }
        records.push(original);
        records.extend(corrections);
    }
    records
}

/// Ten digits of the time of posting and nine of the record: beyond 2^53, and in order.
fn id(posted_at: DateTime<Utc>, key: &str, what: &str) -> u64 {
    u64::try_from(posted_at.timestamp()).unwrap_or(0) * 1_000_000_000 + hash(0, &[key, what]) % 1_000_000_000
}

fn original(core: &Core, index: usize, sale: &Sale, seen: &SaleState<'_>, clock: DateTime<Utc>) -> Record {
    let mut dice = sale.dice(core.options.seed, "cj");
    let played = core.accounts.get(index);
    let setting = |name: &str| played.map_or_else(String::new, |played| played.setting(name).to_owned());
    let name = played.map_or_else(String::new, |played| played.account.name.clone());
    let action_type = match sale.what {
        What::Sale => *dice.pick(&["sim_sale", "item_sale"]),
        What::Lead => *dice.pick(&["sim_lead", "item_lead"]),
        What::Bonus => "bonus",
    };
    let extends = dice.chance(200) && clock >= sale.appeared_at + TimeDelta::hours(30);
    let word = match (seen.decision.is_some(), seen.settled) {
        (true, true) => "closed",
        (true, false) => "locked",
        _ if extends => "extended",
        _ => "new",
    };
    // The case of the words differs between sources, here between accounts.
    let upper = played.is_some_and(|played| played.place.is_multiple_of(2));
    let validation_status = match (seen.decision, seen.voided()) {
        (None, _) => "PENDING",
        (_, true) => "DECLINED",
        _ => *dice.pick(&["ACCEPTED", "AUTOMATED"]),
    };
    let locks_at = sale.decision.as_ref().map(|it| it.at);
    Record {
        id: id(sale.appeared_at, &sale.key, "original"),
        posted_at: sale.appeared_at,
        event_at: sale.transacted_at,
        locks_at,
        advertiser: sale.advertiser,
        ad_id: (10_000_000 + sale.serial % 90_000).to_string(),
        website_id: setting("publisher_id").chars().rev().collect(),
        status: if upper { word.to_uppercase() } else { word.to_owned() },
        action_type,
        locking_method: if locks_at.is_some() { "FIXED_DURATION" } else { "OPEN_ENDED" },
        validation_status,
        correction: None,
        value: sale.sale,
        commission: sale.commission,
        currency: setting("currency"),
        publisher: (setting("publisher_id"), name),
        lines: if sale.what == What::Sale { sale.lines.clone() } else { Vec::new() },
        sale: sale.clone(),
    }
}

fn correct(original: &Record, what: &str, at: DateTime<Utc>, amounts: (Money, Money), reason: &'static str) -> Record {
    Record {
        id: id(at, &original.sale.key, what),
        posted_at: at,
        correction: Some(reason),
        value: amounts.0,
        commission: amounts.1,
        lines: Vec::new(),
        ..original.clone()
    }
}

impl Record {
    /// The truth of the record.
    pub(crate) fn truth(&self) -> TruthRow {
        let status = self.status.to_lowercase();
        TruthRow {
            transaction_id: self.id.to_string(),
            status_raw: Some(self.status.clone()),
            flags: Flags { voided: false, locked: status == "locked" || status == "closed", paid: false },
            commission: self.commission.plain(),
            currency: filled(Some(&self.currency)),
            sale_amount: Some(self.value.plain()),
            transacted_at: self.event_at,
            time_basis: TimeBasis::Instant,
            kind: match (self.correction, self.sale.what) {
                (Some(_), _) => Kind::Adjustment,
                (_, What::Sale) => Kind::Sale,
                (_, What::Lead) => Kind::Lead,
                (_, What::Bonus) => Kind::Bonus,
            },
            sub_ids: sub_ids([("shopperId", self.shopper())]),
            order_id: filled(self.sale.order_id.as_deref()),
        }
    }

    fn shopper(&self) -> Option<&str> {
        self.sale.sub_ids.first().copied().flatten()
    }

    fn usd(&self, money: Money) -> Json {
        Json::Text(money.part(rate(&self.currency), 6).fixed(2))
    }
}

/// Checks the selection of records without a record.
pub(crate) fn check(field: &Selection) -> Result<(), String> {
    field.children("PublisherCommission")?.iter().try_for_each(|column| match column.name.as_str() {
        "items" => column.children("Item")?.iter().try_for_each(|it| known(it, &ITEM, "Item")),
        "situationDetails" => {
            column.children("SituationDetail")?.iter().try_for_each(|it| known(it, &["id", "name"], "SituationDetail"))
        }
        "verticalAttributes" => column.children("VerticalAttributes").map(|_| ()),
        _ => known(column, &SCALARS, "PublisherCommission"),
    })
}

fn known(field: &Selection, names: &[&str], kind: &str) -> Result<(), String> {
    if field.name != "__typename" && !names.contains(&field.name.as_str()) {
        return Err(format!("Cannot query field \"{}\" on type \"{kind}\".", field.name));
    }
    field.leaf()
}

/// The fields of an item.
const ITEM: [&str; 13] = [
    "commissionItemId",
    "sku",
    "quantity",
    "itemListId",
    "perItemSaleAmountUsd",
    "perItemSaleAmountPubCurrency",
    "perItemSaleAmountAdvCurrency",
    "discountUsd",
    "discountPubCurrency",
    "discountAdvCurrency",
    "totalCommissionUsd",
    "totalCommissionPubCurrency",
    "totalCommissionAdvCurrency",
];

/// The fields of a record that aren't objects.
#[rustfmt::skip]
const SCALARS: [&str; 50] = [
    "actionStatus", "actionTrackerId", "actionTrackerName", "actionType", "advertiserId", "advertiserName", "aid",
    "clickDate", "clickReferringURL", "commissionId", "concludingBrowser", "concludingDeviceName",
    "concludingDeviceType", "correctionReason", "country", "coupon", "eventDate", "initiatingBrowser",
    "initiatingDeviceName", "initiatingDeviceType", "isCrossDevice", "lockingDate", "lockingMethod",
    "orderDiscountUsd", "orderDiscountPubCurrency", "orderDiscountOrigCurrency", "orderDiscountAdvCurrency", "orderId",
    "validationStatus", "original", "originalActionId", "postingDate", "pubCommissionAmountPubCurrency",
    "pubCommissionAmountUsd", "publisherId", "publisherName", "reviewedStatus", "saleAmountPubCurrency",
    "saleAmountUsd", "siteToStoreOffer", "source", "websiteId", "websiteName", "items", "situationDetails",
    "verticalAttributes", "shopperId", "sid", "saleAmountAdvCurrency", "__typename",
];

fn time(at: DateTime<Utc>) -> Json {
    Json::Text(at.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A selected field of a record.
pub(crate) fn value(core: &Core, record: &Record, field: &Selection) -> Result<Json, String> {
    match field.name.as_str() {
        "items" => {
            let items = record.lines.iter().enumerate().map(|(number, line)| item(record, number, line, field));
            return Ok(Json::List(items.collect::<Result<_, _>>()?));
        }
        "situationDetails" => {
            return object(field, |name| if name == "id" { Json::text("7") } else { Json::text("New customer") })
                .map(|it| Json::List(vec![it]));
        }
        "verticalAttributes" => {
            return object(field, |name| if name.len() % 2 == 0 { Json::Null } else { Json::text("n/a – \"keine\"") });
        }
        _ => {}
    }
    if let Some(value) = identity(record, &field.name).or_else(|| amount(record, &field.name)) {
        return Ok(value);
    }
    known(field, &SCALARS, "PublisherCommission")?;
    Ok(circumstance(core, record, &field.name))
}

fn object(field: &Selection, value: impl Fn(&str) -> Json) -> Result<Json, String> {
    let fields = field.children("Object")?.iter().map(|it| (Cow::Owned(it.key().to_owned()), value(&it.name)));
    Ok(Json::Map(fields.collect()))
}

fn item(record: &Record, number: usize, line: &Line, field: &Selection) -> Result<Json, String> {
    let each = line.sale.part(1000 / line.quantity.max(1), 4);
    object(field, |name| match name {
        "commissionItemId" => Json::Text(format!("{}-{number}", record.id)),
        "sku" => Json::text(&line.sku),
        "quantity" => Json::number(line.quantity),
        "perItemSaleAmountUsd" => record.usd(each),
        "perItemSaleAmountPubCurrency" | "perItemSaleAmountAdvCurrency" => Json::Text(each.fixed(2)),
        "discountUsd" | "discountPubCurrency" | "discountAdvCurrency" => Json::text("0"),
        "totalCommissionUsd" => record.usd(line.commission),
        "totalCommissionPubCurrency" | "totalCommissionAdvCurrency" => Json::Text(line.commission.fixed(2)),
        _ => Json::Null,
    })
}

fn identity(record: &Record, name: &str) -> Option<Json> {
    let sale = &record.sale;
    Some(match name {
        "commissionId" => Json::Text(record.id.to_string()),
        "actionStatus" => Json::text(&record.status),
        "actionType" => Json::text(record.action_type),
        "actionTrackerId" => Json::Text((370_000 + record.advertiser.id % 1000).to_string()),
        "actionTrackerName" => Json::text("Sale (<all> products)"),
        "advertiserId" => Json::Text(record.advertiser.id.to_string()),
        "advertiserName" => Json::text(record.advertiser.name),
        "aid" => Json::text(&record.ad_id),
        "correctionReason" => Json::text_or_null(record.correction),
        "lockingMethod" => Json::text(record.locking_method),
        "orderId" => Json::text_or_null(sale.order_id.as_deref()),
        "validationStatus" => Json::text(record.validation_status),
        "original" => Json::Bool(record.correction.is_none()),
        "originalActionId" => Json::Text((3_000_000_000 + hash(1, &[&sale.key]) % 1_000_000_000).to_string()),
        "publisherId" => Json::text(&record.publisher.0),
        "publisherName" => Json::Text(format!("{} & Co", record.publisher.1)),
        "websiteId" => Json::text(&record.website_id),
        "websiteName" => Json::text("Gutschein-Welt"),
        "shopperId" | "sid" => Json::text_or_null(record.shopper()),
        "__typename" => Json::text("PublisherCommission"),
        _ => return None,
    })
}

fn amount(record: &Record, name: &str) -> Option<Json> {
    let places = usize::from(!record.id.is_multiple_of(5)) * 2;
    Some(match name {
        "pubCommissionAmountPubCurrency" => Json::Text(record.commission.fixed(places)),
        "pubCommissionAmountUsd" => record.usd(record.commission),
        "saleAmountPubCurrency" => Json::Text(record.value.fixed(places)),
        "saleAmountUsd" => record.usd(record.value),
        "saleAmountAdvCurrency" => Json::Null,
        "orderDiscountUsd" | "orderDiscountPubCurrency" => Json::text("0"),
        "orderDiscountOrigCurrency" | "orderDiscountAdvCurrency" => Json::Null,
        _ => return None,
    })
}

fn circumstance(core: &Core, record: &Record, name: &str) -> Json {
    let sale = &record.sale;
    let cross = sale.serial.is_multiple_of(11);
    match name {
        "clickDate" => sale.clicked_at.map_or(Json::Null, time),
        "eventDate" => time(record.event_at),
        "postingDate" => time(record.posted_at),
        "lockingDate" => record.locks_at.map_or(Json::Null, time),
        "clickReferringURL" => Json::text("https://publisher.example/?q=\"shoes\"&x=<1>"),
        "concludingBrowser" | "initiatingBrowser" => Json::text(sale.browser),
        "concludingDeviceName" | "initiatingDeviceName" => Json::text_or_null(sale.device),
        "concludingDeviceType" | "initiatingDeviceType" => Json::text("DESKTOP"),
        "country" => Json::text_or_null(sale.country),
        "coupon" => Json::text_or_null(sale.voucher),
        "isCrossDevice" if core.options.shapes.changed_type && sale.serial.is_multiple_of(4) => {
            Json::Text(cross.to_string())
        }
        "isCrossDevice" => Json::Bool(cross),
        "reviewedStatus" => Json::text(""),
        "source" => Json::text("CJ"),
        _ => Json::Null,
    }
}
