//! `sluice mcp` as an assistant's client meets it: JSON-RPC on standard input and output.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use sluice_model::Fact;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, runtime, whole_window};
use tokio::runtime::Runtime;

struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    asked: u64,
}

impl Client {
    fn start(operator: &Operator) -> Self {
        let mut command = operator.command(&["mcp"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut client = Self { child, input, output, asked: 0 };
        let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
        let answer = client.ask("initialize", &hello);
        assert_eq!(answer["result"]["serverInfo"]["name"], "sluice");
        let instructions = answer["result"]["instructions"].as_str().unwrap();
        for fact in Fact::ALL {
            assert!(instructions.contains(&format!("`unified.{}`", fact.view())), "{fact:?}: {instructions}");
        }
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        client
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": self.asked, "method": method, "params": params}));
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["id"], self.asked, "{answer}");
        answer
    }

    /// What a tool says, and whether it is an answer.
    fn call(&mut self, tool: &str, arguments: &Value) -> (String, bool) {
        let answer = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}"));
        (text.to_owned(), result["isError"] == false)
    }

    fn query(&mut self, query: &str) -> (String, bool) {
        self.call("query_lake", &json!({"query": query}))
    }

    fn end(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// A lake with a network that was read, and the secrets of its accounts.
fn lake(runtime: &Runtime) -> (Simulator, Operator, Vec<String>) {
    let start: DateTime<Utc> = "2026-01-20T12:00:00Z".parse().unwrap();
    let options = Options { seed: 31, start, history_days: 20, rows_per_day: 3, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    // Ten days between are never read: an answer may lack them.
    let [since, until] = whole_window(&simulator, start, 20);
    let day = |days| (start - TimeDelta::days(days)).to_rfc3339_opts(SecondsFormat::Secs, true);
    for window in [[since, day(15)], [day(5), until]] {
        operator.run("awin", &window).unwrap();
    }
    let accounts = simulator.accounts().iter().filter(|account| account.network == "awin");
    let secrets: Vec<String> = accounts.flat_map(|account| account.secrets.values().cloned()).collect();
    assert!(!secrets.is_empty());
    (simulator, operator, secrets)
}

#[test]
fn an_assistant_asks_the_lake_and_changes_nothing() {
    let runtime = runtime();
    let (_simulator, operator, secrets) = lake(&runtime);
    let sum = "SELECT account, CAST(sum(commission_effective) AS VARCHAR) AS amount, min(transaction_id) AS id \
               FROM unified.transactions GROUP BY 1 ORDER BY 1";
    let expected = operator.sql(sum).unwrap();
    let mut client = Client::start(&operator);

    let tools = client.ask("tools/list", &json!({}));
    let tools = tools["result"]["tools"].as_array().unwrap().clone();
    assert!(tools.iter().all(|tool| tool["annotations"]["readOnlyHint"] == true), "{tools:?}");
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["query_lake", "list_tables", "explain_transaction", "status", "plan", "list_doubts", "show_doubt"]
    );

    let (text, is_answer) = client.query(sum);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert!(is_answer && answer["answer"] == Value::Array(expected.clone()), "{text}");
    assert!(answer["warnings"].as_array().unwrap().iter().any(|warning| warning["warning"].is_string()), "{text}");
    let (text, is_answer) = client.query("SELECT 12345678901234567890123456789012.123456 AS amount");
    assert!(is_answer && text.contains("12345678901234567890123456789012.123456"), "{text}");

    for query in ["DROP TABLE unified.transactions", "COPY (SELECT 1) TO '/tmp/x'", "SELECT * FROM nowhere", "--help"] {
        let (text, is_answer) = client.query(query);
        assert!(!is_answer && text.contains("\"error\""), "{query}: {text}");
    }
    let (text, is_answer) = client.query("SELECT repeat('x', 1000) FROM generate_series(1, 1000)");
    assert!(!is_answer && text.contains("ask for fewer rows"), "{text}");

    let (account, id) = (expected[0]["account"].as_str().unwrap(), expected[0]["id"].as_str().unwrap());
    let (text, is_answer) = client.call("explain_transaction", &json!({"transaction": format!("awin/{account}/{id}")}));
    assert!(is_answer && text.contains("first-seen"), "{text}");
    for (tool, arguments) in [
        ("status", json!({})),
        ("list_tables", json!({})),
        ("plan", json!({"network": "awin", "since": "2026-01-10", "until": "2026-01-12"})),
        ("list_doubts", json!({})),
    ] {
        let (text, is_answer) = client.call(tool, &arguments);
        assert!(is_answer && text.starts_with("{\"answer\":"), "{tool}: {text}");
        assert!(secrets.iter().all(|secret| !text.contains(secret.as_str())), "{tool} shows a secret");
    }
    let (text, is_answer) = client.call("show_doubt", &json!({"doubt": "none"}));
    assert!(!is_answer && text.contains("\"error\""), "{text}");
    for (tool, arguments) in [("run", json!({"network": "awin"})), ("status", json!({"config": "/etc/passwd"}))] {
        let refused = client.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
    }
    assert_eq!(operator.sql(sum).unwrap(), expected);
    client.end();
}
