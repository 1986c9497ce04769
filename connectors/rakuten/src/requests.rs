//! What is asked, and what an answer means.

use sluice_connector::*;

const HOST: &str = "https://api.linksynergy.com";
/// Rows of a page; the network allows no more.
const LIMIT: u32 = 1_000;
/// A window of more pages is halved, so that no listing goes on forever.
const MAX_PAGES: u32 = 1_000;
/// What is waited after too many requests: they are counted by the minute.
const QUOTA_SECS: u32 = 60;
const TOKEN: &str = "access";

/// The sign-in: client credentials in a `Bearer` of base64, the publisher site as the scope.
pub(crate) fn access() -> TokenSource {
    let credentials = text("").secret("client_id").text(":").secret("client_secret").base64();
    let scope = text("scope=").then(setting("sid").apply(Function::UrlEncode));
    TokenSource {
        name: TOKEN.into(),
        request: post("token", text(format!("{HOST}/token")), scope)
            .header("authorization", text("Bearer ").then(credentials))
            .header("content-type", text("application/x-www-form-urlencoded"))
            .header("accept", text("application/json"))
            .step(),
        value: TokenPlace::Json("/access_token".into()),
        lifetime: Some(TokenPlace::Json("/expires_in".into())),
        lifetime_secs: Some(3_600),
        // A refresh token comes too, but asking anew needs nothing that is not at hand.
        refresh_value: None,
        refresh: None,
        rotates: false,
    }
}

/// The first page; the others follow from its answer.
pub(crate) fn plan(slice: &Slice) -> Result<Vec<Request>, Refusal> {
    if slice.setting("sid").is_none_or(|sid| sid.trim().is_empty()) {
        return Err(Refusal { kind: RefusalKind::Settings, text: "`sid` must be the publisher site's number".into() });
    }
    Ok(vec![page(slice, 1, "")])
}

/// A page. `above` is a fingerprint of the page before it.
fn page(slice: &Slice, number: u32, above: &str) -> Request {
    let dates = match slice.axis.as_str() {
        "transaction" => "transaction_date",
        _ => "process_date",
    };
    // Both ends are inclusive: a row on the bound is read twice and kept once.
    let time = |micros| format_time(micros, "%Y-%m-%d %H:%M:%S");
    let url = text(format!("{HOST}/events/1.0/transactions"))
        .query(&format!("{dates}_start"), &time(slice.window.since))
        .query(&format!("{dates}_end"), &time(slice.window.until))
        .query("limit", &LIMIT.to_string())
        .query("page", &number.to_string());
    get(format!("page-{number}"), url)
        .header("authorization", text("Bearer ").token(TOKEN))
        // The documents ask for this type, so that a change of the default format doesn't matter.
        .header("accept", text("text/json"))
        .state(format!("{number} {above}"))
}

/// The answer is an array. A page of fewer rows than asked for isn't the last one: a server may give fewer than the
/// limit, so the next page is asked for until one is empty. An object, even at 200, is an error.
pub(crate) fn follow(slice: &Slice, request: &Request, response: &Response) -> Judgement {
    // Read once: in a component the next read goes on where this one ends.
    let head = response.head(200);
    let is_object = head.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
    match response.status {
        200..=299 if is_object => retry(format!("an error instead of rows: {}", described(response, &head))),
        200..=299 if response.problem.is_none() && response.records.is_some_and(|rows| rows > 0) => {
            next_page(slice, request, response)
        }
        400 => refused(RefusalKind::Request, format!("Rakuten refuses the request: {}", described(response, &head))),
        403 => too_many(response),
        _ => by_status(response, Some(TOKEN)),
    }
}

/// 403 is Rakuten's word for more requests in a minute than it allows. A header that names the moment wins.
fn too_many(response: &Response) -> Judgement {
    let after_secs = response.header("retry-after").is_none().then_some(QUOTA_SECS);
    let reason = "Rakuten allows no more requests in this minute (403)".into();
    Judgement { verdict: Verdict::Retry(Retry { reason, after_secs }), cursor: None }
}

fn next_page(slice: &Slice, request: &Request, response: &Response) -> Judgement {
    let (number, above) = request.state.split_once(' ').unwrap_or((&request.state, ""));
    let number: u32 = number.parse().unwrap_or(1);
    let first = fingerprint(&response.value_at("/0").unwrap_or_default());
    if above == first {
        let text = format!("page {number} begins with the same row as the page before it: no paging takes place");
        return refused(RefusalKind::Response, text);
    }
    if number >= MAX_PAGES {
        return Judgement { verdict: Verdict::Split, cursor: None };
    }
    more(vec![page(slice, number + 1, &first)])
}

fn described(response: &Response, head: &[u8]) -> String {
    let places = ["/error", "/error_description", "/errorMessage", "/message", "/description", "/fault/faultstring"];
    let words: Vec<String> = places.into_iter().filter_map(|place| response.value_at(place)).collect();
    if words.is_empty() { String::from_utf8_lossy(head).into_owned() } else { words.join(": ") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn slice(axis: &str) -> Slice {
        let window = Window {
            since: Time::iso("2026-01-01T00:00:00").unwrap().micros,
            until: Time::iso("2026-01-15T00:00:00").unwrap().micros,
            local_since: 0,
            local_until: 0,
        };
        Slice {
            stream: "transactions".into(),
            account: "main".into(),
            settings: vec![("sid".into(), "3456789".into())],
            window,
            axis: axis.into(),
            cursor: None,
        }
    }

    fn url(request: &Request) -> String {
        let texts = request.url.iter().map(|op| match op {
            Op::Text(text) => text.as_str(),
            _ => "<op>",
        });
        texts.collect()
    }

    fn judged(request: &Request, records: Option<u32>, status: u16, body: &str, first: &str) -> Verdict {
        let look_up = |place: &str| (place == "/0").then(|| first.to_owned());
        let response = Response::new(status, &[], records, Body::Bytes(body.as_bytes(), &look_up));
        follow(&slice("modified"), request, &response).verdict
    }

    #[test]
    fn the_axis_chooses_the_dates() {
        let asked = url(&plan(&slice("modified")).unwrap()[0]);
        assert_eq!(
            asked,
            "https://api.linksynergy.com/events/1.0/transactions?process_date_start=2026-01-01%2000%3A00%3A00\
             &process_date_end=2026-01-15%2000%3A00%3A00&limit=1000&page=1"
        );
        assert!(url(&plan(&slice("transaction")).unwrap()[0]).contains("?transaction_date_start=2026-01-01"));
    }

    #[test]
    fn a_page_with_rows_is_followed_by_the_next_until_one_is_empty() {
        let first = plan(&slice("modified")).unwrap().remove(0);
        for rows in [1, 500, 999, 1_000] {
            let Verdict::More(next) = judged(&first, Some(rows), 200, "[{", "{\"etransaction_id\":\"a\"}") else {
                panic!("a page of {rows} rows must be followed");
            };
            assert_eq!((next[0].key.as_str(), next.len()), ("page-2", 1));
            assert!(url(&next[0]).ends_with("&page=2"));
            assert!(matches!(judged(&next[0], Some(1), 200, "[{", ""), Verdict::More(_)));
            assert!(matches!(judged(&next[0], Some(0), 200, "[]", ""), Verdict::Done));
        }
        assert!(matches!(judged(&first, Some(0), 200, "[]", ""), Verdict::Done));
    }

    #[test]
    fn too_many_requests_are_asked_again_a_minute_later() {
        let first = plan(&slice("modified")).unwrap().remove(0);
        let after = |headers: &[(String, String)]| {
            let look_up = |_: &str| None;
            let response = Response::new(403, headers, None, Body::Bytes(b"Forbidden", &look_up));
            match follow(&slice("modified"), &first, &response).verdict {
                Verdict::Retry(retry) => retry.after_secs,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(after(&[]), Some(60));
        assert_eq!(after(&[("retry-after".into(), "5".into())]), None);
    }

    #[test]
    fn a_page_that_repeats_the_one_before_is_refused() {
        let first = plan(&slice("modified")).unwrap().remove(0);
        let Verdict::More(next) = judged(&first, Some(1_000), 200, "[{", "same") else {
            panic!("a full page must be followed");
        };
        assert!(matches!(judged(&next[0], Some(1_000), 200, "[{", "same"), Verdict::Refused(_)));
        assert!(matches!(judged(&next[0], Some(1_000), 200, "[{", "other"), Verdict::More(_)));
    }

    #[test]
    fn a_listing_without_end_is_halved() {
        let last = page(&slice("modified"), MAX_PAGES, "0");
        assert!(matches!(judged(&last, Some(1_000), 200, "[{", "x"), Verdict::Split));
    }

    #[test]
    fn an_object_at_200_is_asked_again_with_its_text() {
        let first = plan(&slice("modified")).unwrap().remove(0);
        let Verdict::Retry(retry) = judged(&first, Some(1), 200, " {\"oops\":\"try later\"}", "") else {
            panic!("an object is no listing");
        };
        assert!(retry.reason.contains("try later"), "{}", retry.reason);
    }

    #[test]
    fn an_expired_token_is_renewed() {
        let first = plan(&slice("modified")).unwrap().remove(0);
        assert!(matches!(judged(&first, None, 401, "", ""), Verdict::Renew(token) if token == "access"));
    }

    #[test]
    fn an_account_without_sid_is_refused() {
        assert!(plan(&Slice { settings: vec![], ..slice("modified") }).is_err());
    }
}
