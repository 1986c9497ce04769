//! ShareASale's rows: texts in columns, times of US Central, a state over three columns.

use crate::accounts::Played;
use crate::core::Core;
use crate::network::Network;
use crate::sale::{Sale, Seen, What};
use crate::truth::{Flags, Kind, TruthRow, filled, sub_ids};
use crate::zone::{earliest, local, print};
use chrono::{DateTime, TimeDelta, Utc};

/// The columns, in the order of the documents.
#[rustfmt::skip]
pub(crate) const HEADER: [&str; 26] = [
    "TransID", "UserID", "MerchantID", "TransDate", "TransAmount", "Commission", "Comment", "Voided", "PendingDate",
    "Locked", "AffComment", "BannerPage", "ReversalDate", "ClickDate", "ClickTime", "BannerId", "SKUList",
    "QuantityList", "LockDate", "PaidDate", "MerchantOrganization", "MerchantWebsite", "TransType",
    "MerchantDefinedType", "ReferenceTrans", "StoreID",
];

const DAY: &str = "%m/%d/%Y";
const TIME: &str = "%m/%d/%Y %I:%M:%S %p";

fn id(played: &Played, sale: &Sale) -> String {
    let place = u64::try_from(played.place).unwrap_or(0);
    let base = if sale.serial % 31 == 4 { 9_007_199_254_740_993 } else { 1_000_000_000_000 };
    (base + place * 1_000_000_000_000_000 + sale.serial * 2).to_string()
}

/// When it was paid.
pub(crate) fn paid_at(seen: &Seen<'_>) -> Option<DateTime<Utc>> {
    seen.decision.filter(|_| seen.paid()).map(|it| it.settled_at)
}

/// When it last changed in a way that changes the balance.
pub(crate) fn changed_at(sale: &Sale, seen: &Seen<'_>) -> DateTime<Utc> {
    let voided = seen.decision.filter(|_| seen.voided()).map(|it| it.at);
    voided.or(seen.amendment.map(|it| it.at)).unwrap_or(sale.appeared_at)
}

/// The merchant's comment, with the order number.
fn comment(sale: &Sale) -> String {
    sale.order_id.as_deref().filter(|id| !id.is_empty()).map_or_else(String::new, |id| format!("Order {id}"))
}

fn sub_id(sale: &Sale) -> &'static str {
    sale.sub_ids.first().copied().flatten().unwrap_or_default()
}

/// Refused or decided, but never both: a voided row was locked by none.
fn flags(seen: &Seen<'_>) -> Flags {
    let voided = seen.voided();
    Flags { voided, locked: seen.decision.is_some() && !voided, paid: seen.paid() }
}

/// A row's texts. None of them holds a bar or a line break.
pub(crate) fn columns(core: &Core, played: &Played, sale: &Sale, seen: &Seen<'_>) -> Vec<String> {
    let zone = Network::ShareAsale.zone();
    let day = |at: Option<DateTime<Utc>>| at.map_or_else(String::new, |at| print(at, zone, DAY));
    let (value, commission) = sale.amounts(seen);
    let flags = flags(seen);
    let flag = |set: bool| if set { "1".to_owned() } else { String::new() };
    let join = |texts: Vec<String>| texts.join(",");
    let banner = (800_000 + sale.serial % 999).to_string();
    let changed = core.options.shapes.changed_type && sale.serial.is_multiple_of(6);
    let mut columns = vec![
        id(played, sale),
        played.setting("affiliate_id").to_owned(),
        sale.advertiser.id.to_string(),
        print(sale.transacted_at, zone, TIME),
        value.fixed(2),
        commission.fixed(2),
        comment(sale),
        flag(flags.voided),
        day(Some(sale.appeared_at + TimeDelta::days(1)).filter(|_| sale.serial.is_multiple_of(3))),
        flag(flags.locked),
        sub_id(sale).to_owned(),
        "https://publisher.example/page?a=1&b=\"2\"".to_owned(),
        day(seen.decision.filter(|_| flags.voided).map(|it| it.at)),
        day(sale.clicked_at),
        sale.clicked_at.map_or_else(String::new, |at| print(at, zone, "%I:%M:%S %p")),
        if changed { format!("banner-{banner}") } else { banner },
        join(sale.lines.iter().map(|line| line.sku.clone()).collect()),
        join(sale.lines.iter().map(|line| line.quantity.to_string()).collect()),
        day(sale.decision.as_ref().map(|it| it.at)),
        day(paid_at(seen)),
        sale.advertiser.name.to_owned(),
        sale.advertiser.site.to_owned(),
        if sale.what == What::Lead { "Lead".to_owned() } else { "Sale".to_owned() },
    ];
    columns.push(if sale.serial.is_multiple_of(7) { "VIP \"Gold\"".to_owned() } else { String::new() });
    columns.push(String::new());
    columns.push(if sale.serial.is_multiple_of(2) { "1".to_owned() } else { String::new() });
    columns
}

/// Text with bars; each line ends with a line feed.
pub(crate) fn pipe(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut out = header.join("|");
    out.push('\n');
    for row in rows {
        out.push_str(&row.join("|"));
        out.push('\n');
    }
    out
}

/// Comma-separated values, each in quotes.
pub(crate) fn csv(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut out = header.join(",");
    out.push('\n');
    for row in rows {
        let quoted: Vec<String> = row.iter().map(|text| format!("\"{}\"", text.replace('"', "\"\""))).collect();
        out.push_str(&quoted.join(","));
        out.push('\n');
    }
    out
}

/// An element per column.
pub(crate) fn xml(header: &[&str], rows: &[Vec<String>]) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<report>\n".to_owned();
    for row in rows {
        let cells = header.iter().zip(row).map(|(name, text)| format!("<{name}>{}</{name}>", escape(text)));
        out.push_str(&format!("<record>{}</record>\n", cells.collect::<String>()));
    }
    out.push_str("</report>\n");
    out
}

/// The truth of a row.
pub(crate) fn truth(played: &Played, sale: &Sale, seen: &Seen<'_>) -> TruthRow {
    let (value, commission) = sale.amounts(seen);
    let zone = Network::ShareAsale.zone();
    let (transacted_at, time_basis) = earliest(local(sale.transacted_at, zone), zone);
    let flags = flags(seen);
    let word = match (flags.voided, flags.paid, flags.locked) {
        (true, ..) => "voided",
        (_, true, _) => "paid",
        (_, _, true) => "locked",
        _ => "pending",
    };
    TruthRow {
        transaction_id: id(played, sale),
        status_raw: Some(word.to_owned()),
        flags,
        commission: commission.plain(),
        currency: Some("USD".to_owned()),
        sale_amount: Some(value.plain()),
        transacted_at,
        time_basis,
        kind: if sale.what == What::Lead { Kind::Lead } else { Kind::Sale },
        sub_ids: sub_ids([("AffComment", Some(sub_id(sale)))]),
        order_id: filled(Some(&comment(sale))),
    }
}
