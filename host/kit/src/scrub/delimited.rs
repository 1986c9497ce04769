//! Lines of delimited fields, rewritten field by field.

use sluice_model::Delimited;

/// Changes the fields of a text. `change` gets the header's name of the field.
pub(super) fn rewrite(
    text: &str,
    form: &Delimited,
    change: &mut dyn FnMut(&str, &str, bool) -> Option<String>,
) -> String {
    let delimiter = char::from(form.delimiter);
    let quote = form.quote.map(char::from);
    let mut out = String::with_capacity(text.len());
    let mut header: Option<Vec<String>> = (!form.header.is_empty()).then(|| form.header.clone());
    let mut skip = form.skip_lines;
    let mut rest = text;
    while !rest.is_empty() {
        let (line, end, after) = split_line(rest, quote);
        rest = after;
        match &header {
            _ if skip > 0 => {
                skip -= 1;
                out.push_str(line);
            }
            None => {
                let names = fields(line.trim_start_matches('\u{feff}'), delimiter, quote);
                header = Some(names.iter().map(|field| plain(field, quote).trim().to_owned()).collect());
                out.push_str(line);
            }
            Some(names) => {
                for (place, field) in fields(line, delimiter, quote).into_iter().enumerate() {
                    if place > 0 {
                        out.push(delimiter);
                    }
                    let value = plain(field, quote);
                    let name = names.get(place).map(String::as_str).unwrap_or_default();
                    match change(name, &value, true) {
                        None => out.push_str(field),
                        Some(new) => out.push_str(&written(&new, field, quote)),
                    }
                }
            }
        }
        out.push_str(end);
    }
    out
}

/// A line, its end and what follows it. A line feed between quotes ends no line.
fn split_line(text: &str, quote: Option<char>) -> (&str, &str, &str) {
    let mut is_quoted = false;
    let end = text.char_indices().find(|(_, c)| {
        is_quoted ^= Some(*c) == quote;
        *c == '\n' && !is_quoted
    });
    let Some((feed, _)) = end else { return (text, "", "") };
    let begin = if text[..feed].ends_with('\r') { feed - 1 } else { feed };
    (&text[..begin], &text[begin..=feed], &text[feed + 1..])
}

fn fields(line: &str, delimiter: char, quote: Option<char>) -> Vec<&str> {
    let mut is_quoted = false;
    line.split(|c: char| {
        is_quoted ^= Some(c) == quote;
        c == delimiter && !is_quoted
    })
    .collect()
}

/// A field without its quotes.
fn plain(field: &str, quote: Option<char>) -> String {
    let Some(quote) = quote else { return field.to_owned() };
    let inside = field.strip_prefix(quote).and_then(|field| field.strip_suffix(quote));
    inside.map_or_else(|| field.to_owned(), |inside| inside.replace(&format!("{quote}{quote}"), &quote.to_string()))
}

/// A value in quotes if the old one was.
fn written(value: &str, field: &str, quote: Option<char>) -> String {
    match quote.filter(|quote| field.starts_with(*quote)) {
        Some(quote) => format!("{quote}{}{quote}", value.replace(quote, &format!("{quote}{quote}"))),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_changed_by_the_headers_names() {
        let form = Delimited {
            delimiter: b',',
            quote: Some(b'"'),
            skip_lines: 1,
            header: vec![],
            charset: "utf-8".to_owned(),
            exact_fields: false,
            optional: vec![],
        };
        let text = "report\r\nid,\"shop, name\",amount\r\n7,\"A \"\"x\"\", B\",7\r\n8,\"C\nD\",1\r\n";
        let new = rewrite(text, &form, &mut |name, value, _| (name != "amount").then(|| format!("<{value}>")));
        let expected = "report\r\nid,\"shop, name\",amount\r\n<7>,\"<A \"\"x\"\", B>\",7\r\n<8>,\"<C\nD>\",1\r\n";
        assert_eq!(new, expected);
    }
}
