//! Tables of a PostgreSQL that are kept equal to the lake's: to the cent, whatever dies meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sluice_model::Step;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{
    Operator, PgBouncer, PostgresServer, Service, lake_sums, runtime, true_sums, variant, whole_window,
};

const HISTORY_DAYS: u32 = 30;

/// Columns of every type, as texts that DataFusion and PostgreSQL write alike.
const COLUMNS: &str = "transaction_key || '|' || network || '|' || account || '|' || transaction_id || '|' || \
    CAST(version AS VARCHAR) || '|' || change || '|' || CAST(transaction_day AS VARCHAR) || '|' || \
    coalesce(CAST(sale_amount AS VARCHAR), '-') || '|' || coalesce(CAST(commission_amount AS VARCHAR), '-') || '|' || \
    CAST(commission_effective AS VARCHAR) || '|' || coalesce(CAST(is_locked AS VARCHAR), '-') || '|' || \
    coalesce(status_raw, '-') || '|' || coalesce(reason_raw, '-') || '|' || coalesce(advertiser_name, '-') || '|' || \
    coalesce(voucher_code, '-') || '|' || raw_object || '|' || CAST(record_index AS VARCHAR) || '|' || run_id";

/// A service reads by the clock of the machine.
fn start() -> DateTime<Utc> {
    static STARTED: LazyLock<DateTime<Utc>> = LazyLock::new(Utc::now);
    *STARTED
}

/// Networks, their operator, and a database that it publishes to.
struct World {
    simulator: Simulator,
    operator: Operator,
    server: PostgresServer,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    fn new(networks: &[&str], publish: &str) -> Self {
        let runtime = runtime();
        let options = Options { start: start(), history_days: HISTORY_DAYS, rows_per_day: 3, ..Options::default() };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let server = PostgresServer::start().unwrap();
        let mut operator = Operator::of(&simulator, networks).unwrap();
        operator.set("REPORTING_URL", &server.url());
        let settings = format!(
            "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n\
             [publish.reporting]\nurl = \"env:REPORTING_URL\"\n{publish}"
        );
        operator.write("sluice.toml", &settings).unwrap();
        Self { simulator, operator, server, _runtime: runtime }
    }

    fn run(&self, network: &str) -> Value {
        self.operator.run(network, &whole_window(&self.simulator, start(), HISTORY_DAYS.into())).unwrap()
    }

    /// Publishes, and gives what was done.
    fn publish(&self, arguments: &[&str]) -> Value {
        let text = self.operator.succeed(&[&["--output", "json", "publish"], arguments].concat()).unwrap();
        serde_json::from_str::<Vec<Value>>(&text).unwrap().remove(0)
    }

    /// Rows of a table in the lake and in the database, each sorted.
    fn both(&self, table: &str, filter: &str) -> [Vec<String>; 2] {
        let query = format!("SELECT {COLUMNS} AS line FROM unified.{table} WHERE {filter}");
        let rows = self.operator.sql(&query).unwrap();
        let mut ours: Vec<String> = rows.iter().map(|row| row["line"].as_str().unwrap().to_owned()).collect();
        let mut theirs = self.server.query(&format!("SELECT {COLUMNS} FROM sluice.{table}")).unwrap();
        ours.sort();
        theirs.sort();
        [ours, theirs]
    }

    /// Checks that both tables are equal row for row, and in sums, times and sub-ids.
    fn is_equal(&self, when: &str) {
        for table in ["transactions", "transaction_versions"] {
            let [ours, theirs] = self.both(table, "true");
            assert!(!ours.is_empty(), "{table} {when} shows nothing");
            assert_eq!(ours, theirs, "{table} {when}");
            let sums = "CAST(sum(commission_effective) AS VARCHAR), CAST(sum(sale_amount) AS VARCHAR)";
            let ours =
                self.operator.succeed(&["sql", &format!("SELECT {sums} FROM unified.{table}"), "--format", "csv"]);
            let theirs = self.server.query(&format!("SELECT {sums} FROM sluice.{table}")).unwrap();
            assert_eq!(ours.unwrap().lines().nth(1).unwrap(), theirs[0].replace('|', ","), "{table} {when}");
        }
        let micros = "CAST(extract(epoch FROM max(transacted_at)) AS BIGINT)";
        let ours = self.operator.sql(&format!("SELECT {micros} AS n FROM unified.transactions")).unwrap();
        let theirs = self.server.query(&format!("SELECT {micros} FROM sluice.transactions")).unwrap();
        assert_eq!(ours[0]["n"].to_string(), theirs[0], "{when}");
    }
}

#[test]
fn the_published_tables_equal_the_lake_after_each_run() {
    let world = World::new(&["awin", "tradetracker"], "");
    assert_eq!(world.publish(&[])["version"], Value::Null, "the lake is empty");
    for network in ["awin", "tradetracker"] {
        world.run(network);
    }
    let first = world.publish(&[]);
    assert!(first["is_anew"] == true && first["versions"].as_u64() > Some(100), "{first}");
    world.is_equal("at first");
    let again = world.publish(&[]);
    assert_eq!((&again["versions"], &again["is_anew"]), (&0.into(), &false.into()), "{again}");
    for advance in 0..3 {
        world.simulator.advance(TimeDelta::days(5));
        let written = world.run("awin")["new_versions"].as_u64().unwrap()
            + world.run("tradetracker")["new_versions"].as_u64().unwrap();
        let published = world.publish(&[]);
        assert_eq!(published["versions"].as_u64(), Some(written), "only what is new is read: {published}");
        assert_eq!(published["is_anew"], false);
        world.is_equal(&format!("after advance {advance}"));
    }
    let truth = true_sums(&world.simulator, "awin");
    assert_eq!(lake_sums(&world.operator, "awin").unwrap(), truth);
    let rows = world.operator.sql("SELECT transaction_key AS key, sub_ids FROM unified.transactions").unwrap();
    let text = "SELECT json_build_object('key', transaction_key, 'sub_ids', sub_ids) FROM sluice.transactions";
    let theirs = world.server.query(text).unwrap();
    let by_key = |row: Value| (row["key"].as_str().unwrap().to_owned(), row["sub_ids"].clone());
    let theirs: BTreeMap<String, Value> = theirs.iter().map(|row| by_key(serde_json::from_str(row).unwrap())).collect();
    assert_eq!(theirs, rows.into_iter().map(by_key).collect());
    let sub_ids =
        "SELECT count(*) FROM sluice.transactions WHERE sub_ids <> '{}'::jsonb AND jsonb_typeof(sub_ids) = 'object'";
    assert_ne!(world.server.query(sub_ids).unwrap(), ["0"], "sub-ids are there");
    let types = "SELECT data_type || numeric_precision || '.' || numeric_scale FROM information_schema.columns \
                 WHERE table_schema = 'sluice' AND table_name = 'transactions' AND column_name = 'commission_amount'";
    assert_eq!(world.server.query(types).unwrap(), ["numeric18.6"]);
}

#[test]
fn a_process_that_dies_at_any_step_leaves_the_tables_of_before_or_after() {
    let world = World::new(&["awin"], "");
    world.run("awin");
    let mut before = 0;
    for round in 0..2 {
        for step in Step::OF_PUBLISHING {
            let mut command = world.operator.command(&["publish"]);
            let output = command.env("SLUICE_STOP_AT", step.name()).output().unwrap();
            assert_eq!(output.status.signal(), Some(9), "{} isn't passed: {output:?}", step.name());
            let there = "SELECT count(*) FROM pg_tables WHERE schemaname = 'sluice' AND tablename = 'transactions'";
            if *step == Step::Published {
                world.is_equal(&format!("after {} of round {round}", step.name()));
                assert_eq!(world.publish(&[])["versions"], 0, "what is committed isn't read again");
            } else if before == 0 {
                assert_eq!(world.server.query(there).unwrap(), ["0"], "nothing of it is there");
            } else {
                let count = world.server.query("SELECT count(*) FROM sluice.transaction_versions").unwrap();
                assert_eq!(count, [before.to_string()], "nothing of it is there");
            }
        }
        before = world.server.query("SELECT count(*) FROM sluice.transaction_versions").unwrap()[0].parse().unwrap();
        world.simulator.advance(TimeDelta::days(5));
        assert!(world.run("awin")["new_versions"].as_u64() > Some(0));
    }
    world.publish(&[]);
    world.is_equal("at last");
}

#[test]
fn a_replay_and_its_rollback_and_a_rebuild_are_followed() {
    let world = World::new(&["awin"], "");
    world.run("awin");
    world.publish(&[]);
    let exchanged = variant("awin", "pendingapproveddeclined", "pendingdeclinedapproved").unwrap();
    std::fs::write(world.operator.join("exchanged.wasm"), exchanged).unwrap();
    let text =
        world.operator.succeed(&["--output", "json", "replay", "awin", "--connector", "exchanged.wasm", "--apply"]);
    let applied: Value = serde_json::from_str(&text.unwrap()).unwrap();
    let published = world.publish(&[]);
    assert!(published["is_anew"] == false && published["versions"].as_u64() > Some(0), "{published}");
    world.is_equal("after a replay");
    let run = applied["applied_by"].as_str().unwrap();
    world.operator.succeed(&["replay", "awin", "--rollback", run]).unwrap();
    assert_eq!(world.publish(&[])["is_anew"], true, "rows went");
    world.is_equal("after its rollback");
    world.operator.succeed(&["build", "--from-raw"]).unwrap();
    assert_eq!(world.publish(&[])["is_anew"], true, "another table is in its place");
    world.is_equal("after a rebuild");
    world.server.query("DROP TABLE sluice.transactions").unwrap();
    assert_eq!(world.publish(&[])["is_anew"], true, "a table was dropped");
    world.is_equal("after a table was dropped");
    world.server.query("UPDATE sluice.transactions SET commission_amount = 1").unwrap();
    assert_eq!(world.publish(&["reporting", "--rebuild"])["is_anew"], true);
    world.is_equal("after a rebuild by hand");
}

#[test]
fn several_that_publish_at_once_take_turns_and_what_compaction_took_away_is_no_loss() {
    let world = World::new(&["awin"], "");
    let settings = std::fs::read_to_string(world.operator.join("sluice.toml")).unwrap();
    world.operator.write("sluice.toml", &format!("{settings}[maintain]\nmin_files = 2\n")).unwrap();
    world.run("awin");
    let spawn = || {
        let mut command = world.operator.command(&["--output", "json", "publish"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let published = [spawn(), spawn(), spawn()].map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Vec<Value>>(&output.stdout).unwrap().remove(0)
    });
    let read = |published: &Value| published["versions"].as_u64().unwrap();
    let written =
        world.operator.sql("SELECT count(*) AS n FROM unified.transaction_versions").unwrap()[0]["n"].as_u64();
    assert_eq!(Some(published.iter().map(read).sum()), written, "one reads them all: {published:?}");
    world.is_equal("after three at once");

    for _ in 0..2 {
        world.simulator.advance(TimeDelta::days(3));
        assert!(world.run("awin")["new_versions"].as_u64() > Some(0));
    }
    let output = world.operator.succeed(&["maintain", "--table", "unified.transaction_versions"]).unwrap();
    assert!(output.contains("merged into"), "{output}");
    delete_removed(&world.operator.join("lake/tables/unified/transaction_versions"));
    assert_eq!(world.publish(&[])["is_anew"], true, "its log names files that are gone");
    world.is_equal("after files were merged and deleted");
    world.server.query("ALTER TABLE sluice.transactions DROP COLUMN status_raw").unwrap();
    assert_eq!(world.publish(&[])["is_anew"], true, "a column was taken away");
    world.is_equal("after a column was taken away");
}

#[test]
fn a_pooler_between_changes_nothing() {
    let mut world = World::new(&["awin"], "");
    let pooler = PgBouncer::start(&world.server, "ignore_startup_parameters = extra_float_digits").unwrap();
    world.operator.set("REPORTING_URL", &pooler.url());
    for round in 0..3 {
        world.run("awin");
        assert!(world.publish(&[])["versions"].as_u64() > Some(0));
        world.is_equal(&format!("through a pooler, round {round}"));
        world.simulator.advance(TimeDelta::days(4));
    }
}

/// Deletes the files of a table that a commit took out of it, as maintenance does after some days.
fn delete_removed(table: &Path) {
    let mut deleted = 0;
    for entry in std::fs::read_dir(table.join("_delta_log")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let action: Value = serde_json::from_str(line).unwrap();
            if let Some(removed) = action["remove"]["path"].as_str() {
                std::fs::remove_file(table.join(removed)).unwrap();
                deleted += 1;
            }
        }
    }
    assert!(deleted > 0, "nothing was merged");
}

#[test]
fn what_vanishes_and_returns_does_so_there() {
    let world = World::new(&["awin"], "");
    let path = world.operator.join("networks/awin.json");
    let mut settings: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    settings["vanish"] = serde_json::json!({"confirm_after": "0"});
    std::fs::write(&path, settings.to_string()).unwrap();
    world.run("awin");
    let gone = world.simulator.truth("awin", "alpha").remove(3).transaction_id;
    assert!(world.simulator.withhold("awin", "alpha", &gone));
    world.run("awin");
    assert_eq!(world.run("awin")["new_versions"], 1);
    world.publish(&[]);
    let change =
        format!("SELECT change FROM sluice.transactions WHERE account = 'alpha' AND transaction_id = '{gone}'");
    assert_eq!(world.server.query(&change).unwrap(), ["vanished"]);
    world.is_equal("after one vanished");
    world.simulator.deliver_all();
    assert_eq!(world.run("awin")["new_versions"], 1);
    world.publish(&[]);
    assert_eq!(world.server.query(&change).unwrap(), ["reappeared"]);
    world.is_equal("after it returned");
}

#[test]
fn only_the_tables_and_networks_that_were_asked_for_are_there() {
    let world = World::new(&["awin", "tradetracker"], "tables = [\"transactions\"]\nnetworks = [\"awin\"]\n");
    for network in ["awin", "tradetracker"] {
        world.run(network);
    }
    world.publish(&[]);
    let [ours, theirs] = world.both("transactions", "network = 'awin'");
    assert!(!ours.is_empty());
    assert_eq!(ours, theirs);
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'sluice' ORDER BY 1";
    assert_eq!(world.server.query(tables).unwrap(), ["sluice_published", "transactions"]);
    let settings = std::fs::read_to_string(world.operator.join("sluice.toml")).unwrap();
    world.operator.write("sluice.toml", &settings.replace("networks = [\"awin\"]\n", "")).unwrap();
    assert_eq!(world.publish(&[])["is_anew"], true, "another choice");
    let [ours, theirs] = world.both("transactions", "true");
    assert_eq!(ours, theirs);
}

#[test]
fn a_service_publishes_after_its_commits_and_its_failures_name_no_password() {
    let mut world = World::new(&["awin"], "");
    world.operator.read_every_second(&world.simulator, "awin").unwrap();
    let mut service = Service::start(&world.operator).unwrap();
    service.wait_for(&["reporting: published"]).unwrap();
    world.simulator.advance(TimeDelta::days(2));
    world.run("awin");
    service.wait_for(&["reporting: published up to version"]).unwrap();
    service.kill();
    world.operator.set("REPORTING_URL", "postgres://sluice:hunter2@127.0.0.1:1/none");
    let failed = world.operator.sluice(&["publish"]).unwrap();
    assert!(failed.code == 78 && failed.stderr.contains("cannot connect to the published database"), "{failed:?}");
    assert!(!format!("{failed:?}").contains("hunter2"), "{failed:?}");
    world.operator.set("REPORTING_URL", &world.server.url());
    world.publish(&[]);
    world.is_equal("after the service");
    let unknown = world.operator.sluice(&["publish", "elsewhere"]).unwrap();
    assert!(unknown.code == 2 && unknown.stderr.contains("there is no [publish.elsewhere]"), "{unknown:?}");
}
