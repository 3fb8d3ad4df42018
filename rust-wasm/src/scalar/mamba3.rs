use super::math::{heavy_tail, sigmoid, softplus};
use core::f32::consts::PI;

/// The arguments of Mamba-3's recurrence; the inputs are `[tokens, ...]` with strides in f32.
#[derive(Clone, Copy)]
pub struct Mamba3 {
    /// `[tokens, heads * width]`.
    pub x: *const f32,
    pub x_stride: usize,
    /// `[tokens, heads]`, as are a and trap.
    pub dt: *const f32,
    pub dt_stride: usize,
    pub a: *const f32,
    pub a_stride: usize,
    pub trap: *const f32,
    pub trap_stride: usize,
    /// `[tokens, angles]`.
    pub angle: *const f32,
    pub angle_stride: usize,
    /// `[tokens, rank * groups * states]`, as is c.
    pub b: *const f32,
    pub b_stride: usize,
    pub c: *const f32,
    pub c_stride: usize,
    /// `[heads]`.
    pub dt_bias: *const f32,
    /// `[heads, rank, states]`, as is c_bias.
    pub b_bias: *const f32,
    pub c_bias: *const f32,
    /// `[heads]`.
    pub d: *const f32,
    /// `[heads, rank, width]` or null.
    pub mimo_x: *const f32,
    /// Elements i and i + states / 2 turn together; otherwise 2 i and 2 i + 1.
    pub halves: bool,
    pub softplus: bool,
    pub floor: f32,
    /// The state, in and out: `[heads, angles]`, `[heads, width, states]`, `[rank, heads, states]`, `[heads, width]`.
    pub theta: *mut f32,
    pub state: *mut f32,
    pub k_before: *mut f32,
    pub x_before: *mut f32,
    /// `[tokens, rank, heads * width]`.
    pub y: *mut f32,
    pub tokens: usize,
    pub heads: usize,
    pub width: usize,
    pub states: usize,
    pub groups: usize,
    pub rank: usize,
    pub angles: usize,
}

/// mimo_x, or 1.
/// # Safety
/// The indices lie within the arguments.
#[inline(always)]
pub unsafe fn projection(s: &Mamba3, h: usize, r: usize, p: usize) -> f32 {
    if s.mimo_x.is_null() {
        1.0
    } else {
        *s.mimo_x.add((h * s.rank + r) * s.width + p)
    }
}

/// to = from + bias, its pairs turned by the angles whose sines and cosines are given.
/// # Safety
/// `from`, `bias` and `to` cover `states` f32, the others `angles`.
#[inline(always)]
pub unsafe fn turned(s: &Mamba3, from: *const f32, bias: *const f32, sin: *const f32, cos: *const f32, to: *mut f32) {
    for n in 0..s.states {
        *to.add(n) = *from.add(n) + *bias.add(n);
    }
    let (step, apart) = if s.halves { (1, s.states / 2) } else { (2, 1) };
    for i in 0..s.angles {
        let (one, other) = (to.add(i * step), to.add(i * step + apart));
        let (a, b, sin, cos) = (*one, *other, *sin.add(i), *cos.add(i));
        *one = a * cos - b * sin;
        *other = a * sin + b * cos;
    }
}

/// See the contract of `mamba3Scan`: d = softplus(dt + bias); alpha = exp(d min(-f(a), -floor)); lambda = sigmoid(trap);
/// theta += pi tanh(angle) d, modulo 2 pi; k and q = B and C + bias, turned by theta; S = alpha S + sum over ranks of
/// (1 - lambda) d alpha v' k' + lambda d v k; y = S q + D v.
/// # Safety
/// All pointers of `s` cover what its fields say.
pub unsafe fn mamba3_scan(s: &Mamba3) {
    let channels = s.heads * s.width;
    let (mut sin, mut cos) = (vec![0.0; s.angles], vec![0.0; s.angles]);
    let (mut k, mut q) = (vec![0.0; s.rank * s.states], vec![0.0; s.rank * s.states]);
    for t in 0..s.tokens {
        for h in 0..s.heads {
            let d = softplus(*s.dt.add(t * s.dt_stride + h) + *s.dt_bias.add(h));
            let a = *s.a.add(t * s.a_stride + h);
            let rate = if s.softplus { softplus(a) } else { heavy_tail(a) };
            let alpha = (-d * rate.max(s.floor)).exp();
            let lambda = sigmoid(*s.trap.add(t * s.trap_stride + h));
            let (beta, gamma) = ((1.0 - lambda) * d * alpha, lambda * d);
            for i in 0..s.angles {
                let theta = s.theta.add(h * s.angles + i);
                let turned = *theta + PI * (*s.angle.add(t * s.angle_stride + i)).tanh() * d;
                *theta = turned - 2.0 * PI * (turned / (2.0 * PI)).floor();
                (sin[i], cos[i]) = (*theta).sin_cos();
            }
            let group = h / (s.heads / s.groups);
            for r in 0..s.rank {
                let at = (r * s.groups + group) * s.states;
                let (bias, to) = ((h * s.rank + r) * s.states, r * s.states);
                let (sin, cos) = (sin.as_ptr(), cos.as_ptr());
                turned(s, s.b.add(t * s.b_stride + at), s.b_bias.add(bias), sin, cos, k.as_mut_ptr().add(to));
                turned(s, s.c.add(t * s.c_stride + at), s.c_bias.add(bias), sin, cos, q.as_mut_ptr().add(to));
            }
            for p in 0..s.width {
                let channel = h * s.width + p;
                let (x, before) = (*s.x.add(t * s.x_stride + channel), *s.x_before.add(channel));
                for n in 0..s.states {
                    let state = s.state.add(channel * s.states + n);
                    *state *= alpha;
                    for r in 0..s.rank {
                        let w = projection(s, h, r, p);
                        *state += beta * before * w * *s.k_before.add((r * s.heads + h) * s.states + n);
                        *state += gamma * x * w * k[r * s.states + n];
                    }
                }
                for r in 0..s.rank {
                    let row = s.state.add(channel * s.states);
                    let y: f32 = (0..s.states).map(|n| *row.add(n) * q[r * s.states + n]).sum();
                    *s.y.add((t * s.rank + r) * channels + channel) = y + *s.d.add(h) * x * projection(s, h, r, p);
                }
                *s.x_before.add(channel) = x;
            }
            for r in 0..s.rank {
                for n in 0..s.states {
                    *s.k_before.add((r * s.heads + h) * s.states + n) = k[r * s.states + n];
                }
            }
        }
    }
}
