//! What a child process used up.
//!
//! CPU seconds are the kernel's own account of children that were waited for (`cutime` and `cstime` of
//! `/proc/self/stat`, the numbers of `getrusage(RUSAGE_CHILDREN)`): exact to its tick of 10 ms, grandchildren
//! included. The peak is `VmHWM` of `/proc/<pid>/status`, which the kernel keeps and which only grows; it's read
//! every 20 ms, so that only what the last 20 ms added is missed. What is resident at the end is the last `VmRSS`.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Serialize;

const LOOK: Duration = Duration::from_millis(20);
/// Linux tells user space ticks of 10 ms whatever its own are.
const TICKS_PER_SEC: f64 = 100.0;

/// What a process used up.
#[derive(Clone, Copy, Default, Serialize)]
pub(crate) struct Usage {
    /// User and system time of all its threads.
    pub(crate) cpu_secs: f64,
    /// From start to end.
    pub(crate) wall_secs: f64,
    /// Most memory resident at once.
    pub(crate) peak_mib: f64,
    /// Memory resident at the end.
    pub(crate) resident_mib: f64,
}

/// What the kernel says of a process's memory, in KiB.
#[derive(Clone, Copy, Default)]
struct Memory {
    peak: u64,
    resident: u64,
}

/// Runs a command that must succeed to its end, and gives what it printed and what it used up. `dir` takes its
/// output, so that no pipe holds it up.
pub(crate) fn measure(command: &mut Command, dir: &Path) -> anyhow::Result<(String, Usage)> {
    let (out, errors) = (dir.join("stdout"), dir.join("stderr"));
    command.stdout(File::create(&out)?).stderr(File::create(&errors)?);
    let before = children_ticks()?;
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let (status, memory) = wait_measured(&mut child)?;
    let wall_secs = start.elapsed().as_secs_f64();
    let cpu_secs = (children_ticks()? - before) as f64 / TICKS_PER_SEC;
    let (out, errors) = (std::fs::read_to_string(out)?, std::fs::read_to_string(errors)?);
    ensure!(status.success(), "{:?} ended with {status}:\n{out}\n{errors}", command.get_program());
    Ok((out, memory.usage(cpu_secs, wall_secs)))
}

/// What a process that still runs used up since `start`.
pub(crate) fn of_running(child: &Child, start: Instant) -> anyhow::Result<Usage> {
    let wall_secs = start.elapsed().as_secs_f64();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    let ticks = sum_of_two(&stat, 14).context("cannot read its /proc/…/stat")?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let mut memory = Memory::default();
    memory.look(&status);
    Ok(memory.usage(ticks as f64 / TICKS_PER_SEC, wall_secs))
}

impl Memory {
    /// Takes note of what a process's status says; one that has ended says nothing.
    fn look(&mut self, status: &str) {
        self.peak = kib(status, "VmHWM:").unwrap_or(0).max(self.peak);
        self.resident = kib(status, "VmRSS:").unwrap_or(self.resident);
    }

    fn usage(self, cpu_secs: f64, wall_secs: f64) -> Usage {
        let [peak_mib, resident_mib] = [self.peak, self.resident].map(|kib| kib as f64 / 1024.0);
        Usage { cpu_secs, wall_secs, peak_mib, resident_mib }
    }
}

fn wait_measured(child: &mut Child) -> anyhow::Result<(ExitStatus, Memory)> {
    let status_file = format!("/proc/{}/status", child.id());
    let mut memory = Memory::default();
    loop {
        memory.look(&std::fs::read_to_string(&status_file).unwrap_or_default());
        if let Some(status) = child.try_wait()? {
            return Ok((status, memory));
        }
        #[expect(clippy::disallowed_methods, reason = "memory of another process is only seen by looking")]
        std::thread::sleep(LOOK);
    }
}

fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// CPU seconds that this process itself used up by now.
pub(crate) fn own_cpu_secs() -> anyhow::Result<f64> {
    Ok(ticks(14)? as f64 / TICKS_PER_SEC)
}

fn children_ticks() -> anyhow::Result<u64> {
    ticks(16)
}

fn ticks(first_field: usize) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/stat").context("the bench needs Linux' /proc")?;
    sum_of_two(&text, first_field).context("cannot read /proc/self/stat")
}

/// User and system time stand side by side.
fn sum_of_two(stat: &str, first_field: usize) -> Option<u64> {
    // After the name in parentheses, which may hold anything, stands the third field.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(field(first_field)? + field(first_field + 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 5 6 0 0 11 12 130 14 20 0 1 0 99";
        assert_eq!((sum_of_two(stat, 14), sum_of_two(stat, 16)), (Some(23), Some(144)));
        assert_eq!(kib("Name:\tx\nVmHWM:\t    2048 kB\n", "VmHWM:"), Some(2048));
        assert_eq!(kib("Name:\tx\nState:\tZ (zombie)\n", "VmHWM:"), None);
    }
}
