//! The products of matrices, `y = start + left right`: one loop and one micro-kernel for forward and backward.
//!
//! ```text
//! for block of 192 rows: for block of WIDTH inner: for 16 columns: fill a tile [2][WIDTH][8]
//!     for some rows: for k: y[rows, columns] += left[rows, k] tile[k, columns]
//! ```
//!
//! 1. Such products are bound by arithmetic. Results stay in registers over the block of inner: 4 rows x 8 columns in 8
//!    registers of 4 lanes; each k then costs 2 loads of the tile and 4 of left for 8 multiply-adds.
//! 2. An engine that joins pairs of 4 lanes to 8 (V8 does where it is asked to: see [`set_wide`]) has twice the room:
//!    5 rows x 16 columns in 10 registers of 8 lanes, 2 for the tile and 1 for left; with 6 rows one would go to memory. It
//!    joins loads and stores of one base that nothing separates, which decides their order below.
//! 3. A tile stays in L1 (24 KiB for 384 inner), the rows that meet it (288 KiB) in L2.
//!
//! Each result is one sum, over k upward within a block, whatever the shape: all shapes give the same bits.

use crate::lanes::{aligned, F32x4};
use crate::PANEL;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Rows of left at a time.
pub const ROWS: usize = 192;
/// Panels of a tile.
const PANELS: usize = 2;

static WIDE: AtomicBool = AtomicBool::new(false);

/// Says that the engine computes on 8 lanes where the code has two neighbouring fours. Results do not depend on it.
pub fn set_wide(wide: bool) {
    WIDE.store(wide, Relaxed);
}

/// `y[rows, columns] = start + left[rows, inner] right[inner, columns]`.
pub struct Product {
    pub y: *mut f32,
    pub y_stride: usize,
    pub rows: usize,
    pub inner: usize,
    pub columns: usize,
    pub start: Start,
}

/// What the sums are added to.
#[derive(Clone, Copy)]
pub enum Start {
    Zero,
    /// `[columns]`.
    Bias(*const f32),
    /// What is there.
    Y,
}

/// `left(r, rows, k, width)` gives `[rows, width]` of the left matrix and its row stride; `right(c, k, width, panel)` fills
/// `[width, 8]` of the right one, zeros where there is no column; k is a multiple of `WIDTH`, and `width` at most that.
/// # Safety
/// The pointers that are given cover these, and y what [`Product`] says.
#[inline(always)]
pub unsafe fn product<const WIDTH: usize>(
    p: &Product,
    left: impl Fn(usize, usize, usize, usize) -> (*const f32, usize),
    right: impl Fn(usize, usize, usize, *mut f32),
) {
    // Filled before it is read.
    let mut tile = core::mem::MaybeUninit::<Tile<WIDTH>>::uninit();
    let tile = tile.as_mut_ptr() as *mut f32;
    for r0 in (0..p.rows).step_by(ROWS) {
        let rows = ROWS.min(p.rows - r0);
        for k0 in (0..p.inner.max(1)).step_by(WIDTH) {
            let width = WIDTH.min(p.inner - k0);
            let (x, x_stride) = left(r0, rows, k0, width);
            for c in (0..p.columns).step_by(PANELS * PANEL) {
                let columns = (PANELS * PANEL).min(p.columns - c);
                for panel in (0..columns).step_by(PANEL) {
                    right(c + panel, k0, width, tile.add(panel * WIDTH));
                }
                let y = p.y.add(r0 * p.y_stride + c);
                let (start, start_stride) = match p.start {
                    Start::Bias(bias) if k0 == 0 => (bias.add(c), 0),
                    Start::Zero if k0 == 0 => (ZEROS.as_ptr(), 0),
                    _ => (y as *const f32, p.y_stride),
                };
                let part = Part {
                    x,
                    x_stride,
                    width,
                    tile,
                    panel: WIDTH * PANEL,
                    start,
                    start_stride,
                    y,
                    y_stride: p.y_stride,
                    rows,
                    columns,
                };
                rows_by_tile(&part);
            }
        }
    }
}

#[repr(align(32))]
struct Tile<const WIDTH: usize>(#[allow(dead_code)] [[[f32; PANEL]; WIDTH]; PANELS]);

static ZEROS: [f32; PANELS * PANEL] = [0.0; PANELS * PANEL];

/// Rows that meet a tile.
struct Part {
    /// `[rows, width]`.
    x: *const f32,
    x_stride: usize,
    width: usize,
    /// Panels of `[width, 8]`, so many f32 apart.
    tile: *const f32,
    panel: usize,
    /// `[rows, columns]`.
    start: *const f32,
    start_stride: usize,
    y: *mut f32,
    y_stride: usize,
    rows: usize,
    /// At most 16.
    columns: usize,
}

/// Not inlined: one copy serves all formats of weights.
#[inline(never)]
unsafe fn rows_by_tile(p: &Part) {
    let wide = WIDE.load(Relaxed);
    let both = wide && p.columns == PANELS * PANEL;
    for c in (0..p.columns).step_by(if both { PANELS * PANEL } else { PANEL }) {
        let mut r = 0;
        while r < p.rows {
            r += match (p.rows - r).min(if wide { 5 } else { 4 }) {
                1 => rows_by_panels::<1>(p, r, c, both),
                2 => rows_by_panels::<2>(p, r, c, both),
                3 => rows_by_panels::<3>(p, r, c, both),
                4 => rows_by_panels::<4>(p, r, c, both),
                _ => rows_by_panels::<5>(p, r, c, both),
            };
        }
    }
}

/// Rows r to r + `N`, columns from c on. Gives `N`.
#[inline(always)]
unsafe fn rows_by_panels<const N: usize>(p: &Part, r: usize, c: usize, both: bool) -> usize {
    let (x, tile) = (p.x.add(r * p.x_stride), p.tile.add(c / PANEL * p.panel));
    let (start, y) = (p.start.add(r * p.start_stride + c), p.y.add(r * p.y_stride + c));
    let columns = p.columns - c;
    if both {
        shape::<N, 2>(x, p.x_stride, tile, p.panel, p.width, start, p.start_stride, y, p.y_stride);
    } else if columns >= PANEL {
        shape::<N, 1>(x, p.x_stride, tile, p.panel, p.width, start, p.start_stride, y, p.y_stride);
    } else {
        // The last panel: not all of its columns exist.
        let mut all = [0f32; 5 * PANEL];
        for n in 0..N {
            core::ptr::copy_nonoverlapping(start.add(n * p.start_stride), all.as_mut_ptr().add(n * PANEL), columns);
        }
        shape::<N, 1>(x, p.x_stride, tile, p.panel, p.width, all.as_ptr(), PANEL, all.as_mut_ptr(), PANEL);
        for n in 0..N {
            core::ptr::copy_nonoverlapping(all.as_ptr().add(n * PANEL), y.add(n * p.y_stride), columns);
        }
    }
    N
}

/// `N` rows x `P` panels. Not inlined: engines join lanes of small functions best.
#[allow(clippy::too_many_arguments, clippy::needless_range_loop)] // Loads and stores in this order are what is joined.
#[inline(never)]
unsafe fn shape<const N: usize, const P: usize>(
    x: *const f32,
    x_stride: usize,
    tile: *const f32,
    panel: usize,
    width: usize,
    start: *const f32,
    start_stride: usize,
    y: *mut f32,
    y_stride: usize,
) {
    let mut sums = [[[F32x4::splat(0.0); 2]; P]; N];
    for k in 0..width {
        let w: [[F32x4; 2]; P] = core::array::from_fn(|q| {
            let from = aligned(tile.add(q * panel + k * PANEL));
            [F32x4::load(from), F32x4::load(from.add(4))]
        });
        for (n, sums) in sums.iter_mut().enumerate() {
            let xk = F32x4::load_splat(x.add(n * x_stride + k));
            for q in 0..P {
                sums[q] = [xk.mul_add(w[q][0], sums[q][0]), xk.mul_add(w[q][1], sums[q][1])];
            }
        }
    }
    for n in 0..N {
        for q in 0..P {
            let (from, to) = (start.add(n * start_stride).add(q * PANEL), y.add(n * y_stride).add(q * PANEL));
            let (lo, hi) = (F32x4::load(from), F32x4::load(from.add(4)));
            let (lo, hi) = (sums[n][q][0].add(lo), sums[n][q][1].add(hi));
            lo.store(to);
            hi.store(to.add(4));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// y of a product whose tiles hold `WIDTH` inner, from a start of each kind.
    fn compute(wide: bool, rows: usize, inner: usize, columns: usize, start: usize) -> Vec<f32> {
        set_wide(wide);
        let value = |i: usize| (i * 7919 % 1009) as f32 / 504.5 - 1.0;
        let left: Vec<f32> = (0..rows * (inner + 3)).map(value).collect();
        let right: Vec<f32> = (0..inner * columns).map(|i| value(i + 5)).collect();
        let bias: Vec<f32> = (0..columns).map(|i| value(i + 9)).collect();
        let mut y: Vec<f32> = (0..rows * (columns + 2)).map(|i| value(i + 3)).collect();
        let start = [Start::Zero, Start::Bias(bias.as_ptr()), Start::Y][start];
        let all = Product { y: y.as_mut_ptr(), y_stride: columns + 2, rows, inner, columns, start };
        unsafe {
            product::<8>(
                &all,
                |r, _, k, _| (left.as_ptr().add(r * (inner + 3) + k), inner + 3),
                |c, k0, width, panel| {
                    for k in 0..width {
                        for j in 0..PANEL {
                            let there = c + j < columns;
                            *panel.add(k * PANEL + j) = if there { right[(k0 + k) * columns + c + j] } else { 0.0 };
                        }
                    }
                },
            );
        }
        let from = |r: usize, c: usize| match start {
            Start::Zero => 0.0,
            Start::Bias(_) => bias[c],
            Start::Y => value(r * (columns + 2) + c + 3),
        };
        for r in 0..rows {
            for c in 0..columns {
                let sum: f32 = (0..inner).map(|k| left[r * (inner + 3) + k] * right[k * columns + c]).sum();
                let (got, expected) = (y[r * (columns + 2) + c], from(r, c) + sum);
                assert!(
                    (got - expected).abs() <= 1e-6 * (inner as f32 + 1.0),
                    "{rows}x{inner}x{columns}: {got} {expected}"
                );
            }
        }
        y
    }

    #[test]
    fn products_are_right_within_1e_6_per_input_and_have_the_same_bits_on_8_lanes() {
        for rows in [1, 2, 3, 4, 5, 6, 11, 193] {
            for inner in [0, 1, 8, 19] {
                for columns in [1, 8, 9, 16, 23, 32] {
                    for start in 0..3 {
                        let bits =
                            |wide| compute(wide, rows, inner, columns, start).iter().map(|v| v.to_bits()).collect();
                        let (narrow, wide): (Vec<u32>, Vec<u32>) = (bits(false), bits(true));
                        assert_eq!(narrow, wide);
                    }
                }
            }
        }
    }
}
