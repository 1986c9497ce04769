//! A mail server on loopback that keeps what it gets.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A running server. Its threads end with the test.
pub struct MailReceiver {
    address: SocketAddr,
    mails: Arc<Mutex<Vec<String>>>,
}

impl MailReceiver {
    /// Starts it.
    ///
    /// # Errors
    /// No port to listen on.
    pub fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = mails.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                std::thread::spawn(move || converse(stream, &kept));
            }
        });
        Ok(Self { address, mails })
    }

    /// Where it listens: `smtp://127.0.0.1:…`.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Envelope, headers and text of the mails that it got.
    pub fn mails(&self) -> Vec<String> {
        self.mails.lock().map(|mails| mails.clone()).unwrap_or_default()
    }
}

fn converse(mut stream: TcpStream, mails: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    stream.write_all(b"220 localhost\r\n")?;
    let mut envelope = String::new();
    while let Some(line) = lines.next().transpose()? {
        let answer = match line.split([' ', ':']).next().unwrap_or_default().to_uppercase().as_str() {
            "EHLO" => "250-localhost\r\n250 8BITMIME\r\n",
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                let text: Vec<String> = lines.by_ref().map_while(Result::ok).take_while(|line| line != ".").collect();
                if let Ok(mut mails) = mails.lock() {
                    mails.push(format!("{envelope}{}", text.join("\n")));
                }
                envelope.clear();
                "250 taken\r\n"
            }
            "QUIT" => {
                return stream.write_all(b"221 bye\r\n");
            }
            "MAIL" | "RCPT" => {
                envelope.push_str(&format!("{line}\n"));
                "250 ok\r\n"
            }
            _ => "250 ok\r\n",
        };
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}
