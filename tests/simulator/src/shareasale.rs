//! ShareASale, as `shareasale.json` describes it: signed requests, text with bars, errors at 200.

mod rows;

use crate::accounts::Played;
use crate::core::Core;
use crate::exchange::{Ask, Reply};
use crate::network::Network;
use crate::sale::{Sale, Seen};
use crate::truth::TruthRow;
use crate::zone::local;
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use sha2::{Digest, Sha256};

/// An error as ShareASale writes it: at 200.
pub(crate) fn refusal(code: u32, text: &str) -> Reply {
    Reply::text(200, format!("Error Code {code} - {text}\r\n"))
}

/// Answers a request.
pub(crate) fn answer(core: &Core, ask: &Ask) -> Reply {
    if ask.path != "/x.cfm" {
        return Reply::text(404, "not found");
    }
    if ask.method != "GET" {
        return refusal(4000, "use GET");
    }
    match signed_account(core, ask).and_then(|index| report(core, index, ask)) {
        Ok(text) => Reply::text(200, text),
        Err(refused) => refused,
    }
}

/// The account whose signature the request bears.
fn signed_account(core: &Core, ask: &Ask) -> Result<usize, Reply> {
    let param = |name: &str| ask.param(name).ok_or_else(|| refusal(4001, &format!("{name} is missing")));
    let (affiliate, token, version, action) =
        (param("affiliateId")?, param("token")?, param("version")?, param("action")?);
    if !(["2.3", "2.4", "2.5", "2.6", "2.7", "2.8", "2.9", "3.0"].contains(&version)) {
        return Err(refusal(4002, "version must be 2.3 to 3.0"));
    }
    let header = |name: &str| ask.header(name).ok_or_else(|| refusal(4003, &format!("header {name} is missing")));
    let (date, signature) = (header("x-shareasale-date")?, header("x-shareasale-authentication")?);
    let format = "%a, %d %b %Y %H:%M:%S GMT";
    let strict = NaiveDateTime::parse_from_str(date, format).is_ok_and(|time| time.format(format).to_string() == date);
    if !strict {
        return Err(refusal(4004, "the date header must be RFC 1123 in GMT"));
    }
    let found = core.find(Network::ShareAsale, |played| played.setting("affiliate_id") == affiliate);
    let found = found.and_then(|index| Some((index, core.accounts.get(index)?)));
    let Some((index, played)) = found.filter(|(_, played)| played.secret("token") == token) else {
        return Err(refusal(4005, "the affiliate id or token is wrong"));
    };
    let signed = format!("{token}:{date}:{action}:{}", played.secret("secret_key"));
    let wanted = hex::encode(Sha256::digest(signed.as_bytes()));
    if wanted.eq_ignore_ascii_case(signature) { Ok(index) } else { Err(refusal(4006, "the signature is wrong")) }
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
            let day = NaiveDate::parse_from_str(text, "%m/%d/%Y").ok().filter(|_| text.len() == 10);
            day.map(Some).ok_or_else(|| refusal(4007, &format!("{name} must be MM/DD/YYYY")))
        };
        let ledger = match ask.param("action") {
            Some("activity") => false,
            Some("ledger") => true,
            _ => return Err(refusal(4008, "the action is not known")),
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

    fn holds(&self, sale: &Sale, seen: &Seen<'_>) -> bool {
        let day = |time: DateTime<Utc>| local(time, Network::ShareAsale.zone()).date();
        let time = if self.ledger { rows::changed_at(sale, seen) } else { sale.transacted_at };
        let at = day(time);
        self.start.is_none_or(|start| start <= at)
            && self.end.is_none_or(|end| at <= end)
            && self.locks.is_none_or(|locks| sale.decision.as_ref().is_some_and(|it| day(it.at) == locks))
            && self.paid.is_none_or(|paid| rows::paid_at(seen).is_some_and(|at| day(at) == paid))
            && self.merchant.as_ref().is_none_or(|id| *id == sale.advertiser.id.to_string())
    }
}

fn report(core: &Core, index: usize, ask: &Ask) -> Result<String, Reply> {
    let filter = Filter::of(ask)?;
    let clock = core.clock();
    let played = core.accounts.get(index).ok_or_else(|| refusal(4005, "no account"))?;
    let extra = core.has_new_field(clock);
    let mut found: Vec<Vec<String>> = Vec::new();
    for sale in core.sales(index, clock).iter() {
        let Some(seen) = sale.seen(clock).filter(|seen| filter.holds(sale, seen)) else { continue };
        let mut row = rows::columns(core, played, sale, &seen);
        if extra {
            row.push(format!("{{\"model\":\"last-click\",\"hops\":{}}}", sale.serial % 5));
        }
        if core.options.shapes.duplicate_rows && sale.dice(core.options.seed, "twice").chance(80) {
            found.push(row.clone());
        }
        found.push(row);
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
        _ => Err(refusal(4009, "format must be pipe, csv or xml")),
    }
}

/// What is delivered at a clock.
pub(crate) fn truth(core: &Core, index: usize, clock: DateTime<Utc>) -> Vec<TruthRow> {
    let Some(played): Option<&Played> = core.accounts.get(index) else { return Vec::new() };
    let sales = core.sales(index, clock);
    sales.iter().filter_map(|sale| Some(rows::truth(played, sale, &sale.seen(clock)?))).collect()
}
