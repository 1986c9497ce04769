//! TradeTracker's conversion transactions.

use super::xml::escape;
use crate::accounts::Played;
use crate::core::Core;
use crate::network::Network;
use crate::sale::{Sale, SaleState, What};
use crate::truth::{Kind, TruthRow, sub_ids};
use crate::zone::{TimeBasis, earliest, local};
use chrono::{DateTime, Utc};

/// The status word.
pub(crate) fn status(seen: &SaleState<'_>) -> &'static str {
    match (seen.decision, seen.voided()) {
        (None, _) => "pending",
        (_, true) => "rejected",
        _ => "accepted",
    }
}

/// The id; some are beyond 2^53.
fn id(played: &Played, sale: &Sale) -> String {
    let place = u64::try_from(played.place).unwrap_or(0);
    let base = if sale.serial % 29 == 3 { 9_007_199_254_740_993 } else { 1_000_000_000_000 };
    (base + place * 1_000_000_000_000 * 1000 + sale.serial * 2).to_string()
}

/// Whether the account's times name their offset; every second one's do.
fn has_offset(played: &Played) -> bool {
    !played.place.is_multiple_of(2)
}

fn time(played: &Played, at: DateTime<Utc>) -> String {
    let zone = Network::TradeTracker.zone();
    let format = if has_offset(played) { "%Y-%m-%dT%H:%M:%S%:z" } else { "%Y-%m-%d %H:%M:%S" };
    at.with_timezone(&zone).format(format).to_string()
}

/// When it was assessed: none before, which accounts without offsets write as zeros on some rows.
fn assessed(played: &Played, sale: &Sale, seen: &SaleState<'_>) -> Option<String> {
    let zeros = (!has_offset(played) && sale.serial.is_multiple_of(3)).then(|| "0000-00-00 00:00:00".to_owned());
    seen.decision.map(|it| time(played, it.at)).or(zeros)
}

fn element(name: &str, value: Option<&str>) -> String {
    match value {
        None => format!("<{name} xsi:nil=\"true\"/>"),
        Some("") => format!("<{name}></{name}>"),
        Some(text) => format!("<{name}>{}</{name}>", escape(text)),
    }
}

/// The commission group, which not every campaign has.
fn product(sale: &Sale) -> String {
    match sale.serial % 4 {
        0 => "<campaignProduct xsi:nil=\"true\"/>".to_owned(),
        number => format!("<campaignProduct><ID>{}</ID><name>Group {number}</name></campaignProduct>", 17_000 + number),
    }
}

fn word(sale: &Sale) -> &'static str {
    if sale.what == What::Lead { "lead" } else { "sale" }
}

/// How long after the click it came: an `xsd:duration`.
fn duration(sale: &Sale) -> Option<String> {
    let secs = (sale.transacted_at - sale.clicked_at?).num_seconds();
    Some(format!("PT{}M{}.818513S", secs / 60, secs % 60))
}

/// The elements of newer answers.
fn newer(sale: &Sale, seen: &SaleState<'_>, played: &Played) -> String {
    let (_, commission) = sale.amounts(seen);
    let paid = if seen.paid() { "true" } else { "false" };
    let sites = format!(
        "<affiliateSitesPaidOut><item>{}{}</item></affiliateSitesPaidOut>",
        element("affiliateSiteID", Some(played.setting("affiliate_site_id"))),
        element("paidOut", Some(paid)),
    );
    [
        element("numTouchPointsTotal", Some(&(1 + sale.serial % 4).to_string())),
        element("numTouchPointsAttributed", Some("1")),
        element("attributableCommission", Some(&commission.fixed(2))),
        element("attributionModel", Some("last-click")),
        sites,
    ]
    .concat()
}

/// An item with every documented element.
pub(crate) fn render(core: &Core, played: &Played, sale: &Sale, seen: &SaleState<'_>, clock: DateTime<Utc>) -> String {
    let (value, commission) = sale.amounts(seen);
    let campaign = sale.advertiser.id.to_string();
    let address = format!("203.0.113.{}", sale.serial % 250);
    let description = match sale.serial % 5 {
        0 => None,
        1 => Some(""),
        _ => sale.lines.first().map(|line| line.product),
    };
    let mut item = String::from("<item>");
    item.push_str(&element("ID", Some(&id(played, sale))));
    item.push_str(&element("transactionType", Some(word(sale))));
    item.push_str(&element("transactionStatus", Some(status(seen))));
    item.push_str(&element("paidOut", Some(if seen.paid() { "true" } else { "false" })));
    item.push_str("<campaign>");
    item.push_str(&element("ID", Some(&campaign)));
    item.push_str(&element("name", Some(sale.advertiser.name)));
    item.push_str(&element("URL", Some(sale.advertiser.site)));
    item.push_str(&element("info", None));
    item.push_str("</campaign>");
    item.push_str(&product(sale));
    // Two places or three.
    let places = if sale.serial.is_multiple_of(3) { 3 } else { 2 };
    item.push_str(&element("commission", Some(&commission.fixed(places))));
    item.push_str(&element("orderAmount", Some(&value.fixed(2))));
    item.push_str(&element("currency", Some(sale.advertiser.currency)));
    item.push_str(&element("registrationDate", Some(&time(played, sale.transacted_at))));
    item.push_str(&element("assessmentDate", assessed(played, sale, seen).as_deref()));
    item.push_str(&element("originatingClickDate", sale.clicked_at.map(|at| time(played, at)).as_deref()));
    item.push_str(&element("reference", sale.sub_ids.first().copied().flatten()));
    item.push_str(&element("rejectionReason", seen.decision.filter(|_| seen.voided()).map(|it| it.reason)));
    item.push_str(&element("description", description));
    item.push_str(&element("IP", Some(&address)));
    item.push_str(&element("countryCode", sale.country));
    item.push_str(&element("clickToConversion", duration(sale).as_deref()));
    if has_offset(played) {
        item.push_str(&newer(sale, seen, played));
    }
    if core.has_new_field(clock) {
        item.push_str(
            "<attribution><model>last-click</model><weights><item>0.75</item><item>0.25</item></weights></attribution>",
        );
    }
    item.push_str("</item>");
    item
}

/// The truth of a row.
pub(crate) fn truth(played: &Played, sale: &Sale, seen: &SaleState<'_>) -> TruthRow {
    let zone = Network::TradeTracker.zone();
    let (transacted_at, time_basis) = if has_offset(played) {
        (sale.transacted_at, TimeBasis::Instant)
    } else {
        earliest(local(sale.transacted_at, zone), zone)
    };
    TruthRow {
        transacted_at,
        time_basis,
        kind: if sale.what == What::Lead { Kind::Lead } else { Kind::Sale },
        sub_ids: sub_ids([("reference", sale.sub_ids.first().copied().flatten())]),
        ..TruthRow::of(sale, seen, id(played, sale), status(seen))
    }
}
