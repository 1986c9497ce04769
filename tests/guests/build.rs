//! A guest without an expected outcome fails the build.

use std::path::Path;

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=.");
    for entry in Path::new(".").read_dir()? {
        let folder = entry?.path();
        let holds_a_guest = folder.is_dir() && !folder.ends_with("src");
        if holds_a_guest && !folder.join("expect.json").is_file() {
            let name = folder.file_name().unwrap_or_default().display();
            return Err(std::io::Error::other(format!(
                "tests/guests/{name}: no expect.json gives its expected outcome"
            )));
        }
    }
    Ok(())
}
