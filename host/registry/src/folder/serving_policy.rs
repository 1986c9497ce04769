//! Who decides what may serve. The registry knows files; what an operator allowed, and how a new version does on real
//! responses, is known above it.

use async_trait::async_trait;
use sluice_engine::{Connector, Error};
use sluice_model::Digest;

/// Decides what may serve. It is asked one thing at a time, and may take long: what serves continues to serve meanwhile.
#[async_trait]
pub trait ServingPolicy: Send + Sync {
    /// What serves a network by the records; of a file that is no connector, what served from it last.
    ///
    /// # Errors
    /// Records that can't be read.
    async fn recorded(&self, file: &str, network: Option<&str>) -> Result<Option<Recorded>, Reason>;

    /// A version that served once, by its digest.
    ///
    /// # Errors
    /// A version that isn't kept or can't be read.
    async fn stored(&self, digest: Digest) -> Result<StoredVersion, Reason>;

    /// Whether a candidate may serve.
    ///
    /// # Errors
    /// What can't be known now. It is asked again at the next scan.
    async fn admit(&self, candidate: &Candidate<'_>) -> Result<Ruling, Reason>;

    /// Notes for good that connectors serve from now on; for each, in their order, why it can't be noted: then it doesn't.
    async fn activate(&self, candidates: &[Candidate<'_>]) -> Vec<Result<(), Reason>>;
}

/// Which version serves by the records, whatever the folder holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The file that it came from.
    pub file: String,
    /// Digest of its file.
    pub digest: Digest,
}

/// A version that served once.
#[derive(Clone, Debug)]
pub struct StoredVersion {
    /// The bytes of its file.
    pub component: Vec<u8>,
    /// Its signature, if it was signed.
    pub signature: Option<String>,
}

/// A connector that would serve from a file.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The file's name.
    pub file: &'a str,
    /// What it holds.
    pub connector: &'a Connector,
    /// Its signature: the content of the file beside it.
    pub signature: Option<&'a str>,
    /// What serves the network now.
    pub serving: Option<&'a Connector>,
    /// Whether it served in this process until the records named another.
    pub superseded: bool,
}

/// Whether a candidate serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It serves from now on.
    Serve,
    /// It doesn't, for a fault of its own.
    Refuse(Reason),
    /// It waits for the operator's decision.
    Wait(Reason),
    /// It maps beside what serves, until enough was compared.
    Shadow(Reason),
}

/// Why a candidate doesn't serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Why.
    pub reason: String,
    /// What a person can do about it.
    pub hint: Option<String>,
}

impl Reason {
    /// An error with its causes, in one line, and its hint.
    pub fn of(error: &Error) -> Self {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            let text = error.to_string();
            // A `LoadFault` is in its error's message already.
            if !reason.ends_with(&text) {
                reason = format!("{reason}: {text}");
            }
            source = error.source();
        }
        Self { reason, hint: error.hint() }
    }
}

/// Lets everything serve that could be loaded, and remembers nothing.
pub(super) struct Open;

#[async_trait]
impl ServingPolicy for Open {
    async fn recorded(&self, _: &str, _: Option<&str>) -> Result<Option<Recorded>, Reason> {
        Ok(None)
    }

    async fn stored(&self, digest: Digest) -> Result<StoredVersion, Reason> {
        Err(Reason { reason: format!("version {} isn't kept", digest.short()), hint: None })
    }

    async fn admit(&self, _: &Candidate<'_>) -> Result<Ruling, Reason> {
        Ok(Ruling::Serve)
    }

    async fn activate(&self, candidates: &[Candidate<'_>]) -> Vec<Result<(), Reason>> {
        vec![Ok(()); candidates.len()]
    }
}
