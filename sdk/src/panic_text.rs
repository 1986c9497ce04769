//! A panic's own text, kept where the host finds it: a trap by itself says only `unreachable`.
//!
//! The host looks in the memory of a guest that trapped for the mark, and for what follows it: the text's length as four bytes,
//! the lowest first, and the text in UTF-8.

/// What stands before the text.
#[cfg(any(target_family = "wasm", test))]
const MARK: &[u8] = b"sluice panicked:";
/// The most bytes of a text that are kept.
#[cfg(any(target_family = "wasm", test))]
const MAX_BYTES: usize = 1 << 10;

/// From now on a panic leaves its text, with its place, in memory. In a native build the text is printed as ever.
pub(crate) fn keep() {
    #[cfg(target_family = "wasm")]
    std::panic::set_hook(Box::new(|panic| {
        // Never freed, and not left out as something that nobody reads: the host does.
        std::mem::forget(std::hint::black_box(kept(&panic.to_string())));
    }));
}

#[cfg(any(target_family = "wasm", test))]
fn kept(text: &str) -> Vec<u8> {
    let text = &text.as_bytes()[..text.floor_char_boundary(MAX_BYTES)];
    [MARK, &(text.len() as u32).to_le_bytes(), text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stands_behind_its_mark_and_its_length() {
        assert_eq!(kept("no"), b"sluice panicked:\x02\0\0\0no");
        assert_eq!(kept(&"é".repeat(1_000)).len(), MARK.len() + 4 + MAX_BYTES);
    }
}
