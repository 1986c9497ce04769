//! What is asked, and what an answer means.

use sluice_connector::*;

/// The fields that are asked of each record: all that the schema has for publishers, but for the deprecated
/// `saleAmountAdvCurrency`, `situations` and `customPixel`, and `verticalAttributes` (see the README).
const RECORD: &str = "actionStatus actionTrackerId actionTrackerName actionType advertiserId advertiserName aid \
    clickDate clickReferringURL commissionId concludingBrowser concludingDeviceName concludingDeviceType \
    correctionReason country coupon eventDate initiatingBrowser initiatingDeviceName initiatingDeviceType \
    isCrossDevice lockingDate lockingMethod orderDiscountUsd orderDiscountPubCurrency orderDiscountOrigCurrency \
    orderDiscountAdvCurrency orderId validationStatus original originalActionId postingDate \
    pubCommissionAmountPubCurrency pubCommissionAmountUsd publisherId publisherName reviewedStatus \
    saleAmountPubCurrency saleAmountUsd siteToStoreOffer source websiteId websiteName shopperId sid \
    items { commissionItemId sku quantity itemListId perItemSaleAmountUsd perItemSaleAmountPubCurrency \
    perItemSaleAmountAdvCurrency discountUsd discountPubCurrency discountAdvCurrency totalCommissionUsd \
    totalCommissionPubCurrency totalCommissionAdvCurrency } situationDetails { id name }";

/// The first page. Only the answers hold how many there are.
pub(crate) fn plan(slice: &Slice) -> Result<Vec<Request>, Refusal> {
    currency(slice)?;
    Ok(vec![page(slice, 1, &Earlier::default())?])
}

/// The account's currency, which no answer names.
pub(crate) fn currency(slice: &Slice) -> Result<&str, Refusal> {
    let code = slice.setting("currency").unwrap_or_default();
    if code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase()) {
        return Ok(code);
    }
    Err(Refusal { kind: RefusalKind::Settings, text: "`currency` must be an ISO 4217 code such as `USD`".into() })
}

/// The pages before a request, as its state keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Earlier<'a> {
    /// Where the request goes on; empty for the first page.
    cursor: &'a str,
    /// What the pages had; none if one of them didn't state its `count`.
    had: Option<Had>,
}

/// What pages had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Had {
    /// Records.
    records: u64,
    /// The sum of their `count`s.
    counts: u64,
    /// The `count` of the first one.
    first: u64,
}

impl<'a> Earlier<'a> {
    /// Of a request's state: `records counts first cursor`, or the cursor alone.
    fn of(state: &'a str) -> Self {
        if state.is_empty() {
            return Self { cursor: "", had: Some(Had::default()) };
        }
        let mut parts = state.splitn(4, ' ');
        let mut number = || parts.next()?.parse().ok();
        let numbers = (number(), number(), number());
        match (numbers, parts.next()) {
            ((Some(records), Some(counts), Some(first)), Some(cursor)) => {
                Self { cursor, had: Some(Had { records, counts, first }) }
            }
            _ => Self { cursor: state, had: None },
        }
    }

    fn state(&self) -> String {
        match self.had {
            Some(Had { records, counts, first }) if !self.cursor.is_empty() => {
                format!("{records} {counts} {first} {}", self.cursor)
            }
            _ => self.cursor.to_owned(),
        }
    }

    /// What there is with a page more.
    fn and(self, response: &Response) -> Option<Had> {
        let (had, records, count) = (self.had?, u64::from(response.records?), count(response)?);
        let first = if self.cursor.is_empty() { count } else { had.first };
        Some(Had { records: had.records + records, counts: had.counts + count, first })
    }
}

/// The page after the earlier ones.
fn page(slice: &Slice, number: u32, earlier: &Earlier) -> Result<Request, Refusal> {
    let cursor = earlier.cursor;
    let publisher = slice.setting("publisher_id").unwrap_or_default().trim();
    if publisher.is_empty() {
        return Err(Refusal { kind: RefusalKind::Settings, text: "`publisher_id` must be the company id".into() });
    }
    let body = format!("{{\"query\":{}}}", quoted(&query(slice, publisher, cursor)));
    Ok(post(format!("page-{number}"), text("https://commissions.api.cj.com/query"), text(body))
        .header("authorization", text("Bearer ").secret("token"))
        .header("content-type", text("application/json"))
        .header("accept", text("application/json"))
        .state(earlier.state()))
}

/// Arguments stand in the text as literals: no variable types to declare, so none to get wrong.
fn query(slice: &Slice, publisher: &str, cursor: &str) -> String {
    let date = match slice.axis.as_str() {
        "transaction" => "EventDate",
        "validation" => "LockingDate",
        _ => "PostingDate",
    };
    // `since…` is inclusive and `before…` exclusive, as a window is.
    let time = |micros| quoted(&format_time(micros, "%Y-%m-%dT%H:%M:%SZ"));
    let (since, before) = (time(slice.window.since), time(slice.window.until));
    let after = if cursor.is_empty() { String::new() } else { format!(", sinceCommissionId: {}", quoted(cursor)) };
    let publisher = quoted(publisher);
    format!(
        "{{ publisherCommissions(forPublishers: [{publisher}], since{date}: {since}, before{date}: {before}{after}) \
         {{ count limit maxCommissionId payloadComplete records {{ {RECORD} }} }} }}"
    )
}

/// Failures come at HTTP 200 with `errors`; an answer with them is no answer even where data stands beside them,
/// since GraphQL nulls what it couldn't resolve.
pub(crate) fn follow(slice: &Slice, request: &Request, response: &Response) -> Result<Judgement, Refusal> {
    let errors = errors(response);
    match (response.status, errors) {
        (200..=299, Some(errors)) if is_invalid(response, &errors) => {
            return Ok(refused(RefusalKind::Request, format!("CJ refuses the query: {errors}")));
        }
        (200..=299, Some(errors)) => return Ok(retry(format!("CJ answers with errors: {errors}"))),
        (200..=299, None) if response.problem.is_none() => {}
        (400, Some(errors)) => {
            return Ok(refused(RefusalKind::Request, format!("CJ refuses the request: {errors}")));
        }
        _ => return Ok(by_status(response, None)),
    }
    match response.value_at("/data/publisherCommissions/payloadComplete").as_deref() {
        Some("true") => Ok(done()),
        Some("false") => next(slice, request, response),
        _ => Ok(retry("the answer doesn't say whether it is complete")),
    }
}

/// How many records the network states, on the last page. The schema doesn't tell whether `count` is the page's, the whole
/// list's, or what is left of it: the reading that fits the records of all pages is the one, and if none does, some are
/// missing or too many.
pub(crate) fn total(request: &Request, response: &Response) -> Option<u64> {
    if response.value_at("/data/publisherCommissions/payloadComplete").as_deref() != Some("true") {
        return None;
    }
    let earlier = Earlier::of(&request.state);
    let (count, all) = (count(response)?, earlier.and(response)?);
    let readings = [all.counts, count, all.first];
    let records_before = earlier.had?.records;
    Some(if readings.contains(&all.records) {
        all.records
    } else if count > records_before {
        // Only a list's is more than all pages before.
        count
    } else {
        all.counts
    })
}

fn count(response: &Response) -> Option<u64> {
    response.value_at("/data/publisherCommissions/count")?.parse().ok()
}

fn next(slice: &Slice, request: &Request, response: &Response) -> Result<Judgement, Refusal> {
    let stuck = |text: String| Ok(refused(RefusalKind::Response, text));
    let cursor = response.value_at("/data/publisherCommissions/maxCommissionId").unwrap_or_default();
    if cursor.is_empty() {
        return stuck(format!("{} isn't the last page, but has no `maxCommissionId` to go on from", request.key));
    }
    let earlier = Earlier::of(&request.state);
    if cursor == earlier.cursor {
        return stuck(format!(
            "{} gives the cursor `{cursor}` that it was asked with: it would never end",
            request.key
        ));
    }
    let number = request.key.rsplit('-').next().and_then(|number| number.parse::<u32>().ok()).unwrap_or(1);
    let read = Earlier { cursor: &cursor, had: earlier.and(response) };
    Ok(more(vec![page(slice, number.saturating_add(1), &read)?]))
}

/// Whether the query itself is what is wrong, which no other attempt mends: by the class that GraphQL servers give such
/// errors, or by the words that they begin with.
fn is_invalid(response: &Response, errors: &str) -> bool {
    let class = |name: &str| response.value_at(&format!("/errors/0/extensions/{name}")).unwrap_or_default();
    let classes = ["ValidationError", "InvalidSyntax", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"];
    let words = ["validation error", "invalid syntax", "syntax error", "cannot query field", "unknown argument"];
    let errors = errors.to_ascii_lowercase();
    classes.contains(&class("classification").as_str())
        || classes.contains(&class("code").as_str())
        || words.iter().any(|words| errors.starts_with(words))
}

/// What the answer's `errors` say; none if it has none.
fn errors(response: &Response) -> Option<String> {
    let errors = response.value_at("/errors")?;
    if errors.trim_matches(|c: char| c.is_whitespace() || matches!(c, '[' | ']')).is_empty() {
        return None;
    }
    let message = |at| response.value_at(&format!("/errors/{at}/message"));
    let messages: Vec<String> = (0..3).map_while(message).collect();
    Some(if messages.is_empty() { errors.chars().take(200).collect() } else { messages.join("; ") })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn slice(axis: &str, publisher: &str, currency: &str) -> Slice {
        let time = |text| Time::iso(text).unwrap().micros;
        let (since, until) = (time("2026-01-01T00:00:00Z"), time("2026-02-01T00:00:00Z"));
        Slice {
            stream: "transactions".into(),
            account: "main".into(),
            settings: vec![("publisher_id".into(), publisher.into()), ("currency".into(), currency.into())],
            window: Window { since, until, local_since: since, local_until: until },
            axis: axis.into(),
            cursor: None,
        }
    }

    /// The judgement on an answer to `request` in which these values stand.
    fn judged(request: &Request, status: u16, values: &[(&str, &str)]) -> Verdict {
        let look_up = |place: &str| values.iter().find(|(key, _)| *key == place).map(|(_, value)| (*value).to_owned());
        let response = Response::new(status, &[], Some(0), Body::Bytes(b"", &look_up));
        follow(&slice("modified", "123", "USD"), request, &response).unwrap().verdict
    }

    fn first() -> Request {
        plan(&slice("modified", "123", "USD")).unwrap().remove(0)
    }

    fn body(request: &Request) -> &str {
        match request.body.as_deref() {
            Some([Op::Text(body)]) => body,
            _ => panic!("the body is one text"),
        }
    }

    const COMPLETE: &str = "/data/publisherCommissions/payloadComplete";
    const CURSOR: &str = "/data/publisherCommissions/maxCommissionId";

    #[test]
    fn each_axis_has_its_date() {
        for (axis, date) in [("modified", "Posting"), ("transaction", "Event"), ("validation", "Locking")] {
            let query = query(&slice(axis, "123", "USD"), "123", "");
            let range =
                format!("since{date}Date: \"2026-01-01T00:00:00Z\", before{date}Date: \"2026-02-01T00:00:00Z\")");
            assert!(query.contains(&range), "{query}");
        }
    }

    #[test]
    fn literals_are_escaped_once_for_graphql_and_once_for_json() {
        let request = page(&slice("modified", "1\"2", "USD"), 2, &Earlier::of("C\\1")).unwrap();
        let body = body(&request);
        assert!(body.starts_with(r#"{"query":"{ publisherCommissions(forPublishers: [\"1\\\"2\"], since"#), "{body}");
        assert!(body.contains(r#"sinceCommissionId: \"C\\\\1\")"#), "{body}");
        assert!(body.ends_with(r#" }"}"#));
    }

    #[test]
    fn the_selection_is_balanced_and_asks_nothing_deprecated_but_sid() {
        assert_eq!(RECORD.matches('{').count(), RECORD.matches('}').count());
        for gone in ["saleAmountAdvCurrency", "customPixel", "situations ", "verticalAttributes"] {
            assert!(!RECORD.contains(gone), "{gone}");
        }
    }

    #[test]
    fn a_currency_that_is_no_code_is_refused() {
        for wrong in ["", "usd", "US", "DOLLAR", "12€"] {
            let refusal = plan(&slice("modified", "123", wrong)).unwrap_err();
            assert_eq!(refusal.kind as u8, RefusalKind::Settings as u8, "{wrong}");
        }
        assert!(plan(&slice("modified", " ", "USD")).is_err());
    }

    #[test]
    fn an_incomplete_answer_is_followed_from_its_cursor() {
        let Verdict::More(requests) = judged(&first(), 200, &[(COMPLETE, "false"), (CURSOR, "C-9")]) else {
            panic!("there is more")
        };
        assert_eq!((requests[0].key.as_str(), requests[0].state.as_str()), ("page-2", "C-9"));
        assert!(body(&requests[0]).contains(r#"sinceCommissionId: \"C-9\""#));
        let third = judged(&requests[0], 200, &[(COMPLETE, "false"), (CURSOR, "C-10")]);
        assert!(matches!(third, Verdict::More(requests) if requests[0].key == "page-3"));
        assert!(matches!(judged(&requests[0], 200, &[(COMPLETE, "true"), (CURSOR, "C-10")]), Verdict::Done));
    }

    /// What the last of these pages states in all, each with its records and its `count`.
    fn stated(pages: &[(u32, &str)]) -> Option<u64> {
        let mut request = first();
        for (at, (records, count)) in pages.iter().enumerate() {
            let is_last = at + 1 == pages.len();
            let cursor = format!("C-{at}");
            let look_up = |place: &str| match place {
                COMPLETE => Some(is_last.to_string()),
                CURSOR => Some(cursor.clone()),
                "/data/publisherCommissions/count" => Some((*count).to_owned()),
                _ => None,
            };
            let response = Response::new(200, &[], Some(*records), Body::Bytes(b"", &look_up));
            let total = total(&request, &response);
            if is_last {
                return total;
            }
            assert_eq!(total, None, "only the last page states it");
            match follow(&slice("modified", "123", "USD"), &request, &response).unwrap().verdict {
                Verdict::More(mut requests) => request = requests.remove(0),
                other => panic!("{other:?}"),
            }
        }
        None
    }

    #[test]
    fn the_last_page_states_how_many_records_there_are() {
        assert_eq!(stated(&[(3, "3")]), Some(3));
        assert_eq!(stated(&[(2, "3")]), Some(3), "one is missing");
        assert_eq!(stated(&[(3, "many")]), None);
        for honest in [["10", "10", "4"], ["24", "24", "24"], ["24", "14", "4"]] {
            let [one, two, three] = honest;
            assert_eq!(stated(&[(10, one), (10, two), (4, three)]), Some(24), "{honest:?}");
        }
        assert_eq!(stated(&[(10, "10"), (10, "10"), (3, "4")]), Some(24), "one is missing on the last page");
        assert_eq!(stated(&[(10, "10"), (9, "10"), (4, "4")]), Some(24), "and on the one before");
        assert_eq!(stated(&[(10, "24"), (9, "24"), (4, "24")]), Some(24), "where the list is counted too");
        assert_eq!(stated(&[(10, "24"), (10, "24"), (5, "25")]), Some(25), "a sale came in between");
        assert_eq!(stated(&[(10, "10"), (10, ""), (4, "4")]), None, "a page states none");
    }

    #[test]
    fn a_state_of_an_earlier_version_is_its_cursor() {
        assert_eq!(Earlier::of("C-9"), Earlier { cursor: "C-9", had: None });
        let had = Some(Had { records: 10, counts: 11, first: 11 });
        let earlier = Earlier { cursor: "C 9", had };
        assert_eq!(Earlier::of(&earlier.state()), earlier);
    }

    #[test]
    fn a_cursor_that_stands_still_is_refused() {
        let second = page(&slice("modified", "123", "USD"), 2, &Earlier::of("C-9")).unwrap();
        let again = judged(&second, 200, &[(COMPLETE, "false"), (CURSOR, "C-9")]);
        assert!(matches!(again, Verdict::Refused(refusal) if refusal.text.contains("`C-9`")));
        assert!(matches!(judged(&first(), 200, &[(COMPLETE, "false")]), Verdict::Refused(_)));
    }

    #[test]
    fn errors_at_200_are_asked_again_with_or_without_data() {
        let errors = [("/errors", "[{…}]"), ("/errors/0/message", "timeout"), (COMPLETE, "true")];
        assert!(matches!(judged(&first(), 200, &errors), Verdict::Retry(retry) if retry.reason.contains("timeout")));
        assert!(matches!(judged(&first(), 200, &errors[..1]), Verdict::Retry(_)));
        assert!(matches!(judged(&first(), 400, &errors), Verdict::Refused(_)));
        assert!(matches!(judged(&first(), 429, &errors), Verdict::Retry(_)));
    }

    #[test]
    fn a_query_that_is_not_valid_is_final() {
        let message = |text| ("/errors/0/message", text);
        for error in [
            message("Validation error (FieldUndefined@[publisherCommissions/sid]) : Field 'sid' is undefined"),
            message("Cannot query field \"sid\" on type \"PublisherCommission\"."),
            ("/errors/0/extensions/classification", "ValidationError"),
            ("/errors/0/extensions/code", "GRAPHQL_VALIDATION_FAILED"),
        ] {
            let judged = judged(&first(), 200, &[("/errors", "[{…}]"), error]);
            assert!(matches!(judged, Verdict::Refused(_)), "{error:?}: {judged:?}");
        }
        let fetching = ("/errors/0/extensions/classification", "DataFetchingException");
        let passing = [("/errors", "[{…}]"), message("no validation error but a timeout"), fetching];
        assert!(matches!(judged(&first(), 200, &passing), Verdict::Retry(_)));
    }

    #[test]
    fn empty_errors_are_none_and_silence_is_no_end() {
        assert!(matches!(judged(&first(), 200, &[("/errors", "[ ]"), (COMPLETE, "true")]), Verdict::Done));
        assert!(matches!(judged(&first(), 200, &[]), Verdict::Retry(_)));
    }
}
