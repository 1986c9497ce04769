//! The index of connectors, from their manifests and their READMEs.

use std::fmt::Write;

use sluice_model::{Manifest, Stream};

use crate::inspect::{look_backs, rate_text, window_text};

/// A connector of the index.
#[derive(Clone, Debug)]
pub struct Indexed {
    /// Its folder's name.
    pub folder: String,
    /// As the built component describes itself.
    pub manifest: Manifest,
    /// The text of its README.
    pub readme: String,
}

/// What `docs/connector-index.md` says of connectors: a table of all, and what each assumes.
pub fn index(connectors: &[Indexed]) -> String {
    let mut page = String::from(
        "\n| network | streams: axes; window; history | limit | look-back | confidence |\n|---|---|---|---|---|\n",
    );
    // Writing to a String doesn't fail.
    for Indexed { folder, manifest, readme } in connectors {
        let streams: Vec<String> = manifest.streams.iter().map(stream).collect();
        let limit = manifest.rate.map_or_else(|| "–".to_owned(), rate_text);
        let _ = writeln!(
            page,
            "| [{folder}](../connectors/{folder}): {} | {} | {limit} | {} | {} |",
            manifest.title,
            streams.join("<br>"),
            look_backs(&manifest.look_back),
            confidence(readme).unwrap_or_else(|| "–".to_owned()),
        );
    }
    page.push_str("\n## What is assumed\n");
    for Indexed { folder, readme, .. } in connectors {
        let assumed = assumed(readme, folder);
        let assumed = if assumed.is_empty() { "Its README lists nothing.\n".to_owned() } else { assumed };
        let _ = write!(page, "\n### {folder}\n\n{assumed}");
    }
    page.push('\n');
    page
}

fn stream(stream: &Stream) -> String {
    let axes: Vec<&str> = stream.axes.iter().map(|axis| axis.name()).collect();
    let history = stream.history_days.map(|days| format!("; {days} days")).unwrap_or_default();
    let native = if stream.unified { "" } else { " (no transactions)" };
    format!("`{}`{native}: {}; {}{history}", stream.name, axes.join(", "), window_text(stream))
}

/// `official-docs` of `Confidence: **official-docs**, read 2026-11.`
fn confidence(readme: &str) -> Option<String> {
    let (_, rest) = readme.split_once("Confidence: ")?;
    let words: String = rest.trim_start_matches('*').chars().take_while(|c| !"*.,\n".contains(*c)).collect();
    let words = words.trim().replace(' ', "-");
    Some(if words == "official-documents" { "official-docs".to_owned() } else { words })
}

/// The section `Assumed`, its links as they are from docs/.
fn assumed(readme: &str, folder: &str) -> String {
    let Some((_, rest)) = readme.split_once("\n## Assumed\n") else { return String::new() };
    let section = rest.split("\n## ").next().unwrap_or_default().trim();
    let mut text = String::new();
    for (place, part) in section.split("](").enumerate() {
        if place > 0 {
            let is_outside = part.starts_with("http") || part.starts_with('#');
            text.push_str("](");
            text.push_str(&if is_outside { String::new() } else { format!("../connectors/{folder}/") });
        }
        text.push_str(part);
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readme_gives_its_confidence_and_what_is_assumed() {
        let readme = "# A\n\nConfidence: **client-code**. More.\n\n## Assumed\n- See [x](a.md), [y](https://y).\n\n## Not covered\n- b\n";
        assert_eq!(confidence(readme).as_deref(), Some("client-code"));
        assert_eq!(confidence("**Confidence: official documents** (`a.json`)").as_deref(), Some("official-docs"));
        assert_eq!(assumed(readme, "a"), "- See [x](../connectors/a/a.md), [y](https://y).\n");
        assert_eq!(assumed("# A\n", "a"), "");
    }
}
