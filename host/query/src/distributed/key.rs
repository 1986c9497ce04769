//! The proof that a call comes from a host of this installation: by a key that is derived from `state.key`.
//!
//! It is an HMAC over the moment, a number that is used once, and the address that is called, so that what was seen on the network
//! is of no use at another worker or a second time. It is no encryption: plans and rows cross the network as they are.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::connection::Proven;

/// The header that carries it.
pub(super) const HEADER: &str = "x-sluice-proof";
/// What the key is for. Hosts of another build may compute another thing of the same plan: see `build.rs`.
const PURPOSE: &[u8] =
    concat!("sluice: calls between query workers, 2, of ", env!("CARGO_PKG_VERSION"), " ", env!("SLUICE_PLANS"))
        .as_bytes();
/// How far clocks of hosts may differ, and how long a proof is remembered.
const SKEW_SECS: u64 = 300;

/// A key that all hosts of an installation derive alike.
#[derive(Clone)]
pub struct WorkerKey(Arc<[u8]>);

impl fmt::Debug for WorkerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkerKey(…)")
    }
}

impl WorkerKey {
    /// That of a secret which only hosts of the installation have.
    pub fn of(secret: &str) -> Self {
        Self(keyed(secret.as_bytes(), &[PURPOSE]).finalize().into_bytes().to_vec().into())
    }

    /// A proof for one call to `address`.
    pub(super) fn proof(&self, address: &str, now: DateTime<Utc>) -> String {
        let claim = format!("{}.{:032x}", now.timestamp(), rand::random::<u128>());
        let tag = self.tag(&claim, address).finalize().into_bytes();
        format!("{claim}.{}", hex::encode(tag))
    }

    fn tag(&self, claim: &str, address: &str) -> Hmac<Sha256> {
        keyed(&self.0, &[claim.as_bytes(), b"\n", address.as_bytes()])
    }
}

fn keyed(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mac = <Hmac<Sha256> as Mac>::new_from_slice(key);
    let mut mac = mac.unwrap_or_else(|_| unreachable!("a key of any length is one"));
    parts.iter().for_each(|part| mac.update(part));
    mac
}

/// Lets calls through that carry a proof, each proof once.
#[derive(Clone)]
pub(super) struct ProofChecker {
    key: WorkerKey,
    address: Arc<str>,
    /// Proofs that were used, and their moments.
    used: Arc<Mutex<HashMap<String, i64>>>,
}

impl ProofChecker {
    /// Of the worker that others call by this address.
    pub(super) fn new(key: WorkerKey, address: &str) -> Self {
        Self { key, address: address.into(), used: Arc::default() }
    }

    fn lets_through(&self, proof: &str, now: DateTime<Utc>) -> bool {
        let now = now.timestamp();
        let Some((claim, tag)) = proof.rsplit_once('.') else { return false };
        let (Some((secs, _)), Ok(tag)) = (claim.split_once('.'), hex::decode(tag)) else { return false };
        let Ok(secs) = secs.parse::<i64>() else { return false };
        if now.abs_diff(secs) > SKEW_SECS || self.key.tag(claim, &self.address).verify_slice(&tag).is_err() {
            return false;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, secs| now.abs_diff(*secs) <= SKEW_SECS);
        used.insert(claim.to_owned(), secs).is_none()
    }
}

impl Interceptor for ProofChecker {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let proof = request.metadata().get(HEADER).and_then(|proof| proof.to_str().ok()).unwrap_or_default();
        if self.lets_through(proof, Utc::now()) {
            if let Some(proven) = request.extensions().get::<Proven>() {
                proven.note();
            }
            return Ok(request);
        }
        tracing::warn!("a call without a proof of this installation was refused");
        Err(Status::unauthenticated("only hosts with this installation's state.key, build and time may call"))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn only_a_fresh_proof_of_the_same_key_for_this_worker_passes_once() {
        let now = Utc::now();
        let key = WorkerKey::of("a secret of the installation");
        let checker = ProofChecker::new(key.clone(), "http://10.0.0.1:5540/");
        let proof = key.proof("http://10.0.0.1:5540/", now);
        assert!(checker.lets_through(&proof, now));
        assert!(!checker.lets_through(&proof, now), "used before");
        assert!(checker.clone().lets_through(&key.proof("http://10.0.0.1:5540/", now), now));
        assert!(!checker.lets_through(&key.proof("http://10.0.0.2:5540/", now), now), "for another worker");
        assert!(!checker.lets_through(&WorkerKey::of("another").proof("http://10.0.0.1:5540/", now), now));
        for hours in [-1, 1] {
            let other = now + TimeDelta::hours(hours);
            assert!(!checker.lets_through(&key.proof("http://10.0.0.1:5540/", other), now));
        }
        for wrong in ["", ".", "..", "9223372036854775807.0.00", "-9223372036854775808.0.00", "x.y.z"] {
            assert!(!checker.lets_through(wrong, now), "{wrong}");
        }
        let (claim, tag) = proof.rsplit_once('.').unwrap_or_default();
        assert!(!checker.lets_through(&format!("{claim}0.{tag}"), now));
    }
}
