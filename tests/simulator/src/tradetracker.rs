//! TradeTracker, as `tradetracker.json` describes it: SOAP with a session in a cookie.

mod rows;
mod xml;

use crate::accounts::Played;
use crate::core::Core;
use crate::exchange::{Ask, Reply};
use crate::network::Network;
use crate::sale::{Sale, SaleState};
use crate::truth::TruthRow;
use crate::zone::local;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use xml::{Call, escape};

const COOKIE: &str = "SID";
const NAMESPACE: &str = "https://ws.tradetracker.com/soap/affiliate";

fn envelope(status: u16, body: &str) -> Reply {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<SOAP-ENV:Envelope \
         xmlns:SOAP-ENV=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:ns1=\"{NAMESPACE}\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xmlns:SOAP-ENC=\"http://schemas.xmlsoap.org/soap/encoding/\"><SOAP-ENV:Body>{body}</SOAP-ENV:Body></SOAP-ENV:Envelope>\n"
    );
    Reply::new(status, "text/xml; charset=utf-8", text)
}

/// A SOAP Fault at a status: 500 as the standard has it, or 200.
pub(crate) fn fault(status: u16, text: &str) -> Reply {
    let body = format!(
        "<SOAP-ENV:Fault><faultcode>SOAP-ENV:Client</faultcode><faultstring>{}</faultstring></SOAP-ENV:Fault>",
        escape(text)
    );
    envelope(status, &body)
}

/// The Fault of a session that isn't known.
pub(crate) fn session_fault() -> Reply {
    fault(500, "Not yet authenticated")
}

/// The session in a request's cookie.
pub(crate) fn session(ask: &Ask) -> Option<&str> {
    ask.header("cookie")?.split(';').find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Whether a request logs in.
pub(crate) fn is_login(ask: &Ask) -> bool {
    xml::call(&ask.text()).is_some_and(|call| call.method == "authenticate")
}

/// Answers a request.
pub(crate) fn answer(core: &Core, ask: &Ask) -> Reply {
    if ask.path.trim_end_matches('/') != "/soap/affiliate" {
        return Reply::text(404, "not found");
    }
    if ask.method != "POST" {
        return Reply::text(405, "POST a SOAP envelope");
    }
    let Some(call) = xml::call(&ask.text()) else {
        return fault(500, "Bad Request: the body is not a SOAP 1.1 envelope");
    };
    match ask.header("soapaction") {
        None => return fault(500, "the SOAPAction header is missing"),
        Some(action) if action.trim() != format!("\"{NAMESPACE}/{}\"", call.method) => {
            return fault(500, "the SOAPAction header does not name the method of the body");
        }
        Some(_) => {}
    }
    if call.method == "authenticate" {
        return authenticate(core, &call);
    }
    let account = session(ask).and_then(|session| core.session(session));
    let Some((index, played)) = account.and_then(|index| Some((index, core.accounts.get(index)?))) else {
        return session_fault();
    };
    match call.method.as_str() {
        "getAffiliateSites" => sites(played),
        "getConversionTransactions" => conversions(core, index, played, &call),
        other => fault(500, &format!("Function (\"{other}\") is not a valid method for this service")),
    }
}

fn authenticate(core: &Core, call: &Call) -> Reply {
    let (customer, passphrase) = (call.value("customerID"), call.value("passphrase"));
    let index = core.find(Network::TradeTracker, |played| {
        customer == Some(played.setting("customer_id")) && passphrase == Some(played.secret("passphrase"))
    });
    match index {
        // Half of the Faults come at 200, as the documents leave it open.
        None => fault(if customer.is_some_and(|id| id.ends_with('1')) { 200 } else { 500 }, "Authentication failed"),
        Some(index) => {
            let cookie = format!("{COOKIE}={}; path=/", core.open_session(index));
            envelope(200, "<ns1:authenticateResponse/>").with("set-cookie", cookie)
        }
    }
}

fn sites(played: &Played) -> Reply {
    let item = format!(
        "<item><ID>{}</ID><name>{}</name><URL>https://publisher.example/?a=1&amp;b=2</URL></item>",
        escape(played.setting("affiliate_site_id")),
        escape(&format!("{} & Söhne", played.account.name)),
    );
    let name = "getAffiliateSitesResponse";
    envelope(200, &format!("<ns1:{name}><affiliateSites>{item}</affiliateSites></ns1:{name}>"))
}

/// The options of a call: moments in the network's zone, the first of which belongs to the window. A bare date is its
/// midnight.
struct Filter {
    registered: (Option<NaiveDateTime>, Option<NaiveDateTime>),
    assessed: (Option<NaiveDateTime>, Option<NaiveDateTime>),
    status: Option<String>,
}

impl Filter {
    fn of(call: &Call) -> Result<Self, String> {
        let moment = |name: &str| {
            let Some(text) = call.value(name) else { return Ok(None) };
            let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(NaiveTime::MIN));
            let moment = day.or_else(|_| NaiveDateTime::parse_from_str(&text.replace('T', " "), "%Y-%m-%d %H:%M:%S"));
            moment.map(Some).map_err(|_| format!("{name} must be a dateTime"))
        };
        let status = call.value("transactionStatus").map(str::to_owned);
        if status.as_deref().is_some_and(|word| !["pending", "accepted", "rejected"].contains(&word)) {
            return Err("transactionStatus must be pending, accepted or rejected".to_owned());
        }
        Ok(Self {
            registered: (moment("registrationDateFrom")?, moment("registrationDateTo")?),
            assessed: (moment("assessmentDateFrom")?, moment("assessmentDateTo")?),
            status,
        })
    }

    fn holds(&self, sale: &Sale, seen: &SaleState<'_>) -> bool {
        within(self.registered, Some(sale.transacted_at))
            && within(self.assessed, seen.decision.map(|it| it.at))
            && self.status.as_deref().is_none_or(|word| word == rows::status(seen))
    }
}

fn within((from, to): (Option<NaiveDateTime>, Option<NaiveDateTime>), time: Option<DateTime<Utc>>) -> bool {
    let at = time.map(|time| local(time, Network::TradeTracker.zone()));
    from.is_none_or(|from| at.is_some_and(|at| from <= at)) && to.is_none_or(|to| at.is_some_and(|at| at < to))
}

fn conversions(core: &Core, index: usize, played: &Played, call: &Call) -> Reply {
    if call.value("affiliateSiteID") != Some(played.setting("affiliate_site_id")) {
        return fault(500, "affiliateSiteID is missing or is not a site of this customer");
    }
    let filter = match Filter::of(call) {
        Ok(filter) => filter,
        Err(text) => return fault(500, &text),
    };
    let clock = core.clock();
    let (mut items, mut count) = (String::new(), 0);
    for sale in core.sales(index, clock).iter() {
        let Some(seen) = sale.seen(clock).filter(|seen| filter.holds(sale, seen)) else { continue };
        let item = rows::render(core, played, sale, &seen, clock);
        if core.options.shapes.duplicate_rows && sale.dice(core.options.seed, "twice").chance(80) {
            items.push_str(&item);
            count += 1;
        }
        items.push_str(&item);
        count += 1;
    }
    let (name, list) = ("getConversionTransactionsResponse", "conversionTransactions");
    let array = format!("SOAP-ENC:arrayType=\"ns1:ConversionTransaction[{count}]\"");
    envelope(200, &format!("<ns1:{name}><{list} {array}>{items}</{list}></ns1:{name}>"))
}

/// What is delivered at a clock.
pub(crate) fn truth(core: &Core, index: usize, clock: DateTime<Utc>) -> Vec<TruthRow> {
    let Some(played) = core.accounts.get(index) else { return Vec::new() };
    let sales = core.sales(index, clock);
    sales.iter().filter_map(|sale| Some(rows::truth(played, sale, &sale.seen(clock)?))).collect()
}
