//! A person's identifiers go from everything that is kept, and nothing else does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "erase/left_over.rs"]
mod left_over;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;

use aho_corasick::AhoCorasick;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use sluice_model::Step;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{
    NETWORKS, Operator, PostgresServer, Tables, all_tables, broken_claims, differences, lake_sums, runtime, state_rows,
    true_sums, variant, visit_files, whole_window,
};

const HISTORY_DAYS: u32 = 20;

fn start() -> DateTime<Utc> {
    "2026-02-10T12:00:00Z".parse().unwrap()
}

/// Networks that were read twice.
struct World {
    simulator: Simulator,
    operator: Operator,
    networks: Vec<&'static str>,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    fn new(networks: &[&'static str], seed: u64) -> Self {
        let _runtime = runtime();
        let options =
            Options { seed, start: start(), history_days: HISTORY_DAYS, rows_per_day: 3, ..Options::default() };
        let simulator = _runtime.block_on(Simulator::start(options)).unwrap();
        let operator = Operator::of(&simulator, networks).unwrap();
        let world = Self { simulator, operator, networks: networks.to_vec(), _runtime };
        for advance in [0, 6] {
            world.simulator.advance(TimeDelta::days(advance));
            world.run(&world.operator);
        }
        world
    }

    /// Reads all networks over all of their history, and returns how many versions are new.
    fn run(&self, operator: &Operator) -> u64 {
        let window = whole_window(&self.simulator, start(), HISTORY_DAYS.into());
        let reports = self.networks.iter().map(|network| operator.run(network, &window).unwrap());
        let new = |report: Value| {
            assert_eq!(report["status"], "done", "{report}");
            report["new_versions"].as_u64().unwrap()
        };
        reports.map(new).sum()
    }

    /// Of each network an order of each shape, and two sub-ids.
    fn values(&self) -> BTreeSet<String> {
        let mut values = BTreeSet::new();
        for network in &self.networks {
            let query = format!("SELECT order_id, sub_ids FROM unified.transactions WHERE network = '{network}'");
            let (mut shapes, mut sub_ids) = (BTreeMap::new(), BTreeSet::new());
            for row in self.operator.sql(&query).unwrap() {
                if let Some(order) = row["order_id"].as_str().filter(|order| order.len() > 5) {
                    let shape = (order.starts_with("ORD"), order.contains('"'), order.starts_with('0'));
                    shapes.entry(shape).or_insert_with(|| order.to_owned());
                }
                let texts = row["sub_ids"].as_object().into_iter().flatten();
                sub_ids
                    .extend(texts.filter_map(|(_, text)| text.as_str()).filter(|t| is_erasable(t)).map(str::to_owned));
            }
            values.extend(shapes.into_values());
            values.extend(sub_ids);
        }
        values
    }
}

/// Whether a sub-id of the simulator's can be erased.
fn is_erasable(text: &str) -> bool {
    let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric());
    text.len() > 5 && is_edge(text.chars().next()) && is_edge(text.chars().last())
}

/// Whether it can be nothing but an identifier.
fn is_distinctive(value: &str) -> bool {
    value.contains(|c: char| c.is_ascii_digit()) && value.contains(char::is_alphabetic)
}

/// The arguments that erase values.
fn arguments<'a>(values: &'a BTreeSet<String>, more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["--output", "json", "erase"];
    for value in values {
        all.extend([if value.starts_with("ORD") { "--order" } else { "--sub-id" }, value.as_str()]);
    }
    all.extend(more);
    all
}

fn erase(operator: &Operator, values: &BTreeSet<String>, more: &[&str]) -> Value {
    let text = operator.succeed(&arguments(values, more)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Where values stand in a folder: in files as they are and unpacked, in cells of tables, in statistics. A value isn't one in the
/// middle of a longer number or word.
fn places(operator: &Operator, values: &BTreeSet<String>) -> BTreeSet<String> {
    let forms: Vec<(String, &String)> =
        values.iter().flat_map(|value| forms(value).map(|form| (form, value))).collect();
    let search = AhoCorasick::new(forms.iter().map(|(form, _)| form)).unwrap();
    let mut found = BTreeSet::new();
    let mut look = |name: &str, bytes: &[u8]| {
        let is_word = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
        for place in search.find_overlapping_iter(bytes) {
            if !is_word(place.start().checked_sub(1)) && !is_word(Some(place.end())) {
                found.insert(format!("{name}: {}", forms[place.pattern().as_usize()].1));
            }
        }
    };
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        look(file, &std::fs::read(operator.join(file)).unwrap_or_default());
    }
    visit_files(&operator.join("lake"), &mut |name, bytes| {
        look(name, bytes);
        if name.ends_with(".parquet") && bytes.starts_with(b"PAR1") {
            look(name, cells(bytes).as_bytes());
        }
    })
    .unwrap();
    found
}

/// A value as texts, JSON, XML and CSV write it.
fn forms(value: &str) -> [String; 4] {
    let json = serde_json::to_string(value).unwrap();
    let xml = value.replace('&', "&amp;").replace('"', "&quot;");
    [value.to_owned(), json.trim_matches('"').to_owned(), xml, value.replace('"', "\"\"")]
}

/// All cells of a Parquet file as texts.
fn cells(file: &[u8]) -> String {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(file)).unwrap().build().unwrap();
    let options = FormatOptions::default();
    let mut text = String::new();
    for batch in reader {
        for column in batch.unwrap().columns() {
            let cells = ArrayFormatter::try_new(column.as_ref(), &options).unwrap();
            for row in 0..column.len() {
                text.push_str(&cells.value(row).to_string());
                text.push('\n');
            }
        }
    }
    text
}

/// Rows, versions and money by network, status, currency and month.
fn sums(operator: &Operator) -> Vec<Value> {
    let query = |table: &str| {
        format!(
            "SELECT network, validation_status, commission_currency, month, count(*) AS n, max(version) AS versions,
                    CAST(sum(commission_effective) AS VARCHAR) AS commission, CAST(sum(sale_amount) AS VARCHAR) AS sale
             FROM unified.{table} GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
        )
    };
    let rows = ["transactions", "transaction_versions"].map(|table| operator.sql(&query(table)).unwrap());
    rows.concat()
}

fn tables(operator: &Operator) -> Tables {
    let mut tables = all_tables(operator).unwrap();
    // What was done is on record there.
    tables.remove("meta.runs");
    tables.remove("meta.usage");
    tables
}

/// Checks what has to hold after an erasure, and that a replay finds nothing new.
fn is_erased(world: &World, operator: &Operator, values: &BTreeSet<String>, before: &[Value], when: &str) {
    assert_eq!(places(operator, values), BTreeSet::new(), "{when}");
    assert_eq!(sums(operator), before, "{when}: no money moves");
    for network in &world.networks {
        let text = operator.succeed(&["--output", "json", "replay", network, "--diff"]).unwrap();
        let diff: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(diff["empty"], true, "{when}: {network}: {diff}");
    }
}

/// Checks that tables that are made from raw are those that are there.
fn is_rebuilt_alike(operator: &Operator, values: &BTreeSet<String>, when: &str) {
    let erased = tables(operator);
    operator.succeed(&["build", "--from-raw"]).unwrap();
    let found = differences(&erased, &tables(operator));
    assert!(found.is_empty(), "{when}: a rebuild from raw has + and not -:\n{found}");
    assert_eq!(places(operator, values), BTreeSet::new(), "{when}: a rebuild");
}

#[test]
fn no_file_holds_a_value_and_nothing_else_changes() {
    let world = World::new(&NETWORKS, 51);
    let operator = &world.operator;
    let (values, before) = (world.values(), sums(operator));
    let held = places(operator, &values);
    assert!(values.iter().all(|value| held.iter().any(|place| place.ends_with(value))), "{held:?}");
    let planned = erase(operator, &values, &["--dry-run"]);
    assert_eq!(places(operator, &values), held, "a dry run changes nothing");
    let report = erase(operator, &values, &["--yes"]);
    for part in ["responses", "bodies", "amounts"] {
        assert_eq!(report[part], planned[part], "{part}: {report}");
    }
    assert_eq!(report["tables"], planned["tables"]);
    assert_eq!(report["stand_ins"].as_array().unwrap().len(), values.len());
    is_erased(&world, operator, &values, &before, "at once");
    let broken = broken_claims(operator).unwrap();
    assert!(broken.is_empty(), "{broken:#?}");
    is_rebuilt_alike(operator, &values, "at once");
    for network in &world.networks {
        assert_eq!(lake_sums(operator, network).unwrap(), true_sums(&world.simulator, network), "{network}");
    }
}

#[test]
fn what_networks_report_again_is_replaced_before_it_is_kept() {
    let world = World::new(&["awin", "tradetracker"], 52);
    let operator = &world.operator;
    let words: BTreeSet<String> = world.values().into_iter().filter(|value| is_distinctive(value)).collect();
    assert!(words.len() > 2, "{words:?}");
    erase(operator, &words, &["--yes"]);
    assert_eq!(world.run(operator), 0, "what is read again has no new version");
    assert_eq!(places(operator, &words), BTreeSet::new());
    world.simulator.advance(TimeDelta::days(4));
    assert_ne!(world.run(operator), 0, "nothing changed: the test shows nothing");
    assert_eq!(places(operator, &words), BTreeSet::new());
    assert_eq!(lake_sums(operator, "awin").unwrap(), true_sums(&world.simulator, "awin"));
}

#[test]
fn what_may_be_an_amount_or_a_word_comes_again_and_is_erased_again() {
    let world = World::new(&["awin", "shareasale"], 53);
    let operator = &world.operator;
    let digits: BTreeSet<String> = world.values().into_iter().filter(|value| !is_distinctive(value)).collect();
    assert!(digits.len() > 1, "{digits:?}");
    let before = sums(operator);
    erase(operator, &digits, &["--yes"]);
    world.run(operator);
    assert_ne!(places(operator, &digits), BTreeSet::new(), "they are kept as amounts might be");
    let again = operator.succeed(&["--output", "json", "erase", "--again", "--yes"]).unwrap();
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(places(operator, &digits), BTreeSet::new(), "{again}");
    let by_status =
        |rows: &[Value]| rows.iter().take(rows.len() / 2).map(|row| row["sale"].clone()).collect::<Vec<_>>();
    assert_eq!(by_status(&sums(operator)), by_status(&before));
    assert_eq!(lake_sums(operator, "awin").unwrap(), true_sums(&world.simulator, "awin"));
}

#[test]
fn rejects_and_what_was_decided_of_them_follow() {
    let runtime = runtime();
    let options = Options { seed: 58, start: start(), history_days: 10, rows_per_day: 3, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    let better = std::fs::read(operator.join("connectors.d/awin.wasm")).unwrap();
    operator.put_connector("awin.wasm", &variant("awin", "transactionDate", "transactionTage").unwrap()).unwrap();
    let [since, until] = whole_window(&simulator, start(), 10);
    assert_eq!(operator.sluice(&["run", "awin", "--since", &since, "--until", &until]).unwrap().code, 1);
    let orders: BTreeSet<String> = simulator
        .truth("awin", "alpha")
        .iter()
        .filter_map(|row| row.order_id.clone())
        .filter(|id| id.len() > 8)
        .collect();
    let mut orders = orders.into_iter().map(|order| BTreeSet::from([order]));
    let open = || operator.sql("SELECT count(*) AS n FROM meta.rejects").unwrap()[0]["n"].as_u64().unwrap();
    let follows = |order: &BTreeSet<String>, when: &str| {
        let before = open();
        assert!(!places(&operator, order).is_empty(), "{when}");
        erase(&operator, order, &["--yes"]);
        assert_eq!(places(&operator, order), BTreeSet::new(), "{when}");
        assert_eq!(open(), before, "{when}");
        is_rebuilt_alike(&operator, order, when);
    };
    assert_ne!(open(), 0);
    follows(&orders.next().unwrap(), "open");
    operator.put_connector("awin.wasm", &better).unwrap();
    operator.succeed(&["rejects", "retry", "awin"]).unwrap();
    let rows = operator.sql("SELECT count(*) AS n FROM unified.transactions").unwrap()[0]["n"].clone();
    assert_ne!(rows, 0);
    assert_eq!(operator.succeed(&["rejects"]).unwrap(), "0 open rejects\n");
    let order = orders.next().unwrap();
    erase(&operator, &order, &["--yes"]);
    assert_eq!(places(&operator, &order), BTreeSet::new());
    assert_eq!(operator.succeed(&["rejects"]).unwrap(), "0 open rejects\n", "what was decided stays so");
    assert_eq!(lake_sums(&operator, "awin").unwrap(), true_sums(&simulator, "awin"));
}

#[test]
fn an_erasure_that_dies_at_any_step_goes_on() {
    let world = World::new(&["shareasale"], 54);
    let (values, before) = (world.values(), sums(&world.operator));
    for step in Step::OF_ERASURE {
        let operator = world.operator.fork().unwrap();
        let mut command = operator.command(&arguments(&values, &["--yes"]));
        let output = command.env("SLUICE_STOP_AT", step.name()).output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "{} isn't passed: {output:?}", step.name());
        assert_eq!(sums(&operator), before, "{}: no money moves meanwhile", step.name());
        let checked = operator.sluice(&["check"]).unwrap();
        let is_noted = *step != Step::BodiesRewritten;
        assert_eq!(checked.stderr.contains("sluice erase --again"), is_noted, "{}: {checked:?}", step.name());
        erase(&operator, &values, &["--yes"]);
        is_erased(&world, &operator, &values, &before, step.name());
        is_rebuilt_alike(&operator, &values, step.name());
    }
}

#[test]
fn published_tables_are_those_of_the_lake() {
    let world = World::new(&["awin"], 55);
    let server = PostgresServer::start().unwrap();
    let mut operator = world.operator.fork().unwrap();
    operator.set("REPORTING_URL", &server.url());
    let settings = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n\
                    [publish.reporting]\nurl = \"env:REPORTING_URL\"\n";
    operator.write("sluice.toml", settings).unwrap();
    operator.succeed(&["publish"]).unwrap();
    let rows = || server.query("SELECT transactions::text FROM sluice.transactions").unwrap().join("\n");
    let values = world.values();
    assert!(values.iter().any(|value| rows().contains(value)));
    let sum = "SELECT count(*), sum(commission_effective), sum(sale_amount) FROM sluice.transaction_versions";
    let before = server.query(sum).unwrap();
    let report = erase(&operator, &values, &["--yes"]);
    assert_eq!(report["published"][0]["is_anew"], true, "{report}");
    let held: Vec<&String> = values.iter().filter(|value| rows().contains(value.as_str())).collect();
    assert!(held.is_empty(), "{held:?}");
    assert_eq!(server.query(sum).unwrap(), before);
    let ids = operator.sql("SELECT transaction_key AS key FROM unified.transactions ORDER BY 1").unwrap();
    let theirs = server.query("SELECT transaction_key FROM sluice.transactions ORDER BY 1").unwrap();
    assert_eq!(ids.iter().map(|row| row["key"].as_str().unwrap()).collect::<Vec<_>>(), theirs);
}

#[test]
fn a_reader_of_changes_that_is_up_to_date_sees_nothing_of_it() {
    let world = World::new(&["awin"], 56);
    let operator = &world.operator;
    let changes = |after: &[&str]| -> (usize, String) {
        let text = operator.succeed(&[&["changes", "--limit", "10000"], after].concat()).unwrap();
        let page: Value = serde_json::from_str(&text).unwrap();
        (page["changes"].as_array().unwrap().len(), page["next"].as_str().unwrap().to_owned())
    };
    let (all, end) = changes(&[]);
    assert!(all > 0);
    erase(operator, &world.values(), &["--yes"]);
    let (none, end) = changes(&["--after", &end]);
    assert_eq!(none, 0);
    world.simulator.advance(TimeDelta::days(5));
    let new = world.run(operator);
    assert_eq!(changes(&["--after", &end]).0 as u64, new);
}

#[test]
fn what_can_not_be_erased_is_refused_before_anything_is_done() {
    let world = World::new(&["awin"], 57);
    let operator = &world.operator;
    let before = all_tables(operator).unwrap();
    let refused = |arguments: &[&str]| {
        let answer = operator.sluice(&[&["erase"], arguments].concat()).unwrap();
        assert_ne!(answer.code, 0, "{answer:?}");
        answer.stderr
    };
    let mut texts = [
        refused(&["--sub-id", "member-1"]),
        refused(&["--sub-id", "abc", "--yes"]),
        refused(&["--order", "123.45", "--yes"]),
        refused(&["--yes"]),
        // A status, in every response.
        refused(&["--sub-id", "pending", "--yes"]),
    ];
    let digest = texts[4].split(" response ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    texts[4] = texts[4].replace(&digest, "<digest>");
    // Which of the accounts is looked at first isn't fixed.
    insta::assert_snapshot!(texts.join("\n").replace("awin/beta/", "awin/alpha/"));
    // A number beside it, which may be an amount anywhere, makes the status no amount.
    let both = refused(&["--order", "7777777", "--sub-id", "pending", "--yes"]);
    assert!(both.contains("a value stands for"), "{both}");
    let found = differences(&before, &all_tables(operator).unwrap());
    assert!(found.is_empty(), "{found}");
    let nothing = erase(operator, &BTreeSet::from(["nobody-17".to_owned()]), &["--yes"]);
    assert_eq!((&nothing["responses"], &nothing["deleted_files"]), (&0.into(), &0.into()), "{nothing}");
    let kept = state_rows(operator, "SELECT digest FROM erasures").unwrap();
    assert!(kept.is_empty(), "what is refused, or found nowhere, is replaced in no later answer: {kept:?}");
    assert_eq!(world.run(operator), 0);
}
