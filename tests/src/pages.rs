//! The pages of the documentation, as tests run them.

/// A block of code of a page.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// The heading of second order above it.
    pub section: String,
    /// The last line above it that isn't empty.
    pub above: String,
    /// Its language; empty if none is named.
    pub language: String,
    /// Its lines, without the indent that a list gives them.
    pub text: String,
}

/// The fenced blocks of a page in Markdown, in their order.
pub fn blocks(page: &str) -> Vec<Block> {
    let (mut section, mut above, mut open, mut blocks) =
        (String::new(), String::new(), None::<(Block, usize)>, Vec::new());
    for line in page.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        match (content.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take().map(|(block, _)| block)),
            (Some(language), None) => {
                let (section, above, language) = (section.clone(), above.clone(), language.to_owned());
                open = Some((Block { section, above, language, text: String::new() }, indent));
            }
            (None, Some((block, of_block))) => {
                block.text.push_str(&line[indent.min(*of_block)..]);
                block.text.push('\n');
            }
            (None, None) => {
                if let Some(heading) = line.strip_prefix("## ") {
                    heading.clone_into(&mut section);
                }
                if !line.is_empty() {
                    line.clone_into(&mut above);
                }
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_its_heading_and_loses_the_indent_of_its_list() {
        let page = "# Page\n\n## One\n\nWrite `a.json`:\n\n```json\n{\n  \"a\": 1\n}\n```\n\n- do\n  ```sh\n  cat <<E\n    b\n  E\n  ```\n";
        let found: Vec<_> = blocks(page)
            .into_iter()
            .map(|Block { section, above, language, text }| [section, above, language, text])
            .collect();
        assert_eq!(
            found,
            [["One", "Write `a.json`:", "json", "{\n  \"a\": 1\n}\n"], ["One", "- do", "sh", "cat <<E\n  b\nE\n"]]
        );
    }
}
