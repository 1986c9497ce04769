//! The binary `sluice`.

use std::process::ExitCode;

use clap::Parser;
use sluice_service::cli::{Cli, OutputForm};
use sluice_service::commands;

/// Flushes of the tables' writer allocate and free some hundred MiB on changing threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.output == OutputForm::Json;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SLUICE_LOG")
                .unwrap_or_else(|_| commands::default_log(&cli.command).into()),
        )
        .init();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(blocking_threads())
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(commands::execute(cli)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", failure.render(json));
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Threads for guests and files. Guests take one per core at most; each further one keeps memory of its own back from
/// the rest.
fn blocking_threads() -> usize {
    2 + std::thread::available_parallelism().map_or(1, usize::from)
}
