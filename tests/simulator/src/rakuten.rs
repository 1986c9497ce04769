//! Rakuten Advertising, as `rakuten.json` describes it: a token call and the pages of events.

mod rows;

use crate::core::Core;
use crate::exchange::{Ask, Reply};
use crate::json::Json;
use crate::network::Network;
use crate::truth::TruthRow;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use rows::Event;

const MAX_DAYS: i64 = 30;
const MAX_LIMIT: usize = 1000;
const DEFAULT_LIMIT: usize = 100;

/// An error body.
pub(crate) fn refusal(status: u16, error: &str, text: &str) -> Reply {
    Reply::json(status, &Json::map([("error", Json::text(error)), ("error_description", Json::text(text))]))
}

/// Answers a request.
pub(crate) fn answer(core: &Core, ask: &Ask) -> Reply {
    match (ask.method.as_str(), ask.path.trim_end_matches('/')) {
        ("POST", "/token") => token(core, ask),
        ("GET", "/events/1.0/transactions") => events(core, ask),
        (_, "/token" | "/events/1.0/transactions") => refusal(405, "method_not_allowed", "wrong method"),
        ("GET", path) if path.contains("/reports/") => Reply::text(200, "Your token is not valid for this report."),
        _ => refusal(404, "not_found", "no such resource"),
    }
}

/// Whether a request is the token call.
pub(crate) fn is_login(ask: &Ask) -> bool {
    ask.path.trim_end_matches('/') == "/token"
}

fn token(core: &Core, ask: &Ask) -> Reply {
    let credential = ask.authorization("Bearer").or_else(|| ask.authorization("Basic")).unwrap_or_default();
    let decoded = STANDARD.decode(credential).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let index = core.find(Network::Rakuten, |played| {
        decoded == format!("{}:{}", played.secret("client_id"), played.secret("client_secret"))
    });
    let Some(index) = index else {
        return refusal(401, "invalid_client", "the client id or secret is wrong");
    };
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&ask.body).into_owned().collect();
    let scope = form.iter().find(|(name, _)| name == "scope").map_or("", |(_, value)| value.as_str());
    let sid = core.accounts.get(index).map_or("", |played| played.setting("sid"));
    if scope != sid {
        return refusal(401, "invalid_scope", "scope must be the publisher's SID");
    }
    let answer = Json::map([
        ("access_token", Json::Text(core.grant(index))),
        ("refresh_token", Json::Text(core.fresh("refresh"))),
        ("token_type", Json::text("Bearer")),
        ("expires_in", Json::number(core.options.token_life_secs)),
    ]);
    Reply::json(200, &answer)
}

/// A window of one of the two dates; both ends belong to it.
struct Window {
    processed: bool,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Window {
    /// The windows of the parameters, an open end being the clock.
    fn all(ask: &Ask, clock: DateTime<Utc>, oldest: Option<DateTime<Utc>>) -> Result<Vec<Self>, Reply> {
        let mut windows = Vec::new();
        for (name, processed) in [("process_date", true), ("transaction_date", false)] {
            let (start, end) = (date(ask, &format!("{name}_start"))?, date(ask, &format!("{name}_end"))?);
            if start.is_none() && end.is_none() {
                continue;
            }
            let end = end.unwrap_or(clock);
            let start = start.unwrap_or(end - TimeDelta::days(MAX_DAYS));
            if end < start || end - start > TimeDelta::days(MAX_DAYS) {
                return Err(refusal(400, "invalid_request", "a window must be at most 30 days"));
            }
            if oldest.is_some_and(|oldest| start < oldest) {
                return Err(refusal(400, "invalid_request", "the start must be at most 30 days ago"));
            }
            windows.push(Self { processed, start, end });
        }
        Ok(windows)
    }

    fn holds(&self, event: &Event) -> bool {
        let time = if self.processed { event.processed_at } else { event.transacted_at };
        self.start <= time && time <= self.end
    }
}

fn date(ask: &Ask, name: &str) -> Result<Option<DateTime<Utc>>, Reply> {
    let Some(text) = ask.param(name) else { return Ok(None) };
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
        .map(|time| Some(time.and_utc()))
        .map_err(|_| refusal(400, "invalid_request", &format!("{name} must be YYYY-MM-DD HH:MM:SS")))
}

fn number(ask: &Ask, name: &str, default: usize, most: usize) -> Result<usize, Reply> {
    let Some(text) = ask.param(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| refusal(400, "invalid_request", &format!("{name} must be between 1 and {most}")))
}

fn events(core: &Core, ask: &Ask) -> Reply {
    let Some(index) = ask.authorization("Bearer").and_then(|bearer| core.granted(bearer)) else {
        return refusal(401, "invalid_token", "the access token is not valid or has expired");
    };
    match page(core, index, ask) {
        Ok(rows) => Reply::json(200, &Json::List(rows)),
        Err(refused) => refused,
    }
}

fn page(core: &Core, index: usize, ask: &Ask) -> Result<Vec<Json>, Reply> {
    let clock = core.clock();
    let oldest = core.options.rakuten_keep_days.map(|days| clock - TimeDelta::days(i64::from(days)));
    let windows = Window::all(ask, clock, oldest)?;
    let asked = number(ask, "limit", DEFAULT_LIMIT, MAX_LIMIT)?;
    // Some servers give less than was asked for.
    let limit = core.options.rakuten_page_limit.map_or(asked, |most| asked.min(most));
    let page = number(ask, "page", 1, usize::MAX)?;
    let mut found = rows::events(core, index, clock);
    if let Some(oldest) = oldest {
        found.retain(|event| event.processed_at >= oldest);
    }
    found.retain(|event| {
        windows.iter().all(|window| window.holds(event))
            && ask.param("currency").is_none_or(|code| code.eq_ignore_ascii_case(event.currency()))
            && ask.param("type").is_none_or(|word| word == event.transaction_type)
    });
    found.sort_by(|one, other| (one.processed_at, &one.id).cmp(&(other.processed_at, &other.id)));
    if windows.is_empty() {
        // Without a window: the last ones by process date.
        found.reverse();
    }
    let rendered = found.iter().map(|event| event.render(core, clock));
    let mut rows: Vec<Json> = Vec::new();
    for (event, row) in found.iter().zip(rendered) {
        if core.options.shapes.duplicate_rows && event.twice() {
            rows.push(row.clone());
        }
        rows.push(row);
    }
    Ok(rows.into_iter().skip((page - 1).saturating_mul(limit)).take(limit).collect())
}

/// What is delivered at a clock, however old.
pub(crate) fn truth(core: &Core, index: usize, clock: DateTime<Utc>) -> Vec<TruthRow> {
    rows::events(core, index, clock).iter().map(Event::truth).collect()
}
