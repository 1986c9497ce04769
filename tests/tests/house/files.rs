//! The files of the repository.

use std::path::{Path, PathBuf};

use sluice_tests::repository;

/// A file and its text.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// All files of the repository with one of these extensions, without what is built or fetched.
pub(crate) fn sources(extensions: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    gather(&repository(), extensions, &mut found);
    assert!(found.len() > 10, "only {} files of {extensions:?} in {}", found.len(), repository().display());
    found
}

fn gather(dir: &Path, extensions: &[&str], found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "node_modules", "dist"].contains(&&*name) {
                gather(&path, extensions, found);
            }
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|one| extension == *one)) {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push(Source { path, text });
        }
    }
}
