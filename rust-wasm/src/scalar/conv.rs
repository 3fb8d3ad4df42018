use super::math::silu;

/// The most taps of a convolution.
pub const MAX_TAPS: usize = 16;

/// y[t, c] = act(bias[c] + sum_k w[k, c] x[t - taps + 1 + k, c]). `w` is `[taps, channels]`; rows before the first come
/// from `history` `[taps - 1, channels]`, oldest first. `bias` may be null.
/// # Safety
/// The pointers cover what is said above and `[tokens, channels]` each of x (rows `x_stride` apart) and y.
#[allow(clippy::too_many_arguments)]
pub unsafe fn causal_conv(
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    bias: *const f32,
    history: *const f32,
    y: *mut f32,
    tokens: usize,
    channels: usize,
    taps: usize,
    with_silu: bool,
) {
    for t in 0..tokens {
        for c in 0..channels {
            let mut sum = if bias.is_null() { 0.0 } else { *bias.add(c) };
            for k in 0..taps {
                sum += *w.add(k * channels + c) * *input_row(x, x_stride, history, channels, taps, t + k).add(c);
            }
            *y.add(t * channels + c) = if with_silu { silu(sum) } else { sum };
        }
    }
}

/// Row `i` of the history followed by x.
/// # Safety
/// `i` is below `taps - 1 + tokens`.
#[inline(always)]
pub unsafe fn input_row(
    x: *const f32,
    x_stride: usize,
    history: *const f32,
    channels: usize,
    taps: usize,
    i: usize,
) -> *const f32 {
    if i < taps - 1 {
        history.add(i * channels)
    } else {
        x.add((i + 1 - taps) * x_stride)
    }
}

/// `state` `[channels, taps - 1]` to `history` `[taps - 1, channels]`.
/// # Safety
/// The pointers cover these.
pub unsafe fn load_history(state: *const f32, history: *mut f32, channels: usize, taps: usize) {
    for k in 0..taps - 1 {
        for c in 0..channels {
            *history.add(k * channels + c) = *state.add(c * (taps - 1) + k);
        }
    }
}

/// Leaves the last `taps - 1` inputs in `state`.
/// # Safety
/// As for [`causal_conv`]; `history` is what went into it.
pub unsafe fn store_history(
    x: *const f32,
    x_stride: usize,
    history: *const f32,
    state: *mut f32,
    tokens: usize,
    channels: usize,
    taps: usize,
) {
    for k in 0..taps - 1 {
        let row = input_row(x, x_stride, history, channels, taps, tokens + k);
        for c in 0..channels {
            *state.add(c * (taps - 1) + k) = *row.add(c);
        }
    }
}
