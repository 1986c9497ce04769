//! JSON, rewritten value by value: all else stays byte for byte.

/// Changes the scalars of a JSON text. `change` gets the members' names joined by `.`, the value, and whether it is a text.
pub(super) fn rewrite(text: &str, change: &mut dyn FnMut(&str, &str, bool) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    // The containers that are open: the name of the member for an object, none for an array.
    let mut open: Vec<Option<String>> = Vec::new();
    let mut is_name_next = false;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let length = token_length(&text[at..], c);
        let token = &text[at..at + length];
        at += length;
        match c {
            '{' | '[' => {
                is_name_next = c == '{';
                open.push(is_name_next.then(String::new));
            }
            '}' | ']' => drop(open.pop()),
            ',' => is_name_next = matches!(open.last(), Some(Some(_))),
            ':' => is_name_next = false,
            '"' => {
                let value = serde_json::from_str::<String>(token);
                match (value, open.last_mut()) {
                    (Ok(value), Some(Some(name))) if is_name_next => *name = value,
                    (Ok(value), _) => {
                        let new = change(&path(&open), &value, true).and_then(|new| serde_json::to_string(&new).ok());
                        out.push_str(new.as_deref().unwrap_or(token));
                        continue;
                    }
                    (Err(_), _) => {}
                }
            }
            '-' | '0'..='9' => {
                let new = change(&path(&open), token, false);
                out.push_str(new.as_deref().unwrap_or(token));
                continue;
            }
            _ => {}
        }
        out.push_str(token);
    }
    out
}

fn path(open: &[Option<String>]) -> String {
    open.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(".")
}

/// Bytes of the token that a text begins with.
fn token_length(text: &str, first: char) -> usize {
    match first {
        '"' => {
            let mut is_escaped = false;
            let end = text.bytes().skip(1).position(|byte| {
                let ends = byte == b'"' && !is_escaped;
                is_escaped = byte == b'\\' && !is_escaped;
                ends
            });
            end.map_or(text.len(), |end| end + 2)
        }
        '-' | '0'..='9' => text.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(text.len()),
        other => other.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_changed_by_their_paths_and_the_rest_stays() {
        let text =
            "{ \"a\" : [ {\"id\": 12, \"n\\\"m\": \"x\\\"y\", \"amount\": 12.50}, {\"id\":null}],\"next\":\"12\" }\n";
        let mut paths = Vec::new();
        let new = rewrite(text, &mut |path, value, is_text| {
            paths.push(format!("{path}={value}{}", if is_text { "t" } else { "" }));
            (path == "a.id").then(|| "34".to_owned())
        });
        assert_eq!(new, text.replacen("12", "34", 1));
        assert_eq!(paths, ["a.id=12", "a.n\"m=x\"yt", "a.amount=12.50", "next=12t"]);
        assert_eq!(rewrite("[\"é\", 1", &mut |_, _, _| None), "[\"é\", 1");
    }
}
