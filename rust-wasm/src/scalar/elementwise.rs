use super::math::silu;

/// y = a + b, rows of `width`.
/// # Safety
/// The pointers cover `[tokens, width]` each, a and b with their strides.
pub unsafe fn add(
    a: *const f32,
    a_stride: usize,
    b: *const f32,
    b_stride: usize,
    y: *mut f32,
    tokens: usize,
    width: usize,
) {
    for t in 0..tokens {
        for i in 0..width {
            *y.add(t * width + i) = *a.add(t * a_stride + i) + *b.add(t * b_stride + i);
        }
    }
}

/// y = x silu(gate), rows of `width`.
/// # Safety
/// The pointers cover `[tokens, width]` each, x and gate with their strides.
pub unsafe fn silu_gate(
    x: *const f32,
    x_stride: usize,
    gate: *const f32,
    gate_stride: usize,
    y: *mut f32,
    tokens: usize,
    width: usize,
) {
    for t in 0..tokens {
        for i in 0..width {
            *y.add(t * width + i) = *x.add(t * x_stride + i) * silu(*gate.add(t * gate_stride + i));
        }
    }
}

/// y = x, rows of `width`: memory.copy is as fast as it gets, so there is no second form.
/// # Safety
/// The pointers cover `[tokens, width]` each, with their strides.
pub unsafe fn copy_rows(x: *const f32, x_stride: usize, y: *mut f32, y_stride: usize, tokens: usize, width: usize) {
    for t in 0..tokens {
        core::ptr::copy_nonoverlapping(x.add(t * x_stride), y.add(t * y_stride), width);
    }
}

/// y = gelu(x), rows of `width`.
/// # Safety
/// The pointers cover `[tokens, width]` each, x with its stride.
pub unsafe fn gelu(x: *const f32, x_stride: usize, y: *mut f32, tokens: usize, width: usize, tanh: bool) {
    for t in 0..tokens {
        for i in 0..width {
            *y.add(t * width + i) = super::math::gelu(*x.add(t * x_stride + i), tanh);
        }
    }
}
