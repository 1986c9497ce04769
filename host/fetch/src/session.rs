//! An account's tokens: how they are shared, how long they are used, and the values that must be masked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sluice_model::{Request, Secret, TokenPlace, TokenSource};
use tokio::time::Instant;

use crate::error::Error;
use crate::issued::IssuedTokens;
use crate::redact::Redactor;
use crate::render::tokens_of;
use crate::token_text::{cookie_values, looks_like_a_token, may_be_a_token};

/// Accounts whose secrets' search is kept though no request of theirs is on its way.
const RECENT_REDACTORS: usize = 256;
/// The same in bytes of what they search for; one of usual secrets has some thousand.
const RECENT_FORM_BYTES: usize = 2 << 20;
/// How often a warning about the same sign-in is logged at most.
const WARNING_PAUSE: Duration = Duration::from_secs(3600);

/// The sign-ins of one account.
pub(crate) struct Session {
    pub(crate) sign_ins: Vec<Arc<SignIn>>,
    /// Locked by the one request in flight that uses a rotating token.
    pub(crate) rotation: tokio::sync::Mutex<()>,
    secrets: Vec<Secret>,
    issued: Mutex<IssuedTokens>,
    /// What finds them, as long as somebody needs it.
    redactor: Mutex<Weak<Redactor>>,
    recent: Arc<RecentRedactors>,
    /// When the secrets were last read again and turned out unchanged. Locked while reading, so that twenty rejected requests
    /// read once.
    pub(crate) reloaded: tokio::sync::Mutex<Option<Instant>>,
}

/// The searches for secrets that were made last, of all accounts. One takes some 20 kB, so of tens of thousands of accounts not
/// all are kept: what isn't here and nobody uses is made again.
#[derive(Default)]
pub(crate) struct RecentRedactors(Mutex<VecDeque<Arc<Redactor>>>);

impl RecentRedactors {
    fn keep(&self, redactor: &Arc<Redactor>) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.truncate(RECENT_REDACTORS - 1);
        recent.push_front(Arc::clone(redactor));
        let mut bytes = 0;
        let fitting = recent.iter().take_while(|redactor| {
            bytes += redactor.form_bytes();
            bytes <= RECENT_FORM_BYTES
        });
        let fitting = fitting.count();
        recent.truncate(fitting);
    }
}

/// One sign-in and the sources that it fills. Sources with the same request share it: three headers of one response are
/// three sources, and the values of different sign-ins would not match each other.
pub(crate) struct SignIn {
    pub(crate) sources: Vec<TokenSource>,
    /// Locked while signing in, so that other requests wait for the same outcome.
    pub(crate) state: Arc<tokio::sync::Mutex<TokenState>>,
    /// Sign-ins that have ended, successful or not.
    pub(crate) ended: AtomicU64,
    rejections: Mutex<Rejections>,
}

/// How often the network rejected a refresh token that it gave.
#[derive(Debug, Default)]
struct Rejections {
    logged: Option<Instant>,
    /// Since then.
    unlogged: u64,
}

impl Rejections {
    /// Counts one; their number since the last time if it is to be logged.
    fn count(&mut self, now: Instant) -> Option<u64> {
        self.unlogged += 1;
        if self.logged.is_some_and(|at| now.saturating_duration_since(at) < WARNING_PAUSE) {
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

/// The outcome of a sign-in.
#[derive(Default)]
pub(crate) struct TokenState {
    pub(crate) values: BTreeMap<String, Secret>,
    pub(crate) refresh: BTreeMap<String, Secret>,
    pub(crate) generation: u64,
    pub(crate) issued: Option<Instant>,
    /// None: until the network rejects it.
    pub(crate) good_until: Option<Instant>,
    /// The last failure, and the number of sign-ins that had ended with it.
    pub(crate) failed: Option<(u64, Error)>,
    /// Sign-ins in a row that were answered with status 2xx and no token.
    pub(crate) empty_sign_ins: u32,
    /// The version of the stored record that this state is; 0 without one.
    pub(crate) version: i64,
    /// Whether the values must be stored before they may be used.
    pub(crate) unsaved: bool,
}

impl TokenState {
    pub(crate) fn is_live(&self, now: Instant) -> bool {
        !self.unsaved && self.issued.is_some() && self.good_until.is_none_or(|until| now < until)
    }

    /// Counts a response without a token, so that too many in a row are final.
    pub(crate) fn count_failure(&mut self, mut error: Error) -> Error {
        if let Error::SignIn { attempts, status: 200..=299, .. } = &mut error {
            self.empty_sign_ins += 1;
            *attempts = self.empty_sign_ins;
        }
        error
    }

    /// Drops the values but not the refresh token.
    pub(crate) fn forget(&mut self) {
        self.values.clear();
        self.issued = None;
    }
}

impl SignIn {
    /// Counts a sign-in as ended, and returns the count.
    pub(crate) fn end(&self) -> u64 {
        self.ended.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Counts a refresh token as rejected; how many were since the last time, if that is to be logged: a connector may renew
    /// a token after each of ten thousand requests.
    pub(crate) fn count_rejection(&self) -> Option<u64> {
        self.rejections.lock().unwrap_or_else(PoisonError::into_inner).count(Instant::now())
    }

    /// Whether the sign-in fills the source of this name.
    pub(crate) fn provides(&self, token: &str) -> bool {
        self.sources.iter().any(|source| source.name == token)
    }

    /// The name of the first source.
    pub(crate) fn name(&self) -> &str {
        self.sources.first().map(|source| source.name.as_str()).unwrap_or_default()
    }

    /// The request that uses a refresh token, if a response brings one.
    pub(crate) fn refresh(&self) -> Option<&Request> {
        self.sources.iter().filter(|source| source.refresh_value.is_some()).find_map(|source| source.refresh.as_ref())
    }
}

impl Session {
    pub(crate) fn new(
        tokens: &[TokenSource],
        secrets: &BTreeMap<String, Secret>,
        recent: Arc<RecentRedactors>,
    ) -> Self {
        let mut sources: Vec<Vec<TokenSource>> = Vec::new();
        for source in tokens {
            match sources.iter_mut().find(|group| group.iter().all(|other| other.request == source.request)) {
                Some(group) => group.push(source.clone()),
                None => sources.push(vec![source.clone()]),
            }
        }
        let sign_in = |sources| {
            let ended = AtomicU64::new(0);
            Arc::new(SignIn { sources, state: Arc::default(), ended, rejections: Mutex::default() })
        };
        let sign_ins = sources.into_iter().map(sign_in).collect();
        Self {
            sign_ins,
            rotation: tokio::sync::Mutex::new(()),
            secrets: secrets.values().cloned().collect(),
            issued: Mutex::default(),
            redactor: Mutex::default(),
            recent,
            reloaded: tokio::sync::Mutex::default(),
        }
    }

    /// The sign-ins that a request needs, or the name of a token that has no source.
    pub(crate) fn needed_by<'a>(&self, request: &'a Request) -> Result<Vec<&Arc<SignIn>>, &'a str> {
        let tokens = tokens_of(request);
        if let Some(unknown) =
            tokens.iter().copied().find(|token| !self.sign_ins.iter().any(|sign_in| sign_in.provides(token)))
        {
            return Err(unknown);
        }
        Ok(self.sign_ins.iter().filter(|sign_in| tokens.iter().any(|token| sign_in.provides(token))).collect())
    }

    /// Whether there is room for the values of these sources.
    pub(crate) fn has_room<'a>(&self, values: impl Iterator<Item = (&'a String, &'a Secret)> + Clone) -> bool {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).have_room(values)
    }

    /// Masks further values from now on.
    pub(crate) fn learn<'a>(&self, values: impl IntoIterator<Item = (&'a str, Secret)>) {
        // Whoever makes a search holds its lock and waits for this one.
        let is_changed = self.issued.lock().unwrap_or_else(PoisonError::into_inner).add(values);
        if is_changed {
            *self.redactor.lock().unwrap_or_else(PoisonError::into_inner) = Weak::new();
        }
    }

    fn make_redactor(&self) -> Redactor {
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let secrets = self.secrets.iter().map(Secret::expose);
        // A response may echo one cookie of a `Cookie` header.
        let issued = issued.values().map(Secret::expose);
        let issued = issued.flat_map(|value| std::iter::once(value).chain(cookie_values(value)));
        let issued = issued.filter(|value| may_be_a_token(value));
        let (issued, short): (Vec<&str>, Vec<&str>) = issued.partition(|value| looks_like_a_token(value));
        let headers = self.sources().filter_map(|source| match &source.value {
            TokenPlace::Header(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        let redactor = Redactor::new(secrets.chain(issued).map(str::as_bytes), headers.collect());
        redactor.and_in_texts(short.into_iter().map(str::as_bytes))
    }

    /// What finds all values that are masked now.
    pub(crate) fn redactor(&self) -> Arc<Redactor> {
        let mut made = self.redactor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(redactor) = made.upgrade() {
            return redactor;
        }
        let redactor = Arc::new(self.make_redactor());
        *made = Arc::downgrade(&redactor);
        self.recent.keep(&redactor);
        redactor
    }

    pub(crate) fn sources(&self) -> impl Iterator<Item = &TokenSource> {
        self.sign_ins.iter().flat_map(|sign_in| &sign_in.sources)
    }
}

/// How long a token of this lifetime is used: a tenth less and at least 5 s less, but never less than half of it.
pub(crate) fn usable(lifetime: Duration) -> Duration {
    let margin = (lifetime / 10).max(Duration::from_secs(5)).min(lifetime / 2);
    lifetime - margin
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use sluice_model::{Method, Op};

    use super::*;
    use crate::token_cycles::check_cycles;

    fn source(name: &str, path: &str, needs: &[&str]) -> TokenSource {
        let mut url = vec![Op::Text(format!("https://a.example.com/{path}"))];
        url.extend(needs.iter().map(|token| Op::Token((*token).to_owned())));
        TokenSource {
            name: name.into(),
            request: Request {
                key: "sign-in".into(),
                method: Method::Post,
                url,
                headers: Vec::new(),
                body: None,
                state: String::new(),
                yields_records: false,
            },
            value: TokenPlace::Header(format!("X-{name}")),
            lifetime: None,
            lifetime_secs: None,
            refresh_value: None,
            refresh: None,
            rotates: false,
        }
    }

    #[test]
    fn sources_with_one_request_share_one_sign_in() {
        let tokens = [source("a", "in", &[]), source("b", "other", &[]), source("c", "in", &[])];
        let session = Session::new(&tokens, &BTreeMap::new(), Arc::default());
        assert_eq!(session.sign_ins.len(), 2);
        assert!(session.sign_ins[0].provides("a") && session.sign_ins[0].provides("c"));
    }

    #[test]
    fn a_sign_in_that_waits_for_itself_is_refused() {
        assert!(check_cycles("n", &[source("a", "1", &["b"]), source("b", "2", &[])]).is_ok());
        assert!(check_cycles("n", &[source("a", "1", &["a"])]).is_err());
        let cycle = check_cycles("n", &[source("a", "1", &["b"]), source("b", "2", &["a"])]).unwrap_err();
        assert_eq!(cycle.to_string(), "network `n`: sign-in `a` needs its own token");
    }

    #[test]
    fn rejected_refresh_tokens_are_logged_once_an_hour_with_their_number() {
        let (mut rejections, start) = (Rejections::default(), Instant::now());
        let counted: Vec<_> = (0..10_000).filter_map(|n| rejections.count(start + Duration::from_secs(n))).collect();
        assert_eq!(counted, [1, 3600, 3600]);
    }

    #[test]
    fn a_token_is_used_for_less_than_its_lifetime() {
        assert_eq!(usable(Duration::from_secs(3600)), Duration::from_secs(3240));
        assert_eq!(usable(Duration::from_secs(20)), Duration::from_secs(15));
        assert_eq!(usable(Duration::from_secs(4)), Duration::from_secs(2));
        let now = Instant::now();
        let mut state =
            TokenState { issued: Some(now), good_until: Some(now + Duration::from_secs(60)), ..TokenState::default() };
        assert!(state.is_live(now + Duration::from_secs(59)) && !state.is_live(now + Duration::from_secs(60)));
        state.forget();
        assert!(!state.is_live(now));
    }

    #[test]
    fn what_occurs_in_a_networks_data_is_no_token() {
        for word in [
            "5.00",
            "123456789012",
            "approved",
            "2026-11-29T10:00:00Z",
            "1,234,567.89",
            "EUR",
            "",
            "a\nb1234567",
            r#""amount":"5.00""#,
            r#"{"id":1,"status":"paid"}"#,
            "<amount>5.00</amount>",
            "2026-11-29 10:00:00,12,paid",
            "a word and 1 number",
            "número-de-orden-1",
            "05-Jan-2026",
            "20260105T101500Z",
            "2026/01/05T10:15:00.000Z",
            "2026-01-05T10:15:00",
            "EUR12.50",
            "12.50EUR",
            "EUR1234567890.50",
            "TX-10000001",
            "TX-1000000000001",
        ] {
            assert!(!looks_like_a_token(word), "{word}");
        }
        let session_id = "s".repeat(16);
        for token in
            ["t0k3n-01-of-shop", "0a1b2c3d4e5f6a7b", "eyJhbGciOiJub25lIn0.e30.", "0123456789-0123456789", &session_id]
        {
            assert!(looks_like_a_token(token), "{token}");
        }
    }

    #[test]
    fn the_last_four_values_of_a_token_are_masked() {
        let session = Session::new(&[source("a", "1", &[])], &BTreeMap::new(), Arc::default());
        assert_eq!(session.redactor().text("value-0000"), "value-0000");
        for n in 0..5 {
            session.learn([("a", Secret::new(format!("value-000{n}")))]);
        }
        assert_eq!(session.redactor().text("value-0000 value-0001 value-0004"), "value-0000 *** ***");
        session.learn([("c", Secret::new("sid=abcdefg1; x=1".into()))]);
        assert_eq!(session.redactor().text("id abcdefg1"), "id ***");
        assert_eq!(session.redactor().header("x-a", b"anything"), "***");
    }

    #[test]
    fn what_is_masked_is_found_again_after_many_other_accounts() {
        let recent = Arc::<RecentRedactors>::default();
        let secrets = |n: usize| BTreeMap::from([("key".to_owned(), Secret::new(format!("s3cret-of-{n:04}")))]);
        let sessions: Vec<Session> =
            (0..2 * RECENT_REDACTORS).map(|n| Session::new(&[], &secrets(n), recent.clone())).collect();
        sessions[0].learn([("a", Secret::new("t0ken-of-0000".into()))]);
        let first = Arc::downgrade(&sessions[0].redactor());
        sessions.iter().for_each(|session| drop(session.redactor()));
        assert!(first.upgrade().is_none(), "it is kept");
        assert_eq!(
            sessions[0].redactor().text("s3cret-of-0000 t0ken-of-0000 s3cret-of-0001"),
            "*** *** s3cret-of-0001"
        );
        let held = sessions[0].redactor();
        assert!(Arc::ptr_eq(&held, &sessions[0].redactor()));
    }
}
