//! An account's tokens: how they are shared, how long they are used, and the values that must be masked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use sluice_model::{Request, Secret, TokenPlace, TokenSource};
use tokio::time::Instant;

use crate::error::Error;
use crate::redact::Redactor;
use crate::render::tokens_of;

/// The longest token that is masked.
const MAX_TOKEN_BYTES: usize = 16 << 10;
/// Values of one source that stay masked after they are replaced: responses to earlier requests may still arrive.
const REMEMBERED_VALUES: usize = 4;

/// The sign-ins of one account.
pub(crate) struct Session {
    pub(crate) sign_ins: Vec<Arc<SignIn>>,
    /// Locked by the one request in flight that uses a rotating token.
    pub(crate) rotation: tokio::sync::Mutex<()>,
    secrets: Vec<Secret>,
    /// The last values of each source, newest first.
    issued: Mutex<BTreeMap<String, VecDeque<Secret>>>,
    redactor: RwLock<Arc<Redactor>>,
}

/// One sign-in and the sources that it fills. Sources with the same request share it: three headers of one response are
/// three sources, and the values of different sign-ins would not match each other.
pub(crate) struct SignIn {
    pub(crate) sources: Vec<TokenSource>,
    /// Locked while signing in, so that other requests wait for the same outcome.
    pub(crate) state: Arc<tokio::sync::Mutex<TokenState>>,
    /// Sign-ins that have ended, successful or not.
    pub(crate) ended: AtomicU64,
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
    pub(crate) fn new(tokens: &[TokenSource], secrets: &BTreeMap<String, Secret>) -> Self {
        let mut sources: Vec<Vec<TokenSource>> = Vec::new();
        for source in tokens {
            match sources.iter_mut().find(|group| group.iter().all(|other| other.request == source.request)) {
                Some(group) => group.push(source.clone()),
                None => sources.push(vec![source.clone()]),
            }
        }
        let sign_in = |sources| Arc::new(SignIn { sources, state: Arc::default(), ended: AtomicU64::new(0) });
        let sign_ins = sources.into_iter().map(sign_in).collect();
        let session = Self {
            sign_ins,
            rotation: tokio::sync::Mutex::new(()),
            secrets: secrets.values().cloned().collect(),
            issued: Mutex::default(),
            redactor: RwLock::default(),
        };
        session.rebuild(&BTreeMap::new());
        session
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

    /// Masks further values from now on.
    pub(crate) fn learn<'a>(&self, values: impl IntoIterator<Item = (&'a str, Secret)>) {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = false;
        for (name, value) in values {
            let values = issued.entry(name.to_owned()).or_default();
            if !values.contains(&value) {
                values.push_front(value);
                values.truncate(REMEMBERED_VALUES);
                changed = true;
            }
        }
        if changed {
            self.rebuild(&issued);
        }
    }

    fn rebuild(&self, issued: &BTreeMap<String, VecDeque<Secret>>) {
        let secrets = self.secrets.iter().map(Secret::expose);
        // A response may echo one cookie of a `Cookie` header.
        let issued = issued.values().flatten().map(Secret::expose);
        let issued = issued.flat_map(|value| std::iter::once(value).chain(cookie_values(value)));
        let issued = issued.filter(|value| looks_like_a_token(value));
        let headers = self.sources().filter_map(|source| match &source.value {
            TokenPlace::Header(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        let redactor = Arc::new(Redactor::new(secrets.chain(issued).map(str::as_bytes), headers.collect()));
        *self.redactor.write().unwrap_or_else(PoisonError::into_inner) = redactor;
    }

    pub(crate) fn redactor(&self) -> Arc<Redactor> {
        Arc::clone(&self.redactor.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn sources(&self) -> impl Iterator<Item = &TokenSource> {
        self.sign_ins.iter().flat_map(|sign_in| &sign_in.sources)
    }
}

/// Whether a value that a network gave as a token may be one, and is masked: random enough not to occur in its data. A
/// network, or a connector that names the place of an amount or a status, must not be able to blank out what is kept.
pub(crate) fn looks_like_a_token(value: &str) -> bool {
    let is_date = matches!(value.as_bytes(), [a, b, c, d, b'-', e, f, b'-', ..]
        if [a, b, c, d, e, f].iter().all(|byte| byte.is_ascii_digit()));
    let has = |is: fn(&u8) -> bool| value.as_bytes().iter().any(is);
    let shortest = match (has(u8::is_ascii_alphabetic), has(u8::is_ascii_digit)) {
        (true, true) => 8,
        (_, false) => 16,
        (false, true) => 20,
    };
    // Tokens are base64, hexadecimal, UUIDs, JWTs or cookies. JSON, CSV and XML need a quote, comma, brace or angle bracket.
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=%:|!*$@".contains(&byte);
    (shortest..=MAX_TOKEN_BYTES).contains(&value.len()) && !is_date && value.bytes().all(is_token_byte)
}

fn cookie_values(header: &str) -> impl Iterator<Item = &str> {
    header.split("; ").filter_map(|pair| pair.split_once('=')).map(|(_, value)| value)
}

/// Fails if a sign-in needs its own token, directly or through others: it would wait for itself forever.
pub(crate) fn check_cycles(network: &str, tokens: &[TokenSource]) -> Result<(), Error> {
    let needs = |name: &str| -> BTreeSet<&str> {
        tokens
            .iter()
            .filter(|source| source.name == name)
            .flat_map(|source| std::iter::once(&source.request).chain(&source.refresh))
            .flat_map(tokens_of)
            // Sources with the same request are filled together, so each needs the tokens of all.
            .flat_map(|token| {
                let request = tokens.iter().find(|source| source.name == token).map(|source| &source.request);
                let together = tokens.iter().filter(move |source| Some(&source.request) == request);
                std::iter::once(token).chain(together.map(|source| source.name.as_str()))
            })
            .collect()
    };
    for source in tokens {
        let mut reached = BTreeSet::new();
        let mut open = vec![source.name.as_str()];
        while let Some(name) = open.pop() {
            open.extend(needs(name).into_iter().filter(|next| reached.insert(*next)));
        }
        if reached.contains(source.name.as_str()) {
            let reason = format!("sign-in `{}` needs its own token", source.name);
            return Err(Error::Settings { network: network.to_owned(), reason });
        }
    }
    Ok(())
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
        let session = Session::new(&tokens, &BTreeMap::new());
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
        ] {
            assert!(!looks_like_a_token(word), "{word}");
        }
        let session_id = "s".repeat(16);
        for token in ["t0k3n-01", "eyJhbGciOiJub25lIn0.e30.", "0123456789-0123456789", &session_id] {
            assert!(looks_like_a_token(token), "{token}");
        }
    }

    #[test]
    fn the_last_four_values_of_a_token_are_masked() {
        let session = Session::new(&[source("a", "1", &[])], &BTreeMap::new());
        assert_eq!(session.redactor().text("value-0000"), "value-0000");
        for n in 0..5 {
            session.learn([("a", Secret::new(format!("value-000{n}")))]);
        }
        assert_eq!(session.redactor().text("value-0000 value-0001 value-0004"), "value-0000 *** ***");
        session.learn([("c", Secret::new("sid=abcdefg1; x=1".into()))]);
        assert_eq!(session.redactor().text("id abcdefg1"), "id ***");
        assert_eq!(session.redactor().header("x-a", "anything"), "***");
    }
}
