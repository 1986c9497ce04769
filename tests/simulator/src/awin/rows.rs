//! Awin's transaction rows.

use crate::accounts::Played;
use crate::core::Core;
use crate::json::Json;
use crate::money::Money;
use crate::sale::{Sale, SaleState, Validation, What};
use crate::truth::{Kind, TruthRow, filled, sub_ids};
use crate::zone::print;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

const REFS: [&str; 6] = ["clickRef", "clickRef2", "clickRef3", "clickRef4", "clickRef5", "clickRef6"];

/// How the reader asked to see rows, and when.
pub(crate) struct View {
    pub(crate) zone: Tz,
    pub(crate) basket: bool,
    pub(crate) clock: DateTime<Utc>,
}

/// The id; some are beyond 2^53.
pub(crate) fn id(played: &Played, sale: &Sale) -> String {
    let place = u64::try_from(played.place).unwrap_or(0);
    if sale.serial % 23 == 5 {
        return (9_007_199_254_740_993 + place * 1_000_000_000_000 + sale.serial * 2).to_string();
    }
    ((place + 1) * 1_000_000_000_000 + sale.serial).to_string()
}

/// The status word.
pub(crate) fn status(seen: &SaleState<'_>) -> &'static str {
    match seen.validation() {
        None => "pending",
        Some(Validation::Approved) => "approved",
        Some(Validation::Declined) => "declined",
        Some(Validation::Deleted) => "deleted",
    }
}

fn amount(money: Money, currency: &str) -> Json {
    Json::map([("amount", Json::Number(money.json())), ("currency", Json::text(currency))])
}

/// A row with every documented field.
pub(crate) fn render(core: &Core, played: &Played, sale: &Sale, seen: &SaleState<'_>, view: &View) -> Json {
    let mut dice = sale.dice(core.options.seed, "awin");
    let currency = sale.advertiser.currency;
    let (value, commission) = sale.amounts(seen);
    let time = |at: DateTime<Utc>| Json::Text(print(at, view.zone, "%Y-%m-%dT%H:%M:%S"));
    let time_or_null = |at: Option<DateTime<Utc>>| at.map_or(Json::Null, time);
    let old = |money: Money| seen.amendment.map_or(Json::Null, |_| amount(money, currency));
    let lapse = sale.clicked_at.map(|at| (sale.transacted_at - at).num_seconds());
    let mut row = Json::map([
        ("id", Json::Number(id(played, sale))),
        ("url", Json::Text(format!("{}/landing?q=\"x\"&p={}", sale.advertiser.site, sale.serial % 97))),
        ("advertiserId", Json::number(sale.advertiser.id)),
        ("publisherId", Json::number(played.setting("publisher_id"))),
        ("commissionSharingPublisherId", if dice.chance(500) { Json::number(0) } else { Json::Null }),
        ("commissionSharingSelectedRatePublisherId", Json::Null),
        ("siteName", Json::Text(format!("{} – Gutscheine", played.account.name))),
        ("publisherUrl", publisher_url(sale)),
        ("campaign", if dice.chance(200) { Json::text("Frühling") } else { Json::Null }),
        ("commissionStatus", Json::text(status(seen))),
        ("commissionAmount", amount(commission, currency)),
        ("saleAmount", amount(value, currency)),
        ("ipHash", ip_hash(sale, dice.next())),
        ("customerCountry", Json::text_or_null(sale.country)),
        ("clickRefs", click_refs(sale)),
        ("clickDate", time_or_null(sale.clicked_at)),
        ("transactionDate", time(sale.transacted_at)),
        ("validationDate", time_or_null(seen.decision.map(|it| it.at))),
        ("type", Json::text(if sale.what == What::Bonus { "Bonus" } else { "Commission group transaction" })),
        ("declineReason", Json::text_or_null(seen.decision.filter(|_| seen.voided()).map(|it| it.reason))),
        ("voucherCodeUsed", Json::Bool(sale.voucher.is_some())),
        ("voucherCode", Json::text_or_null(sale.voucher)),
        ("lapseTime", lapse.map_or(Json::Null, Json::number)),
        ("amended", Json::Bool(seen.amendment.is_some())),
        ("amendReason", Json::text_or_null(seen.amendment.map(|it| it.reason))),
        ("oldSaleAmount", old(sale.sale)),
        ("oldCommissionAmount", old(sale.commission)),
        ("clickDevice", Json::text_or_null(sale.device)),
        ("transactionDevice", Json::text_or_null(sale.device)),
        ("customerAcquisition", if dice.chance(300) { Json::text("new") } else { Json::Null }),
        ("advertiserCountry", Json::text(sale.advertiser.country)),
        ("orderRef", Json::text_or_null(sale.order_id.as_deref())),
        ("customParameters", custom_parameters(sale)),
        ("transactionParts", transaction_parts(sale, value, commission)),
        ("paidToPublisher", Json::Bool(seen.paid())),
        ("paymentId", Json::number(if seen.paid() { 42 + sale.serial % 9 } else { 0 })),
        ("transactionQueryId", Json::number(0)),
        ("trackedCurrencyAmount", Json::Null),
        ("originalSaleAmount", Json::Null),
        ("advertiserCost", Json::Null),
        ("networkFee", Json::Null),
        ("basketProducts", if view.basket { basket(sale) } else { Json::Null }),
    ]);
    if core.has_moved_commissions() {
        row.set("commissionAmount", Json::Null);
        row.set("commission", amount(commission, currency));
    }
    vary(core, sale, &mut row, lapse.filter(|_| dice.chance(200)), view.clock);
    row
}

/// Varies the shape, where the options say so.
fn vary(core: &Core, sale: &Sale, row: &mut Json, lapse: Option<i64>, clock: DateTime<Utc>) {
    if let Some(lapse) = lapse.filter(|_| core.options.shapes.changed_type) {
        row.set("lapseTime", Json::Text(lapse.to_string()));
    }
    if core.has_new_field(clock) {
        row.set("attributionModel", new_field(sale));
    }
}

/// The field that no document names.
pub(crate) fn new_field(sale: &Sale) -> Json {
    Json::map([
        ("name", Json::text("last-click")),
        ("weights", Json::List(vec![Json::Number("0.75".to_owned()), Json::Number("0.25".to_owned())])),
        (
            "path",
            Json::map([("first", Json::text("search")), ("hops", Json::number(sale.serial % 5)), ("via", Json::Null)]),
        ),
    ])
}

/// A signed number as text.
fn ip_hash(sale: &Sale, drawn: u64) -> Json {
    let sign = if sale.serial.is_multiple_of(3) { "-" } else { "" };
    Json::Text(format!("{sign}{:019}", drawn >> 2))
}

/// The site's address: null or empty on some rows.
fn publisher_url(sale: &Sale) -> Json {
    match sale.serial % 10 {
        6 => Json::Null,
        8 => Json::text(""),
        _ => Json::text("https://publisher.example/?a=1&b=2"),
    }
}

/// Only the keys that were sent.
fn click_refs(sale: &Sale) -> Json {
    if sale.sub_ids.iter().all(Option::is_none) {
        return Json::Null;
    }
    let mut refs = Json::Map(Vec::new());
    for (name, value) in REFS.into_iter().zip(&sale.sub_ids) {
        if let Some(value) = value {
            refs.set(name, Json::text(value));
        }
    }
    refs
}

fn custom_parameters(sale: &Sale) -> Json {
    // None are null in older answers, and an empty list in newer ones.
    if sale.serial % 4 != 1 {
        return if sale.serial.is_multiple_of(2) { Json::Null } else { Json::List(Vec::new()) };
    }
    let entry = |key: &str, value: &str| Json::map([("key", Json::text(key)), ("value", Json::text(value))]);
    Json::List(vec![entry("customer_group", "Stammkunde"), entry("1", "a\\b \"c\"")])
}

fn transaction_parts(sale: &Sale, value: Money, commission: Money) -> Json {
    let tracked = Json::map([
        ("code", Json::text("DEFAULT")),
        ("amount", Json::Number(sale.sale.json())),
        ("currency", Json::text(sale.advertiser.currency)),
    ]);
    Json::List(vec![Json::map([
        ("commissionGroupId", Json::number(12_345 + sale.serial % 3)),
        ("amount", Json::Number(value.json())),
        ("commissionAmount", Json::Number(commission.json())),
        ("advertiserCost", Json::Null),
        ("commissionGroupCode", Json::text("DEFAULT")),
        ("commissionGroupName", Json::text("Default & \"new\" customers")),
        ("trackedParts", Json::List(vec![tracked])),
    ])])
}

fn basket(sale: &Sale) -> Json {
    let line = |line: &crate::sale::Line| {
        Json::map([
            ("productId", Json::text(&line.sku)),
            ("productName", Json::text(line.product)),
            ("quantity", Json::number(line.quantity)),
            ("unitPrice", Json::Number(line.sale.json())),
        ])
    };
    Json::List(sale.lines.iter().map(line).collect())
}

/// The truth of a row.
pub(crate) fn truth(played: &Played, sale: &Sale, seen: &SaleState<'_>) -> TruthRow {
    TruthRow {
        kind: if sale.what == What::Bonus { Kind::Bonus } else { Kind::Sale },
        sub_ids: sub_ids(REFS.into_iter().zip(sale.sub_ids.iter().copied())),
        order_id: filled(sale.order_id.as_deref()),
        ..TruthRow::of(sale, seen, id(played, sale), status(seen))
    }
}
