//! HTTP/1.1 GET on one connection that is kept, and nothing more: at least as cheap as any client of a pipeline.

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const BUFFER: usize = 64 << 10;

/// A connection to one origin.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    host: String,
    line: String,
}

impl Client {
    /// Connects to `http://host:port`.
    pub(crate) async fn connect(origin: &str) -> anyhow::Result<Self> {
        let host = origin.strip_prefix("http://").context("an origin begins with http://")?;
        let host = host.trim_end_matches('/').to_owned();
        let stream = TcpStream::connect(&host).await.with_context(|| format!("cannot connect to {host}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::with_capacity(BUFFER, stream), host, line: String::new() })
    }

    /// The status of the answer, whose body replaces what is in `body`.
    pub(crate) async fn get(&mut self, target: &str, authorization: &str, body: &mut Vec<u8>) -> anyhow::Result<u16> {
        let host = &self.host;
        let head = format!(
            "GET {target} HTTP/1.1\r\nhost: {host}\r\nauthorization: {authorization}\r\naccept: application/json\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes()).await?;
        let status = self.line().await?.split(' ').nth(1).and_then(|word| word.parse().ok()).context("no status")?;
        let mut length = None;
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            if let Some(("content-length", value)) = line.split_once(':') {
                length = Some(value.trim().parse()?);
            }
        }
        let Some(length) = length else { bail!("the answer to {target} doesn't tell its length") };
        body.resize(length, 0);
        self.stream.read_exact(body).await?;
        Ok(status)
    }

    async fn line(&mut self) -> anyhow::Result<&str> {
        self.line.clear();
        if self.stream.read_line(&mut self.line).await? == 0 {
            bail!("the connection to {} was closed", self.host);
        }
        Ok(self.line.trim_end())
    }
}
