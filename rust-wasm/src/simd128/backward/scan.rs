//! The gradient of the selective scan.
//!
//! ```text
//! for channel: for chunk of tokens, last one first:
//!     for t:          h[t] = a[t] h[t - 1] + d u B[t]                      a[t] = exp(d A)
//!     for t downward: g += slope C[t];  dC[t] += slope h[t];  dB[t] += g d u
//!                     dd = sum_n g a h[t - 1] A + u sum_n g B;  du = d sum_n g B;  dA += g a h[t - 1] d;  g *= a
//! ```
//!
//! 1. States are computed again, not stored: a chunk of 128 tokens keeps h and a of one vector group (16 states) in 16 KiB;
//!    where a segment has more chunks, a first sweep keeps one state in front of each.
//! 2. Step sizes, skip and gate of 16 channels at once, four lanes wide, before and after; in between one channel after
//!    another, whose states lie in the lanes.
//! 3. A number of states that 4 does not divide is filled up with zeros in A, B, C, h and g: those lanes stay zero.

use super::elementwise::silu_slope;
use crate::lanes::F32x4;
use crate::scalar::scan::Scan;
use crate::simd128::math::{exp2, growth2, sigmoid, softplus};

const CHUNK: usize = 128;
const GROUP: usize = 16;
const VECTORS: usize = GROUP / 4;

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
    let padded = states.next_multiple_of(4);
    let chunks = tokens.div_ceil(CHUNK);
    4 * CHUNK * padded + 9 * CHUNK * GROUP + 2 * CHUNK * 16 + 2 * GROUP * padded + chunks * GROUP * padded
}

struct Work {
    /// `[CHUNK, padded]`, filled up.
    b: *mut f32,
    c: *mut f32,
    db: *mut f32,
    dc: *mut f32,
    /// `[CHUNK, GROUP]`: delta before and after softplus, times log2(e), u, d u; the slope behind the gate; C h + D u; the
    /// sums over states of g B and of g a h A.
    raw: *mut f32,
    step: *mut f32,
    step2: *mut f32,
    input: *mut f32,
    write: *mut f32,
    slope: *mut f32,
    out: *mut f32,
    sum_gb: *mut f32,
    sum_ga: *mut f32,
    /// `[CHUNK, 16]` of one channel.
    h: *mut f32,
    decay: *mut f32,
    /// `[GROUP, padded]`.
    state: *mut f32,
    gradient: *mut f32,
    /// `[chunks, GROUP, padded]`.
    kept: *mut f32,
}

/// `s.state` is the state before and stays as it is; `s.y` is not used.
/// # Safety
/// The pointers cover what [`Scan`] and [`Gradients`] say; `scratch` points to [`scratch_len`] f32.
pub unsafe fn selective_scan(s: &Scan, g: &Gradients, scratch: *mut f32) {
    let padded = s.states.next_multiple_of(4);
    let mut next = scratch;
    let mut take = |length: usize| {
        let at = next;
        next = next.add(length);
        at
    };
    let (wide, group) = (CHUNK * padded, CHUNK * GROUP);
    let w = Work {
        b: take(wide),
        c: take(wide),
        db: take(wide),
        dc: take(wide),
        raw: take(group),
        step: take(group),
        step2: take(group),
        input: take(group),
        write: take(group),
        slope: take(group),
        out: take(group),
        sum_gb: take(group),
        sum_ga: take(group),
        h: take(CHUNK * 16),
        decay: take(CHUNK * 16),
        state: take(GROUP * padded),
        gradient: take(GROUP * padded),
        kept: take(s.tokens.div_ceil(CHUNK) * GROUP * padded),
    };
    for channel in (0..s.channels).step_by(GROUP) {
        let width = GROUP.min(s.channels - channel);
        for i in 0..width {
            let at = (channel + i) * s.states;
            pad(s.state.add(at), w.state.add(i * padded), s.states, padded);
            pad(g.state.add(at), w.gradient.add(i * padded), s.states, padded);
        }
        let chunks = s.tokens.div_ceil(CHUNK);
        for k in 0..chunks {
            core::ptr::copy_nonoverlapping(w.state, w.kept.add(k * GROUP * padded), GROUP * padded);
            if k + 1 < chunks {
                let largest = prepare(s, g, &w, k * CHUNK, CHUNK, channel, width, padded);
                for (i, &largest) in largest.iter().enumerate().take(width) {
                    forward(s, &w, channel, i, CHUNK, padded, largest);
                }
            }
        }
        for k in (0..chunks).rev() {
            let (t0, tokens) = (k * CHUNK, CHUNK.min(s.tokens - k * CHUNK));
            let largest = prepare(s, g, &w, t0, tokens, channel, width, padded);
            core::ptr::write_bytes(w.db, 0, tokens * padded);
            core::ptr::write_bytes(w.dc, 0, tokens * padded);
            core::ptr::write_bytes(w.out, 0, tokens * GROUP);
            core::ptr::write_bytes(w.sum_gb, 0, tokens * GROUP);
            core::ptr::write_bytes(w.sum_ga, 0, tokens * GROUP);
            for (i, &largest) in largest.iter().enumerate().take(width) {
                let start = w.kept.add((k * GROUP + i) * padded);
                let small = fits(s, channel + i, largest);
                let mut n = 0;
                while n < s.states {
                    match (s.states - n >= 16, small) {
                        (true, true) => states::<4, true>(s, g, &w, channel, i, n, start, tokens, padded),
                        (true, false) => states::<4, false>(s, g, &w, channel, i, n, start, tokens, padded),
                        (false, true) => states::<1, true>(s, g, &w, channel, i, n, start, tokens, padded),
                        (false, false) => states::<1, false>(s, g, &w, channel, i, n, start, tokens, padded),
                    }
                    n += if s.states - n >= 16 { 16 } else { 4 };
                }
            }
            finish(s, g, &w, t0, tokens, channel, width);
            for t in 0..tokens {
                add_first(w.db.add(t * padded), g.b, g.b_stride, t0 + t, s.states);
                add_first(w.dc.add(t * padded), g.c, g.c_stride, t0 + t, s.states);
            }
        }
        for i in 0..width {
            let at = (channel + i) * s.states;
            core::ptr::copy_nonoverlapping(w.gradient.add(i * padded), g.state.add(at), s.states);
        }
    }
}

unsafe fn pad(from: *const f32, to: *mut f32, states: usize, padded: usize) {
    for n in 0..padded {
        *to.add(n) = if n < states { *from.add(n) } else { 0.0 };
    }
}

unsafe fn add_first(from: *const f32, to: *mut f32, stride: usize, t: usize, count: usize) {
    if !to.is_null() {
        for n in 0..count {
            *to.add(t * stride + n) += *from.add(n);
        }
    }
}

/// Whether no |d A log2(e)| of a channel passes 126.
unsafe fn fits(s: &Scan, channel: usize, largest: f32) -> bool {
    (0..s.states).all(|n| (*s.a.add(channel * s.states + n)).abs() * largest < 126.0)
}

/// Rows of B and C, and what a chunk needs per channel; the largest |d log2(e)| of each.
#[allow(clippy::too_many_arguments)]
unsafe fn prepare(
    s: &Scan,
    g: &Gradients,
    w: &Work,
    t0: usize,
    tokens: usize,
    channel: usize,
    width: usize,
    padded: usize,
) -> [f32; GROUP] {
    let mut largest = [F32x4::splat(0.0); VECTORS];
    for t in 0..tokens {
        let at = t0 + t;
        pad(s.b.add(at * s.b_stride), w.b.add(t * padded), s.states, padded);
        pad(s.c.add(at * s.c_stride), w.c.add(t * padded), s.states, padded);
        for (v, largest) in largest.iter_mut().enumerate() {
            if 4 * v >= width {
                break;
            }
            let (column, count, to) = (channel + 4 * v, width - 4 * v, t * GROUP + 4 * v);
            let mut d = F32x4::load_first(s.delta.add(at * s.delta_stride + column), count);
            if !s.delta_bias.is_null() {
                d = d.add(F32x4::load_first(s.delta_bias.add(column), count));
            }
            d.store(w.raw.add(to));
            if s.softplus {
                d = softplus(d);
            }
            let u = F32x4::load_first(s.u.add(at * s.u_stride + column), count);
            let d2 = d.mul(F32x4::splat(core::f32::consts::LOG2_E));
            d.store(w.step.add(to));
            d2.store(w.step2.add(to));
            u.store(w.input.add(to));
            d.mul(u).store(w.write.add(to));
            *largest = largest.larger_magnitude(d2);
            let mut slope = F32x4::load_first(g.dy.add(at * g.dy_stride + column), count);
            if !s.z.is_null() {
                let z = F32x4::load_first(s.z.add(at * s.z_stride + column), count);
                slope = slope.mul(z.mul(sigmoid(z)));
            }
            slope.store(w.slope.add(to));
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
    for n in (0..s.states).step_by(4) {
        let a = F32x4::load_first(s.a.add((channel + i) * s.states + n), s.states - n);
        let state = w.state.add(i * padded + n);
        let mut h = F32x4::load(state);
        for t in 0..tokens {
            let x = F32x4::load_splat(w.step2.add(t * GROUP + i)).mul(a);
            let keep = if small { exp2(x) } else { growth2(x) };
            let write = F32x4::load_splat(w.write.add(t * GROUP + i));
            h = keep.mul_add(h, write.mul(F32x4::load(w.b.add(t * padded + n))));
        }
        h.store(state);
    }
}

/// `V` vectors of states of channel `i`, from state `n` on, over a chunk that begins with `start`: forward, then backward.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
unsafe fn states<const V: usize, const SMALL: bool>(
    s: &Scan,
    g: &Gradients,
    w: &Work,
    channel: usize,
    i: usize,
    n: usize,
    start: *const f32,
    tokens: usize,
    padded: usize,
) {
    let at = (channel + i) * s.states + n;
    let left = s.states - n;
    let a: [F32x4; V] = core::array::from_fn(|k| F32x4::load_first(s.a.add(at + 4 * k), left - 4 * k));
    let first: [F32x4; V] = core::array::from_fn(|k| F32x4::load(start.add(n + 4 * k)));
    let mut h = first;
    for t in 0..tokens {
        let d = F32x4::load_splat(w.step2.add(t * GROUP + i));
        let write = F32x4::load_splat(w.write.add(t * GROUP + i));
        let (b, c) = (w.b.add(t * padded + n), w.c.add(t * padded + n));
        let mut sum = F32x4::splat(0.0);
        for k in 0..V {
            let x = d.mul(a[k]);
            let keep = if SMALL { exp2(x) } else { growth2(x) };
            h[k] = keep.mul_add(h[k], write.mul(F32x4::load(b.add(4 * k))));
            keep.store(w.decay.add(t * 16 + 4 * k));
            h[k].store(w.h.add(t * 16 + 4 * k));
            sum = h[k].mul_add(F32x4::load(c.add(4 * k)), sum);
        }
        *w.out.add(t * GROUP + i) += sum.sum();
    }
    let gradient = w.gradient.add(i * padded + n);
    let mut dh: [F32x4; V] = core::array::from_fn(|k| F32x4::load(gradient.add(4 * k)));
    let mut da = [F32x4::splat(0.0); V];
    for t in (0..tokens).rev() {
        let slope = F32x4::load_splat(w.slope.add(t * GROUP + i));
        let write = F32x4::load_splat(w.write.add(t * GROUP + i));
        let d = F32x4::load_splat(w.step.add(t * GROUP + i));
        let (row, state) = (t * padded + n, t * 16);
        let (mut gb, mut ga) = (F32x4::splat(0.0), F32x4::splat(0.0));
        for k in 0..V {
            let dc = w.dc.add(row + 4 * k);
            slope.mul_add(F32x4::load(w.h.add(state + 4 * k)), F32x4::load(dc)).store(dc);
            dh[k] = slope.mul_add(F32x4::load(w.c.add(row + 4 * k)), dh[k]);
            let db = w.db.add(row + 4 * k);
            dh[k].mul_add(write, F32x4::load(db)).store(db);
            gb = dh[k].mul_add(F32x4::load(w.b.add(row + 4 * k)), gb);
            dh[k] = dh[k].mul(F32x4::load(w.decay.add(state + 4 * k)));
            let before = if t == 0 { first[k] } else { F32x4::load(w.h.add(state - 16 + 4 * k)) };
            let kept = dh[k].mul(before);
            ga = kept.mul_add(a[k], ga);
            da[k] = kept.mul_add(d, da[k]);
        }
        *w.sum_gb.add(t * GROUP + i) += gb.sum();
        *w.sum_ga.add(t * GROUP + i) += ga.sum();
    }
    for k in 0..V {
        dh[k].store(gradient.add(4 * k));
        if !g.a.is_null() {
            let to = g.a.add(at + 4 * k);
            da[k].add(F32x4::load_first(to, left - 4 * k)).store_first(to, left - 4 * k);
        }
    }
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
            let from = t * GROUP + 4 * v;
            let (u, slope) = (F32x4::load(w.input.add(from)), F32x4::load(w.slope.add(from)));
            let gb = F32x4::load(w.sum_gb.add(from));
            let du = slope.mul_add(skip, F32x4::load(w.step.add(from)).mul(gb));
            add(place(g.u, g.u_stride, t0 + t, column), du, count);
            let mut dd = gb.mul_add(u, F32x4::load(w.sum_ga.add(from)));
            if s.softplus {
                dd = dd.mul(sigmoid(F32x4::load(w.raw.add(from))));
            }
            add(place(g.delta, g.delta_stride, t0 + t, column), dd, count);
            sum_bias = sum_bias.add(dd);
            sum_d = slope.mul_add(u, sum_d);
            if !g.z.is_null() {
                let z = F32x4::load_first(s.z.add((t0 + t) * s.z_stride + column), count);
                let dy = F32x4::load_first(g.dy.add((t0 + t) * g.dy_stride + column), count);
                let out = skip.mul_add(u, F32x4::load(w.out.add(from)));
                let dz = dy.mul(out).mul(silu_slope(z, sigmoid(z)));
                add(place(g.z, g.z_stride, t0 + t, column), dz, count);
            }
        }
        add(place(g.d, 0, 0, column), sum_d, count);
        add(place(g.delta_bias, 0, 0, column), sum_bias, count);
    }
}
