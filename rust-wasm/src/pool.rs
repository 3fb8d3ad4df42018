//! Work split over threads: instances of one module on one shared memory, whose statics and stacks all of them see.
//!
//! The caller of [`split`] publishes a job and takes pieces of it until none is left; workers take pieces of the same job
//! as they come. A piece is taken by one compare-and-swap on a ticket that holds the job's number, its pieces and the next
//! of them, so that a worker which comes late takes nothing of a job that is over, and one that never comes costs nothing.
//! Pieces cover outputs, never parts of a sum: which thread computes one does not change its bits.
//!
//! Builds without threads compute everything in place.

/// Calls `work(thread, from, to)` for ranges that together cover `0..count`, each once. `cost`: multiply-adds per unit, or
/// operations of about their cost; pieces of fewer than the grain are not worth their handing over.
///
/// # Safety
/// `work` may run in several threads at once, with different `thread` below [`threads`]: ranges must not share what they
/// write.
pub unsafe fn split<F: Fn(usize, usize, usize)>(count: usize, cost: usize, work: F) {
    let pieces = pieces(count, cost);
    if pieces < 2 {
        return work(0, 0, count);
    }
    shared::run(count, pieces, &work);
}

/// More than threads: one that starts late or is interrupted leaves more to the others.
const PIECES_PER_THREAD: usize = 4;

fn pieces(count: usize, cost: usize) -> usize {
    if threads() < 2 {
        return 1;
    }
    let worth = (count as u64 * cost as u64 / shared::grain()).min(u32::MAX as u64) as usize;
    count.min(worth).min(threads() * PIECES_PER_THREAD)
}

pub use shared::threads;

#[cfg(not(target_feature = "atomics"))]
mod shared {
    pub fn threads() -> usize {
        1
    }
    pub fn grain() -> u64 {
        1
    }
    pub unsafe fn run<F: Fn(usize, usize, usize)>(count: usize, _pieces: usize, work: &F) {
        work(0, 0, count)
    }
}

#[cfg(target_feature = "atomics")]
pub mod shared {
    use core::arch::wasm32::{memory_atomic_notify, memory_atomic_wait32};
    use core::cell::UnsafeCell;
    use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

    /// Looks at the ticket before a worker parks: some 50 microseconds, more than what lies between two jobs of a token.
    const WORKER_SPINS: usize = 40_000;
    /// Looks at the count before the caller asks the host to wait.
    const CALLER_SPINS: usize = 20_000;

    #[link(wasm_import_module = "pool")]
    extern "C" {
        /// Called while pieces are out, for the `round`th time since `done` changed; throws where they will not come back.
        fn stalled(done: u32, round: u32);
    }

    #[derive(Clone, Copy)]
    struct Job {
        call: unsafe fn(*const (), usize, usize, usize),
        work: *const (),
        count: usize,
    }
    unsafe fn nothing(_: *const (), _: usize, _: usize, _: usize) {}

    struct Shared(UnsafeCell<Job>);
    // SAFETY: written by the caller while no piece is out, read by those who hold one.
    unsafe impl Sync for Shared {}
    static JOB: Shared = Shared(UnsafeCell::new(Job { call: nothing, work: core::ptr::null(), count: 0 }));

    /// `number << 32 | pieces << 16 | next`.
    static TICKET: AtomicU64 = AtomicU64::new(0);
    /// Pieces of the job that are finished; the caller waits on it.
    static DONE: AtomicU32 = AtomicU32::new(0);
    static CALLER_WAITS: AtomicU32 = AtomicU32::new(0);
    static PARKED: AtomicU32 = AtomicU32::new(0);
    /// Workers park on it.
    static WAKE: AtomicU32 = AtomicU32::new(0);
    static QUIT: AtomicU32 = AtomicU32::new(0);
    static THREADS: AtomicU32 = AtomicU32::new(1);
    static GRAIN: AtomicU32 = AtomicU32::new(1);

    /// Threads that may work, the caller among them.
    pub fn threads() -> usize {
        THREADS.load(SeqCst) as usize
    }

    pub fn grain() -> u64 {
        GRAIN.load(SeqCst) as u64
    }

    pub fn start(threads: u32, grain: u32) {
        GRAIN.store(grain.max(1), SeqCst);
        THREADS.store(threads, SeqCst);
    }

    /// The address of the count that [`stalled`] gives: the host may wait for its change.
    pub fn done_address() -> *const u32 {
        DONE.as_ptr()
    }

    /// Ends the workers' loops.
    pub fn quit() {
        QUIT.store(1, SeqCst);
        wake();
    }

    fn wake() {
        WAKE.fetch_add(1, SeqCst);
        // SAFETY: the address of a static.
        unsafe { memory_atomic_notify(WAKE.as_ptr() as *mut i32, u32::MAX) };
    }

    unsafe fn call<F: Fn(usize, usize, usize)>(work: *const (), thread: usize, from: usize, to: usize) {
        (*(work as *const F))(thread, from, to)
    }

    pub unsafe fn run<F: Fn(usize, usize, usize)>(count: usize, pieces: usize, work: &F) {
        *JOB.0.get() = Job { call: call::<F>, work: work as *const F as *const (), count };
        DONE.store(0, SeqCst);
        let number = (TICKET.load(SeqCst) >> 32).wrapping_add(1);
        TICKET.store(number << 32 | (pieces as u64) << 16, SeqCst);
        if PARKED.load(SeqCst) > 0 {
            wake();
        }
        take_pieces(0);
        let (mut spins, mut round, mut seen) = (0, 0, 0);
        loop {
            let done = DONE.load(SeqCst);
            if done == pieces as u32 {
                return;
            }
            if done != seen {
                (spins, round, seen) = (0, 0, done);
            }
            spins += 1;
            if spins > CALLER_SPINS {
                CALLER_WAITS.store(1, SeqCst);
                stalled(done, round);
                CALLER_WAITS.store(0, SeqCst);
                round += 1;
            }
        }
    }

    fn waiting(ticket: u64) -> bool {
        (ticket & 0xffff) < (ticket >> 16 & 0xffff)
    }

    /// Takes pieces of the present job until none is left.
    unsafe fn take_pieces(thread: usize) {
        loop {
            let ticket = TICKET.load(SeqCst);
            if !waiting(ticket) {
                return;
            }
            if TICKET.compare_exchange(ticket, ticket + 1, SeqCst, SeqCst).is_err() {
                continue;
            }
            // The caller waits for this piece, so that the job stays what the ticket says.
            let job = *JOB.0.get();
            let (piece, pieces) = ((ticket & 0xffff) as usize, (ticket >> 16 & 0xffff) as usize);
            let start = |i: usize| (job.count as u64 * i as u64 / pieces as u64) as usize;
            (job.call)(job.work, thread, start(piece), start(piece + 1));
            DONE.fetch_add(1, SeqCst);
            if CALLER_WAITS.load(SeqCst) != 0 {
                memory_atomic_notify(DONE.as_ptr() as *mut i32, 1);
            }
        }
    }

    /// What worker `thread` does until [`quit`].
    /// # Safety
    /// The instance has a stack and thread-local memory of its own.
    pub unsafe fn worker(thread: usize) {
        let mut spins = 0;
        while QUIT.load(SeqCst) == 0 {
            if waiting(TICKET.load(SeqCst)) {
                take_pieces(thread);
                spins = 0;
            }
            spins += 1;
            if spins < WORKER_SPINS {
                continue;
            }
            PARKED.fetch_add(1, SeqCst);
            // Whoever publishes a job after this sees the parked worker; who did so before is seen here.
            let seen = WAKE.load(SeqCst);
            if !waiting(TICKET.load(SeqCst)) && QUIT.load(SeqCst) == 0 {
                memory_atomic_wait32(WAKE.as_ptr() as *mut i32, seen as i32, -1);
            }
            PARKED.fetch_sub(1, SeqCst);
            spins = 0;
        }
    }
}
