//! The columns of a delimited text.

use std::collections::{HashMap, HashSet};

use super::DecodeError;
use super::decoded::BodyLayout;
use super::path::unescape;
use super::table::{NodeId, ROOT, Table};

/// The names of a header's columns, each as the layout spells it, if it names the column.
///
/// A name is one of the layout's if it is the same, or else the same without case, spaces and underscores. Byte-order
/// marks, white space and, where the network doesn't quote, quotes around it don't count.
///
/// # Errors
/// None of the layout's columns is there; one that the mapping needs isn't; or two can be it.
pub(super) fn named(
    layout: &BodyLayout<'_>,
    names: Vec<String>,
    is_quoted: bool,
    begins: impl Fn() -> String,
) -> Result<Vec<String>, DecodeError> {
    let names: Vec<String> = names.iter().map(|name| cleaned(name, is_quoted)).collect();
    let known: Vec<String> = distinct(layout.known()).filter_map(unescape).collect();
    if known.is_empty() {
        return Ok(names);
    }
    let spellings = Spellings::of(&names);
    if !known.iter().any(|column| spellings.has(column)) {
        return Err(DecodeError::OtherHeader { begins: begins() });
    }
    let required: HashSet<String> = distinct(layout.required()).filter_map(unescape).collect();
    let exact: HashSet<&str> = known.iter().map(String::as_str).collect();
    let mut renamed = names.clone();
    for column in &known {
        // A name that is another column of the layout is that one.
        let is_free = |at: &&usize| names[**at] == *column || !exact.contains(names[**at].as_str());
        let places: Vec<usize> = spellings.of_column(column).iter().filter(is_free).copied().collect();
        match places[..] {
            [at] => renamed[at].clone_from(column),
            [first, second, ..] if required.contains(column) => {
                let headers = [first, second].map(|at| format!("{} (column {})", names[at], at + 1)).to_vec();
                return Err(DecodeError::AmbiguousColumn { column: column.clone(), headers });
            }
            _ => {}
        }
    }
    let is_missing = |column: &&String| required.contains(*column) && !spellings.has(column) && !is_position(column);
    let missing: Vec<String> = known.iter().filter(is_missing).cloned().collect();
    if missing.is_empty() { Ok(renamed) } else { Err(DecodeError::MissingColumns { missing, header: names }) }
}

/// Where the header has which names.
struct Spellings<'a> {
    exact: HashMap<&'a str, Vec<usize>>,
    loose: HashMap<String, Vec<usize>>,
}

impl<'a> Spellings<'a> {
    fn of(names: &'a [String]) -> Self {
        let (mut exact, mut loose) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (at, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            exact.entry(name.as_str()).or_default().push(at);
            loose.entry(loosely(name)).or_default().push(at);
        }
        Self { exact, loose }
    }

    /// Where the column can be: where its very name is, or else one that is written in another way.
    fn of_column(&self, column: &str) -> &[usize] {
        let loose = || self.loose.get(&loosely(column));
        self.exact.get(column).or_else(loose).map_or(&[], Vec::as_slice)
    }

    fn has(&self, column: &str) -> bool {
        !self.of_column(column).is_empty()
    }
}

fn distinct<'a>(paths: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let mut seen = HashSet::new();
    paths.filter(move |path| seen.insert(*path))
}

fn cleaned(name: &str, is_quoted: bool) -> String {
    let name = name.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let inner = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).filter(|_| !is_quoted);
    inner.map_or(name, str::trim).to_owned()
}

/// A name without case, spaces and underscores.
fn loosely(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace() && *c != '_').flat_map(char::to_lowercase).collect()
}

/// Whether a layout means the column behind the header's last by this name, which rows have, and no header.
fn is_position(column: &str) -> bool {
    column.strip_prefix("column_").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The columns by position.
#[derive(Default)]
pub(super) struct Header {
    nodes: Vec<NodeId>,
    /// Each name, and how many columns asked for it.
    names: HashMap<String, usize>,
}

impl Header {
    /// How many columns there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Makes the next column, so that it is there without a row too.
    pub(super) fn add(&mut self, name: &str, table: &mut Table) -> Result<(), DecodeError> {
        let name = match name.trim() {
            "" => format!("column_{}", self.nodes.len() + 1),
            name => name.to_owned(),
        };
        let mut unique = name.clone();
        while self.names.contains_key(&unique) {
            let asked = self.names.entry(name.clone()).or_default();
            *asked += 1;
            unique = format!("{name}_{asked}");
        }
        let node = table.child(ROOT, &mut self.nodes.len(), &unique)?;
        table.declare(node);
        self.nodes.push(node);
        self.names.insert(unique, 1);
        Ok(())
    }

    #[inline]
    pub(super) fn node(&mut self, at: usize, table: &mut Table) -> Result<NodeId, DecodeError> {
        while self.nodes.len() <= at {
            self.add("", table)?;
        }
        Ok(self.nodes[at])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;
    use sluice_model::{Format, Kind, Layout, Pin};

    use super::*;

    fn layout(inputs: &[&str]) -> Layout {
        let inputs = inputs.iter().map(|&input| input.to_owned()).collect();
        let pins = vec![Pin { path: "Amount".into(), kind: Kind::Decimal }];
        Layout { format: Format::Opaque, pins, inputs, key: vec!["TransID".into()] }
    }

    fn names(inputs: &[&str], header: &[&str]) -> Result<Vec<String>, String> {
        let layout = layout(inputs);
        let header = header.iter().map(|&name| name.to_owned()).collect();
        named(&BodyLayout::from(&layout), header, false, || "…".to_owned()).map_err(|error| error.to_string())
    }

    fn right(inputs: &[&str], header: &[&str]) -> String {
        names(inputs, header).unwrap().join("|")
    }

    #[test]
    fn case_spaces_and_underscores_do_not_count() {
        let header = ["Trans ID", "user_id", "BANNER_Page", "amount", "Comm. Amount", "Other Name"];
        let inputs = ["UserID", "bannerpage", r"Comm\. Amount"];
        assert_eq!(right(&inputs, &header), "TransID|UserID|bannerpage|Amount|Comm. Amount|Other Name");
    }

    #[test]
    fn a_mark_or_quotes_around_a_name_do_not_count() {
        assert_eq!(right(&[], &["\u{feff}\"TransID\"", " \"Amount\" "]), "TransID|Amount");
        assert_eq!(right(&[], &["\u{feff}trans id"]), "TransID");
    }

    #[test]
    fn the_very_name_wins() {
        assert_eq!(
            right(&["TransId"], &["Trans ID", "TransID", "trans_id", "TransId"]),
            "Trans ID|TransID|trans_id|TransId"
        );
        // Of two spellings in the layout, one is in the header: the other is no missing column.
        assert_eq!(right(&["Trans ID"], &["Trans ID", "x"]), "Trans ID|x");
    }

    #[test]
    fn two_columns_that_can_be_one_are_refused() {
        let refused = names(&[], &["Trans ID", "x", "trans_id"]).unwrap_err();
        assert_eq!(
            refused,
            "column `TransID` is ambiguous: the header has `Trans ID (column 1)`, `trans_id (column 3)`"
        );
        assert!(names(&[], &["TransID", "TransID"]).unwrap_err().starts_with("column `TransID` is ambiguous"));
        // A pin is no need of the mapping.
        assert_eq!(right(&[], &["TransID", "AMOUNT", "a_mount"]), "TransID|AMOUNT|a_mount");
    }

    #[test]
    fn a_column_that_the_mapping_needs_is_not_null() {
        let refused = names(&["Commission", "TransID", "column_27"], &["Trans ID", "Comission"]).unwrap_err();
        assert_eq!(refused, "header has no column `Commission`; it has `Trans ID`, `Comission`");
        assert_eq!(
            names(&["Commission"], &["Error"]).unwrap_err(),
            "header has no field of the layout: it begins with `…`"
        );
        let (layout, optional) = (layout(&["Commission"]), ["Commission".to_owned()]);
        let lenient = BodyLayout { optional: &optional, ..BodyLayout::from(&layout) };
        assert_eq!(named(&lenient, vec!["TransID".into()], false, String::new).unwrap(), ["TransID"]);
    }

    proptest! {
        #[test]
        fn any_spelling_is_found(words in proptest::collection::vec("[A-Z][a-z]{1,5}", 1..4), mask in any::<u32>()) {
            let column = words.concat();
            let spell = |(n, word): (usize, &String)| match (mask >> (2 * n)) & 3 {
                0 => format!(" {word}"),
                1 => format!("_{}", word.to_uppercase()),
                2 => word.to_lowercase(),
                _ => word.clone(),
            };
            let spelled: String = words.iter().enumerate().map(spell).collect();
            let names = names(&[&column], &["TransID", &spelled]).unwrap();
            prop_assert_eq!(&names[1], &column);
        }
    }
}
