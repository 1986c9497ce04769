//! How long files and functions may be.

use crate::files::sources;

/// Lines of a file.
const FILE: usize = 400;
/// Lines of a function, from its `fn` to its closing brace.
const FUNCTION: usize = 60;

#[test]
fn no_file_of_code_is_too_long() {
    let lines = |text: &str| text.lines().count();
    let long: Vec<_> = sources(&["rs"])
        .iter()
        .filter(|source| lines(&source.text) > FILE)
        .map(|source| format!("{} ({})", source.path.display(), lines(&source.text)))
        .collect();
    assert!(long.is_empty(), "split these by what their second half is about: {long:?}");
}

#[test]
fn no_function_is_too_long() {
    let mut long = Vec::new();
    for source in sources(&["rs"]) {
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
            line.trim_start().len() == rest.len() && (rest == "}" || (rest.starts_with(')') && rest.ends_with(';')))
        });
        end.map(|end| (lines[at], end + 1))
    };
    starts.filter_map(length).collect()
}

fn is_function(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let before = ["pub", "async", "unsafe", "default", "const", "extern", "\"C\""];
    words.find(|word| !before.contains(word) && !word.starts_with("pub(")) == Some("fn")
}

#[test]
fn counts_the_lines_of_functions() {
    let text = "impl A {\n    pub(crate) async fn long(\n        a: u8,\n    ) -> u8 {\n        a\n    }\n\n    fn one() {}\n}\n\n\
                trait B {\n    fn declared(\n        a: u8,\n    );\n}\n";
    assert_eq!(functions(text), [("    pub(crate) async fn long(", 5), ("    fn declared(", 3)]);
}
