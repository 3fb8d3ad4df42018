//! The two products of a linear layer's gradient: `dx += dy w` and `dw += dy^T x`.
//!
//! Both are `y += left right`, with the loops of [`crate::simd128::linear`]: 128 rows of `left` by 384 of its columns stay in
//! L2, 384 rows of 8 columns of `right` in a tile in L1. Departures:
//! 1. `right` is w in panels read across (8 inputs of one output), or x as it lies: the tile is filled accordingly.
//! 2. `dy^T` is transposed block by block, so that a row of `left` is contiguous.

use crate::lanes::F32x4;
use crate::simd128::linear::{tokens_x_panel, Place};
use crate::PANEL;

const ROWS: usize = 128;
const INNER: usize = 384;

/// f32 of working memory of [`weight_gradient`].
pub const SCRATCH: usize = ROWS * INNER;

/// `y[rows, columns] += left[rows, inner] right[inner, columns]`.
pub struct Product {
    pub y: *mut f32,
    pub y_stride: usize,
    pub rows: usize,
    pub inner: usize,
    pub columns: usize,
}

/// `left(r, rows, i, width)` gives `[rows, width]` of the left matrix and its row stride, `right(c, i, width, tile)` fills
/// `[width, 8]` of the right one.
/// # Safety
/// The pointers that are given cover these, and y what [`Product`] says.
#[inline(always)]
pub unsafe fn add_product(
    p: &Product,
    left: impl Fn(usize, usize, usize, usize) -> (*const f32, usize),
    right: impl Fn(usize, usize, usize, *mut f32),
) {
    let mut tile = core::mem::MaybeUninit::<[[f32; PANEL]; INNER]>::uninit();
    let tile = tile.as_mut_ptr() as *mut f32;
    for r0 in (0..p.rows).step_by(ROWS) {
        let rows = ROWS.min(p.rows - r0);
        for i0 in (0..p.inner).step_by(INNER) {
            let width = INNER.min(p.inner - i0);
            let (x, x_stride) = left(r0, rows, i0, width);
            for o in (0..p.columns).step_by(PANEL) {
                right(o, i0, width, tile);
                // Not the first block of inputs: the sums are added to y.
                let place = Place {
                    first: false,
                    bias: core::ptr::null(),
                    y_stride: p.y_stride,
                    x_stride,
                    o,
                    outputs: p.columns,
                };
                let mut r = 0;
                while r < rows {
                    let (from, to) = (x.add(r * x_stride), p.y.add((r0 + r) * p.y_stride + o));
                    match rows - r {
                        1 => tokens_x_panel::<1>(from, tile, to, width, &place),
                        2 => tokens_x_panel::<2>(from, tile, to, width, &place),
                        3 => tokens_x_panel::<3>(from, tile, to, width, &place),
                        _ => tokens_x_panel::<4>(from, tile, to, width, &place),
                    }
                    r += 4;
                }
            }
        }
    }
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
    let product = Product { y: dx, y_stride: dx_stride, rows: tokens, inner: outputs, columns: inputs };
    add_product(
        &product,
        |t, _, o, _| (dy.add(t * dy_stride + o), dy_stride),
        |i, o0, width, tile| {
            let count = PANEL.min(inputs - i);
            for k in 0..width {
                let o = o0 + k;
                let from = w.add(o / PANEL * inputs * PANEL + i * PANEL + o % PANEL);
                for j in 0..PANEL {
                    *tile.add(k * PANEL + j) = if j < count { *from.add(j * PANEL) } else { 0.0 };
                }
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
    let product = Product { y, y_stride, rows: outputs, inner: tokens, columns: inputs };
    add_product(
        &product,
        |o, rows, t0, width| {
            for t in 0..width {
                let from = dy.add((t0 + t) * dy_stride + o);
                for r in 0..rows {
                    *scratch.add(r * width + t) = *from.add(r);
                }
            }
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
