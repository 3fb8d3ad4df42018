//! Blocks of memory on Rust's own allocator, aligned to a cache line.

use std::alloc::{Layout, alloc as allocate, dealloc};

/// Bytes: a cache line, and four vectors.
pub const ALIGN: usize = 64;

/// `bytes` of memory, or null where they do not fit (at most 2 GiB in one block).
pub fn alloc(bytes: usize) -> *mut u8 {
    match Layout::from_size_align(bytes.max(1), ALIGN) {
        // SAFETY: the size is not zero.
        Ok(layout) => unsafe { allocate(layout) },
        Err(_) => core::ptr::null_mut(),
    }
}

/// Gives a block back.
///
/// # Safety
/// `pointer` came from `alloc(bytes)` with the same `bytes` and was not given back before.
pub unsafe fn free(pointer: *mut u8, bytes: usize) {
    if let Ok(layout) = Layout::from_size_align(bytes.max(1), ALIGN) {
        unsafe { dealloc(pointer, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_and_too_large_is_null() {
        for bytes in [0, 1, 63, 64, 65, 1 << 20] {
            let p = alloc(bytes);
            assert!(!p.is_null());
            assert_eq!(p as usize % ALIGN, 0);
            unsafe { free(p, bytes) }
        }
        assert!(alloc(usize::MAX).is_null());
    }
}
