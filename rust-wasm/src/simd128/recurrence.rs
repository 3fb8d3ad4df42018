//! One head's matrix state over a block of tokens: what Mamba-2 and Mamba-3 have in common.
//!
//! ```text
//! for t in block:
//!     S[p, n]    = a[t] S[p, n] + sum_r x[t, r, p] k[t, r, n]
//!     y[t, r, p] = sum_n S[p, n] q[t, r, n]
//! ```
//!
//! Departures:
//! 1. A tile of 4 rows p by 8 columns n of S stays in 8 registers over the whole block; a step costs it 2 + 2 loads of k
//!    and q and 4 of x. Rows that 4 does not divide are done one by one, columns by 4 and then one by one.
//! 2. The sums of y over n stay four lanes wide in `sums` until all columns are done: one horizontal sum per output.
//! 3. k and q are packed into panels of 8 columns, so that a tile reads them front to back (see [`position`]).
//! 4. The rows of a tile lie a quarter of the head apart, so that four pages of the state come from memory side by side:
//!    with one token per step, reading the state is what takes the time.
//! 5. Where updates are skipped, a bit per token of the block says whether S stays: rank 1 only.

use crate::lanes::F32x4;

/// Tokens of a block: with 128 states and rank 1 the panels of k and q are 32 KiB, a head of 64 rows as much.
pub const BLOCK: usize = 32;

/// Rows of a tile.
const ROWS: usize = 4;

pub struct Block {
    /// `[tokens]`.
    pub a: *const f32,
    /// `[tokens, rank, width]`.
    pub x: *const f32,
    /// `[states / 8][tokens][rank][8]`.
    pub k: *const f32,
    pub q: *const f32,
    /// `[width, states]`, in and out.
    pub state: *mut f32,
    /// Rank r of token t is written from `y + t * y_stride + r * y_rank` on.
    pub y: *mut f32,
    pub y_stride: usize,
    pub y_rank: usize,
    /// Working memory, [`sums_len`] f32.
    pub sums: *mut f32,
    /// Bit t: token t leaves S as it is. 0 with a rank above 1.
    pub still: u32,
    pub tokens: usize,
    pub rank: usize,
    pub width: usize,
    pub states: usize,
}

/// f32 of `sums`.
pub fn sums_len(rank: usize) -> usize {
    BLOCK * rank * ROWS * 4
}

/// f32 of one of k and q.
pub fn panels_len(rank: usize, states: usize) -> usize {
    BLOCK * rank * states.next_multiple_of(8)
}

/// Where element n of rank r of token t lies in k and q.
#[inline(always)]
pub fn position(tokens: usize, rank: usize, t: usize, r: usize, n: usize) -> usize {
    ((n / 8 * tokens + t) * rank + r) * 8 + n % 8
}

/// Packs one row of rank r of token t.
/// # Safety
/// `from` points to `states` f32, `to` to [`panels_len`].
pub unsafe fn pack_row(from: *const f32, to: *mut f32, tokens: usize, rank: usize, t: usize, r: usize, states: usize) {
    for n in (0..states).step_by(8) {
        core::ptr::copy_nonoverlapping(from.add(n), to.add(position(tokens, rank, t, r, n)), 8.min(states - n));
    }
}

/// # Safety
/// All pointers of `block` cover what its fields say; at most [`BLOCK`] tokens.
pub unsafe fn advance(block: &Block) {
    match (block.rank, block.still) {
        (1, 0) => rows::<true, false>(block),
        (1, _) => rows::<true, true>(block),
        _ => rows::<false, false>(block),
    }
}

#[inline(always)]
unsafe fn rows<const SINGLE: bool, const SKIP: bool>(b: &Block) {
    let apart = b.width / ROWS;
    for p in 0..apart {
        columns::<ROWS, SINGLE, SKIP>(b, p, apart);
    }
    for p in ROWS * apart..b.width {
        columns::<1, SINGLE, SKIP>(b, p, apart);
    }
}

/// R rows of the state and of y: p, p + apart, ...
#[inline(always)]
unsafe fn columns<const R: usize, const SINGLE: bool, const SKIP: bool>(b: &Block, p: usize, apart: usize) {
    let rank = if SINGLE { 1 } else { b.rank };
    for i in 0..b.tokens * rank * R {
        F32x4::splat(0.0).store(b.sums.add(4 * i));
    }
    let mut n = 0;
    while n + 8 <= b.states {
        tile::<R, 2, SINGLE, SKIP>(b, p, apart, n);
        n += 8;
    }
    if n + 4 <= b.states {
        tile::<R, 1, SINGLE, SKIP>(b, p, apart, n);
        n += 4;
    }
    while n < b.states {
        for row in 0..R {
            column(b, rank, p + row * apart, row, R, n);
        }
        n += 1;
    }
    for t in 0..b.tokens {
        for r in 0..rank {
            let (from, to) = (b.sums.add(4 * R * (t * rank + r)), b.y.add(t * b.y_stride + r * b.y_rank + p));
            for row in 0..R {
                *to.add(row * apart) = F32x4::load(from.add(4 * row)).sum();
            }
        }
    }
}

/// R rows by V vectors of the state over the block.
#[inline(always)]
unsafe fn tile<const R: usize, const V: usize, const SINGLE: bool, const SKIP: bool>(
    b: &Block,
    p: usize,
    apart: usize,
    n: usize,
) {
    let rank = if SINGLE { 1 } else { b.rank };
    let state = |row: usize, v: usize| b.state.add((p + row * apart) * b.states + n + 4 * v);
    let mut s: [[F32x4; V]; R] = core::array::from_fn(|row| core::array::from_fn(|v| F32x4::load(state(row, v))));
    let start = position(b.tokens, rank, 0, 0, n);
    let (mut k, mut q, mut x, mut sums) = (b.k.add(start), b.q.add(start), b.x.add(p), b.sums);
    for t in 0..b.tokens {
        if SKIP && b.still >> t & 1 != 0 {
            (k, x) = (k.add(8), x.add(b.width));
        } else {
            let a = F32x4::load_splat(b.a.add(t));
            for row in &mut s {
                *row = row.map(|v| v.mul(a));
            }
            for _ in 0..rank {
                let keys: [F32x4; V] = core::array::from_fn(|v| F32x4::load(k.add(4 * v)));
                for (i, row) in s.iter_mut().enumerate() {
                    let input = F32x4::load_splat(x.add(i * apart));
                    for (v, key) in row.iter_mut().zip(keys) {
                        *v = input.mul_add(key, *v);
                    }
                }
                (k, x) = (k.add(8), x.add(b.width));
            }
        }
        for _ in 0..rank {
            let queries: [F32x4; V] = core::array::from_fn(|v| F32x4::load(q.add(4 * v)));
            for (i, row) in s.iter().enumerate() {
                let mut sum = F32x4::load(sums.add(4 * i));
                for (v, query) in row.iter().zip(queries) {
                    sum = v.mul_add(query, sum);
                }
                sum.store(sums.add(4 * i));
            }
            (q, sums) = (q.add(8), sums.add(4 * R));
        }
    }
    if SKIP && b.still.count_ones() as usize == b.tokens {
        return;
    }
    for (row, vectors) in s.iter().enumerate() {
        for (v, value) in vectors.iter().enumerate() {
            value.store(state(row, v));
        }
    }
}

/// One element of the state, of row p, over the block; its share of y goes into lane 0 of the `row`th of `rows` sums.
#[inline(always)]
unsafe fn column(b: &Block, rank: usize, p: usize, row: usize, rows: usize, n: usize) {
    let state = b.state.add(p * b.states + n);
    let mut s = *state;
    for t in 0..b.tokens {
        let still = b.still >> t & 1 != 0;
        s *= if still { 1.0 } else { *b.a.add(t) };
        for r in 0..if still { 0 } else { rank } {
            s += *b.x.add((t * rank + r) * b.width + p) * *b.k.add(position(b.tokens, rank, t, r, n));
        }
        for r in 0..rank {
            *b.sums.add(4 * ((t * rank + r) * rows + row)) += s * *b.q.add(position(b.tokens, rank, t, r, n));
        }
    }
    *state = s;
}
