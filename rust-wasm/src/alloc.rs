//! Memory for JavaScript: 64-byte aligned blocks (a cache line) of the Rust allocator.

use std::alloc::{alloc as raw_alloc, dealloc, Layout};

const ALIGN: usize = 64;

/// A block of `bytes` bytes, or 0 where it does not fit into the 4 GiB.
pub fn allocate(bytes: usize) -> usize {
    match Layout::from_size_align(bytes.max(1), ALIGN) {
        // SAFETY: the size is not zero.
        Ok(layout) => unsafe { raw_alloc(layout) as usize },
        Err(_) => 0,
    }
}

/// # Safety
/// `address` came from `allocate(bytes)` and was not freed.
pub unsafe fn free(address: usize, bytes: usize) {
    dealloc(address as *mut u8, Layout::from_size_align_unchecked(bytes.max(1), ALIGN));
}
