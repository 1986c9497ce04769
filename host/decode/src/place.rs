//! Places in a body, as layouts and connectors name them.

use super::{DecodeError, MAX_DEPTH, cut};

/// A step of a JSON Pointer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Every member of an object or array.
    Any,
    /// The member of this name, or the element of this index.
    Member(String),
}

impl Step {
    /// The index in an array that this step means, if it does mean one (RFC 6901: no sign, no leading zeros).
    pub(super) fn index(&self) -> Option<usize> {
        match self {
            Self::Member(name) if name == "0" => Some(0),
            Self::Member(name) if name.starts_with(|c: char| ('1'..='9').contains(&c)) => name.parse().ok(),
            _ => None,
        }
    }
}

/// The steps of a records' place: a JSON Pointer in which `*` goes through every member.
pub(super) fn pointer_steps(place: &str) -> Result<Vec<Step>, DecodeError> {
    let steps = pointer_names(place)?.into_iter();
    Ok(steps.map(|name| if name == "*" { Step::Any } else { Step::Member(name) }).collect())
}

/// The member names of a JSON Pointer (RFC 6901).
pub(super) fn pointer_names(place: &str) -> Result<Vec<String>, DecodeError> {
    let bad = |reason| DecodeError::BadPlace { place: cut(place), reason };
    if place.is_empty() {
        return Ok(Vec::new());
    }
    let names = place.strip_prefix('/').ok_or_else(|| bad("a JSON Pointer is empty or starts with `/`"))?;
    let names: Vec<String> = names.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
    if names.len() > MAX_DEPTH { Err(bad("it is too deep")) } else { Ok(names) }
}

/// The element names of a path: joined by `.`, in which a `.` or `\` of a name is escaped by `\`.
pub(super) fn element_names(place: &str) -> Result<Vec<String>, DecodeError> {
    let bad = |reason| DecodeError::BadPlace { place: cut(place), reason };
    let mut names = vec![String::new()];
    let mut chars = place.chars();
    while let Some(c) = chars.next() {
        match (c, names.last_mut()) {
            ('.', _) => names.push(String::new()),
            ('\\', Some(name)) => name.push(chars.next().ok_or_else(|| bad("it ends with `\\`"))?),
            (c, Some(name)) => name.push(c),
            (_, None) => {}
        }
    }
    if names.len() > MAX_DEPTH {
        Err(bad("it is too deep"))
    } else if names.iter().any(String::is_empty) {
        Err(bad("a name is empty"))
    } else {
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn pointers_are_unescaped() {
        assert_eq!(pointer_names("").unwrap(), [""; 0]);
        assert_eq!(pointer_names("/").unwrap(), [""]);
        assert_eq!(pointer_names("/a~1b/m~0n/~01").unwrap(), ["a/b", "m~n", "~1"]);
        assert_eq!(pointer_steps("/*/1").unwrap(), [Step::Any, Step::Member("1".into())]);
        assert!(pointer_names("data").is_err());
        assert!(pointer_names(&"/a".repeat(129)).is_err());
    }

    #[test]
    fn an_index_has_no_leading_zeros() {
        let index = |name: &str| Step::Member(name.into()).index();
        assert_eq!(
            (index("0"), index("17"), index("01"), index("+1"), index("a")),
            (Some(0), Some(17), None, None, None)
        );
    }

    #[test]
    fn element_names_may_hold_points() {
        assert_eq!(element_names(r"Envelope.Body.a\.b.*").unwrap(), ["Envelope", "Body", "a.b", "*"]);
        assert!(element_names("").is_err() && element_names("a..b").is_err() && element_names("a\\").is_err());
    }
}
