//! Ends the process of a query that takes what the query engine doesn't count: texts that functions make, and steps that
//! never pause.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::service_stats::allocated_bytes;
use crate::settings::limits::LimitsSettings;

/// How often the memory is looked at: a query can take a gigabyte in a second.
const PERIOD: Duration = Duration::from_millis(20);
/// Beyond the limit on time, in which the query engine ends a query by itself.
const GRACE: Duration = Duration::from_secs(2);

/// Watches until it is dropped.
#[derive(Debug)]
pub struct QueryWatch(#[expect(dead_code, reason = "its end is what the thread waits for")] Sender<()>);

impl QueryWatch {
    /// Begins to watch. `exceeded` is called with the failure if the process has allocated twice the query's memory beyond
    /// what it has now, or is still busy after its time; it has to end the process. A panic of the query engine is an
    /// error like any other, and is logged from now on, not printed.
    pub fn start(limits: &LimitsSettings, exceeded: impl FnOnce(Failure) + Send + 'static) -> Self {
        std::panic::set_hook(Box::new(|panic| tracing::debug!(%panic, "the query engine panicked")));
        Self::over(limits, limits.query().timeout, exceeded)
    }

    /// Watches the memory alone: of a process that takes parts of others' queries for as long as it lives.
    pub fn of_memory(limits: &LimitsSettings, exceeded: impl FnOnce(Failure) + Send + 'static) -> Self {
        Self::over(limits, None, exceeded)
    }

    fn over(
        limits: &LimitsSettings,
        timeout: Option<Duration>,
        exceeded: impl FnOnce(Failure) + Send + 'static,
    ) -> Self {
        let limit = limits.query();
        let most = allocated_bytes().map(|now| now.saturating_add(2 * limit.memory_bytes as u64));
        let deadline = timeout.map(|timeout| Instant::now() + timeout + GRACE);
        let (sender, ended) = channel::<()>();
        std::thread::spawn(move || {
            let error = loop {
                match ended.recv_timeout(PERIOD) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
                if most.is_some_and(|most| allocated_bytes().is_some_and(|now| now > most)) {
                    break sluice_query::Error::TooLarge { limit_bytes: 2 * limit.memory_bytes };
                }
                if let Some((_, limit)) = deadline.zip(timeout).filter(|(deadline, _)| Instant::now() > *deadline) {
                    break sluice_query::Error::TooSlow { limit };
                }
            };
            exceeded(error.into());
        });
        Self(sender)
    }
}
