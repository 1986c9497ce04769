//! TradeTracker.

use crate::client::{Answer, send};
use crate::world::{account, busy, truth};
use sluice_simulator::{Simulator, TimeBasis};
use std::collections::BTreeMap;

fn action(method: &str) -> String {
    format!("\"https://ws.tradetracker.com/soap/affiliate/{method}\"")
}

async fn call(simulator: &Simulator, method: &str, parameters: &str, action: &str, cookie: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
         <t:{method} xmlns:t=\"x\">{parameters}</t:{method}></s:Body></s:Envelope>"
    );
    let headers = [("soapaction", action), ("cookie", cookie), ("content-type", "text/xml")];
    send(&simulator.origin("tradetracker"), "POST", "/soap/affiliate", &headers, &body).await.unwrap()
}

async fn login(simulator: &Simulator, name: &str) -> String {
    let account = account(simulator, "tradetracker", name);
    let passphrase = account.secrets["passphrase"].replace('&', "&amp;");
    let parameters =
        format!("<customerID>{}</customerID><passphrase>{passphrase}</passphrase>", account.settings["customer_id"]);
    let answer = call(simulator, "authenticate", &parameters, &action("authenticate"), "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

fn tag(item: &str, name: &str) -> Option<String> {
    let start = item.find(&format!("<{name}>"))? + name.len() + 2;
    Some(item[start..start + item[start..].find("</")?].to_owned())
}

async fn items(simulator: &Simulator, name: &str, options: &str) -> BTreeMap<String, String> {
    let cookie = login(simulator, name).await;
    let site = account(simulator, "tradetracker", name).settings["affiliate_site_id"].clone();
    let parameters = format!("<affiliateSiteID>{site}</affiliateSiteID><options>{options}</options>");
    let method = "getConversionTransactions";
    let answer = call(simulator, method, &parameters, &action(method), &cookie).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let items = answer.body.split("<item><ID>").skip(1).map(|item| {
        let item = format!("<ID>{item}");
        (tag(&item, "ID").unwrap(), item)
    });
    items.collect()
}

#[tokio::test]
async fn serves_the_truth_to_a_session() {
    let simulator = Simulator::start(busy()).await.unwrap();
    for name in ["alpha", "beta"] {
        let items = items(&simulator, name, "<registrationDateFrom>2025-09-01</registrationDateFrom>").await;
        let truth = truth(&simulator, "tradetracker", name);
        assert_eq!(truth.keys().collect::<Vec<_>>(), items.keys().collect::<Vec<_>>());
        for (id, row) in &truth {
            assert_eq!(tag(&items[id], "transactionStatus"), row.status_raw);
            assert_eq!(crate::world::plain(&tag(&items[id], "commission").unwrap()), row.commission);
            let offset = tag(&items[id], "registrationDate").unwrap().contains('T');
            assert_eq!(offset, name == "beta");
            assert_eq!(items[id].contains("<numTouchPointsTotal>"), offset, "newer answers have more");
        }
        let places = |item: &String| tag(item, "commission").unwrap().split_once('.').unwrap().1.len();
        assert!(items.values().any(|item| places(item) == 3) && items.values().any(|item| places(item) == 2));
        let doubled = truth.values().filter(|row| row.time_basis == TimeBasis::LocalDoubled).count();
        assert_eq!(doubled >= 2, name == "alpha", "the hour that repeats is in the history");
    }
}

#[tokio::test]
async fn windows_are_days_of_amsterdam() {
    let simulator = Simulator::start(busy()).await.unwrap();
    let day =
        "<registrationDateFrom>2025-10-26</registrationDateFrom><registrationDateTo>2025-10-27</registrationDateTo>";
    let found = items(&simulator, "alpha", day).await;
    assert!(found.values().all(|item| tag(item, "registrationDate").unwrap().starts_with("2025-10-26 ")));
    assert!(found.len() >= 2);
    let assessed = items(&simulator, "alpha", "<assessmentDateFrom>2025-11-01</assessmentDateFrom>").await;
    assert!(
        !assessed.is_empty()
            && assessed.values().all(|item| tag(item, "assessmentDate").unwrap().as_str() >= "2025-11-01")
    );
    let until = "<registrationDateTo>2025-10-26</registrationDateTo>";
    assert!(
        items(&simulator, "alpha", until)
            .await
            .values()
            .all(|item| { tag(item, "registrationDate").unwrap().as_str() < "2025-10-26" })
    );
    let none = "<registrationDateFrom>2030-01-01</registrationDateFrom>";
    assert!(items(&simulator, "alpha", none).await.is_empty());
    let session = call(&simulator, "getAffiliateSites", "", &action("getAffiliateSites"), "SID=none").await;
    assert!(session.body.contains("<faultstring>Not yet authenticated</faultstring>"));
}

#[tokio::test]
async fn faults_without_a_session() {
    let simulator = Simulator::start(busy()).await.unwrap();
    let cookie = login(&simulator, "alpha").await;
    let sites = call(&simulator, "getAffiliateSites", "", &action("getAffiliateSites"), &cookie).await;
    assert!(sites.body.contains("<affiliateSites><item><ID>"));
    for (method, action, cookie) in [
        ("getAffiliateSites", action("getAffiliateSites"), "SID=none"),
        ("getAffiliateSites", action("getAffiliateSites"), ""),
        ("getAffiliateSites", "\"getAffiliateSites\"".to_owned(), cookie.as_str()),
        ("getNothing", action("getNothing"), cookie.as_str()),
        ("authenticate", action("authenticate"), ""),
        ("getConversionTransactions", action("getConversionTransactions"), cookie.as_str()),
    ] {
        let answer = call(&simulator, method, "", &action, cookie).await;
        assert!(
            [200, 500].contains(&answer.status) && answer.body.contains("<faultstring>"),
            "{method}: {}",
            answer.body
        );
    }
}
