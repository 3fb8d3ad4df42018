//! The gradient of the selective scan.
//!
//! ```text
//! for channel: for chunk of tokens, last one first:
//!     for t:          h[t] = a[t] h[t - 1] + d u B[t]                      a[t] = exp(d A)
//!     for t downward: g += slope C[t];  dC[t] += slope h[t];  dB[t] += g d u
//!                     dd = sum_n g a h[t - 1] A + u sum_n g B;  du = d sum_n g B;  dA += g a h[t - 1] d;  g *= a
//! ```
//!
//! 1. States are computed again, not stored: a chunk of 256 tokens keeps h and a of 16 states in 32 KiB; where a segment has
//!    more chunks, a first sweep keeps one state in front of each.
//! 2. Step sizes, skip and gate of 16 channels at once, four lanes wide, before and after; in between one channel after
//!    another, 16 states in the lanes of four vectors. Where 16 does not divide the states, A, B, C, h and g are filled up with
//!    zeros: those lanes stay zero.
//! 3. What a token needs lies in three rows, so that few addresses are at work.
//! 4. Sums over states are of even and of odd vectors, and rows have bases of their own, so that an engine may join two
//!    vectors (see [`crate::simd128::tile`]).

use super::elementwise::{add_row, silu_slope};
use crate::lanes::{aligned, F32x4};
use crate::scalar::scan::Scan;
use crate::simd128::math::{growth2, sigmoid, softplus, Exp2};

const CHUNK: usize = 256;
/// Channels that are prepared together, and states that are computed together.
const GROUP: usize = 16;
const VECTORS: usize = GROUP / 4;
type States = [F32x4; VECTORS];

/// Where the gradients are added; null where one is not wanted. `state` `[channels, states]` is in and out.
pub struct Gradients {
    pub dy: *const f32,
    pub dy_stride: usize,
    pub u: *mut f32,
    pub u_stride: usize,
    pub delta: *mut f32,
    pub delta_stride: usize,
    pub b: *mut f32,
    pub b_stride: usize,
    pub c: *mut f32,
    pub c_stride: usize,
    pub z: *mut f32,
    pub z_stride: usize,
    pub a: *mut f32,
    pub d: *mut f32,
    pub delta_bias: *mut f32,
    pub state: *mut f32,
}

/// f32 of working memory that [`selective_scan`] needs.
pub fn scratch_len(tokens: usize, states: usize) -> usize {
    let padded = states.next_multiple_of(GROUP);
    let kept = (tokens.div_ceil(CHUNK) + 3) * GROUP * padded;
    8 + CHUNK * (4 * padded + COUNT * GROUP) + 2 * (CHUNK + 1) * GROUP + GROUP + kept
}

/// What is known of a token and 16 channels: delta before and after softplus, times log2(e), u, d u; the slope behind the
/// gate, the gate's sigmoid; C h + D u; the sums over states of g B and of g a h A.
mod values {
    pub const RAW: usize = 0;
    pub const STEP: usize = 1;
    pub const STEP2: usize = 2;
    pub const INPUT: usize = 3;
    pub const WRITE: usize = 4;
    pub const SLOPE: usize = 5;
    pub const OPEN: usize = 6;
    pub const OUT: usize = 7;
    pub const SUM_GB: usize = 8;
    pub const SUM_GA: usize = 9;
    pub const COUNT: usize = 10;
}
use values::*;

// Offsets in a row of what is known of a token and 16 states,
const B: usize = 0;
const C: usize = GROUP;
const DB: usize = 2 * GROUP;
const DC: usize = 3 * GROUP;
// and of one channel: h before a token, and the decay on the way to the next.
const H: usize = 0;
const DECAY: usize = GROUP;

struct Work {
    /// `[padded / 16, CHUNK, 4, 16]`.
    rows: *mut f32,
    /// The same by another name: else the compiler puts loads between neighbouring stores, which are then not joined.
    rows_before: *const f32,
    /// `[CHUNK, COUNT, 16]`.
    values: *mut f32,
    /// `[CHUNK + 1, 2, 16]`.
    channel: *mut f32,
    /// `[16]`: the sums of the gradient to A.
    da: *mut f32,
    /// `[16, padded]`.
    a: *mut f32,
    state: *mut f32,
    gradient: *mut f32,
    /// `[chunks, 16, padded]`.
    kept: *mut f32,
}

impl Work {
    /// One of the values of token t.
    #[inline(always)]
    unsafe fn value(&self, t: usize, which: usize) -> *mut f32 {
        self.values.add((t * COUNT + which) * GROUP)
    }
    /// Offset of the row of token t and states from n on.
    #[inline(always)]
    fn row(t: usize, n: usize) -> usize {
        (n / GROUP * CHUNK + t) * 4 * GROUP
    }
}

/// `s.state` is the state before and stays as it is; `s.y` is not used.
/// # Safety
/// The pointers cover what [`Scan`] and [`Gradients`] say; `scratch` points to [`scratch_len`] f32.
pub unsafe fn selective_scan(s: &Scan, g: &Gradients, scratch: *mut f32) {
    let padded = s.states.next_multiple_of(GROUP);
    let chunks = s.tokens.div_ceil(CHUNK);
    // All lengths below are multiples of 32 bytes.
    let mut next = aligned(scratch.add(7));
    let mut take = |length: usize| {
        let at = next;
        next = next.add(length);
        at
    };
    let rows = take(4 * CHUNK * padded);
    let w = Work {
        rows,
        rows_before: rows,
        values: take(CHUNK * COUNT * GROUP),
        channel: take(2 * (CHUNK + 1) * GROUP),
        da: take(GROUP),
        a: take(GROUP * padded),
        state: take(GROUP * padded),
        gradient: take(GROUP * padded),
        kept: take(chunks * GROUP * padded),
    };
    for channel in (0..s.channels).step_by(GROUP) {
        let width = GROUP.min(s.channels - channel);
        for i in 0..width {
            let at = (channel + i) * s.states;
            for (from, to) in [(s.a, w.a), (s.state as *const f32, w.state), (g.state as *const f32, w.gradient)] {
                pad(from.add(at), to.add(i * padded), s.states, padded);
            }
        }
        for k in 0..chunks {
            core::ptr::copy_nonoverlapping(w.state, w.kept.add(k * GROUP * padded), GROUP * padded);
            if k + 1 < chunks {
                let largest = prepare(s, g, &w, k * CHUNK, CHUNK, channel, width);
                for (i, &largest) in largest.iter().enumerate().take(width) {
                    forward(s, &w, channel, i, CHUNK, padded, largest);
                }
            }
        }
        for k in (0..chunks).rev() {
            let (t0, tokens) = (k * CHUNK, CHUNK.min(s.tokens - k * CHUNK));
            let largest = prepare(s, g, &w, t0, tokens, channel, width);
            for (i, &largest) in largest.iter().enumerate().take(width) {
                let small = fits(s, channel + i, largest);
                for n in (0..s.states).step_by(GROUP) {
                    let at = i * padded + n;
                    core::ptr::copy_nonoverlapping(w.kept.add(k * GROUP * padded + at), w.channel.add(H), GROUP);
                    if small {
                        recompute::<true>(&w, i, n, at, tokens);
                    } else {
                        recompute::<false>(&w, i, n, at, tokens);
                    }
                    backward(&w, i, n, at, tokens);
                    if !g.a.is_null() {
                        add_row(w.da, g.a.add((channel + i) * s.states + n), GROUP.min(s.states - n));
                    }
                }
            }
            finish(s, g, &w, t0, tokens, channel, width);
            for t in 0..tokens {
                for n in (0..s.states).step_by(GROUP) {
                    let (row, count) = (w.rows.add(Work::row(t, n)), GROUP.min(s.states - n));
                    for (to, stride, which) in [(g.b, g.b_stride, DB), (g.c, g.c_stride, DC)] {
                        if !to.is_null() {
                            add_row(row.add(which), to.add((t0 + t) * stride + n), count);
                        }
                    }
                }
            }
        }
        for i in 0..width {
            let at = (channel + i) * s.states;
            core::ptr::copy_nonoverlapping(w.gradient.add(i * padded), g.state.add(at), s.states);
        }
    }
}

/// A row of `states`, filled up with zeros.
#[inline(always)]
unsafe fn pad(from: *const f32, to: *mut f32, states: usize, padded: usize) {
    for n in (0..padded).step_by(4) {
        let value = if n < states { F32x4::load_first(from.add(n), states - n) } else { F32x4::splat(0.0) };
        value.store(to.add(n));
    }
}

/// Whether no |d A log2(e)| of a channel passes 126.
unsafe fn fits(s: &Scan, channel: usize, largest: f32) -> bool {
    (0..s.states).all(|n| (*s.a.add(channel * s.states + n)).abs() * largest < 126.0)
}

/// Rows of B and C, and what a chunk needs per channel, sums of zero; the largest |d log2(e)| of each.
unsafe fn prepare(
    s: &Scan,
    g: &Gradients,
    w: &Work,
    t0: usize,
    tokens: usize,
    channel: usize,
    width: usize,
) -> [f32; GROUP] {
    let mut largest = [F32x4::splat(0.0); VECTORS];
    for t in 0..tokens {
        let at = t0 + t;
        for n in (0..s.states).step_by(GROUP) {
            let (row, states) = (w.rows.add(Work::row(t, n)), s.states - n);
            pad(s.b.add(at * s.b_stride + n), row.add(B), states, GROUP);
            pad(s.c.add(at * s.c_stride + n), row.add(C), states, GROUP);
            pad(row, row.add(DB), 0, 2 * GROUP);
        }
        pad(w.values, w.value(t, OUT), 0, 3 * GROUP);
        for (v, largest) in largest.iter_mut().enumerate().take(width.div_ceil(4)) {
            let (column, count, values) = (channel + 4 * v, width - 4 * v, w.value(t, 0).add(4 * v));
            let keep = |value: F32x4, which: usize| value.store(values.add(which * GROUP));
            let mut d = F32x4::load_first(s.delta.add(at * s.delta_stride + column), count);
            if !s.delta_bias.is_null() {
                d = d.add(F32x4::load_first(s.delta_bias.add(column), count));
            }
            keep(d, RAW);
            if s.softplus {
                d = softplus(d);
            }
            let u = F32x4::load_first(s.u.add(at * s.u_stride + column), count);
            let d2 = d.mul(F32x4::splat(core::f32::consts::LOG2_E));
            keep(d, STEP);
            keep(d2, STEP2);
            keep(u, INPUT);
            keep(d.mul(u), WRITE);
            *largest = largest.larger_magnitude(d2);
            let mut slope = F32x4::load_first(g.dy.add(at * g.dy_stride + column), count);
            if !s.z.is_null() {
                let z = F32x4::load_first(s.z.add(at * s.z_stride + column), count);
                let open = sigmoid(z);
                keep(open, OPEN);
                slope = slope.mul(z.mul(open));
            }
            keep(slope, SLOPE);
        }
    }
    let mut out = [0f32; GROUP];
    for (v, largest) in largest.iter().enumerate() {
        largest.store(out.as_mut_ptr().add(4 * v));
    }
    out
}

/// Channel `i` of the group over a chunk: its state advances, nothing else.
unsafe fn forward(s: &Scan, w: &Work, channel: usize, i: usize, tokens: usize, padded: usize, largest: f32) {
    let small = fits(s, channel + i, largest);
    let exp2 = Exp2::prepare();
    for n in (0..s.states).step_by(4) {
        let a = F32x4::load(w.a.add(i * padded + n));
        let state = w.state.add(i * padded + n);
        let mut h = F32x4::load(state);
        for t in 0..tokens {
            let x = F32x4::load_splat(w.value(t, STEP2).add(i)).mul(a);
            let keep = if small { exp2.of(x) } else { growth2(x) };
            let write = F32x4::load_splat(w.value(t, WRITE).add(i));
            h = keep.mul_add(h, write.mul(F32x4::load(w.rows.add(Work::row(t, n) + B + n % GROUP))));
        }
        h.store(state);
    }
}

/// h and decay of 16 states of channel `i`, from state `n` on, over a chunk, and their part of C h. `at`: where they lie in
/// `[16, padded]`. Not inlined, nor the next: see [`crate::simd128::tile`].
#[inline(never)]
unsafe fn recompute<const SMALL: bool>(w: &Work, i: usize, n: usize, at: usize, tokens: usize) {
    let a = load(aligned(w.a.add(at)));
    let exp2 = Exp2::prepare();
    let mut h = load(aligned(w.channel.add(H)));
    for t in 0..tokens {
        let values = w.value(t, 0).add(i);
        let row = aligned(w.rows.add(Work::row(t, n)));
        let to = aligned(w.channel.add(2 * GROUP * t));
        let d = F32x4::load_splat(values.add(STEP2 * GROUP));
        let write = F32x4::load_splat(values.add(WRITE * GROUP));
        let (b, c) = (load(row.add(B)), load(row.add(C)));
        let keep = each(|k| {
            let x = d.mul(a[k]);
            if SMALL {
                exp2.of(x)
            } else {
                growth2(x)
            }
        });
        h = each(|k| keep[k].mul_add(h[k], write.mul(b[k])));
        store(keep, to.add(DECAY));
        store(h, to.add(2 * GROUP + H));
        *values.add(OUT * GROUP) += sum(each(|k| h[k].mul(c[k])));
    }
}

/// From the last token to the first: the gradients to these states, to B, C and A, and the sums for those to delta and u.
#[inline(never)]
unsafe fn backward(w: &Work, i: usize, n: usize, at: usize, tokens: usize) {
    let a = load(aligned(w.a.add(at)));
    let gradient = aligned(w.gradient.add(at));
    let mut dh = load(gradient);
    let mut da = [F32x4::splat(0.0); VECTORS];
    for t in (0..tokens).rev() {
        let values = w.value(t, 0).add(i);
        let row = aligned(w.rows.add(Work::row(t, n)));
        let old = aligned(w.rows_before.add(Work::row(t, n)));
        let channel = aligned(w.channel.add(2 * GROUP * t));
        let slope = F32x4::load_splat(values.add(SLOPE * GROUP));
        let write = F32x4::load_splat(values.add(WRITE * GROUP));
        let d = F32x4::load_splat(values.add(STEP * GROUP));
        let (before, h, dc) = (load(channel.add(H)), load(channel.add(2 * GROUP + H)), load(old.add(DC)));
        store(each(|k| slope.mul_add(h[k], dc[k])), row.add(DC));
        let (b, c, db) = (load(old.add(B)), load(old.add(C)), load(old.add(DB)));
        dh = each(|k| slope.mul_add(c[k], dh[k]));
        store(each(|k| dh[k].mul_add(write, db[k])), row.add(DB));
        *values.add(SUM_GB * GROUP) += sum(each(|k| dh[k].mul(b[k])));
        let decay = load(channel.add(DECAY));
        dh = each(|k| dh[k].mul(decay[k]));
        let kept = each(|k| dh[k].mul(before[k]));
        *values.add(SUM_GA * GROUP) += sum(each(|k| kept[k].mul(a[k])));
        da = each(|k| kept[k].mul_add(d, da[k]));
    }
    store(dh, gradient);
    store(da, aligned(w.da));
}

#[inline(always)]
fn each(f: impl Fn(usize) -> F32x4) -> States {
    core::array::from_fn(f)
}
#[inline(always)]
unsafe fn load(p: *const f32) -> States {
    each(|k| F32x4::load(p.add(4 * k)))
}
#[inline(always)]
unsafe fn store(values: States, p: *mut f32) {
    for (k, value) in values.into_iter().enumerate() {
        value.store(p.add(4 * k));
    }
}
#[inline(always)]
fn sum(v: States) -> f32 {
    v[0].add(v[2]).add(v[1].add(v[3])).sum()
}

/// The gradients of a chunk per channel: through softplus, skip and gate.
unsafe fn finish(s: &Scan, g: &Gradients, w: &Work, t0: usize, tokens: usize, channel: usize, width: usize) {
    let add = |to: *mut f32, value: F32x4, count: usize| {
        if !to.is_null() {
            value.add(F32x4::load_first(to, count)).store_first(to, count);
        }
    };
    let place = |to: *mut f32, stride: usize, t: usize, column: usize| {
        if to.is_null() {
            to
        } else {
            to.add(t * stride + column)
        }
    };
    for v in 0..width.div_ceil(4) {
        let (column, count) = (channel + 4 * v, width - 4 * v);
        let skip = if s.d.is_null() { F32x4::splat(0.0) } else { F32x4::load_first(s.d.add(column), count) };
        let (mut sum_d, mut sum_bias) = (F32x4::splat(0.0), F32x4::splat(0.0));
        for t in 0..tokens {
            let value = |which: usize| F32x4::load(w.value(t, which).add(4 * v));
            let (u, slope) = (value(INPUT), value(SLOPE));
            let gb = value(SUM_GB);
            let du = slope.mul_add(skip, value(STEP).mul(gb));
            add(place(g.u, g.u_stride, t0 + t, column), du, count);
            let mut dd = gb.mul_add(u, value(SUM_GA));
            if s.softplus {
                dd = dd.mul(sigmoid(value(RAW)));
            }
            add(place(g.delta, g.delta_stride, t0 + t, column), dd, count);
            sum_bias = sum_bias.add(dd);
            sum_d = slope.mul_add(u, sum_d);
            if !g.z.is_null() {
                let z = F32x4::load_first(s.z.add((t0 + t) * s.z_stride + column), count);
                let dy = F32x4::load_first(g.dy.add((t0 + t) * g.dy_stride + column), count);
                let out = skip.mul_add(u, value(OUT));
                let dz = dy.mul(out).mul(silu_slope(z, value(OPEN)));
                add(place(g.z, g.z_stride, t0 + t, column), dz, count);
            }
        }
        add(place(g.d, 0, 0, column), sum_d, count);
        add(place(g.delta_bias, 0, 0, column), sum_bias, count);
    }
}
