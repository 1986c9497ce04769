//! CJ.

use crate::client::{Answer, send};
use crate::world::{account, busy, plain, truth};
use serde_json::{Value, json};
use sluice_simulator::{Options, Simulator};
use std::collections::BTreeMap;

async fn ask(simulator: &Simulator, body: &str) -> Answer {
    let token = format!("Bearer {}", account(simulator, "cj", "alpha").secrets["token"]);
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    send(&simulator.origin("cj"), "POST", "/query", &headers, body).await.unwrap()
}

fn publisher(simulator: &Simulator) -> String {
    account(simulator, "cj", "alpha").settings["publisher_id"].clone()
}

#[tokio::test]
async fn the_cursor_covers_every_record_once() {
    let simulator = Simulator::start(Options { cj_page_limit: 37, ..busy() }).await.unwrap();
    let query = "query($ids: [String!]!, $since: String) { publisherCommissions(forPublishers: $ids, \
        sincePostingDate: \"2025-09-01T00:00:00Z\", beforePostingDate: \"2026-01-01T00:00:00Z\", \
        sinceCommissionId: $since) { count limit maxCommissionId payloadComplete records { commissionId actionStatus \
        pubCommissionAmountPubCurrency saleAmountPubCurrency original originalActionId eventDate items { sku } } } }";
    let mut since = Value::Null;
    let mut records: BTreeMap<String, Value> = BTreeMap::new();
    let mut pages = 0;
    loop {
        let variables = json!({ "ids": [publisher(&simulator)], "since": since });
        let answer = ask(&simulator, &json!({ "query": query, "variables": variables }).to_string()).await.json();
        let page = &answer["data"]["publisherCommissions"];
        assert_eq!(page["count"].as_u64().unwrap(), page["records"].as_array().unwrap().len() as u64, "{answer}");
        for record in page["records"].as_array().unwrap() {
            assert_eq!(record.as_object().unwrap().len(), 8, "only what is selected");
            assert!(records.insert(record["commissionId"].as_str().unwrap().to_owned(), record.clone()).is_none());
        }
        pages += 1;
        if page["payloadComplete"] == true {
            break;
        }
        since = page["maxCommissionId"].clone();
    }
    assert!(pages > 5);
    let truth = truth(&simulator, "cj", "alpha");
    assert_eq!(truth.keys().collect::<Vec<_>>(), records.keys().collect::<Vec<_>>());
    for (id, row) in &truth {
        let record = &records[id];
        assert_eq!(plain(record["pubCommissionAmountPubCurrency"].as_str().unwrap()), row.commission);
        assert_eq!(record["actionStatus"].as_str(), row.status_raw.as_deref());
        assert_ne!(record["originalActionId"], record["commissionId"]);
        assert_eq!(row.currency.as_deref(), Some("EUR"));
    }
    assert!(
        records
            .values()
            .any(|it| it["original"] == false && it["saleAmountPubCurrency"].as_str().unwrap().starts_with('-'))
    );
}

#[tokio::test]
async fn takes_bare_text_and_filters() {
    let simulator = Simulator::start(busy()).await.unwrap();
    let id = publisher(&simulator);
    let text = format!(
        "{{ all: publisherCommissions(forPublishers: [\"{id}\"], sincePostingDate: \"2025-10-10T00:00:00Z\", \
         beforePostingDate: \"2025-10-11T00:00:00Z\") {{ records {{ at: postingDate __typename }} }} }}"
    );
    let answer = ask(&simulator, &text).await.json();
    let records = answer["data"]["all"]["records"].as_array().unwrap();
    assert!(!records.is_empty());
    assert!(records.iter().all(|it| it["at"].as_str().unwrap().starts_with("2025-10-10T")));
}

#[tokio::test]
async fn errors_come_at_200_and_wrong_tokens_at_401() {
    let simulator = Simulator::start(busy()).await.unwrap();
    let id = publisher(&simulator);
    for text in [
        format!("{{ publisherCommissions(forPublishers: [\"{id}\"]) {{ records {{ pubCurrency }} }} }}"),
        format!("{{ publisherCommissions(forPublishers: [\"{id}\"], maxRows: 5) {{ count }} }}"),
        format!("{{ publisherCommissions(forPublishers: [\"{id}\"]) {{ records }} }}"),
        format!("{{ publisherCommissions(forPublishers: [\"{id}\"], sincePostingDate: \"monday\") {{ count }} }}"),
        "{ publisherCommissions(forPublishers: [\"1\"]) { count } }".to_owned(),
        "{ publisherCommissions { count } }".to_owned(),
        "{ advertisers { count } }".to_owned(),
        "{ publisherCommissions(".to_owned(),
    ] {
        let answer = ask(&simulator, &text).await;
        assert_eq!(answer.status, 200);
        assert!(answer.json()["errors"][0]["message"].is_string(), "{text}: {}", answer.body);
    }
    let headers = [("authorization", "Bearer nobody")];
    let answer = send(&simulator.origin("cj"), "POST", "/query", &headers, "{ publisherCommissions { count } }").await;
    assert_eq!(answer.unwrap().status, 401);
}
