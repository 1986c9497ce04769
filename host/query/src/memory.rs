//! Memory of all queries of a session.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::error::Result;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// What hands rows from the threads of one step to those of the next.
const EXCHANGE: &str = "RepartitionExec[";

/// A share for each sort, aggregate and join; and as much again for rows on their way between threads.
///
/// DataFusion 55.2 deadlocks if two inputs of an exchange spill at once: the query never ends, without an error
/// (<https://github.com/apache/datafusion/issues/24883>, mended later). An exchange spills only if it is refused memory, so it
/// has an allowance of its own, which it needs only if one thread takes far more of the rows than another. Nor does it count
/// among those that share the rest.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    shares: FairSpillPool,
    limit: usize,
    /// Bytes between threads.
    exchanged: AtomicUsize,
}

impl QueryMemory {
    pub(crate) fn new(limit: usize) -> Self {
        Self { shares: FairSpillPool::new(limit), limit, exchanged: AtomicUsize::new(0) }
    }
}

fn is_exchange(consumer: &MemoryConsumer) -> bool {
    consumer.can_spill() && consumer.name().starts_with(EXCHANGE)
}

impl MemoryPool for QueryMemory {
    fn name(&self) -> &str {
        self.shares.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if !is_exchange(consumer) {
            self.shares.register(consumer);
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if !is_exchange(consumer) {
            self.shares.unregister(consumer);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        if is_exchange(reservation.consumer()) {
            self.exchanged.fetch_add(additional, Ordering::Relaxed);
        } else {
            self.shares.grow(reservation, additional);
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        if is_exchange(reservation.consumer()) {
            self.exchanged.fetch_sub(shrink, Ordering::Relaxed);
        } else {
            self.shares.shrink(reservation, shrink);
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if !is_exchange(reservation.consumer()) {
            return self.shares.try_grow(reservation, additional);
        }
        let more = |bytes: usize| bytes.checked_add(additional).filter(|bytes| *bytes <= self.limit);
        match self.exchanged.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(()),
            Err(bytes) => datafusion::common::resources_err!("{bytes} bytes are on their way between threads"),
        }
    }

    fn reserved(&self) -> usize {
        self.shares.reserved() + self.exchanged.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

impl fmt::Display for QueryMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exchanged = self.exchanged.load(Ordering::Relaxed);
        write!(f, "{} and {exchanged} bytes between threads", self.shares)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;

    #[test]
    fn an_exchange_is_not_refused_while_others_have_all_their_shares() {
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryMemory::new(100));
        let reservation = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let exchanges = [0, 1].map(|partition| reservation(&format!("RepartitionExec[{partition}]")));
        let sort = reservation("ExternalSorter[0]");
        sort.try_grow(100).unwrap();
        exchanges.iter().for_each(|exchange| exchange.try_grow(50).unwrap());
        assert_eq!(pool.reserved(), 200);
        assert!(sort.try_grow(1).is_err() && exchanges[0].try_grow(1).is_err(), "both have a limit");
        exchanges[1].free();
        exchanges[0].try_grow(50).unwrap();
        drop((sort, exchanges));
        assert_eq!(pool.reserved(), 0);
    }
}
