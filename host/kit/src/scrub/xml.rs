//! XML, rewritten text by text: all else stays byte for byte.

/// Changes the texts and attributes of an XML text. `change` gets local names of elements joined by `.`, an attribute's with
/// `@` before it.
pub(super) fn rewrite(text: &str, change: &mut dyn FnMut(&str, &str, bool) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut open: Vec<String> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (begin, end) = match rest.strip_prefix('<') {
            None => ("", rest.find('<').unwrap_or(rest.len())),
            Some(tag) if tag.starts_with("!--") => ("!--", length_to(rest, "-->")),
            Some(tag) if tag.starts_with("![CDATA[") => ("![CDATA[", length_to(rest, "]]>")),
            Some(_) => ("<", length_to(rest, ">")),
        };
        let (part, after) = rest.split_at(end);
        rest = after;
        match begin {
            "" => changed_text(part, &open, change, &mut out),
            "![CDATA[" => {
                let value = part.trim_start_matches("<![CDATA[").trim_end_matches("]]>");
                let new = change(&open.join("."), value, true);
                out.push_str(&new.map_or_else(|| part.to_owned(), |new| format!("<![CDATA[{new}]]>")));
            }
            "<" if part.starts_with("</") => {
                open.pop();
                out.push_str(part);
            }
            "<" if !part.starts_with("<?") && !part.starts_with("<!") => {
                let name = part[1..].split(|c: char| c.is_whitespace() || c == '/' || c == '>').next();
                open.push(local(name.unwrap_or_default()).to_owned());
                changed_attributes(part, &open, change, &mut out);
                if part.ends_with("/>") {
                    open.pop();
                }
            }
            _ => out.push_str(part),
        }
    }
    out
}

fn length_to(text: &str, end: &str) -> usize {
    text.find(end).map_or(text.len(), |at| at + end.len())
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

fn changed_text(
    part: &str,
    open: &[String],
    change: &mut dyn FnMut(&str, &str, bool) -> Option<String>,
    out: &mut String,
) {
    let value = part.trim();
    match change(&open.join("."), &unescaped(value), true) {
        Some(new) if !value.is_empty() => out.push_str(&part.replacen(value, &escaped(&new), 1)),
        _ => out.push_str(part),
    }
}

/// A tag with its attributes' values changed.
fn changed_attributes(
    part: &str,
    open: &[String],
    change: &mut dyn FnMut(&str, &str, bool) -> Option<String>,
    out: &mut String,
) {
    let mut rest = part;
    while let Some(equals) = rest.find('=') {
        let (before, value) = rest.split_at(equals + 1);
        let name = before[..equals].trim_end().rsplit(char::is_whitespace).next().unwrap_or_default();
        out.push_str(before);
        let quoted = value.trim_start();
        let Some(quote) = quoted.chars().next().filter(|quote| "\"'".contains(*quote)) else {
            rest = value;
            continue;
        };
        let inside = &quoted[1..];
        let Some(end) = inside.find(quote) else {
            rest = value;
            break;
        };
        let path = format!("{}.@{}", open.join("."), local(name));
        let is_namespace = name.starts_with("xmlns") || name.contains("xsi:");
        let new = if is_namespace { None } else { change(&path, &unescaped(&inside[..end]), true) };
        out.push(quote);
        out.push_str(&new.map_or_else(|| inside[..end].to_owned(), |new| escaped(&new)));
        out.push(quote);
        rest = &inside[end + 1..];
    }
    out.push_str(rest);
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_attributes_are_changed_by_their_paths() {
        let text = "<?xml version=\"1.0\"?>\n<s:r xmlns:s=\"u\"><!-- id --><a id='7' k=\"v\"><n>A &amp; B</n><e/> <c><![CDATA[x]]></c></a></s:r>";
        let mut paths = Vec::new();
        let new = rewrite(text, &mut |path, value, _| {
            paths.push(format!("{path}={value}"));
            ["r.a.@id", "r.a.n"].contains(&path).then(|| "Z & Z".to_owned())
        });
        assert_eq!(new, text.replace("'7'", "'Z &amp; Z'").replace("A &amp; B", "Z &amp; Z"));
        let found: Vec<_> = paths.iter().filter(|path| !path.ends_with('=')).collect();
        assert_eq!(found, ["r.a.@id=7", "r.a.@k=v", "r.a.n=A & B", "r.a.c=x"]);
    }
}
