//! The lookup before the transactions: which campaigns the publisher has.

use sluice_connector::*;

use crate::{declared_plan, request_of_transactions};

/// Campaigns in one request of transactions, so that its address stays short.
const MAX_CAMPAIGNS: usize = 50;

/// The campaigns first, for the stream that needs them.
pub(crate) fn plan(slice: &Slice) -> Result<Vec<Request>, Refusal> {
    match slice.stream.as_str() {
        "transactions" => Ok(vec![campaigns(slice, 1)]),
        _ => declared_plan(slice),
    }
}

/// A page of the campaigns.
fn campaigns(slice: &Slice, page: u64) -> Request {
    let publisher = url_encoded(slice.setting("publisher_id").unwrap_or_default().trim());
    let url = text(format!("https://platform-api.webgains.com/publishers/{publisher}/campaigns"));
    get(format!("campaigns-{page}"), url.query("page", &page.to_string()))
        .header("authorization", text("Bearer ").secret("token"))
        .header("accept", text("application/json"))
        .state(page.to_string())
        .step()
}

/// The transactions of some campaigns at a page. Their ids are in the key, which the next page's begins with.
fn transactions(slice: &Slice, ids: &str, page: u64) -> Request {
    let mut request = request_of_transactions(slice, page);
    for id in ids.split(',') {
        request.url.push(Op::Text(format!("&filters[campaign_ids][]={}", url_encoded(id))));
    }
    Request { key: format!("campaigns-{ids}-page-{page}"), ..request }.state(format!("{ids} {page}"))
}

/// What an answer of the two means; none for other streams and where the network didn't answer.
pub(crate) fn follow(slice: &Slice, request: &Request, response: &Response) -> Option<Judgement> {
    let is_answer = (200..300).contains(&response.status) && response.problem.is_none();
    if slice.stream != "transactions" || !is_answer {
        return None;
    }
    // What isn't stated ends nothing: an empty page does.
    let last = |page: u64, is_empty: bool| {
        let last = response.value_at("/pagination/last_page").and_then(|last| last.trim().parse::<u64>().ok());
        last.map_or(is_empty, |last| page >= last)
    };
    if let Some((ids, page)) = request.state.split_once(' ') {
        let page = page.parse().unwrap_or(1);
        let is_empty = response.records.is_none_or(|records| records == 0);
        return Some(if last(page, is_empty) { done() } else { more(vec![transactions(slice, ids, page + 1)]) });
    }
    let page = request.state.parse().unwrap_or(1);
    let Some(data) = response.value_at("/data") else {
        return Some(retry("the answer has no campaigns in `data`"));
    };
    let ids: Vec<String> =
        Nested::new(&data).items().iter().filter_map(|one| one.filled("id")).map(|id| id.into_owned()).collect();
    let mut requests: Vec<Request> =
        ids.chunks(MAX_CAMPAIGNS).map(|ids| transactions(slice, &ids.join(","), 1)).collect();
    if !last(page, ids.is_empty()) {
        requests.push(campaigns(slice, page + 1));
    }
    Some(if requests.is_empty() { done() } else { more(requests) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn slice() -> Slice {
        Slice {
            stream: "transactions".into(),
            account: "main".into(),
            settings: vec![("publisher_id".into(), "123".into())],
            window: Window { since: 0, until: DAY_MICROS, local_since: 0, local_until: DAY_MICROS },
            axis: "transaction".into(),
            cursor: None,
        }
    }

    fn judged(request: &Request, records: Option<u32>, data: &str, last: &str) -> Vec<Request> {
        let look_up = |place: &str| match place {
            "/data" => Some(data.to_owned()),
            "/pagination/last_page" => Some(last.to_owned()),
            _ => None,
        };
        let response = Response::new(200, &[], records, Body::Bytes(b"", &look_up));
        match follow(&slice(), request, &response).unwrap().verdict {
            Verdict::More(requests) => requests,
            Verdict::Done => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_transactions_of_all_campaigns_are_asked_for() {
        let lookup = plan(&slice()).unwrap().remove(0);
        assert!(!lookup.yields_records);
        let found = judged(&lookup, None, r#"[{"id":11,"name":"a"},{"id":"22"}]"#, "1");
        assert_eq!(found.len(), 1);
        let url: String =
            found[0].url.iter().map(|op| if let Op::Text(text) = op { text.as_str() } else { "" }).collect();
        assert!(url.contains("filters[start_date]=0&filters[end_date]=86399"), "{url}");
        assert!(url.ends_with("&filters[campaign_ids][]=11&filters[campaign_ids][]=22"), "{url}");
        let next = judged(&found[0], Some(250), "[]", "2");
        assert_eq!(next[0].state, "11,22 2");
        assert!(judged(&next[0], Some(3), "[]", "2").is_empty());
    }

    #[test]
    fn further_pages_of_campaigns_are_read_and_none_is_no_failure() {
        let lookup = plan(&slice()).unwrap().remove(0);
        assert_eq!(judged(&lookup, None, r#"[{"id":1}]"#, "2").len(), 2);
        assert!(judged(&lookup, None, "[]", "1").is_empty());
    }
}
