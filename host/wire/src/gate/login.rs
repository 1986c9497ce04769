//! A client shows that it has a token, without sending it: SCRAM-SHA-256 in PostgreSQL's messages.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BufMut, BytesMut};
use sluice_runtime::api_tokens;
use sluice_runtime::scram::Verifier;
use tokio::net::TcpStream;

use super::Shared;
use super::startup::{malformed, receive, refuse, send};

const MECHANISM: &str = "SCRAM-SHA-256";
/// Kinds of the message `R`: which mechanisms there are, one that goes on, its end, and that a client is let in.
const MECHANISMS: u32 = 10;
const GOES_ON: u32 = 11;
const ENDS: u32 = 12;
const LET_IN: u32 = 0;

/// A client that was let in.
pub(super) struct Login {
    /// The token's name.
    pub(super) user: String,
    /// What its token was checked against.
    pub(super) verifier: Verifier,
}

/// Checks a client. None if it isn't let in; it has the reason.
///
/// # Errors
/// A client that is gone.
pub(super) async fn check(
    shared: &Shared,
    socket: &mut TcpStream,
    parameters: &[(String, String)],
) -> std::io::Result<Option<Login>> {
    let user = parameters.iter().find(|(name, _)| name == "user").map_or("", |(_, user)| user).to_owned();
    let known = match api_tokens::verifier(&shared.state, &user).await {
        Ok(known) => known,
        Err(failure) => {
            tracing::error!("a PostgreSQL client isn't let in: {}", failure.render(false));
            refuse(socket, "58000", "the service can't look for the token", None).await?;
            return Ok(None);
        }
    };
    let verifier = known.clone().unwrap_or_else(|| Verifier::of_nobody(&user, &shared.secret));
    let has_token = exchange(socket, &verifier).await?;
    if known.is_none() || !has_token {
        tracing::info!(user, known = known.is_some(), "a PostgreSQL client isn't let in: it has no such token");
        let message = format!("password authentication failed for user \"{user}\"");
        let hint = "the user is the name of a token and the password the token, as `sluice tokens create` printed it; \
                    `sluice tokens` marks those that are too old for this";
        refuse(socket, "28P01", &message, Some(hint)).await?;
        return Ok(None);
    }
    let mut body = BytesMut::new();
    body.put_u32(LET_IN);
    send(socket, b'R', &body).await?;
    Ok(Some(Login { user, verifier }))
}

/// Whether the client has the token. It learns that by the server's own signature.
async fn exchange(socket: &mut TcpStream, verifier: &Verifier) -> std::io::Result<bool> {
    send_authentication(socket, MECHANISMS, format!("{MECHANISM}\0\0").as_bytes()).await?;
    let mut first = receive(socket, b'p').await?;
    let end = first.iter().position(|byte| *byte == 0).ok_or_else(malformed)?;
    if &first[..end] != MECHANISM.as_bytes() || first.len() < end + 5 {
        return Err(malformed());
    }
    first.advance(end + 5);
    let first = std::str::from_utf8(&first).map_err(|_| malformed())?;
    let client = ClientFirst::parse(first).ok_or_else(malformed)?;
    let nonce = format!("{}{}", client.nonce, STANDARD.encode(rand::random::<[u8; 18]>()));
    let server_first = format!("r={nonce},s={},i={}", verifier.salt(), verifier.iterations());
    send_authentication(socket, GOES_ON, server_first.as_bytes()).await?;
    let last = receive(socket, b'p').await?;
    let last = std::str::from_utf8(&last).map_err(|_| malformed())?;
    let (without_proof, proof) = last.rsplit_once(",p=").ok_or_else(malformed)?;
    if without_proof != format!("c={},r={nonce}", STANDARD.encode(client.header)) {
        return Err(malformed());
    }
    let proof = STANDARD.decode(proof).map_err(|_| malformed())?;
    let exchanged = format!("{},{server_first},{without_proof}", client.bare);
    let Some(signature) = verifier.signature(&exchanged, &proof) else { return Ok(false) };
    send_authentication(socket, ENDS, format!("v={}", STANDARD.encode(signature)).as_bytes()).await?;
    Ok(true)
}

async fn send_authentication(socket: &mut TcpStream, kind: u32, text: &[u8]) -> std::io::Result<()> {
    let mut body = BytesMut::new();
    body.put_u32(kind);
    body.put_slice(text);
    send(socket, b'R', &body).await
}

/// `n,,n=name,r=nonce`: the name is that of the first message, whatever stands here.
#[derive(Debug, PartialEq, Eq)]
struct ClientFirst<'a> {
    header: &'a str,
    bare: &'a str,
    nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    /// None for one that wants the login bound to an encrypted channel, which there is none of.
    fn parse(text: &'a str) -> Option<Self> {
        let header = ["n,,", "y,,"].into_iter().find(|header| text.starts_with(header))?;
        let bare = &text[header.len()..];
        let (name, nonce) = bare.split_once(",r=")?;
        let is_nonce = !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        (name.starts_with("n=") && is_nonce).then_some(Self { header, bare, nonce })
    }
}
