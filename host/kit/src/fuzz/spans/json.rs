//! The pieces of JSON.

use std::ops::Range;

use super::{MOST_DEPTH, MOST_SPANS, Span};

/// Members and items with their values; of several values one after the other also each of them.
pub(super) fn spans(body: &[u8]) -> Vec<Span> {
    let mut scan = Scan { body, at: 0, spans: Vec::new() };
    loop {
        scan.skip_space();
        let start = scan.at;
        if start >= body.len() || scan.is_full() {
            return scan.spans;
        }
        let value = scan.value("", 0);
        if value.is_empty() {
            // A sign that no value begins with.
            scan.at = start + 1;
            continue;
        }
        let line =
            Span { path: String::new(), unit: value.clone(), whole: value.clone(), value, separator: Some(b'\n') };
        scan.spans.push(line);
    }
}

struct Scan<'a> {
    body: &'a [u8],
    at: usize,
    spans: Vec<Span>,
}

impl Scan<'_> {
    /// The value that begins here.
    fn value(&mut self, path: &str, depth: usize) -> Range<usize> {
        let start = self.at;
        match self.here() {
            Some(b'{') if depth < MOST_DEPTH => self.members(path, depth, b'}'),
            Some(b'[') if depth < MOST_DEPTH => self.members(path, depth, b']'),
            Some(b'"') => self.string(),
            _ => self.skip_while(|byte| !byte.is_ascii_whitespace() && !b",:[]{}\"".contains(&byte)),
        }
        start..self.at
    }

    /// What stands between two brackets, the first of which is here.
    fn members(&mut self, path: &str, depth: usize, close: u8) {
        self.at += 1;
        let mut comma = None;
        loop {
            self.skip_space();
            let start = self.at;
            match self.here() {
                None => return,
                Some(byte) if byte == close => {
                    self.at += 1;
                    return;
                }
                Some(_) if self.is_full() => return,
                Some(_) => {}
            }
            let path = if close == b'}' { format!("{path}/{}", self.name()) } else { format!("{path}/*") };
            let value = self.value(&path, depth + 1);
            let unit = start..value.end;
            let mut whole = unit.clone();
            self.skip_space();
            if self.here() == Some(b',') {
                comma = Some(self.at);
                self.at += 1;
                whole.end = self.at;
            } else if let Some(comma) = comma {
                whole.start = comma;
            }
            self.spans.push(Span { path, value, unit, whole, separator: Some(b',') });
            // A sign that doesn't belong here.
            if self.at == start {
                self.at += 1;
            }
        }
    }

    /// The name of a member, and what stands between it and the value.
    fn name(&mut self) -> String {
        let start = self.at;
        if self.here() == Some(b'"') {
            self.string();
        }
        let name = String::from_utf8_lossy(&self.body[start..self.at]).trim_matches('"').to_owned();
        self.skip_space();
        if self.here() == Some(b':') {
            self.at += 1;
            self.skip_space();
        }
        name
    }

    fn string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.here() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
        self.at = self.at.min(self.body.len());
    }

    fn skip_space(&mut self) {
        self.skip_while(|byte| byte.is_ascii_whitespace());
    }

    fn skip_while(&mut self, skips: impl Fn(u8) -> bool) {
        while self.here().is_some_and(&skips) {
            self.at += 1;
        }
    }

    fn here(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn is_full(&self) -> bool {
        self.spans.len() >= MOST_SPANS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(body: &str) -> Vec<String> {
        let text = |range: &Range<usize>| body[range.clone()].to_owned();
        let shown = spans(body.as_bytes());
        shown.iter().map(|span| format!("{} {} [{}]", span.path, text(&span.value), text(&span.whole))).collect()
    }

    #[test]
    fn members_and_items_have_their_places() {
        assert_eq!(
            shown(r#"{"a": [1, "x,]"], "b": null}"#),
            [
                "/a/* 1 [1,]",
                "/a/* \"x,]\" [, \"x,]\"]",
                "/a [1, \"x,]\"] [\"a\": [1, \"x,]\"],]",
                "/b null [, \"b\": null]",
                " {\"a\": [1, \"x,]\"], \"b\": null} [{\"a\": [1, \"x,]\"], \"b\": null}]",
            ]
        );
        assert_eq!(shown("1\n2"), [" 1 [1]", " 2 [2]"]);
    }

    #[test]
    fn no_body_is_too_odd() {
        for body in ["", "{", "[[[", "}{", "{,}", "{\"a", "{\"a\\", "[1,,]", "]", "{]}", ":::", "\u{0}"] {
            assert!(spans(body.as_bytes()).iter().all(|span| span.whole.end <= body.len()), "{body}");
        }
        assert!(!spans("[".repeat(100_000).as_bytes()).is_empty());
    }
}
