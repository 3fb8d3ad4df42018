use super::math::silu;

/// out[t, h, p] = sum over ranks of y[t, r, h, p] silu(gate[t, h, p] w_gate[h, r, p]) w_out[h, r, p].
/// # Safety
/// The pointers cover `[tokens, rank * heads * width]`, `[tokens, heads * width]` (both with strides), `[heads, rank,
/// width]` twice, and `[tokens, heads * width]`.
#[allow(clippy::too_many_arguments)]
pub unsafe fn mimo_gate(
    y: *const f32,
    y_stride: usize,
    gate: *const f32,
    gate_stride: usize,
    w_gate: *const f32,
    w_out: *const f32,
    out: *mut f32,
    tokens: usize,
    heads: usize,
    rank: usize,
    width: usize,
) {
    let channels = heads * width;
    for t in 0..tokens {
        for c in 0..channels {
            let z = *gate.add(t * gate_stride + c);
            let mut sum = 0.0;
            for r in 0..rank {
                let w = (c / width * rank + r) * width + c % width;
                sum += *y.add(t * y_stride + r * channels + c) * silu(z * *w_gate.add(w)) * *w_out.add(w);
            }
            *out.add(t * channels + c) = sum;
        }
    }
}
