//! Attempts over HTTP: the status and headers of a response decide about the next one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sluice_fetch::{Attempts, Error, FetchOptions, NextAttempt};
use sluice_model::ErrorKind;

use super::server::{Reply, Server};
use super::{account, get, text};

const NOW: &str = "2026-11-23T20:00:00Z";

/// The pauses between the attempts at a request that a server never answers, and how they end. Nothing is waited for:
/// each attempt has a budget of its own.
async fn pauses(server: &Server, options: FetchOptions) -> (Vec<Duration>, NextAttempt) {
    let (mut attempts, mut pauses) = (Attempts::new(&options), Vec::new());
    let now: DateTime<Utc> = NOW.parse().unwrap();
    loop {
        let exchange = account(server).send(&get("/")).await.unwrap();
        let kind = ErrorKind::of_status(exchange.status).unwrap_or(ErrorKind::Network);
        match attempts.next(&exchange.failed_attempt(kind, None), now) {
            NextAttempt::After(pause) => pauses.push(pause),
            end => return (pauses, end),
        }
    }
}

#[tokio::test]
async fn every_form_of_retry_after_is_kept_to() {
    // Case 33: 2.5 s, nothing, a second ago, and a date in 2033 in the obsolete form of RFC 850.
    let values = ["2.5", "0", "-1", "Sunday, 06-Nov-33 08:49:37 GMT"];
    let server = Server::start(move |seen| {
        let n: usize = seen.header("x-attempt").map_or(0, |n| n.parse().unwrap());
        Reply::status(429, "slow down").header("Retry-After", values[n])
    })
    .await;
    let mut attempts = Attempts::new(&FetchOptions::default());
    let mut next = Vec::new();
    for n in 0..values.len() {
        let mut request = get("/");
        request.headers = vec![("X-Attempt".into(), vec![text(&n.to_string())])];
        let exchange = account(&server).send(&request).await.unwrap();
        next.push(attempts.next(&exchange.failed_attempt(ErrorKind::Quota, None), exchange.received_at));
    }
    let pause = |n: usize| match next[n] {
        NextAttempt::After(pause) => pause,
        ref other => panic!("attempt {n}: {other:?}"),
    };
    assert_eq!(pause(0), Duration::from_millis(2500));
    assert!(pause(1) >= Duration::from_secs(1) && pause(2) >= Duration::from_secs(2), "{next:?}");
    let NextAttempt::Deferred(error) = &next[3] else { panic!("{next:?}") };
    assert!(error.to_string().ends_with("not before 2033-11-06 08:49:37 UTC"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Quota);
}

#[tokio::test]
async fn a_year_is_not_waited_for() {
    let server = Server::start(|_| Reply::status(429, "later").header("Retry-After", "31536000")).await;
    let (waited, end) = pauses(&server, FetchOptions::default()).await;
    assert!(waited.is_empty());
    assert!(matches!(end, NextAttempt::Deferred(Error::Deferred { pause, .. }) if pause.as_secs() == 31_536_000));
    let year = Duration::from_secs(31_536_000);
    let options = FetchOptions { max_retry_wait: year, max_attempts: 2, ..FetchOptions::default() };
    assert_eq!(pauses(&server, options).await.0, [year], "the maximum is a setting");
}

#[tokio::test]
async fn a_rate_limit_without_retry_after_is_waited_for_until_its_reset() {
    for (name, value) in [("X-RateLimit-Reset", "30"), ("X-RateLimit-Reset-After", "30.0"), ("RateLimit-Reset", "30")] {
        let server = Server::start(move |_| Reply::status(429, "").header(name, value)).await;
        let options = FetchOptions { max_attempts: 2, ..FetchOptions::default() };
        assert_eq!(pauses(&server, options).await.0, [Duration::from_secs(30)], "{name}");
    }
}

#[tokio::test]
async fn a_pause_is_kept_to_by_all_requests_of_a_credential() {
    let server = Server::start(|seen| match seen.path() {
        "/first" => Reply::status(429, "").header("Retry-After", "0.3"),
        _ => Reply::ok(""),
    })
    .await;
    let account = account(&server);
    account.send(&get("/first")).await.unwrap();
    let sent = tokio::time::Instant::now();
    account.send(&get("/second")).await.unwrap();
    assert!(sent.elapsed() >= Duration::from_millis(250), "{:?}", sent.elapsed());
}

#[tokio::test]
async fn statuses_that_stay_the_same_are_sent_twice() {
    for (status, sent) in [(400, 2), (401, 2), (403, 2), (404, 2), (410, 2), (501, 2), (500, 6), (503, 6), (429, 6)] {
        let server = Server::start(move |_| Reply::status(status, "no")).await;
        let (_, end) = pauses(&server, FetchOptions::default()).await;
        assert!(matches!(end, NextAttempt::Final), "{status}: {end:?}");
        assert_eq!(server.seen().len(), sent, "{status}");
    }
}
