//! The pieces of lines of fields.

use super::{MOST_SPANS, Span};

/// What stands between fields, the likeliest first.
const DELIMITERS: [u8; 4] = *b",;\t|";

/// Fields and lines. Quoted fields may hold what separates.
pub(super) fn spans(body: &[u8], delimiter: u8) -> Vec<Span> {
    let mut spans = Vec::new();
    let (mut line, mut field, mut column, mut is_quoted) = (0, 0, 0, false);
    // Behind the last byte a line ends.
    for at in 0..=body.len() {
        let byte = body.get(at).copied().unwrap_or(b'\n');
        is_quoted ^= byte == b'"';
        let ends_line = byte == b'\n' && (!is_quoted || at == body.len());
        let ends_field = ends_line || (byte == delimiter && !is_quoted);
        if !ends_field {
            continue;
        }
        let end = if ends_line && at > field && body[at - 1] == b'\r' { at - 1 } else { at };
        let whole = if !ends_line {
            field..at + 1
        } else if field > line {
            field - 1..end
        } else {
            field..end
        };
        // Names of columns are others than what stands below them.
        let path = if line == 0 { format!("header {column}") } else { column.to_string() };
        spans.push(Span { path, value: field..end, unit: field..end, whole, separator: Some(delimiter) });
        (field, column) = (at + 1, column + 1);
        if ends_line {
            let whole = line..body.len().min(at + 1);
            let path = "line".to_owned();
            spans.push(Span { path, value: line..end, unit: line..end, whole, separator: Some(b'\n') });
            (line, column) = (at + 1, 0);
        }
        if spans.len() >= MOST_SPANS {
            break;
        }
    }
    spans.retain(|span| !span.whole.is_empty());
    spans
}

/// What stands most often in the first line.
pub(super) fn likely_delimiter(body: &[u8]) -> u8 {
    let first = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| first.iter().filter(|byte| **byte == delimiter).count();
    // Of several maxima the last is taken.
    DELIMITERS.into_iter().rev().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_lines_have_their_places() {
        let body = "id,name\r\n1,\"a,b\"\n2,";
        let spans = spans(body.as_bytes(), b',');
        let shown: Vec<_> = spans.iter().map(|span| (span.path.as_str(), &body[span.whole.clone()])).collect();
        assert_eq!(
            shown,
            [
                ("header 0", "id,"),
                ("header 1", ",name"),
                ("line", "id,name\r\n"),
                ("0", "1,"),
                ("1", ",\"a,b\""),
                ("line", "1,\"a,b\"\n"),
                ("0", "2,"),
                ("1", ","),
                ("line", "2,"),
            ]
        );
        assert_eq!((likely_delimiter(b"a;b;c,d\n,,,,"), likely_delimiter(b"")), (b';', b','));
    }
}
