//! Awin.

use crate::world::{account, busy, get, number_after, plain, truth};
use sluice_simulator::{Options, Shapes, Simulator};
use std::collections::BTreeMap;

struct Reader {
    simulator: Simulator,
    path: String,
    bearer: String,
}

impl Reader {
    async fn of(options: Options) -> Self {
        let simulator = Simulator::start(options).await.unwrap();
        let account = account(&simulator, "awin", "alpha");
        let path = format!("/publishers/{}/transactions/", account.settings["publisher_id"]);
        Self { path, bearer: format!("Bearer {}", account.secrets["token"]), simulator }
    }

    async fn ask(&self, query: &str) -> crate::client::Answer {
        let uri = format!("{}?{query}", self.path);
        get(&self.simulator, "awin", &uri, &[("authorization", &self.bearer)]).await
    }

    /// Row texts by id over the whole history, by windows of 31 days.
    async fn rows(&self) -> BTreeMap<String, String> {
        let mut rows = BTreeMap::new();
        for window in [
            "startDate=2025-09-01T00:00:00&endDate=2025-10-01T23:59:59",
            "startDate=2025-10-02T00:00:00&endDate=2025-11-01T23:59:59",
            "startDate=2025-11-02T00:00:00&endDate=2025-12-02T23:59:59",
        ] {
            let answer = self.ask(&format!("{window}&timezone=UTC")).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            answer.json();
            for row in answer.body.trim_matches(['[', ']']).split(",{\"id\":") {
                let row = format!("\"id\":{}", row.trim_start_matches("{\"id\":"));
                rows.insert(number_after(&row, "\"id\":"), row);
            }
        }
        rows
    }
}

#[tokio::test]
async fn refuses_long_windows_and_wrong_dates() {
    let reader = Reader::of(busy()).await;
    let longest = "startDate=2025-10-01T00:00:00&endDate=2025-11-01T00:00:00";
    assert_eq!(reader.ask(longest).await.status, 200);
    for query in [
        "startDate=2025-10-01T00:00:00&endDate=2025-11-01T00:00:01",
        "startDate=2025-10-01T00:00:00Z&endDate=2025-10-02T00:00:00",
        "startDate=2025-10-01T00:00:00.000&endDate=2025-10-02T00:00:00",
        "startDate=2025-10-01&endDate=2025-10-02",
        "startDate=2025-10-02T00:00:00&endDate=2025-10-01T00:00:00",
        "endDate=2025-10-01T00:00:00",
        &format!("{longest}&dateType=payment"),
        &format!("{longest}&timezone=Mars"),
        &format!("{longest}&status=paid"),
    ] {
        let answer = reader.ask(query).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["error"].is_string() && answer.json()["description"].is_string());
    }
}

#[tokio::test]
async fn refuses_wrong_tokens_and_takes_the_token_in_the_query() {
    let reader = Reader::of(busy()).await;
    let query = "startDate=2025-10-01T00:00:00&endDate=2025-10-02T00:00:00";
    let uri = format!("{}?{query}", reader.path);
    assert_eq!(get(&reader.simulator, "awin", &uri, &[]).await.status, 401);
    assert_eq!(get(&reader.simulator, "awin", &uri, &[("authorization", "Bearer x")]).await.status, 401);
    let other = format!("Bearer {}", account(&reader.simulator, "awin", "beta").secrets["token"]);
    assert_eq!(get(&reader.simulator, "awin", &uri, &[("authorization", &other)]).await.status, 401);
    let token = crate::client::encode(reader.bearer.strip_prefix("Bearer ").unwrap());
    assert_eq!(get(&reader.simulator, "awin", &format!("{uri}&accessToken={token}"), &[]).await.status, 200);
}

#[tokio::test]
async fn serves_the_truth_and_lets_it_change() {
    let reader = Reader::of(busy()).await;
    let before = reader.rows().await;
    reader.simulator.advance(chrono::TimeDelta::days(12));
    let after = reader.rows().await;
    assert!(before.iter().any(|(id, row)| after[id] != *row), "something changed");
    assert!(after.keys().any(|id| id.parse::<u64>().unwrap() > 1 << 53));
    let truth = truth(&reader.simulator, "awin", "alpha");
    let statuses: std::collections::BTreeSet<_> = truth.values().map(|row| row.status_raw.clone().unwrap()).collect();
    assert_eq!(statuses.len(), 4, "{statuses:?}");
    assert!(truth.values().any(|row| row.flags.paid));
    assert_eq!(truth.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (id, row) in &truth {
        let served = &after[id];
        assert_eq!(plain(&number_after(served, "\"commissionAmount\":{\"amount\":")), row.commission);
        assert_eq!(Some(plain(&number_after(served, "\"saleAmount\":{\"amount\":"))), row.sale_amount);
        assert!(served.contains(&format!("\"commissionStatus\":\"{}\"", row.status_raw.as_ref().unwrap())));
        let time = row.transacted_at.format("\"transactionDate\":\"%Y-%m-%dT%H:%M:%S\"").to_string();
        assert!(served.contains(&time));
        assert!(!served.contains("\"clickRef2\":null"), "only the references that were sent: {served}");
    }
}

#[tokio::test]
async fn filters_by_the_other_dates_and_converts_zones() {
    let reader = Reader::of(busy()).await;
    let window = "startDate=2025-10-20T00:00:00&endDate=2025-11-10T00:00:00";
    let rows = reader.ask(&format!("{window}&dateType=amendment")).await.json();
    assert!(rows.as_array().unwrap().iter().all(|row| row["amended"] == true && row["oldSaleAmount"].is_object()));
    assert!(!rows.as_array().unwrap().is_empty());
    let rows = reader.ask(&format!("{window}&dateType=validation&timezone=Europe/London")).await.json();
    assert!(!rows.as_array().unwrap().is_empty());
    for row in rows.as_array().unwrap() {
        assert!(("2025-10-20T00:00:00".."2025-11-10T00:00:01").contains(&row["validationDate"].as_str().unwrap()));
    }
    let id = number_after(&reader.ask(window).await.body, "\"id\":");
    let times = ["UTC", "Asia/Tokyo"].map(|zone| format!("ids={id}&timezone={zone}"));
    let (utc, tokyo) = (reader.ask(&times[0]).await.json(), reader.ask(&times[1]).await.json());
    assert_eq!(utc.as_array().unwrap().len(), 1);
    assert_ne!(utc[0]["transactionDate"], tokyo[0]["transactionDate"]);
}

#[tokio::test]
async fn keeps_the_documented_pace() {
    let reader = Reader::of(Options { enforce_rate_limits: true, ..busy() }).await;
    for _ in 0..20 {
        assert_eq!(reader.ask("ids=1").await.status, 200);
    }
    assert_eq!(reader.ask("ids=1").await.status, 429);
}

#[tokio::test]
async fn varies_the_shape_but_not_the_truth() {
    let shapes = Shapes {
        duplicate_rows: true,
        new_field_from: Some("2025-11-01T00:00:00Z".parse().unwrap()),
        changed_type: true,
    };
    let plain = Reader::of(busy()).await;
    let varied = Reader::of(Options { shapes, ..busy() }).await;
    assert_eq!(plain.simulator.truth("awin", "alpha"), varied.simulator.truth("awin", "alpha"));
    let window = "startDate=2025-10-10T00:00:00&endDate=2025-11-10T00:00:00";
    let rows = varied.ask(window).await.json();
    let rows = rows.as_array().unwrap();
    assert!(rows.len() > plain.ask(window).await.json().as_array().unwrap().len());
    assert!(rows.iter().all(|row| row["attributionModel"]["path"].is_object()));
    assert!(rows.iter().any(|row| row["lapseTime"].is_string()) && rows.iter().any(|row| row["lapseTime"].is_u64()));
}

#[tokio::test]
async fn gives_bulk_rows_for_any_window() {
    let simulator = Simulator::start(Options { bulk_rows: Some(500), ..busy() }).await.unwrap();
    let account = account(&simulator, "awin", "bulk");
    let bearer = format!("Bearer {}", account.secrets["token"]);
    let path = format!("/publishers/{}/transactions/", account.settings["publisher_id"]);
    let uri = format!("{path}?startDate=2020-01-01T00:00:00&endDate=2020-01-02T00:00:00");
    let answer = get(&simulator, "awin", &uri, &[("authorization", &bearer)]).await;
    assert_eq!(answer.json().as_array().unwrap().len(), 500);
    assert!(simulator.truth("awin", "bulk").is_empty());
}

#[tokio::test]
async fn a_withheld_conversion_is_in_no_answer_until_all_are_delivered() {
    let reader = Reader::of(busy()).await;
    let before = reader.rows().await;
    let id = before.keys().nth(before.len() / 2).unwrap().clone();
    assert!(reader.simulator.withhold("awin", "alpha", &id));
    let without = reader.rows().await;
    assert_eq!(without.len(), before.len() - 1);
    assert!(!without.contains_key(&id) && !truth(&reader.simulator, "awin", "alpha").contains_key(&id));
    assert!(!reader.simulator.withhold("awin", "alpha", &id), "it isn't there any more");
    reader.simulator.deliver_all();
    assert_eq!(reader.rows().await, before);
}
