use super::math::{largest, silu, softplus};

/// The arguments of the selective scan; u, delta, B, C and z are `[tokens, ...]` with strides in f32.
#[derive(Clone, Copy)]
pub struct Scan {
    pub u: *const f32,
    pub u_stride: usize,
    pub delta: *const f32,
    pub delta_stride: usize,
    /// `[channels, states]`.
    pub a: *const f32,
    pub b: *const f32,
    pub b_stride: usize,
    pub c: *const f32,
    pub c_stride: usize,
    /// `[channels]` or null.
    pub d: *const f32,
    /// Or null.
    pub z: *const f32,
    pub z_stride: usize,
    /// `[channels]` or null.
    pub delta_bias: *const f32,
    pub softplus: bool,
    /// `[channels, states]`, in and out.
    pub state: *mut f32,
    /// `[tokens, channels]`.
    pub y: *mut f32,
    pub tokens: usize,
    pub channels: usize,
    pub states: usize,
}

/// delta + bias, through softplus where asked.
/// # Safety
/// `t` and `c` lie within the arguments.
#[inline(always)]
pub unsafe fn step_size(s: &Scan, t: usize, c: usize) -> f32 {
    let raw = *s.delta.add(t * s.delta_stride + c) + if s.delta_bias.is_null() { 0.0 } else { *s.delta_bias.add(c) };
    if s.softplus {
        softplus(raw)
    } else {
        raw
    }
}

/// Skip and gate: (y + D u) silu(z).
/// # Safety
/// `t` and `c` lie within the arguments.
#[inline(always)]
pub unsafe fn finish(s: &Scan, t: usize, c: usize, y: f32) -> f32 {
    let skip = if s.d.is_null() { 0.0 } else { *s.d.add(c) * *s.u.add(t * s.u_stride + c) };
    let gate = if s.z.is_null() { 1.0 } else { silu(*s.z.add(t * s.z_stride + c)) };
    (y + skip) * gate
}

/// h = exp(d A) h + d B u;  y = (C h + D u) silu(z). A channel's h stays at a token where |d| max |A| and |d u| max |B| are
/// below `below`; gives how often. 0: never.
/// # Safety
/// All pointers of `s` cover what its fields say.
pub unsafe fn selective_scan(s: &Scan, below: f32) -> u32 {
    let mut skipped = 0;
    for t in 0..s.tokens {
        for c in 0..s.channels {
            let d = step_size(s, t, c);
            let du = d * *s.u.add(t * s.u_stride + c);
            let still = d.abs() * largest(s.a.add(c * s.states), s.states) < below
                && du.abs() * largest(s.b.add(t * s.b_stride), s.states) < below;
            skipped += still as u32;
            let mut y = 0.0;
            for n in 0..s.states {
                let h = s.state.add(c * s.states + n);
                if !still {
                    *h = (d * *s.a.add(c * s.states + n)).exp() * *h + du * *s.b.add(t * s.b_stride + n);
                }
                y += *s.c.add(t * s.c_stride + n) * *h;
            }
            *s.y.add(t * s.channels + c) = finish(s, t, c, y);
        }
    }
    skipped
}
