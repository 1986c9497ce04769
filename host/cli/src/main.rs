//! The binary `sluice`: arguments, settings, commands. It prints typed reports that library calls returned.

mod arguments;
mod commands;
mod progress;
#[cfg(feature = "otlp")]
mod traces;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use sluice_runtime::failure::Failure;
use sluice_runtime::own_command::step_back;
use tokio::runtime::Handle;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::arguments::{Cli, Command, OutputForm};

/// How long a thread for guests and files waits for more. Their number stays unlimited, since reading a table's log
/// blocks one of them until others have read its files.
const IDLE_THREAD: std::time::Duration = std::time::Duration::from_millis(100);

/// The stack of a thread: that of the main thread, on which commands run. Jobs of the HTTP API run the same futures on
/// others, and without optimisation these overflow the default of 2 MiB.
const STACK_BYTES: usize = 8 << 20;

fn main() -> ExitCode {
    let cli = Cli::parse();
    step_back();
    let json = cli.output == OutputForm::Json;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().thread_keep_alive(IDLE_THREAD).thread_stack_size(STACK_BYTES);
    if matches!(cli.command, Command::WireSession) {
        // A query may keep a thread per core busy without a pause: one is left for its client.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        runtime.worker_threads(cores + 1);
    }
    let runtime = match runtime.build() {
        Ok(runtime) => runtime,
        Err(error) => return ExitCode::from(failed(&error.into(), json)),
    };
    let tracing = match Tracing::start(commands::default_log(&cli.command), runtime.handle()) {
        Ok(tracing) => tracing,
        Err(failure) => return ExitCode::from(failed(&failure, json)),
    };
    let done = runtime.block_on(commands::execute(cli));
    tracing.end();
    match done {
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

/// What is logged, and traced where that is built in.
struct Tracing {
    #[cfg(feature = "otlp")]
    traces: Option<traces::Traces>,
}

impl Tracing {
    /// Begins to log, by this filter unless the environment has another one.
    #[cfg_attr(not(feature = "otlp"), expect(clippy::unnecessary_wraps, reason = "a collector may be named wrongly"))]
    fn start(default_log: &str, runtime: &Handle) -> Result<Self, Failure> {
        let filter = EnvFilter::try_from_env("SLUICE_LOG").unwrap_or_else(|_| default_log.into());
        let log = fmt::layer().with_writer(|| progress::LogWriter).with_ansi(progress::takes_colours());
        let log = if std::env::var("SLUICE_LOG_FORMAT").is_ok_and(|format| format == "json") {
            log.json().with_filter(filter).boxed()
        } else {
            log.with_filter(filter).boxed()
        };
        let registry = tracing_subscriber::registry().with(log);
        #[cfg(feature = "otlp")]
        {
            let traces = traces::Traces::start(runtime).map_err(Failure::settings)?;
            let layer = traces.as_ref().map(|traces| {
                tracing_opentelemetry::layer().with_tracer(traces.tracer()).with_filter(EnvFilter::new(traces::SPANS))
            });
            registry.with(layer).init();
            Ok(Self { traces })
        }
        #[cfg(not(feature = "otlp"))]
        {
            let _ = runtime;
            registry.init();
            Ok(Self {})
        }
    }

    /// Sends what is left of traces. The runtime must still be there.
    fn end(&self) {
        #[cfg(feature = "otlp")]
        self.traces.iter().for_each(traces::Traces::shut_down);
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
