//! Tells builds apart whose plans differ: hosts of one version share queries only if they are of one state of the sources.
//!
//! `SLUICE_PLANS` is a hash of what writes, reads and computes plans, and of the versions of all crates. It is the same wherever
//! the same sources are built.

use std::fs;
use std::io::Result;
use std::path::{Path, PathBuf};

/// Their sources decide what a plan is and what it gives.
const FOLDERS: [&str; 3] = ["src", "../lake/src", "../model/src"];
/// The versions of all crates.
const LOCK: &str = "../../Cargo.lock";

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={LOCK}");
    let mut files = vec![PathBuf::from(LOCK)];
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
        add(Path::new(folder), &mut files)?;
    }
    files.sort();
    let mut hash = FNV_OFFSET;
    for file in files {
        hash = hashed(hash, file.to_string_lossy().as_bytes());
        hash = hashed(hash, &fs::read(&file)?);
    }
    println!("cargo::rustc-env=SLUICE_PLANS={hash:016x}");
    Ok(())
}

/// Adds the files of a folder and of those in it.
fn add(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            add(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// FNV-1a, and a byte that ends each part.
fn hashed(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().chain([&0]).fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}
