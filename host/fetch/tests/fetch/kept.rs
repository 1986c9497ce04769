//! Refresh tokens that rotate: kept before they are used, spent by one, lost by nobody.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use sluice_fetch::{
    Access, Account, Error, FetchOptions, Fetcher, Kept, SealKey, TokenKey, TokenPersistence, TokenStore,
    TokenStoreError,
};
use sluice_model::{Method, Op, Request, Secret, TokenPlace, TokenSource};
use tokio::sync::Notify;

use super::server::{Reply, Server};
use super::{access, get};

/// A store that all processes of a test share, and that fails when it is told to.
#[derive(Default)]
struct Store {
    rows: Mutex<HashMap<TokenKey, Kept>>,
    failures: AtomicUsize,
    saves: AtomicUsize,
}

impl TokenStore for Store {
    fn load<'a>(&'a self, name: &'a TokenKey) -> BoxFuture<'a, Result<Option<Kept>, TokenStoreError>> {
        async move { Ok(self.rows.lock().unwrap().get(name).cloned()) }.boxed()
    }

    fn save<'a>(
        &'a self,
        name: &'a TokenKey,
        seen: i64,
        sealed: &'a str,
    ) -> BoxFuture<'a, Result<bool, TokenStoreError>> {
        async move {
            self.saves.fetch_add(1, Ordering::SeqCst);
            // The claim is the first; what a sign-in brings comes after it.
            if self.saves.load(Ordering::SeqCst) > 1
                && self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
            {
                return Err("the disk is full".into());
            }
            let mut rows = self.rows.lock().unwrap();
            let version = rows.get(name).map_or(0, |kept| kept.version);
            if version == seen {
                rows.insert(name.clone(), Kept { version: seen + 1, sealed: sealed.to_owned() });
            }
            Ok(version == seen)
        }
        .boxed()
    }
}

fn keeping(store: &Arc<Store>) -> TokenPersistence {
    let key = SealKey::new(&Secret::new("0123456789abcdef0123456789abcdef".into())).unwrap();
    TokenPersistence::With(store.clone(), Arc::new(key))
}

/// A process: a fetcher of its own on the shared store.
fn process(store: &Arc<Store>, access: Access) -> Account {
    Fetcher::with_persistence(FetchOptions::default(), keeping(store)).unwrap().account(access).unwrap()
}

/// The operator gave a refresh token once, in the slot `refresh`; every use of one brings its successor.
fn source() -> TokenSource {
    let spend = |op: Op| {
        let mut request = get("/token");
        request.key = "sign-in".into();
        request.method = Method::Post;
        request.body = Some(vec![op]);
        request
    };
    TokenSource {
        name: "session".into(),
        request: spend(Op::Secret("refresh".into())),
        value: TokenPlace::Json("/access_token".into()),
        lifetime: Some(TokenPlace::Json("/expires_in".into())),
        lifetime_secs: None,
        refresh_value: Some(TokenPlace::Json("/refresh_token".into())),
        refresh: Some(spend(Op::RefreshToken("session".into()))),
        rotates: false,
    }
}

fn rows() -> Request {
    let mut request = get("/rows");
    request.headers = vec![("Authorization".into(), vec![Op::Token("session".into())])];
    request
}

/// A network that takes each refresh token once: refresh-0000 is the operator's. `lifetime` in seconds.
async fn network(lifetime: u32) -> Server {
    let spent = AtomicUsize::new(0);
    Server::start(move |seen| {
        let n = spent.load(Ordering::SeqCst);
        match seen.path() {
            "/token" if seen.body == format!("refresh-{n:04}").as_bytes() => {
                let next = spent.fetch_add(1, Ordering::SeqCst) + 1;
                Reply::ok(format!(
                    r#"{{"access_token":"access-{next:04}","refresh_token":"refresh-{next:04}","expires_in":{lifetime}}}"#
                ))
            }
            "/token" => Reply::status(400, r#"{"error":"invalid_grant"}"#),
            _ if seen.header("authorization") == Some(&format!("access-{n:04}")) => Reply::ok("rows"),
            _ => Reply::status(401, "who?"),
        }
    })
    .await
}

fn with_refresh(server: &Server) -> Access {
    let mut access = access(server);
    access.secrets.insert("refresh".into(), Secret::new("refresh-0000".into()));
    access.tokens = vec![source()];
    access
}

#[tokio::test]
async fn the_next_process_goes_on_with_what_the_last_one_got() {
    let (server, store) = (network(3600).await, Arc::new(Store::default()));
    for _ in 0..3 {
        let exchange = process(&store, with_refresh(&server)).send(&rows()).await.unwrap();
        assert_eq!(exchange.status, 200);
    }
    assert_eq!(server.count("/token"), 1, "a live token isn't bought again");
    let (short, store) = (network(0).await, Arc::new(Store::default()));
    for _ in 0..3 {
        assert_eq!(process(&store, with_refresh(&short)).send(&rows()).await.unwrap().status, 200);
    }
    assert_eq!(short.count("/token"), 3, "each with the refresh token of the one before");
    let sealed = format!("{:?}", store.rows.lock().unwrap());
    assert!(sealed.contains("v1.") && !sealed.contains("refresh-000") && !sealed.contains("access-000"));
}

#[tokio::test]
async fn a_token_that_can_not_be_kept_is_not_used_and_not_lost() {
    let (server, store) = (network(3600).await, Arc::new(Store::default()));
    store.failures.store(6, Ordering::SeqCst);
    let account = process(&store, with_refresh(&server));
    let error = account.send(&rows()).await.unwrap_err();
    assert!(matches!(error, Error::TokenStore { doing: "keep", .. }) && error.is_retryable(), "{error:?}");
    assert_eq!((server.count("/token"), server.count("/rows")), (1, 0));
    assert_eq!(account.send(&rows()).await.unwrap().status, 200, "kept at the second try");
    assert_eq!((server.count("/token"), server.count("/rows")), (1, 1));
    assert_eq!(process(&store, with_refresh(&server)).send(&rows()).await.unwrap().status, 200);
    assert_eq!(server.count("/token"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_processes_one_spends_and_all_use_what_it_got() {
    let (server, store) = (network(3600).await, Arc::new(Store::default()));
    let processes: Vec<_> = (0..6).map(|_| process(&store, with_refresh(&server))).collect();
    let request = rows();
    let exchanges = join_all(processes.iter().map(|account| account.send(&request))).await;
    assert!(exchanges.iter().all(|exchange| exchange.as_ref().unwrap().status == 200), "{exchanges:?}");
    assert_eq!(server.count("/token"), 1);
}

#[tokio::test]
async fn a_refused_token_is_renewed_by_its_refresh_token() {
    let (server, store) = (network(3600).await, Arc::new(Store::default()));
    let (first, second) = (process(&store, with_refresh(&server)), process(&store, with_refresh(&server)));
    first.send(&rows()).await.unwrap();
    second.send(&rows()).await.unwrap();
    // The first one's token dies because another process spends the refresh token.
    let refused = second.send(&rows()).await.unwrap();
    second.renew("session", &refused).await;
    assert_eq!(second.send(&rows()).await.unwrap().status, 200);
    let refused = first.send(&rows()).await.unwrap();
    assert_eq!((refused.status, refused.token_expired.as_deref()), (401, Some("session")));
    first.renew("session", &refused).await;
    assert_eq!(first.send(&rows()).await.unwrap().status, 200);
    assert_eq!(server.count("/token"), 2, "the first one takes what the second got");
}

#[tokio::test]
async fn a_cancelled_request_does_not_lose_the_answer() {
    let asked = Arc::new(Notify::new());
    let told = asked.clone();
    let server = Server::start(move |seen| {
        told.notify_one();
        match seen.path() {
            "/token" => Reply::ok(r#"{"access_token":"access-0001","refresh_token":"refresh-0001"}"#),
            _ => Reply::ok("rows"),
        }
    })
    .await;
    let store = Arc::new(Store::default());
    let account = process(&store, with_refresh(&server));
    let request = rows();
    tokio::select! {
        _ = account.send(&request) => panic!("it is cancelled as soon as the network was asked"),
        () = asked.notified() => {}
    }
    // Whoever comes next waits for the same sign-in.
    assert_eq!(account.send(&request).await.unwrap().status, 200);
    assert_eq!((server.count("/token"), store.rows.lock().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn new_secrets_from_the_operator_make_the_kept_token_void() {
    let server = Server::start(|seen| match seen.path() {
        "/token" => Reply::ok(r#"{"access_token":"access-0001","refresh_token":"refresh-0001","expires_in":0}"#),
        _ => Reply::ok("rows"),
    })
    .await;
    let store = Arc::new(Store::default());
    process(&store, with_refresh(&server)).send(&rows()).await.unwrap();
    let mut other = with_refresh(&server);
    other.settings = vec![("site".into(), "2".into())];
    process(&store, other.clone()).send(&rows()).await.unwrap();
    other.secrets.insert("refresh".into(), Secret::new("refresh-new!".into()));
    process(&store, other).send(&rows()).await.unwrap();
    let spent: Vec<_> =
        server.seen().into_iter().filter(|seen| seen.path() == "/token").map(|seen| seen.body).collect();
    assert_eq!(spent, [b"refresh-0000", b"refresh-0001", b"refresh-new!"]);
}

#[tokio::test]
async fn another_key_is_refused_before_anything_is_spent() {
    let (server, store) = (network(0).await, Arc::new(Store::default()));
    process(&store, with_refresh(&server)).send(&rows()).await.unwrap();
    let key = SealKey::new(&Secret::new("another-key-of-thirty-two-bytes!".into())).unwrap();
    let keeping = TokenPersistence::With(store, Arc::new(key));
    let other =
        Fetcher::with_persistence(FetchOptions::default(), keeping).unwrap().account(with_refresh(&server)).unwrap();
    let error = other.send(&rows()).await.unwrap_err();
    assert!(matches!(error, Error::Sealed { .. }) && !error.is_retryable(), "{error:?}");
    assert!(error.hint().unwrap().contains("put back the `key`"));
    assert_eq!(server.count("/token"), 1);
}

#[tokio::test]
async fn without_a_place_to_keep_it_no_refresh_token_is_spent() {
    let server = network(3600).await;
    let keeping = TokenPersistence::Refused("add `key = \"env:SLUICE_STATE_KEY\"`".into());
    let account =
        Fetcher::with_persistence(FetchOptions::default(), keeping).unwrap().account(with_refresh(&server)).unwrap();
    let error = account.send(&rows()).await.unwrap_err();
    assert_eq!(error.hint().unwrap(), "add `key = \"env:SLUICE_STATE_KEY\"`");
    assert!(server.seen().is_empty());
}

/// A process that dies when the network has answered and nothing is kept yet.
async fn died_before_keeping(store: &Arc<Store>, access: &Access) {
    store.failures.store(usize::MAX, Ordering::SeqCst);
    assert!(process(store, access.clone()).send(&rows()).await.is_err());
    store.failures.store(0, Ordering::SeqCst);
}

fn impatient(store: &Arc<Store>, access: Access) -> Account {
    let options = FetchOptions { claim_lease: Duration::from_millis(60), ..FetchOptions::default() };
    Fetcher::with_persistence(options, keeping(store)).unwrap().account(access).unwrap()
}

#[tokio::test]
async fn a_process_that_died_leaves_a_claim_and_the_next_one_says_since_when() {
    let (server, store) = (network(3600).await, Arc::new(Store::default()));
    died_before_keeping(&store, &with_refresh(&server)).await;
    let error = impatient(&store, with_refresh(&server)).send(&rows()).await.unwrap_err();
    assert!(matches!(error, Error::Credentials { status: 400, .. }), "{error:?}");
    assert!(error.to_string().contains("a sign-in was cut off at 20"), "{error}");
    let again = impatient(&store, with_refresh(&server)).send(&rows()).await.unwrap_err();
    assert!(again.to_string().contains("a sign-in was cut off at 20"), "it is still known: {again}");
}

#[tokio::test]
async fn a_network_that_takes_the_old_token_once_more_lets_the_next_process_go_on() {
    let server = Server::start(|seen| match seen.path() {
        "/token" => Reply::ok(r#"{"access_token":"access-0001","refresh_token":"refresh-0001"}"#),
        _ => Reply::ok("rows"),
    })
    .await;
    let store = Arc::new(Store::default());
    died_before_keeping(&store, &with_refresh(&server)).await;
    assert_eq!(impatient(&store, with_refresh(&server)).send(&rows()).await.unwrap().status, 200);
    assert_eq!(process(&store, with_refresh(&server)).send(&rows()).await.unwrap().status, 200);
    assert_eq!(server.count("/token"), 2);
}
