//! The contract's rules that types can't say: of manifests, of requests, of judgements.
//!
//! A check gives the rule that is broken, in words that begin with the place.

mod manifest;
mod requests;

pub(crate) use manifest::manifest;
pub(crate) use requests::{judgement, number as number_of_requests, requests};

use crate::columns::Checked;

/// Longest text of a manifest, in bytes.
const MAX_TEXT: usize = 4_096;

/// A text for people or of a network: neither too long nor with control characters.
fn words(what: &str, text: &str) -> Checked<()> {
    if text.len() > MAX_TEXT {
        return Err(format!("{what} has {} bytes, {MAX_TEXT} are allowed", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{what} has control characters"));
    }
    Ok(())
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked<()> {
    if holds { Ok(()) } else { Err(what()) }
}
