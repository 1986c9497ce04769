//! Awin, as `awin.json` describes it: transactions by window or ids, programmes, accounts.

pub(crate) mod rows;

use crate::accounts::Played;
use crate::core::Core;
use crate::exchange::{Ask, Reply};
use crate::json::Json;
use crate::network::Network;
use crate::sale::{Sale, SaleState};
use crate::truth::TruthRow;
use crate::words::ADVERTISERS;
use crate::zone::bounds;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;

const MAX_DAYS: i64 = 31;
const PER_MINUTE: usize = 20;

/// An error as Awin writes it.
pub(crate) fn refusal(status: u16, error: &str, description: &str) -> Reply {
    Reply::json(status, &Json::map([("error", Json::text(error)), ("description", Json::text(description))]))
}

/// Answers a request.
pub(crate) fn answer(core: &Core, ask: &Ask) -> Reply {
    if ask.method != "GET" {
        return refusal(405, "method_not_allowed", "only GET is supported");
    }
    let token = ask.authorization("Bearer").or_else(|| ask.param("accessToken"));
    let account = token.and_then(|token| core.find(Network::Awin, |played| played.secret("token") == token));
    let Some(index) = account else {
        return refusal(401, "unauthorized", "the access token is missing or not valid");
    };
    if core.options.enforce_rate_limits && !core.within_pace(index, PER_MINUTE) {
        return refusal(429, "too_many_requests", "at most 20 API calls per minute per user");
    }
    let Some(played) = core.accounts.get(index) else { return refusal(401, "unauthorized", "no account") };
    let segments: Vec<&str> = ask.path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        ["accounts"] => accounts(played, ask),
        ["publishers", publisher, resource] => {
            if *publisher != played.setting("publisher_id") {
                return refusal(401, "unauthorized", "the access token has no right to this publisher");
            }
            match *resource {
                "transactions" => transactions(core, index, played, ask),
                "programmes" => programmes(ask),
                _ => refusal(404, "not_found", "no such resource"),
            }
        }
        _ => refusal(404, "not_found", "no such resource"),
    }
}

/// The parameters of a transactions request, checked.
struct Question {
    start: NaiveDateTime,
    end: NaiveDateTime,
    zone: Tz,
    axis: String,
}

impl Question {
    fn of(ask: &Ask) -> Result<Self, Reply> {
        let bad = |text: &str| refusal(400, "bad_request", text);
        let date = |name: &str| {
            let text = ask.param(name).ok_or_else(|| bad(&format!("{name} is required")))?;
            NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S")
                .ok()
                .filter(|_| text.len() == 19)
                .ok_or_else(|| bad(&format!("{name} must be yyyy-MM-ddThh:mm:ss without milliseconds and zone")))
        };
        let (start, end) = (date("startDate")?, date("endDate")?);
        if end < start {
            return Err(bad("endDate is before startDate"));
        }
        if end - start > TimeDelta::days(MAX_DAYS) {
            return Err(bad("the maximum range between startDate and endDate is 31 days"));
        }
        let axis = ask.param("dateType").unwrap_or("transaction").to_owned();
        if !["transaction", "validation", "amendment"].contains(&axis.as_str()) {
            return Err(bad("dateType must be transaction, validation or amendment"));
        }
        if ask.param("status").is_some_and(|word| !["pending", "approved", "declined", "deleted"].contains(&word)) {
            return Err(bad("status must be pending, approved, declined or deleted"));
        }
        Ok(Self { start, end, zone: zone(ask)?, axis })
    }

    /// Whether a conversion is in the range, whose both ends belong to it.
    fn holds(&self, sale: &Sale, seen: &SaleState<'_>) -> bool {
        let time = match self.axis.as_str() {
            "validation" => seen.decision.map(|it| it.at),
            "amendment" => seen.amendment.map(|it| it.at),
            _ => Some(sale.transacted_at),
        };
        time.is_some_and(|time| bounds(self.start, self.zone).0 <= time && time <= bounds(self.end, self.zone).1)
    }
}

fn zone(ask: &Ask) -> Result<Tz, Reply> {
    let name = ask.param("timezone").unwrap_or("UTC");
    name.parse().map_err(|_| refusal(400, "bad_request", &format!("unknown timezone {name}")))
}

fn transactions(core: &Core, index: usize, played: &Played, ask: &Ask) -> Reply {
    if let Some(ids) = ask.param("ids") {
        return match zone(ask) {
            Ok(zone) => {
                let ids: Vec<&str> = ids.split(',').map(str::trim).collect();
                list(core, index, played, ask, zone, |sale, _| ids.contains(&rows::id(played, sale).as_str()))
            }
            Err(refused) => refused,
        };
    }
    let question = match Question::of(ask) {
        Ok(question) => question,
        Err(refused) => return refused,
    };
    if let Some(bulk) = core.bulk.as_ref().filter(|_| played.bulk) {
        return Reply::new(200, "application/json;charset=UTF-8", bulk.render(question.start, question.end));
    }
    list(core, index, played, ask, question.zone, |sale, seen| question.holds(sale, seen))
}

fn list(
    core: &Core,
    index: usize,
    played: &Played,
    ask: &Ask,
    zone: Tz,
    test: impl Fn(&Sale, &SaleState<'_>) -> bool,
) -> Reply {
    let clock = core.clock();
    let advertisers: Option<Vec<&str>> = ask.param("advertiserId").map(|ids| ids.split(',').map(str::trim).collect());
    let basket = ask.param("showBasketProducts") == Some("true");
    let mut found = Vec::new();
    for sale in core.sales(index, clock).iter() {
        let Some(seen) = sale.seen(clock).filter(|seen| test(sale, seen)) else { continue };
        let wanted = ask.param("status").is_none_or(|word| word == rows::status(&seen))
            && advertisers.as_ref().is_none_or(|ids| ids.contains(&sale.advertiser.id.to_string().as_str()));
        if !wanted {
            continue;
        }
        let row = rows::render(core, played, sale, &seen, &rows::View { zone, basket, clock });
        if core.options.shapes.duplicate_rows && sale.dice(core.options.seed, "twice").chance(80) {
            found.push(row.clone());
        }
        found.push(row);
    }
    Reply::json(200, &Json::List(found))
}

fn programmes(ask: &Ask) -> Reply {
    let relationship = ask.param("relationship").unwrap_or("joined");
    if !["joined", "pending", "suspended", "rejected", "notjoined"].contains(&relationship) {
        return refusal(400, "bad_request", "unknown relationship");
    }
    let joined = ADVERTISERS.iter().filter(|_| relationship == "joined");
    let rows = joined.map(|it| {
        Json::map([
            ("id", Json::number(it.id)),
            ("name", Json::text(it.name)),
            ("currencyCode", Json::text(it.currency)),
            ("displayUrl", Json::text(it.site)),
        ])
    });
    Reply::json(200, &Json::List(rows.collect()))
}

fn accounts(played: &Played, ask: &Ask) -> Reply {
    let publisher = ask.param("type").is_none_or(|kind| kind == "publisher");
    let row = Json::map([
        ("accountId", Json::number(played.setting("publisher_id"))),
        ("accountName", Json::text(&played.account.name)),
        ("accountType", Json::text("publisher")),
    ]);
    Reply::json(200, &Json::map([("accounts", Json::List(if publisher { vec![row] } else { Vec::new() }))]))
}

/// What is delivered at a clock.
pub(crate) fn truth(core: &Core, index: usize, clock: DateTime<Utc>) -> Vec<TruthRow> {
    let Some(played) = core.accounts.get(index) else { return Vec::new() };
    let sales = core.sales(index, clock);
    sales.iter().filter_map(|sale| Some(rows::truth(played, sale, &sale.seen(clock)?))).collect()
}
