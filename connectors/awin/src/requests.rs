//! What is asked, and what an answer means.

use sluice_connector::*;

/// One request per slice: there is no paging, the window alone bounds the answer.
pub(crate) fn plan(slice: &Slice) -> Result<Vec<Request>, Refusal> {
    let publisher = slice.setting("publisher_id").unwrap_or_default();
    if publisher.is_empty() || !publisher.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Refusal { kind: RefusalKind::Settings, text: "`publisher_id` must be a number".into() });
    }
    let date_type = match slice.axis.as_str() {
        "modified" => "amendment",
        "validation" => "validation",
        _ => "transaction",
    };
    // Neither milliseconds nor `Z`: both have been refused. The end is asked inclusively; a row on the bound is
    // read twice and kept once.
    let time = |micros| format_time(micros, "%Y-%m-%dT%H:%M:%S");
    let url = text(format!("https://api.awin.com/publishers/{publisher}/transactions/"))
        .query("startDate", &time(slice.window.since))
        .query("endDate", &time(slice.window.until))
        .query("timezone", "UTC")
        .query("dateType", date_type);
    Ok(vec![
        get("transactions", url)
            .header("authorization", text("Bearer ").secret("token"))
            .header("accept", text("application/json")),
    ])
}

/// The answer is an array; an object, even at 200, is an error.
pub(crate) fn follow(response: &Response) -> Judgement {
    let is_object = response.head(64).iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
    let described = || {
        let words = ["/error", "/description", "/message"].map(|place| response.value_at(place));
        words.into_iter().flatten().collect::<Vec<_>>().join(": ")
    };
    match response.status {
        200..=299 if is_object => retry(format!("an error instead of rows: {}", described())),
        400 => refused(RefusalKind::Request, format!("Awin refuses the request: {}", described())),
        _ => by_status(response, None),
    }
}
