//! An S3 server of this test alone: moto, in the version that `tests/tools/requirements.txt` pins.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::{Operator, python_tool, repository};

/// The bucket that is there from the start.
pub const BUCKET: &str = "lake";

/// A server on a free port of this machine, with everything in its memory; stopped when dropped.
pub struct S3Server {
    child: Child,
    address: String,
}

impl S3Server {
    /// Starts it and makes [`BUCKET`].
    ///
    /// # Errors
    /// Without the tools that `just tools` installs, or a server that doesn't answer.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// Starts one that makes [`BUCKET`] and refuses everything after that, as if no key were right.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_locked() -> anyhow::Result<Self> {
        Self::start_with(&[("INITIAL_NO_AUTH_ACTION_COUNT", "1")])
    }

    fn start_with(environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let program = python_tool("python");
        // Port 0: the system chooses one that is free, and the server says which.
        let mut child = Command::new(&program)
            .arg(repository().join("tests/tools/s3_server.py"))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("no {}: run `just tools`", program.display()))?;
        let log = child.stderr.take();
        let mut server = Self { child, address: String::new() };
        server.address = address(BufReader::new(log.context("the server has no log")?))?;
        server.make_bucket(BUCKET)?;
        Ok(server)
    }

    /// Where it answers, as `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same as `host:port`.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// What the `AWS_*` variables must be to reach it.
    pub fn environment(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test-key-that-is-secret".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ])
    }

    /// Moves an operator's lake to `s3://lake/<prefix>` on this server.
    ///
    /// # Errors
    /// A failure to write the settings.
    pub fn hold_lake_of(&self, operator: &mut Operator, prefix: &str) -> anyhow::Result<()> {
        self.share_lake_of(operator, prefix, "sqlite:./state.db")
    }

    /// Moves an operator's lake there, and its state to `state`.
    ///
    /// # Errors
    /// A failure to write the settings.
    pub fn share_lake_of(&self, operator: &mut Operator, prefix: &str, state: &str) -> anyhow::Result<()> {
        self.environment().iter().for_each(|(name, value)| operator.set(name, value));
        let settings = format!("[lake]\nurl = \"s3://{BUCKET}/{prefix}\"\n[state]\nurl = \"{state}\"\n");
        operator.write("sluice.toml", &settings)
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// A server that refuses.
    pub fn make_bucket(&self, name: &str) -> anyhow::Result<()> {
        let answer = self.ask("PUT", &format!("/{name}"))?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "the server makes no bucket `{name}`: {answer}");
        Ok(())
    }

    /// The names of all objects in [`BUCKET`] that begin with `prefix`.
    ///
    /// # Errors
    /// A server that refuses.
    pub fn objects(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        let mut after = String::new();
        loop {
            let answer = self.ask("GET", &format!("/{BUCKET}?list-type=2&prefix={prefix}&start-after={after}"))?;
            ensure!(answer.starts_with("HTTP/1.1 200"), "the server lists nothing: {answer}");
            let listed = answer.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
            names.extend(listed.map(|(name, _)| name.to_owned()));
            match names.last().filter(|_| answer.contains("<IsTruncated>true</IsTruncated>")) {
                // What a name holds of `=` and `+` means itself only so.
                Some(last) => after = last.replace('%', "%25").replace('=', "%3D").replace('+', "%2B"),
                None => return Ok(names),
            }
        }
    }

    fn ask(&self, method: &str, target: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        let host = &self.address;
        write!(stream, "{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the server says that it listens; what it says after that is read and forgotten, so that it never waits.
fn address(mut log: BufReader<impl Read + Send + 'static>) -> anyhow::Result<String> {
    let mut output = String::new();
    loop {
        let mut line = String::new();
        if log.read_line(&mut line)? == 0 {
            bail!("the S3 server ended:\n{output}");
        }
        if let Some((_, address)) = line.trim_end().split_once("Running on http://") {
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return Ok(address.trim_end_matches('/').to_owned());
        }
        output.push_str(&line);
    }
}
