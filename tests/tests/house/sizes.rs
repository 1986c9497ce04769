//! How long files and functions may be.

use std::path::Path;

use crate::files::sources;
use crate::names::without_scope;

/// Lines of a file.
const FILE: usize = 400;
/// Lines of a function, from its `fn` to its closing brace.
const FUNCTION: usize = 60;

/// Extensions of code that people write.
const CODE: &[&str] = &["rs", "ts", "tsx", "mjs"];

/// Made by openapi-typescript.
fn is_made(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".d.ts")
}

#[test]
fn no_file_of_code_is_too_long() {
    let lines = |text: &str| text.lines().count();
    let long: Vec<_> = sources(CODE)
        .iter()
        .filter(|source| lines(&source.text) > FILE && !is_made(&source.path))
        .map(|source| format!("{} ({})", source.path.display(), lines(&source.text)))
        .collect();
    assert!(long.is_empty(), "split these by what their second half is about: {long:?}");
}

#[test]
fn no_function_is_too_long() {
    let mut long = Vec::new();
    for source in sources(CODE) {
        let found = functions(&source.text).into_iter().filter(|(_, lines)| *lines > FUNCTION);
        long.extend(found.map(|(first, lines)| format!("{}: `{}` ({lines})", source.path.display(), first.trim())));
    }
    assert!(long.is_empty(), "split these by what their second half is about: {long:#?}");
}

/// Each function's first line, and how many lines it has. Code is formatted, so that a function ends at the brace that
/// is as far to the right as it began.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate().filter(|(_, line)| is_function(line) && !line.ends_with(['}', ';']));
    let length = |(at, first): (usize, &&str)| {
        let indent = first.len() - first.trim_start().len();
        let end = lines[at..].iter().position(|line| {
            let rest = line.get(indent..).unwrap_or_default();
            let is_end = matches!(rest, "}" | "};") || (rest.starts_with(')') && rest.ends_with(';'));
            line.trim_start().len() == rest.len() && is_end
        });
        end.map(|end| (lines[at], end + 1))
    };
    starts.filter_map(length).collect()
}

fn is_function(line: &str) -> bool {
    let mut words = without_scope(line).split_whitespace();
    let before = ["pub", "async", "unsafe", "default", "const", "extern", "\"C\""];
    words.find(|word| !before.contains(word)) == Some("fn") || is_script_function(line)
}

/// One of TypeScript or JavaScript: declared, or a constant.
fn is_script_function(line: &str) -> bool {
    let line = line.trim_start();
    let line =
        ["export ", "default ", "async "].iter().fold(line, |line, word| line.strip_prefix(word).unwrap_or(line));
    line.starts_with("function ") || (line.starts_with("const ") && (line.ends_with("=> {") || line.ends_with("=> (")))
}

#[test]
fn counts_the_lines_of_functions() {
    let text = "impl A {\n    pub(crate) async fn long(\n        a: u8,\n    ) -> u8 {\n        a\n    }\n\n    fn one() {}\n}\n\n\
                trait B {\n    fn declared(\n        a: u8,\n    );\n}\n";
    assert_eq!(functions(text), [("    pub(crate) async fn long(", 5), ("    fn declared(", 3)]);
    let text = "pub(in a::b) fn scoped(\n    a: u8,\n) {\n    a;\n}\n";
    assert_eq!(functions(text), [("pub(in a::b) fn scoped(", 5)]);
    let text = "export async function Long({\n  a,\n}: Props) {\n  return a;\n}\n\nconst one = (a) => a;\nconst two = () => {\n  \
                a();\n};\nconst view = () => (\n  <a />\n);\n";
    let found = [("export async function Long({", 5), ("const two = () => {", 3), ("const view = () => (", 3)];
    assert_eq!(functions(text), found);
}
