//! What a process has allocated and not given back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

/// The system's allocator, counted. A test that declares it as its `#[global_allocator]` is the only one of its binary:
/// others beside it would be counted too.
#[derive(Debug, Default)]
pub struct CountingAllocator {
    allocated: AtomicIsize,
}

impl CountingAllocator {
    /// One that has allocated nothing.
    pub const fn new() -> Self {
        Self { allocated: AtomicIsize::new(0) }
    }

    /// Bytes that are allocated now.
    pub fn allocated(&self) -> isize {
        self.allocated.load(Ordering::Relaxed)
    }
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its interface; everything is passed on to the system's")]
// SAFETY: all calls are passed on unchanged.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.allocated.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        self.allocated.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(address, layout) }
    }
}
