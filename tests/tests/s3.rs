//! A lake on S3: the same as on a disk, and clear words when the store can't be used.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use chrono::{DateTime, TimeDelta, Utc};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, S3Server, lake_sums, true_sums, whole_window};

const HISTORY_DAYS: u32 = 20;

fn start() -> DateTime<Utc> {
    "2025-11-10T12:00:00Z".parse().unwrap()
}

#[test]
fn a_lake_on_s3_says_the_truth_as_time_passes() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let options = Options { start: start(), history_days: HISTORY_DAYS, rows_per_day: 3, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let server = S3Server::start().unwrap();
    let networks = ["awin", "cj"];
    let mut operator = Operator::of(&simulator, &networks).unwrap();
    server.hold_lake_of(&mut operator, "some/prefix").unwrap();
    let run = |when: &str| {
        let window = whole_window(&simulator, start(), HISTORY_DAYS.into());
        let mut versions = 0;
        for network in networks {
            versions += operator.run(network, &window).unwrap()["new_versions"].as_u64().unwrap();
            assert_eq!(lake_sums(&operator, network).unwrap(), true_sums(&simulator, network), "{network} {when}");
        }
        versions
    };
    assert!(run("at first") > 0);
    assert_eq!(run("again"), 0, "an unchanged network has no new versions");
    simulator.advance(TimeDelta::days(6));
    assert!(run("later") > 0);
    assert!(!operator.join("lake").exists(), "nothing of the lake is on the disk");
    for part in ["raw/bodies", "raw/envelopes", "tables/unified/transaction_versions/_delta_log", "connectors"] {
        assert!(!server.objects(&format!("some/prefix/{part}/")).unwrap().is_empty(), "{part}");
    }
}
