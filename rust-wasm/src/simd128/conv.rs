//! Pseudocode: `scalar/conv.rs`. Departures:
//! 1. Four channels at once; all taps of a token before the next.
//! 2. The rows of a token's taps are looked up once, not per channel.
//! 3. Threads take ranges of channels.

use super::math::silu;
use crate::lanes::F32x4;
use crate::pool::split;
use crate::scalar::conv::{input_row, MAX_TAPS};

/// See [`crate::scalar::conv::causal_conv`].
/// # Safety
/// As there.
#[allow(clippy::too_many_arguments)]
pub unsafe fn causal_conv(
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    bias: *const f32,
    history: *const f32,
    y: *mut f32,
    tokens: usize,
    channels: usize,
    taps: usize,
    with_silu: bool,
) {
    // SiLU costs about a dozen multiply-adds.
    split(channels.div_ceil(4), 4 * tokens * (taps + 12), |_, from, to| {
        let range = (4 * from, (4 * to).min(channels));
        channel_range(x, x_stride, w, bias, history, y, tokens, channels, taps, with_silu, range)
    })
}

/// Channels from `range.0`, a multiple of 4, to `range.1`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn channel_range(
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    bias: *const f32,
    history: *const f32,
    y: *mut f32,
    tokens: usize,
    channels: usize,
    taps: usize,
    with_silu: bool,
    range: (usize, usize),
) {
    for t in 0..tokens {
        let rows: [*const f32; MAX_TAPS] =
            core::array::from_fn(|k| if k < taps { input_row(x, x_stride, history, channels, taps, t + k) } else { x });
        let out = y.add(t * channels);
        let mut c = range.0;
        while c + 4 <= range.1 {
            let mut sum = if bias.is_null() { F32x4::splat(0.0) } else { F32x4::load(bias.add(c)) };
            for (k, row) in rows.iter().take(taps).enumerate() {
                sum = F32x4::load(w.add(k * channels + c)).mul_add(F32x4::load(row.add(c)), sum);
            }
            if with_silu { silu(sum) } else { sum }.store(out.add(c));
            c += 4;
        }
        while c < range.1 {
            let mut sum = if bias.is_null() { 0.0 } else { *bias.add(c) };
            for (k, row) in rows.iter().take(taps).enumerate() {
                sum += *w.add(k * channels + c) * *row.add(c);
            }
            *out.add(c) = if with_silu { crate::scalar::math::silu(sum) } else { sum };
            c += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scalar;

    #[test]
    fn simd_equals_scalar_within_2e_6() {
        for taps in 1..=5 {
            for channels in [1, 4, 7, 8] {
                for tokens in [1, 2, 6] {
                    let v: Vec<f32> = (0..400).map(|i| ((i * 31) % 17) as f32 / 8.0 - 1.0).collect();
                    let (mut a, mut b) = (vec![0.0; tokens * channels], vec![0.0; tokens * channels]);
                    let (w, bias, history) = (v.as_ptr().wrapping_add(3), v.as_ptr(), v.as_ptr().wrapping_add(50));
                    unsafe {
                        for silu in [false, true] {
                            super::causal_conv(
                                v.as_ptr(),
                                9,
                                w,
                                bias,
                                history,
                                a.as_mut_ptr(),
                                tokens,
                                channels,
                                taps,
                                silu,
                            );
                            scalar::conv::causal_conv(
                                v.as_ptr(),
                                9,
                                w,
                                bias,
                                history,
                                b.as_mut_ptr(),
                                tokens,
                                channels,
                                taps,
                                silu,
                            );
                            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 2e-6 * b.abs() + 2e-6));
                        }
                    }
                }
            }
        }
    }
}
