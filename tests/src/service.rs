//! The real service beside a test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;

use crate::Operator;

/// How long something may take that has to come.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long the last lines of a process may take that has ended.
const LAST_LINES: Duration = Duration::from_secs(10);

/// A running `sluice serve`, killed when dropped.
pub struct Service {
    child: Child,
    log: Receiver<String>,
    seen: String,
}

impl Service {
    /// Starts it in an operator's folder.
    ///
    /// # Errors
    /// A binary that isn't built.
    pub fn start(operator: &Operator) -> anyhow::Result<Self> {
        Self::start_as(operator, &[])
    }

    /// The same with further arguments, such as its roles.
    ///
    /// # Errors
    /// A binary that isn't built.
    pub fn start_as(operator: &Operator, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::run(operator.command(&[&["serve"], arguments].concat()))
    }

    /// The same by a command that ends up as the service.
    ///
    /// # Errors
    /// A program that isn't there.
    pub fn run(mut command: Command) -> anyhow::Result<Self> {
        command
            .env(
                "SLUICE_LOG",
                "sluice_runtime=info,sluice_registry=info,sluice_state=info,sluice_engine=info,sluice_server=info,sluice_wire=info,sluice_flight=info,sluice_query=info",
            )
            .env("NO_COLOR", "1");
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().context("no binary")?;
        let lines = BufReader::new(child.stderr.take().context("no log")?).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Self { child, log, seen: String::new() })
    }

    /// Reads the log until a line holds all of `words`, and gives that line.
    ///
    /// # Errors
    /// The log, if the line never came.
    pub fn wait_for(&mut self, words: &[&str]) -> anyhow::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.line(deadline).with_context(|| format!("no line with {words:?} in:\n{}", self.seen))?;
            if words.iter().all(|word| line.contains(word)) {
                return Ok(line);
            }
        }
    }

    /// Reads the log until for each wish a line has come that holds both of its texts.
    ///
    /// # Errors
    /// The wishes that none granted, and the log.
    pub fn wait_for_all(&mut self, wishes: &[(String, String)]) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut open: Vec<&(String, String)> = wishes.iter().collect();
        while !open.is_empty() {
            let line =
                self.line(deadline).with_context(|| format!("no line of the log has {open:?}:\n{}", self.seen))?;
            open.retain(|(name, words)| !(line.contains(name.as_str()) && line.contains(words.as_str())));
        }
        Ok(())
    }

    /// A text in a log line is quoted, and quotes in it escaped: here they aren't.
    fn line(&mut self, deadline: Instant) -> anyhow::Result<String> {
        let line = self.log.recv_timeout(deadline.saturating_duration_since(Instant::now()))?;
        let line = line.replace("\\\"", "\"").replace("\\\\", "\\");
        self.seen.push_str(&line);
        self.seen.push('\n');
        Ok(line)
    }

    /// The log up to now.
    pub fn log(&mut self) -> &str {
        while self.line(Instant::now()).is_ok() {}
        &self.seen
    }

    /// The log of one that has ended, to its last line.
    pub fn whole_log(&mut self) -> &str {
        let deadline = Instant::now() + LAST_LINES;
        while self.line(deadline).is_ok() {}
        &self.seen
    }

    /// What of the log was read.
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, as an operator or a scheduler of containers does, and gives its exit code once it has.
    ///
    /// # Errors
    /// A process that is gone.
    pub fn terminate(&mut self) -> anyhow::Result<Option<i32>> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        Ok(self.child.wait()?.code())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// A process that can't be waited for.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it as a machine does that has no time for it, whatever it is about.
    ///
    /// # Errors
    /// A process that is gone.
    pub fn pause(&self) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP)?;
        let stopped = waitpid(Some(pid), WaitOptions::UNTRACED)?;
        ensure!(stopped.is_some_and(|(_, status)| status.stopped()), "it didn't stop: {stopped:?}");
        Ok(())
    }

    /// Lets it continue.
    ///
    /// # Errors
    /// A process that is gone.
    pub fn go_on(&self) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::CONT)?)
    }

    /// What `sluice status` says of it.
    ///
    /// # Errors
    /// A status that doesn't know it.
    pub fn vitals(&self, operator: &Operator) -> anyhow::Result<Value> {
        let status: Value = serde_json::from_str(&operator.succeed(&["--output", "json", "status"])?)?;
        let services = status["services"].as_array().context("no services")?;
        match services.iter().find(|service| service["process"] == self.child.id()) {
            Some(service) => Ok(service.clone()),
            None => bail!("process {} isn't in {status:#}", self.child.id()),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
