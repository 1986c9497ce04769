//! ShareASale's rows: texts in columns, times of US Central, a state over three columns.

use crate::accounts::Played;
use crate::core::Core;
use crate::network::Network;
use crate::sale::{Sale, SaleState, What};
use crate::truth::{Flags, Kind, TruthRow, filled, sub_ids};
use crate::zone::{earliest, local, print};
use chrono::{DateTime, Utc};

/// The columns, as recorded.
#[rustfmt::skip]
pub(crate) const HEADER: [&str; 26] = [
    "Trans ID", "User ID", "Merchant ID", "Trans Date", "Trans Amount", "Commission", "Comment", "Voided",
    "Pending Date", "Locked", "Aff Comment", "Banner Page", "Reversal Date", "Click Date", "Click Time", "Banner Id",
    "SKU List", "Quantity List", "Lock Date", "Paid Date", "Merchant Organization", "Merchant Website", "Trans Type",
    "Merchant Defined Type", "Store ID", "Reference Trans",
];

/// Of the scheduled lock and of the payment.
pub(crate) const DAY: &str = "%Y-%m-%d";
/// Of the click and of the void: the time of day is in another column, or in another report.
const MIDNIGHT: &str = "%Y-%m-%d 00:00:00.0";
pub(crate) const TIME: &str = "%m/%d/%Y %I:%M:%S %p";

fn id(played: &Played, sale: &Sale) -> String {
    let place = u64::try_from(played.place).unwrap_or(0);
    let base = if sale.serial % 31 == 4 { 9_007_199_254_740_993 } else { 1_000_000_000_000 };
    (base + place * 1_000_000_000_000_000 + sale.serial * 2).to_string()
}

/// When it was paid.
pub(crate) fn paid_at(seen: &SaleState<'_>) -> Option<DateTime<Utc>> {
    seen.decision.filter(|_| seen.paid()).map(|it| it.settled_at)
}

/// When it last changed in a way that changes the balance.
pub(crate) fn changed_at(sale: &Sale, seen: &SaleState<'_>) -> DateTime<Utc> {
    let voided = seen.decision.filter(|_| seen.voided()).map(|it| it.at);
    voided.or(seen.amendment.map(|it| it.at)).unwrap_or(sale.appeared_at)
}

/// The merchant's comment, with the order number, and with the reason of a void.
fn comment(sale: &Sale, seen: &SaleState<'_>) -> String {
    let order = format!("Sale - {}", sale.order_id.as_deref().unwrap_or_default());
    let reason = seen.decision.filter(|_| seen.voided()).map(|it| it.reason);
    reason.map_or_else(|| order.clone(), |reason| format!("VOIDED {reason} {order}"))
}

fn sub_id(sale: &Sale) -> &'static str {
    sale.sub_ids.first().copied().flatten().unwrap_or_default()
}

/// A voided row stays locked.
fn flags(seen: &SaleState<'_>) -> Flags {
    Flags { voided: seen.voided(), locked: seen.decision.is_some(), paid: seen.paid() }
}

/// A row's texts. None of them holds a bar or a line break.
pub(crate) fn columns(core: &Core, played: &Played, sale: &Sale, seen: &SaleState<'_>) -> Vec<String> {
    let zone = Network::ShareAsale.zone();
    let day = |at: Option<DateTime<Utc>>, format: &str| at.map_or_else(String::new, |at| print(at, zone, format));
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
        value.plain(),
        commission.plain(),
        comment(sale, seen),
        flag(flags.voided),
        String::new(),
        flag(flags.locked),
        sub_id(sale).to_owned(),
        "https://publisher.example/page?a=1&b=\"2\"".to_owned(),
        day(seen.decision.filter(|_| flags.voided).map(|it| it.at), MIDNIGHT),
        day(sale.clicked_at, MIDNIGHT),
        sale.clicked_at.map_or_else(String::new, |at| print(at, zone, "%I:%M:%S %p")),
        if changed { format!("banner-{banner}") } else { banner },
        join(sale.lines.iter().map(|line| line.sku.clone()).collect()),
        join(sale.lines.iter().map(|line| line.quantity.to_string()).collect()),
        day(sale.decision.as_ref().map(|it| it.at), DAY),
        day(paid_at(seen), DAY),
        sale.advertiser.name.to_owned(),
        sale.advertiser.site.to_owned(),
        if sale.what == What::Lead { "Lead".to_owned() } else { "Sale".to_owned() },
    ];
    columns.push(if sale.serial.is_multiple_of(7) { "VIP \"Gold\"".to_owned() } else { String::new() });
    columns.push(if sale.serial.is_multiple_of(2) { "1".to_owned() } else { String::new() });
    columns.push(String::new());
    columns
}

/// Lines as ShareASale ends them: the last one, a header without rows too, has a space before its end.
fn lines(lines: impl Iterator<Item = String>) -> String {
    let mut out = lines.collect::<Vec<_>>().join("\r\n");
    out.push_str(" \r\n");
    out
}

/// Text with bars.
pub(crate) fn pipe(header: &[&str], rows: &[Vec<String>]) -> String {
    lines(std::iter::once(header.join("|")).chain(rows.iter().map(|row| row.join("|"))))
}

/// Comma-separated values, each in quotes.
pub(crate) fn csv(header: &[&str], rows: &[Vec<String>]) -> String {
    let quoted = |row: &Vec<String>| {
        row.iter().map(|text| format!("\"{}\"", text.replace('"', "\"\""))).collect::<Vec<_>>().join(",")
    };
    lines(std::iter::once(header.join(",")).chain(rows.iter().map(quoted)))
}

/// An element per column.
pub(crate) fn xml(header: &[&str], rows: &[Vec<String>]) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<report>\n".to_owned();
    for row in rows {
        let names = header.iter().map(|name| name.replace(' ', ""));
        let cells = names.zip(row).map(|(name, text)| format!("<{name}>{}</{name}>", escape(text)));
        out.push_str(&format!("<record>{}</record>\n", cells.collect::<String>()));
    }
    out.push_str("</report>\n");
    out
}

/// The truth of a row.
pub(crate) fn truth(played: &Played, sale: &Sale, seen: &SaleState<'_>) -> TruthRow {
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
        flags,
        currency: Some("USD".to_owned()),
        transacted_at,
        time_basis,
        kind: if sale.what == What::Lead { Kind::Lead } else { Kind::Sale },
        sub_ids: sub_ids([("AffComment", Some(sub_id(sale)))]),
        order_id: filled(sale.order_id.as_deref()),
        ..TruthRow::of(sale, seen, id(played, sale), word)
    }
}
