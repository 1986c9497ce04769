//! From nothing to a connector that passes. Each test has a network of its own, since all build into one folder.

use std::path::PathBuf;

use sluice_tests::{Background, Operator, componentize_py, go, target_dir};

use super::{author, sdk};

#[test]
fn a_new_connector_builds_and_passes_at_once() {
    let operator = author();
    for language in ["declared", "rust"] {
        let folder = format!("corner-shop-{language}");
        let made = operator.succeed(&["new", &folder, "--language", language, "--sdk", &sdk()]).unwrap();
        assert_eq!(made, format!("made {folder}\nnext: sluice test {folder}\n"));
        let tested = operator.succeed(&["test", &folder]).unwrap();
        assert!(!tested.contains("FAILED") && tested.contains(&format!("{folder} 0.1.0: 5 cases, 8 rows")), "{tested}");
        let again = operator.sluice(&["new", &folder, "--sdk", &sdk()]).unwrap();
        assert!(again.code == 1 && again.stderr.contains("is there already"), "{}", again.stderr);
    }
    let lost = operator.sluice(&["new", "other"]).unwrap();
    assert!(lost.code == 2 && lost.stderr.contains("hint: add --sdk PATH"), "{}", lost.stderr);
}

/// Its tools are those that `just guests` installed: the folder asks no registry.
#[test]
fn a_new_connector_in_javascript_builds_and_passes_at_once() {
    let operator = author();
    let guests = std::env::var("SLUICE_GUESTS").map_or_else(|_| target_dir().join("guests"), PathBuf::from);
    operator.succeed(&["new", "pottery", "--language", "javascript"]).unwrap();
    let tools = std::path::absolute(guests.join("javascript-tools/node_modules")).unwrap();
    std::os::unix::fs::symlink(tools, operator.join("pottery/node_modules")).unwrap();
    let tested = operator.succeed(&["test", "pottery"]).unwrap();
    assert!(!tested.contains("FAILED") && tested.contains("pottery 0.1.0: 5 cases, 8 rows"), "{tested}");
}

/// Its tool is the one that `just tools` installed: the folder asks no registry.
#[test]
fn a_new_connector_in_python_builds_and_passes_at_once() {
    let operator = author();
    operator.succeed(&["new", "bakery", "--language", "python"]).unwrap();
    // Without the tool the command shows how to install it.
    let lost = operator.command(&["test", "bakery"]).env("PATH", "/nowhere").output().unwrap();
    let lost = String::from_utf8_lossy(&lost.stderr);
    assert!(lost.contains("hint: python3 -m venv bakery/.venv && bakery/.venv/bin/pip install -r"), "{lost}");
    std::os::unix::fs::symlink(componentize_py(), operator.join("bakery/.venv")).unwrap();
    let tested = operator.succeed(&["test", "bakery"]).unwrap();
    assert!(!tested.contains("FAILED") && tested.contains("bakery 0.1.0: 5 cases, 8 rows"), "{tested}");
}

/// Its tool is the one that `just tools` installed, and what it imports is in the folder: it asks no registry.
#[test]
fn a_new_connector_in_go_builds_and_passes_at_once() {
    let operator = go_author();
    operator.succeed(&["new", "grocery", "--language", "go"]).unwrap();
    // Without the tool the command shows how to install it.
    let lost = operator.command(&["test", "grocery"]).env("PATH", "/nowhere").output().unwrap();
    let lost = String::from_utf8_lossy(&lost.stderr);
    assert!(lost.contains("hint: python3 -m venv grocery/.venv && grocery/.venv/bin/pip install -r"), "{lost}");
    std::os::unix::fs::symlink(go(), operator.join("grocery/.venv")).unwrap();
    let tested = operator.succeed(&["test", "grocery"]).unwrap();
    assert!(!tested.contains("FAILED") && tested.contains("grocery 0.1.0: 5 cases, 8 rows"), "{tested}");
}

#[test]
fn what_a_connector_in_go_prints_goes_nowhere_and_its_panics_are_shown() {
    let operator = go_author();
    operator.succeed(&["new", "butcher", "--language", "go"]).unwrap();
    std::os::unix::fs::symlink(go(), operator.join("butcher/.venv")).unwrap();
    let path = operator.join("butcher/network/connector.go");
    let text = std::fs::read_to_string(&path).unwrap();
    let describe = "func Describe() manifests.Manifest {\n";
    let done = "return judged(responses.MakeVerdictDone())";
    assert!(text.contains(describe) && text.contains(done));
    std::fs::write(&path, text.replace(describe, &format!("{describe}\tprintln(\"words\")\n"))).unwrap();
    operator.succeed(&["test", "butcher", "--out", "butcher.wasm"]).unwrap();
    // It is loaded on a thread that drives the command's runtime.
    operator.succeed(&["connectors", "inspect", "butcher.wasm"]).unwrap();
    std::fs::write(&path, text.replace(done, "panic(\"no end\")")).unwrap();
    let tested = operator.sluice(&["test", "butcher"]).unwrap();
    let place = "failed in `follow`: connector/network/connector.go:";
    assert!(tested.code == 1 && tested.stdout.contains(place), "{}\n{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.contains(": no end"), "{}", tested.stdout);
}

/// An author whose Go asks no registry and keeps what it compiled for all tests.
fn go_author() -> Operator {
    let mut operator = author();
    operator.set("GOCACHE", &go().with_file_name("go-cache").display().to_string());
    operator.set("GOPROXY", "off");
    operator.set("GOTOOLCHAIN", "local");
    operator
}

#[test]
fn a_change_shows_what_it_changes_and_is_blessed() {
    let operator = author();
    operator.succeed(&["new", "bazaar", "--sdk", &sdk()]).unwrap();
    let path = operator.join("bazaar/network.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("open = \"pending unpaid\"", "open = \"approved unpaid\"")).unwrap();
    let wrong = operator.sluice(&["test", "bazaar"]).unwrap();
    assert_eq!(wrong.code, 1);
    let lines = ["-         \"validation_status\": \"pending\"", "+         \"validation_status\": \"approved\""];
    assert!(lines.iter().all(|line| wrong.stdout.contains(line)), "{}", wrong.stdout);
    assert!(wrong.stderr.contains("`--bless` takes it as expected"), "{}", wrong.stderr);
    let blessed = operator.succeed(&["test", "bazaar", "--bless"]).unwrap();
    assert!(blessed.contains("blessed bazaar/fixtures/normal/expected.json"), "{blessed}");
    operator.succeed(&["test", "bazaar"]).unwrap();
    // A mistake is the compiler's to explain, and nothing is blessed.
    std::fs::write(&path, text.replace("records = ", "recordz = ")).unwrap();
    let broken = operator.sluice(&["test", "bazaar", "--bless"]).unwrap();
    assert!(
        broken.code == 1 && broken.stderr.contains("error: network.toml:32: a stream needs one of `records`"),
        "{}",
        broken.stderr
    );
}

#[test]
fn a_change_is_built_and_shown_while_the_author_works() {
    let operator = author();
    operator.succeed(&["new", "kiosk", "--sdk", &sdk()]).unwrap();
    let dev = Background::start(operator.command(&["dev", "kiosk"])).unwrap();
    wait_for(&dev, "all of 6 expectations are met");
    let path = operator.join("kiosk/network.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("paid = \"approved paid\"", "paid = \"approved payable\"")).unwrap();
    wait_for(&dev, "+         \"payment_status\": \"payable\"");
    wait_for(&dev, "1 of 6 expectations differ");
    std::fs::write(&path, text.replace("records = ", "recordz = ")).unwrap();
    wait_for(&dev, "error: network.toml:32: a stream needs one of `records`");
    std::fs::write(&path, &text).unwrap();
    wait_for(&dev, "+         \"payment_status\": \"paid\"");
}

/// Waits until a command has printed something. It prints within the patience of whoever waits for a build.
fn wait_for(command: &Background, text: &str) {
    let printed = || [command.printed("stdout"), command.printed("stderr")].concat();
    let begun = std::time::Instant::now();
    while !printed().contains(text) {
        assert!(begun.elapsed().as_secs() < 400, "no `{text}` in:\n{}", printed());
        #[expect(clippy::disallowed_methods, reason = "another process is waited for")]
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Each check finds what it is about, and what it says of it.
#[test]
fn each_check_fails_for_a_connector_that_is_wrong() {
    let operator = author();
    operator.succeed(&["new", "stall", "--language", "rust", "--sdk", &sdk()]).unwrap();
    let path = operator.join("stall/src/lib.rs");
    let right = std::fs::read_to_string(&path).unwrap();
    for (check, found, from, to) in [
        ("windows", "the second begins at", "slice.window.until", "slice.window.until - 3_600_000_000"),
        ("windows", "before it", "slice.window.until", "slice.window.until + 86_400_000_000"),
        ("windows", "both ask for the same", "format_time(slice.window.", "format_time(0 * slice.window."),
        ("statuses", "and the row is \"approved\"", "status.validation", "ValidationStatus::Approved"),
        ("ids", "these are of several rows: 7", "record.required(ID)?", "record.required(SHOP)?"),
        (
            "order",
            "in two answers this row is another one",
            "status_raw,\n",
            "status_raw,\n        order_id: (record.index() == 1).then_some(\"x\"),\n",
        ),
        (
            "dates",
            "`sold_at` is 0000-00-00",
            "record.iso_time(SOLD)?",
            "record.filled(SOLD).and_then(|text| Time::iso(text).or(Time::iso(\"2026-01-01\")))",
        ),
        ("bodies", "an HTML page: it is taken for an answer", "by_status(response, None)", "done()"),
        ("inputs", "no fixture fills referrer", "\"ref\",\n}", "\"referrer\",\n}"),
    ] {
        assert!(right.contains(from), "nothing to break: {from}");
        std::fs::write(&path, right.replace(from, to)).unwrap();
        let answer = operator.sluice(&["test", "stall"]).unwrap();
        let failed = format!("FAILED  {check}:");
        assert!(
            answer.stdout.contains(&failed) && answer.stdout.contains(found),
            "{check}: {}\n{}",
            answer.stdout,
            answer.stderr
        );
    }
}
