//! The gradient of Mamba-3's recurrence, with the loops of [`super::ssd`]: states are computed again by chunks of 128 tokens,
//! 16 of one row of a head's state at a time. With dS[t] the gradient to the state after token t, each key is written twice,
//! by its own token and by the next one, so that the two are one sum:
//!
//! ```text
//! dk[t] = sum over p of v[t] (gamma[t] dS[t] + beta[t + 1] dS[t + 1]),     dv[t] the same with k[t] over n
//! ```
//!
//! Arrays "by key" begin with the token before the chunk: key j is that of token j - 1.

use super::elementwise::add_row;
use super::ssd::pad;
use crate::lanes::F32x4;
use crate::scalar::mamba3::{projection, turned, Mamba3};
use crate::scalar::math::{heavy_tail, softplus, softplus_slope};
use crate::simd128::mamba3::{half_turns, step_sizes, turn};
use core::f32::consts::PI;

const CHUNK: usize = 128;

/// Where the gradients are added; null where one is not wanted. Shapes and the state's fields, which are in and out, as in
/// [`Mamba3`].
pub struct Gradients {
    /// `[tokens, rank, heads * width]`.
    pub dy: *const f32,
    pub dy_stride: usize,
    pub x: *mut f32,
    pub x_stride: usize,
    pub dt: *mut f32,
    pub dt_stride: usize,
    pub a: *mut f32,
    pub a_stride: usize,
    pub trap: *mut f32,
    pub trap_stride: usize,
    pub angle: *mut f32,
    pub angle_stride: usize,
    pub b: *mut f32,
    pub b_stride: usize,
    pub c: *mut f32,
    pub c_stride: usize,
    pub dt_bias: *mut f32,
    pub b_bias: *mut f32,
    pub c_bias: *mut f32,
    pub d: *mut f32,
    pub mimo_x: *mut f32,
    pub theta: *mut f32,
    pub state: *mut f32,
    pub k_before: *mut f32,
    pub x_before: *mut f32,
}

struct Work {
    /// States of a row and angles, each filled up to a multiple of 4.
    padded: usize,
    angles: usize,
    /// By key `[CHUNK + 1, rank, padded]`, turned.
    k: *mut f32,
    dk: *mut f32,
    /// `[CHUNK, rank, padded]`, turned.
    q: *mut f32,
    dq: *mut f32,
    /// `[CHUNK]`: the step, its decay, the mixture, the factors of the token before (0 behind the last token).
    d: *mut f32,
    alpha: *mut f32,
    lambda: *mut f32,
    beta: *mut f32,
    /// By key `[CHUNK + 1]`: the factors of the own token (0 for the token before).
    gamma: *mut f32,
    /// `[CHUNK]` of a whole head: the gradients to d log alpha and to beta; by key that to gamma.
    dexp: *mut f32,
    dbeta: *mut f32,
    dgamma: *mut f32,
    /// By key `[CHUNK + 1]`: x of one row; `[CHUNK + 1, rank]`: k . dS of the own token and of the next, for that row.
    x: *mut f32,
    own: *mut f32,
    next: *mut f32,
    /// `[CHUNK, 16]` of one row.
    h: *mut f32,
    /// `[CHUNK, angles]`.
    sin: *mut f32,
    cos: *mut f32,
    /// `[angles]`.
    theta: *mut f32,
    dtheta: *mut f32,
    /// `[tokens, angles]`: pi tanh(angle).
    turns: *mut f32,
    /// Of one head, to what lies behind a chunk and then before it: `[width, padded]` and `[width]`.
    dstate: *mut f32,
    dx: *mut f32,
    /// Before each chunk: the state `[width, padded]`, k `[rank, padded]`, theta `[angles]`.
    kept: *mut f32,
}

fn lengths(tokens: usize, width: usize, states: usize, rank: usize, angles: usize) -> [usize; 23] {
    let (padded, angles) = (states.next_multiple_of(4), angles.next_multiple_of(4));
    let (keys, by_key) = ((CHUNK + 1) * rank * padded, CHUNK + 4);
    [
        keys,
        keys,
        keys,
        keys,
        by_key,
        by_key,
        by_key,
        by_key,
        by_key,
        by_key,
        by_key,
        by_key,
        by_key,
        by_key * rank,
        by_key * rank,
        CHUNK * 16,
        CHUNK * angles,
        CHUNK * angles,
        angles,
        angles,
        tokens * angles,
        width * padded + width,
        tokens.div_ceil(CHUNK) * kept_len(width, padded, rank, angles),
    ]
}

fn kept_len(width: usize, padded: usize, rank: usize, angles: usize) -> usize {
    (width + rank) * padded + angles
}

/// f32 of working memory of [`mamba3_scan`].
pub fn scratch_len(tokens: usize, width: usize, states: usize, rank: usize, angles: usize) -> usize {
    lengths(tokens, width, states, rank, angles).iter().sum()
}

unsafe fn carve(s: &Mamba3, scratch: *mut f32) -> Work {
    let mut free = scratch;
    let padded = s.states.next_multiple_of(4);
    let [k, dk, q, dq, d, alpha, lambda, beta, gamma, dexp, dbeta, dgamma, x, own, next, h, sin, cos, theta, dtheta, turns, dstate, kept] =
        lengths(s.tokens, s.width, s.states, s.rank, s.angles).map(|length| {
            let start = free;
            free = free.add(length);
            start
        });
    let (angles, dx) = (s.angles.next_multiple_of(4), dstate.add(s.width * padded));
    Work {
        padded,
        angles,
        k,
        dk,
        q,
        dq,
        d,
        alpha,
        lambda,
        beta,
        gamma,
        dexp,
        dbeta,
        dgamma,
        x,
        own,
        next,
        h,
        sin,
        cos,
        theta,
        dtheta,
        turns,
        dstate,
        dx,
        kept,
    }
}

/// The state in `s` is the one before and stays as it is; `s.y` is not used.
/// # Safety
/// The pointers cover what [`Mamba3`] and [`Gradients`] say; `scratch` points to [`scratch_len`] f32.
pub unsafe fn mamba3_scan(s: &Mamba3, g: &Gradients, scratch: *mut f32) {
    let w = carve(s, scratch);
    let padded = w.padded;
    half_turns(s, w.turns, 0, s.tokens);
    // What fills up the rows stays 0.
    core::ptr::write_bytes(w.k, 0, (CHUNK + 1) * s.rank * padded);
    core::ptr::write_bytes(w.q, 0, (CHUNK + 1) * s.rank * padded);
    let size = kept_len(s.width, padded, s.rank, w.angles);
    let chunks = s.tokens.div_ceil(CHUNK);
    for head in 0..s.heads {
        let at = |r: usize| (r * s.heads + head) * s.states;
        let (row, turns) = (|p: usize| (head * s.width + p) * s.states, head * s.angles);
        for p in 0..s.width {
            pad(s.state.add(row(p)), w.kept.add(p * padded), s.states, padded);
            pad(g.state.add(row(p)), w.dstate.add(p * padded), s.states, padded);
            *w.dx.add(p) = *g.x_before.add(head * s.width + p);
        }
        for r in 0..s.rank {
            pad(s.k_before.add(at(r)), w.kept.add((s.width + r) * padded), s.states, padded);
            // As if a chunk lay behind the last one.
            pad(g.k_before.add(at(r)), w.dk.add(r * padded), s.states, padded);
        }
        pad(s.theta.add(turns), w.kept.add((s.width + s.rank) * padded), s.angles, w.angles);
        pad(g.theta.add(turns), w.dtheta, s.angles, w.angles);

        for chunk in 1..chunks {
            let (before, after) = (w.kept.add((chunk - 1) * size), w.kept.add(chunk * size));
            prepare(s, &w, head, (chunk - 1) * CHUNK, CHUNK, before);
            for p in 0..s.width {
                load_x(s, &w, head * s.width + p, (chunk - 1) * CHUNK, CHUNK);
                advance(s, &w, head, p, before.add(p * padded), after.add(p * padded));
            }
            let k = after.add(s.width * padded);
            core::ptr::copy_nonoverlapping(w.k.add(CHUNK * s.rank * padded), k, s.rank * padded);
            core::ptr::copy_nonoverlapping(w.theta, k.add(s.rank * padded), w.angles);
        }
        for chunk in (0..chunks).rev() {
            let (t0, tokens) = (chunk * CHUNK, CHUNK.min(s.tokens - chunk * CHUNK));
            let before = w.kept.add(chunk * size);
            prepare(s, &w, head, t0, tokens, before);
            // The last key of this chunk is the one before the next.
            core::ptr::copy(w.dk, w.dk.add(tokens * s.rank * padded), s.rank * padded);
            core::ptr::write_bytes(w.dk, 0, tokens * s.rank * padded);
            core::ptr::write_bytes(w.dq, 0, tokens * s.rank * padded);
            for sums in [w.dexp, w.dbeta, w.dgamma] {
                core::ptr::write_bytes(sums, 0, tokens + 1);
            }
            for p in 0..s.width {
                row_backward(s, g, &w, head, p, t0, tokens, before.add(p * padded));
            }
            finish(s, g, &w, head, t0, tokens);
        }

        for p in 0..s.width {
            core::ptr::copy_nonoverlapping(w.dstate.add(p * padded), g.state.add(row(p)), s.states);
            *g.x_before.add(head * s.width + p) = *w.dx.add(p);
        }
        for r in 0..s.rank {
            core::ptr::copy_nonoverlapping(w.dk.add(r * padded), g.k_before.add(at(r)), s.states);
        }
        core::ptr::copy_nonoverlapping(w.dtheta, g.theta.add(turns), s.angles);
    }
}

/// Steps, factors, keys and queries of a chunk that begins with what `before` keeps; leaves theta after it.
unsafe fn prepare(s: &Mamba3, w: &Work, head: usize, t0: usize, tokens: usize, before: *const f32) {
    step_sizes(s, w.d, w.alpha, w.lambda, t0, tokens, head);
    (*w.gamma, *w.beta.add(tokens)) = (0.0, 0.0);
    for t in 0..tokens {
        let (d, lambda) = (*w.d.add(t), *w.lambda.add(t));
        *w.beta.add(t) = (1.0 - lambda) * d * *w.alpha.add(t);
        *w.gamma.add(t + 1) = lambda * d;
    }
    let k = before.add(s.width * w.padded);
    core::ptr::copy_nonoverlapping(k, w.k, s.rank * w.padded);
    core::ptr::copy_nonoverlapping(k.add(s.rank * w.padded), w.theta, w.angles);
    let group = head / (s.heads / s.groups);
    for t in 0..tokens {
        let (sin, cos) = (w.sin.add(t * w.angles), w.cos.add(t * w.angles));
        turn(w.theta, w.turns.add((t0 + t) * w.angles), *w.d.add(t), w.angles, sin, cos);
        for r in 0..s.rank {
            let (at, bias) = ((r * s.groups + group) * s.states, (head * s.rank + r) * s.states);
            let (k, q) = (w.k.add(((t + 1) * s.rank + r) * w.padded), w.q.add((t * s.rank + r) * w.padded));
            turned(s, s.b.add((t0 + t) * s.b_stride + at), s.b_bias.add(bias), sin, cos, k);
            turned(s, s.c.add((t0 + t) * s.c_stride + at), s.c_bias.add(bias), sin, cos, q);
        }
    }
}

/// x of one channel, by key.
unsafe fn load_x(s: &Mamba3, w: &Work, channel: usize, t0: usize, tokens: usize) {
    *w.x = if t0 == 0 { *s.x_before.add(channel) } else { *s.x.add((t0 - 1) * s.x_stride + channel) };
    for t in 0..tokens {
        *w.x.add(t + 1) = *s.x.add((t0 + t) * s.x_stride + channel);
    }
}

/// One row of the state over a whole chunk.
unsafe fn advance(s: &Mamba3, w: &Work, head: usize, p: usize, from: *const f32, to: *mut f32) {
    for n in (0..w.padded).step_by(4) {
        let mut h = [F32x4::load(from.add(n))];
        for t in 0..CHUNK {
            step::<1, false>(s, w, head, p, n, t, &mut h);
        }
        h[0].store(to.add(n));
    }
}

/// V vectors of one row of the state over token t of the chunk.
#[inline(always)]
unsafe fn step<const V: usize, const SINGLE: bool>(
    s: &Mamba3,
    w: &Work,
    head: usize,
    p: usize,
    n: usize,
    t: usize,
    h: &mut [F32x4; V],
) {
    let rank = if SINGLE { 1 } else { s.rank };
    let keep = F32x4::load_splat(w.alpha.add(t));
    *h = h.map(|h| h.mul(keep));
    for r in 0..rank {
        let input = projection(s, head, r, p);
        let last = F32x4::splat(*w.beta.add(t) * *w.x.add(t) * input);
        let now = F32x4::splat(*w.gamma.add(t + 1) * *w.x.add(t + 1) * input);
        let key = w.k.add((t * rank + r) * w.padded + n);
        for (v, h) in h.iter_mut().enumerate() {
            *h = last.mul_add(F32x4::load(key.add(4 * v)), *h);
            *h = now.mul_add(F32x4::load(key.add(rank * w.padded + 4 * v)), *h);
        }
    }
}

/// One row of the state over a chunk that begins with `start`: forward, then backward.
#[allow(clippy::too_many_arguments)]
unsafe fn row_backward(
    s: &Mamba3,
    g: &Gradients,
    w: &Work,
    head: usize,
    p: usize,
    t0: usize,
    tokens: usize,
    start: *const f32,
) {
    let (channel, channels) = (head * s.width + p, s.heads * s.width);
    load_x(s, w, channel, t0, tokens);
    let dy = g.dy.add(t0 * g.dy_stride + channel);
    core::ptr::write_bytes(w.own, 0, (tokens + 1) * s.rank);
    core::ptr::write_bytes(w.next, 0, (tokens + 1) * s.rank);
    let gradient = w.dstate.add(p * w.padded);
    let mut n = 0;
    while n < w.padded {
        let wide = w.padded - n >= 16;
        match (wide, s.rank) {
            (true, 1) => states::<4, true>(s, g, w, head, p, dy, n, tokens, start, gradient),
            (true, _) => states::<4, false>(s, g, w, head, p, dy, n, tokens, start, gradient),
            (false, _) => states::<1, false>(s, g, w, head, p, dy, n, tokens, start, gradient),
        }
        n += if wide { 16 } else { 4 };
    }
    let skip = *s.d.add(head);
    let mut dskip = 0.0;
    for r in 0..s.rank {
        let input = projection(s, head, r, p);
        let mut dinput = 0.0;
        for j in 0..=tokens {
            let (x, own, next) = (*w.x.add(j), *w.own.add(j * s.rank + r), *w.next.add(j * s.rank + r));
            let slope = if j == 0 { 0.0 } else { *dy.add((j - 1) * g.dy_stride + r * channels) };
            let dv = *w.gamma.add(j) * own + *w.beta.add(j) * next + slope * skip;
            dskip += slope * x * input;
            dinput += dv * x;
            *w.dgamma.add(j) += x * input * own;
            *w.dbeta.add(j) += x * input * next;
            // The last key belongs to what lies behind the chunk, too.
            let dx = dv * input + if j == tokens && r == 0 { *w.dx.add(p) } else { 0.0 };
            // Takes the place of a sum that was read.
            *w.own.add(j * s.rank + r) = dx;
        }
        if !g.mimo_x.is_null() {
            *g.mimo_x.add((head * s.rank + r) * s.width + p) += dinput;
        }
    }
    for j in 0..=tokens {
        let dx: f32 = (0..s.rank).map(|r| *w.own.add(j * s.rank + r)).sum();
        if j == 0 {
            *w.dx.add(p) = dx;
        } else if !g.x.is_null() {
            *g.x.add((t0 + j - 1) * g.x_stride + channel) += dx;
        }
    }
    if !g.d.is_null() {
        *g.d.add(head) += dskip;
    }
}

#[allow(clippy::too_many_arguments)]
#[inline(always)]
unsafe fn states<const V: usize, const SINGLE: bool>(
    s: &Mamba3,
    g: &Gradients,
    w: &Work,
    head: usize,
    p: usize,
    dy: *const f32,
    n: usize,
    tokens: usize,
    start: *const f32,
    gradient: *mut f32,
) {
    let rank = if SINGLE { 1 } else { s.rank };
    let channels = s.heads * s.width;
    let first: [F32x4; V] = core::array::from_fn(|v| F32x4::load(start.add(n + 4 * v)));
    let mut h = first;
    for t in 0..tokens {
        step::<V, SINGLE>(s, w, head, p, n, t, &mut h);
        for (v, h) in h.iter().enumerate() {
            h.store(w.h.add(t * 16 + 4 * v));
        }
    }
    // The gradients to the state behind key j's token, and behind the one after it.
    let mut dh: [F32x4; V] = core::array::from_fn(|v| F32x4::load(gradient.add(n + 4 * v)));
    let mut after = [F32x4::splat(0.0); V];
    for j in (0..=tokens).rev() {
        if j > 0 {
            for r in 0..rank {
                let slope = F32x4::load_splat(dy.add((j - 1) * g.dy_stride + r * channels));
                let row = ((j - 1) * rank + r) * w.padded + n;
                for (v, dh) in dh.iter_mut().enumerate() {
                    let dq = w.dq.add(row + 4 * v);
                    slope.mul_add(F32x4::load(w.h.add((j - 1) * 16 + 4 * v)), F32x4::load(dq)).store(dq);
                    *dh = slope.mul_add(F32x4::load(w.q.add(row + 4 * v)), *dh);
                }
            }
        }
        for r in 0..rank {
            let x = *w.x.add(j) * projection(s, head, r, p);
            let (gamma, beta) = (F32x4::splat(*w.gamma.add(j) * x), F32x4::splat(*w.beta.add(j) * x));
            let row = (j * rank + r) * w.padded + n;
            let (mut own, mut next) = (F32x4::splat(0.0), F32x4::splat(0.0));
            for v in 0..V {
                let (key, dk) = (F32x4::load(w.k.add(row + 4 * v)), w.dk.add(row + 4 * v));
                beta.mul_add(after[v], gamma.mul_add(dh[v], F32x4::load(dk))).store(dk);
                own = dh[v].mul_add(key, own);
                next = after[v].mul_add(key, next);
            }
            *w.own.add(j * rank + r) += own.sum();
            *w.next.add(j * rank + r) += next.sum();
        }
        if j > 0 {
            let keep = F32x4::load_splat(w.alpha.add(j - 1));
            let mut dexp = F32x4::splat(0.0);
            after = dh;
            for v in 0..V {
                dh[v] = dh[v].mul(keep);
                let before = if j == 1 { first[v] } else { F32x4::load(w.h.add((j - 2) * 16 + 4 * v)) };
                dexp = dh[v].mul_add(before, dexp);
            }
            *w.dexp.add(j - 1) += dexp.sum();
        }
    }
    for (v, dh) in dh.iter().enumerate() {
        dh.store(gradient.add(n + 4 * v));
    }
}

/// The gradients of a chunk that all rows of a head share.
unsafe fn finish(s: &Mamba3, g: &Gradients, w: &Work, head: usize, t0: usize, tokens: usize) {
    let group = head / (s.heads / s.groups);
    let mut dbias = 0.0;
    for t in (0..tokens).rev() {
        let (sin, cos) = (w.sin.add(t * w.angles), w.cos.add(t * w.angles));
        for r in 0..s.rank {
            let (at, bias) = ((r * s.groups + group) * s.states, (head * s.rank + r) * s.states);
            let key = ((t + 1) * s.rank + r) * w.padded;
            let query = (t * s.rank + r) * w.padded;
            turned_back(s, w.dk.add(key), w.k.add(key), sin, cos, w.dtheta);
            turned_back(s, w.dq.add(query), w.q.add(query), sin, cos, w.dtheta);
            for (from, to, stride, sum) in
                [(w.dk.add(key), g.b, g.b_stride, g.b_bias), (w.dq.add(query), g.c, g.c_stride, g.c_bias)]
            {
                if !to.is_null() {
                    add_row(from, to.add((t0 + t) * stride + at), s.states);
                }
                if !sum.is_null() {
                    add_row(from, sum.add(bias), s.states);
                }
            }
        }
        let (d, alpha, lambda, beta) = (*w.d.add(t), *w.alpha.add(t), *w.lambda.add(t), *w.beta.add(t));
        let (dbeta, dgamma) = (*w.dbeta.add(t), *w.dgamma.add(t + 1));
        let dexp = *w.dexp.add(t) + beta * dbeta;
        let a = *s.a.add((t0 + t) * s.a_stride + head);
        let f = if s.softplus { softplus(a) } else { heavy_tail(a) };
        let mut dd = (1.0 - lambda) * alpha * dbeta + lambda * dgamma - dexp * f.max(s.floor);
        for i in 0..s.angles {
            let (turn, slope) = (*w.turns.add((t0 + t) * w.angles + i), *w.dtheta.add(i));
            dd += slope * turn;
            if !g.angle.is_null() {
                *g.angle.add((t0 + t) * g.angle_stride + i) += slope * d * (PI - turn * turn * (1.0 / PI));
            }
        }
        let raw = *s.dt.add((t0 + t) * s.dt_stride + head) + *s.dt_bias.add(head);
        let draw = dd * softplus_slope(raw);
        dbias += draw;
        if !g.dt.is_null() {
            *g.dt.add((t0 + t) * g.dt_stride + head) += draw;
        }
        // At the floor the rate does not move.
        if !g.a.is_null() && f > s.floor {
            let slope = if s.softplus { softplus_slope(a) } else { heavy_tail_slope(a) };
            *g.a.add((t0 + t) * g.a_stride + head) -= dexp * d * slope;
        }
        if !g.trap.is_null() {
            let slope = d * (dgamma - alpha * dbeta) * lambda * (1.0 - lambda);
            *g.trap.add((t0 + t) * g.trap_stride + head) += slope;
        }
    }
    if !g.dt_bias.is_null() {
        *g.dt_bias.add(head) += dbias;
    }
}

/// Turns the gradient to a turned row back, and adds the slopes along its angles.
#[inline(always)]
unsafe fn turned_back(
    s: &Mamba3,
    gradient: *mut f32,
    row: *const f32,
    sin: *const f32,
    cos: *const f32,
    dtheta: *mut f32,
) {
    let (step, apart) = if s.halves { (1, s.states / 2) } else { (2, 1) };
    for i in 0..s.angles {
        let (one, other) = (i * step, i * step + apart);
        let (a, b, sin, cos) = (*gradient.add(one), *gradient.add(other), *sin.add(i), *cos.add(i));
        *dtheta.add(i) += b * *row.add(one) - a * *row.add(other);
        *gradient.add(one) = a * cos + b * sin;
        *gradient.add(other) = b * cos - a * sin;
    }
}

/// The derivative of [`heavy_tail`].
fn heavy_tail_slope(x: f32) -> f32 {
    if x >= 0.0 {
        1.0
    } else {
        1.0 / ((1.0 - x) * (1.0 - x))
    }
}
