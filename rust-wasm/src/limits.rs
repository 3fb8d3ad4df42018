//! What this machine can do in WebAssembly on one thread: the denominators of the benchmarks.

use crate::integers::{Dots, Four, I8x16, Sum};
use crate::lanes::F32x4;

const ACCUMULATORS: usize = 12;

/// Reads `bytes` (a multiple of 128) from `p`, `passes` times, front to back, through 8 accumulators.
/// # Safety
/// `p` points to `bytes` readable bytes.
pub unsafe fn read(p: *const f32, bytes: usize, passes: usize) -> f32 {
    let mut sums = [F32x4::splat(0.0); 8];
    for _ in 0..passes {
        let mut q = p;
        let end = p.add(bytes / 4);
        while q < end {
            for (k, sum) in sums.iter_mut().enumerate() {
                // An order of magnitude cheaper than the memory it waits for, and not removable as a sum is used.
                *sum = sum.add(F32x4::load(q.add(4 * k)));
            }
            q = q.add(32);
        }
    }
    sums.iter().fold(0.0, |total, sum| total + sum.sum())
}

/// `rounds` x 12 independent multiply-adds of 4 lanes, all in registers. `p` points to x and y, 4 lanes each.
/// # Safety
/// `p` points to 8 readable f32.
pub unsafe fn multiply_add(rounds: usize, p: *const f32) -> f32 {
    let (x, y) = (F32x4::load(p), F32x4::load(p.add(4)));
    let mut a: [F32x4; ACCUMULATORS] = core::array::from_fn(|k| F32x4::splat(k as f32));
    for _ in 0..rounds {
        for value in a.iter_mut() {
            *value = value.mul_add(x, y);
        }
    }
    a.iter().fold(0.0, |total, value| total + value.sum())
}

/// `rounds` x 6 x 2 independent dot products, as the products of 7-bit codes do them, all in registers: 16 multiply-adds
/// of bytes each with relaxed SIMD, else 8 of 16 bits. `p` points to 16 bytes.
/// # Safety
/// `p` points to 16 readable bytes.
pub unsafe fn dot(rounds: usize, p: *const u8) -> f32 {
    let (w, x) = (I8x16::load(p), Four::load(p));
    let mut a = [Dots::from(Sum::zero()); 6];
    for _ in 0..rounds {
        for value in a.iter_mut() {
            *value = value.add::<false>(w, x);
        }
    }
    a.iter().fold(0.0, |total, value| total + value.finish::<false>().sum())
}
