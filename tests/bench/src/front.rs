//! Lets the simulator's one bulk account play many.
//!
//! The simulator's rows follow from the window alone. So account n is answered with the rows of a window that
//! begins n minutes later: its ids are its own, and its times lie in the window that was asked.
//!
//! The network advances from state to state. In each further one, a digit more stands before every commission.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Context;
use chrono::{NaiveDateTime, TimeDelta};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::http::Client;
use crate::network::FIRST_PUBLISHER;

/// What stands behind the front.
#[derive(Clone)]
pub(crate) struct Front {
    /// The simulator's Awin.
    pub(crate) behind: String,
    /// The publisher of its bulk account.
    pub(crate) publisher: String,
    /// The state that the network is in, up to 9.
    pub(crate) state: Arc<AtomicU8>,
}

/// What stands before the number of a commission.
pub(crate) const COMMISSION: &[u8] = b"\"commissionAmount\":{\"amount\":";

impl Front {
    /// Serves in tasks of this runtime, and tells where.
    pub(crate) async fn start(self) -> anyhow::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let front = self.clone();
                tokio::spawn(async move {
                    if let Err(error) = front.serve(stream).await {
                        eprintln!("network: {error:#}");
                    }
                });
            }
        });
        Ok(origin)
    }

    async fn serve(&self, stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let mut behind = Client::connect(&self.behind).await?;
        let mut body = Vec::new();
        while let Some((target, authorization)) = question(&mut stream).await? {
            let target = self.rewritten(&target).with_context(|| format!("cannot read {target}"))?;
            let status = behind.get(&target, &authorization, &mut body).await?;
            match self.state.load(Ordering::Relaxed) {
                0 => {}
                state => body = advanced(&body, b'0' + state),
            }
            let head = format!(
                "HTTP/1.1 {status} Status\r\ncontent-type: application/json;charset=UTF-8\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
        }
        Ok(())
    }

    /// The bulk account's target with a later start.
    fn rewritten(&self, target: &str) -> Option<String> {
        let publisher = target.split('/').nth(2)?;
        let account = publisher.parse::<usize>().ok()?.checked_sub(FIRST_PUBLISHER)?;
        let (head, rest) = target.split_once("startDate=")?;
        let (start, tail) = rest.split_once('&')?;
        let start = NaiveDateTime::parse_from_str(&start.replace("%3A", ":"), "%Y-%m-%dT%H:%M:%S").ok()?;
        let start = start + TimeDelta::minutes(i64::try_from(account).ok()?);
        let head = head.replacen(publisher, &self.publisher, 1);
        Some(format!("{head}startDate={}&{tail}", start.format("%Y-%m-%dT%H:%M:%S")))
    }
}

/// A body with a digit before every commission.
fn advanced(body: &[u8], digit: u8) -> Vec<u8> {
    let mut advanced = Vec::with_capacity(body.len() + 1024);
    let mut rest = body;
    while let Some(at) = find(rest, COMMISSION) {
        let (head, tail) = rest.split_at(at + COMMISSION.len());
        advanced.extend_from_slice(head);
        advanced.push(digit);
        rest = tail;
    }
    advanced.extend_from_slice(rest);
    advanced
}

/// Where a text begins in another one.
pub(crate) fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.iter().position(|byte| *byte == first)?;
        if text[at..].starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// The next request's target and credentials; none once the connection is closed.
async fn question(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<(String, String)>> {
    let (mut target, mut authorization, mut line) = (None, String::new(), String::new());
    loop {
        line.clear();
        // Whoever keeps connections may reset one that it no longer needs.
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return Ok(None);
        }
        let text = line.trim_end();
        match (&target, text.split_once(':')) {
            (None, _) => target = text.split(' ').nth(1).map(str::to_owned),
            (Some(_), _) if text.is_empty() => return Ok(target.map(|target| (target, authorization))),
            (_, Some((name, value))) if name.eq_ignore_ascii_case("authorization") => {
                authorization = value.trim().to_owned();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_gets_a_window_of_its_own() {
        let front = Front { behind: String::new(), publisher: "77".to_owned(), state: Arc::default() };
        let target =
            |account| format!("/publishers/100000{account}/transactions/?startDate=2025-01-01T00%3A00%3A00&x=1");
        let rewritten = |start| Some(format!("/publishers/77/transactions/?startDate=2025-01-01T{start}&x=1"));
        assert_eq!(front.rewritten(&target(0)), rewritten("00:00:00"));
        assert_eq!(front.rewritten(&target(9)), rewritten("00:09:00"));
        assert_eq!(front.rewritten("/publishers/5/transactions/?startDate=x&"), None);
    }

    #[test]
    fn a_digit_more_stands_before_every_commission() {
        let row = |amount| format!(r#"{{"id":1,"commissionAmount":{{"amount":{amount},"currency":"EUR"}}}}"#);
        let body = format!("[{},{}]", row("1.5"), row("20"));
        let expected = format!("[{},{}]", row("31.5"), row("320"));
        assert_eq!(advanced(body.as_bytes(), b'3'), expected.as_bytes());
    }
}
