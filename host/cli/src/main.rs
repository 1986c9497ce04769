//! The binary `sluice`: arguments, settings, commands. It prints typed reports that library calls returned.

mod arguments;
mod commands;
mod log;
mod progress;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use sluice_runtime::failure::Failure;

use crate::arguments::{Cli, OutputForm};

/// How long a thread for guests and files waits for more. Their number stays unlimited, since reading a table's log
/// blocks one of them until others have read its files.
const IDLE_THREAD: std::time::Duration = std::time::Duration::from_millis(100);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.output == OutputForm::Json;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_keep_alive(IDLE_THREAD).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return ExitCode::from(failed(&error.into(), json)),
    };
    let log = log::start(&cli, &runtime);
    match runtime.block_on(commands::execute(cli)) {
        Ok(()) => {
            drop(log);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let code = failed(&failure, json);
            drop(log);
            // What is still under way is given up as if the process were killed. Its threads would wait for each other, and
            // some panic when others are gone.
            std::mem::forget(runtime);
            ExitCode::from(code)
        }
    }
}

/// Prints a failure and gives its exit code. A reader that stops reading, such as `head`, is no failure.
fn failed(failure: &Failure, json: bool) -> u8 {
    if failure.is_closed_output() {
        return 0;
    }
    // Where standard error is closed too, only the exit code is left.
    let _ = writeln!(std::io::stderr(), "{}", failure.render(json));
    failure.exit as u8
}
