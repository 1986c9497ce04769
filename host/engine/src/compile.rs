//! Compiling, one component at a time and not forever.
//!
//! A compiler can't be stopped in the middle, so it runs on a thread of its own, which its caller may leave
//! behind. As long as that thread runs nothing else is compiled, so that a stream of bad components keeps one thread
//! busy and not all. What serves goes on serving meanwhile.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::LoadFault;

/// The one place at which components are compiled.
#[derive(Default)]
pub(crate) struct Compiler(Arc<CompileSlot>);

#[derive(Default)]
struct CompileSlot {
    is_taken: Mutex<bool>,
    freed: Condvar,
}

/// Holds the place.
struct Compiling(Arc<CompileSlot>);

impl Compiler {
    pub(crate) fn compile(&self, engine: &Engine, wasm: &[u8], timeout: Duration) -> Result<Component, LoadFault> {
        let (engine, wasm) = (engine.clone(), wasm.to_vec());
        self.run(timeout, move || Component::from_binary(&engine, &wasm))?
            .map_err(|error| LoadFault::Invalid { source: error.into() })
    }

    /// What `work` gives, if it does so in time.
    fn run<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LoadFault> {
        let place = self.take_place(timeout).ok_or(LoadFault::Busy)?;
        let (sender, receiver) = sync_channel(1);
        let run = move || {
            let _place = place;
            let _ = sender.try_send(work());
        };
        let thread = std::thread::Builder::new().name("sluice-compiler".to_owned());
        thread.spawn(run).map_err(|_| LoadFault::Busy)?;
        receiver.recv_timeout(timeout).map_err(|error| match error {
            RecvTimeoutError::Timeout => LoadFault::TooSlow { secs: timeout.as_secs() },
            RecvTimeoutError::Disconnected => LoadFault::Invalid { source: "the compiler panicked".into() },
        })
    }

    fn take_place(&self, timeout: Duration) -> Option<Compiling> {
        let place = &self.0;
        let is_taken = place.is_taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = place.freed.wait_timeout_while(is_taken, timeout, |is_taken| *is_taken);
        let (mut is_taken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *is_taken {
            return None;
        }
        *is_taken = true;
        Some(Compiling(Arc::clone(place)))
    }
}

impl Drop for Compiling {
    fn drop(&mut self) {
        *self.0.is_taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::mpsc::channel;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn work_that_takes_too_long_is_left_behind() {
        let compiler = Compiler::default();
        let (finish, wait) = channel::<()>();
        let endless = move || wait.recv().is_err();
        let slow = compiler.run(Duration::from_millis(1), endless).unwrap_err();
        assert_eq!(slow.to_string(), "compiling the component takes longer than 0 s");
        // While it runs, the next one waits, and logs that it does.
        assert!(matches!(compiler.run(Duration::from_millis(1), || 1), Err(LoadFault::Busy)));
        drop(finish);
        assert_eq!(compiler.run(LONG, || 2).unwrap(), 2);
    }

    #[test]
    fn a_panic_in_the_compiler_is_a_refusal() {
        let compiler = Compiler::default();
        let fault = compiler.run::<()>(LONG, || panic!("a bug")).unwrap_err();
        assert!(matches!(fault, LoadFault::Invalid { .. }), "{fault:?}");
        assert_eq!(compiler.run(LONG, || 3).unwrap(), 3);
    }
}
