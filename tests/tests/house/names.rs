//! One word per thing: names that were replaced don't come back, and a name with a meaning of its own has one
//! definition. `docs/glossary.md` lists the terms.

use std::path::Path;

use sluice_tests::repository;

use crate::files::{Source, sources};

/// Words that were replaced. None of them is needed in code, comments or documentation.
const REPLACED: &[(&str, &str)] = &[
    ("way_after", "refreshed_client"),
    ("SecretsAnew", "SecretReloader"),
    ("try_own", "try_acquire"),
    ("swap_mark", "change_marker"),
    ("note_found", "save_candidate"),
    ("Heard", "DecisionPoller"),
    ("said", "output, or what the field says: logged, reported, decided"),
    ("say_once", "log_on_change"),
    ("told", "output, or what the field says: logged, reported, shown"),
    ("Vitals", "ServiceStats"),
    ("note_looks", "mark_rules_done"),
    ("BEGAN", "RUN_STARTED"),
    ("TokenName", "TokenKey"),
    ("tell_apart", "disambiguate"),
    ("spelt", "parse_hex"),
    ("Likeness", "TableSpec"),
    ("ensure_like", "create_if_missing"),
    ("lacking", "missing_raw"),
    ("MOST_PATIENCE", "MAX_WAIT"),
    ("LINGERS", "CONNECTOR_LINGER"),
    ("gone on with", "resumed"),
    ("broken off", "interrupted"),
    ("in vain", "cannot be answered"),
    ("became of", "outcome"),
    ("become of", "outcome"),
    ("becomes of", "outcome"),
];

/// Names of types, functions, modules and constants that were replaced, but are common words elsewhere.
const UNDEFINED: &[(&str, &str)] = &[
    ("Way", "AccountClient"),
    ("Door", "LockBackend"),
    ("Owner", "Claim"),
    ("Word", "Decision"),
    ("say", "record_decision"),
    ("Found", "CandidateStatus"),
    ("hear", "poll_decisions"),
    ("tell", "report_run"),
    ("Pulse", "Heartbeat"),
    ("beat", "record"),
    ("looks", "rule_runs"),
    ("Keeper", "TokenStore or MaintenanceScheduler"),
    ("Keeping", "TokenPersistence"),
    ("Course", "RequestChain"),
    ("after", "admit"),
    ("turns", "response_permits"),
    ("Place", "Partition or JsonPointer"),
    ("Kept", "ResumedResponse"),
    ("Outcome", "what it is the outcome of"),
    ("halves", "key_prefixes"),
    ("digits", "to_hex, or what is done with the digits"),
    ("ordinal", "request_ordinal"),
    ("Design", "TableSpec"),
    ("Seen", "RunObservations"),
    ("took", "set_guest_time"),
    ("Latest", "LatestRow, LatestVersions or KeyStates"),
    ("Held", "what is held: HeldResponse, HeldLease, HeldFile or HeldMemory"),
];

/// Names that had several meanings and have one: at most one type and one function carry each.
const ONCE: &[&str] = &[
    "Candidate",
    "Change",
    "Gate",
    "JsonPointer",
    "Part",
    "Partition",
    "RawResponse",
    "State",
    "TrialReport",
    "Verdict",
    "holder",
    "judge",
    "settle",
    "watch",
];

/// The same for types of the host's crates; tests have their own.
const ONCE_IN_HOST: &[&str] =
    &["Answer", "Fault", "Finding", "Identity", "Judged", "Role", "Settled", "Waiting", "Work"];

/// Extensions of what is written for people to read: code, documentation, settings, and what tests expect.
const WRITTEN: &[&str] = &["rs", "md", "toml", "wit", "ts", "tsx", "mjs", "js", "sh", "py", "snap"];

#[test]
fn replaced_words_do_not_come_back() {
    let mut hits = Vec::new();
    for source in sources(WRITTEN).iter().filter(|source| !is_exempt(source)) {
        for (number, line) in source.text.lines().enumerate() {
            let found = REPLACED.iter().filter(|(word, _)| has_word(line, word));
            hits.extend(
                found.map(|(word, term)| format!("{}:{}: `{word}`: write {term}", source.path.display(), number + 1)),
            );
        }
    }
    assert!(hits.is_empty(), "{}", hits.join("\n"));
}

#[test]
fn replaced_names_are_not_defined_again() {
    let mut hits = Vec::new();
    for source in sources(&["rs"]) {
        for Definition { line, name, .. } in definitions(&source.text) {
            if let Some((_, term)) = UNDEFINED.iter().find(|(old, _)| *old == name) {
                hits.push(format!("{}:{line}: `{name}`: name it {term}", source.path.display()));
            }
        }
    }
    assert!(hits.is_empty(), "{}", hits.join("\n"));
}

#[test]
fn a_name_with_a_meaning_has_one_definition() {
    for name in ONCE {
        let mut places: Vec<(bool, String)> = Vec::new();
        for source in sources(&["rs"]) {
            let found = definitions(&source.text).into_iter().filter(|one| one.name == *name && one.keyword != "mod");
            places.extend(found.map(|one| (one.keyword == "fn", format!("{}:{}", source.path.display(), one.line))));
        }
        for is_function in [false, true] {
            let same: Vec<_> = places.iter().filter(|(kind, _)| *kind == is_function).map(|(_, at)| at).collect();
            assert!(same.len() <= 1, "`{name}` is defined several times: {same:?}");
        }
    }
}

#[test]
fn a_type_of_the_host_has_a_name_of_its_own() {
    let host: Vec<_> = sources(&["rs"]).into_iter().filter(|source| is_of_host(&source.path)).collect();
    assert!(host.len() > 100, "{}", host.len());
    for name in ONCE_IN_HOST {
        let mut places = Vec::new();
        for source in &host {
            let found = definitions(&source.text).into_iter().filter(|one| one.name == *name && one.keyword != "fn");
            places.extend(found.map(|one| format!("{}:{}", source.path.display(), one.line)));
        }
        assert!(places.len() <= 1, "`{name}` is defined several times: {places:?}");
    }
}

/// Each type of the glossary is defined in the crate that it names.
#[test]
fn the_glossary_names_what_is_defined() {
    let page = std::fs::read_to_string(repository().join("docs/glossary.md")).unwrap();
    let host: Vec<_> = sources(&["rs"]).into_iter().filter(|source| is_of_host(&source.path)).collect();
    let mut checked = 0;
    for cell in page.lines().filter_map(|line| line.trim_end_matches(" |").rsplit_once(" | ")).map(|(_, cell)| cell) {
        for (name, crates) in cell.split('`').skip(1).step_by(2).zip(cell.split('`').skip(2).step_by(2)) {
            // A table's name has a dot; what follows `::` is in the type.
            let (Some(crates), false) = (crates.trim().strip_prefix('('), name.contains('.')) else { continue };
            let crates = crates.split_once(')').map_or(crates, |(crates, _)| crates);
            let name = name.split("::").next().unwrap_or_default();
            for of in crates.split(", ") {
                let folder = repository().join("host").join(of).join("src");
                let mut files = host.iter().filter(|source| source.path.starts_with(&folder));
                let is_there = files.any(|source| definitions(&source.text).iter().any(|one| one.name == name));
                assert!(is_there, "docs/glossary.md names `{name}` of {of}, which defines no such thing");
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "{checked}");
}

/// Whether a file is of a crate of the host, and no test.
fn is_of_host(path: &Path) -> bool {
    path.strip_prefix(repository().join("host"))
        .is_ok_and(|path| !path.components().any(|part| part.as_os_str() == "tests"))
}

/// Whether a transaction is there is decided by `is_live(content_hash)` alone: a replay removes some with another `change`.
#[test]
fn no_query_asks_for_what_vanished_by_its_change() {
    let asks = |source: &&Source| is_of_host(&source.path) && source.text.contains("'vanished'");
    let sources = sources(&["rs", "sql"]);
    let hits: Vec<_> = sources.iter().filter(asks).map(|source| source.path.display()).collect();
    assert!(hits.is_empty(), "write is_live(content_hash): {hits:?}");
}

/// This list itself, the changelog, which says what was renamed, and a contract that was released and is frozen.
fn is_exempt(source: &Source) -> bool {
    ["house/names.rs", "CHANGELOG.md", "v0.2/connector.wit"].iter().any(|end| source.path.ends_with(end))
}

/// What a file defines, and in which line, counted from 1.
struct Definition<'a> {
    line: usize,
    keyword: &'a str,
    name: &'a str,
}

/// All that a file defines, types that `words!` makes included.
fn definitions(text: &str) -> Vec<Definition<'_>> {
    let mut found = Vec::new();
    let mut begins_words = false;
    for (number, line) in text.lines().enumerate() {
        let made = if begins_words { made_by_words(line) } else { None };
        begins_words = line.trim() == "words! {" || (begins_words && made.is_none());
        if let Some((keyword, name)) = made.or_else(|| definition(line)) {
            found.push(Definition { line: number + 1, keyword, name });
        }
    }
    found
}

/// The type whose name follows the documentation in a `words!`.
fn made_by_words(line: &str) -> Option<(&str, &str)> {
    let name = line.trim().strip_suffix(" {")?;
    name.chars().all(char::is_alphanumeric).then_some(("enum", name))
}

/// The keyword and the name of what a line defines.
fn definition(line: &str) -> Option<(&str, &str)> {
    const KEYWORDS: [&str; 8] = ["fn", "struct", "enum", "trait", "type", "mod", "const", "static"];
    const BEFORE: [&str; 5] = ["pub", "async", "unsafe", "default", "const"];
    let mut words = without_scope(line).split_whitespace().peekable();
    while let Some(word) = words.next() {
        let next = words.peek().copied().unwrap_or_default();
        let name = next.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        if KEYWORDS.contains(&word) && next != "fn" {
            return Some((word, name));
        }
        if !BEFORE.contains(&word) {
            return None;
        }
    }
    None
}

/// A line without the `pub(…)` that it may begin with.
pub(crate) fn without_scope(line: &str) -> &str {
    let line = line.trim_start();
    match line.strip_prefix("pub(").and_then(|rest| rest.split_once(')')) {
        Some((_, rest)) => rest,
        None => line,
    }
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word)
        .any(|(at, _)| !is_part(line[..at].chars().next_back()) && !is_part(line[at + word.len()..].chars().next()))
}

#[test]
fn finds_words_and_definitions() {
    assert!(has_word("/// What was said.", "said") && !has_word("fn unsaid(said_at: u8)", "said"));
    assert_eq!(definition("    pub(super) async fn tell(&self) {"), Some(("fn", "tell")));
    assert_eq!(definition("pub(in crate::commands) fn halves(json: bool) {"), Some(("fn", "halves")));
    assert_eq!(definition("pub enum Verdict<'a> {"), Some(("enum", "Verdict")));
    assert_eq!(definition("const fn after() {}"), Some(("fn", "after")));
    assert_eq!(definition("const LINGERS: u8 = 1;"), Some(("const", "LINGERS")));
    assert_eq!(definition("// the type Place of a thing"), None);
    let text = "words! {\n    /// Why {\n    Change {\n        FirstSeen = \"first-seen\",\n    }\n}\nimpl Change {}\n";
    let found: Vec<_> = definitions(text).into_iter().map(|one| (one.line, one.keyword, one.name)).collect();
    assert_eq!(found, [(3, "enum", "Change")]);
}
