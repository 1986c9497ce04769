//! Refresh tokens that rotate: stored before they are used, used by one process, never lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use sluice_fetch::{
    Access, Account, Error, FetchOptions, Fetcher, SealKey, StoredToken, TokenKey, TokenPersistence, TokenStore,
    TokenStoreError,
};
use sluice_model::{Method, Op, Request, Secret, TokenPlace, TokenSource};
use tokio::sync::Notify;

use super::server::{Reply, Server};
use super::{access, get, token_source};

/// A store that all processes of a test share. It fails `failures` times.
#[derive(Default)]
struct Store {
    rows: Mutex<HashMap<TokenKey, StoredToken>>,
    failures: AtomicUsize,
    saves: AtomicUsize,
}

impl TokenStore for Store {
    fn load<'a>(&'a self, key: &'a TokenKey) -> BoxFuture<'a, Result<Option<StoredToken>, TokenStoreError>> {
        async move { Ok(self.rows.lock().unwrap().get(key).cloned()) }.boxed()
    }

    fn save<'a>(
        &'a self,
        key: &'a TokenKey,
        seen: i64,
        sealed: &'a str,
    ) -> BoxFuture<'a, Result<bool, TokenStoreError>> {
        async move {
            self.saves.fetch_add(1, Ordering::SeqCst);
            // The first save is the claim.
            if self.saves.load(Ordering::SeqCst) > 1
                && self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
            {
                return Err("the disk is full".into());
            }
            let mut rows = self.rows.lock().unwrap();
            let version = rows.get(key).map_or(0, |stored| stored.version);
            if version == seen {
                rows.insert(key.clone(), StoredToken { version: seen + 1, sealed: sealed.to_owned() });
            }
            Ok(version == seen)
        }
        .boxed()
    }
}

fn persistence(store: &Arc<Store>) -> TokenPersistence {
    let key = SealKey::new(&Secret::new("0123456789abcdef0123456789abcdef".into())).unwrap();
    TokenPersistence::With(store.clone(), Arc::new(key))
}

/// A process: a fetcher of its own on the shared store.
fn process(store: &Arc<Store>, access: Access) -> Account {
    Fetcher::with_persistence(FetchOptions::default(), persistence(store)).unwrap().account(access).unwrap()
}

/// The first refresh token is the secret `refresh`; every use of one brings the next.
fn source() -> TokenSource {
    let refresh = |op: Op| {
        let mut request = get("/token");
        request.key = "sign-in".into();
        request.method = Method::Post;
        request.body = Some(vec![op]);
        request
    };
    TokenSource {
        refresh_value: Some(TokenPlace::Json("/refresh_token".into())),
        refresh: Some(refresh(Op::RefreshToken("session".into()))),
        ..token_source("session", refresh(Op::Secret("refresh".into())), TokenPlace::Json("/access_token".into()))
    }
}

fn rows() -> Request {
    let mut request = get("/rows");
    request.headers = vec![("Authorization".into(), vec![Op::Token("session".into())])];
    request
}

/// A network that accepts each refresh token once, refresh-0000 first. `lifetime` of access tokens in seconds.
async fn network(lifetime: u32) -> Server {
    let used = AtomicUsize::new(0);
    Server::start(move |seen| {
        let n = used.load(Ordering::SeqCst);
        match seen.path() {
            "/token" if seen.body == format!("refresh-{n:04}").as_bytes() => {
                let next = used.fetch_add(1, Ordering::SeqCst) + 1;
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

/// A network that accepts any refresh token.
async fn lenient(lifetime: u32) -> Server {
    Server::start(move |seen| match seen.path() {
        "/token" => Reply::ok(format!(
            r#"{{"access_token":"access-0001","refresh_token":"refresh-0001","expires_in":{lifetime}}}"#
        )),
        _ => Reply::ok("rows"),
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
async fn the_next_process_uses_the_stored_tokens() {
    let (server, store) = (network(3600).await, Arc::new(Store::default()));
    for _ in 0..3 {
        let exchange = process(&store, with_refresh(&server)).send(&rows()).await.unwrap();
        assert_eq!(exchange.status, 200);
    }
    assert_eq!(server.count("/token"), 1, "a live token is used");
    let (short, store) = (network(0).await, Arc::new(Store::default()));
    for _ in 0..3 {
        assert_eq!(process(&store, with_refresh(&short)).send(&rows()).await.unwrap().status, 200);
    }
    assert_eq!(short.count("/token"), 3, "each with the refresh token of the one before");
    let sealed = format!("{:?}", store.rows.lock().unwrap());
    assert!(sealed.contains("v1.") && !sealed.contains("refresh-000") && !sealed.contains("access-000"));
}

#[tokio::test]
async fn a_token_that_can_not_be_stored_is_not_used_and_not_lost() {
    let (server, store) = (network(3600).await, Arc::new(Store::default()));
    store.failures.store(6, Ordering::SeqCst);
    let account = process(&store, with_refresh(&server));
    let error = account.send(&rows()).await.unwrap_err();
    assert!(matches!(error, Error::TokenStore { doing: "store", .. }) && error.is_retryable(), "{error:?}");
    assert_eq!((server.count("/token"), server.count("/rows")), (1, 0));
    assert_eq!(account.send(&rows()).await.unwrap().status, 200, "stored at the second attempt");
    assert_eq!((server.count("/token"), server.count("/rows")), (1, 1));
    assert_eq!(process(&store, with_refresh(&server)).send(&rows()).await.unwrap().status, 200);
    assert_eq!(server.count("/token"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_processes_one_signs_in_and_all_use_its_tokens() {
    let (server, store) = (network(3600).await, Arc::new(Store::default()));
    let processes: Vec<_> = (0..6).map(|_| process(&store, with_refresh(&server))).collect();
    let request = rows();
    let exchanges = join_all(processes.iter().map(|account| account.send(&request))).await;
    assert!(exchanges.iter().all(|exchange| exchange.as_ref().unwrap().status == 200), "{exchanges:?}");
    assert_eq!(server.count("/token"), 1);
}

#[tokio::test]
async fn a_rejected_token_is_renewed_by_its_refresh_token() {
    let (server, store) = (network(3600).await, Arc::new(Store::default()));
    let (first, second) = (process(&store, with_refresh(&server)), process(&store, with_refresh(&server)));
    first.send(&rows()).await.unwrap();
    second.send(&rows()).await.unwrap();
    // The first one's token expires because another process uses the refresh token.
    let rejected = second.send(&rows()).await.unwrap();
    second.renew("session", &rejected).await;
    assert_eq!(second.send(&rows()).await.unwrap().status, 200);
    let rejected = first.send(&rows()).await.unwrap();
    assert_eq!((rejected.status, rejected.token_expired.as_deref()), (401, Some("session")));
    first.renew("session", &rejected).await;
    assert_eq!(first.send(&rows()).await.unwrap().status, 200);
    assert_eq!(server.count("/token"), 2, "the first one uses the tokens of the second");
}

#[tokio::test]
async fn a_cancelled_request_does_not_lose_the_response() {
    let arrived = Arc::new(Notify::new());
    let notified = arrived.clone();
    let server = Server::start(move |seen| {
        notified.notify_one();
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
        _ = account.send(&request) => panic!("it is cancelled when the sign-in has arrived"),
        () = arrived.notified() => {}
    }
    // The next request waits for the same sign-in.
    assert_eq!(account.send(&request).await.unwrap().status, 200);
    assert_eq!((server.count("/token"), store.rows.lock().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn new_secrets_make_the_stored_tokens_void() {
    let (server, store) = (lenient(0).await, Arc::new(Store::default()));
    process(&store, with_refresh(&server)).send(&rows()).await.unwrap();
    let mut other = with_refresh(&server);
    other.settings = vec![("site".into(), "2".into())];
    process(&store, other.clone()).send(&rows()).await.unwrap();
    other.secrets.insert("refresh".into(), Secret::new("refresh-new!".into()));
    process(&store, other).send(&rows()).await.unwrap();
    let used: Vec<_> = server.seen().into_iter().filter(|seen| seen.path() == "/token").map(|seen| seen.body).collect();
    assert_eq!(used, [b"refresh-0000", b"refresh-0001", b"refresh-new!"]);
}

#[tokio::test]
async fn another_key_fails_before_a_refresh_token_is_used() {
    let (server, store) = (network(0).await, Arc::new(Store::default()));
    process(&store, with_refresh(&server)).send(&rows()).await.unwrap();
    let key = SealKey::new(&Secret::new("another-key-of-thirty-two-bytes!".into())).unwrap();
    let persistence = TokenPersistence::With(store, Arc::new(key));
    let other = Fetcher::with_persistence(FetchOptions::default(), persistence)
        .unwrap()
        .account(with_refresh(&server))
        .unwrap();
    let error = other.send(&rows()).await.unwrap_err();
    assert!(matches!(error, Error::Sealed { .. }) && !error.is_retryable(), "{error:?}");
    assert!(error.hint().unwrap().contains("put back the `key`"));
    assert_eq!(server.count("/token"), 1);
}

#[tokio::test]
async fn without_a_store_no_refresh_token_is_used() {
    let server = network(3600).await;
    let persistence = TokenPersistence::Refused("add `key = \"env:SLUICE_STATE_KEY\"`".into());
    let account = Fetcher::with_persistence(FetchOptions::default(), persistence)
        .unwrap()
        .account(with_refresh(&server))
        .unwrap();
    let error = account.send(&rows()).await.unwrap_err();
    assert_eq!(error.hint().unwrap(), "add `key = \"env:SLUICE_STATE_KEY\"`");
    assert!(server.seen().is_empty());
}

/// A process that dies after the network's response and before its tokens are stored.
async fn die_before_storing(store: &Arc<Store>, access: &Access) {
    store.failures.store(usize::MAX, Ordering::SeqCst);
    assert!(process(store, access.clone()).send(&rows()).await.is_err());
    store.failures.store(0, Ordering::SeqCst);
}

fn with_short_lease(store: &Arc<Store>, access: Access) -> Account {
    let options = FetchOptions { claim_lease: Duration::from_millis(60), ..FetchOptions::default() };
    Fetcher::with_persistence(options, persistence(store)).unwrap().account(access).unwrap()
}

#[tokio::test]
async fn the_error_after_a_lost_token_says_since_when() {
    let (server, store) = (network(3600).await, Arc::new(Store::default()));
    die_before_storing(&store, &with_refresh(&server)).await;
    let error = with_short_lease(&store, with_refresh(&server)).send(&rows()).await.unwrap_err();
    assert!(matches!(error, Error::Credentials { status: 400, .. }), "{error:?}");
    assert!(error.to_string().contains("a sign-in was interrupted at 20"), "{error}");
    let again = with_short_lease(&store, with_refresh(&server)).send(&rows()).await.unwrap_err();
    assert!(again.to_string().contains("a sign-in was interrupted at 20"), "the moment is stored: {again}");
}

#[tokio::test]
async fn the_next_process_tries_the_old_refresh_token() {
    let (server, store) = (lenient(3600).await, Arc::new(Store::default()));
    die_before_storing(&store, &with_refresh(&server)).await;
    assert_eq!(with_short_lease(&store, with_refresh(&server)).send(&rows()).await.unwrap().status, 200);
    assert_eq!(process(&store, with_refresh(&server)).send(&rows()).await.unwrap().status, 200);
    assert_eq!(server.count("/token"), 2);
}
