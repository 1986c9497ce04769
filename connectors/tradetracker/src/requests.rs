//! What is asked, and what an answer means.

use sluice_connector::*;

const ADDRESS: &str = "https://ws.tradetracker.com/soap/affiliate";
const TOKEN: &str = "session";
const OPEN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
    <soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\" \
    xmlns:tns=\"https://ws.tradetracker.com/soap/affiliate\"><soap:Body>";
const CLOSE: &str = "</soap:Body></soap:Envelope>";

/// The sign-in: its cookies are the session.
pub(crate) fn session() -> TokenSource {
    let arguments = text("<customerID>")
        .then(setting("customer_id").apply(Function::XmlEscape))
        .text("</customerID><passphrase>")
        .then(text("").secret("passphrase").apply(Function::XmlEscape))
        .text("</passphrase><sandbox>false</sandbox><locale>en_GB</locale><demo>false</demo>");
    TokenSource {
        name: TOKEN.into(),
        request: call("authenticate", "authenticate", arguments).step(),
        value: TokenPlace::Cookies,
        lifetime: None,
        // Undocumented: a session is good until it is refused.
        lifetime_secs: None,
        refresh_value: None,
        refresh: None,
        rotates: false,
    }
}

/// One request per slice: there is no paging, the window alone bounds the answer.
pub(crate) fn plan(slice: &Slice) -> Result<Vec<Request>, Refusal> {
    for name in ["customer_id", "affiliate_site_id"] {
        let value = slice.setting(name).unwrap_or_default();
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Refusal { kind: RefusalKind::Settings, text: format!("`{name}` must be a number") });
        }
    }
    let dates = match slice.axis.as_str() {
        "validation" => "assessmentDate",
        _ => "registrationDate",
    };
    let (from, to) = days(&slice.window);
    let arguments = text("<affiliateSiteID>").then(setting("affiliate_site_id").apply(Function::XmlEscape)).text(
        format!("</affiliateSiteID><options><{dates}From>{from}</{dates}From><{dates}To>{to}</{dates}To></options>"),
    );
    Ok(vec![call("transactions", "getConversionTransactions", arguments).header("cookie", text("").token(TOKEN))])
}

/// The first day and the day after the last, in the stream's zone.
///
/// A bare date is taken as its midnight, so `…DateTo` leaves its own day out.
fn days(window: &Window) -> (String, String) {
    let day = |micros| format_time(micros, "%Y-%m-%d");
    (day(window.local_since), day(window.local_until + (DAY_MICROS - 1)))
}

/// A SOAP 1.1 call.
fn call(key: &str, method: &str, arguments: Template) -> Request {
    let body = text(format!("{OPEN}<tns:{method}>")).then(arguments).text(format!("</tns:{method}>{CLOSE}"));
    post(key, text(ADDRESS), body)
        .header("content-type", text("text/xml; charset=utf-8"))
        .header("soapaction", text(format!("\"{ADDRESS}/{method}\"")))
}

/// A fault comes with status 500 or 200. One that speaks of the session (`Not yet authenticated`) asks for a new one;
/// whether another one passes, its words don't say, so it is asked again and the host counts.
pub(crate) fn follow(response: &Response) -> Judgement {
    match fault(response) {
        Some(text) if is_signed_out(&text) => Judgement { verdict: Verdict::Renew(TOKEN.into()), cursor: None },
        Some(text) => retry(format!("SOAP fault: {text}")),
        None => by_status(response, Some(TOKEN)),
    }
}

/// The fault's words. An answer that has records is not searched: it may be long.
fn fault(response: &Response) -> Option<String> {
    let has_records = response.records.is_some_and(|rows| rows > 0) && response.problem.is_none();
    if matches!(response.status, 200..=299) && has_records {
        return None;
    }
    let stated = response.problem.and_then(|problem| problem.strip_prefix("SOAP fault:"));
    response.value_at("Envelope.Body.Fault.faultstring").or_else(|| stated.map(|text| text.trim().to_owned()))
}

fn is_signed_out(fault: &str) -> bool {
    let fault = fault.to_ascii_lowercase();
    ["session", "authenticat", "login", "log in", "logged in"].iter().any(|word| fault.contains(word))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn slice(axis: &str) -> Slice {
        let at = |text| Time::iso(text).unwrap().micros;
        let window = Window {
            since: at("2025-12-31T23:00:00"),
            until: at("2026-01-14T23:00:00"),
            local_since: at("2026-01-01T00:00:00"),
            local_until: at("2026-01-15T00:00:00"),
        };
        Slice {
            stream: "transactions".into(),
            account: "main".into(),
            settings: vec![("affiliate_site_id".into(), "98765".into()), ("customer_id".into(), "123456".into())],
            window,
            axis: axis.into(),
            cursor: None,
        }
    }

    fn body(request: &Request) -> String {
        let texts = request.body.iter().flatten().map(|op| match op {
            Op::Text(text) => text.clone(),
            Op::Secret(name) | Op::Setting(name) => format!("<<{name}>>"),
            _ => String::new(),
        });
        texts.collect()
    }

    fn judged(status: u16, records: Option<u32>, problem: Option<&str>, fault: Option<&str>) -> Verdict {
        let look_up = |place: &str| fault.filter(|_| place == "Envelope.Body.Fault.faultstring").map(str::to_owned);
        let mut response = Response::new(status, &[], records, Body::Bytes(b"", &look_up));
        response.problem = problem;
        follow(&response).verdict
    }

    #[test]
    fn the_axis_chooses_the_dates_and_the_last_day_is_asked_for() {
        let asked = body(&plan(&slice("transaction")).unwrap()[0]);
        let options = "<options><registrationDateFrom>2026-01-01</registrationDateFrom>\
                       <registrationDateTo>2026-01-15</registrationDateTo></options>";
        assert!(asked.contains(options), "{asked}");
        assert!(asked.contains("<affiliateSiteID><<affiliate_site_id>></affiliateSiteID>"), "{asked}");
        assert!(body(&plan(&slice("validation")).unwrap()[0]).contains("<assessmentDateFrom>2026-01-01<"));
    }

    #[test]
    fn the_action_is_the_quoted_address_of_the_method() {
        let request = plan(&slice("transaction")).unwrap().remove(0);
        let action = request.headers.iter().find(|(name, _)| name == "soapaction").map(|(_, value)| &value[..]);
        let Some([Op::Text(action)]) = action else { panic!("{action:?}") };
        assert_eq!(action, "\"https://ws.tradetracker.com/soap/affiliate/getConversionTransactions\"");
    }

    #[test]
    fn a_window_within_a_day_asks_for_the_whole_day() {
        let mut window = slice("transaction").window;
        window.local_since += 3 * 3_600 * SECOND_MICROS;
        window.local_until = window.local_since + SECOND_MICROS;
        assert_eq!(days(&window), ("2026-01-01".into(), "2026-01-02".into()));
    }

    #[test]
    fn the_passphrase_is_escaped_by_the_host() {
        let request = session().request;
        let ops = request.body.as_deref().unwrap();
        let secret = ops.iter().position(|op| matches!(op, Op::Secret(slot) if slot == "passphrase")).unwrap();
        assert!(matches!(ops[secret + 1], Op::Apply(Function::XmlEscape)));
        assert!(
            body(&request).contains("<customerID><<customer_id>></customerID><passphrase><<passphrase>></passphrase>")
        );
        assert!(!request.yields_records);
    }

    #[test]
    fn a_fault_about_the_session_signs_in_anew() {
        for text in ["Not yet authenticated", "Session expired", "Please login first"] {
            for status in [200, 500] {
                let verdict = judged(status, Some(0), None, Some(text));
                assert!(matches!(&verdict, Verdict::Renew(token) if token == "session"), "{text}: {verdict:?}");
            }
        }
        assert!(matches!(judged(200, None, Some("SOAP fault: no session"), None), Verdict::Renew(_)));
    }

    #[test]
    fn another_fault_is_asked_again_with_its_words() {
        let Verdict::Retry(retry) = judged(500, None, None, Some("Internal error")) else {
            panic!("a fault is asked again");
        };
        assert_eq!(retry.reason, "SOAP fault: Internal error");
    }

    #[test]
    fn an_answer_without_fault_is_judged_by_its_status() {
        assert!(matches!(judged(200, Some(3), None, None), Verdict::Done));
        assert!(matches!(judged(200, Some(0), None, None), Verdict::Done));
        assert!(matches!(judged(200, None, Some("cut short"), None), Verdict::Retry(_)));
        assert!(matches!(judged(503, None, None, None), Verdict::Retry(_)));
    }

    #[test]
    fn settings_that_are_no_numbers_are_refused() {
        let settings = vec![("affiliate_site_id".into(), "9</x>".into()), ("customer_id".into(), "1".into())];
        assert!(plan(&Slice { settings, ..slice("transaction") }).is_err());
    }
}
