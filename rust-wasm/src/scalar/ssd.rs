use super::math::{largest, softplus};

/// The arguments of Mamba-2's recurrence; x, dt, B and C are `[tokens, ...]` with strides in f32.
#[derive(Clone, Copy)]
pub struct Ssd {
    /// `[tokens, heads * width]`.
    pub x: *const f32,
    pub x_stride: usize,
    /// `[tokens, heads]`.
    pub dt: *const f32,
    pub dt_stride: usize,
    /// `[heads]`.
    pub a: *const f32,
    /// `[tokens, groups * states]`.
    pub b: *const f32,
    pub b_stride: usize,
    pub c: *const f32,
    pub c_stride: usize,
    /// `[heads]`, `[heads * width]` with `d_per_channel`, or null.
    pub d: *const f32,
    pub d_per_channel: bool,
    /// `[heads]` or null.
    pub dt_bias: *const f32,
    pub low: f32,
    pub high: f32,
    /// `[heads, width, states]`, in and out.
    pub state: *mut f32,
    /// `[tokens, heads * width]`.
    pub y: *mut f32,
    pub tokens: usize,
    pub heads: usize,
    pub width: usize,
    pub states: usize,
    pub groups: usize,
}

/// S = exp(d A) S + d x (outer) B;  y = S C + D x, per head; d = clamp(softplus(dt + bias), low, high). A head's S stays at
/// a token where |d A| and d max |x| max |B| are below `below`; gives how often. 0: never.
/// # Safety
/// All pointers of `s` cover what its fields say.
pub unsafe fn ssd(s: &Ssd, below: f32) -> u32 {
    let mut skipped = 0;
    for t in 0..s.tokens {
        for h in 0..s.heads {
            let group = h / (s.heads / s.groups);
            let bias = if s.dt_bias.is_null() { 0.0 } else { *s.dt_bias.add(h) };
            let d = softplus(*s.dt.add(t * s.dt_stride + h) + bias).clamp(s.low, s.high);
            let keep = (d * *s.a.add(h)).exp();
            let (b, c) = (s.b.add(t * s.b_stride + group * s.states), s.c.add(t * s.c_stride + group * s.states));
            let still = (d * *s.a.add(h)).abs() < below
                && d * largest(s.x.add(t * s.x_stride + h * s.width), s.width) * largest(b, s.states) < below;
            skipped += still as u32;
            for channel in h * s.width..(h + 1) * s.width {
                let x = *s.x.add(t * s.x_stride + channel);
                let mut y = skip(s, h, channel) * x;
                for n in 0..s.states {
                    let state = s.state.add(channel * s.states + n);
                    if !still {
                        *state = keep * *state + d * x * *b.add(n);
                    }
                    y += *c.add(n) * *state;
                }
                *s.y.add(t * s.heads * s.width + channel) = y;
            }
        }
    }
    skipped
}

/// D of a channel; 0 where there is none.
/// # Safety
/// `h` and `channel` lie within the arguments.
#[inline(always)]
pub unsafe fn skip(s: &Ssd, h: usize, channel: usize) -> f32 {
    if s.d.is_null() {
        0.0
    } else {
        *s.d.add(if s.d_per_channel { channel } else { h })
    }
}
