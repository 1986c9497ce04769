//! The commands of `docs/connectors.md`, from nothing to a running connector, run in their order as they stand.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;
use std::process::Command;

use sluice_tests::{Block, Operator, blocks, repository, sluice_binary, target_dir};

/// The part of the page that is run.
const PART: &str = "## From nothing to a running connector";

fn page() -> String {
    std::fs::read_to_string(repository().join("docs/connectors.md")).unwrap()
}

/// The part of the page below its heading.
fn part(page: &str) -> &str {
    let (_, rest) = page.split_once(PART).expect("the page has the tutorial");
    rest.split("\n## ").next().unwrap()
}

/// The part as a script: files are written, commands are run.
fn script(port: u16) -> String {
    let mut script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n".to_owned();
    for Block { above, language, text, .. } in blocks(part(&page())) {
        match language.as_str() {
            "sh" => script.push_str(&text),
            "json" | "toml" => {
                let file = above.split('`').nth(1).unwrap_or_else(|| panic!("no file is named: {above}"));
                script.push_str(&format!("mkdir -p $(dirname {file})\ncat > {file} <<'END'\n{text}END\n"));
            }
            _ => {}
        }
    }
    let sdk = repository().join("sdk").canonicalize().unwrap().display().to_string();
    // What is installed already isn't installed, and the network's server is waited for.
    let serving =
        format!("--bind 127.0.0.1) &\nuntil (: < /dev/tcp/127.0.0.1/{port}) 2> /dev/null; do kill -0 $!; done");
    script
        .replace("rustup target add wasm32-unknown-unknown\n", "")
        .replace("../sluice/sdk", &sdk)
        .replace("--bind 127.0.0.1) &", &serving)
        .replace("8765", &port.to_string())
}

#[test]
fn the_commands_of_the_tutorial_work_as_they_stand() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let binaries = sluice_binary().parent().unwrap().display().to_string();
    let script = script(port);
    assert!(script.contains("sluice new brightlink") && script.contains("sluice replay"), "{script}");
    let ran = Command::new("bash")
        .args(["-xc", &script])
        .current_dir(folder.path())
        .env("PATH", format!("{binaries}:{}", std::env::var("PATH").unwrap()))
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", target_dir().join("authors"))
        .output()
        .unwrap();
    let (printed, messages) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{printed}\n{messages}");
    assert!(messages.contains("unknown status word") && messages.contains("returned"), "{messages}");
    assert!(printed.contains(" rows/s of its fixtures on one core"), "{printed}");
    let lake = folder.path().join("brightlink/try/lake").display().to_string();
    let operator = Operator::empty().unwrap();
    operator.write("sluice.toml", &format!("[lake]\nurl = \"file:{lake}\"\n")).unwrap();
    let rows = operator
        .sql("SELECT transaction_id, validation_status AS status FROM unified.transactions ORDER BY 1")
        .unwrap();
    let statuses: Vec<_> = rows.iter().map(|row| row["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["pending", "approved", "declined"], "{printed}");
}

/// Commands of the page that aren't run are known to the binary.
#[test]
fn other_commands_of_the_page_are_known_to_the_binary() {
    let operator = Operator::empty().unwrap();
    let mut known = 0;
    for Block { language, text, .. } in blocks(&page()) {
        if language != "console" {
            continue;
        }
        for line in text.lines().filter_map(|line| line.strip_prefix("sluice ")) {
            let words: Vec<&str> = line.split(' ').collect();
            let help = [&words[..], &["--help"]].concat();
            assert_eq!(operator.sluice(&help).unwrap().code, 0, "{line}");
            known += 1;
        }
    }
    assert!(known >= 2, "{known}");
}

/// What the page shows is what `sluice new` makes, and which checks it lists is which there are.
#[test]
fn the_page_shows_the_templates_and_the_checks() {
    let page = page();
    for file in ["declared/network.toml", "rust/lib.rs"] {
        let template = std::fs::read_to_string(repository().join("host/kit/templates").join(file)).unwrap();
        assert!(page.contains(&template), "docs/connectors.md doesn't show host/kit/templates/{file} as it is");
    }
    for (check, meaning) in sluice_kit::CHECKS {
        assert!(
            page.contains(&format!("| {check} | {meaning} |")),
            "docs/connectors.md: no check `{check}`: {meaning}"
        );
    }
}
