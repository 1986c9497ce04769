//! Where log lines and spans go: lines to standard error, as text or JSON; spans to a collector, if the binary can.

#[cfg(feature = "otlp")]
mod traces;

use tokio::runtime::Runtime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::arguments::Cli;
use crate::{commands, progress};

/// The log, as long as it lives. Dropped, it sends the last spans, for which the runtime must still be there.
pub(crate) struct Log {
    #[cfg(feature = "otlp")]
    _traces: Option<traces::Traces>,
}

/// Starts the log that a command wants, and the environment.
pub(crate) fn start(cli: &Cli, runtime: &Runtime) -> Log {
    let filter = EnvFilter::try_from_env("SLUICE_LOG").unwrap_or_else(|_| commands::default_log(&cli.command).into());
    let lines = fmt::layer().with_writer(|| progress::LogWriter).with_ansi(progress::takes_colours());
    let lines = match std::env::var("SLUICE_LOG_FORMAT").is_ok_and(|format| format == "json") {
        true => lines.json().with_filter(filter).boxed(),
        false => lines.with_filter(filter).boxed(),
    };
    let subscriber = Registry::default().with(lines);
    #[cfg(feature = "otlp")]
    {
        let started = traces::endpoint().and_then(|endpoint| traces::start(runtime.handle(), &endpoint));
        let (traces, layer) = started.unzip();
        subscriber.with(layer).init();
        Log { _traces: traces }
    }
    #[cfg(not(feature = "otlp"))]
    {
        let _ = runtime;
        subscriber.init();
        Log {}
    }
}
