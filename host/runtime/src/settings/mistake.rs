//! Says what is wrong in a file of settings without repeating a value: it may be a password.

use std::borrow::Cow;

/// A TOML error: line, column and reason.
pub(super) fn of_toml(text: &str, error: &toml::de::Error) -> String {
    let reason = without_values(error.message());
    let Some(span) = error.span() else { return reason.into_owned() };
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}: {reason}")
}

/// A JSON error: line, column and reason.
pub(super) fn of_json(error: &serde_json::Error) -> String {
    without_values(&error.to_string()).into_owned()
}

/// The message of a decoder without the value that it quotes. Names of keys and what was expected stay.
fn without_values(message: &str) -> Cow<'_, str> {
    let names = ["unknown field ", "missing field ", "duplicate field ", "duplicate key "];
    if names.iter().any(|start| message.starts_with(start)) {
        return Cow::Borrowed(message);
    }
    let (shown, rest) = match message.find(", expected ") {
        Some(at) => message.split_at(at),
        // The place stays.
        None => message.split_at(message.rfind(" at line ").unwrap_or(message.len())),
    };
    let quote = |c| matches!(c, '"' | '`');
    match (shown.find(quote), shown.rfind(quote)) {
        (Some(first), Some(last)) if first < last => {
            Cow::Owned(format!("{}…{}{rest}", &shown[..first], &shown[last + 1..]))
        }
        (Some(first), _) => Cow::Owned(format!("{}…{rest}", &shown[..first])),
        _ => Cow::Borrowed(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_left_out_and_names_stay() {
        for (message, shown) in [
            ("invalid type: string \"hunter2\", expected u32", "invalid type: string …, expected u32"),
            (
                "invalid type: string \"hu\"nt\", expected `x\", expected u32",
                "invalid type: string …, expected `x\", expected u32",
            ),
            (
                "invalid type: integer `20260101`, expected a string at line 3 column 9",
                "invalid type: integer …, expected a string at line 3 column 9",
            ),
            ("unknown variant `hunter2`, expected `a` or `b`", "unknown variant …, expected `a` or `b`"),
            (
                "unknown field `lokback`, expected one of `look_back`",
                "unknown field `lokback`, expected one of `look_back`",
            ),
            (
                "`hunter2` is not a duration like 1h or 1d at line 1 column 2",
                "… is not a duration like 1h or 1d at line 1 column 2",
            ),
            ("expected `,` or `}` at line 1 column 2", "expected … at line 1 column 2"),
            ("invalid basic string", "invalid basic string"),
        ] {
            assert_eq!(without_values(message), shown);
        }
    }

    #[test]
    fn a_toml_error_says_where_without_the_line() {
        #[derive(Debug, serde::Deserialize)]
        struct Port {
            #[serde(rename = "port")]
            _port: u16,
        }
        let text = "# a\nport = \"hunter2\"\n";
        let error = toml::from_str::<Port>(text).err();
        let shown = error.map(|error| of_toml(text, &error));
        assert_eq!(shown.as_deref(), Some("line 2, column 8: invalid type: string …, expected u16"));
    }
}
