//! The pieces of XML.

use super::{MOST_DEPTH, MOST_SPANS, Span};

/// An element that isn't closed yet.
struct Open {
    name: String,
    /// Where its tag begins, and where what it holds does.
    start: usize,
    content: usize,
}

/// Elements with what they hold, and attributes.
pub(super) fn spans(body: &[u8]) -> Vec<Span> {
    let (mut spans, mut open, mut at) = (Vec::new(), Vec::<Open>::new(), 0);
    while let Some(start) = next(body, at, b"<").filter(|_| spans.len() < MOST_SPANS) {
        let rest = &body[start..];
        let end_of = |end: &[u8]| next(body, start, end).map_or(body.len(), |at| at + end.len());
        if rest.starts_with(b"<!--") || rest.starts_with(b"<![CDATA[") {
            at = end_of(if rest.starts_with(b"<!--") { b"-->" } else { b"]]>" });
            continue;
        }
        at = end_of(b">");
        let tag = &body[start..at];
        let name = name_of(tag);
        if tag.starts_with(b"</") {
            // Elements that aren't closed before it are let go.
            if let Some(place) = open.iter().rposition(|element| element.name == name) {
                let element = open.drain(place..).next();
                spans.extend(element.map(|element| closed(&open, &element, start, at)));
            }
        } else if !tag.starts_with(b"<!") && !tag.starts_with(b"<?") {
            let path = path_of(&open, &name);
            attributes(tag, start, &path, &mut spans);
            if tag.ends_with(b"/>") {
                let all = start..at;
                spans.push(Span { path, value: all.clone(), unit: all.clone(), whole: all, separator: None });
            } else if open.len() < MOST_DEPTH {
                open.push(Open { name, start, content: at });
            }
        }
    }
    spans
}

/// An element whose closing tag has this place.
fn closed(around: &[Open], element: &Open, start: usize, end: usize) -> Span {
    let unit = element.start..end;
    let path = path_of(around, &element.name);
    Span { path, value: element.content..start, whole: unit.clone(), unit, separator: None }
}

fn path_of(around: &[Open], name: &str) -> String {
    around.iter().map(|element| element.name.as_str()).chain([name]).collect::<Vec<_>>().join(".")
}

/// The name in a tag, without what stands before and behind it.
fn name_of(tag: &[u8]) -> String {
    let name = tag.iter().skip(1).skip_while(|byte| **byte == b'/');
    let name: Vec<u8> = name.copied().take_while(|byte| !byte.is_ascii_whitespace() && !b"/>".contains(byte)).collect();
    String::from_utf8_lossy(&name).into_owned()
}

/// The attributes of a tag that begins at `start`.
fn attributes(tag: &[u8], start: usize, path: &str, spans: &mut Vec<Span>) {
    let mut at = 0;
    while let Some(equals) = next(tag, at, b"=") {
        at = equals + 1;
        let Some(quote) = tag.get(at).filter(|byte| b"\"'".contains(byte)) else { continue };
        let Some(end) = next(tag, at + 1, &[*quote]) else { return };
        let name = tag[..equals].iter().rev().take_while(|byte| !byte.is_ascii_whitespace()).count();
        let unit = start + equals - name..start + end + 1;
        let path = format!("{path}@{}", String::from_utf8_lossy(&tag[equals - name..equals]));
        spans.push(Span { path, value: start + at + 1..start + end, whole: unit.clone(), unit, separator: Some(b' ') });
        at = end + 1;
    }
}

/// Where this stands next.
fn next(body: &[u8], from: usize, sought: &[u8]) -> Option<usize> {
    let rest = body.get(from..)?;
    rest.windows(sought.len()).position(|part| part == sought).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_attributes_have_their_places() {
        let body = "<?xml version='1.0'?><a><!-- <x> --><row id='1' n=\"2\">x</row><row/></a>";
        let spans = spans(body.as_bytes());
        let text = |range: &std::ops::Range<usize>| &body[range.clone()];
        let shown: Vec<_> =
            spans.iter().map(|span| (span.path.as_str(), text(&span.value), text(&span.whole))).collect();
        assert_eq!(
            shown,
            [
                ("a.row@id", "1", "id='1'"),
                ("a.row@n", "2", "n=\"2\""),
                ("a.row", "x", "<row id='1' n=\"2\">x</row>"),
                ("a.row", "<row/>", "<row/>"),
                ("a", "<!-- <x> --><row id='1' n=\"2\">x</row><row/>", &body[21..]),
            ]
        );
    }

    #[test]
    fn no_body_is_too_odd() {
        for body in ["", "<", "</a>", "<a", "<a b=", "<a b='", "<a><b></a></b>", "<!--", "<![CDATA[", "<a =''/>", "<>"]
        {
            assert!(super::spans(body.as_bytes()).iter().all(|span| span.whole.end <= body.len()), "{body}");
        }
    }
}
