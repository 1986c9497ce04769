//! As much of XML as a SOAP call needs: elements by their local names, entities and CDATA.

/// A call in an envelope: the method and its parameters, by the local names of elements without children.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    values: Vec<(String, String)>,
}

impl Call {
    /// A parameter's text; none when absent or empty.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let (_, text) = self.values.iter().find(|(key, _)| key == name)?;
        let text = text.trim();
        (!text.is_empty()).then_some(text)
    }
}

/// A text for between tags.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

enum Piece<'a> {
    /// Name and whether it closes itself.
    Open(&'a str, bool),
    Close(&'a str),
    Text(String),
}

/// Reads the call of an envelope: the first element in its body. None when it isn't one.
pub(crate) fn call(text: &str) -> Option<Call> {
    let mut open: Vec<(&str, String)> = Vec::new();
    let mut method: Option<String> = None;
    let mut values = Vec::new();
    for piece in pieces(text)? {
        match piece {
            Piece::Open(name, closed) => {
                let in_body = open.last().is_some_and(|(name, _)| *name == "Body");
                if in_body && open.len() == 2 && method.is_none() {
                    method = Some(name.to_owned());
                }
                if !closed {
                    open.push((name, String::new()));
                }
            }
            Piece::Text(text) => {
                if let Some((_, content)) = open.last_mut() {
                    content.push_str(&text);
                }
            }
            Piece::Close(name) => {
                let (opened, content) = open.pop()?;
                if opened != name {
                    return None;
                }
                values.push((name.to_owned(), content));
            }
        }
    }
    let whole = open.is_empty() && values.last().is_some_and(|(name, _)| name == "Envelope");
    method.filter(|_| whole).map(|method| Call { method, values })
}

fn pieces(text: &str) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        if !before.is_empty() {
            pieces.push(Piece::Text(unescape(before)?));
        }
        rest = if let Some(tag) = tag.strip_prefix("<![CDATA[") {
            let (content, rest) = tag.split_once("]]>")?;
            pieces.push(Piece::Text(content.to_owned()));
            rest
        } else if let Some(tag) = tag.strip_prefix("<!--") {
            tag.split_once("-->")?.1
        } else if let Some(tag) = tag.strip_prefix("<?") {
            tag.split_once("?>")?.1
        } else {
            let end = tag_end(tag)?;
            let (inside, rest) = (tag.get(1..end)?, tag.get(end + 1..)?);
            match inside.strip_prefix('/') {
                Some(name) => pieces.push(Piece::Close(local_name(name))),
                None => {
                    let closed = inside.ends_with('/');
                    pieces.push(Piece::Open(local_name(inside.trim_end_matches('/')), closed));
                }
            }
            rest
        };
    }
    Some(pieces)
}

/// Where a tag ends: the first `>` outside of quotes.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (at, character) in tag.char_indices() {
        match (quote, character) {
            (None, '>') => return Some(at),
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
    }
    None
}

fn local_name(tag: &str) -> &str {
    let name = tag.split_whitespace().next().unwrap_or_default();
    name.rsplit(':').next().unwrap_or(name)
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, entity) = rest.split_at(at);
        out.push_str(before);
        let (name, after) = entity.get(1..)?.split_once(';')?;
        out.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let code = name.strip_prefix('#')?;
                let code =
                    code.strip_prefix('x').map_or_else(|| code.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok());
                char::from_u32(code?)?
            }
        });
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::call;

    #[test]
    fn reads_parameters_by_local_name() {
        let text = r#"<?xml version="1.0"?><s:Envelope xmlns:s="a>b"><s:Header/><s:Body><x:authenticate>
            <customerID xsi:type="xsd:int">12</customerID><y:passphrase>a&amp;b&#x2b;<![CDATA[<c>]]></y:passphrase>
            <demo/></x:authenticate></s:Body></s:Envelope>"#;
        let call = call(text).unwrap();
        assert_eq!(call.method, "authenticate");
        assert_eq!(call.value("customerID"), Some("12"));
        assert_eq!(call.value("passphrase"), Some("a&b+<c>"));
        assert_eq!(call.value("demo"), None);
    }

    #[test]
    fn refuses_what_is_no_envelope() {
        assert!(call("").is_none());
        assert!(call("<Envelope><Body><a></b></Body></Envelope>").is_none());
        assert!(call("<Envelope><Body><a>").is_none());
        assert!(call("{\"a\": 1}").is_none());
    }
}
