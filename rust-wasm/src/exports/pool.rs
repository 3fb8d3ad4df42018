//! What the builds with threads have besides: see `pool.rs`.
#![allow(clippy::missing_safety_doc)]

use crate::pool::shared;

/// From now on so many threads share the work, the caller among them, in pieces of at least `grain` multiply-adds.
#[no_mangle]
pub extern "C" fn pool_start(threads: u32, grain: u32) {
    shared::start(threads, grain)
}

/// Runs in a worker until `pool_quit`.
#[no_mangle]
pub unsafe extern "C" fn pool_worker(thread: usize) {
    shared::worker(thread)
}

#[no_mangle]
pub extern "C" fn pool_quit() {
    shared::quit()
}

/// The address of the count of finished pieces.
#[no_mangle]
pub extern "C" fn pool_done() -> usize {
    shared::done_address() as usize
}
