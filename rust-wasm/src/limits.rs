//! What this machine can do at most in this build: reading memory in order, and multiplying and adding f32 in
//! registers. The kernels' speed is stated as a fraction of these.

use crate::lanes::F32x4;

/// Independent sums: enough to hide the latency of an addition.
const SUMS: usize = 12;

/// Reads `bytes` (a multiple of 128) at `pointer`, `passes` times, into eight accumulators; their sum, so that nothing
/// is left out.
///
/// # Safety
/// `bytes` bytes are readable at `pointer`, which is 16-byte aligned.
#[cfg(target_arch = "wasm32")]
pub unsafe fn read(pointer: *const u8, bytes: usize, passes: usize) -> u32 {
    use core::arch::wasm32::*;
    let mut sums = [u32x4_splat(0); 8];
    for _ in 0..passes {
        let mut at = pointer as *const v128;
        for _ in 0..bytes / 128 {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = v128_xor(*sum, unsafe { v128_load(at.wrapping_add(i)) });
            }
            at = at.wrapping_add(8);
        }
    }
    let mut all = sums[0];
    for sum in &sums[1..] {
        all = v128_xor(all, *sum);
    }
    u32x4_extract_lane::<0>(all)
}

/// The same in words, so that the crate builds natively.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "wasm32"))]
pub unsafe fn read(pointer: *const u8, bytes: usize, passes: usize) -> u32 {
    let words = unsafe { core::slice::from_raw_parts(pointer as *const u32, bytes / 4) };
    (0..passes).fold(0, |sum, _| words.iter().fold(sum, |s, w| s ^ w))
}

/// `rounds` times twelve vector multiplications and additions on registers: 96 operations a round.
pub fn multiply_add(rounds: usize, x: f32, y: f32) -> f32 {
    let (x, y) = (F32x4::splat(x), F32x4::splat(y));
    let mut sums: [F32x4; SUMS] = core::array::from_fn(|i| F32x4::splat(i as f32));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = sum.mul_add(x, y);
        }
    }
    sums.into_iter().fold(F32x4::zero(), |all, sum| all + sum).sum()
}
