//! The first messages of a connection, before anybody is known:
//! <https://www.postgresql.org/docs/16/protocol-message-formats.html>.

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest first message, as PostgreSQL has it.
const MAX_STARTUP_BYTES: usize = 10_000;
/// The longest message of a login.
const MAX_LOGIN_BYTES: usize = 4_096;
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
/// Version 3.0 of the protocol.
const VERSION: u32 = 3 << 16;
/// Further wishes before the first message, such as for encryption.
const MAX_WISHES: usize = 4;

/// How a client opens its connection.
pub(super) enum Opening {
    Startup(Startup),
    Cancel {
        process: i32,
        secret: i32,
    },
    /// What isn't spoken here.
    Refused(String),
}

/// Who wants to be let in.
pub(super) struct Startup {
    pub(super) parameters: Vec<(String, String)>,
}

/// Reads exactly the first message: what comes after is for others.
///
/// # Errors
/// A client that is gone or sends something else.
pub(super) async fn read(socket: &mut TcpStream) -> std::io::Result<Opening> {
    for _ in 0..MAX_WISHES {
        let length = socket.read_u32().await? as usize;
        if !(8..=MAX_STARTUP_BYTES).contains(&length) {
            return Err(malformed());
        }
        let mut body = BytesMut::zeroed(length - 4);
        socket.read_exact(&mut body).await?;
        let code = body.get_u32();
        match code {
            // Not encrypted here: a client that wants that goes.
            SSL | GSS if body.is_empty() => socket.write_all(b"N").await?,
            CANCEL if body.len() == 8 => {
                return Ok(Opening::Cancel { process: body.get_i32(), secret: body.get_i32() });
            }
            version if version >> 16 == 3 => {
                let parameters = parameters(&body).ok_or_else(malformed)?;
                if version > VERSION || parameters.iter().any(|(name, _)| name.starts_with("_pq_.")) {
                    negotiate(socket, &parameters).await?;
                }
                return Ok(Opening::Startup(Startup { parameters }));
            }
            version => {
                return Ok(Opening::Refused(format!(
                    "version {}.{} of the protocol isn't spoken",
                    version >> 16,
                    version & 0xFFFF
                )));
            }
        }
    }
    Err(malformed())
}

/// `name\0value\0 … \0`
fn parameters(body: &[u8]) -> Option<Vec<(String, String)>> {
    let texts: Vec<&str> = body.split(|byte| *byte == 0).map(std::str::from_utf8).collect::<Result<_, _>>().ok()?;
    let end = texts.iter().step_by(2).position(|name| name.is_empty())?;
    let pairs = texts.chunks_exact(2).take(end);
    Some(pairs.map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect())
}

/// Tells a client of a later version which one is spoken, and which of its options aren't known.
async fn negotiate(socket: &mut TcpStream, parameters: &[(String, String)]) -> std::io::Result<()> {
    let unknown: Vec<&str> =
        parameters.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("_pq_.")).collect();
    let mut body = BytesMut::new();
    body.put_u32(VERSION);
    body.put_u32(unknown.len() as u32);
    for name in unknown {
        body.put_slice(name.as_bytes());
        body.put_u8(0);
    }
    send(socket, b'v', &body).await
}

/// Sends a message.
///
/// # Errors
/// A client that is gone.
pub(super) async fn send(socket: &mut TcpStream, kind: u8, body: &[u8]) -> std::io::Result<()> {
    socket.write_all(&message_of(kind, body)).await
}

fn message_of(kind: u8, body: &[u8]) -> BytesMut {
    let mut message = BytesMut::with_capacity(body.len() + 5);
    message.put_u8(kind);
    message.put_u32(body.len() as u32 + 4);
    message.put_slice(body);
    message
}

/// Reads a message of a kind.
///
/// # Errors
/// A client that is gone or sends something else.
pub(super) async fn receive(socket: &mut TcpStream, kind: u8) -> std::io::Result<BytesMut> {
    if socket.read_u8().await? != kind {
        return Err(malformed());
    }
    let length = socket.read_u32().await? as usize;
    if !(4..=MAX_LOGIN_BYTES).contains(&length) {
        return Err(malformed());
    }
    let mut body = BytesMut::zeroed(length - 4);
    socket.read_exact(&mut body).await?;
    Ok(body)
}

/// Sends a fatal error.
///
/// # Errors
/// A client that is gone.
pub(super) async fn refuse(
    socket: &mut TcpStream,
    code: &str,
    message: &str,
    hint: Option<&str>,
) -> std::io::Result<()> {
    socket.write_all(&error_message(code, message, hint)).await?;
    socket.shutdown().await
}

/// A fatal error.
pub(super) fn error_message(code: &str, message: &str, hint: Option<&str>) -> BytesMut {
    let mut body = BytesMut::new();
    let fields = [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', code), (b'M', message)];
    for (field, text) in fields.into_iter().chain(hint.map(|hint| (b'H', hint))) {
        body.put_u8(field);
        body.put_slice(text.as_bytes());
        body.put_u8(0);
    }
    body.put_u8(0);
    message_of(b'E', &body)
}

pub(super) fn malformed() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, "its message is malformed")
}
