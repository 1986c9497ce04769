//! Compiling, one component at a time and not forever.
//!
//! A compiler can't be stopped in the middle, so it runs on a thread of its own, which its caller may leave
//! behind. As long as that thread runs nothing else is compiled, so that a stream of bad components keeps one thread
//! busy and not all. What serves goes on serving meanwhile. Others wait for as long as compilations end in time.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::LoadFault;

/// The one place at which components are compiled.
#[derive(Default)]
pub(crate) struct Compiler(Arc<CompileSlot>);

#[derive(Default)]
struct CompileSlot {
    place: Mutex<Occupancy>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Occupancy {
    #[default]
    Free,
    /// By somebody who leaves it behind when its time is over.
    Taken,
    LeftBehind,
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
            // It is gone before the place is free, in a panic too.
            let sender = sender;
            let _ = sender.try_send(work());
        };
        let thread = std::thread::Builder::new().name("sluice-compiler".to_owned());
        thread.spawn(run).map_err(|_| LoadFault::Busy)?;
        let received = match receiver.recv_timeout(timeout) {
            Err(RecvTimeoutError::Timeout) => self.leave_behind(&receiver),
            received => received.map_err(|_| TryRecvError::Disconnected),
        };
        received.map_err(|error| match error {
            TryRecvError::Empty => LoadFault::TooSlow { secs: timeout.as_secs() },
            TryRecvError::Disconnected => LoadFault::Invalid { source: "the compiler panicked".into() },
        })
    }

    /// The result, if it came at the last moment; else others needn't wait for long.
    fn leave_behind<T>(&self, receiver: &Receiver<T>) -> Result<T, TryRecvError> {
        // Whoever has the place gives its result before it frees it, which takes the lock.
        let mut place = self.0.lock();
        let received = receiver.try_recv();
        if matches!(received, Err(TryRecvError::Empty)) {
            *place = Occupancy::LeftBehind;
            self.0.changed.notify_all();
        }
        received
    }

    /// The place once it is free; none if what was left behind there doesn't end in time.
    fn take_place(&self, timeout: Duration) -> Option<Compiling> {
        let CompileSlot { changed, .. } = &*self.0;
        let mut place = self.0.lock();
        while *place != Occupancy::Free {
            place =
                changed.wait_while(place, |place| *place == Occupancy::Taken).unwrap_or_else(PoisonError::into_inner);
            let waited = changed.wait_timeout_while(place, timeout, |place| *place == Occupancy::LeftBehind);
            let (after, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                return None;
            }
            place = after;
        }
        *place = Occupancy::Taken;
        Some(Compiling(Arc::clone(&self.0)))
    }
}

impl CompileSlot {
    fn lock(&self) -> MutexGuard<'_, Occupancy> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Compiling {
    fn drop(&mut self) {
        *self.0.lock() = Occupancy::Free;
        self.0.changed.notify_all();
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
    fn many_that_are_compiled_in_time_wait_for_each_other() {
        let compiler = Compiler::default();
        let (finish, wait) = channel::<()>();
        let (begun, begins) = channel();
        let (answer, answers) = channel();
        std::thread::scope(|scope| {
            let compiler = &compiler;
            let first = move || (begun.send(()), wait.recv().is_err());
            scope.spawn(move || compiler.run(LONG, first));
            begins.recv().unwrap();
            scope.spawn(move || answer.send(compiler.run(Duration::from_millis(1), || 5)));
            // Longer than it would wait for what was left behind.
            assert!(answers.recv_timeout(Duration::from_millis(100)).is_err());
            drop(finish);
            // It may itself take longer than its millisecond.
            assert!(matches!(answers.recv().unwrap(), Ok(5) | Err(LoadFault::TooSlow { .. })));
        });
    }

    #[test]
    fn a_panic_in_the_compiler_is_a_refusal() {
        let compiler = Compiler::default();
        let fault = compiler.run::<()>(LONG, || panic!("a bug")).unwrap_err();
        assert!(matches!(fault, LoadFault::Invalid { .. }), "{fault:?}");
        assert_eq!(compiler.run(LONG, || 3).unwrap(), 3);
    }
}
