//! SCRAM-SHA-256, by which clients of PostgreSQL show that they have a token without sending it: RFC 5802 and RFC 7677.
//!
//! What is kept lets a client be checked, and lets nobody be one: neither the token nor what a client computes from it can
//! be had from it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// Rounds of the slow hash, as RFC 7677 wants at the least: a token of 256 random bits can't be guessed anyway.
const ITERATIONS: u32 = 4_096;
const SCHEME: &str = "SCRAM-SHA-256";

type Key = [u8; 32];

/// What a token is checked against.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    salt: Vec<u8>,
    iterations: u32,
    stored_key: Key,
    server_key: Key,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl Verifier {
    /// That of a token, with a salt of its own.
    pub fn of(plain: &str) -> Self {
        Self::salted(plain, &rand::random::<[u8; 16]>(), ITERATIONS)
    }

    /// One that nothing passes, whose salt is always the same for a name: a name without a token is asked for the same things
    /// as one with a token. `secret`: random bytes of the process.
    pub fn of_nobody(name: &str, secret: &Key) -> Self {
        let salt = hmac(secret, &[name.as_bytes()]);
        let key = rand::random();
        Self { salt: salt[..16].to_vec(), iterations: ITERATIONS, stored_key: key, server_key: key }
    }

    fn salted(plain: &str, salt: &[u8], iterations: u32) -> Self {
        let salted = slow_hash(plain.as_bytes(), salt, iterations);
        let stored_key = Sha256::digest(hmac(&salted, &[b"Client Key"])).into();
        let server_key = hmac(&salted, &[b"Server Key"]);
        Self { salt: salt.to_vec(), iterations, stored_key, server_key }
    }

    /// The verifier of this text, as PostgreSQL writes them; none if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('$');
        let (scheme, salt, keys) = (parts.next()?, parts.next()?, parts.next()?);
        let (iterations, salt) = salt.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let key = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
        let verifier = Self {
            salt: STANDARD.decode(salt).ok()?,
            iterations: iterations.parse().ok()?,
            stored_key: key(stored)?,
            server_key: key(server)?,
        };
        (scheme == SCHEME && parts.next().is_none()).then_some(verifier)
    }

    /// The form in which PostgreSQL keeps one: `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`.
    pub fn to_text(&self) -> String {
        let Self { salt, iterations, stored_key, server_key } = self;
        let [salt, stored, server] = [salt.as_slice(), stored_key, server_key].map(|bytes| STANDARD.encode(bytes));
        format!("{SCHEME}${iterations}:{salt}${stored}:{server}")
    }

    /// The salt in Base64.
    pub fn salt(&self) -> String {
        STANDARD.encode(&self.salt)
    }

    /// The rounds of the slow hash.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The server's signature, if `proof` is that of who has the token. `exchanged`: the messages that both have seen.
    pub fn signature(&self, exchanged: &str, proof: &[u8]) -> Option<Key> {
        let proof: Key = proof.try_into().ok()?;
        let mut client_key = hmac(&self.stored_key, &[exchanged.as_bytes()]);
        client_key.iter_mut().zip(proof).for_each(|(key, proof)| *key ^= proof);
        let found: Key = Sha256::digest(client_key).into();
        // All bytes are compared, whichever differ.
        let differs = found.iter().zip(self.stored_key).fold(0, |differs, (found, kept)| differs | (found ^ kept));
        (differs == 0).then(|| hmac(&self.server_key, &[exchanged.as_bytes()]))
    }
}

/// PBKDF2 with one block.
fn slow_hash(plain: &[u8], salt: &[u8], iterations: u32) -> Key {
    let mut round = hmac(plain, &[salt, &1_u32.to_be_bytes()]);
    let mut hash = round;
    for _ in 1..iterations {
        round = hmac(plain, &[&round]);
        hash.iter_mut().zip(round).for_each(|(hash, round)| *hash ^= round);
    }
    hash
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac =
        <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap_or_else(|_| unreachable!("a key of any length is one"));
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}
