//! Commands of this binary that another one of it runs, in a process of its own: a query that takes too much ends that
//! process alone. Their result is on standard output, warnings and errors are on standard error, a line of JSON each.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

/// A command with the same settings, which ends with the future that waits for it.
///
/// # Errors
/// A binary that can't be found any more.
pub fn own_command(settings: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--config").arg(settings).args(["--output", "json"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}

/// The warnings among what a command printed on standard error.
pub fn warnings(messages: &str) -> Vec<Value> {
    let lines = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line.get("warning").is_some()).collect()
}
