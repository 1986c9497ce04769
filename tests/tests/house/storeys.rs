//! What stands below within the two largest crates: a file that many use knows none of those who use it.

use sluice_tests::repository;

/// Files, and the modules of their crates that each may know.
const BELOW: &[(&str, &[&str])] = &[
    ("runtime/src/failure.rs", &[]),
    ("runtime/src/meter.rs", &[]),
    ("runtime/src/memory.rs", &[]),
    ("runtime/src/guests.rs", &["failure"]),
    ("runtime/src/duplicates.rs", &["failure"]),
    ("runtime/src/withheld.rs", &["failure", "meter"]),
    ("runtime/src/free_space.rs", &["failure", "settings"]),
    ("runtime/src/query_workers.rs", &["failure", "settings"]),
    ("runtime/src/network.rs", &["failure", "settings"]),
    ("runtime/src/slice_done.rs", &["failure", "guests", "schedule"]),
    ("runtime/src/widths.rs", &["failure", "slice_done"]),
    (
        "runtime/src/app.rs",
        &[
            "failure",
            "free_space",
            "guests",
            "memory",
            "meter",
            "network",
            "query_workers",
            "settings",
            "step",
            "swap_plan",
        ],
    ),
    ("lake/src/lake.rs", &["error"]),
    ("lake/src/lineage.rs", &["append", "hash", "month"]),
    ("lake/src/counts.rs", &["append"]),
];

#[test]
fn what_many_use_knows_nobody_who_uses_it() {
    for (file, allowed) in BELOW {
        let text = std::fs::read_to_string(repository().join("host").join(file)).unwrap();
        for module in known(&text) {
            assert!(allowed.contains(&module.as_str()), "host/{file} may not know `{module}`, only {allowed:?}");
        }
    }
}

/// The modules of its crate that a file names outside comments and tests.
fn known(text: &str) -> Vec<String> {
    let lines = text.lines().take_while(|line| !line.starts_with("mod tests"));
    let code: Vec<&str> = lines.filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut modules = Vec::new();
    for path in code.split("crate::").skip(1) {
        let group = path.strip_prefix('{').and_then(|group| group.split_once('}'));
        let names: Vec<&str> = group.map_or_else(|| vec![path], |(names, _)| names.split(',').collect());
        modules.extend(names.into_iter().map(first_word).filter(|name| !name.is_empty()));
    }
    modules
}

fn first_word(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn finds_what_a_file_knows() {
    let text = "use crate::a::{B, C};\nuse crate::{d, e::F,\n};\n// crate::g\nfn f() -> crate::h::I {}\n#[cfg(test)]\n\
                mod tests {\n    use crate::z;\n}\n";
    assert_eq!(known(text), ["a", "d", "e", "h"]);
}
