//! Faults, the log and the control listener.

use crate::client::{Answer, send};
use crate::world::{account, busy};
use sluice_simulator::{Fault, FaultPlan, Options, Simulator, TruthRow};
use std::collections::HashMap;

async fn simulator(kinds: &[Fault], share: f64, max_per_request: u32) -> Simulator {
    let faults = FaultPlan { share, kinds: kinds.to_vec(), max_per_request, slow_millis: 1 };
    Simulator::start(Options { faults, ..busy() }).await.unwrap()
}

async fn day(simulator: &Simulator, day: u32) -> std::io::Result<Answer> {
    let account = account(simulator, "awin", "alpha");
    let publisher = &account.settings["publisher_id"];
    let uri = format!(
        "/publishers/{publisher}/transactions/?startDate=2025-10-{day:02}T00:00:00&endDate=2025-10-{day:02}T23:59:59"
    );
    let bearer = format!("Bearer {}", account.secrets["token"]);
    send(&simulator.origin("awin"), "GET", &uri, &[("authorization", &bearer)], "").await
}

fn good(answer: &std::io::Result<Answer>) -> bool {
    answer.as_ref().is_ok_and(|it| {
        it.status == 200 && it.whole && serde_json::from_str::<Vec<serde_json::Value>>(&it.body).is_ok()
    })
}

#[tokio::test]
async fn every_kind_fails_in_its_way_and_then_stops() {
    for kind in Fault::ALL {
        let simulator = simulator(&[kind], 1.0, 3).await;
        let mut failures = 0;
        for _ in 0..4 {
            let answer = day(&simulator, 5).await;
            if good(&answer) {
                continue;
            }
            failures += 1;
            match kind {
                Fault::Reset => assert!(answer.is_err()),
                Fault::Truncated => assert!(answer.is_err() || !answer.unwrap().whole),
                Fault::Status429 => assert_eq!(answer.unwrap().status, 429),
                Fault::Status500 => assert_eq!(answer.unwrap().status, 500),
                Fault::ExpiredToken => assert_eq!(answer.unwrap().status, 401),
                Fault::HtmlAt200 => assert!(answer.unwrap().body.starts_with("<!DOCTYPE")),
                Fault::ErrorAt200 => assert!(answer.unwrap().json()["error"].is_string()),
                Fault::InvalidBody => assert!(answer.unwrap().whole),
                Fault::Slow => unreachable!("a slow answer is good"),
            }
        }
        assert_eq!(failures == 0, kind == Fault::Slow, "{kind:?}");
        assert!(failures <= 3);
        assert!(good(&day(&simulator, 5).await), "{kind:?} stops");
        assert_eq!(simulator.requests().len(), 5);
        assert_eq!(Fault::of(serde_json::to_value(kind).unwrap().as_str().unwrap()), Some(kind));
    }
}

#[tokio::test]
async fn a_share_of_the_requests_fails_the_same_way_each_time() {
    let mut logs = Vec::new();
    for _ in 0..2 {
        let simulator = simulator(&[Fault::Status500, Fault::Reset], 0.4, 2).await;
        for number in 1..=30 {
            let _maybe = day(&simulator, number).await;
        }
        logs.push(simulator.requests());
    }
    assert_eq!(logs[0], logs[1]);
    let failed = logs[0].iter().filter(|seen| seen.fault.is_some()).count();
    assert!((4..22).contains(&failed), "{failed} of 30");
    let uris: HashMap<_, _> = logs[0].iter().map(|seen| (&seen.uri, seen.status)).collect();
    assert_eq!(uris.len(), 30);
}

#[tokio::test]
async fn control_moves_the_clock_and_serves_all_networks() {
    let simulator = simulator(&[], 0.0, 0).await;
    let control = simulator.control();
    let before = simulator.clock();
    let answer = send(&control, "POST", "/_sim/advance?hours=5", &[], "").await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(simulator.clock() - before, chrono::TimeDelta::hours(5));
    assert_eq!(send(&control, "POST", "/_sim/advance?hours=x", &[], "").await.unwrap().status, 400);
    let answer = send(&control, "GET", "/_sim/truth?network=cj&account=beta", &[], "").await.unwrap();
    let rows: Vec<TruthRow> = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(rows, simulator.truth("cj", "beta"));
    for (path, status) in
        [("/accounts", 401), ("/query", 405), ("/events/1.0/transactions", 401), ("/x.cfm", 200), ("/nothing", 404)]
    {
        assert_eq!(send(&control, "GET", path, &[], "").await.unwrap().status, status, "{path}");
    }
    let other = send(&simulator.origin("awin"), "GET", "/x.cfm", &[], "").await.unwrap();
    assert_eq!(other.status, 404, "a network's listener serves only its own paths");
}

#[tokio::test]
async fn names_what_it_cannot_play() {
    let accounts = vec![sluice_simulator::AccountSpec::new("optimise", "a")];
    let error = Simulator::start(Options { accounts, ..busy() }).await.unwrap_err();
    assert!(error.to_string().contains("`optimise`"));
}
