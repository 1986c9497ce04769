//! One call into a guest: a fresh instance, its limits, and the fault if it fails.

use std::sync::atomic::AtomicBool;

use sluice_model::Refusal;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};
use wasmtime_wasi::I32Exit;

use crate::engine::{CallFault, Engine};
use crate::error::{Error, TrapReason};
use crate::state::GuestState;

/// Longest text of a guest that is passed on in an error, in bytes.
const MAX_WORDS: usize = 1_000;
/// Longest name of a guest that is quoted whole, in bytes.
const MAX_QUOTED: usize = 100;

/// Who is called, and by which function.
pub(crate) struct Caller<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) connector: &'a str,
    pub(crate) version: &'a str,
    pub(crate) call: &'static str,
    /// Whether a call of it has wanted more memory than any call may have.
    pub(crate) is_large: &'a AtomicBool,
}

impl Caller<'_> {
    /// Runs `call` in a store of its own and distinguishes its faults.
    pub(crate) fn run<T>(
        &self,
        call: impl Fn(&mut Store<GuestState>) -> wasmtime::Result<Result<T, Refusal>>,
    ) -> Result<T, Error> {
        let answer = self.engine.with_store(self.is_large, call);
        let answer = answer.map_err(|fault| self.fault(fault))?;
        answer.map_err(|refusal| Error::Refused {
            connector: self.connector.to_owned(),
            version: self.version.to_owned(),
            refusal,
        })
    }

    pub(crate) fn malformed(&self, what: impl Into<String>) -> Error {
        Error::Malformed {
            connector: self.connector.to_owned(),
            version: self.version.to_owned(),
            call: self.call,
            what: shown(&what.into()),
        }
    }

    fn fault(&self, fault: CallFault) -> Error {
        let CallFault { error, wanted_more_memory, panic_text } = fault;
        if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            return Error::Host { action: "find a free instance", source: error.into() };
        }
        let limits = self.engine.limits();
        let trap = error.downcast_ref::<Trap>().copied();
        let root = error.root_cause().to_string();
        let reason = if trap == Some(Trap::Interrupt) {
            TrapReason::Deadline { millis: limits.call_timeout.as_millis() }
        } else if wanted_more_memory {
            // A refused growth ends in an abort of whatever kind the guest's allocator has.
            TrapReason::Memory { bytes: limits.memory_bytes }
        } else if root.contains("fuel allocated for hostcalls") {
            // wasmtime has no public type for it; a test pins the words.
            TrapReason::OutputTooLarge { bytes: limits.output_bytes }
        } else if let Some(I32Exit(code)) = error.downcast_ref() {
            TrapReason::Trap(format!("it exited with {code}"))
        } else {
            TrapReason::Trap(shown(&panic_text.unwrap_or_else(|| trap.map_or(root, |trap| trap.to_string()))))
        };
        Error::Trapped {
            connector: self.connector.to_owned(),
            version: self.version.to_owned(),
            call: self.call,
            reason,
        }
    }
}

/// A guest's name for something as it may stand in an error: quoted, escaped, and cut if it is long.
pub(crate) fn quoted(name: &str) -> String {
    let end = name.floor_char_boundary(MAX_QUOTED);
    if end < name.len() { format!("{:?}… ({} bytes)", &name[..end], name.len()) } else { format!("{name:?}") }
}

/// A guest's text as it may stand in a log: of bounded length, without control characters.
pub(crate) fn shown(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_WORDS);
    let mut shown: String = text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if end < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_words_are_cut_and_cleaned() {
        assert_eq!(shown("a\n\u{1b}[31mb"), "a  [31mb");
        let long = shown(&"é".repeat(MAX_WORDS));
        assert_eq!(long.chars().count(), MAX_WORDS / 2 + 1);
    }

    #[test]
    fn a_guests_names_are_escaped_and_cut() {
        assert_eq!(quoted("a\u{1b}\n"), r#""a\u{1b}\n""#);
        assert_eq!(quoted(&"é".repeat(5_000)), format!("\"{}\"… (10000 bytes)", "é".repeat(50)));
    }
}
