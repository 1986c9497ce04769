//! Commands of this binary that another one of it runs, in a process of its own: a query that takes too much ends that
//! process alone, and its runs come first. Their result is on standard output, warnings and errors are on standard error, a line of JSON each.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

/// Says to a process that another one of this binary started it.
const IS_OWN_COMMAND: &str = "SLUICE_OWN_COMMAND";
/// How much lower its priority is: two queries that keep all cores busy leave most of them to runs.
const NICENESS: i32 = 5;

/// Lowers the priority of this process if another one of this binary started it. To be called before it has threads, which
/// take their own from it.
pub fn step_back() {
    if std::env::var_os(IS_OWN_COMMAND).is_some() {
        // What the system refuses stays as it is.
        let _ = rustix::process::nice(NICENESS);
    }
}

/// A command with the same settings, which ends with the future that waits for it.
///
/// # Errors
/// A binary that can't be found any more.
pub fn own_command(settings: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--config").arg(settings).args(["--output", "json"]).args(arguments);
    command
        .env(IS_OWN_COMMAND, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

/// The header with warnings of what an answer may lack, a JSON array.
pub const WARNINGS_HEADER: &str = "sluice-warnings";
/// The longest header with warnings.
const MAX_HEADER_BYTES: usize = 4_096;

/// Warnings as the text of a header, in ASCII: as many as fit, and the number of the others, with those that one of them
/// stands for. None if there is none.
pub fn warnings_header(warnings: &[Value]) -> Option<String> {
    if warnings.is_empty() {
        return None;
    }
    let header = |shown: usize| {
        let mut listed = warnings[..shown].to_vec();
        if shown < warnings.len() {
            let others: u64 = warnings[shown..].iter().map(|warning| warning["more"].as_u64().unwrap_or(1)).sum();
            listed.push(serde_json::json!({"warning": format!("and {others} more")}));
        }
        let json = Value::Array(listed).to_string();
        json.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect::<String>()
    };
    (0..=warnings.len()).rev().map(header).find(|text| text.len() <= MAX_HEADER_BYTES)
}

/// The warnings among what a command printed on standard error.
pub fn warnings(messages: &str) -> Vec<Value> {
    let lines = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line.get("warning").is_some()).collect()
}
