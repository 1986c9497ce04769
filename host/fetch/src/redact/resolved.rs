//! A text without its escapes, in which each place is known to be one of the text before.

use std::ops::Range;

use super::escape::{Escape, next_marker};

/// A text without its escapes.
#[derive(Default)]
pub(super) struct Resolved {
    pub(super) text: Vec<u8>,
    /// Its pieces in order: copied ones and resolved escapes alternate as they come.
    pieces: Vec<Piece>,
}

/// A piece of a resolved text: up to the next one's beginning.
struct Piece {
    at: usize,
    /// Where it was in the text before.
    source: Range<usize>,
    is_escape: bool,
}

impl Resolved {
    /// Where a place was before. An escape counts as a whole.
    pub(super) fn source(&self, place: Range<usize>) -> Range<usize> {
        let piece = |at: usize| {
            let after = self.pieces.partition_point(|piece| piece.at <= at);
            self.pieces.get(after.saturating_sub(1))
        };
        let start = piece(place.start).map_or(0, |piece| {
            if piece.is_escape { piece.source.start } else { piece.source.start + (place.start - piece.at) }
        });
        let last = place.end.saturating_sub(1);
        let end = piece(last).map_or(start, |piece| {
            if piece.is_escape { piece.source.end } else { piece.source.start + (place.end - piece.at) }
        });
        start..end
    }

    pub(super) fn push(&mut self, bytes: &[u8], source: Range<usize>, is_escape: bool) {
        if !bytes.is_empty() {
            self.pieces.push(Piece { at: self.text.len(), source, is_escape });
            self.text.extend_from_slice(bytes);
        }
    }
}

/// Resolves each escape of these kinds once; none if there are none.
pub(super) fn resolve(text: &[u8], kinds: u8) -> Option<Resolved> {
    let mut resolved = Resolved::default();
    let (mut copied, mut from) = (0, 0);
    while let Some(at) = next_marker(text, from) {
        let Some(escape) = Escape::at(&text[at..]).filter(|escape| escape.kind & kinds != 0) else {
            from = at + 1;
            continue;
        };
        if resolved.pieces.is_empty() {
            resolved.text.reserve(text.len());
        }
        resolved.push(&text[copied..at], copied..at, false);
        let end = at + escape.length;
        resolved.push(escape.bytes(), at..end, true);
        (copied, from) = (end, end);
    }
    if copied == 0 {
        return None;
    }
    resolved.push(&text[copied..], copied..text.len(), false);
    Some(resolved)
}
