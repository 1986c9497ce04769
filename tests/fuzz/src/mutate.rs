//! One input from others.

use crate::dice::Dice;

/// Numbers at which programs go wrong.
const NUMBERS: [u32; 12] = [0, 1, 2, 7, 8, 127, 255, 65_535, 65_536, i32::MAX as u32, i32::MAX as u32 + 1, u32::MAX];
/// Most changes of one input.
const MOST_CHANGES: usize = 6;
/// Most copies of a piece that is repeated.
const MOST_COPIES: usize = 200;

/// A changed copy of `input`, at most `longest` bytes long.
pub(crate) fn mutated(input: &[u8], other: &[u8], words: &[&str], longest: usize, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=dice.below(MOST_CHANGES) {
        change(&mut bytes, other, words, dice);
    }
    bytes.truncate(longest);
    bytes
}

/// An input of `length` bytes: one of its pieces again and again where it stood. Empty for an empty one.
pub(crate) fn grown(input: &[u8], length: usize, dice: &mut Dice) -> Vec<u8> {
    let start = dice.below(input.len());
    // Short pieces make many names, records or brackets, long ones many of the input's own records.
    let longest = if dice.below(2) == 0 { 16 } else { input.len() };
    let end = (start + 1 + dice.below(longest)).min(input.len());
    let piece = &input[start..end];
    if piece.is_empty() {
        return Vec::new();
    }
    let missing = length.saturating_sub(input.len() - piece.len());
    let repeated = piece.iter().copied().cycle().take(missing);
    input[..start].iter().copied().chain(repeated).chain(input[end..].iter().copied()).collect()
}

fn change(bytes: &mut Vec<u8>, other: &[u8], words: &[&str], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let piece = |of: &[u8], dice: &mut Dice| {
        let start = dice.below(of.len());
        let length = 1 + dice.below((of.len() - start).min(64));
        start..(start + length).min(of.len())
    };
    match dice.below(9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        1 if at < bytes.len() => bytes[at] = dice.byte(),
        2 => bytes.insert(at, dice.byte()),
        3 => _ = bytes.drain(piece(bytes, dice)),
        4 => {
            let copied = bytes[piece(bytes, dice)].to_vec();
            let times = 1 + if dice.below(4) == 0 { dice.below(MOST_COPIES) } else { 0 };
            let copies = copied.repeat(times);
            bytes.splice(at..at, copies);
        }
        5 if bytes.len() >= 4 => {
            let number = NUMBERS[dice.below(NUMBERS.len())].to_le_bytes();
            // Columns lie on multiples of four.
            let at = if dice.below(4) == 0 { at.min(bytes.len() - 4) } else { dice.below(bytes.len() / 4) * 4 };
            bytes[at..at + 4].copy_from_slice(&number);
        }
        6 => {
            let word = dice.pick(words).copied().unwrap_or_default();
            bytes.splice(at..at, word.bytes());
        }
        7 => {
            let taken = other[piece(other, dice)].to_vec();
            bytes.splice(at..at, taken);
        }
        _ => bytes.truncate(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_input_can_be_changed() {
        let mut dice = Dice::new(1);
        for input in [&b""[..], b"a", b"abcdefgh"] {
            let changed = (0..2_000).map(|_| mutated(input, b"xyz", &["word"], 100, &mut dice));
            let changed: std::collections::BTreeSet<_> = changed.collect();
            assert!(changed.len() > 500 && changed.iter().all(|bytes| bytes.len() <= 100));
        }
        assert!((0..100).all(|_| grown(b"<a>1</a>", 1_000, &mut dice).len() == 1_000));
        assert_eq!(grown(b"", 1_000, &mut dice), b"");
        assert!((0..1_000).any(|_| mutated(b"abc", b"", &["word"], 9, &mut dice).starts_with(b"word")));
    }
}
