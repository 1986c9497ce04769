//! Payments, programmes, daily sums and items end to end: from networks to SQL, each version once, rebuilt from raw and erased.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sluice_simulator::{AccountSpec, Options, Simulator};
use sluice_tests::{HostileServer, Operator, PostgresServer, response, runtime, whole_window};

const HISTORY_DAYS: u32 = 20;

fn start() -> DateTime<Utc> {
    "2025-11-10T12:00:00Z".parse().unwrap()
}

/// A network with two accounts, read over all of its history.
struct World {
    network: &'static str,
    simulator: Simulator,
    operator: Operator,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    fn read(network: &'static str) -> Self {
        let _runtime = runtime();
        let options = Options {
            seed: 16,
            start: start(),
            history_days: HISTORY_DAYS,
            rows_per_day: 3,
            accounts: ["alpha", "beta"].map(|name| AccountSpec::new(network, name)).to_vec(),
            ..Options::default()
        };
        let simulator = _runtime.block_on(Simulator::start(options)).unwrap();
        let operator = Operator::of(&simulator, &[network]).unwrap();
        let world = Self { network, simulator, operator, _runtime };
        world.read_again();
        world
    }

    fn read_again(&self) {
        let window = whole_window(&self.simulator, start(), HISTORY_DAYS.into());
        let report = self.operator.run(self.network, &window).unwrap();
        assert_eq!(report["status"], "done", "{report}");
    }

    fn sql(&self, query: &str) -> Vec<Value> {
        self.operator.sql(query).unwrap()
    }

    /// All versions that a table has.
    fn versions(&self, table: &str, key: &str) -> Vec<Value> {
        self.sql(&format!("SELECT * FROM unified.{table} ORDER BY {key}, version"))
    }

    /// Checks that what is read again adds nothing, and that a rebuild from raw gives the same rows.
    fn assert_written_once(&self, table: &str, key: &str) {
        let before = self.versions(table, key);
        assert!(!before.is_empty(), "{table} fills");
        self.read_again();
        assert_eq!(self.versions(table, key), before, "{table}: the same is read again");
        let diff = self.operator.succeed(&["--output", "json", "replay", self.network, "--diff"]).unwrap();
        let diff: Value = serde_json::from_str(&diff).unwrap();
        let keys = self.sql(&format!("SELECT count(DISTINCT {key}) AS n FROM unified.{table}")).remove(0);
        let kinds: Vec<&Value> = diff["facts"].as_object().unwrap().values().collect();
        assert_eq!(kinds.len(), 1, "{table}: {diff}");
        assert_eq!(kinds[0]["compared"], keys["n"], "{table}: a replay compares all of them");
        for what in ["added", "removed", "changed"] {
            assert_eq!(kinds[0][what]["count"], 0, "{table}: {diff}");
        }
        self.operator.succeed(&["build", "--from-raw"]).unwrap();
        assert_eq!(self.versions(table, key), before, "{table}: a rebuild from raw");
        self.read_again();
        assert_eq!(self.versions(table, key), before, "{table}: the same is read after the rebuild");
    }
}

#[test]
fn payments_fill_their_table() {
    let world = World::read("tradedoubler");
    let query = "SELECT account, payment_id, CAST(amount AS VARCHAR) AS amount, currency, method, payment_status, \
                 to_char(paid_at, '%Y-%m-%dT%H:%M:%SZ') AS paid_at FROM unified.payments ORDER BY account, payment_id";
    let rows = world.sql(query);
    let native = world.sql("SELECT count(*) AS n FROM tradedoubler.payments");
    assert_eq!(native[0]["n"], rows.len(), "{rows:?}");
    for row in &rows {
        let texts =
            ["amount", "currency", "method", "payment_status", "paid_at"].map(|name| row[name].as_str().unwrap());
        assert_eq!(texts, ["100.000000", "EUR", "bank", "paid", "2026-01-14T22:46:24Z"]);
    }
    let covered = world.sql("SELECT DISTINCT complete FROM meta.coverage WHERE stream = 'payments'");
    assert_eq!(covered, [json!({"complete": true})]);
    world.assert_written_once("payment_versions", "payment_key");
}

#[test]
fn payments_are_published() {
    let mut world = World::read("tradedoubler");
    let server = PostgresServer::start().unwrap();
    world.operator.set("REPORTING_URL", &server.url());
    let settings = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n\
                    [publish.reporting]\nurl = \"env:REPORTING_URL\"\n";
    world.operator.write("sluice.toml", settings).unwrap();
    let publish = || -> Value {
        let text = world.operator.succeed(&["--output", "json", "publish"]).unwrap();
        serde_json::from_str::<Vec<Value>>(&text).unwrap().remove(0)
    };
    let line = "payment_key || '|' || network || '|' || account || '|' || payment_id || '|' || \
                CAST(version AS VARCHAR) || '|' || coalesce(CAST(amount AS VARCHAR), '-') || '|' || coalesce(currency, '-')";
    let is_equal = |when: &str| {
        for table in ["payments", "payment_versions"] {
            let rows = world.sql(&format!("SELECT {line} AS line FROM unified.{table}"));
            let mut ours: Vec<String> = rows.iter().map(|row| row["line"].as_str().unwrap().to_owned()).collect();
            let mut theirs = server.query(&format!("SELECT {line} FROM sluice.{table}")).unwrap();
            ours.sort();
            theirs.sort();
            assert!(!ours.is_empty(), "{table} {when} shows nothing");
            assert_eq!(ours, theirs, "{table} {when}");
        }
    };
    assert_eq!(publish()["is_anew"], true);
    is_equal("at first");
    let again = publish();
    assert_eq!((&again["versions"], &again["is_anew"]), (&0.into(), &false.into()), "{again}");
    world.operator.succeed(&["build", "--from-raw"]).unwrap();
    assert_eq!(publish()["is_anew"], true, "the tables that were rebuilt are other ones");
    is_equal("after a rebuild");
}

#[test]
fn programmes_fill_their_table() {
    for (network, status) in [("kwanko", Value::from("active")), ("webgains", Value::Null)] {
        let world = World::read(network);
        let rows = world.sql("SELECT account, programme_id, name, status_raw FROM unified.programmes");
        let names = rows.iter().filter(|row| row["name"].as_str().is_some_and(|name| !name.is_empty())).count();
        assert!(names == rows.len() && names > 0, "{network}: {rows:?}");
        assert!(rows.iter().all(|row| row["status_raw"] == status), "{network}: {rows:?}");
        let missing = world.sql(
            "SELECT DISTINCT advertiser_id FROM unified.transactions t WHERE NOT EXISTS (SELECT 1 FROM unified.programmes p \
             WHERE p.network = t.network AND p.account = t.account AND p.programme_id = t.advertiser_id)",
        );
        assert!(missing.is_empty(), "{network}: transactions of programmes that aren't there: {missing:?}");
        world.assert_written_once("programme_versions", "programme_key");
    }
}

const DAY: [&str; 2] = ["2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z"];

/// Levanta, which gives so many clicks and such a commission of a source.
fn restating(source: &'static str, figures: &Arc<Mutex<(u32, &'static str)>>) -> (Operator, HostileServer) {
    let figures = figures.clone();
    reporting(move || {
        let (clicks, commission) = *figures.lock().unwrap();
        format!(
            "{{\"date\":\"2026-01-05\",\"brandId\":\"1001\",\"brandName\":\"Lamp & Co\",\"asin\":\"B0\",\
             \"source\":\"{source}\",\"clicks\":{clicks},\"conversions\":2,\"sales\":50,\"commissions\":{commission},\
             \"currency\":\"USD\"}}"
        )
    })
}

/// Levanta, which gives these rows.
fn reporting(rows: impl Fn() -> String + Send + Sync + 'static) -> (Operator, HostileServer) {
    let server = HostileServer::start(move |_, stream| {
        let body = format!("{{\"reports\":[{}]}}", rows());
        stream.write_all(&response(200, &[("Content-Type", "application/json")], body.as_bytes()))
    });
    let server = server.unwrap();
    let mut operator = Operator::empty().unwrap();
    operator.set("KEY", "a key of the creator account");
    let account = json!({"name": "main", "settings": {}, "secrets": {"api_key": "env:KEY"}});
    operator.write_network("levanta", &server.origin(), vec![account]).unwrap();
    operator.install("levanta", "levanta.wasm").unwrap();
    (operator, server)
}

#[test]
fn daily_sums_are_restated_and_are_no_transactions() {
    let figures = Arc::new(Mutex::new((120, "19.24")));
    let (operator, _server) = restating("blog", &figures);
    let read = || operator.run("levanta", &DAY.map(str::to_owned)).unwrap();
    let sums = "SELECT aggregate_id, CAST(day AS VARCHAR) AS day, clicks, sales, CAST(commission_amount AS VARCHAR) AS commission, \
                currency, grouped_by FROM unified.aggregates";
    let expected = |clicks: u32, commission: &str| {
        json!([{"aggregate_id": "2026-01-05/1001/B0/blog/", "day": "2026-01-05", "clicks": clicks, "sales": 2,
                "commission": commission, "currency": "USD", "grouped_by": "B0 / blog"}])
    };
    for _ in 0..2 {
        assert_eq!(read()["status"], "done");
        assert_eq!(Value::from(operator.sql(sums).unwrap()), expected(120, "19.240000"));
    }
    *figures.lock().unwrap() = (125, "17");
    assert_eq!(read()["status"], "done");
    assert_eq!(Value::from(operator.sql(sums).unwrap()), expected(125, "17.000000"));
    let versions = "SELECT version, clicks, change, month FROM unified.aggregate_versions ORDER BY version";
    let versions = || Value::from(operator.sql(versions).unwrap());
    let before = json!([
        {"version": 1, "clicks": 120, "change": "first-seen", "month": "2026-01"},
        {"version": 2, "clicks": 125, "change": "network-change", "month": "2026-01"},
    ]);
    assert_eq!(versions(), before);
    operator.succeed(&["build", "--from-raw"]).unwrap();
    assert_eq!(versions(), before, "a rebuild from raw");
    let none = operator.sql("SELECT count(*) AS n FROM unified.transactions").unwrap();
    assert_eq!(none[0]["n"], 0);
}

#[test]
fn an_empty_answer_where_daily_sums_stood_is_doubted() {
    let is_empty = Arc::new(AtomicBool::new(false));
    let given = is_empty.clone();
    let row = "{\"date\":\"2026-01-05\",\"brandId\":\"1001\",\"clicks\":1}";
    let (operator, _server) =
        reporting(move || if given.load(Ordering::SeqCst) { String::new() } else { row.to_owned() });
    let window = ["2026-01-01T00:00:00Z", "2026-01-10T00:00:00Z"].map(str::to_owned);
    let read = || {
        let [since, until] = &window;
        let answer =
            operator.sluice(&["--output", "json", "run", "levanta", "--since", since, "--until", until]).unwrap();
        (answer.code, answer.stdout)
    };
    assert_eq!(read().0, 0);
    is_empty.store(true, Ordering::SeqCst);
    let (code, stdout) = read();
    assert_eq!(code, 3, "{stdout}");
    let doubts = operator.sql("SELECT doubt_id, kind, reason FROM meta.doubts").unwrap();
    let reason = "the answer is empty, and earlier ones had 1 record of days in its window";
    assert_eq!((&doubts[0]["kind"], &doubts[0]["reason"]), (&json!("empty"), &json!(reason)), "{doubts:?}");
    operator.succeed(&["doubts", "accept", doubts[0]["doubt_id"].as_str().unwrap()]).unwrap();
    let (code, stdout) = read();
    assert_eq!(code, 0, "an empty window that was accepted is usual: {stdout}");
}

#[test]
fn daily_sums_of_every_month_of_two_centuries_make_no_file_for_each() {
    let row = |month: u32| {
        let (year, month) = (1950 + month / 12, month % 12 + 1);
        format!("{{\"date\":\"{year}-{month:02}-05\",\"brandId\":\"1001\",\"clicks\":1}}")
    };
    let (operator, _server) = reporting(move || (0..2_400).map(row).collect::<Vec<_>>().join(","));
    let [since, until] = DAY;
    let answer = operator.sluice(&["--output", "json", "run", "levanta", "--since", since, "--until", until]).unwrap();
    assert!(answer.code != 0 && answer.stdout.contains("facts in more than 600 months"), "{answer:?}");
    let none = operator.sql("SELECT count(*) AS n FROM unified.aggregates").unwrap();
    assert_eq!(none[0]["n"], 0, "nothing of such an answer is in the tables");
}

/// What an aggregate is grouped by is joined in two columns, of which the value is a part.
#[test]
fn daily_sums_are_erased_by_what_they_are_grouped_by() {
    let figures = Arc::new(Mutex::new((120, "19.24")));
    let (operator, _server) = restating("member-77", &figures);
    let read = || assert_eq!(operator.run("levanta", &DAY.map(str::to_owned)).unwrap()["status"], "done");
    read();
    *figures.lock().unwrap() = (125, "17");
    read();
    operator.succeed(&["erase", "--sub-id", "member-77", "--yes"]).unwrap();
    let native = operator.sql("SELECT DISTINCT source FROM levanta.reports").unwrap();
    let stand_in = native[0]["source"].as_str().unwrap();
    assert!(native.len() == 1 && stand_in.starts_with("erased-"), "{native:?}");
    let columns = "SELECT DISTINCT aggregate_id, grouped_by FROM unified.aggregate_versions";
    let expected = json!([{
        "aggregate_id": format!("2026-01-05/1001/B0/{stand_in}/"),
        "grouped_by": format!("B0 / {stand_in}"),
    }]);
    assert_eq!(Value::from(operator.sql(columns).unwrap()), expected);
    let versions = || operator.sql("SELECT * FROM unified.aggregate_versions ORDER BY version").unwrap();
    let erased = versions();
    assert_eq!(erased.len(), 2, "{erased:?}");
    read();
    assert_eq!(versions(), erased, "the network reports the value again");
    operator.succeed(&["build", "--from-raw"]).unwrap();
    assert_eq!(versions(), erased, "a rebuild has the same keys and hashes");
}

/// Else native rows would get keys that nothing maps to, and the next read would add them again.
#[test]
fn an_erasure_maps_by_the_versions_of_connectors_that_only_facts_name() {
    let (operator, _server) = restating("member-77", &Arc::new(Mutex::new((120, "19.24"))));
    let read = || assert_eq!(operator.run("levanta", &DAY.map(str::to_owned)).unwrap()["status"], "done");
    read();
    std::fs::remove_dir_all(operator.join("lake/tables/meta/connectors")).unwrap();
    operator.succeed(&["erase", "--sub-id", "member-77", "--yes"]).unwrap();
    read();
    assert_eq!(operator.sql("SELECT count(*) AS n FROM levanta.reports").unwrap()[0]["n"], 1);
}

#[test]
fn items_fill_their_table_and_are_erased() {
    let world = World::read("partnerize");
    let sums = "SELECT CAST(sum(i.commission_amount) AS VARCHAR) AS items, CAST(sum(t.commission_amount) AS VARCHAR) AS rows, \
                count(*) AS n, count(DISTINCT i.item_key) AS keys FROM unified.transaction_items i \
                JOIN unified.transactions t ON t.transaction_key = i.transaction_key WHERE i.quantity > 0";
    let joined = world.sql(sums).remove(0);
    let items = world.sql("SELECT count(*) AS n FROM unified.transaction_items").remove(0);
    assert_eq!((&joined["items"], &joined["n"]), (&joined["rows"], &joined["keys"]), "{joined}");
    assert_eq!(joined["n"], items["n"], "each item has its transaction");
    world.assert_written_once("transaction_item_versions", "item_key");
    world.simulator.advance(TimeDelta::days(20));
    world.read_again();
    let changed = world.sql("SELECT count(*) AS n FROM unified.transaction_item_versions WHERE version > 1").remove(0);
    assert_ne!(changed["n"], 0, "items change with their status");

    let order =
        world.sql("SELECT order_id FROM unified.transaction_items WHERE order_id LIKE 'ORD%' LIMIT 1").remove(0);
    let order = order["order_id"].as_str().unwrap();
    let before = world.sql(sums);
    world.operator.succeed(&["erase", "--order", order, "--yes"]).unwrap();
    let left = format!("SELECT count(*) AS n FROM unified.transaction_item_versions WHERE order_id = '{order}'");
    assert_eq!(world.sql(&left)[0]["n"], 0);
    assert_eq!(world.sql(sums), before, "no money moves, and items still name their transactions");
    let erased = world.versions("transaction_item_versions", "item_key");
    world.operator.succeed(&["build", "--from-raw"]).unwrap();
    assert_eq!(
        world.versions("transaction_item_versions", "item_key"),
        erased,
        "a rebuild has the same keys and hashes"
    );
}
