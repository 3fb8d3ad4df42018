use crate::format::Format;
use crate::PANEL;

/// y[t, o] = sum_i x[t, i] w[o, i] + bias[o]; x rows `x_stride` apart, w packed, `bias` may be null.
/// # Safety
/// The pointers cover `[tokens, inputs]`, the packed matrix, `[outputs]` or null, and `[tokens, outputs]`.
#[allow(clippy::too_many_arguments)]
pub unsafe fn linear<F: Format>(
    x: *const f32,
    x_stride: usize,
    w: *const F::Bits,
    bias: *const f32,
    y: *mut f32,
    y_stride: usize,
    tokens: usize,
    inputs: usize,
    outputs: usize,
) {
    for t in 0..tokens {
        for o in 0..outputs {
            let row = w.add((o / PANEL) * inputs * PANEL + F::position(o % PANEL));
            let mut sum = if bias.is_null() { 0.0 } else { *bias.add(o) };
            for i in 0..inputs {
                sum += *x.add(t * x_stride + i) * F::to_f32(*row.add(i * PANEL));
            }
            *y.add(t * y_stride + o) = sum;
        }
    }
}

/// y[t] = w[ids[t]].
/// # Safety
/// The pointers cover `[tokens]` ids below the packed matrix's rows, the matrix, and `[tokens, inputs]`.
pub unsafe fn embedding<F: Format>(ids: *const u32, w: *const F::Bits, y: *mut f32, tokens: usize, inputs: usize) {
    for t in 0..tokens {
        let id = *ids.add(t) as usize;
        let row = w.add((id / PANEL) * inputs * PANEL + F::position(id % PANEL));
        for i in 0..inputs {
            *y.add(t * inputs + i) = F::to_f32(*row.add(i * PANEL));
        }
    }
}
