//! What analysts ask, from simulated networks to answers: views, time travel, explanations and what is missing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Answer, Micros, Operator, runtime, true_sums, whole_window};

fn start() -> DateTime<Utc> {
    "2026-01-20T12:00:00Z".parse().unwrap()
}

fn simulator(runtime: &tokio::runtime::Runtime, seed: u64) -> Simulator {
    let options = Options { seed, start: start(), history_days: 20, rows_per_day: 3, ..Options::default() };
    runtime.block_on(Simulator::start(options)).unwrap()
}

/// Sums by account and currency.
type Sums = BTreeMap<(String, String), Micros>;

fn sums(operator: &Operator, relation: &str, amount: &str) -> Sums {
    let query = format!(
        "SELECT account, coalesce(commission_currency, '') AS currency, CAST(sum({amount}) AS VARCHAR) AS amount
         FROM {relation} GROUP BY 1, 2"
    );
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let rows = operator.sql(&query).unwrap();
    rows.iter()
        .map(|row| ((text(row, "account"), text(row, "currency")), Micros::parse(&text(row, "amount"))))
        .collect()
}

/// Now, as SQL reads it; everything that was done is before it.
fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[test]
fn views_agree_with_the_truth_and_with_each_other_as_time_passes() {
    let runtime = runtime();
    let simulator = simulator(&runtime, 31);
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    operator.run("awin", &whole_window(&simulator, start(), 20)).unwrap();
    let first = (now(), sums(&operator, "unified.transactions", "commission_effective"));
    simulator.advance(TimeDelta::days(8));
    operator.run("awin", &whole_window(&simulator, start(), 20)).unwrap();
    let second = (now(), sums(&operator, "unified.transactions", "commission_effective"));
    assert_ne!(first.1, second.1, "time passed and nothing changed");

    let mut truth = Sums::new();
    for ((account, _, currency), (_, amount)) in true_sums(&simulator, "awin") {
        *truth.entry((account, currency)).or_default() += amount;
    }
    let daily = "(SELECT * FROM unified.earnings_daily WHERE basis = 'transaction')";
    assert_eq!(sums(&operator, daily, "commission_amount"), truth);

    for (moment, expected) in [&first, &second] {
        assert_eq!(&sums(&operator, &format!("unified.as_of('{moment}')"), "commission_effective"), expected);
        let table = format!("unified.transactions AT (TIMESTAMP => '{moment}')");
        assert_eq!(&sums(&operator, &table, "commission_effective"), expected);
    }
    let restated = format!("unified.restatements('{}', '{}')", first.0, second.0);
    let mut moved = first.1.clone();
    for (key, difference) in sums(&operator, &restated, "commission_difference") {
        *moved.entry(key).or_default() += difference;
    }
    assert_eq!(moved, second.1);
    let unpaid = operator
        .sql(
            "SELECT count(*) AS n FROM unified.unpaid u JOIN unified.transactions t USING (transaction_key)
              WHERE t.payment_status = 'paid' OR t.validation_status NOT IN ('approved', 'pending')",
        )
        .unwrap();
    assert_eq!(unpaid[0]["n"], 0);
    let latency = operator.sql("SELECT * FROM unified.validation_latency").unwrap();
    assert!(latency.iter().all(|row| row["days_min"].as_i64() <= row["days_max"].as_i64()), "{latency:?}");
    assert!(!latency.is_empty());
}

/// What moves from run to run, filtered out.
fn still(text: &str) -> String {
    let digits = |c: char| c.is_ascii_digit();
    let mut output = String::new();
    for word in text.split_inclusive([' ', '\n', ',', ':', ';']) {
        let bare = word.trim_end_matches([' ', '\n', ',', ':', ';']);
        let rest = &word[bare.len()..];
        let inner = bare.trim_start_matches('(').trim_end_matches(')');
        let hex = matches!(inner.len(), 12 | 32 | 64) && inner.bytes().all(|byte| byte.is_ascii_hexdigit());
        let port = bare.strip_prefix("//127.0.0.1");
        output.push_str(match (hex, port) {
            (true, _) => "[hex]",
            (_, Some(_)) => "//127.0.0.1",
            _ => bare,
        });
        output.push_str(rest);
    }
    // Real times are this year's; simulated ones are of January and before.
    let this_year = Utc::now().format("%Y-%m-").to_string();
    let lines = output.lines().map(|line| {
        let mut line = line.to_owned();
        while let Some(at) = line.find(&this_year) {
            let end = line[at..].find('Z').map_or(line.len(), |end| at + end + 1);
            line.replace_range(at..end, "[now]");
        }
        line
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split("//127.0.0.1:").map(|part| part.trim_start_matches(digits)).collect::<Vec<_>>().join("//[simulator]")
}

fn shown(answer: &Answer) -> String {
    still(&format!("exit {}\n--- stdout\n{}--- stderr\n{}", answer.code, answer.stdout, answer.stderr))
}

#[test]
fn a_transaction_is_explained_by_its_versions_and_their_records() {
    let runtime = runtime();
    let simulator = simulator(&runtime, 32);
    let operator = Operator::of(&simulator, &["awin", "tradetracker"]).unwrap();
    for days in [0, 8, 8] {
        simulator.advance(TimeDelta::days(days));
        for network in ["awin", "tradetracker"] {
            operator.run(network, &whole_window(&simulator, start(), 20)).unwrap();
        }
    }
    for network in ["awin", "tradetracker"] {
        let changed = format!(
            "SELECT transaction_key, account, transaction_id FROM unified.transaction_versions
             WHERE network = '{network}' AND version = 3 ORDER BY transaction_key LIMIT 1"
        );
        let row = operator.sql(&changed).unwrap().remove(0);
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let key = text("transaction_key");
        let by_key = operator.sluice(&["explain", &key]).unwrap();
        insta::assert_snapshot!(format!("explain_{network}"), shown(&by_key));
        let name = format!("{network}/{}/{}", text("account"), text("transaction_id"));
        for other in [&key[..20], &name] {
            assert_eq!(operator.sluice(&["explain", other]).unwrap().stdout, by_key.stdout, "{other}");
        }
        for secret in simulator.accounts().iter().flat_map(|account| account.secrets.values()) {
            assert!(!by_key.stdout.contains(secret.as_str()), "a secret is shown");
        }
        let json = operator.succeed(&["--output", "json", "explain", &key]).unwrap();
        let output: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(output["transaction_key"], key);
        let versions = output["versions"].as_array().unwrap();
        assert_eq!(versions.len(), 3);
        assert!(versions.iter().all(|version| version["problem"].is_null()), "{output:#}");
        assert!(versions.iter().all(|version| version["record"].is_object() && version["request"].is_object()));
        assert!(versions[1]["changed"][0]["before"].is_string() || versions[1]["changed"][0]["after"].is_string());
    }
}

#[test]
fn what_can_not_be_explained_is_told() {
    let runtime = runtime();
    let simulator = simulator(&runtime, 33);
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    operator.run("awin", &whole_window(&simulator, start(), 20)).unwrap();
    insta::assert_snapshot!("explain_nonsense", shown(&operator.sluice(&["explain", "order 66"]).unwrap()));
    let unknown = shown(&operator.sluice(&["explain", "awin/alpha/none"]).unwrap());
    insta::assert_snapshot!("explain_unknown", unknown);
    let several = operator.sluice(&["explain", "0"]).unwrap();
    assert!(
        several.code == 2 && several.stderr.contains("fits several") && several.stderr.contains("awin/"),
        "{several:?}"
    );
    // What raw has lost is reported, and the rest is shown all the same.
    let key = operator.sql("SELECT transaction_key FROM unified.transactions LIMIT 1").unwrap().remove(0);
    std::fs::remove_dir_all(operator.join("lake/raw/bodies")).unwrap();
    let output = operator.succeed(&["explain", key["transaction_key"].as_str().unwrap()]).unwrap();
    assert!(output.contains("not known: raw no longer has") && output.contains("GET "), "{output}");
    std::fs::remove_dir_all(operator.join("lake/raw/envelopes")).unwrap();
    let output = operator.succeed(&["explain", key["transaction_key"].as_str().unwrap()]).unwrap();
    assert!(output.contains("not known: its response is no longer in raw"), "{output}");
}

/// A text without the next moments of schedules.
fn without_moments(text: String) -> String {
    let lines = text.lines().map(|line| match line.split_once("; next ") {
        Some((before, _)) => format!("{before}; next [moments]"),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn gaps_are_in_the_status_and_under_answers() {
    let runtime = runtime();
    let simulator = simulator(&runtime, 34);
    let mut operator = Operator::of(&simulator, &["awin", "cj"]).unwrap();
    let none = operator.sluice(&["status", "--fail-if-gaps"]).unwrap();
    assert_eq!(none.code, 1, "nothing was ever read: {none:?}");
    let read = |operator: &Operator, network: &str, since: &str, until: &str| {
        operator.sluice(&["run", network, "--since", since, "--until", until]).unwrap()
    };
    assert_eq!(read(&operator, "awin", "2026-01-01", "2026-01-05").code, 0);
    assert_eq!(read(&operator, "cj", "2026-01-01", "2026-01-21").code, 0);
    assert_eq!(read(&operator, "awin", "2026-01-08", "2026-01-12").code, 0);
    operator.set("AWIN_BETA_TOKEN", "not-the-token-at-all");
    assert_eq!(read(&operator, "awin", "2026-01-12", "2026-01-15").code, 1);

    insta::assert_snapshot!("status", without_moments(shown(&operator.sluice(&["status"]).unwrap())));
    insta::assert_snapshot!("status_all", without_moments(shown(&operator.sluice(&["status", "--all"]).unwrap())));
    let output = operator.succeed(&["--output", "json", "status"]).unwrap();
    let output: Value = serde_json::from_str(&output).unwrap();
    let gaps: Vec<&Value> =
        output["streams"].as_array().unwrap().iter().flat_map(|of| of["gaps"].as_array().unwrap()).collect();
    assert_eq!(gaps.len(), 3, "{output:#}");
    let failing = operator.sluice(&["status", "--fail-if-gaps"]).unwrap();
    assert!(failing.code == 1 && failing.stderr.contains("3 windows are missing"), "{failing:?}");

    let ask = |operator: &Operator, query: &str| operator.sluice(&["sql", query, "--format", "csv"]).unwrap();
    let all = ask(&operator, "SELECT count(*) > 0 AS some FROM unified.transactions");
    insta::assert_snapshot!("sql_with_gaps", shown(&all));
    for query in [
        "SELECT count(*) > 0 AS some FROM unified.transactions WHERE network = 'cj'",
        "SELECT count(*) > 0 AS some FROM cj.transactions",
        "SELECT count(*) > 0 AS some FROM meta.coverage",
    ] {
        let answer = ask(&operator, query);
        assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("some\ntrue\n", ""), "{query}");
    }
    let json =
        operator.sluice(&["--output", "json", "sql", "SELECT count(*) > 0 AS n FROM awin.transactions"]).unwrap();
    assert_eq!(json.stdout, "[{\"n\":true}]\n");
    let warnings: Vec<Value> = json.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(warnings.iter().any(|warning| warning["account"] == "beta" && warning["kind"] == "failed"), "{warnings:?}");

    // What a gap's line says to do, does it.
    operator.set("AWIN_BETA_TOKEN", simulator_token(&simulator).as_str());
    for gap in gaps {
        let command: Vec<&str> = gap["command"].as_str().unwrap().split(' ').skip(1).collect();
        operator.succeed(&command).unwrap();
    }
    let healed = ask(&operator, "SELECT count(*) > 0 AS some FROM unified.transactions");
    assert_eq!(healed.stderr, "");
}

#[test]
fn a_window_is_covered_as_far_as_it_could_be_read() {
    let runtime = runtime();
    let simulator = simulator(&runtime, 35);
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    let read =
        |since: &str, until: &str| operator.sluice(&["run", "awin", "--since", since, "--until", until]).unwrap();
    let future = (Utc::now() + TimeDelta::days(40)).format("%F").to_string();
    let later = (Utc::now() + TimeDelta::days(60)).format("%F").to_string();
    assert_eq!(read("2026-01-10", &future).code, 0);
    let ahead = "SELECT count(*) AS n, count(*) FILTER (WHERE until > read_at) AS ahead FROM meta.coverage";
    let found = operator.sql(ahead).unwrap().remove(0);
    assert!(found["n"].as_u64() > Some(0) && found["ahead"] == 0, "{found}");
    let nothing = read(&future, &later);
    assert_eq!(nothing.code, 0, "{nothing:?}");
    assert!(nothing.stderr.contains("lies in the future"), "{nothing:?}");
    assert_eq!(operator.sql(ahead).unwrap().remove(0), found, "what is still to come is not covered");
}

fn simulator_token(simulator: &Simulator) -> String {
    let accounts = simulator.accounts();
    let beta = accounts.iter().find(|account| account.network == "awin" && account.name == "beta").unwrap();
    beta.secrets["token"].clone()
}

#[test]
fn no_query_takes_more_than_it_may_or_panics() {
    let operator = Operator::empty().unwrap();
    let toml = "[lake]\nurl = \"file:./lake\"\n[limits]\nquery_secs = 2\nquery_rows = 1000\nquery_memory_mb = 100\n";
    operator.write("sluice.toml", toml).unwrap();
    for (query, reason) in [
        ("SELECT repeat('x', 2000000000)", "more than its 100 MiB"),
        ("SELECT repeat(arrow_cast('x', 'LargeUtf8'), 1000000000000000)", "more than its 100 MiB"),
        ("SELECT lpad(arrow_cast('x', 'LargeUtf8'), 1000000000000000, 'y')", "more than its 100 MiB"),
        ("SELECT array_repeat(1, 1000000000000000)", "more than its 100 MiB"),
        ("SELECT array_resize([1], 1000000000000000, 2)", "more than its 100 MiB"),
        (
            "SELECT sum(length(repeat(arrow_cast('x', 'LargeUtf8'), value * 100000000))) FROM generate_series(1, 9000)",
            "",
        ),
        ("SELECT replace(repeat('a', 1000000), 'a', repeat('b', 10000))", "more than 200 MiB"),
        ("WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t", "longer than 2 s"),
        ("SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b", "longer than 2 s"),
        ("SELECT * FROM generate_series(1, 100000)", "more than 1000 rows"),
        ("SELECT string_agg(repeat('x', 1000), '') FROM generate_series(1, 5000000)", ""),
        ("SELECT -9223372036854775808 / -1", "overflow"),
    ] {
        let answer = operator.sluice(&["sql", query]).unwrap();
        assert_eq!(answer.code, 1, "{query}: {answer:?}");
        assert!(answer.stderr.contains(reason) && !answer.stderr.contains("panicked"), "{query}: {answer:?}");
    }
}
