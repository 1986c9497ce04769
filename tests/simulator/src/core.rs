//! The state behind all listeners: the clock, the conversions drawn so far, sessions and the log.

use crate::accounts::Played;
use crate::bulk::Bulk;
use crate::network::Network;
use crate::sale::{Sale, Source};
use crate::{Options, SeenRequest, TruthRow};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// A mutex's guard, even if another holder panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The conversions of an account, drawn up to a day.
#[derive(Debug)]
struct Book {
    source: Source,
    next_day: NaiveDate,
    sales: Arc<Vec<Sale>>,
}

/// A Rakuten bearer.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) account: usize,
    issued: Instant,
    issued_clock: DateTime<Utc>,
}

/// All state.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) accounts: Vec<Played>,
    pub(crate) bulk: Option<Bulk>,
    clock: Mutex<DateTime<Utc>>,
    books: Vec<Mutex<Book>>,
    /// Conversions that their network no longer delivers: account and serial.
    withheld: Mutex<HashSet<(usize, u64)>>,
    /// Whether Awin gives commissions in another field.
    moved: AtomicBool,
    log: Mutex<Vec<SeenRequest>>,
    /// How many requests the log holds.
    answered: watch::Sender<usize>,
    /// How many requests have come, and how many of them may be answered.
    asked: AtomicUsize,
    allowed: watch::Sender<usize>,
    attempts: Mutex<HashMap<u64, u32>>,
    grants: Mutex<HashMap<String, Grant>>,
    sessions: Mutex<HashMap<String, usize>>,
    /// The accounts whose bearer or session expired since the clock advanced.
    expired: Mutex<HashSet<usize>>,
    issued: Mutex<u64>,
    pace: Mutex<HashMap<usize, VecDeque<Instant>>>,
}

impl Core {
    pub(crate) fn new(options: Options, accounts: Vec<Played>, first_day: NaiveDate) -> Self {
        let books = accounts
            .iter()
            .map(|played| {
                let rows_per_day = if played.bulk { 0 } else { options.rows_per_day };
                let source = Source {
                    seed: options.seed,
                    network: played.network.slug(),
                    account: played.account.name.clone(),
                    zone: played.network.zone(),
                    rows_per_day,
                    everyday_amounts: options.everyday_amounts,
                };
                Mutex::new(Book { source, next_day: first_day, sales: Arc::default() })
            })
            .collect();
        let bulk = options.bulk_rows.map(|rows| {
            let publisher =
                accounts.iter().find(|played| played.bulk).map_or("", |played| played.setting("publisher_id"));
            Bulk::new(options.seed, publisher, rows)
        });
        let clock = Mutex::new(options.start);
        Self {
            options,
            accounts,
            bulk,
            clock,
            books,
            withheld: Mutex::default(),
            moved: AtomicBool::new(false),
            log: Mutex::default(),
            answered: watch::Sender::new(0),
            asked: AtomicUsize::new(0),
            allowed: watch::Sender::new(usize::MAX),
            attempts: Mutex::default(),
            grants: Mutex::default(),
            sessions: Mutex::default(),
            expired: Mutex::default(),
            issued: Mutex::default(),
            pace: Mutex::default(),
        }
    }

    pub(crate) fn clock(&self) -> DateTime<Utc> {
        *lock(&self.clock)
    }

    pub(crate) fn advance(&self, by: TimeDelta) -> DateTime<Utc> {
        let mut clock = lock(&self.clock);
        *clock = clock.checked_add_signed(by).unwrap_or(*clock);
        lock(&self.expired).clear();
        *clock
    }

    /// The conversions of an account that happen until the clock's day, shown or not.
    pub(crate) fn sales(&self, account: usize, clock: DateTime<Utc>) -> Arc<Vec<Sale>> {
        let Some(book) = self.books.get(account) else { return Arc::default() };
        let mut book = lock(book);
        while book.next_day <= clock.date_naive() {
            let Some(following) = book.next_day.succ_opt() else { break };
            let drawn = book.source.day(book.next_day);
            Arc::make_mut(&mut book.sales).extend(drawn);
            book.next_day = following;
        }
        let withheld = lock(&self.withheld);
        if withheld.is_empty() {
            return Arc::clone(&book.sales);
        }
        let kept = book.sales.iter().filter(|sale| !withheld.contains(&(account, sale.serial)));
        Arc::new(kept.cloned().collect())
    }

    /// Takes the conversion that a row belongs to out of all answers, and says whether there is one.
    pub(crate) fn withhold(&self, network: &str, account: &str, transaction_id: &str) -> bool {
        let has_row = || self.truth(network, account).iter().any(|row| row.transaction_id == transaction_id);
        let Ok(played) = Network::of(network) else { return false };
        let Some(index) = self.find(played, |played| played.account.name == account) else { return false };
        let sales = if has_row() { self.sales(index, self.clock()) } else { Arc::default() };
        for sale in sales.iter() {
            lock(&self.withheld).insert((index, sale.serial));
            if !has_row() {
                return true;
            }
            lock(&self.withheld).remove(&(index, sale.serial));
        }
        false
    }

    /// Has Awin give commissions in another field, or where they belong.
    pub(crate) fn move_commissions(&self, moved: bool) {
        self.moved.store(moved, Ordering::Relaxed);
    }

    /// Whether Awin gives commissions in another field.
    pub(crate) fn has_moved_commissions(&self) -> bool {
        self.moved.load(Ordering::Relaxed)
    }

    /// Delivers again what was withheld.
    pub(crate) fn deliver_all(&self) {
        lock(&self.withheld).clear();
    }

    /// An account's place among all, by network and a test of it.
    pub(crate) fn find(&self, network: Network, test: impl Fn(&Played) -> bool) -> Option<usize> {
        self.accounts.iter().position(|played| played.network == network && test(played))
    }

    /// The rows that an account's network delivers now.
    pub(crate) fn truth(&self, network: &str, account: &str) -> Vec<TruthRow> {
        let Ok(network) = Network::of(network) else { return Vec::new() };
        let Some(index) = self.find(network, |played| played.account.name == account) else { return Vec::new() };
        let clock = self.clock();
        match network {
            Network::Awin => crate::awin::truth(self, index, clock),
            Network::Cj => crate::cj::truth(self, index, clock),
            Network::Rakuten => crate::rakuten::truth(self, index, clock),
            Network::TradeTracker => crate::tradetracker::truth(self, index, clock),
            Network::ShareAsale => crate::shareasale::truth(self, index, clock),
            Network::Data(_) => {
                network.facts().map_or_else(Vec::new, |facts| crate::data::truth(self, index, clock, facts))
            }
        }
    }

    pub(crate) fn remember(&self, seen: SeenRequest) {
        let mut log = lock(&self.log);
        log.push(seen);
        self.answered.send_replace(log.len());
    }

    /// Ends when the log holds so many requests.
    pub(crate) async fn wait_for_requests(&self, requests: usize) {
        // The sender lives as long as this.
        let _ = self.answered.subscribe().wait_for(|answered| *answered >= requests).await;
    }

    /// Lets so many requests in all be answered; the others wait.
    pub(crate) fn allow(&self, requests: usize) {
        self.allowed.send_replace(requests);
    }

    /// Ends when the request that has just come may be answered.
    pub(crate) async fn pass(&self) {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let _ = self.allowed.subscribe().wait_for(|allowed| *allowed >= number).await;
    }

    pub(crate) fn log(&self) -> Vec<SeenRequest> {
        lock(&self.log).clone()
    }

    /// Counts an attempt at a request and returns how many there were before.
    pub(crate) fn attempt(&self, identity: u64) -> u32 {
        let mut attempts = lock(&self.attempts);
        let count = attempts.entry(identity).or_insert(0);
        *count += 1;
        *count - 1
    }

    /// A text for a bearer or a session that was never given before.
    pub(crate) fn fresh(&self, what: &str) -> String {
        let mut issued = lock(&self.issued);
        *issued += 1;
        let mut dice = crate::dice::Dice::of(self.options.seed, &[what, &issued.to_string()]);
        dice.text(b"0123456789abcdef", 32)
    }

    pub(crate) fn grant(&self, account: usize) -> String {
        let token = self.fresh("bearer");
        let grant = Grant { account, issued: Instant::now(), issued_clock: self.clock() };
        lock(&self.grants).insert(token.clone(), grant);
        token
    }

    /// The account of a bearer that hasn't expired.
    pub(crate) fn granted(&self, token: &str) -> Option<usize> {
        let grant = lock(&self.grants).get(token).cloned()?;
        let simulated = (self.clock() - grant.issued_clock).num_seconds();
        let real = i64::try_from(grant.issued.elapsed().as_secs()).unwrap_or(i64::MAX);
        (simulated.saturating_add(real) < i64::from(self.options.token_life_secs)).then_some(grant.account)
    }

    pub(crate) fn forget_grant(&self, token: &str) {
        let mut grants = lock(&self.grants);
        if grants.get(token).is_some_and(|grant| self.expires(grant.account)) {
            grants.remove(token);
        }
    }

    /// Whether what an account was given expires now: once until the clock advances. Else each of twenty requests at once
    /// would void what the others have just been given, as no network does.
    fn expires(&self, account: usize) -> bool {
        lock(&self.expired).insert(account)
    }

    pub(crate) fn open_session(&self, account: usize) -> String {
        let session = self.fresh("session");
        lock(&self.sessions).insert(session.clone(), account);
        session
    }

    /// Keeps a text as a session of an account.
    pub(crate) fn note_session(&self, session: &str, account: usize) {
        lock(&self.sessions).insert(session.to_owned(), account);
    }

    pub(crate) fn session(&self, session: &str) -> Option<usize> {
        lock(&self.sessions).get(session).copied()
    }

    pub(crate) fn close_session(&self, session: &str) {
        let mut sessions = lock(&self.sessions);
        if sessions.get(session).is_some_and(|account| self.expires(*account)) {
            sessions.remove(session);
        }
    }

    /// Whether an account may ask again: at most `limit` requests in a minute of the real clock, unless the options say
    /// otherwise.
    pub(crate) fn within_pace(&self, account: usize, limit: usize) -> bool {
        let (limit, secs) = self.options.awin_rate.unwrap_or((limit, 60));
        let mut pace = lock(&self.pace);
        let asked = pace.entry(account).or_default();
        while asked.front().is_some_and(|at| at.elapsed().as_secs() >= secs) {
            asked.pop_front();
        }
        let free = asked.len() < limit;
        if free {
            asked.push_back(Instant::now());
        }
        free
    }

    /// Whether rows have the undocumented field by now.
    pub(crate) fn has_new_field(&self, clock: DateTime<Utc>) -> bool {
        self.options.shapes.new_field_from.is_some_and(|from| from <= clock)
    }
}
