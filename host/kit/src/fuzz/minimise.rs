//! A smaller body on which the same goes wrong.

use std::cmp::Reverse;

use super::mutate::replaced;
use super::spans::Markup;

/// Removes pieces of a body, then bytes, as long as it still fails. At most so many bodies are tried.
pub(super) fn minimised(
    body: Vec<u8>,
    markup: &Markup,
    most_tries: usize,
    fails: impl FnMut(&[u8]) -> bool,
) -> Vec<u8> {
    let mut reduction = Reduction { body, left: most_tries, fails };
    reduction.remove_pieces(markup);
    reduction.remove_bytes();
    reduction.body
}

struct Reduction<F> {
    body: Vec<u8>,
    /// How many bodies may still be tried.
    left: usize,
    fails: F,
}

impl<F: FnMut(&[u8]) -> bool> Reduction<F> {
    /// The largest piece first. After one is removed, the others' places are new.
    fn remove_pieces(&mut self, markup: &Markup) {
        let mut at = 0;
        while self.left > 0 {
            let mut pieces: Vec<_> = markup.spans(&self.body).into_iter().map(|span| span.whole).collect();
            pieces.retain(|piece| !piece.is_empty() && piece.len() < self.body.len());
            pieces.sort_by_key(|piece| (Reverse(piece.len()), piece.start));
            pieces.dedup();
            let removed = (at..pieces.len()).find(|place| self.try_body(replaced(&self.body, &pieces[*place], b"")));
            match removed {
                Some(place) => at = place,
                None => return,
            }
        }
    }

    fn remove_bytes(&mut self) {
        let mut size = self.body.len() / 2;
        while size > 0 {
            let mut at = 0;
            while at < self.body.len() && self.left > 0 {
                let end = self.body.len().min(at + size);
                if !self.try_body(replaced(&self.body, &(at..end), b"")) {
                    at = end;
                }
            }
            size /= 2;
        }
    }

    /// Takes a body if it fails.
    fn try_body(&mut self, body: Vec<u8>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let is_failing = (self.fails)(&body);
        if is_failing {
            self.body = body;
        }
        is_failing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_part_in_it_is_removed() {
        let body = br#"{"sales": [{"id": 1, "name": "a"}, {"id": 2, "name": "xxx!xxx"}], "next": null}"#.to_vec();
        let fails = |body: &[u8]| body.contains(&b'!') && body.starts_with(b"{\"sales\"");
        assert_eq!(minimised(body.clone(), &Markup::Json, 600, fails), br#"{"sales"!"#);
        assert_eq!(minimised(body.clone(), &Markup::Json, 0, fails), body);
        let is_whole = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).is_ok() && body.contains(&b'!');
        let small = minimised(body, &Markup::Json, 600, is_whole);
        assert!(is_whole(&small) && small.len() < 20, "{}", String::from_utf8_lossy(&small));
    }
}
