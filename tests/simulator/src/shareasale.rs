//! ShareASale, as `shareasale.json` describes it: signed requests, text with bars, errors at 200.

mod payouts;
mod rows;

use crate::accounts::Played;
use crate::core::Core;
use crate::exchange::{Ask, Reply};
use crate::network::Network;
use crate::sale::{Sale, SaleState};
use crate::truth::TruthRow;
use crate::zone::local;
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use sha2::{Digest, Sha256};

/// An error as ShareASale writes it: at 200, with the address of the caller.
pub(crate) fn refusal(code: u32) -> Reply {
    Reply::new(200, "text/html;charset=UTF-8", format!("Invalid Request - Error Code {code} - 203.0.113.9\r\n"))
}

/// Answers a request.
pub(crate) fn answer(core: &Core, ask: &Ask) -> Reply {
    if ask.path != "/x.cfm" {
        return Reply::text(404, "not found");
    }
    if ask.method != "GET" {
        return refusal(4000);
    }
    match signed_account(core, ask).and_then(|index| report(core, index, ask)) {
        Ok(text) => Reply::text(200, text),
        Err(refused) => refused,
    }
}

/// The account whose signature the request bears.
fn signed_account(core: &Core, ask: &Ask) -> Result<usize, Reply> {
    let param = |name: &str| ask.param(name).ok_or_else(|| refusal(4001));
    let (affiliate, token, version, action) =
        (param("affiliateId")?, param("token")?, param("version")?, param("action")?);
    // 3.0 is the merchants' endpoint.
    if !matches!(version.split_once('.'), Some(("1", "3" | "4" | "5" | "6" | "7" | "8" | "9") | ("2", _))) {
        return Err(refusal(4002));
    }
    let header = |name: &str| ask.header(name).ok_or_else(|| refusal(4003));
    let (date, signature) = (header("x-shareasale-date")?, header("x-shareasale-authentication")?);
    let is_strict =
        |format| NaiveDateTime::parse_from_str(date, format).is_ok_and(|time| time.format(format).to_string() == date);
    if !["%a, %d %b %Y %H:%M:%S GMT", "%a, %d %b %Y %H:%M:%S +0000"].into_iter().any(is_strict) {
        return Err(refusal(4004));
    }
    let found = core.find(Network::ShareAsale, |played| played.setting("affiliate_id") == affiliate);
    let found = found.and_then(|index| Some((index, core.accounts.get(index)?)));
    let Some((index, played)) = found.filter(|(_, played)| played.secret("token") == token) else {
        return Err(refusal(4075));
    };
    let signed = format!("{token}:{date}:{action}:{}", played.secret("secret_key"));
    let wanted = hex::encode(Sha256::digest(signed.as_bytes()));
    if wanted.eq_ignore_ascii_case(signature) { Ok(index) } else { Err(refusal(4006)) }
}

/// The filters of a report; days in the network's zone, both of which belong to the window.
struct Filter {
    start: Option<NaiveDate>,
    end: Option<NaiveDate>,
    locks: Option<NaiveDate>,
    paid: Option<NaiveDate>,
    merchant: Option<String>,
    ledger: bool,
}

impl Filter {
    fn of(ask: &Ask) -> Result<Self, Reply> {
        let day = |name: &str| {
            let Some(text) = ask.param(name) else { return Ok(None) };
            let parse = |format| NaiveDate::parse_from_str(text, format).ok().filter(|_| text.len() == 10);
            parse("%m/%d/%Y").or_else(|| parse("%Y-%m-%d")).map(Some).ok_or_else(|| refusal(4007))
        };
        let ledger = match ask.param("action") {
            Some("activity") => false,
            Some("ledger") => true,
            _ => return Err(refusal(4008)),
        };
        Ok(Self {
            start: day("dateStart")?,
            end: day("dateEnd")?,
            locks: day("lockDate")?,
            paid: day("paidDate")?,
            merchant: ask.param("merchantId").map(str::to_owned),
            ledger,
        })
    }

    fn holds_day(&self, time: DateTime<Utc>) -> bool {
        let at = local(time, Network::ShareAsale.zone()).date();
        self.start.is_none_or(|start| start <= at) && self.end.is_none_or(|end| at <= end)
    }

    fn holds(&self, sale: &Sale, seen: &SaleState<'_>) -> bool {
        let day = |time: DateTime<Utc>| local(time, Network::ShareAsale.zone()).date();
        let time = if self.ledger { rows::changed_at(sale, seen) } else { sale.transacted_at };
        self.holds_day(time)
            && self.locks.is_none_or(|locks| sale.decision.as_ref().is_some_and(|it| day(it.at) == locks))
            && self.paid.is_none_or(|paid| rows::paid_at(seen).is_some_and(|at| day(at) == paid))
            && self.merchant.as_ref().is_none_or(|id| *id == sale.advertiser.id.to_string())
    }
}

fn report(core: &Core, index: usize, ask: &Ask) -> Result<String, Reply> {
    let filter = Filter::of(ask)?;
    let clock = core.clock();
    let played = core.accounts.get(index).ok_or_else(|| refusal(4075))?;
    let extra = core.has_new_field(clock);
    let mut found: Vec<Vec<String>> = Vec::new();
    for sale in core.sales(index, clock).iter() {
        let Some(seen) = sale.seen(clock).filter(|seen| filter.holds(sale, seen)) else { continue };
        let row = rows::columns(core, played, sale, &seen);
        if core.options.shapes.duplicate_rows && sale.dice(core.options.seed, "twice").chance(80) {
            found.push(row.clone());
        }
        found.push(row);
    }
    let payouts = payouts::payouts(played, &core.sales(index, clock), clock);
    found.extend(payouts.into_iter().filter(|(at, _)| !filter.ledger && filter.holds_day(*at)).map(|(_, row)| row));
    for (number, row) in found.iter_mut().enumerate().filter(|_| extra) {
        row.push(format!("{{\"model\":\"last-click\",\"hops\":{}}}", number % 5));
    }
    let mut header: Vec<&str> = rows::HEADER.to_vec();
    if extra {
        header.push("Attribution");
    }
    if let Some(column) =
        ask.param("sortCol").and_then(|name| header.iter().position(|it| it.eq_ignore_ascii_case(name)))
    {
        found.sort_by(|one, other| one.get(column).cmp(&other.get(column)));
    }
    if ask.param("sortDir").is_some_and(|word| word.eq_ignore_ascii_case("desc")) {
        found.reverse();
    }
    let format = if ask.param("XMLFormat") == Some("1") { "xml" } else { ask.param("format").unwrap_or("pipe") };
    match format {
        "pipe" => Ok(rows::pipe(&header, &found)),
        "csv" => Ok(rows::csv(&header, &found)),
        "xml" => Ok(rows::xml(&header, &found)),
        _ => Err(refusal(4009)),
    }
}

/// What is delivered at a clock.
pub(crate) fn truth(core: &Core, index: usize, clock: DateTime<Utc>) -> Vec<TruthRow> {
    let Some(played): Option<&Played> = core.accounts.get(index) else { return Vec::new() };
    let sales = core.sales(index, clock);
    sales.iter().filter_map(|sale| Some(rows::truth(played, sale, &sale.seen(clock)?))).collect()
}
