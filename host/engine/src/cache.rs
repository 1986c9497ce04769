//! Compiled components on disk, by digest and by what compiled them.
//!
//! Its files are run as machine code, so a file is used only if it is exactly what this cache wrote: its first
//! 32 bytes are a BLAKE3 of the rest, keyed by the component's digest and the compiler's settings. That finds damage
//! and mix-ups. Against somebody who can write here nothing helps, which is why the directory is the user's alone.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

use sluice_model::Digest;
use wasmtime::component::Component;

use crate::error::{Error, LoadFault};

const CHECK_BYTES: usize = 32;

/// A directory of compiled components.
pub(crate) struct Cache {
    dir: PathBuf,
    compatibility: String,
}

impl Cache {
    /// The cache in `dir`, which is made if it isn't there, readable and writable by this user only.
    pub(crate) fn open(dir: PathBuf, engine: &wasmtime::Engine) -> Result<Self, Error> {
        make_private_dir(&dir).map_err(|source| Error::Path {
            action: "write",
            path: dir.clone(),
            source: source.into(),
        })?;
        let mut hasher = Blake3Hasher(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { dir, compatibility: hasher.0.finalize().to_hex()[..16].to_owned() })
    }

    /// The component's machine code as it was kept, else as `compile` gives it, which is then kept.
    pub(crate) fn get_or_compile(
        &self,
        engine: &wasmtime::Engine,
        digest: Digest,
        compile: impl FnOnce() -> Result<Component, LoadFault>,
    ) -> Result<Component, LoadFault> {
        let path = self.dir.join(format!("{digest}-{}.cwasm", self.compatibility));
        if let Some(component) = self.read(engine, &path, digest) {
            return Ok(component);
        }
        let component = compile()?;
        // A cache that can't be written costs time and nothing else.
        if let Err(error) = self.write(&path, digest, &component) {
            tracing::warn!(path = %path.display(), %error, "cannot keep a compiled component");
        }
        Ok(component)
    }

    fn read(&self, engine: &wasmtime::Engine, path: &Path, digest: Digest) -> Option<Component> {
        let file = fs::read(path).ok()?;
        let (check, code) = file.split_at_checked(CHECK_BYTES)?;
        if self.check(digest, code).as_bytes() != check {
            tracing::warn!(path = %path.display(), "a compiled component is damaged: compiling it again");
            return None;
        }
        deserialize(engine, code)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "cannot use a compiled component"))
            .ok()
    }

    fn write(&self, path: &Path, digest: Digest, component: &Component) -> wasmtime::Result<()> {
        let code = component.serialize()?;
        let temporary = path.with_extension(format!("{}-{:?}.tmp", std::process::id(), std::thread::current().id()));
        let written = (|| {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(self.check(digest, &code).as_bytes())?;
            file.write_all(&code)?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        Ok(written?)
    }

    fn check(&self, digest: Digest, code: &[u8]) -> blake3::Hash {
        let key = blake3::hash(format!("sluice cwasm {digest} {}", self.compatibility).as_bytes());
        blake3::keyed_hash(key.as_bytes(), code)
    }
}

#[expect(unsafe_code, reason = "wasmtime can't check machine code: the caller has checked that this cache wrote it")]
fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `read` calls this only with bytes whose keyed digest stands before them, as `write` put them there from
    // `Component::serialize`; wasmtime itself checks that its version and settings are the same.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(unix)]
fn make_private_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    // One that was there before may have been open to others.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn make_private_dir(dir: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir)
}

/// Hashes alike in every process, which std's hasher doesn't guarantee.
struct Blake3Hasher(blake3::Hasher);

impl Hasher for Blake3Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.finalize().as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::cell::Cell;

    use super::*;

    const COMPONENT: &[u8] = b"(component)";

    struct Bench {
        engine: wasmtime::Engine,
        cache: Cache,
        dir: tempfile::TempDir,
        compiled: Cell<u32>,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let engine = wasmtime::Engine::default();
            let cache = Cache::open(dir.path().join("cache"), &engine).unwrap();
            Self { engine, cache, dir, compiled: Cell::new(0) }
        }

        fn get(&self) {
            let wasm = wat::parse_bytes(COMPONENT).unwrap();
            let compile = || {
                self.compiled.set(self.compiled.get() + 1);
                Ok(Component::from_binary(&self.engine, &wasm).unwrap())
            };
            self.cache.get_or_compile(&self.engine, Digest::of(&wasm), compile).unwrap();
        }

        fn file(&self) -> PathBuf {
            fs::read_dir(self.dir.path().join("cache")).unwrap().next().unwrap().unwrap().path()
        }
    }

    #[test]
    fn compiles_once() {
        let bench = Bench::new();
        bench.get();
        bench.get();
        assert_eq!(bench.compiled.get(), 1);
    }

    #[test]
    fn a_damaged_file_is_compiled_again() {
        let bench = Bench::new();
        bench.get();
        let mut bytes = fs::read(bench.file()).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(bench.file(), &bytes).unwrap();
        bench.get();
        assert_eq!(bench.compiled.get(), 2);
        fs::write(bench.file(), b"short").unwrap();
        bench.get();
        assert_eq!(bench.compiled.get(), 3);
        bench.get();
        assert_eq!(bench.compiled.get(), 3);
    }

    #[cfg(unix)]
    #[test]
    fn the_directory_is_the_users_alone() {
        use std::os::unix::fs::PermissionsExt;
        let bench = Bench::new();
        let mode = fs::metadata(bench.dir.path().join("cache")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
