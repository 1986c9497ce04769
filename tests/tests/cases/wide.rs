//! An API that keys objects by order id, so that each page has names that no page had before.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_tests::{Answer, Operator};

use crate::course::{cases_dir, laid_out};
use crate::network::Network;

const PAGES: usize = 4;
const NAMES: usize = 3_000;
const SETTINGS: &str = "[lake]\nurl = \"file:./lake\"\n[limits]\ncolumns_per_table = 100\n";

/// Two sales, of which one has names of its page's own.
fn page(number: usize, last: &str) -> Value {
    let text = std::fs::read_to_string(cases_dir().join("09-rakuten-smaller-pages/page-1.json")).unwrap();
    let records: Vec<Value> = serde_json::from_str(&text).unwrap();
    let sale = |half: usize| {
        let mut sale = records[0].clone();
        sale["etransaction_id"] = json!(format!("b{:031}", number * 2 + half));
        sale
    };
    let (plain, mut wide) = (sale(0), sale(1));
    wide["orders"] = (0..NAMES).map(|n| (format!("p{number}-{n}"), json!({"sum": n}))).collect();
    wide["orders"][format!("p{number}-{}", NAMES - 1)]["sum"] = json!(last);
    json!([plain, wide])
}

fn network(folder: &std::path::Path) -> (Network, Operator) {
    let headers = json!({"content-type": "application/json;charset=UTF-8"});
    let token = json!({"access_token": "tok-1", "token_type": "Bearer", "expires_in": 3600}).to_string();
    let steps = ["\"a\"\n", "b"].into_iter().enumerate().map(|(step, last)| {
        let mut rules = vec![json!({"path": "^/token$", "headers": headers, "text": token})];
        for number in 1..=PAGES {
            // Only the last page is another in the second step.
            let last = if number == PAGES { last } else { "c" };
            let file = format!("page-{step}-{number}.json");
            std::fs::write(folder.join(&file), page(number, last).to_string()).unwrap();
            let query = format!("page={number}$");
            rules.push(json!({"path": "events", "query": query, "file": file, "headers": headers}));
        }
        rules.push(json!({"path": "events", "text": "[]", "headers": headers}));
        Value::from(rules)
    });
    let steps: Vec<Value> = steps.collect();
    std::fs::write(folder.join("NETWORK"), "rakuten").unwrap();
    std::fs::write(folder.join("script.json"), json!({"steps": steps}).to_string()).unwrap();
    let (network, operator) = laid_out(folder.to_str().unwrap());
    operator.write("sluice.toml", SETTINGS).unwrap();
    (network, operator)
}

fn run(operator: &Operator) -> Answer {
    let command = ["run", "rakuten", "--since", "2026-01-01", "--until", "2026-01-15", "--axis", "modified"];
    let answer = operator.sluice(&command).unwrap();
    assert_eq!(answer.code, 0, "{answer:?}");
    answer
}

/// What the table holds of `orders`, by path: in columns and in `_rest`.
fn orders(operator: &Operator) -> (BTreeMap<String, String>, usize) {
    let columns = operator.sql("SELECT \"column\" c, path p FROM meta.columns WHERE path LIKE 'orders.%'").unwrap();
    let (mut found, mut in_rest) = (BTreeMap::new(), 0);
    for row in operator.sql("SELECT * FROM rakuten.transactions").unwrap() {
        for column in &columns {
            let value = &row[column["c"].as_str().unwrap()];
            if !value.is_null() {
                found.insert(column["p"].as_str().unwrap().to_owned(), value.to_string());
            }
        }
        if let Some(rest) = row["_rest"].as_str() {
            let rest: BTreeMap<String, String> = serde_json::from_str(rest).unwrap();
            in_rest += rest.len();
            found.extend(rest);
        }
    }
    (found, in_rest)
}

fn count(operator: &Operator, query: &str) -> u64 {
    operator.sql(query).unwrap()[0]["n"].as_u64().unwrap()
}

const COLUMNS: &str =
    "SELECT count(*) n FROM information_schema.columns WHERE table_schema = 'rakuten' AND left(column_name, 1) <> '_'";
const ROWS: &str = "SELECT count(*) n FROM rakuten.transactions";

#[test]
fn new_names_on_each_page_share_a_column_beyond_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let (network, operator) = network(folder.path());
    let answer = run(&operator);
    assert!(answer.stderr.contains("4 native records have fields without a column of their own"), "{answer:?}");
    assert_eq!(count(&operator, COLUMNS), 100);
    let noted =
        "SELECT path p, type t, starts_with(example, '{\"orders.p1-') e FROM meta.columns WHERE \"column\" = '_rest'";
    assert_eq!(Value::from(operator.sql(noted).unwrap()), json!([{"p": null, "t": "text", "e": true}]));
    let (found, in_rest) = orders(&operator);
    assert!(in_rest > PAGES * NAMES - 100 && in_rest < PAGES * NAMES, "{in_rest}");
    assert_eq!(found.len(), PAGES * NAMES, "none is lost");
    for (number, n) in [(1, 0), (1, NAMES - 2), (2, 17), (PAGES, NAMES - 2)] {
        assert_eq!(found[&format!("orders.p{number}-{n}.sum")], n.to_string());
    }
    assert_eq!(found[&format!("orders.p{PAGES}-{}.sum", NAMES - 1)], "\"a\"\n", "texts are what they were");

    let doubts = || Value::from(operator.sql("SELECT kind k, stream s, state w, records n FROM meta.doubts").unwrap());
    assert_eq!(doubts(), json!([{"k": "columns", "s": "transactions", "w": "open", "n": 4}]));
    let status = operator.succeed(&["status"]).unwrap();
    assert!(status.contains("columns: 4 records have fields beyond the 100 columns"), "{status}");

    run(&operator);
    assert_eq!(count(&operator, ROWS), 8, "nothing changed");
    let id = operator.sql("SELECT doubt_id d FROM meta.doubts WHERE state = 'open'").unwrap();
    operator.succeed(&["doubts", "accept", id[0]["d"].as_str().unwrap()]).unwrap();
    assert_eq!(count(&operator, ROWS), 8, "it held nothing back");
    assert_eq!(count(&operator, "SELECT count(*) n FROM unified.transaction_versions"), 8, "nothing vanished");
    network.set_step(1);
    run(&operator);
    assert_eq!(count(&operator, ROWS), 9, "a change in a field without a column is one");
    assert_eq!(doubts(), json!([{"k": "columns", "s": "transactions", "w": "accepted", "n": 4}]), "asked once");
    let changed =
        format!("SELECT count(*) n FROM rakuten.transactions WHERE _rest LIKE '%-{}.sum\":\"b\"%'", NAMES - 1);
    assert_eq!(count(&operator, &changed), 1);

    let table = || {
        let text = operator.succeed(&["sql", "SELECT * FROM rakuten.transactions", "--format", "csv"]).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let before = table();
    operator.succeed(&["build", "--from-raw"]).unwrap();
    assert!(table() == before, "the table from raw is another");
}
