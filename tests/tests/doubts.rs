//! Doubts: ordinary business raises none, a restart finds the same, and a slice that is large is judged in pieces.
//! The outcomes of a doubt are in `tests/cases/5*`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sluice_simulator::{FaultPlan, Options, Shapes, Simulator};
use sluice_tests::{NETWORKS, Operator, lake_sums, runtime, true_sums, whole_window};

const HISTORY_DAYS: u32 = 50;

fn start() -> DateTime<Utc> {
    "2025-11-10T12:00:00Z".parse().unwrap()
}

fn last_days(simulator: &Simulator, days: i64) -> [String; 2] {
    let until = simulator.clock() + TimeDelta::hours(1);
    [until - TimeDelta::days(days), until].map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// Ten advances, windows of three days and of all: all requests may fail, and recover. Each network by itself, side by side.
fn ordinary_business_raises_no_doubt(network: &str) {
    let runtime = runtime();
    let faults = FaultPlan::all(0.1, 1);
    let shapes = Shapes { duplicate_rows: true, new_field_from: Some(start()), changed_type: true };
    let options = Options {
        seed: 9,
        start: start(),
        history_days: HISTORY_DAYS,
        rows_per_day: 3,
        faults,
        shapes,
        // Windows of several pages, on which totals are stated and which end when one is empty.
        cj_page_limit: 20,
        rakuten_page_limit: Some(20),
        ..Options::default()
    };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let operator = Operator::of(&simulator, &[network]).unwrap();
    let run = |window: &[String; 2], when: &str| {
        let report = operator.run(network, window).unwrap();
        let outcome = (&report["status"], &report["slices_doubtful"]);
        assert_eq!(outcome, (&"done".into(), &0.into()), "{when}: {report}");
    };
    run(&last_days(&simulator, HISTORY_DAYS.into()), "at first");
    for advance in 1_i64..=10 {
        // From hours, after which there is hardly anything new, to days.
        simulator.advance(TimeDelta::hours(2 + 7 * advance));
        run(&last_days(&simulator, if advance % 3 == 0 { 45 } else { 3 }), &format!("after advance {advance}"));
    }
    run(&whole_window(&simulator, start(), HISTORY_DAYS.into()), "at last");
    assert!(operator.sql("SELECT * FROM meta.doubts").unwrap().is_empty());
    assert_eq!(lake_sums(&operator, network).unwrap(), true_sums(&simulator, network));
}

macro_rules! ordinary_business {
    ($($test:ident: $network:literal,)+) => {
        $(
            #[test]
            fn $test() {
                ordinary_business_raises_no_doubt($network);
            }
        )+

        #[test]
        fn each_network_does_ordinary_business() {
            assert_eq!([$($network),+], NETWORKS);
        }
    };
}

ordinary_business! {
    ordinary_business_of_awin: "awin",
    ordinary_business_of_cj: "cj",
    ordinary_business_of_rakuten: "rakuten",
    ordinary_business_of_shareasale: "shareasale",
    ordinary_business_of_tradetracker: "tradetracker",
}

/// Pages of a slice that together are larger than the memory for responses: what is held is given up when others wait.
#[test]
fn a_slice_larger_than_the_memory_comes_to_its_end() {
    let runtime = runtime();
    let options = Options {
        seed: 10,
        start: start(),
        history_days: HISTORY_DAYS,
        rows_per_day: 60,
        cj_page_limit: 100,
        ..Options::default()
    };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let operator = Operator::of(&simulator, &["cj"]).unwrap();
    let settings = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n[limits]\nmemory_mb = 64\n";
    operator.write("sluice.toml", settings).unwrap();
    let report = operator.run("cj", &whole_window(&simulator, start(), HISTORY_DAYS.into())).unwrap();
    assert_eq!(report["status"], "done", "{report}");
    assert_eq!(lake_sums(&operator, "cj").unwrap(), true_sums(&simulator, "cj"));
}
