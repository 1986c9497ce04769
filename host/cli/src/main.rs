//! The binary `sluice`: arguments, settings, commands. It prints typed reports that library calls returned.

mod arguments;
mod commands;
mod progress;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use sluice_runtime::failure::Failure;

use crate::arguments::{Cli, OutputForm};

/// How long a thread for guests and files waits for more. Their number stays unlimited, since reading a table's log
/// blocks one of them until others have read its files.
const IDLE_THREAD: std::time::Duration = std::time::Duration::from_millis(100);

/// The stack of a thread: that of the main thread, on which commands run. Jobs of the HTTP API run the same futures on
/// others, and without optimisation these overflow the default of 2 MiB.
const STACK_BYTES: usize = 8 << 20;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.output == OutputForm::Json;
    let log = tracing_subscriber::fmt()
        .with_writer(|| progress::LogWriter)
        .with_ansi(progress::takes_colours())
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SLUICE_LOG")
                .unwrap_or_else(|_| commands::default_log(&cli.command).into()),
        );
    match std::env::var("SLUICE_LOG_FORMAT").is_ok_and(|format| format == "json") {
        true => log.json().init(),
        false => log.init(),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(IDLE_THREAD)
        .thread_stack_size(STACK_BYTES)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return ExitCode::from(failed(&error.into(), json)),
    };
    match runtime.block_on(commands::execute(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let code = failed(&failure, json);
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
