//! Every network by data (`connectors/*/simulated.json`) against the simulator: what the lake has is the truth, row by row, as
//! the network's state advances and whatever way of failing its requests have.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Mutex;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;
use sluice_simulator::{AccountSpec, Fault, FaultPlan, Kind, Options, Simulator, TimeBasis, TruthRow};
use sluice_tests::{Micros, Operator, repository, runtime, whole_window};

const HISTORY_DAYS: u32 = 50;
/// Networks that are tried at once.
const THREADS: usize = 3;

/// The networks by data, as their folders say. `SLUICE_NETWORKS=impact,admitad` tries some of them.
fn networks() -> Vec<String> {
    let wanted = std::env::var("SLUICE_NETWORKS").unwrap_or_default();
    let folders = std::fs::read_dir(repository().join("connectors")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<String> = folders
        .filter(|folder| folder.join("simulated.json").is_file())
        .map(|folder| folder.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| wanted.is_empty() || wanted.split(',').any(|one| one == name))
        .collect();
    found.sort();
    found
}

/// Tries each network, some at once, and fails with all that failed.
fn each_network(test: impl Fn(&str) + Send + Sync) {
    each_of(networks(), test);
}

/// Tries a half of the networks: all of them take longer than a test may.
fn each_of_half(half: usize, test: impl Fn(&str) + Send + Sync) {
    each_of(networks().into_iter().skip(half).step_by(2).collect(), test);
}

fn each_of(networks: Vec<String>, test: impl Fn(&str) + Send + Sync) {
    assert!(!networks.is_empty(), "no network by data");
    let queue = Mutex::new(networks);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(network) = { queue.lock().unwrap().pop() } {
                    let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&network)));
                    if tried.is_err() {
                        failed.lock().unwrap().push(network);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "these fail, see above: {failed:?}");
}

fn start() -> DateTime<Utc> {
    "2025-11-10T12:00:00Z".parse().unwrap()
}

fn options(network: &str) -> Options {
    Options {
        seed: 16,
        start: start(),
        history_days: HISTORY_DAYS,
        rows_per_day: 3,
        accounts: ["alpha", "beta"].map(|name| AccountSpec::new(network, name)).to_vec(),
        page_limit: Some(20),
        ..Options::default()
    }
}

/// A row as the lake and the truth have it, without what only one of them can know.
#[derive(Debug, PartialEq)]
struct Row {
    status: Option<String>,
    is_adjustment: bool,
    commission: i128,
    currency: Option<String>,
    sale: Option<i128>,
    order: Option<String>,
    transacted_at: Option<DateTime<Utc>>,
}

fn micros(text: &str) -> i128 {
    let Micros(micros) = Micros::parse(text);
    micros
}

fn text(row: &Value, name: &str) -> Option<String> {
    row[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// What the lake has of a network, by account and id.
fn in_lake(operator: &Operator, network: &str, local: bool) -> BTreeMap<(String, String), Row> {
    let rows = operator
        .sql(&format!(
            "SELECT account, transaction_id, status_raw, kind, CAST(commission_amount AS VARCHAR) AS commission, \
             commission_currency AS currency, CAST(sale_amount AS VARCHAR) AS sale, order_id, \
             to_char(transacted_at, '%Y-%m-%dT%H:%M:%SZ') AS transacted_at, time_basis \
             FROM unified.transactions WHERE network = '{network}'"
        ))
        .unwrap();
    let row = |row: &Value| {
        let key = (text(row, "account").unwrap(), text(row, "transaction_id").unwrap());
        let commission = text(row, "commission").map_or(0, |amount| micros(&amount));
        let is_sure = !local || row["time_basis"] != "local-doubled";
        let values = Row {
            status: text(row, "status_raw"),
            is_adjustment: row["kind"] == "adjustment" && commission < 0,
            commission,
            currency: text(row, "currency"),
            sale: text(row, "sale").map(|amount| micros(&amount)),
            order: text(row, "order_id"),
            transacted_at: text(row, "transacted_at").and_then(|time| time.parse().ok()).filter(|_| is_sure),
        };
        (key, values)
    };
    rows.iter().map(row).collect()
}

/// What the simulator knows to be true.
fn in_truth(simulator: &Simulator, network: &str) -> BTreeMap<(String, String), Row> {
    let mut rows = BTreeMap::new();
    for account in simulator.accounts().iter().filter(|account| account.network == network) {
        for row in simulator.truth(network, &account.name) {
            let key = (account.name.clone(), row.transaction_id.clone());
            let earlier = rows.insert(key, true_row(row));
            assert!(earlier.is_none(), "{network}: two rows with one id: {earlier:?}");
        }
    }
    rows
}

fn true_row(row: TruthRow) -> Row {
    let commission = micros(&row.commission);
    Row {
        status: row.status_raw,
        is_adjustment: row.kind == Kind::Adjustment && commission < 0,
        commission,
        currency: row.currency,
        sale: row.sale_amount.map(|amount| micros(&amount)),
        // Spaces around a text are none of its meaning.
        order: row.order_id.map(|order| order.trim().to_owned()),
        transacted_at: Some(row.transacted_at).filter(|_| row.time_basis != TimeBasis::LocalDoubled),
    }
}

fn assert_true(operator: &Operator, simulator: &Simulator, network: &str, when: &str) {
    let is_local = simulator
        .accounts()
        .iter()
        .flat_map(|account| simulator.truth(network, &account.name))
        .any(|row| row.time_basis != TimeBasis::Instant);
    let (lake, truth) = (in_lake(operator, network, is_local), in_truth(simulator, network));
    assert!(truth.len() > 5, "{network} {when}: {} rows tell nothing", truth.len());
    let missing: Vec<_> = truth.keys().filter(|key| !lake.contains_key(key)).take(3).collect();
    let more: Vec<_> = lake.keys().filter(|key| !truth.contains_key(key)).take(3).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "{network} {when}: {} in the lake, {} true; missing {missing:?}, more {more:?}",
        lake.len(),
        truth.len()
    );
    let different: Vec<_> = truth.iter().filter(|(key, row)| lake.get(key) != Some(row)).take(2).collect();
    let instead: Vec<_> = different.iter().map(|(key, _)| lake.get(key)).collect();
    assert!(different.is_empty(), "{network} {when}: true {different:#?}, in the lake {instead:#?}");
}

fn run(operator: &Operator, network: &str, window: &[String; 2], when: &str) {
    let report = operator.run(network, window).unwrap_or_else(|error| panic!("{network} {when}: {error:#}"));
    let outcome = (&report["status"], &report["slices_doubtful"]);
    assert_eq!(outcome, (&"done".into(), &0.into()), "{network} {when}: {report}");
}

#[test]
fn each_network_by_data_gives_the_truth_as_it_advances() {
    each_of_half(0, gives_the_truth_as_it_advances);
}

#[test]
fn each_other_network_by_data_gives_the_truth_as_it_advances() {
    each_of_half(1, gives_the_truth_as_it_advances);
}

fn gives_the_truth_as_it_advances(network: &str) {
    let runtime = runtime();
    let faults = FaultPlan::all(0.1, 1);
    let simulator = runtime.block_on(Simulator::start(Options { faults, ..options(network) })).unwrap();
    let operator = Operator::of(&simulator, &[network]).unwrap();
    run(&operator, network, &whole_window(&simulator, start(), HISTORY_DAYS.into()), "at first");
    assert_true(&operator, &simulator, network, "at first");
    for advance in 1_i64..=10 {
        let until = simulator.advance(TimeDelta::hours(6 * advance)) + TimeDelta::hours(1);
        let window = [until - TimeDelta::days(3), until];
        let window = window.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true));
        run(&operator, network, &window, &format!("after advance {advance}"));
    }
    simulator.advance(TimeDelta::days(20));
    run(&operator, network, &whole_window(&simulator, start(), HISTORY_DAYS.into()), "at last");
    assert_true(&operator, &simulator, network, "at last");
    let twice = operator.run(network, &whole_window(&simulator, start(), HISTORY_DAYS.into())).unwrap();
    assert_eq!(twice["new_versions"], 0, "{network}: the same is read again: {twice}");
}

#[test]
fn each_network_by_data_survives_each_way_to_fail() {
    each_network(|network| {
        let runtime = runtime();
        for kind in Fault::ALL {
            let faults = FaultPlan { share: 1.0, kinds: vec![kind], max_per_request: 1, slow_millis: 5 };
            let options = Options { faults, history_days: 8, rows_per_day: 2, ..options(network) };
            let simulator = runtime.block_on(Simulator::start(options)).unwrap();
            let operator = Operator::of(&simulator, &[network]).unwrap();
            let when = format!("with {kind:?}");
            run(&operator, network, &whole_window(&simulator, start(), 8), &when);
            assert_true(&operator, &simulator, network, &when);
            assert!(simulator.requests().iter().any(|request| request.fault == Some(kind)), "{network} {when}");
        }
    });
}

/// A listing of more pages than a network gives is asked for in halves.
#[test]
fn a_window_of_more_pages_than_the_network_gives_is_halved() {
    let network = "impact";
    let runtime = runtime();
    let options = Options { rows_per_day: 12, ..options(network) };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let operator = Operator::of(&simulator, &[network]).unwrap();
    run(&operator, network, &whole_window(&simulator, start(), HISTORY_DAYS.into()), "in halves");
    assert_true(&operator, &simulator, network, "in halves");
    let refused = simulator.requests().iter().filter(|request| request.status == 400).count();
    assert_eq!(refused, 0, "an eleventh page is never asked for");
    assert!(
        simulator.requests().iter().any(|request| request.uri.contains("Page=10&") || request.uri.ends_with("Page=10"))
    );
}
