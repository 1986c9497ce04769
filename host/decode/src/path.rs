//! Paths of fields: member names joined by `.`.

/// A member name as a step of a path.
pub(super) fn escape(name: &str) -> String {
    if name.contains(['.', '\\']) { name.replace('\\', r"\\").replace('.', r"\.") } else { name.to_owned() }
}

/// The member name that a path of one step is; none for a path of several.
pub(super) fn unescape(path: &str) -> Option<String> {
    let (name, rest) = split_first(path);
    rest.is_none().then_some(name)
}

/// The first member name of a path.
pub(super) fn first_name(path: &str) -> String {
    split_first(path).0
}

/// A path's first member name, and what follows its point.
fn split_first(path: &str) -> (String, Option<&str>) {
    let (mut name, mut chars) = (String::with_capacity(path.len()), path.chars());
    while let Some(c) = chars.next() {
        match c {
            '.' => return (name, Some(chars.as_str())),
            '\\' => name.extend(chars.next()),
            c => name.push(c),
        }
    }
    (name, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_one_step_is_a_name() {
        for name in ["id", "Comm. Amount", r"a\b.", ""] {
            assert_eq!(unescape(&escape(name)).as_deref(), Some(name));
        }
        assert_eq!(unescape("a.b"), None);
        assert_eq!((first_name(r"a\.b.c"), first_name("a")), ("a.b".to_owned(), "a".to_owned()));
    }
}
