//! An operator of Awin whose answers a test writes, and what it sees of alarms.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sluice_tests::{HostileServer, Operator, change_state, response};

/// How long something may take that has to come.
const PATIENCE: Duration = Duration::from_secs(120);

/// Settings that show an alarm as soon as its fault is found, and evaluate every second. What is read every second is soon
/// stale.
pub(crate) const PROMPT: &str = "[alarms]\nevery = \"1s\"\nretry = \"1s\"\n[alarms.rules.gap]\nafter = \"0s\"\n\
                                 [alarms.rules.stale]\nenabled = false\n";

/// What the network answers for an account.
type Given = Arc<Mutex<(u16, String)>>;

/// A folder whose network answers with what the test has put there.
pub(crate) struct World {
    pub(crate) operator: Operator,
    /// Of the accounts `uk` and `de`.
    answers: [Given; 2],
    _server: HostileServer,
}

impl World {
    /// Accounts `uk` and `de`, read each time that something is run. `de` has no sales.
    pub(crate) fn new(alarms: &str) -> Self {
        let answers: [Given; 2] = std::array::from_fn(|_| Arc::new(Mutex::new((200, "[]".to_owned()))));
        let given = answers.clone();
        let server = HostileServer::start(move |ask, stream| {
            let account = usize::from(ask.head.contains("/654321/"));
            let (status, body) = given[account].lock().unwrap_or_else(PoisonError::into_inner).clone();
            stream.write_all(&response(status, &[("Content-Type", "application/json")], body.as_bytes()))
        });
        let server = server.unwrap();
        let mut operator = Operator::empty().unwrap();
        operator.set("TOKEN", "token-of-the-test");
        operator.install("awin", "awin.wasm").unwrap();
        let account = |name: &str, publisher: &str| json!({"name": name, "settings": {"publisher_id": publisher}, "secrets": {"token": "env:TOKEN"}});
        let file = json!({
            "connector": "awin", "schedule": "* * * * * *", "base_url": server.origin(),
            "look_back": [{"every": "1s", "days": 3, "axis": "transaction"}],
            "rate": {"requests": 1000, "per_secs": 1, "concurrency": 4},
            "accounts": [account("uk", "123456"), account("de", "654321")],
        });
        operator.write("networks/awin.json", &file.to_string()).unwrap();
        let world = Self { operator, answers, _server: server };
        world.set(alarms);
        world
    }

    /// Sets what follows `[lake]` and `[state]`.
    pub(crate) fn set(&self, alarms: &str) {
        let settings = format!("[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n{alarms}");
        self.operator.write("sluice.toml", &settings).unwrap();
    }

    /// Gives each account a file of its own: the networks `awin-uk` and `awin-de`.
    pub(crate) fn split(&self) {
        let path = self.operator.join("networks/awin.json");
        let mut file: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let accounts = file["accounts"].take();
        for account in accounts.as_array().unwrap() {
            file["accounts"] = json!([account]);
            let name = account["name"].as_str().unwrap();
            self.operator.write(&format!("networks/awin-{name}.json"), &file.to_string()).unwrap();
        }
        std::fs::remove_file(path).unwrap();
    }

    /// Sets what the network answers for `uk` from now on.
    pub(crate) fn answer(&self, status: u16, rows: &[Value]) {
        self.put(0, status, rows);
    }

    /// The same for `de`.
    pub(crate) fn answer_other(&self, rows: &[Value]) {
        self.put(1, 200, rows);
    }

    fn put(&self, account: usize, status: u16, rows: &[Value]) {
        let body = Value::from(rows.to_vec()).to_string();
        *self.answers[account].lock().unwrap_or_else(PoisonError::into_inner) = (status, body);
    }

    /// Runs what is due, whatever comes of it, until the network was run once.
    pub(crate) fn run(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.operator.sluice(&["--output", "json", "run", "--due"]).unwrap();
            if answer.stdout.trim() != "[]" || answer.code != 0 {
                return;
            }
            assert!(Instant::now() < deadline, "nothing is ever due: {answer:?}");
        }
    }

    /// The alarms that aren't resolved, of a rule.
    pub(crate) fn open(&self, rule: &str) -> Vec<Value> {
        let text = self.operator.succeed(&["--output", "json", "alarms"]).unwrap();
        let alarms: Vec<Value> = serde_json::from_str(&text).unwrap();
        alarms.into_iter().filter(|alarm| alarm["rule"] == rule).collect()
    }

    /// Runs until a rule has an alarm, which is there once, and gives it.
    pub(crate) fn opened(&self, rule: &str) -> Value {
        self.until(|| self.open(rule).len() == 1, rule);
        let first = self.open(rule).remove(0);
        self.run();
        let again = self.open(rule);
        assert_eq!(again.len(), 1, "a fault that lasts is one alarm: {again:?}");
        assert_eq!(again[0]["alarm_id"], first["alarm_id"], "a fault that lasts is one alarm");
        first
    }

    /// Runs until a rule has no alarm, and checks that the lake knows both moments.
    pub(crate) fn resolved(&self, alarm: &Value) {
        let rule = alarm["rule"].as_str().unwrap();
        self.until(|| self.open(rule).is_empty(), &format!("the end of {rule}"));
        let id = alarm["alarm_id"].as_str().unwrap();
        let query =
            format!("SELECT state, resolved_at > opened_at AS is_later FROM meta.alarms WHERE alarm_id = '{id}'");
        assert_eq!(self.operator.sql(&query).unwrap(), [json!({"state": "resolved", "is_later": true})], "{alarm}");
    }

    /// Runs until something holds.
    pub(crate) fn until(&self, holds: impl Fn() -> bool, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.run();
            if holds() {
                return;
            }
            let alarms = self.operator.succeed(&["alarms", "--all"]).unwrap();
            assert!(Instant::now() < deadline, "{what} never came:\n{alarms}");
        }
    }

    /// Changes the state store, as time or another process would.
    pub(crate) fn change_state(&self, statement: &str) {
        change_state(&self.operator, statement);
    }
}

/// Waits until something holds that a service does by itself.
pub(crate) fn wait_until(holds: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} never came");
    }
}

/// When the tests began: sales are the same whenever they are asked for.
static STARTED: LazyLock<DateTime<Utc>> = LazyLock::new(Utc::now);

/// A sale of so many hours ago, pending, with a commission of 8.00 GBP.
pub(crate) fn sale(id: u32, hours_ago: i64) -> Value {
    let at = (*STARTED - TimeDelta::hours(hours_ago)).format("%Y-%m-%dT%H:%M:%S").to_string();
    json!({
        "id": id, "advertiserId": 7777, "publisherId": 123_456, "siteName": "example.com",
        "commissionStatus": "pending", "commissionAmount": {"amount": 8.0, "currency": "GBP"},
        "saleAmount": {"amount": 100.0, "currency": "GBP"}, "clickRefs": {"clickRef": format!("ref-{id}")},
        "clickDate": at, "transactionDate": at, "validationDate": null, "type": "Commission group transaction",
        "amended": false, "orderRef": format!("ORD-{id}"), "paidToPublisher": false, "paymentId": 0,
    })
}

/// Ten sales.
pub(crate) fn sales() -> Vec<Value> {
    (1..=10).map(|id| sale(id, i64::from(id) * 3)).collect()
}

/// A row with some of its fields set.
pub(crate) fn with(mut row: Value, fields: &Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        row[name] = value.clone();
    }
    row
}
