//! Mail servers on loopback that keep what they get.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::python_tool;

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

/// A running server that takes mail by STARTTLS alone, by a TLS that isn't ours; killed when dropped.
pub struct SecureMailReceiver {
    child: Child,
    port: String,
    dir: TempDir,
}

const SECURE_SERVER: &str = r#"
import socket, ssl, sys
folder, offers = sys.argv[1], sys.argv[2] == 'offered'
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + '/cert.pem', folder + '/key.pem')
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
def serve(stream):
    secure, lines = False, stream.makefile('rb')
    stream.sendall(b'220 localhost\r\n')
    while line := lines.readline():
        command = line.split()[0].upper()
        if command == b'STARTTLS':
            stream.sendall(b'220 go on\r\n')
            stream = context.wrap_socket(stream, server_side=True)
            secure, lines = True, stream.makefile('rb')
        elif command == b'EHLO':
            own = b'250-STARTTLS\r\n' if offers and not secure else b'250-8BITMIME\r\n'
            stream.sendall(b'250-localhost\r\n' + own + b'250 AUTH PLAIN\r\n')
        elif command == b'DATA' and secure:
            stream.sendall(b'354 go on\r\n')
            text = b''
            while (line := lines.readline()) not in (b'.\r\n', b''):
                text += line
            open(folder + '/mails', 'ab').write(text)
            stream.sendall(b'250 taken\r\n')
        elif command == b'AUTH':
            open(folder + ('/secret' if secure else '/leaked'), 'ab').write(line)
            stream.sendall(b'235 ok\r\n')
        elif secure or command == b'QUIT':
            stream.sendall(b'250 ok\r\n')
        else:
            open(folder + '/leaked', 'ab').write(line)
            stream.sendall(b'530 not in the clear\r\n')
while True:
    try:
        serve(listener.accept()[0])
    except (OSError, IndexError):
        pass
"#;

impl SecureMailReceiver {
    /// Starts it, with a certificate of `localhost` that it signed itself. `offers`: whether it says that it knows STARTTLS.
    ///
    /// # Errors
    /// No Python, or no OpenSSL.
    pub fn start(offers: bool) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("sluice-mail-").tempdir()?;
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(dir.path())
            .output()
            .context("no OpenSSL")?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let offers = if offers { "offered" } else { "hidden" };
        let mut server = Command::new(python_tool("python"));
        server.args(["-c", SECURE_SERVER]).arg(dir.path()).arg(offers).stdout(Stdio::piped());
        let mut child = server.spawn().context("no Python: run `just tools`")?;
        let mut port = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut port)?;
        Ok(Self { child, port: port.trim().to_owned(), dir })
    }

    /// Where it listens: `smtp+starttls://localhost:…`.
    pub fn url(&self) -> String {
        format!("smtp+starttls://localhost:{}", self.port)
    }

    /// The certificate by which it is known.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// What it got: `mails`, what signed in over TLS (`secret`), or what came in the clear (`leaked`).
    pub fn got(&self, what: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(what)).unwrap_or_default()
    }
}

impl Drop for SecureMailReceiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
