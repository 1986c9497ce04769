//! A server that answers by a function, closes the connection after every answer, and records its requests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl ReceivedRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    framing: Framing,
    together: bool,
}

impl Reply {
    pub(crate) fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let framing = Framing::Length(body.len());
        Self { status, headers: Vec::new(), body, framing, together: false }
    }

    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200, body)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// States another length than the body has.
    pub(crate) fn announcing(self, bytes: usize) -> Self {
        Self { framing: Framing::Length(bytes), ..self }
    }

    /// In one chunk, and the last one.
    pub(crate) fn chunked(self) -> Self {
        Self { framing: Framing::Chunked, ..self }
    }

    /// In one chunk, without the last one.
    pub(crate) fn cut_chunks(self) -> Self {
        Self { framing: Framing::CutChunks, ..self }
    }

    /// Without a length: the end of the connection ends the body.
    pub(crate) fn until_close(self) -> Self {
        Self { framing: Framing::Close, ..self }
    }

    /// Waits until a second request has arrived, or for as long as one may need.
    pub(crate) fn after_two_have_arrived(mut self) -> Self {
        self.together = true;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let chunk = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", self.body.len());
        let (start, end): (String, &[u8]) = match self.framing {
            Framing::Length(bytes) => (format!("Content-Length: {bytes}\r\n\r\n"), b""),
            Framing::Chunked => (chunk, b"\r\n0\r\n\r\n"),
            Framing::CutChunks => (chunk, b""),
            Framing::Close => ("\r\n".to_owned(), b""),
        };
        head.push_str(&start);
        [head.as_bytes(), &self.body, end].concat()
    }
}

/// How the end of a body is marked.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length(usize),
    Chunked,
    CutChunks,
    Close,
}

struct Inner {
    answer: Box<dyn Fn(&ReceivedRequest) -> Reply + Send + Sync>,
    seen: Mutex<Vec<ReceivedRequest>>,
    now: AtomicUsize,
    most: AtomicUsize,
    arrived: Notify,
}

/// A running server; it stops with its runtime.
pub(crate) struct Server {
    inner: Arc<Inner>,
    address: std::net::SocketAddr,
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(&ReceivedRequest) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            answer: Box::new(answer),
            seen: Mutex::default(),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            arrived: Notify::new(),
        });
        let shared = Arc::clone(&inner);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { inner, address }
    }

    pub(crate) fn url(&self) -> url::Url {
        format!("http://{}/", self.address).parse().unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<ReceivedRequest> {
        self.inner.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path() == path).count()
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.inner.most.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, inner: Arc<Inner>) {
    let Some(seen) = read(&mut stream).await else { return };
    let now = inner.now.fetch_add(1, Ordering::SeqCst) + 1;
    inner.most.fetch_max(now, Ordering::SeqCst);
    inner.arrived.notify_waiters();
    let reply = (inner.answer)(&seen);
    inner.seen.lock().unwrap().push(seen);
    if reply.together && now < 2 {
        // A single request waits for so long; two that may overlap meet long before.
        let _ = tokio::time::timeout(Duration::from_millis(300), inner.arrived.notified()).await;
    }
    inner.now.fetch_sub(1, Ordering::SeqCst);
    let _ = stream.write_all(&reply.bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<ReceivedRequest> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(ReceivedRequest { line, headers, body })
}
