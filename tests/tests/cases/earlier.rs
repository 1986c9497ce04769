//! What is stored outlives us: the lake and the state store of the first release (`tests/fixtures/first-release`).

use serde_json::{Value, json};
use sluice_tests::{Operator, PostgresServer, copy_folder, repository};

use crate::network::Network;

const JANUARY: [&str; 8] = ["run", "awin", "--since", "2026-01-01", "--until", "2026-02-01", "--axis", "transaction"];
const VERSIONS: &str = "SELECT transaction_id t, version v, change, CAST(commission_effective AS VARCHAR) c
                        FROM unified.transaction_versions ORDER BY 1, 2";
const LATEST: &str = "SELECT transaction_id t, validation_status s, CAST(commission_effective AS VARCHAR) c
                      FROM unified.transactions ORDER BY 1";

fn rows(operator: &Operator, query: &str) -> Value {
    Value::from(operator.sql(query).unwrap())
}

/// The first release's network, and its operator with the lake and the state store.
fn first_release() -> (Network, Operator) {
    let fixture = repository().join("tests/fixtures/first-release");
    let network = Network::start(&fixture);
    let mut operator = Operator::empty().unwrap();
    operator.set("AWIN_TOKEN", "token-of-awin-1");
    operator.install("awin", "awin.wasm").unwrap();
    copy_folder(&fixture.join("lake"), &operator.join("lake")).unwrap();
    std::fs::copy(fixture.join("state.db"), operator.join("state.db")).unwrap();
    let account = json!({"name": "uk", "settings": {"publisher_id": "123456"}, "secrets": {"token": "env:AWIN_TOKEN"}});
    let settings = json!({"connector": "awin", "base_url": network.origin(), "accounts": [account]});
    operator.write("networks/awin.json", &settings.to_string()).unwrap();
    (network, operator)
}

#[test]
fn a_lake_of_the_first_release_is_read_and_continued() {
    let (network, operator) = first_release();
    let mut versions = vec![
        json!({"t": "8401", "v": 1, "change": "first-seen", "c": "1.000000"}),
        json!({"t": "8402", "v": 1, "change": "first-seen", "c": "2.000000"}),
        json!({"t": "8402", "v": 2, "change": "network-change", "c": "2.500000"}),
        json!({"t": "8403", "v": 1, "change": "first-seen", "c": "3.000000"}),
        json!({"t": "8403", "v": 2, "change": "network-change", "c": "0.000000"}),
        json!({"t": "8404", "v": 1, "change": "first-seen", "c": "4.000000"}),
    ];
    assert_eq!(rows(&operator, VERSIONS), Value::from(versions.clone()), "it is read");

    operator.succeed(&JANUARY).unwrap();
    versions.extend([
        json!({"t": "8404", "v": 2, "change": "network-change", "c": "4.400000"}),
        json!({"t": "8405", "v": 1, "change": "first-seen", "c": "5.000000"}),
    ]);
    assert_eq!(rows(&operator, VERSIONS), Value::from(versions), "only what changed has a new version");
    let latest = json!([
        {"t": "8401", "s": "pending", "c": "1.000000"},
        {"t": "8402", "s": "pending", "c": "2.500000"},
        {"t": "8403", "s": "declined", "c": "0.000000"},
        {"t": "8404", "s": "approved", "c": "4.400000"},
        {"t": "8405", "s": "pending", "c": "5.000000"},
    ]);
    assert_eq!(rows(&operator, LATEST), latest, "it is continued");

    // Its native table has no column for notes of decoding. The first that is needed makes one.
    network.set_step(1);
    operator
        .succeed(&["run", "awin", "--since", "2026-02-01", "--until", "2026-02-02", "--axis", "transaction"])
        .unwrap();
    let noted = "SELECT id, _decode_notes n FROM awin.transactions WHERE _decode_notes IS NOT NULL";
    assert_eq!(rows(&operator, noted), json!([{"id": 8406, "n": "oldSaleAmount.amount: not-a-number"}]));
    let latest_of_january = format!("SELECT * FROM ({LATEST}) WHERE t < '8406' ORDER BY t");
    assert_eq!(rows(&operator, &latest_of_january), latest);

    operator.succeed(&["maintain"]).unwrap();
    operator.succeed(&["build", "--from-raw"]).unwrap();
    assert_eq!(rows(&operator, noted), json!([{"id": 8406, "n": "oldSaleAmount.amount: not-a-number"}]));
    assert_eq!(
        rows(&operator, &latest_of_january),
        latest,
        "all of it can be made again from the raw responses of both releases"
    );
}

/// As `a_store_of_the_release_before_migrations_is_adopted` (host/state) does it in SQLite: all migrations, over what that
/// release wrote.
#[test]
fn a_store_of_the_release_before_migrations_is_adopted_on_postgresql() {
    let (_network, operator) = first_release();
    let server = PostgresServer::start().unwrap();
    let state = repository().join("host/state");
    for file in ["migrations/both/0001_first_release.sql", "src/earlier_store.sql"] {
        server.query(&std::fs::read_to_string(state.join(file)).unwrap()).unwrap();
    }
    let settings = format!("[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"{}\"\n", server.url());
    operator.write("sluice.toml", &settings).unwrap();
    // The second time nothing is left to do.
    let opened = ["status", "status"].map(|command| operator.sluice(&[command]).unwrap());
    let files = |folder: &str| std::fs::read_dir(state.join("migrations").join(folder)).unwrap().count();
    let all = files("both") + files("postgres");
    let applied = "SELECT count(*), max(version) FROM _sqlx_migrations WHERE success";
    assert_eq!(server.query(applied).unwrap(), [format!("{all}|{all}")], "{opened:?}");
    let has = |query: &str, rows: &[&str]| assert_eq!(server.query(query).unwrap(), rows, "{query}");
    has("SELECT run_id, starts, entry FROM runs", &["0199f3a0-0000-7000-8000-000000000001|1|"]);
    let times = ["|maintenance|2026-01-05T03:00:00+00:00", "awin|start|2026-01-05T10:00:00+00:00"];
    has("SELECT network, entry, happened_at FROM schedule_times ORDER BY entry", &times);
    has("SELECT count(*) FROM cursors", &["0"]);
    has("SELECT version, sealed FROM tokens", &["3|v1.sealed"]);
    has("SELECT file, version FROM active_connectors", &["awin.wasm|1.2.0"]);
    has("SELECT word FROM connector_words", &["approve"]);
    has("SELECT version, state FROM connector_candidates", &["1.2.0|serving"]);
}
