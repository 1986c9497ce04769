//! ShareASale.

use crate::client::{Answer, encode};
use crate::world::{account, busy, get, plain, truth};
use sha2::{Digest, Sha256};
use sluice_simulator::{Options, Simulator, TimeBasis};
use std::collections::{BTreeMap, BTreeSet};

const DATE: &str = "Mon, 10 Nov 2025 12:00:00 GMT";

async fn ask(simulator: &Simulator, action: &str, date: &str, change: impl Fn(String) -> String, more: &str) -> Answer {
    let account = account(simulator, "shareasale", "alpha");
    let (token, key) = (&account.secrets["token"], &account.secrets["secret_key"]);
    let signature = change(hex::encode(Sha256::digest(format!("{token}:{date}:{action}:{key}"))));
    let uri = format!(
        "/x.cfm?affiliateId={}&token={}&version=2.3&action={action}{more}",
        account.settings["affiliate_id"],
        encode(token)
    );
    let headers = [("x-ShareASale-Date", date), ("x-ShareASale-Authentication", signature.as_str())];
    get(simulator, "shareasale", &uri, &headers).await
}

fn rows(answer: &Answer) -> Vec<BTreeMap<String, String>> {
    // The last line, even a header alone, has a space before its end.
    assert!(answer.body.ends_with(" \r\n"), "{}", answer.body);
    let mut lines = answer.body.trim_end().lines();
    let header: Vec<&str> = lines.next().unwrap().split('|').collect();
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            assert_eq!(cells.len(), header.len(), "{line}");
            header.iter().zip(cells).map(|(name, cell)| ((*name).to_owned(), cell.to_owned())).collect()
        })
        .collect()
}

#[tokio::test]
async fn checks_the_signature_strictly() {
    let simulator = Simulator::start(busy()).await.unwrap();
    let good = |signature: String| signature;
    assert!(ask(&simulator, "activity", DATE, good, "").await.body.starts_with("Trans ID|"));
    let upper = ask(&simulator, "activity", DATE, |it| it.to_uppercase(), "").await;
    assert!(upper.body.starts_with("Trans ID|"));
    let other = ask(&simulator, "activity", DATE, |it| it.replace(['0', '1', '2', '3'], "4"), "").await;
    let wrong = [
        other,
        ask(&simulator, "activity", "2025-11-10T12:00:00Z", good, "").await,
        ask(&simulator, "activity", "Tue, 10 Nov 2025 12:00:00 GMT", good, "").await,
        ask(&simulator, "balance", DATE, good, "").await,
        ask(&simulator, "activity", DATE, good, "&dateStart=01.10.2025").await,
        get(&simulator, "shareasale", "/x.cfm?action=activity", &[]).await,
    ];
    for answer in wrong {
        assert_eq!(answer.status, 200);
        assert!(answer.body.starts_with("Invalid Request - Error Code 4"), "{}", answer.body);
        assert!(answer.header("content-type").unwrap().starts_with("text/html"));
    }
}

#[tokio::test]
async fn serves_the_truth() {
    let simulator = Simulator::start(busy()).await.unwrap();
    simulator.advance(chrono::TimeDelta::days(15));
    let answer = ask(&simulator, "activity", DATE, |it| it, "&dateStart=09/01/2025&dateEnd=12/31/2025").await;
    let (payouts, rows): (Vec<_>, Vec<_>) =
        rows(&answer).into_iter().partition(|row| row["Trans Type"] == "Affiliate Payment");
    assert!(!payouts.is_empty());
    for payout in payouts {
        assert!(payout["Commission"].starts_with('-') && payout["Merchant ID"] == "47", "{payout:?}");
    }
    let rows: BTreeMap<_, _> = rows.into_iter().map(|row| (row["Trans ID"].clone(), row)).collect();
    let truth = truth(&simulator, "shareasale", "alpha");
    assert_eq!(truth.keys().collect::<Vec<_>>(), rows.keys().collect::<Vec<_>>());
    for (id, row) in &truth {
        let served = &rows[id];
        assert_eq!(plain(&served["Commission"]), row.commission);
        assert_eq!(served["Voided"] == "1", row.flags.voided);
        assert_eq!(served["Locked"] == "1", row.flags.locked);
        assert_eq!(!served["Paid Date"].is_empty(), row.flags.paid);
        assert!(served["Comment"].ends_with(&format!("Sale - {}", row.order_id.clone().unwrap_or_default())));
        assert!(served["Reversal Date"].is_empty() || served["Reversal Date"].ends_with(" 00:00:00.0"));
    }
    let words: BTreeSet<_> = truth.values().map(|row| row.status_raw.clone().unwrap()).collect();
    assert_eq!(words.len(), 4, "{words:?}");
    assert!(truth.values().any(|row| row.time_basis == TimeBasis::LocalDoubled));
}

#[tokio::test]
async fn windows_are_days_of_chicago() {
    let simulator = Simulator::start(busy()).await.unwrap();
    let answer = ask(&simulator, "activity", DATE, |it| it, "&dateStart=11/01/2025&dateEnd=11/02/2025").await;
    let found = rows(&answer);
    assert!(
        found
            .iter()
            .all(|row| row["Trans Date"].starts_with("11/01/2025 ") || row["Trans Date"].starts_with("11/02/2025 "))
    );
    assert!(found.iter().any(|row| row["Trans Date"] == "11/02/2025 01:30:00 AM"));
    let ledger = ask(&simulator, "ledger", DATE, |it| it, "&dateStart=11/01/2025&dateEnd=11/02/2025").await;
    assert!(!rows(&ledger).is_empty());
}

#[tokio::test]
async fn equal_seeds_give_equal_worlds() {
    let mut bodies = Vec::new();
    for (seed, steps) in [(5, vec![30]), (5, vec![7, 23]), (6, vec![30])] {
        let simulator = Simulator::start(Options { seed, ..busy() }).await.unwrap();
        for hours in steps {
            simulator.advance(chrono::TimeDelta::hours(hours));
            simulator.truth("shareasale", "alpha");
        }
        bodies.push(ask(&simulator, "activity", DATE, |it| it, "").await.body);
    }
    assert_eq!(bodies[0], bodies[1]);
    assert_ne!(bodies[0], bodies[2]);
}
