//! Pseudocode: `scalar/ssd.rs`. Departures:
//!
//! 1. Blocks of [`BLOCK`] tokens. For each block and group, B and C are packed once for all heads of the group.
//! 2. For each head the step sizes d, the decays and d x are computed first. Whole blocks of finite numbers then go through
//!    the matrix form of `chunk.rs`; others, rests of a block and odd sizes through `recurrence.rs`.
//! 3. The skip comes last, over whole rows of y.
//! 4. Threads take ranges of heads. What the form of a block depends on is the same for all.
//! 5. A skipped update has decay 1 and d x 0 in the matrix form, which saves nothing there; the recurrence leaves it out.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::chunk::{self, Chunk};
use super::math::{growth, softplus};
use super::recurrence::{self, pack_row, panels_len, sums_len, BLOCK};
use crate::lanes::F32x4;
use crate::pool::{split, threads};
use crate::scalar::math::largest;
use crate::scalar::ssd::{skip, Ssd};

/// f32 of working memory that [`ssd`] needs.
pub fn scratch_len(width: usize, states: usize) -> usize {
    threads() * thread_scratch_len(width, states)
}

fn thread_scratch_len(width: usize, states: usize) -> usize {
    2 * panels_len(1, states) + sums_len(1) + BLOCK * width + 3 * BLOCK + BLOCK * BLOCK + chunk::work_len(width)
}

/// See [`crate::scalar::ssd::ssd`].
/// # Safety
/// As there; `scratch` points to [`scratch_len`] f32.
pub unsafe fn ssd(s: &Ssd, below: f32, scratch: *mut f32) -> u32 {
    let skipped = AtomicU32::new(0);
    let units = s.width.is_multiple_of(chunk::UNIT) && s.states.is_multiple_of(chunk::UNIT);
    let whole = s.tokens >= BLOCK && units && finite(s.state, s.heads * s.width * s.states);
    split(s.heads, 3 * s.tokens * s.width * s.states, |thread, from, to| {
        let scratch = scratch.add(thread * thread_scratch_len(s.width, s.states));
        skipped.fetch_add(head_range(s, below, scratch, whole, from, to), Relaxed);
    });
    skipped.into_inner()
}

/// Heads `from` to `to`; `whole`: whole blocks may go through the matrix form. Gives how many updates were skipped.
unsafe fn head_range(s: &Ssd, below: f32, scratch: *mut f32, whole: bool, from: usize, to: usize) -> u32 {
    let b = scratch;
    let c = b.add(panels_len(1, s.states));
    let sums = c.add(panels_len(1, s.states));
    let steps = sums.add(sums_len(1));
    let decays = steps.add(BLOCK);
    let largest_b = decays.add(BLOCK);
    let dx = largest_b.add(BLOCK);
    let g = dx.add(BLOCK * s.width);
    let work = g.add(BLOCK * BLOCK);
    let per_group = s.heads / s.groups;
    let channels = s.heads * s.width;
    let mut skipped = 0;
    for t0 in (0..s.tokens).step_by(BLOCK) {
        let tokens = BLOCK.min(s.tokens - t0);
        for group in from / per_group..(to - 1) / per_group + 1 {
            let b_rows = s.b.add(t0 * s.b_stride + group * s.states);
            let c_rows = s.c.add(t0 * s.c_stride + group * s.states);
            for t in 0..tokens {
                pack_row(b_rows.add(t * s.b_stride), b, tokens, 1, t, 0, s.states);
                pack_row(c_rows.add(t * s.c_stride), c, tokens, 1, t, 0, s.states);
                if below > 0.0 {
                    *largest_b.add(t) = largest(b_rows.add(t * s.b_stride), s.states);
                }
            }
            let panels = panels_len(1, s.states);
            let whole = whole && tokens == BLOCK && finite(b, panels) && finite(c, panels);
            if whole {
                chunk::products(b_rows, s.b_stride, c_rows, s.c_stride, s.states, g);
            }
            for h in from.max(group * per_group)..to.min((group + 1) * per_group) {
                step_sizes(s, t0, tokens, h, steps, decays);
                let mut still = 0u32;
                for t in 0..tokens {
                    let x = s.x.add((t0 + t) * s.x_stride + h * s.width);
                    if below > 0.0 && stays(s, h, *steps.add(t), x, *largest_b.add(t), below) {
                        still |= 1 << t;
                        (*steps.add(t), *decays.add(t)) = (0.0, 1.0);
                    }
                    scale(*steps.add(t), x, dx.add(t * s.width), s.width);
                }
                skipped += still.count_ones();
                let state = s.state.add(h * s.width * s.states);
                let y = s.y.add(t0 * channels + h * s.width);
                if whole && (0..BLOCK).all(|t| *decays.add(t) <= 1.0) && finite(dx, BLOCK * s.width) {
                    let chunk = Chunk {
                        a: decays,
                        x: dx,
                        b,
                        c: c_rows,
                        c_stride: s.c_stride,
                        g,
                        state,
                        y,
                        y_stride: channels,
                        work,
                        width: s.width,
                        states: s.states,
                    };
                    chunk::advance(&chunk);
                    continue;
                }
                recurrence::advance(&recurrence::Block {
                    a: decays,
                    x: dx,
                    k: b,
                    q: c,
                    state,
                    y,
                    y_stride: channels,
                    y_rank: 0,
                    sums,
                    still,
                    tokens,
                    rank: 1,
                    width: s.width,
                    states: s.states,
                });
            }
        }
        if !s.d.is_null() {
            for t in t0..t0 + tokens {
                for h in from..to {
                    for channel in h * s.width..(h + 1) * s.width {
                        *s.y.add(t * channels + channel) += skip(s, h, channel) * *s.x.add(t * s.x_stride + channel);
                    }
                }
            }
        }
    }
    skipped
}

/// Whether head `h` keeps its state at a token of step size `d` and inputs `x`.
unsafe fn stays(s: &Ssd, h: usize, d: f32, x: *const f32, largest_b: f32, below: f32) -> bool {
    (d * *s.a.add(h)).abs() < below && d * largest(x, s.width) * largest_b < below
}

/// Whether all of `count` f32, a multiple of 4, are finite.
unsafe fn finite(p: *const f32, count: usize) -> bool {
    let mut largest = F32x4::splat(0.0);
    for i in (0..count).step_by(4) {
        largest = largest.larger_magnitude(F32x4::load(p.add(i)));
    }
    largest.all_lt(F32x4::splat(f32::INFINITY))
}

/// d and exp(d A) of one head, four tokens at a time; both arrays have room for a multiple of 4.
unsafe fn step_sizes(s: &Ssd, t0: usize, tokens: usize, h: usize, steps: *mut f32, decays: *mut f32) {
    let bias = if s.dt_bias.is_null() { 0.0 } else { *s.dt_bias.add(h) };
    for t in 0..tokens.next_multiple_of(4) {
        // The last one stands for those that fill up the last vector.
        let at = t0 + t.min(tokens - 1);
        *steps.add(t) = *s.dt.add(at * s.dt_stride + h) + bias;
    }
    let (a, low, high) = (F32x4::splat(*s.a.add(h)), F32x4::splat(s.low), F32x4::splat(s.high));
    for t in (0..tokens).step_by(4) {
        let d = softplus(F32x4::load(steps.add(t))).at_least(low).at_most(high);
        d.store(steps.add(t));
        growth(d.mul(a)).store(decays.add(t));
    }
}

/// to = factor * from.
unsafe fn scale(factor: f32, from: *const f32, to: *mut f32, width: usize) {
    let f = F32x4::splat(factor);
    let mut i = 0;
    while i + 4 <= width {
        f.mul(F32x4::load(from.add(i))).store(to.add(i));
        i += 4;
    }
    while i < width {
        *to.add(i) = factor * *from.add(i);
        i += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar;

    #[test]
    fn simd_equals_scalar_within_1e_5() {
        for states in [1, 4, 7, 8, 13, 24] {
            for (heads, groups, width, below) in [
                (1, 1, 1, 0.0),
                (4, 2, 4, 0.0),
                (6, 3, 7, 0.0),
                (4, 2, 8, 0.0),
                (1, 1, 1, 0.4),
                (6, 3, 7, 0.4),
                (4, 2, 8, 0.4),
            ] {
                for tokens in [1, 3, BLOCK, BLOCK + 1, 2 * BLOCK] {
                    let value = |i: usize| ((i * 53 + 7) % 97) as f32 / 48.0 - 1.0;
                    let v: Vec<f32> = (0..9000).map(value).collect();
                    let a: Vec<f32> = (0..heads).map(|h| -0.1 - h as f32).collect();
                    let start: Vec<f32> = (0..heads * width * states).map(|i| value(i + 9)).collect();
                    let (mut s1, mut s2) = (start.clone(), start);
                    let (mut y1, mut y2) = (vec![0.0; tokens * heads * width], vec![0.0; tokens * heads * width]);
                    let mut scratch = vec![f32::NAN; scratch_len(width, states)];
                    let p = |offset: usize| v.as_ptr().wrapping_add(offset);
                    let mut s = Ssd {
                        x: p(0),
                        x_stride: heads * width + 1,
                        dt: p(13),
                        dt_stride: 9,
                        a: a.as_ptr(),
                        b: p(21),
                        b_stride: groups * states + 2,
                        c: p(34),
                        c_stride: groups * states,
                        d: p(55),
                        d_per_channel: width == 4,
                        dt_bias: p(144),
                        low: 0.3,
                        high: 0.9,
                        state: s1.as_mut_ptr(),
                        y: y1.as_mut_ptr(),
                        tokens,
                        heads,
                        width,
                        states,
                        groups,
                    };
                    let skipped = unsafe {
                        let skipped = ssd(&s, below, scratch.as_mut_ptr());
                        (s.state, s.y) = (s2.as_mut_ptr(), y2.as_mut_ptr());
                        assert_eq!(skipped, scalar::ssd::ssd(&s, below));
                        skipped as usize
                    };
                    let some = skipped > 0 && skipped < tokens * heads;
                    assert!(if below == 0.0 { skipped == 0 } else { some || tokens <= 3 }, "{skipped}");
                    for (a, b) in y1.iter().chain(&s1).zip(y2.iter().chain(&s2)) {
                        assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{states} {heads} {tokens}: {a} {b}");
                    }
                }
            }
        }
    }
}
