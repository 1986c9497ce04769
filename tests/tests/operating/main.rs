//! The commands of `docs/operating.md`. Blocks of `sh` run in their order in one folder, over a simulated network; those of
//! `console`, each in a folder that has what they need.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod backup;
mod decisions;
mod install;
mod outlets;

use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Block, Operator, connectors_dir, repository, runtime, sluice_binary};

/// The blocks of the page.
fn blocks() -> Vec<Block> {
    sluice_tests::blocks(&std::fs::read_to_string(repository().join("docs/operating.md")).unwrap())
}

/// The block of `console` that has a text.
fn console(text: &str) -> String {
    let has_text = |block: &Block| block.language == "console" && block.text.contains(text);
    let mut found: Vec<Block> = blocks().into_iter().filter(has_text).collect();
    assert_eq!(found.len(), 1, "blocks of console with `{text}`");
    found.remove(0).text
}

/// A text in which every one of these words is there, and replaced.
fn substituted(text: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(text.to_owned(), |text, (word, by)| {
        assert!(text.contains(word), "no {word} in: {text}");
        text.replace(word, by)
    })
}

/// Runs a script in an operator's folder, and gives what it prints.
fn shell(operator: &Operator, script: &str) -> String {
    // The binary is the script's name for itself.
    let script = format!("set -euo pipefail\nsluice() {{ \"$0\" \"$@\"; }}\n{script}");
    let ran = operator.wrapped(&["bash", "-xc", &script], &[]).output().unwrap();
    let (printed, messages) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{}: {printed}\n{messages}", ran.status);
    printed.into_owned()
}

fn here_document(file: &str, append: bool, text: &str) -> String {
    let into = if append { ">>" } else { ">" };
    format!("cat {into} {file} <<'END OF FILE'\n{}\nEND OF FILE\n", text.trim_end())
}

/// Serves until it does, and stops. The log is emptied first: what an earlier service wrote says nothing of this one.
fn serve_and_stop(command: &str) -> String {
    format!(
        ": > serve.log; {command} 2>> serve.log & serving=$!
until grep -q serving serve.log; do kill -0 $serving; sleep 0.1; done
kill $serving; wait $serving
"
    )
}

/// A block of `sh` as a script can run it: a service runs beside what follows it, and ends with the block.
fn runnable(block: &Block) -> String {
    let uses_api = block.text.contains("127.0.0.1:7420");
    let mut script = String::new();
    if uses_api {
        script.push_str("sluice serve & serving=$!\n");
        script.push_str("until curl -fs http://127.0.0.1:7420/readyz; do kill -0 $serving; sleep 0.1; done\n");
    }
    for line in block.text.lines() {
        match line.split('#').next().unwrap_or_default().trim() {
            command if command.starts_with("sluice serve") => script.push_str(&serve_and_stop(command)),
            "sluice status --fail-if-gaps" => script.push_str("sluice status --fail-if-gaps || [ $? = 1 ]\n"),
            _ => script.push_str(&format!("{line}\n")),
        }
    }
    if uses_api {
        script.push_str("kill $serving; wait $serving\n");
    }
    script
}

#[test]
fn the_commands_of_the_operators_manual_work_as_they_stand() {
    let runtime = runtime();
    let start = "2026-02-01T00:00:00Z".parse().unwrap();
    let options = Options { start, history_days: 20, rows_per_day: 2, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let account = simulator.accounts().iter().find(|account| account.network == "awin").unwrap();
    let (_, token) = account.secrets.iter().next().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();

    let mut script = "set -euo pipefail\n".to_owned();
    for block in blocks() {
        match (block.section.as_str(), block.language.as_str()) {
            ("Set up", "toml") => script.push_str(&here_document("sluice.toml", false, &block.text)),
            ("HTTP API", "toml") => script.push_str(&here_document("sluice.toml", true, &block.text)),
            ("Set up", "json") => {
                let mut network: Value = serde_json::from_str(&block.text).unwrap();
                network["base_url"] = simulator.origin("awin").into();
                // As often as the script asks.
                network["rate"] = json!({"requests": 1000, "per_secs": 60, "concurrency": 4});
                network["accounts"][0]["settings"] = serde_json::to_value(&account.settings).unwrap();
                script.push_str(&here_document("networks/awin.json", false, &network.to_string()));
            }
            (_, "sh") => script.push_str(&runnable(&block)),
            _ => {}
        }
    }
    for text in ["export AWIN_TOKEN=…", "--from-raw", "--role worker"] {
        assert!(script.contains(text), "no {text}: {script}");
    }
    let script = script
        .replace("export AWIN_TOKEN=…", &format!("export AWIN_TOKEN='{}'", token.replace('\'', r"'\''")))
        .replace(":7420", &format!(":{port}"));
    let folder = tempfile::tempdir().unwrap();
    let binaries = sluice_binary().parent().unwrap().display().to_string();
    let ran = Command::new("bash")
        .args(["-xc", &script])
        .current_dir(folder.path())
        .env("PATH", format!("{binaries}:{}", std::env::var("PATH").unwrap()))
        .env("SLUICE_CONNECTORS", std::path::absolute(connectors_dir()).unwrap())
        .output()
        .unwrap();
    let (printed, messages) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    // The last lines tell which command failed.
    let last = messages.lines().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
    assert!(ran.status.success(), "{}: {printed}\n{last}", ran.status);
    let restored = Operator::empty().unwrap();
    let lake = folder.path().join("sluice/lake").display().to_string();
    restored.write("sluice.toml", &format!("[lake]\nurl = \"file:{lake}\"\n")).unwrap();
    let rows = restored.sql("SELECT count(*) AS n FROM unified.transactions").unwrap();
    assert!(rows[0]["n"].as_u64().unwrap() > 0, "{rows:?}");
}

#[test]
fn every_block_has_a_language() {
    let without = blocks().into_iter().filter(|block| block.language.is_empty());
    assert_eq!(without.map(|block| block.text).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn commands_that_are_not_run_are_known_to_the_binary() {
    let operator = Operator::empty().unwrap();
    let mut known = 0;
    for block in blocks().iter().filter(|block| block.language == "console") {
        for line in block.text.lines().filter(|line| line.starts_with("sluice ")) {
            let line = line.split(" #").next().unwrap();
            let words = words(line.trim_start_matches("sluice "));
            let arguments: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
            assert_eq!(operator.sluice(&arguments).unwrap().code, 0, "{line}");
            known += 1;
        }
    }
    assert!(known >= 4, "{known}");
}

/// A line's words, as a shell splits them.
fn words(line: &str) -> Vec<String> {
    let printed = Command::new("bash").args(["-c", &format!("printf '%s\\n' {line}")]).output().unwrap();
    String::from_utf8(printed.stdout).unwrap().lines().map(str::to_owned).collect()
}
