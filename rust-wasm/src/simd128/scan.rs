//! Pseudocode: `scalar/scan.rs`. Departures:
//!
//! 1. Blocks of 64 tokens. For each block the step sizes d and d u are computed first, four channels at a time; skip
//!    and gate come last, likewise.
//! 2. In between, per channel: 16 states are 4 vectors that stay in registers over the block's tokens. More states are
//!    done 16 at a time, adding to y.
//! 3. Numbers of states that 4 does not divide: A, B, C and h are filled up with zeros. An infinite d u would make
//!    the filled lanes of h NaN, so they are set to zero again after each token.

use super::math::{decay, growth, silu, softplus};
use crate::lanes::F32x4;
use crate::scalar::scan::{finish, step_size, Scan};

/// Tokens of a block: 64 rows of B and C with 16 states are 8 KiB.
pub const BLOCK: usize = 64;

/// f32 of working memory that [`selective_scan`] needs.
pub fn scratch_len(channels: usize, states: usize) -> usize {
    2 * BLOCK * (channels + states.next_multiple_of(4))
}

/// See [`crate::scalar::scan::selective_scan`].
/// # Safety
/// As there; `scratch` points to [`scratch_len`] f32.
pub unsafe fn selective_scan(s: &Scan, scratch: *mut f32) {
    let padded = s.states.next_multiple_of(4);
    let d = scratch;
    let du = d.add(BLOCK * s.channels);
    let b = du.add(BLOCK * s.channels);
    let c = b.add(BLOCK * padded);
    for t0 in (0..s.tokens).step_by(BLOCK) {
        let tokens = BLOCK.min(s.tokens - t0);
        for t in 0..tokens {
            step_sizes(s, t0 + t, d.add(t * s.channels), du.add(t * s.channels));
            pad_row(s.b.add((t0 + t) * s.b_stride), b.add(t * padded), s.states, padded);
            pad_row(s.c.add((t0 + t) * s.c_stride), c.add(t * padded), s.states, padded);
        }
        let y = s.y.add(t0 * s.channels);
        for channel in 0..s.channels {
            for n in (0..s.states).step_by(16) {
                let count = (s.states - n).min(16);
                let lane = |i: usize| if count.div_ceil(4) * 4 - 4 + i < count { 0.0 } else { 1.0 };
                let lanes: [f32; 4] = core::array::from_fn(lane);
                let block = Block {
                    s,
                    d: d.add(channel),
                    du: du.add(channel),
                    b: b.add(n),
                    c: c.add(n),
                    padded,
                    tokens,
                    channel,
                    n,
                    lanes: F32x4::load(lanes.as_ptr()),
                    partial: !count.is_multiple_of(4),
                };
                let out = y.add(channel);
                match (count.div_ceil(4), s.softplus) {
                    (1, true) => scan_states::<1, true>(&block, out),
                    (2, true) => scan_states::<2, true>(&block, out),
                    (3, true) => scan_states::<3, true>(&block, out),
                    (_, true) => scan_states::<4, true>(&block, out),
                    (1, false) => scan_states::<1, false>(&block, out),
                    (2, false) => scan_states::<2, false>(&block, out),
                    (3, false) => scan_states::<3, false>(&block, out),
                    (_, false) => scan_states::<4, false>(&block, out),
                }
            }
        }
        for t in 0..tokens {
            skip_and_gate(s, t0 + t);
        }
    }
}

unsafe fn pad_row(from: *const f32, to: *mut f32, states: usize, padded: usize) {
    for n in 0..padded {
        *to.add(n) = if n < states { *from.add(n) } else { 0.0 };
    }
}

unsafe fn step_sizes(s: &Scan, t: usize, d: *mut f32, du: *mut f32) {
    let (delta, u) = (s.delta.add(t * s.delta_stride), s.u.add(t * s.u_stride));
    let mut c = 0;
    while c + 4 <= s.channels {
        let mut v = F32x4::load(delta.add(c));
        if !s.delta_bias.is_null() {
            v = v.add(F32x4::load(s.delta_bias.add(c)));
        }
        if s.softplus {
            v = softplus(v);
        }
        v.store(d.add(c));
        v.mul(F32x4::load(u.add(c))).store(du.add(c));
        c += 4;
    }
    while c < s.channels {
        *d.add(c) = step_size(s, t, c);
        *du.add(c) = *d.add(c) * *u.add(c);
        c += 1;
    }
}

struct Block<'a> {
    s: &'a Scan,
    d: *const f32,
    du: *const f32,
    b: *const f32,
    c: *const f32,
    padded: usize,
    tokens: usize,
    channel: usize,
    /// The first of up to 16 states.
    n: usize,
    /// Of the last vector: 0 for lanes that are states, 1 for lanes that fill it up.
    lanes: F32x4,
    /// Whether there are lanes of the second kind.
    partial: bool,
}

/// `V` vectors of states of one channel over a block of tokens. `DECAYS`: d A is never above 0, as after softplus.
#[inline(always)]
unsafe fn scan_states<const V: usize, const DECAYS: bool>(block: &Block, y: *mut f32) {
    let s = block.s;
    let at = block.channel * s.states + block.n;
    let count = (s.states - block.n).min(4 * V);
    let (mut a_row, mut h_row) = ([0f32; 16], [0f32; 16]);
    for k in 0..count {
        a_row[k] = *s.a.add(at + k);
        h_row[k] = *s.state.add(at + k);
    }
    let a: [F32x4; V] = core::array::from_fn(|k| F32x4::load(a_row.as_ptr().add(4 * k)));
    let mut h: [F32x4; V] = core::array::from_fn(|k| F32x4::load(h_row.as_ptr().add(4 * k)));
    for t in 0..block.tokens {
        let d = F32x4::load_splat(block.d.add(t * s.channels));
        let du = F32x4::load_splat(block.du.add(t * s.channels));
        let (b, c) = (block.b.add(t * block.padded), block.c.add(t * block.padded));
        let mut sum = F32x4::splat(0.0);
        for k in 0..V {
            let x = d.mul(a[k]);
            let keep = if DECAYS { decay(x) } else { growth(x) };
            h[k] = keep.mul_add(h[k], du.mul(F32x4::load(b.add(4 * k))));
            if k == V - 1 && block.partial {
                h[k] = block.lanes.select_lt(F32x4::splat(0.5), h[k], F32x4::splat(0.0));
            }
            sum = h[k].mul_add(F32x4::load(c.add(4 * k)), sum);
        }
        let out = y.add(t * s.channels);
        *out = sum.sum() + if block.n == 0 { 0.0 } else { *out };
    }
    for (k, value) in h.iter().enumerate() {
        value.store(h_row.as_mut_ptr().add(4 * k));
    }
    for (k, &value) in h_row.iter().take(count).enumerate() {
        *s.state.add(at + k) = value;
    }
}

unsafe fn skip_and_gate(s: &Scan, t: usize) {
    let (y, u) = (s.y.add(t * s.channels), s.u.add(t * s.u_stride));
    let mut c = 0;
    while c + 4 <= s.channels {
        let mut v = F32x4::load(y.add(c));
        if !s.d.is_null() {
            v = F32x4::load(s.d.add(c)).mul_add(F32x4::load(u.add(c)), v);
        }
        if !s.z.is_null() {
            v = v.mul(silu(F32x4::load(s.z.add(t * s.z_stride + c))));
        }
        v.store(y.add(c));
        c += 4;
    }
    while c < s.channels {
        *y.add(c) = finish(s, t, c, *y.add(c));
        c += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar;

    #[test]
    fn simd_equals_scalar_within_1e_5() {
        for states in [1, 4, 8, 15, 16, 17, 33] {
            for channels in [1, 4, 6] {
                for tokens in [1, 3, 64, 65] {
                    let value = |i: usize| ((i * 53 + 7) % 97) as f32 / 48.0 - 1.0;
                    let v: Vec<f32> = (0..4000).map(value).collect();
                    let a: Vec<f32> = (0..channels * states).map(|i| -(1.0 + (i % states) as f32)).collect();
                    let start: Vec<f32> = (0..channels * states).map(|i| value(i + 9)).collect();
                    let (mut h1, mut h2) = (start.clone(), start);
                    let (mut y1, mut y2) = (vec![0.0; tokens * channels], vec![0.0; tokens * channels]);
                    let mut scratch = vec![f32::NAN; scratch_len(channels, states)];
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
                    unsafe {
                        selective_scan(&s, scratch.as_mut_ptr());
                        (s.state, s.y) = (h2.as_mut_ptr(), y2.as_mut_ptr());
                        scalar::scan::selective_scan(&s);
                    }
                    for (a, b) in y1.iter().chain(&h1).zip(y2.iter().chain(&h2)) {
                        assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{states} {channels} {tokens}: {a} {b}");
                    }
                }
            }
        }
    }
}
