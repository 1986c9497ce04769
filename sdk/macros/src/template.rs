//! Templates: texts with `${…}` in them.
//!
//! `${secret NAME}`, `${setting NAME}`, `${token NAME}`, `${refresh-token NAME}`, `${now PATTERN}`, the window's bounds
//! (`${since PATTERN}` …), `${page}`, and functions of what is within: `${base64 ${secret id}:${secret key}}`.

use crate::document::{Read, Text, mistake};

/// A part of a template.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Text(String),
    Secret(String),
    Setting(String),
    Token(String),
    RefreshToken(String),
    Now(String),
    /// A bound of the window, by the name of its variant and a pattern.
    Moment(&'static str, String),
    /// The position in a list.
    Page,
    /// A function, by the name of its variant.
    Apply(&'static str, Vec<Piece>),
}

const FUNCTIONS: &[(&str, &str)] = &[
    ("base64", "Base64"),
    ("base64-url", "Base64Url"),
    ("hex", "Hex"),
    ("url-encode", "UrlEncode"),
    ("xml-escape", "XmlEscape"),
    ("json-escape", "JsonEscape"),
    ("lower", "Lower"),
    ("upper", "Upper"),
    ("md5", "Md5"),
    ("sha1", "Sha1"),
    ("sha256", "Sha256"),
];

const MOMENTS: &[(&str, &str)] = &[
    ("since", "Since"),
    ("until", "Until"),
    ("last", "Last"),
    ("local-since", "LocalSince"),
    ("local-until", "LocalUntil"),
    ("local-last", "LocalLast"),
    ("first-day", "FirstDay"),
    ("last-day", "LastDay"),
    ("end-day", "EndDay"),
    ("day-before", "DayBefore"),
];

/// What templates may name.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) settings: Vec<String>,
    pub(crate) secrets: Vec<String>,
    pub(crate) tokens: Vec<String>,
}

pub(crate) fn read(template: &Text, names: &Names) -> Read<Vec<Piece>> {
    let mut rest = template.text.as_str();
    let pieces = pieces(&mut rest, template.line, names, 0)?;
    if rest.is_empty() { Ok(pieces) } else { mistake(template.line, "a `}` closes nothing") }
}

/// Pieces up to the end, or within braces up to the closing one, which is taken.
fn pieces(rest: &mut &str, line: usize, names: &Names, depth: usize) -> Read<Vec<Piece>> {
    let mut found = Vec::new();
    loop {
        let open = rest.find("${");
        let close = if depth > 0 { rest.find('}') } else { None };
        match (open, close) {
            (Some(open), close) if close.is_none_or(|close| open < close) => {
                push_text(&mut found, &rest[..open]);
                *rest = &rest[open + 2..];
                found.push(piece(rest, line, names, depth + 1)?);
            }
            (_, Some(close)) => {
                push_text(&mut found, &rest[..close]);
                *rest = &rest[close + 1..];
                return Ok(found);
            }
            _ if depth > 0 => return mistake(line, "a `${` isn't closed"),
            _ => {
                push_text(&mut found, rest);
                *rest = "";
                return Ok(found);
            }
        }
    }
}

fn push_text(found: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        found.push(Piece::Text(text.to_owned()));
    }
}

/// What stands within braces, whose opening one is taken.
fn piece(rest: &mut &str, line: usize, names: &Names, depth: usize) -> Read<Piece> {
    let word_end = rest.find([' ', '}']).unwrap_or(rest.len());
    let word = rest[..word_end].to_owned();
    *rest = rest[word_end..].strip_prefix(' ').unwrap_or(&rest[word_end..]);
    if let Some((_, function)) = FUNCTIONS.iter().find(|(name, _)| *name == word) {
        return Ok(Piece::Apply(function, pieces(rest, line, names, depth)?));
    }
    let Some(close) = rest.find('}') else { return mistake(line, "a `${` isn't closed") };
    let argument = rest[..close].to_owned();
    *rest = &rest[close + 1..];
    let declared = |what: &str, known: &[String]| {
        if known.contains(&argument) {
            Ok(argument.clone())
        } else {
            mistake(line, format!("there is no {what} `{argument}`; there are: {}", known.join(", ")))
        }
    };
    if let Some((_, moment)) = MOMENTS.iter().find(|(name, _)| *name == word) {
        let pattern = if argument.is_empty() { "%Y-%m-%dT%H:%M:%SZ".to_owned() } else { argument };
        return Ok(Piece::Moment(moment, pattern));
    }
    match word.as_str() {
        "secret" => declared("secret", &names.secrets).map(Piece::Secret),
        "setting" => declared("setting", &names.settings).map(Piece::Setting),
        "token" => declared("token", &names.tokens).map(Piece::Token),
        "refresh-token" => declared("token", &names.tokens).map(Piece::RefreshToken),
        "now" => Ok(Piece::Now(argument)),
        "page" => Ok(Piece::Page),
        _ => mistake(line, format!("`${{{word} …}}` is nothing that a template may have")),
    }
}

/// Whether the template's text is known without a secret.
pub(crate) fn is_open(pieces: &[Piece]) -> bool {
    pieces.iter().all(|piece| matches!(piece, Piece::Text(_) | Piece::Setting(_) | Piece::Moment(..) | Piece::Page))
}

/// An expression of the text of an open template; settings are encoded for a URL if asked for.
pub(crate) fn text_code(pieces: &[Piece], encode_settings: bool) -> String {
    if let [Piece::Text(text)] = pieces {
        return format!("String::from({text:?})");
    }
    let mut code = String::from("{ let mut text = String::new();");
    for piece in pieces {
        code.push_str(&match piece {
            Piece::Text(text) => format!("text.push_str({text:?});"),
            Piece::Setting(name) if encode_settings => {
                format!("text.push_str(&url_encoded(slice.setting({name:?}).unwrap_or_default().trim()));")
            }
            Piece::Setting(name) => format!("text.push_str(slice.setting({name:?}).unwrap_or_default().trim());"),
            Piece::Moment(moment, pattern) => {
                format!("text.push_str(&slice.window.text(Moment::{moment}, {pattern:?}));")
            }
            Piece::Page => "text.push_str(&position.to_string());".to_owned(),
            _ => String::new(),
        });
    }
    code.push_str(" text }");
    code
}

/// An expression of the contract's template.
pub(crate) fn code(pieces: &[Piece]) -> String {
    let mut code = String::from("text(\"\")");
    for piece in pieces {
        code.push_str(&match piece {
            Piece::Text(text) => format!(".text({text:?})"),
            Piece::Secret(name) => format!(".secret({name:?})"),
            Piece::Setting(name) => format!(".then(setting({name:?}))"),
            Piece::Token(name) => format!(".token({name:?})"),
            Piece::RefreshToken(name) => format!(".refresh_token({name:?})"),
            Piece::Now(pattern) => format!(".now({pattern:?})"),
            Piece::Moment(moment, pattern) => format!(".text(slice.window.text(Moment::{moment}, {pattern:?}))"),
            Piece::Page => ".text(position.to_string())".to_owned(),
            Piece::Apply(function, inner) => format!(".then({}.apply(Function::{function}))", self::code(inner)),
        });
    }
    code
}

/// An expression of a URL's template: scheme, host and path up to the first secret are one text.
pub(crate) fn url_code(pieces: &[Piece]) -> String {
    let open = pieces.iter().position(|piece| !is_open(std::slice::from_ref(piece))).unwrap_or(pieces.len());
    let head = format!("text({})", text_code(&pieces[..open], true));
    match &pieces[open..] {
        [] => head,
        rest => format!("{head}.then({})", code(rest)),
    }
}
