//! A machine's wall clock that a test sets while processes go by it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use tempfile::TempDir;

use crate::{Operator, repository};

/// The wall clock of an operator's commands.
pub struct WallClock {
    ahead: File,
    _dir: TempDir,
}

impl WallClock {
    /// That of all commands of an operator from now on. It goes right until it is set.
    ///
    /// # Errors
    /// No C compiler, or a failure to write its files.
    pub fn of(operator: &mut Operator) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("sluice-clock-").tempdir()?;
        let (library, file) = (dir.path().join("clock.so"), dir.path().join("ahead"));
        let source = repository().join("tests/src/clock.c");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
        ensure!(built.context("no C compiler")?.success(), "the library of the clock isn't built");
        let ahead = File::create_new(&file)?;
        ahead.write_all_at(&0_i64.to_ne_bytes(), 0)?;
        operator.set("LD_PRELOAD", &library.display().to_string());
        operator.set("SLUICE_TEST_CLOCK", &file.display().to_string());
        Ok(Self { ahead, _dir: dir })
    }

    /// Sets it, at once for processes that run too. It goes on from there.
    ///
    /// # Errors
    /// A failure to write its file.
    pub fn set(&self, to: DateTime<Utc>) -> anyhow::Result<()> {
        let ahead_secs = (to - Utc::now()).num_seconds();
        Ok(self.ahead.write_all_at(&ahead_secs.to_ne_bytes(), 0)?)
    }
}
