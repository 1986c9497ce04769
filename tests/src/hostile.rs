//! A server that does whatever a test tells it, byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

type Behaviour = dyn Fn(&Ask, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Ask {
    /// How many came before it.
    pub number: usize,
    /// Its first line and its headers.
    pub head: String,
    /// Its body.
    pub body: String,
}

/// A running server. Its threads end with the test.
pub struct HostileServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Ask>>>,
}

impl HostileServer {
    /// Starts it. `behaviour` writes to the connection what it likes; an error, or its end, closes it.
    ///
    /// # Errors
    /// No port to listen on.
    pub fn start(
        behaviour: impl Fn(&Ask, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, count, behaviour) = (asked.clone(), Arc::new(AtomicUsize::new(0)), Arc::new(behaviour));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, count, behaviour) = (seen.clone(), count.clone(), behaviour.clone());
                std::thread::spawn(move || serve(stream, &seen, &count, behaviour.as_ref()));
            }
        });
        Ok(Self { address, asked })
    }

    /// A server that answers everything with the same bytes.
    ///
    /// # Errors
    /// No port to listen on.
    pub fn saying(answer: Vec<u8>) -> anyhow::Result<Self> {
        Self::start(move |_, stream| stream.write_all(&answer))
    }

    /// Its origin.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked.
    pub fn asked(&self) -> Vec<Ask> {
        self.asked.lock().map(|asked| asked.clone()).unwrap_or_default()
    }
}

/// One answer per connection: whoever asks again connects again.
fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Ask>>,
    count: &AtomicUsize,
    behaviour: &Behaviour,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let number = count.fetch_add(1, Ordering::SeqCst);
    let ask = Ask { number, head, body: String::from_utf8_lossy(&body).into_owned() };
    if let Ok(mut seen) = seen.lock() {
        seen.push(ask.clone());
    }
    behaviour(&ask, &mut stream)?;
    stream.flush()
}

/// A whole HTTP response that closes its connection.
pub fn response(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    [head.as_bytes(), b"\r\n", body].concat()
}
