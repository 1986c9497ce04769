//! No secret is anywhere in what a run leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use chrono::{DateTime, Utc};
use sluice_simulator::{FaultPlan, Options, Simulator};
use sluice_tests::{NETWORKS, Operator, runtime, visit_files, whole_window};

/// A secret in the forms in which it could leak.
fn forms(secret: &str) -> Vec<String> {
    let encoded: String = secret
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect();
    let engine = base64::engine::general_purpose::STANDARD;
    // Base64 inside a longer text begins at any of three places; its inner part is the same.
    let inner = |pad: usize| {
        let padded = engine.encode([&b"xx"[..pad], secret.as_bytes()].concat());
        padded[4..padded.len() - 4].to_owned()
    };
    vec![
        secret.to_owned(),
        encoded.clone(),
        encoded.to_lowercase(),
        engine.encode(secret),
        inner(0),
        inner(1),
        inner(2),
    ]
}

fn assert_clean(what: &str, bytes: &[u8], needles: &AhoCorasick) {
    let found = needles.find(bytes);
    assert!(found.is_none(), "{what} holds a secret: {found:?}");
}

#[test]
fn no_secret_is_left_anywhere() {
    let start: DateTime<Utc> = "2026-01-20T12:00:00Z".parse().unwrap();
    let runtime = runtime();
    let options = Options {
        seed: 11,
        start,
        history_days: 20,
        rows_per_day: 3,
        // An answer that is unreadable twice in a row is final.
        faults: FaultPlan::all(0.3, 1),
        ..Options::default()
    };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let mut operator = Operator::of(&simulator, &NETWORKS).unwrap();
    operator.set("SLUICE_LOG", "trace");
    let secrets: Vec<&String> = simulator.accounts().iter().flat_map(|account| account.secrets.values()).collect();
    assert!(secrets.len() >= 10);
    let needles = AhoCorasick::new(secrets.iter().flat_map(|secret| forms(secret))).unwrap();
    let [since, until] = whole_window(&simulator, start, 20);
    let mut output = Vec::new();
    for network in NETWORKS {
        for arguments in [
            vec!["run", network, "--since", &since, "--until", &until],
            vec!["plan", network, "--since", &since, "--until", &until],
        ] {
            let answer = operator.sluice(&arguments).unwrap();
            assert_eq!(answer.code, 0, "{answer:?}");
            output.push((format!("{arguments:?}"), answer.stdout + &answer.stderr));
        }
    }
    // Refused credentials are where errors are tempted to quote.
    operator.set("AWIN_ALPHA_TOKEN", "another+secret/that=is&refused");
    let refused = operator.sluice(&["run", "awin", "--since", &since, "--until", &until]).unwrap();
    assert_eq!(refused.code, 1);
    let another = AhoCorasick::new(forms("another+secret/that=is&refused")).unwrap();
    assert_clean("a refusal", (refused.stdout + &refused.stderr).as_bytes(), &another);
    for table in operator.sql("SHOW TABLES").unwrap() {
        let (schema, name) = (table["table_schema"].as_str().unwrap(), table["table_name"].as_str().unwrap());
        if schema != "information_schema" {
            let text =
                operator.succeed(&["sql", &format!("SELECT * FROM {schema}.{name}"), "--format", "csv"]).unwrap();
            output.push((format!("{schema}.{name}"), text));
        }
    }
    assert!(output.len() > 15, "the tables were not read");
    for (what, text) in &output {
        assert_clean(what, text.as_bytes(), &needles);
    }
    let mut files = 0;
    visit_files(operator.path(), &mut |name, bytes| {
        files += 1;
        assert_clean(name, bytes, &needles);
    })
    .unwrap();
    assert!(files > 50, "the lake was not read");
}
