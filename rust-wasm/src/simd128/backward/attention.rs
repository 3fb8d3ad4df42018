//! The gradient of causal attention over a sequence's own tokens, from position 0 on.
//!
//! ```text
//! for head: for block of 128 queries, over the keys up to its end:
//!     P = softmax(scale Q K^T);  G = dY V^T;  dS = scale P (G - rowsum(P G))
//!     dV += P^T dY;  dK += dS^T Q;  dQ += dS K
//! ```
//!
//! P and G of a block are `[128, tokens]`; all five products are those of [`super::product`].

use super::product::{add_product, load_panel, transposed_product, SCRATCH};
use crate::lanes::F32x4;
use crate::simd128::math::exp_clamped;
use crate::PANEL;

const QUERIES: usize = 128;

/// q, dy, dq `[tokens, heads * group, width]` with `stride` f32 between rows of one token and head, k, v and theirs
/// `[tokens, heads, width]`. Gradients may be null.
pub struct AttentionGradient {
    pub q: *const f32,
    pub q_stride: usize,
    pub k: *const f32,
    pub k_stride: usize,
    pub v: *const f32,
    pub v_stride: usize,
    pub dy: *const f32,
    pub dy_stride: usize,
    pub dq: *mut f32,
    pub dq_stride: usize,
    pub dk: *mut f32,
    pub dk_stride: usize,
    pub dv: *mut f32,
    pub dv_stride: usize,
    pub tokens: usize,
    pub heads: usize,
    pub group: usize,
    pub width: usize,
    pub scale: f32,
}

/// f32 of working memory of [`attention`].
pub fn scratch_len(tokens: usize) -> usize {
    2 * QUERIES * tokens + SCRATCH
}

/// # Safety
/// The pointers cover what is said above; `scratch` points to [`scratch_len`] f32.
pub unsafe fn attention(a: &AttentionGradient, scratch: *mut f32) {
    let p = scratch;
    let g = p.add(QUERIES * a.tokens);
    let work = g.add(QUERIES * a.tokens);
    let (all, width) = (a.heads * a.group, a.width);
    for head in 0..all {
        let own = head / a.group;
        let (key_step, value_step) = (a.heads * a.k_stride, a.heads * a.v_stride);
        let (k, v) = (a.k.add(own * a.k_stride), a.v.add(own * a.v_stride));
        for t0 in (0..a.tokens).step_by(QUERIES) {
            let rows = QUERIES.min(a.tokens - t0);
            let seen = t0 + rows;
            let (query_step, slope_step) = (all * a.q_stride, all * a.dy_stride);
            let q = a.q.add(t0 * query_step + head * a.q_stride);
            let dy = a.dy.add(t0 * slope_step + head * a.dy_stride);
            core::ptr::write_bytes(p, 0, rows * seen);
            core::ptr::write_bytes(g, 0, rows * seen);
            for (left, step, right, right_step, to) in
                [(q, query_step, k, key_step, p), (dy, slope_step, v, value_step, g)]
            {
                add_product(
                    [rows, width, seen],
                    to,
                    seen,
                    |r, _, i, _| (left.add(r * step + i), step),
                    |s, i, count, tile| {
                        for d in 0..count {
                            for j in 0..PANEL {
                                let here = s + j < seen;
                                *tile.add(d * PANEL + j) =
                                    if here { *right.add((s + j) * right_step + i + d) } else { 0.0 };
                            }
                        }
                    },
                );
            }
            for r in 0..rows {
                softmax_slopes(p.add(r * seen), g.add(r * seen), t0 + r + 1, seen, a.scale);
            }
            if !a.dv.is_null() {
                let step = a.heads * a.dv_stride;
                transposed_product(p, seen, dy, slope_step, a.dv.add(own * a.dv_stride), step, rows, width, seen, work);
            }
            if !a.dk.is_null() {
                let step = a.heads * a.dk_stride;
                transposed_product(g, seen, q, query_step, a.dk.add(own * a.dk_stride), step, rows, width, seen, work);
            }
            if !a.dq.is_null() {
                let step = all * a.dq_stride;
                let to = a.dq.add(t0 * step + head * a.dq_stride);
                add_product(
                    [rows, seen, width],
                    to,
                    step,
                    |r, _, s, _| (g.add(r * seen + s) as *const f32, seen),
                    |d, s0, count, tile| {
                        for s in 0..count {
                            load_panel(k.add((s0 + s) * key_step + d), width - d, tile.add(s * PANEL));
                        }
                    },
                );
            }
        }
    }
}

/// Scores of one query to its weights, in place, and `g` to the gradient to the scores; what lies past `count` becomes 0.
unsafe fn softmax_slopes(p: *mut f32, g: *mut f32, count: usize, seen: usize, scale: f32) {
    let mut top = f32::NEG_INFINITY;
    for s in 0..count {
        let score = *p.add(s) * scale;
        *p.add(s) = score;
        top = if score > top { score } else { top };
    }
    let shift = F32x4::splat(top);
    let mut sum = F32x4::splat(0.0);
    for s in (0..count).step_by(4) {
        let e = exp_clamped(F32x4::load_first(p.add(s), count - s).sub(shift));
        e.store_first(p.add(s), count - s);
        sum = sum.add(F32x4::load_first(p.add(s), count - s));
    }
    let share = F32x4::splat(1.0 / sum.sum());
    let mut mean = F32x4::splat(0.0);
    for s in (0..count).step_by(4) {
        let weight = F32x4::load_first(p.add(s), count - s).mul(share);
        weight.store_first(p.add(s), count - s);
        mean = weight.mul_add(F32x4::load_first(g.add(s), count - s), mean);
    }
    let mean = F32x4::splat(mean.sum());
    for s in (0..count).step_by(4) {
        let weight = F32x4::load_first(p.add(s), count - s).mul(F32x4::splat(scale));
        weight.mul(F32x4::load_first(g.add(s), count - s).sub(mean)).store_first(g.add(s), count - s);
    }
    for s in count..seen {
        *p.add(s) = 0.0;
        *g.add(s) = 0.0;
    }
}
