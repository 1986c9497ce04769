//! Lists the files of the console for `src/console.rs`, where the feature of that name is on.
//!
//! `memory-serve` would do this and need its dependencies at build time too. Their features change those of other build
//! scripts' dependencies, and with them 300 crates: whoever turned the feature on would build all of them again.

use std::fs;
use std::io::{Error, Result};
use std::path::Path;

/// What `just console` makes, from the package's folder.
const DIST: &str = "console/dist";

fn main() -> Result<()> {
    // Nothing else that is in this folder: it also holds what npm installs.
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={DIST}");
    if std::env::var_os("CARGO_FEATURE_CONSOLE").is_none() {
        return Ok(());
    }
    if !fs::exists(format!("{DIST}/index.html"))? {
        println!("cargo::error=the feature `console` embeds what isn't built yet: run `just console`");
        return Ok(());
    }
    let mut list = String::from("&[\n");
    for folder in [DIST.to_owned(), format!("{DIST}/assets")] {
        for entry in fs::read_dir(folder)? {
            add(&entry?.path(), &mut list)?;
        }
    }
    list.push_str("]\n");
    let out = std::env::var_os("OUT_DIR").ok_or_else(|| Error::other("cargo sets no OUT_DIR"))?;
    fs::write(Path::new(&out).join("files.rs"), list)
}

/// Adds a file with its packed form, which the build of the page makes beside it.
fn add(path: &Path, list: &mut String) -> Result<()> {
    let is_packed = path.extension().is_some_and(|extension| extension == "br");
    if is_packed || path.is_dir() {
        return Ok(());
    }
    let url = path.strip_prefix(DIST).map_err(Error::other)?.display();
    // By the package's folder as it is then: another clone with this target directory gets this list too.
    let embedded = |end: &str| format!("include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{DIST}/{url}{end}\"))");
    let (bytes, packed) = (embedded(""), embedded(".br"));
    list.push_str(&format!("    File {{ path: \"/{url}\", bytes: {bytes}, packed: {packed} }},\n"));
    Ok(())
}
