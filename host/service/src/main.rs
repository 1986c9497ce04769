//! The binary `sluice`.

use std::process::ExitCode;

use clap::Parser;
use sluice_service::cli::{Cli, OutputForm};
use sluice_service::commands;

/// Flushes of the tables' writer allocate and free some hundred MiB on changing threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long a thread for guests and files waits for more: each keeps memory of its own back from the rest. Their number
/// stays unlimited, since reading a table's log blocks one of them until others have read its files.
const IDLE_THREAD: std::time::Duration = std::time::Duration::from_millis(100);

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
        .thread_keep_alive(IDLE_THREAD)
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
