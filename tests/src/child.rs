//! A command beside a test, which the test may stop and continue.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tempfile::TempDir;

/// How long something may take that has to come.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a tool prints that `just tools` installs and that reads its standard input to the end.
///
/// # Errors
/// A tool that isn't there.
pub(crate) fn output_for(mut command: Command, input: &str) -> anyhow::Result<Output> {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("no {:?}: run `just tools`", command.get_program()))?;
    // Dropped at once, which ends the input.
    child.stdin.take().context("no input")?.write_all(input.as_bytes())?;
    Ok(child.wait_with_output()?)
}

/// A running command, its output in files; killed when dropped.
pub struct Background {
    child: Option<Child>,
    pid: Pid,
    dir: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, or the signal that ended it.
    pub status: ExitStatus,
    /// Its data.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

impl Background {
    /// Starts a command.
    ///
    /// # Errors
    /// A binary that isn't built.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("sluice-output-").tempdir()?;
        let file = |name: &str| anyhow::Ok(Stdio::from(File::create(dir.path().join(name))?));
        let child = command.stdin(Stdio::null()).stdout(file("stdout")?).stderr(file("stderr")?).spawn();
        let child = child.with_context(|| format!("cannot run {:?}", command.get_program()))?;
        let pid = Pid::from_child(&child);
        Ok(Self { child: Some(child), pid, dir })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until it has stopped itself.
    ///
    /// # Errors
    /// What it printed if it ended instead.
    pub fn wait_until_stopped(&self) -> anyhow::Result<()> {
        match waitpid(Some(self.pid), WaitOptions::UNTRACED)? {
            Some((_, status)) if status.stopped() => Ok(()),
            other => bail!("it didn't stop but {other:?}:\n{}\n{}", self.printed("stdout"), self.printed("stderr")),
        }
    }

    /// Lets it continue.
    ///
    /// # Errors
    /// A process that is gone.
    pub fn go_on(&self) -> anyhow::Result<()> {
        Ok(kill_process(self.pid, Signal::CONT)?)
    }

    /// What it printed by now, to `stdout` or `stderr`.
    pub fn printed(&self, stream: &str) -> String {
        std::fs::read_to_string(self.output(stream)).unwrap_or_default()
    }

    fn output(&self, stream: &str) -> PathBuf {
        self.dir.path().join(stream)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What it printed if it doesn't end.
    pub fn end(mut self) -> anyhow::Result<Ended> {
        let mut child = self.child.take().context("it is waited for once")?;
        let (sender, ended) = channel();
        std::thread::spawn(move || sender.send(child.wait()));
        let status = match ended.recv_timeout(PATIENCE) {
            Ok(status) => status?,
            Err(_) => {
                // Its thread waits for it.
                let _ = kill_process(self.pid, Signal::KILL);
                bail!("it doesn't end:\n{}\n{}", self.printed("stdout"), self.printed("stderr"));
            }
        };
        Ok(Ended { status, stdout: self.printed("stdout"), stderr: self.printed("stderr") })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
