//! Rakuten.

use crate::client::{Answer, encode, send};
use crate::world::{account, busy, get, truth};
use base64::Engine;
use serde_json::Value;
use sluice_simulator::{Fault, FaultPlan, Kind, Options, Shapes, Simulator};
use std::collections::BTreeMap;

async fn login(simulator: &Simulator, scheme: &str, scope: &str) -> Answer {
    let account = account(simulator, "rakuten", "alpha");
    let pair = format!("{}:{}", account.secrets["client_id"], account.secrets["client_secret"]);
    let credential = format!("{scheme} {}", base64::engine::general_purpose::STANDARD.encode(pair));
    let headers = [("authorization", credential.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    send(&simulator.origin("rakuten"), "POST", "/token", &headers, &format!("scope={scope}")).await.unwrap()
}

async fn bearer(simulator: &Simulator) -> String {
    let sid = account(simulator, "rakuten", "alpha").settings["sid"].clone();
    let answer = login(simulator, "Bearer", &sid).await.json();
    assert!(answer["refresh_token"].is_string() && answer["expires_in"] == 3600);
    format!("Bearer {}", answer["access_token"].as_str().unwrap())
}

async fn page(simulator: &Simulator, bearer: &str, query: &str) -> Answer {
    let uri = format!("/events/1.0/transactions?{query}");
    get(simulator, "rakuten", &uri, &[("authorization", bearer), ("accept", "text/json")]).await
}

fn window(name: &str, start: &str, end: &str) -> String {
    format!("{name}_start={}&{name}_end={}", encode(start), encode(end))
}

/// All rows of the history by id, and how many came.
async fn rows(simulator: &Simulator, limit: usize) -> (BTreeMap<String, Value>, usize) {
    let bearer = bearer(simulator).await;
    let (mut rows, mut count) = (BTreeMap::new(), 0);
    for (start, end) in [("2025-09-16", "2025-10-15"), ("2025-10-16", "2025-11-14")] {
        for number in 1.. {
            let window = window("process_date", &format!("{start} 00:00:00"), &format!("{end} 23:59:59"));
            let answer = page(simulator, &bearer, &format!("{window}&limit={limit}&page={number}")).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let page = answer.json();
            let page = page.as_array().unwrap().clone();
            count += page.len();
            let last = page.is_empty();
            rows.extend(page.into_iter().map(|row| (row["etransaction_id"].as_str().unwrap().to_owned(), row)));
            if last {
                break;
            }
        }
    }
    (rows, count)
}

#[tokio::test]
async fn pages_give_the_truth_once() {
    let simulator = Simulator::start(busy()).await.unwrap();
    let (rows, count) = rows(&simulator, 50).await;
    assert_eq!(rows.len(), count);
    let truth = truth(&simulator, "rakuten", "alpha");
    assert_eq!(truth.keys().collect::<Vec<_>>(), rows.keys().collect::<Vec<_>>());
    for (id, row) in &truth {
        let served = &rows[id];
        assert_eq!(served["commissions"].as_f64().unwrap(), row.commission.parse::<f64>().unwrap());
        assert_eq!(row.kind == Kind::Adjustment, served["quantity"].as_i64().unwrap() <= 0 && row.kind != Kind::Event);
    }
    assert!(truth.values().any(|row| row.kind == Kind::Adjustment && row.commission.starts_with('-')));
    assert!(rows.values().any(|row| row["process_date"].as_str().unwrap().ends_with("GMT+0000 (UTC)")));
    assert!(rows.values().any(|row| row["process_date"].as_str().unwrap().starts_with("2025-")));
}

#[tokio::test]
async fn duplicates_cross_pages() {
    let shapes = Shapes { duplicate_rows: true, changed_type: true, ..Shapes::default() };
    let simulator = Simulator::start(Options { shapes, ..busy() }).await.unwrap();
    let (rows, count) = rows(&simulator, 50).await;
    assert!(count > rows.len());
    assert!(rows.values().any(|row| row["quantity"].is_string()));
    assert_eq!(rows.len(), truth(&simulator, "rakuten", "alpha").len());
}

#[tokio::test]
async fn logins_are_as_documented() {
    let simulator = Simulator::start(busy()).await.unwrap();
    let sid = account(&simulator, "rakuten", "alpha").settings["sid"].clone();
    assert_eq!(login(&simulator, "Basic", &sid).await.status, 200);
    assert_eq!(login(&simulator, "Digest", &sid).await.status, 401);
    assert_eq!(login(&simulator, "Bearer", "1").await.status, 401);
    assert_eq!(login(&simulator, "Bearer", "").await.status, 401);
    assert_eq!(page(&simulator, "Bearer nobody", "").await.status, 401);
    let bearer = bearer(&simulator).await;
    assert_eq!(page(&simulator, &bearer, "").await.json().as_array().unwrap().len(), 100);
    simulator.advance(chrono::TimeDelta::minutes(61));
    assert_eq!(page(&simulator, &bearer, "").await.status, 401, "the token expired");
}

#[tokio::test]
async fn refuses_what_the_documents_limit() {
    let simulator = Simulator::start(busy()).await.unwrap();
    let bearer = bearer(&simulator).await;
    let wide = window("process_date", "2025-10-01 00:00:00", "2025-10-31 00:00:01");
    for query in ["limit=1001", "limit=0", "page=0", "process_date_start=2025-10-01T00:00:00Z", &wide] {
        assert_eq!(page(&simulator, &bearer, query).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn a_start_before_what_is_kept_is_refused() {
    let simulator = Simulator::start(Options { rakuten_keep_days: Some(30), ..busy() }).await.unwrap();
    let bearer = bearer(&simulator).await;
    for (start, status) in [("2025-10-11 12:00:01", 200), ("2025-10-11 11:59:59", 400)] {
        let query = window("transaction_date", start, "2025-11-01 00:00:00");
        assert_eq!(page(&simulator, &bearer, &query).await.status, status, "{start}");
    }
}

#[tokio::test]
async fn a_server_may_give_fewer_rows_than_asked_for() {
    let simulator = Simulator::start(Options { rakuten_page_limit: Some(30), ..busy() }).await.unwrap();
    let bearer = bearer(&simulator).await;
    let asked = page(&simulator, &bearer, "limit=1000").await.json();
    assert_eq!(asked.as_array().unwrap().len(), 30);
    assert_eq!(rows(&simulator, 1000).await.0.len(), truth(&simulator, "rakuten", "alpha").len());
}

#[tokio::test]
async fn too_many_requests_are_a_403() {
    let faults = FaultPlan { share: 1.0, kinds: vec![Fault::Status429], max_per_request: 1, slow_millis: 1 };
    let simulator = Simulator::start(Options { faults, ..busy() }).await.unwrap();
    let answer = page(&simulator, "Bearer any", "limit=1").await;
    assert_eq!((answer.status, answer.header("retry-after")), (403, Some("0")));
}
