//! The two products of a linear layer's gradient: `dx += dy w` and `dw += dy^T x`.
//!
//! Both are `y += left right` of [`crate::simd128::tile`]. Departures:
//! 1. `right` is w in panels read across (8 inputs of one output), or x as it lies: the tile is filled accordingly.
//! 2. `dy^T` is transposed block by block, so that a row of `left` is contiguous.

use crate::lanes::F32x4;
use crate::simd128::tile::{product, Product, Start, ROWS};
use crate::PANEL;

const INNER: usize = 384;

/// f32 of working memory of [`weight_gradient`].
pub const SCRATCH: usize = ROWS * INNER;

/// `y += left right`: see [`product`].
/// # Safety
/// As there.
#[inline(always)]
pub unsafe fn add_product(
    [rows, inner, columns]: [usize; 3],
    y: *mut f32,
    y_stride: usize,
    left: impl Fn(usize, usize, usize, usize) -> (*const f32, usize),
    right: impl Fn(usize, usize, usize, *mut f32),
) {
    product::<INNER>(&Product { y, y_stride, rows, inner, columns, start: Start::Y }, left, right)
}

/// `dx[t, i] += sum_o dy[t, o] w[o, i]`, w packed `[outputs / 8][inputs][8]`.
/// # Safety
/// The pointers cover what is said, in rows as far apart as their strides.
#[allow(clippy::too_many_arguments)]
pub unsafe fn input_gradient(
    dy: *const f32,
    dy_stride: usize,
    w: *const f32,
    dx: *mut f32,
    dx_stride: usize,
    tokens: usize,
    inputs: usize,
    outputs: usize,
) {
    add_product(
        [tokens, outputs, inputs],
        dx,
        dx_stride,
        |t, _, o, _| (dy.add(t * dy_stride + o), dy_stride),
        |i, o0, width, tile| {
            let count = PANEL.min(inputs - i);
            if count < PANEL {
                core::ptr::write_bytes(tile, 0, width * PANEL);
            }
            for k in (0..width).step_by(PANEL) {
                let from = w.add((o0 + k) * inputs + i * PANEL);
                transpose(from, PANEL, count, PANEL.min(width - k), tile.add(k * PANEL), PANEL);
            }
        },
    );
}

/// `dw[o, i] += sum_t dy[t, o] x[t, i]`, dw row-major.
/// # Safety
/// As above; `scratch` points to [`SCRATCH`] f32.
#[allow(clippy::too_many_arguments)]
pub unsafe fn weight_gradient(
    dy: *const f32,
    dy_stride: usize,
    x: *const f32,
    x_stride: usize,
    dw: *mut f32,
    tokens: usize,
    inputs: usize,
    outputs: usize,
    scratch: *mut f32,
) {
    transposed_product(dy, dy_stride, x, x_stride, dw, inputs, tokens, inputs, outputs, scratch)
}

/// `y[o, i] += sum_t dy[t, o] x[t, i]` for rows of y that are `y_stride` apart.
/// # Safety
/// As above.
#[allow(clippy::too_many_arguments)]
pub unsafe fn transposed_product(
    dy: *const f32,
    dy_stride: usize,
    x: *const f32,
    x_stride: usize,
    y: *mut f32,
    y_stride: usize,
    tokens: usize,
    inputs: usize,
    outputs: usize,
    scratch: *mut f32,
) {
    add_product(
        [outputs, tokens, inputs],
        y,
        y_stride,
        |o, rows, t0, width| {
            transpose(dy.add(t0 * dy_stride + o), dy_stride, width, rows, scratch, width);
            (scratch as *const f32, width)
        },
        |i, t0, width, tile| {
            let count = inputs - i;
            for t in 0..width {
                load_panel(x.add((t0 + t) * x_stride + i), count, tile.add(t * PANEL));
            }
        },
    );
}

/// The first `count` of 8 f32, zeros after them.
/// # Safety
/// `from` points to as many, `to` to 8.
#[inline(always)]
pub unsafe fn load_panel(from: *const f32, count: usize, to: *mut f32) {
    F32x4::load_first(from, count).store(to);
    let rest = if count > 4 { F32x4::load_first(from.add(4), count - 4) } else { F32x4::splat(0.0) };
    rest.store(to.add(4));
}

/// `to[c][r] = from[r][c]`.
/// # Safety
/// The pointers cover `[rows, columns]` and `[columns, rows]`, in rows as far apart as their strides.
pub unsafe fn transpose(
    from: *const f32,
    from_stride: usize,
    rows: usize,
    columns: usize,
    to: *mut f32,
    to_stride: usize,
) {
    let (whole_rows, whole_columns) = (rows / 4 * 4, columns / 4 * 4);
    for r in (0..whole_rows).step_by(4) {
        for c in (0..whole_columns).step_by(4) {
            let lines = F32x4::transpose(core::array::from_fn(|k| F32x4::load(from.add((r + k) * from_stride + c))));
            for (k, line) in lines.into_iter().enumerate() {
                line.store(to.add((c + k) * to_stride + r));
            }
        }
    }
    for r in 0..rows {
        for c in if r < whole_rows { whole_columns } else { 0 }..columns {
            *to.add(c * to_stride + r) = *from.add(r * from_stride + c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_equal_sums_within_1e_6_per_term() {
        let value = |i: usize| (i * 7919 % 1009) as f32 / 504.5 - 1.0;
        for (tokens, inputs, outputs) in [(1, 1, 1), (3, 5, 9), (7, 12, 17), (6, 8, 400), (390, 16, 8), (5, 19, 200)] {
            let (x, dy): (Vec<f32>, Vec<f32>) =
                ((0..tokens * inputs).map(value).collect(), (0..tokens * outputs).map(|i| value(i + 4)).collect());
            let w: Vec<f32> = (0..outputs * inputs).map(|i| value(i + 7)).collect();
            let mut packed = vec![0f32; outputs.next_multiple_of(PANEL) * inputs];
            for (at, &value) in w.iter().enumerate() {
                let (o, i) = (at / inputs, at % inputs);
                packed[o / PANEL * PANEL * inputs + i * PANEL + o % PANEL] = value;
            }
            let (mut dx, mut dw) = (vec![1f32; tokens * inputs], vec![1f32; outputs * inputs]);
            let mut scratch = vec![0f32; SCRATCH];
            unsafe {
                input_gradient(dy.as_ptr(), outputs, packed.as_ptr(), dx.as_mut_ptr(), inputs, tokens, inputs, outputs);
                weight_gradient(
                    dy.as_ptr(),
                    outputs,
                    x.as_ptr(),
                    inputs,
                    dw.as_mut_ptr(),
                    tokens,
                    inputs,
                    outputs,
                    scratch.as_mut_ptr(),
                );
            }
            for i in 0..inputs {
                for t in 0..tokens {
                    let sum: f32 = (0..outputs).map(|o| dy[t * outputs + o] * w[o * inputs + i]).sum();
                    assert!((dx[t * inputs + i] - 1.0 - sum).abs() <= 1e-6 * (outputs as f32 + 1.0));
                }
                for o in 0..outputs {
                    let sum: f32 = (0..tokens).map(|t| dy[t * outputs + o] * x[t * inputs + i]).sum();
                    assert!((dw[o * inputs + i] - 1.0 - sum).abs() <= 1e-6 * (tokens as f32 + 1.0));
                }
            }
        }
    }
}
