//! Pseudocode: `scalar/scan.rs`. Departures:
//!
//! 1. Blocks of 32 tokens by 16 channels (a cache line of each row). The step sizes come first, four channels at a time;
//!    skip and gate come last, likewise.
//! 2. In between, one channel after another: 16 states are 4 vectors that stay in registers over the block's tokens.
//!    Further states come in later passes. The sums over states stay four lanes wide until the last step.
//! 3. exp(d A) is 2^(d' A) with d' = d log2(e). Where no |d' A| of a channel's block passes 126, which is the rule, the
//!    exponential needs no tests at all.
//! 4. Threads take ranges of those groups of 16 channels.
//! 5. Numbers of states that 4 does not divide: A, B, C and h are filled up with zeros. An infinite d u would make
//!    the filled lanes of h NaN, so they are set to zero again after each token.
//! 6. Where updates may be skipped, a bit per token of the block says whether the channel's is. Channels without a bit take
//!    the exact path, which knows of none.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::math::{exp2, growth2, silu, softplus};
use crate::lanes::F32x4;
use crate::pool::{split, threads};
use crate::scalar::math::largest;
use crate::scalar::scan::Scan;

/// Tokens of a block: 32 rows of B and C with 16 states are 4 KiB. As many as a mask has bits.
const BLOCK: usize = 32;
/// Channels of a block.
const GROUP: usize = 16;
const VECTORS: usize = GROUP / 4;

/// f32 of working memory that [`selective_scan`] needs.
pub fn scratch_len(states: usize) -> usize {
    threads() * thread_scratch_len(states)
}

fn thread_scratch_len(states: usize) -> usize {
    BLOCK * (2 * states.next_multiple_of(4) + 2 * GROUP + 4 * GROUP + 1)
}

/// See [`crate::scalar::scan::selective_scan`].
/// # Safety
/// As there; `scratch` points to [`scratch_len`] f32.
pub unsafe fn selective_scan(s: &Scan, below: f32, scratch: *mut f32) -> u32 {
    let skipped = AtomicU32::new(0);
    // Per state an exponential and three multiply-adds, per channel softplus, skip and gate.
    let cost = GROUP * s.tokens * (12 * s.states + 40);
    split(s.channels.div_ceil(GROUP), cost, |thread, from, to| {
        let scratch = scratch.add(thread * thread_scratch_len(s.states));
        let count = channel_range(s, below, scratch, GROUP * from, (GROUP * to).min(s.channels));
        skipped.fetch_add(count, Relaxed);
    });
    skipped.into_inner()
}

/// Channels `from`, a multiple of [`GROUP`], to `to`; gives how many updates were skipped.
unsafe fn channel_range(s: &Scan, below: f32, scratch: *mut f32, from: usize, to: usize) -> u32 {
    let padded = s.states.next_multiple_of(4);
    let b = scratch;
    let c = b.add(BLOCK * padded);
    let d = c.add(BLOCK * padded);
    let du = d.add(BLOCK * GROUP);
    let sums = du.add(BLOCK * GROUP);
    let largest_b = sums.add(BLOCK * GROUP * 4);
    let mut skipped = 0;
    for t0 in (0..s.tokens).step_by(BLOCK) {
        let tokens = BLOCK.min(s.tokens - t0);
        for t in 0..tokens {
            pad_row(s.b.add((t0 + t) * s.b_stride), b.add(t * padded), s.states, padded);
            pad_row(s.c.add((t0 + t) * s.c_stride), c.add(t * padded), s.states, padded);
            if below > 0.0 {
                *largest_b.add(t) = largest(b.add(t * padded), s.states);
            }
        }
        for channel in (from..to).step_by(GROUP) {
            let width = GROUP.min(s.channels - channel);
            let block = Block { s, below, t0, tokens, channel, width, b, c, d, du, sums, largest_b, padded };
            let largest = if block.width == GROUP { step_sizes::<true>(&block) } else { step_sizes::<false>(&block) };
            for (i, &largest) in largest.iter().enumerate().take(block.width) {
                skipped += scan_channel(&block, i, largest);
            }
            if block.width == GROUP {
                skip_and_gate::<true>(&block)
            } else {
                skip_and_gate::<false>(&block)
            }
        }
    }
    skipped
}

unsafe fn pad_row(from: *const f32, to: *mut f32, states: usize, padded: usize) {
    for n in 0..padded {
        *to.add(n) = if n < states { *from.add(n) } else { 0.0 };
    }
}

struct Block<'a> {
    s: &'a Scan,
    /// What is skipped is below it; 0: nothing is.
    below: f32,
    /// The first token and the first channel.
    t0: usize,
    channel: usize,
    tokens: usize,
    width: usize,
    /// `[tokens, padded]`.
    b: *const f32,
    c: *const f32,
    padded: usize,
    /// d log2(e) and d u, `[tokens, GROUP]`.
    d: *mut f32,
    du: *mut f32,
    /// C h before the sum over its lanes, `[tokens, GROUP, 4]`.
    sums: *mut f32,
    /// Of B's magnitudes, `[tokens]`; only where something may be skipped.
    largest_b: *const f32,
}

/// The largest |d log2(e)| of each channel; NaN where there is one. `WHOLE`: all channels of the block exist.
unsafe fn step_sizes<const WHOLE: bool>(block: &Block) -> [f32; GROUP] {
    let s = block.s;
    let mut largest = [F32x4::splat(0.0); VECTORS];
    for t in 0..block.tokens {
        let at = block.t0 + t;
        let vectors = if WHOLE { VECTORS } else { block.width.div_ceil(4) };
        for (v, largest) in largest.iter_mut().enumerate().take(vectors) {
            let (channel, count) = (block.channel + 4 * v, if WHOLE { 4 } else { block.width - 4 * v });
            let mut d = F32x4::load_first(s.delta.add(at * s.delta_stride + channel), count);
            if !s.delta_bias.is_null() {
                d = d.add(F32x4::load_first(s.delta_bias.add(channel), count));
            }
            if s.softplus {
                d = softplus(d);
            }
            let u = F32x4::load_first(s.u.add(at * s.u_stride + channel), count);
            d.mul(u).store(block.du.add(t * GROUP + 4 * v));
            let d = d.mul(F32x4::splat(core::f32::consts::LOG2_E));
            d.store(block.d.add(t * GROUP + 4 * v));
            *largest = largest.larger_magnitude(d);
        }
    }
    let mut out = [0f32; GROUP];
    for (v, largest) in largest.iter().enumerate() {
        largest.store(out.as_mut_ptr().add(4 * v));
    }
    out
}

/// Channel `i` of the block; `largest` is its largest |d log2(e)|. Gives how many updates were skipped.
#[inline(always)]
unsafe fn scan_channel(block: &Block, i: usize, largest: f32) -> u32 {
    let states = block.s.states;
    let a = block.s.a.add((block.channel + i) * states);
    let mut rate = F32x4::splat(0.0);
    let mut n = 0;
    while n + 16 <= states {
        let v: [F32x4; 4] = core::array::from_fn(|k| F32x4::load(a.add(n + 4 * k)));
        rate = rate.larger_magnitude(v[0].larger_magnitude(v[1]).larger_magnitude(v[2].larger_magnitude(v[3])));
        n += 16;
    }
    while n < states {
        rate = rate.larger_magnitude(F32x4::load_first(a.add(n), states - n));
        n += 4;
    }
    let small = rate.mul(F32x4::splat(largest)).all_lt(F32x4::splat(126.0));
    let still = if block.below > 0.0 { stays(block, i, rate.largest()) } else { 0 };
    match (small, still == 0) {
        (true, true) => scan_states::<true, false>(block, i, 0),
        (false, true) => scan_states::<false, false>(block, i, 0),
        (true, false) => scan_states::<true, true>(block, i, still),
        (false, false) => scan_states::<false, true>(block, i, still),
    }
    still.count_ones()
}

/// Bit t: the update of token t is skipped in channel `i`, whose largest |A| is `rate`.
unsafe fn stays(block: &Block, i: usize, rate: f32) -> u32 {
    let mut still = 0;
    for t in 0..block.tokens {
        let (d, du) = (*block.d.add(t * GROUP + i), *block.du.add(t * GROUP + i));
        let decay = d.abs() * rate < block.below * core::f32::consts::LOG2_E;
        let input = du.abs() * *block.largest_b.add(t) < block.below;
        still |= ((decay & input) as u32) << t;
    }
    still
}

/// `SMALL`: no |d A log2(e)| passes 126. `SKIP`: updates are skipped where `still` has a bit.
#[inline(always)]
unsafe fn scan_states<const SMALL: bool, const SKIP: bool>(block: &Block, i: usize, still: u32) {
    let states = block.s.states;
    let mut n = 0;
    while n + 16 <= states {
        scan_vectors::<4, SMALL, false, SKIP>(block, i, n, still);
        n += 16;
    }
    while n + 4 <= states {
        scan_vectors::<1, SMALL, false, SKIP>(block, i, n, still);
        n += 4;
    }
    if n < states {
        scan_vectors::<1, SMALL, true, SKIP>(block, i, n, still);
    }
}

/// `V` vectors of states from `n` on over the block's tokens. `PART`: the last states, fewer than 4.
#[inline(always)]
unsafe fn scan_vectors<const V: usize, const SMALL: bool, const PART: bool, const SKIP: bool>(
    block: &Block,
    i: usize,
    n: usize,
    still: u32,
) {
    let s = block.s;
    let at = (block.channel + i) * s.states + n;
    let count = if PART { s.states - n } else { 4 };
    // 1 for lanes that are states, 0 for those that fill up the vector.
    let used = if PART { F32x4::load_first([1.0; 3].as_ptr(), count) } else { F32x4::splat(1.0) };
    let a: [F32x4; V] = core::array::from_fn(|k| F32x4::load_first(s.a.add(at + 4 * k), count));
    let mut h: [F32x4; V] = core::array::from_fn(|k| F32x4::load_first(s.state.add(at + 4 * k), count));
    for t in 0..block.tokens {
        let d = F32x4::load_splat(block.d.add(t * GROUP + i));
        let du = F32x4::load_splat(block.du.add(t * GROUP + i));
        let (b, c) = (block.b.add(t * block.padded + n), block.c.add(t * block.padded + n));
        let out = block.sums.add(4 * (t * GROUP + i));
        let mut sum = if n == 0 { F32x4::splat(0.0) } else { F32x4::load(out) };
        if SKIP && still >> t & 1 != 0 {
            for (k, h) in h.iter().enumerate() {
                sum = h.mul_add(F32x4::load(c.add(4 * k)), sum);
            }
            sum.store(out);
            continue;
        }
        for k in 0..V {
            let x = d.mul(a[k]);
            let keep = if SMALL { exp2(x) } else { growth2(x) };
            h[k] = keep.mul_add(h[k], du.mul(F32x4::load(b.add(4 * k))));
            if PART {
                h[k] = used.select_lt(F32x4::splat(0.5), F32x4::splat(0.0), h[k]);
            }
            sum = h[k].mul_add(F32x4::load(c.add(4 * k)), sum);
        }
        sum.store(out);
    }
    for (k, h) in h.iter().enumerate() {
        h.store_first(s.state.add(at + 4 * k), count);
    }
}

/// y = (C h + D u) silu(z); `WHOLE` as above.
unsafe fn skip_and_gate<const WHOLE: bool>(block: &Block) {
    let s = block.s;
    for t in 0..block.tokens {
        let at = block.t0 + t;
        let vectors = if WHOLE { VECTORS } else { block.width.div_ceil(4) };
        for v in 0..vectors {
            let (channel, count) = (block.channel + 4 * v, if WHOLE { 4 } else { block.width - 4 * v });
            let sums = block.sums.add(4 * (t * GROUP + 4 * v));
            let mut y = F32x4::sums(core::array::from_fn(|lane| F32x4::load(sums.add(4 * lane))));
            if !s.d.is_null() {
                let u = F32x4::load_first(s.u.add(at * s.u_stride + channel), count);
                y = F32x4::load_first(s.d.add(channel), count).mul_add(u, y);
            }
            if !s.z.is_null() {
                y = y.mul(silu(F32x4::load_first(s.z.add(at * s.z_stride + channel), count)));
            }
            y.store_first(s.y.add(at * s.channels + channel), count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar;

    #[test]
    fn simd_equals_scalar_within_1e_5() {
        for states in [1, 4, 8, 15, 16, 17, 33] {
            for (channels, below) in [(1, 0.0), (4, 0.0), (6, 0.0), (1, 0.6), (6, 0.6), (17, 0.6)] {
                for tokens in [1, 3, 64, 65] {
                    let value = |i: usize| ((i * 53 + 7) % 97) as f32 / 48.0 - 1.0;
                    let v: Vec<f32> = (0..4000).map(value).collect();
                    let a: Vec<f32> = (0..channels * states)
                        .map(|i| -((1 + i % states) as f32) / if below > 0.0 { states as f32 } else { 1.0 })
                        .collect();
                    let start: Vec<f32> = (0..channels * states).map(|i| value(i + 9)).collect();
                    let (mut h1, mut h2) = (start.clone(), start);
                    let (mut y1, mut y2) = (vec![0.0; tokens * channels], vec![0.0; tokens * channels]);
                    let mut scratch = vec![f32::NAN; scratch_len(states)];
                    let p = |offset: usize| v.as_ptr().wrapping_add(offset);
                    let mut s = Scan {
                        u: p(0),
                        u_stride: channels,
                        delta: p(13),
                        delta_stride: 9,
                        a: a.as_ptr(),
                        b: p(21),
                        b_stride: states + 2,
                        c: p(34),
                        c_stride: states,
                        d: p(55),
                        z: p(89),
                        z_stride: 8,
                        delta_bias: p(144),
                        softplus: true,
                        state: h1.as_mut_ptr(),
                        y: y1.as_mut_ptr(),
                        tokens,
                        channels,
                        states,
                    };
                    let skipped = unsafe {
                        let skipped = selective_scan(&s, below, scratch.as_mut_ptr());
                        (s.state, s.y) = (h2.as_mut_ptr(), y2.as_mut_ptr());
                        assert_eq!(skipped, scalar::scan::selective_scan(&s, below));
                        skipped as usize
                    };
                    let some = skipped > 0 && skipped < tokens * channels;
                    assert!(if below == 0.0 { skipped == 0 } else { some || tokens <= 3 }, "{skipped}");
                    for (a, b) in y1.iter().chain(&h1).zip(y2.iter().chain(&h2)) {
                        assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{states} {channels} {tokens}: {a} {b}");
                    }
                }
            }
        }
    }
}
