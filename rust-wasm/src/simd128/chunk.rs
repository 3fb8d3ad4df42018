//! Mamba-2's recurrence over a whole block of tokens at once, as products of matrices (Dao & Gu 2024, section 6):
//!
//! ```text
//! L[t, s] = a[s + 1] ... a[t] for s <= t, else 0           M = (C B^T) * L, element by element
//! y[t, p] = a[0] ... a[t] sum_n C[t, n] S[p, n] + sum_s M[t, s] x[s, p]
//! S[p, n] = a[0] ... a[last] S[p, n] + sum_t L[last, t] x[t, p] B[t, n]
//! ```
//!
//! Two multiply-adds per element of the state and token instead of the recurrence's three operations, and few for M.
//! The rows of L come from one another by multiplication, as in the recurrence: no exponentials, no differences of sums.
//! A weight of 0 meets values that the recurrence has long forgotten, and 0 * infinity is NaN: the caller takes this form
//! only where all is finite.

use super::recurrence::{position, BLOCK};
use crate::lanes::F32x4;

/// Widths and numbers of states that this form takes are multiples of it.
pub const UNIT: usize = 8;

pub struct Chunk {
    /// `[BLOCK]`, from 0 to 1.
    pub a: *const f32,
    /// `[BLOCK, width]`.
    pub x: *const f32,
    /// `[states / 8][BLOCK][8]`.
    pub b: *const f32,
    /// `[BLOCK, states]`, rows `c_stride` apart.
    pub c: *const f32,
    pub c_stride: usize,
    /// C B^T, see [`products`].
    pub g: *const f32,
    /// `[width, states]`, in and out.
    pub state: *mut f32,
    /// `[BLOCK, width]`, rows `y_stride` apart.
    pub y: *mut f32,
    pub y_stride: usize,
    /// Working memory, [`work_len`] f32.
    pub work: *mut f32,
    pub width: usize,
    pub states: usize,
}

/// f32 of `work`.
pub fn work_len(width: usize) -> usize {
    BLOCK * (BLOCK + width + 1)
}

/// C B^T, `[BLOCK, BLOCK]`, on and below the diagonal; other elements are 0 or of no account.
/// # Safety
/// `b` and `c` point to BLOCK rows of `states`, `g` to BLOCK x BLOCK f32.
pub unsafe fn products(b: *const f32, b_stride: usize, c: *const f32, c_stride: usize, states: usize, g: *mut f32) {
    for i in (0..BLOCK * BLOCK).step_by(4) {
        F32x4::splat(0.0).store(g.add(i));
    }
    for t in (0..BLOCK).step_by(2) {
        for s in (0..t + 2).step_by(4) {
            let sums = dot(c.add(t * c_stride), c_stride, b.add(s * b_stride), b_stride, states);
            sums[0].store(g.add(t * BLOCK + s));
            sums[1].store(g.add((t + 1) * BLOCK + s));
        }
    }
}

/// # Safety
/// All pointers of `chunk` cover what its fields say; `width` and `states` are multiples of [`UNIT`].
pub unsafe fn advance(chunk: &Chunk) {
    let m = chunk.work;
    let weighted = m.add(BLOCK * BLOCK);
    let totals = weighted.add(BLOCK * chunk.width);
    decays(chunk, m, weighted, totals);
    from_before(chunk, totals);
    within(chunk, m);
    update(chunk, weighted, *totals.add(BLOCK - 1));
}

/// M, L[last, t] x[t], and the products a[0] ... a[t].
unsafe fn decays(chunk: &Chunk, m: *mut f32, weighted: *mut f32, totals: *mut f32) {
    let mut row = [0f32; BLOCK];
    let mut total = 1.0;
    for t in 0..BLOCK {
        let a = *chunk.a.add(t);
        total *= a;
        *totals.add(t) = total;
        for s in (0..t).step_by(4) {
            let at = row.as_mut_ptr().add(s);
            let decayed = F32x4::load(at).mul(F32x4::splat(a));
            // Numbers below the normal range are slow, and nothing beside what comes with them.
            decayed.select_lt(F32x4::splat(f32::MIN_POSITIVE), F32x4::splat(0.0), decayed).store(at);
        }
        row[t] = 1.0;
        for s in (0..BLOCK).step_by(4) {
            let at = t * BLOCK + s;
            F32x4::load(chunk.g.add(at)).mul(F32x4::load(row.as_ptr().add(s))).store(m.add(at));
        }
    }
    for (t, &weight) in row.iter().enumerate() {
        for p in (0..chunk.width).step_by(4) {
            let at = t * chunk.width + p;
            F32x4::load(chunk.x.add(at)).mul(F32x4::splat(weight)).store(weighted.add(at));
        }
    }
}

/// y[t, p] = totals[t] sum_n C[t, n] S[p, n].
unsafe fn from_before(chunk: &Chunk, totals: *const f32) {
    let states = chunk.states;
    for p in (0..chunk.width).step_by(4) {
        for t in (0..BLOCK).step_by(2) {
            let c = chunk.c.add(t * chunk.c_stride);
            let sums = dot(c, chunk.c_stride, chunk.state.add(p * states), states, states);
            for (i, sum) in sums.iter().enumerate() {
                sum.mul(F32x4::load_splat(totals.add(t + i))).store(chunk.y.add((t + i) * chunk.y_stride + p));
            }
        }
    }
}

/// Two rows times four rows, along `states`.
#[inline(always)]
unsafe fn dot(c: *const f32, c_stride: usize, row: *const f32, stride: usize, states: usize) -> [F32x4; 2] {
    let mut sums = [[F32x4::splat(0.0); 4]; 2];
    for n in (0..states).step_by(4) {
        let rows: [F32x4; 4] = core::array::from_fn(|i| F32x4::load(row.add(i * stride + n)));
        for (t, sums) in sums.iter_mut().enumerate() {
            let left = F32x4::load(c.add(t * c_stride + n));
            for (sum, right) in sums.iter_mut().zip(rows) {
                *sum = left.mul_add(right, *sum);
            }
        }
    }
    sums.map(F32x4::sums)
}

/// y[t, p] += sum_s M[t, s] x[s, p], 4 tokens x 8 columns at a time.
unsafe fn within(chunk: &Chunk, m: *const f32) {
    for t in (0..BLOCK).step_by(4) {
        for p in (0..chunk.width).step_by(UNIT) {
            let y = |i: usize| chunk.y.add((t + i) * chunk.y_stride + p);
            let mut sums: [[F32x4; 2]; 4] = core::array::from_fn(|i| [F32x4::load(y(i)), F32x4::load(y(i).add(4))]);
            for s in 0..t + 4 {
                let x = chunk.x.add(s * chunk.width + p);
                let (x0, x1) = (F32x4::load(x), F32x4::load(x.add(4)));
                for (i, sum) in sums.iter_mut().enumerate() {
                    let weight = F32x4::load_splat(m.add((t + i) * BLOCK + s));
                    *sum = [weight.mul_add(x0, sum[0]), weight.mul_add(x1, sum[1])];
                }
            }
            for (i, sum) in sums.iter().enumerate() {
                sum[0].store(y(i));
                sum[1].store(y(i).add(4));
            }
        }
    }
}

/// S[p, n] = total S[p, n] + sum_t weighted[t, p] B[t, n], 4 rows x 8 columns at a time.
unsafe fn update(chunk: &Chunk, weighted: *const f32, total: f32) {
    let keep = F32x4::splat(total);
    for p in (0..chunk.width).step_by(4) {
        for n in (0..chunk.states).step_by(UNIT) {
            let state = |i: usize| chunk.state.add((p + i) * chunk.states + n);
            let mut tile: [[F32x4; 2]; 4] =
                core::array::from_fn(|i| [F32x4::load(state(i)).mul(keep), F32x4::load(state(i).add(4)).mul(keep)]);
            let (mut b, mut x) = (chunk.b.add(position(BLOCK, 1, 0, 0, n)), weighted.add(p));
            for _ in 0..BLOCK {
                let (b0, b1) = (F32x4::load(b), F32x4::load(b.add(4)));
                for (i, row) in tile.iter_mut().enumerate() {
                    let input = F32x4::load_splat(x.add(i));
                    *row = [input.mul_add(b0, row[0]), input.mul_add(b1, row[1])];
                }
                (b, x) = (b.add(UNIT), x.add(chunk.width));
            }
            for (i, row) in tile.iter().enumerate() {
                row[0].store(state(i));
                row[1].store(state(i).add(4));
            }
        }
    }
}
