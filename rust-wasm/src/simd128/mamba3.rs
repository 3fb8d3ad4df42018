//! Pseudocode: `scalar/mamba3.rs`. Departures:
//!
//! 1. Blocks of tokens and one head after another; step sizes, decays and mixtures of a block four tokens at a time,
//!    angles four at a time. tanh(angle) is the same for all heads and computed once.
//! 2. The two outer products of a token are made one. With H the state without the current token's product,
//!
//!    ```text
//!    H[t] = alpha[t] (H[t-1] + c[t] v[t-1] k[t-1]),     c[t] = lambda[t-1] d[t-1] + (1 - lambda[t]) d[t]
//!    y[t] = H[t] q[t] + lambda[t] d[t] sum over r' of v[t, r'] (k[t, r'] . q[t]) + D v[t]
//!    ```
//!
//!    which is the recurrence of `recurrence.rs` on the token before. A block begins with S itself, so that its first c
//!    lacks the first term, and ends by adding the last product.
//! 3. k . q is taken before the turn, which does not change it.
//! 4. Threads take ranges of heads.

use super::math::{growth, heavy_tail, sigmoid, sin_cos, softplus};
use super::recurrence::{self, panels_len, sums_len, BLOCK};
use crate::lanes::F32x4;
use crate::pool::{split, threads};
use crate::scalar::mamba3::{projection, turned, Mamba3};
use core::f32::consts::PI;

/// Tokens of a block: the panels of k and q grow with the rank.
fn block_len(rank: usize) -> usize {
    (BLOCK / rank).max(4)
}

/// Slices of the working memory.
struct Work {
    k: *mut f32,
    q: *mut f32,
    sums: *mut f32,
    /// `[block, rank, width]`: alpha c v of the token before.
    x: *mut f32,
    /// `[block, rank, rank]`: k[r'] . q[r] at `(t * rank + r) * rank + r'`.
    dots: *mut f32,
    /// `[block]` each.
    d: *mut f32,
    alpha: *mut f32,
    lambda: *mut f32,
    /// `[angles]` each, filled up to a multiple of 4.
    sin: *mut f32,
    cos: *mut f32,
    theta: *mut f32,
    /// `[block, angles]`: pi tanh(angle), rows filled up to a multiple of 4.
    turn: *mut f32,
    /// `[states]`: one row of k or q.
    row: *mut f32,
}

fn lengths(width: usize, states: usize, rank: usize, angles: usize) -> [usize; 13] {
    let (block, padded) = (block_len(rank).next_multiple_of(4), angles.next_multiple_of(4));
    [
        panels_len(rank, states),
        panels_len(rank, states),
        sums_len(rank),
        block * rank * width,
        block * rank * rank,
        block,
        block,
        block,
        padded,
        padded,
        padded,
        block * padded,
        states,
    ]
}

/// f32 of working memory that [`mamba3_scan`] needs.
pub fn scratch_len(width: usize, states: usize, rank: usize, angles: usize) -> usize {
    threads() * thread_scratch_len(width, states, rank, angles)
}

fn thread_scratch_len(width: usize, states: usize, rank: usize, angles: usize) -> usize {
    lengths(width, states, rank, angles).iter().sum()
}

unsafe fn carve(s: &Mamba3, scratch: *mut f32) -> Work {
    let mut next = scratch;
    let [k, q, sums, x, dots, d, alpha, lambda, sin, cos, theta, turn, row] =
        lengths(s.width, s.states, s.rank, s.angles).map(|length| {
            let start = next;
            next = next.add(length);
            start
        });
    Work { k, q, sums, x, dots, d, alpha, lambda, sin, cos, theta, turn, row }
}

/// See [`crate::scalar::mamba3::mamba3_scan`].
/// # Safety
/// As there; `scratch` points to [`scratch_len`] f32.
pub unsafe fn mamba3_scan(s: &Mamba3, scratch: *mut f32) {
    split(s.heads, 3 * s.tokens * s.rank * s.width * s.states, |thread, from, to| {
        let scratch = scratch.add(thread * thread_scratch_len(s.width, s.states, s.rank, s.angles));
        head_range(s, scratch, from, to)
    })
}

unsafe fn head_range(s: &Mamba3, scratch: *mut f32, from: usize, to: usize) {
    let w = carve(s, scratch);
    for t0 in (0..s.tokens).step_by(block_len(s.rank)) {
        let tokens = block_len(s.rank).min(s.tokens - t0);
        half_turns(s, w.turn, t0, tokens);
        for h in from..to {
            step_sizes(s, w.d, w.alpha, w.lambda, t0, tokens, h);
            keys_and_queries(s, &w, t0, tokens, h);
            inputs(s, &w, t0, tokens, h);
            let channels = s.heads * s.width;
            recurrence::advance(&recurrence::Block {
                a: w.alpha,
                x: w.x,
                k: w.k,
                q: w.q,
                state: s.state.add(h * s.width * s.states),
                y: s.y.add(t0 * s.rank * channels + h * s.width),
                y_stride: s.rank * channels,
                y_rank: channels,
                sums: w.sums,
                still: 0,
                tokens,
                rank: s.rank,
                width: s.width,
                states: s.states,
            });
            own_products(s, &w, t0, tokens, h);
            last_product(s, &w, t0 + tokens - 1, *w.lambda.add(tokens - 1) * *w.d.add(tokens - 1), h);
        }
    }
}

/// pi tanh(angle), `[tokens, angles]` with rows filled up to a multiple of 4.
/// # Safety
/// `to` covers them; t0 and tokens lie within `s`.
pub(super) unsafe fn half_turns(s: &Mamba3, to: *mut f32, t0: usize, tokens: usize) {
    let padded = s.angles.next_multiple_of(4);
    for t in 0..tokens {
        for i in 0..padded {
            let angle = if i < s.angles { *s.angle.add((t0 + t) * s.angle_stride + i) } else { 0.0 };
            *to.add(t * padded + i) = PI * angle.tanh();
        }
    }
}

/// d, alpha and lambda of one head.
/// # Safety
/// Each covers `tokens`, filled up to a multiple of 4; t0 and tokens lie within `s`.
pub(super) unsafe fn step_sizes(
    s: &Mamba3,
    d: *mut f32,
    alpha: *mut f32,
    lambda: *mut f32,
    t0: usize,
    tokens: usize,
    h: usize,
) {
    for t in 0..tokens.next_multiple_of(4) {
        // The last one stands for those that fill up the last vector.
        let at = t0 + t.min(tokens - 1);
        *d.add(t) = *s.dt.add(at * s.dt_stride + h) + *s.dt_bias.add(h);
        *alpha.add(t) = *s.a.add(at * s.a_stride + h);
        *lambda.add(t) = *s.trap.add(at * s.trap_stride + h);
    }
    for t in (0..tokens).step_by(4) {
        let step = softplus(F32x4::load(d.add(t)));
        let a = F32x4::load(alpha.add(t));
        let rate = if s.softplus { softplus(a) } else { heavy_tail(a) }.at_least(F32x4::splat(s.floor));
        step.store(d.add(t));
        growth(step.mul(rate).neg()).store(alpha.add(t));
        sigmoid(F32x4::load(lambda.add(t))).store(lambda.add(t));
    }
}

/// theta += turns d, modulo 2 pi, with its sines and cosines.
/// # Safety
/// All cover `padded` f32, a multiple of 4.
#[inline(always)]
pub(super) unsafe fn turn(theta: *mut f32, turns: *const f32, d: f32, padded: usize, sin: *mut f32, cos: *mut f32) {
    let d = F32x4::splat(d);
    let (whole, part) = (F32x4::splat(2.0 * PI), F32x4::splat(1.0 / (2.0 * PI)));
    for i in (0..padded).step_by(4) {
        let sum = F32x4::load(turns.add(i)).mul_add(d, F32x4::load(theta.add(i)));
        let angle = sum.sub(whole.mul(sum.mul(part).floor()));
        angle.store(theta.add(i));
        let (s, c) = sin_cos(angle);
        s.store(sin.add(i));
        c.store(cos.add(i));
    }
}

/// Packs q, and k one token late; leaves the last token's k in the state; k . q of each token.
unsafe fn keys_and_queries(s: &Mamba3, w: &Work, t0: usize, tokens: usize, h: usize) {
    let padded = s.angles.next_multiple_of(4);
    let group = h / (s.heads / s.groups);
    let theta = s.theta.add(h * s.angles);
    for i in 0..padded {
        *w.theta.add(i) = if i < s.angles { *theta.add(i) } else { 0.0 };
    }
    for r in 0..s.rank {
        let before = s.k_before.add((r * s.heads + h) * s.states);
        recurrence::pack_row(before, w.k, tokens, s.rank, 0, r, s.states);
    }
    for t in 0..tokens {
        turn(w.theta, w.turn.add(t * padded), *w.d.add(t), padded, w.sin, w.cos);
        let at = |r: usize| (r * s.groups + group) * s.states;
        let b = |r: usize| (s.b.add((t0 + t) * s.b_stride + at(r)), s.b_bias.add((h * s.rank + r) * s.states));
        let c = |r: usize| (s.c.add((t0 + t) * s.c_stride + at(r)), s.c_bias.add((h * s.rank + r) * s.states));
        for r in 0..s.rank {
            for r2 in 0..s.rank {
                *w.dots.add((t * s.rank + r) * s.rank + r2) = biased_dot(b(r2), c(r), s.states);
            }
        }
        for r in 0..s.rank {
            turned(s, c(r).0, c(r).1, w.sin, w.cos, w.row);
            recurrence::pack_row(w.row, w.q, tokens, s.rank, t, r, s.states);
            if t + 1 < tokens {
                turned(s, b(r).0, b(r).1, w.sin, w.cos, w.row);
                recurrence::pack_row(w.row, w.k, tokens, s.rank, t + 1, r, s.states);
            } else {
                turned(s, b(r).0, b(r).1, w.sin, w.cos, s.k_before.add((r * s.heads + h) * s.states));
            }
        }
    }
    for i in 0..s.angles {
        *theta.add(i) = *w.theta.add(i);
    }
}

/// (a + a') . (b + b').
unsafe fn biased_dot(a: (*const f32, *const f32), b: (*const f32, *const f32), length: usize) -> f32 {
    let mut sums = F32x4::splat(0.0);
    let mut n = 0;
    while n + 4 <= length {
        let left = F32x4::load(a.0.add(n)).add(F32x4::load(a.1.add(n)));
        let right = F32x4::load(b.0.add(n)).add(F32x4::load(b.1.add(n)));
        sums = left.mul_add(right, sums);
        n += 4;
    }
    let mut sum = sums.sum();
    while n < length {
        sum += (*a.0.add(n) + *a.1.add(n)) * (*b.0.add(n) + *b.1.add(n));
        n += 1;
    }
    sum
}

/// alpha c v of the token before, for every token of the block.
unsafe fn inputs(s: &Mamba3, w: &Work, t0: usize, tokens: usize, h: usize) {
    for t in 0..tokens {
        let before = if t == 0 { 0.0 } else { *w.lambda.add(t - 1) * *w.d.add(t - 1) };
        let factor = *w.alpha.add(t) * (before + (1.0 - *w.lambda.add(t)) * *w.d.add(t));
        // The state's x is overwritten last of all, by `last_product`.
        let x = if t == 0 { s.x_before } else { s.x.add((t0 + t - 1) * s.x_stride) };
        for r in 0..s.rank {
            let to = w.x.add((t * s.rank + r) * s.width);
            for p in 0..s.width {
                *to.add(p) = factor * *x.add(h * s.width + p) * projection(s, h, r, p);
            }
        }
    }
}

/// y += lambda d sum over r' of v[r'] (k[r'] . q[r]) + D v[r].
unsafe fn own_products(s: &Mamba3, w: &Work, t0: usize, tokens: usize, h: usize) {
    let channels = s.heads * s.width;
    for t in 0..tokens {
        let gamma = *w.lambda.add(t) * *w.d.add(t);
        let x = s.x.add((t0 + t) * s.x_stride + h * s.width);
        for r in 0..s.rank {
            let y = s.y.add(((t0 + t) * s.rank + r) * channels + h * s.width);
            for r2 in 0..s.rank {
                let factor =
                    gamma * *w.dots.add((t * s.rank + r) * s.rank + r2) + if r == r2 { *s.d.add(h) } else { 0.0 };
                for p in 0..s.width {
                    *y.add(p) += factor * *x.add(p) * projection(s, h, r2, p);
                }
            }
        }
    }
}

/// S += gamma v k of token t, and x into the state; overwrites `w.x`.
unsafe fn last_product(s: &Mamba3, w: &Work, t: usize, gamma: f32, h: usize) {
    let x = s.x.add(t * s.x_stride + h * s.width);
    for r in 0..s.rank {
        for p in 0..s.width {
            *w.x.add(r * s.width + p) = gamma * *x.add(p) * projection(s, h, r, p);
        }
    }
    let k = |r: usize| s.k_before.add((r * s.heads + h) * s.states);
    for p in 0..s.width {
        let row = s.state.add((h * s.width + p) * s.states);
        let mut n = 0;
        while n + 4 <= s.states {
            let mut v = F32x4::load(row.add(n));
            for r in 0..s.rank {
                v = F32x4::load_splat(w.x.add(r * s.width + p)).mul_add(F32x4::load(k(r).add(n)), v);
            }
            v.store(row.add(n));
            n += 4;
        }
        while n < s.states {
            for r in 0..s.rank {
                *row.add(n) += *w.x.add(r * s.width + p) * *k(r).add(n);
            }
            n += 1;
        }
        *s.x_before.add(h * s.width + p) = *x.add(p);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar;

    #[test]
    fn simd_equals_scalar_within_2e_5() {
        for (states, halves) in [(1, false), (4, true), (7, false), (10, true), (16, true)] {
            for (heads, groups, width, rank) in [(1, 1, 1, 1), (4, 2, 4, 1), (6, 3, 5, 3), (2, 1, 8, 4)] {
                for tokens in [1, 3, 8, BLOCK, BLOCK + 1] {
                    let value = |i: usize| ((i * 53 + 7) % 97) as f32 / 48.0 - 1.0;
                    let v: Vec<f32> = (0..9000).map(value).collect();
                    let angles = states / 2;
                    let sizes = [heads * angles, heads * width * states, rank * heads * states, heads * width];
                    let fresh = || sizes.map(|n| (0..n).map(|i| value(i + n).abs()).collect::<Vec<f32>>());
                    let (mut a, mut b) = (fresh(), fresh());
                    let mut y = [vec![0.0; tokens * rank * heads * width], vec![0.0; tokens * rank * heads * width]];
                    let mut scratch = vec![f32::NAN; scratch_len(width, states, rank, angles)];
                    let p = |offset: usize| v.as_ptr().wrapping_add(offset);
                    let mut s = Mamba3 {
                        x: p(0),
                        x_stride: heads * width + 1,
                        dt: p(13),
                        dt_stride: 9,
                        a: p(29),
                        a_stride: 7,
                        trap: p(31),
                        trap_stride: 8,
                        angle: p(40),
                        angle_stride: angles + 3,
                        b: p(21),
                        b_stride: rank * groups * states + 2,
                        c: p(34),
                        c_stride: rank * groups * states,
                        dt_bias: p(55),
                        b_bias: p(80),
                        c_bias: p(90),
                        d: p(77),
                        mimo_x: if rank == 1 { core::ptr::null() } else { p(60) },
                        halves,
                        softplus: tokens == 3,
                        floor: 0.4,
                        theta: a[0].as_mut_ptr(),
                        state: a[1].as_mut_ptr(),
                        k_before: a[2].as_mut_ptr(),
                        x_before: a[3].as_mut_ptr(),
                        y: y[0].as_mut_ptr(),
                        tokens,
                        heads,
                        width,
                        states,
                        groups,
                        rank,
                        angles,
                    };
                    unsafe {
                        mamba3_scan(&s, scratch.as_mut_ptr());
                        (s.theta, s.state) = (b[0].as_mut_ptr(), b[1].as_mut_ptr());
                        (s.k_before, s.x_before) = (b[2].as_mut_ptr(), b[3].as_mut_ptr());
                        s.y = y[1].as_mut_ptr();
                        scalar::mamba3::mamba3_scan(&s);
                    }
                    let pairs = y[0].iter().chain(a.iter().flatten()).zip(y[1].iter().chain(b.iter().flatten()));
                    for (a, b) in pairs {
                        assert!((a - b).abs() <= 2e-5 * (1.0 + b.abs()), "{states} {heads} {rank} {tokens}: {a} {b}");
                    }
                }
            }
        }
    }
}
