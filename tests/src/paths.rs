//! Where the build left things.

use std::path::PathBuf;

/// The target directory that this test was built into.
pub fn target_dir() -> PathBuf {
    // …/debug/deps/flow-0123
    let built = std::env::current_exe().ok();
    let target = built.as_deref().and_then(|path| path.ancestors().nth(3)).map(PathBuf::from);
    target.unwrap_or_else(|| repository().join("target"))
}

/// The binary under test.
pub fn sluice_binary() -> PathBuf {
    let built = std::env::current_exe().ok();
    let folder = built.as_deref().and_then(|path| path.ancestors().nth(2)).map(PathBuf::from);
    folder.unwrap_or_else(|| target_dir().join("debug")).join("sluice")
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
