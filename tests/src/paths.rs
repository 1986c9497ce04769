//! Where the build left things.

use std::path::{Path, PathBuf};

/// The folder of the build's binaries, of which this is one or a test.
fn binaries_dir() -> Option<PathBuf> {
    let built = std::env::current_exe().ok()?;
    let folder = built.parent()?;
    // …/debug/deps/flow-0123, or …/debug/sluice-bench
    if folder.ends_with("deps") { folder.parent().map(PathBuf::from) } else { Some(folder.to_owned()) }
}

/// The target directory that this test was built into.
pub fn target_dir() -> PathBuf {
    let target = binaries_dir().and_then(|folder| folder.parent().map(PathBuf::from));
    target.unwrap_or_else(|| repository().join("target"))
}

/// The binary under test.
pub fn sluice_binary() -> PathBuf {
    binaries_dir().unwrap_or_else(|| target_dir().join("debug")).join("sluice")
}

/// The built connectors.
pub fn connectors_dir() -> PathBuf {
    std::env::var_os("SLUICE_CONNECTORS").map_or_else(|| target_dir().join("connectors"), PathBuf::from)
}

/// The repository's root.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A program of the Python tools that `just tools` installs.
pub fn python_tool(name: &str) -> PathBuf {
    std::env::var_os("SLUICE_PYTHON").map_or_else(|| target_dir().join("python"), PathBuf::from).join("bin").join(name)
}

/// The program that tries an HTTP API by its description, which `just tools` installs.
pub fn schemathesis() -> PathBuf {
    target_dir().join("schemathesis/bin/schemathesis")
}

/// The Python that has Sail, which `just tools` installs.
pub fn sail_python() -> PathBuf {
    target_dir().join("sail/bin/python")
}

/// The Python environment of componentize-py, which `just tools` installs.
pub fn componentize_py() -> PathBuf {
    let folder = target_dir().join("componentize-py");
    std::path::absolute(&folder).unwrap_or(folder)
}

/// The Python environment that has Go, which `just tools` installs.
pub fn go() -> PathBuf {
    let folder = target_dir().join("go");
    std::path::absolute(&folder).unwrap_or(folder)
}

/// Shows `see` every file below a folder: its name, and its bytes as they are and, if they are packed, unpacked.
///
/// # Errors
/// A file that can't be read.
pub fn visit_files(dir: &Path, see: &mut dyn FnMut(&str, &[u8])) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            visit_files(&path, see)?;
            continue;
        }
        let bytes = std::fs::read(&path)?;
        let name = path.display().to_string();
        if let Ok(unpacked) = zstd::decode_all(&bytes[..]) {
            see(&name, &unpacked);
        }
        see(&name, &bytes);
    }
    Ok(())
}

/// Copies a folder with all that is in it.
///
/// # Errors
/// A file that can't be read or written.
pub fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
