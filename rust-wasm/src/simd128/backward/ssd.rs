//! The gradient of Mamba-2's recurrence, with the loops of [`super::scan`]: states are computed again by chunks of 128 tokens,
//! 16 of one row of a head's state at a time. The decay is one number per head and token.

use crate::lanes::F32x4;
use crate::scalar::math::{softplus, softplus_slope};
use crate::scalar::ssd::Ssd;

const CHUNK: usize = 128;

/// Where the gradients are added; null where one is not wanted. `state` `[heads, width, states]` is in and out.
pub struct Gradients {
    pub dy: *const f32,
    pub dy_stride: usize,
    pub x: *mut f32,
    pub x_stride: usize,
    pub dt: *mut f32,
    pub dt_stride: usize,
    pub b: *mut f32,
    pub b_stride: usize,
    pub c: *mut f32,
    pub c_stride: usize,
    pub a: *mut f32,
    pub d: *mut f32,
    pub dt_bias: *mut f32,
    pub state: *mut f32,
}

/// f32 of working memory of [`ssd`].
pub fn scratch_len(tokens: usize, width: usize, states: usize) -> usize {
    let padded = states.next_multiple_of(4);
    4 * CHUNK * padded + 8 * CHUNK + 16 * CHUNK + (tokens.div_ceil(CHUNK) + 2) * width * padded
}

struct Work {
    /// `[CHUNK, padded]`, filled up with zeros.
    b: *mut f32,
    c: *mut f32,
    db: *mut f32,
    dc: *mut f32,
    /// `[CHUNK]`: the step before softplus, the step, the decay; the sums of g B and of g times the decayed state, for one
    /// row; of a whole head the gradients to the step but through the decay, and through it.
    raw: *mut f32,
    step: *mut f32,
    decay: *mut f32,
    sum_gb: *mut f32,
    sum_gs: *mut f32,
    dd: *mut f32,
    dexp: *mut f32,
    /// `[CHUNK, 16]` of one row.
    h: *mut f32,
}

/// `s.state` is the state before and stays as it is; `s.y` is not used.
/// # Safety
/// The pointers cover what [`Ssd`] and [`Gradients`] say; `scratch` points to [`scratch_len`] f32.
pub unsafe fn ssd(s: &Ssd, g: &Gradients, scratch: *mut f32) {
    let padded = s.states.next_multiple_of(4);
    let mut next = scratch;
    let mut take = |length: usize| {
        let at = next;
        next = next.add(length);
        at
    };
    let wide = CHUNK * padded;
    let w = Work {
        b: take(wide),
        c: take(wide),
        db: take(wide),
        dc: take(wide),
        raw: take(CHUNK),
        step: take(CHUNK),
        decay: take(CHUNK),
        sum_gb: take(CHUNK),
        sum_gs: take(CHUNK),
        dd: take(CHUNK),
        dexp: take(CHUNK),
        h: take(CHUNK * 16),
    };
    let size = s.width * padded;
    let (state, gradient) = (take(size), take(size));
    let chunks = s.tokens.div_ceil(CHUNK);
    let kept = take(chunks * size);
    for head in 0..s.heads {
        for p in 0..s.width {
            let at = (head * s.width + p) * s.states;
            pad(s.state.add(at), state.add(p * padded), s.states, padded);
            pad(g.state.add(at), gradient.add(p * padded), s.states, padded);
        }
        for k in 0..chunks {
            core::ptr::copy_nonoverlapping(state, kept.add(k * size), size);
            if k + 1 < chunks {
                prepare(s, &w, head, k * CHUNK, CHUNK, padded);
                for p in 0..s.width {
                    advance(s, &w, head, p, k * CHUNK, state.add(p * padded), padded);
                }
            }
        }
        for k in (0..chunks).rev() {
            let (t0, tokens) = (k * CHUNK, CHUNK.min(s.tokens - k * CHUNK));
            prepare(s, &w, head, t0, tokens, padded);
            core::ptr::write_bytes(w.db, 0, tokens * padded);
            core::ptr::write_bytes(w.dc, 0, tokens * padded);
            core::ptr::write_bytes(w.dd, 0, tokens);
            core::ptr::write_bytes(w.dexp, 0, tokens);
            for p in 0..s.width {
                row(s, g, &w, head, p, t0, tokens, kept.add(k * size + p * padded), gradient.add(p * padded), padded);
            }
            finish(s, g, &w, head, t0, tokens, padded);
        }
        for p in 0..s.width {
            let at = (head * s.width + p) * s.states;
            core::ptr::copy_nonoverlapping(gradient.add(p * padded), g.state.add(at), s.states);
        }
    }
}

/// `to = from`, filled up with zeros.
/// # Safety
/// `from` points to `states` f32, `to` to `padded`.
pub(super) unsafe fn pad(from: *const f32, to: *mut f32, states: usize, padded: usize) {
    for n in 0..padded {
        *to.add(n) = if n < states { *from.add(n) } else { 0.0 };
    }
}

unsafe fn prepare(s: &Ssd, w: &Work, head: usize, t0: usize, tokens: usize, padded: usize) {
    let group = head / (s.heads / s.groups) * s.states;
    let bias = if s.dt_bias.is_null() { 0.0 } else { *s.dt_bias.add(head) };
    for t in 0..tokens {
        let at = t0 + t;
        pad(s.b.add(at * s.b_stride + group), w.b.add(t * padded), s.states, padded);
        pad(s.c.add(at * s.c_stride + group), w.c.add(t * padded), s.states, padded);
        let raw = *s.dt.add(at * s.dt_stride + head) + bias;
        let step = softplus(raw).clamp(s.low, s.high);
        *w.raw.add(t) = raw;
        *w.step.add(t) = step;
        *w.decay.add(t) = (step * *s.a.add(head)).exp();
    }
}

/// One row of the state over a whole chunk.
unsafe fn advance(s: &Ssd, w: &Work, head: usize, p: usize, t0: usize, state: *mut f32, padded: usize) {
    let x = s.x.add(t0 * s.x_stride + head * s.width + p);
    for n in (0..padded).step_by(4) {
        let mut h = F32x4::load(state.add(n));
        for t in 0..CHUNK {
            let write = F32x4::splat(*w.step.add(t) * *x.add(t * s.x_stride));
            h = F32x4::load_splat(w.decay.add(t)).mul_add(h, write.mul(F32x4::load(w.b.add(t * padded + n))));
        }
        h.store(state.add(n));
    }
}

/// One row of the state over a chunk that begins with `start`: forward, then backward.
#[allow(clippy::too_many_arguments)]
unsafe fn row(
    s: &Ssd,
    g: &Gradients,
    w: &Work,
    head: usize,
    p: usize,
    t0: usize,
    tokens: usize,
    start: *const f32,
    gradient: *mut f32,
    padded: usize,
) {
    let channel = head * s.width + p;
    let x = s.x.add(t0 * s.x_stride + channel);
    let dy = g.dy.add(t0 * g.dy_stride + channel);
    core::ptr::write_bytes(w.sum_gb, 0, tokens);
    core::ptr::write_bytes(w.sum_gs, 0, tokens);
    let mut n = 0;
    while n < padded {
        if padded - n >= 16 {
            states::<4>(s, g, w, x, dy, n, tokens, start, gradient, padded);
            n += 16;
        } else {
            states::<1>(s, g, w, x, dy, n, tokens, start, gradient, padded);
            n += 4;
        }
    }
    let skip = if s.d.is_null() { 0.0 } else { *s.d.add(if s.d_per_channel { channel } else { head }) };
    let mut dskip = 0.0;
    for t in 0..tokens {
        let (input, slope, gb) = (*x.add(t * s.x_stride), *dy.add(t * g.dy_stride), *w.sum_gb.add(t));
        if !g.x.is_null() {
            *g.x.add((t0 + t) * g.x_stride + channel) += slope * skip + *w.step.add(t) * gb;
        }
        dskip += slope * input;
        *w.dd.add(t) += input * gb;
        *w.dexp.add(t) += *w.sum_gs.add(t);
    }
    if !g.d.is_null() {
        *g.d.add(if s.d_per_channel { channel } else { head }) += dskip;
    }
}

#[allow(clippy::too_many_arguments)]
#[inline(always)]
unsafe fn states<const V: usize>(
    s: &Ssd,
    g: &Gradients,
    w: &Work,
    x: *const f32,
    dy: *const f32,
    n: usize,
    tokens: usize,
    start: *const f32,
    gradient: *mut f32,
    padded: usize,
) {
    let first: [F32x4; V] = core::array::from_fn(|k| F32x4::load(start.add(n + 4 * k)));
    let mut h = first;
    for t in 0..tokens {
        let keep = F32x4::load_splat(w.decay.add(t));
        let write = F32x4::splat(*w.step.add(t) * *x.add(t * s.x_stride));
        for (k, h) in h.iter_mut().enumerate() {
            *h = keep.mul_add(*h, write.mul(F32x4::load(w.b.add(t * padded + n + 4 * k))));
            h.store(w.h.add(t * 16 + 4 * k));
        }
    }
    let mut dh: [F32x4; V] = core::array::from_fn(|k| F32x4::load(gradient.add(n + 4 * k)));
    for t in (0..tokens).rev() {
        let slope = F32x4::load_splat(dy.add(t * g.dy_stride));
        let write = F32x4::splat(*w.step.add(t) * *x.add(t * s.x_stride));
        let keep = F32x4::load_splat(w.decay.add(t));
        let row = t * padded + n;
        let (mut gb, mut gs) = (F32x4::splat(0.0), F32x4::splat(0.0));
        for k in 0..V {
            let dc = w.dc.add(row + 4 * k);
            slope.mul_add(F32x4::load(w.h.add(t * 16 + 4 * k)), F32x4::load(dc)).store(dc);
            dh[k] = slope.mul_add(F32x4::load(w.c.add(row + 4 * k)), dh[k]);
            let db = w.db.add(row + 4 * k);
            dh[k].mul_add(write, F32x4::load(db)).store(db);
            gb = dh[k].mul_add(F32x4::load(w.b.add(row + 4 * k)), gb);
            dh[k] = dh[k].mul(keep);
            let before = if t == 0 { first[k] } else { F32x4::load(w.h.add((t - 1) * 16 + 4 * k)) };
            gs = dh[k].mul_add(before, gs);
        }
        *w.sum_gb.add(t) += gb.sum();
        *w.sum_gs.add(t) += gs.sum();
    }
    for (k, dh) in dh.iter().enumerate() {
        dh.store(gradient.add(n + 4 * k));
    }
}

/// The gradients of a chunk that all rows of a head share.
unsafe fn finish(s: &Ssd, g: &Gradients, w: &Work, head: usize, t0: usize, tokens: usize, padded: usize) {
    let group = head / (s.heads / s.groups) * s.states;
    let (mut da, mut dbias) = (0.0, 0.0);
    for t in 0..tokens {
        let (raw, step, dexp) = (*w.raw.add(t), *w.step.add(t), *w.dexp.add(t));
        da += dexp * step;
        let dstep = *w.dd.add(t) + dexp * *s.a.add(head);
        let free = softplus(raw);
        let inside = free >= s.low && free <= s.high;
        let draw = if inside { dstep * softplus_slope(raw) } else { 0.0 };
        dbias += draw;
        if !g.dt.is_null() {
            *g.dt.add((t0 + t) * g.dt_stride + head) += draw;
        }
        for (from, to, stride) in [(w.db, g.b, g.b_stride), (w.dc, g.c, g.c_stride)] {
            if !to.is_null() {
                for n in 0..s.states {
                    *to.add((t0 + t) * stride + group + n) += *from.add(t * padded + n);
                }
            }
        }
    }
    if !g.a.is_null() {
        *g.a.add(head) += da;
    }
    if !g.dt_bias.is_null() {
        *g.dt_bias.add(head) += dbias;
    }
}
