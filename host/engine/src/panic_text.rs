//! The text of a guest's own panic: a trap by itself says only `unreachable`.
//!
//! A guest that panics leaves it anywhere in its memory: [`MARK`], the text's length as four bytes, the lowest first, and the
//! text in UTF-8. The SDK for Rust does so (`sdk/src/panic_text.rs`). Like a refusal, it is the guest's own text and not trusted.

use wasmtime::{Store, Trap, WasmCoreDump};

use crate::state::GuestState;

/// What stands before the text.
const MARK: &[u8] = b"sluice panicked:";
/// The longest text, in bytes. The mark as a constant of the guest's code is followed by other things than a length.
const MAX_BYTES: usize = 4 << 10;
/// Marks that are tried: a guest may fill its memory with them.
const MAX_MARKS: usize = 64;

/// The text that a guest left before it trapped.
pub(crate) fn of_trap(error: &wasmtime::Error, store: &Store<GuestState>) -> Option<String> {
    if error.downcast_ref::<Trap>() != Some(&Trap::UnreachableCodeReached) {
        return None;
    }
    let dump = error.downcast_ref::<WasmCoreDump>()?;
    dump.memories().iter().find_map(|memory| in_memory(memory.data(store)).map(str::to_owned))
}

fn in_memory(memory: &[u8]) -> Option<&str> {
    let text_at = |mark: usize| {
        let (length, rest) = memory.get(mark + MARK.len()..)?.split_first_chunk::<4>()?;
        let length =
            usize::try_from(u32::from_le_bytes(*length)).ok().filter(|bytes| (1..=MAX_BYTES).contains(bytes))?;
        std::str::from_utf8(rest.get(..length)?).ok()
    };
    memchr::memmem::find_iter(memory, MARK).take(MAX_MARKS).find_map(text_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_follows_the_mark_and_its_length() {
        assert_eq!(in_memory(b"..sluice panicked:\x03\0\0\0nono"), Some("non"));
        assert_eq!(in_memory(b"sluice panicked:texts sluice panicked:\x02\0\0\0no"), Some("no"));
        for none in [&b""[..], b"sluice panicked:", b"sluice panicked:\x03\0\0\0no", b"sluice panicked:\x01\0\0\0\xff"]
        {
            assert_eq!(in_memory(none), None);
        }
        assert_eq!(in_memory(b"sluice panicked:\0\0\0\0no"), None);
    }

    #[test]
    fn a_memory_full_of_marks_is_not_searched_to_its_end() {
        let after =
            |marks: usize| [b"sluice panicked:".repeat(marks), b"sluice panicked:\x02\0\0\0no".to_vec()].concat();
        assert_eq!(in_memory(&after(MAX_MARKS - 1)), Some("no"));
        assert_eq!(in_memory(&after(MAX_MARKS)), None);
    }
}
