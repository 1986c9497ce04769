//! `sluice completions` and `sluice man`: made from the arguments themselves, so that they fit the binary that prints them.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use sluice_runtime::failure::Failure;

use crate::arguments::Cli;

/// Prints the completions of a shell.
///
/// # Errors
/// A standard output that is closed.
pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sluice", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

/// Prints the manual page, or writes one per command into a folder.
///
/// # Errors
/// A folder that can't be written; a standard output that is closed.
pub(super) fn man(dir: Option<&Path>) -> Result<(), Failure> {
    let Some(dir) = dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        return Ok(std::io::stdout().write_all(&page)?);
    };
    std::fs::create_dir_all(dir)?;
    Ok(clap_mangen::generate_to(Cli::command(), dir)?)
}
