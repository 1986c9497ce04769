//! Progress on a terminal, and nothing of it anywhere else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Stdio};

use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, runtime, whole_window};

const DAYS: u32 = 50;
/// What erases a line that was drawn.
const ERASED: &str = "\u{1b}[2K";

/// A network whose rate lets a run take seconds, so that something is drawn.
fn slow(simulator: &Simulator) -> Operator {
    let operator = Operator::of(simulator, &["awin"]).unwrap();
    let file = std::fs::read_to_string(operator.join("networks/awin.json")).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&file).unwrap();
    file["rate"] = serde_json::json!({"requests": 1, "per_secs": 1, "concurrency": 1});
    operator.write("networks/awin.json", &file.to_string()).unwrap();
    operator
}

/// What a command writes to a terminal.
fn on_a_terminal(operator: &Operator, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let command = operator.command(arguments);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &line.join(" "), "/dev/null"]).current_dir(operator.path());
    script.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    script.env("TERM", "xterm").envs(environment.iter().copied()).stdin(Stdio::null());
    let output = script.output().expect("`script` of util-linux");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn simulator() -> (tokio::runtime::Runtime, Simulator, [String; 2]) {
    let runtime = runtime();
    let options = Options { history_days: DAYS, rows_per_day: 4, ..Options::default() };
    let start = options.start;
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let window = whole_window(&simulator, start, DAYS.into());
    (runtime, simulator, window)
}

#[test]
fn a_terminal_shows_what_a_run_does_and_waits_for() {
    let (_runtime, simulator, [since, until]) = simulator();
    let operator = slow(&simulator);
    let run = ["run", "awin", "--account", "alpha", "--since", &since, "--until", &until];
    let seen = on_a_terminal(&operator, &run, &[]);
    for wanted in ["run awin [", " slices", "request", "awin/alpha waits", "rate limit", "new versions ("] {
        assert!(seen.contains(wanted), "no `{wanted}` in {seen:?}");
    }
    let last = seen.rfind("run awin [").unwrap();
    assert!(seen.rfind("awin: ").unwrap() > last, "the report comes after the bar: {seen:?}");
    let backfill = ["backfill", "awin", "--account", "beta", "--since", &since, "--until", &until];
    let seen = on_a_terminal(&operator, &backfill, &[]);
    for wanted in [" (1 of ", "): run awin [", " slice"] {
        assert!(seen.contains(wanted), "no `{wanted}` in {seen:?}");
    }
    // These may end before their stage is drawn.
    let build = on_a_terminal(&operator, &["build", "awin"], &[]);
    assert!(build.contains(ERASED) && build.contains("awin: "), "{build:?}");
    let maintain = on_a_terminal(&operator, &["maintain"], &[]);
    assert!(maintain.contains(ERASED) && maintain.contains("meta.runs: "), "{maintain:?}");
}

#[test]
fn neither_pipes_nor_dumb_terminals_nor_json_get_a_bar() {
    let (_runtime, simulator, [since, until]) = simulator();
    let operator = slow(&simulator);
    let run = ["run", "awin", "--account", "alpha", "--since", &since, "--until", &until];
    // The first answers bring a warning of fields that none of their records has, once.
    operator.succeed(&run).unwrap();
    let piped = operator.sluice(&run).unwrap();
    assert_eq!((piped.code, piped.stderr.as_str()), (0, ""), "{piped:?}");
    assert!(piped.stdout.starts_with("awin: ") && piped.stdout.lines().count() == 1, "{piped:?}");
    let dumb = on_a_terminal(&operator, &run, &[("TERM", "dumb")]);
    let json = on_a_terminal(&operator, &[&["--output", "json"], &run[..]].concat(), &[]);
    for seen in [&dumb, &json] {
        assert!(!seen.contains("run awin [") && !seen.contains('\u{1b}'), "{seen:?}");
    }
}

#[test]
fn only_terminals_get_colours() {
    let (_runtime, simulator, [since, until]) = simulator();
    let mut operator = Operator::of(&simulator, &["awin"]).unwrap();
    operator.set("SLUICE_LOG", "sluice_lake=info");
    let run = ["run", "awin", "--since", &since, "--until", &until];
    let piped = operator.sluice(&run).unwrap();
    assert!(piped.stderr.contains("appended") && !piped.stderr.contains('\u{1b}'), "{piped:?}");
    let coloured = |seen: &str| seen.lines().any(|line| line.contains("INFO") && line.contains("\u{1b}[32m"));
    let again = ["run", "awin", "--account", "beta", "--since", "2026-01-01", "--until", "2026-01-02"];
    operator.set("SLUICE_LOG", "sluice_runtime=debug,sluice_lake=debug,sluice_fetch=debug");
    operator.set("RUST_LOG_STYLE", "auto");
    let terminal = on_a_terminal(&operator, &again, &[]);
    assert!(terminal.contains("DEBUG") || terminal.contains("INFO"), "{terminal:?}");
    assert!(terminal.contains("\u{1b}[34m") || coloured(&terminal), "{terminal:?}");
    let plain = on_a_terminal(&operator, &again, &[("NO_COLOR", "1")]);
    assert!(plain.contains("DEBUG") && !plain.contains("\u{1b}[34m") && !coloured(&plain), "{plain:?}");
}
