//! Pseudocode: `scalar/attention.rs`. Departures:
//!
//! 1. Blocks of [`QUERIES`] queries that share a head of keys, one page of the cache after another; scores exist for one
//!    block and page at a time (8 KiB), and a page's keys stay in L1 for the block, then its values.
//! 2. Online softmax (Milakov & Gimelshein 2018): per query the largest score so far and the sum of weights relative to it;
//!    a page that raises the maximum shrinks what was summed before.
//! 3. Both products are those of `linear.rs`: 4 queries x 8 keys, and 4 queries x 8 columns of the values, stay in
//!    registers. The cache is packed in panels for it, so that nothing is packed here. A lone query (decoding without
//!    groups) takes two panels at once, so that four additions are under way.
//! 4. Queries are counted token by token, the heads of a group within a token: grouped heads fill the tile when decoding.
//!    In a tile the queries may see different numbers of keys: what they share goes through the tile, the rest (at most
//!    three keys each) one by one, so that a key which a query may not see never meets it (0 * NaN is NaN).
//! 5. Threads take ranges of blocks, head by head.

use super::math::exp_clamped;
use crate::lanes::F32x4;
use crate::pool::{split, threads};
use crate::scalar::attention::{append, padded, Attention, PAGE, PANEL};

const QUERIES: usize = 32;
const TILE: usize = 4;

/// f32 of working memory that [`attention`] needs.
pub fn scratch_len(width: usize) -> usize {
    threads() * thread_scratch_len(width)
}

fn thread_scratch_len(width: usize) -> usize {
    QUERIES * (PAGE + padded(width) + 3)
}

/// See [`crate::scalar::attention::attention`].
/// # Safety
/// As there; `scratch` points to [`scratch_len`] f32.
pub unsafe fn attention(a: &Attention, scratch: *mut f32) {
    append(a);
    let blocks = (a.tokens * a.group).div_ceil(QUERIES);
    let queries = (a.tokens * a.group).min(QUERIES);
    // Both products, and an exponential for each score. More keys than these are worth splitting all the more.
    let cost = queries * (a.position + a.tokens).min(64 * PAGE) * (2 * a.width + 12);
    split(a.heads * blocks, cost, |thread, from, to| {
        let scratch = scratch.add(thread * thread_scratch_len(a.width));
        for block in from..to {
            query_block(a, scratch, block / blocks, block % blocks * QUERIES)
        }
    })
}

/// [`QUERIES`] queries, or as many as there are, from `first` on of those that share head `h`.
unsafe fn query_block(a: &Attention, scratch: *mut f32, h: usize, first: usize) {
    let wide = padded(a.width);
    let scores = scratch; // [QUERIES, PAGE]
    let sums = scores.add(QUERIES * PAGE); // [QUERIES, wide]
    let tops = sums.add(QUERIES * wide); // [QUERIES]
    let totals = tops.add(QUERIES);
    let shrinks = totals.add(QUERIES);
    let all = a.tokens * a.group;
    let block = Block { a, h, first, count: QUERIES.min(all - first), scores, sums, shrinks };
    for i in 0..block.count {
        *tops.add(i) = f32::NEG_INFINITY;
        *totals.add(i) = 0.0;
    }
    for i in 0..block.count * wide {
        *sums.add(i) = 0.0;
    }
    for page in 0..block.visible(block.count - 1).div_ceil(PAGE) {
        block.tiles(|i, n| match n {
            1 => block.score::<1, 2>(page, i),
            2 => block.score::<2, 1>(page, i),
            3 => block.score::<3, 1>(page, i),
            _ => block.score::<4, 1>(page, i),
        });
        for i in 0..block.count {
            let row = scores.add(i * PAGE);
            let seen = block.visible_in(page, i);
            *shrinks.add(i) = weigh(row, seen, a.scale, &mut *tops.add(i), &mut *totals.add(i));
        }
        block.tiles(|i, n| match n {
            1 => block.sum::<1>(page, i),
            2 => block.sum::<2>(page, i),
            3 => block.sum::<3>(page, i),
            _ => block.sum::<4>(page, i),
        });
    }
    for i in 0..block.count {
        divide(sums.add(i * wide), *totals.add(i), a.y.add(block.row(i) * a.width), a.width);
    }
}

/// Queries `first` to `first + count` of those that share head `h`.
struct Block<'a> {
    a: &'a Attention,
    h: usize,
    first: usize,
    count: usize,
    scores: *mut f32,
    sums: *mut f32,
    shrinks: *mut f32,
}

impl Block<'_> {
    /// The row of q and y of query `i` of the block.
    #[inline(always)]
    fn row(&self, i: usize) -> usize {
        let (t, r) = ((self.first + i) / self.a.group, (self.first + i) % self.a.group);
        (t * self.a.heads + self.h) * self.a.group + r
    }

    /// Keys that query `i` sees, in all pages.
    #[inline(always)]
    fn visible(&self, i: usize) -> usize {
        self.a.position + (self.first + i) / self.a.group + 1
    }

    #[inline(always)]
    fn visible_in(&self, page: usize, i: usize) -> usize {
        self.visible(i).saturating_sub(page * PAGE).min(PAGE)
    }

    /// Calls `body` with the first query and the number of each tile.
    #[inline(always)]
    fn tiles(&self, body: impl Fn(usize, usize)) {
        for i in (0..self.count).step_by(TILE) {
            body(i, TILE.min(self.count - i));
        }
    }

    /// Scores of `N` queries against the keys of a page that the last of them sees; whole panels, up to `P` of them more.
    #[inline(always)]
    unsafe fn score<const N: usize, const P: usize>(&self, page: usize, i: usize) {
        let (a, keys) = (self.a, self.a.keys_of(page, self.h));
        let q: [*const f32; N] = core::array::from_fn(|n| a.q.add(self.row(i + n) * a.q_stride));
        for s in (0..self.visible_in(page, i + N - 1)).step_by(PANEL * P) {
            let products = multiply::<N, P>(q, keys.add(s * a.width), a.width * PANEL, a.width);
            for (n, panels) in products.iter().enumerate() {
                let to = self.scores.add((i + n) * PAGE + s);
                for (p, (lo, hi)) in panels.iter().enumerate() {
                    lo.store(to.add(p * PANEL));
                    hi.store(to.add(p * PANEL + 4));
                }
            }
        }
    }

    #[allow(clippy::needless_range_loop)] // over several arrays
    /// sums = shrinks * sums + scores (now weights) * values of a page, for `N` queries.
    #[inline(always)]
    unsafe fn sum<const N: usize>(&self, page: usize, i: usize) {
        let (values, wide) = (self.a.values_of(page, self.h), padded(self.a.width));
        let shared = self.visible_in(page, i);
        let weights: [*const f32; N] = core::array::from_fn(|n| self.scores.add((i + n) * PAGE) as *const f32);
        let mut d = 0;
        while N == 1 && d + 2 * PANEL <= wide {
            let products = multiply::<N, 2>(weights, values.add(d * PAGE), PAGE * PANEL, shared);
            for (p, &(lo, hi)) in products[0].iter().enumerate() {
                self.shrink_add(i, d + p * PANEL, lo, hi);
            }
            d += 2 * PANEL;
        }
        while d < wide {
            let products = multiply::<N, 1>(weights, values.add(d * PAGE), PAGE * PANEL, shared);
            for (n, panels) in products.iter().enumerate() {
                self.shrink_add(i + n, d, panels[0].0, panels[0].1);
            }
            d += PANEL;
        }
        for n in 1..N {
            for s in shared..self.visible_in(page, i + n) {
                let weight = F32x4::load_splat(weights[n].add(s));
                for d in (0..wide).step_by(4) {
                    let to = self.sums.add((i + n) * wide + d);
                    let value = F32x4::load(values.add((d / PANEL * PAGE + s) * PANEL + d % PANEL));
                    weight.mul_add(value, F32x4::load(to)).store(to);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn shrink_add(&self, i: usize, d: usize, lo: F32x4, hi: F32x4) {
        let shrink = F32x4::load_splat(self.shrinks.add(i));
        let to = self.sums.add(i * padded(self.a.width) + d);
        shrink.mul_add(F32x4::load(to), lo).store(to);
        shrink.mul_add(F32x4::load(to.add(4)), hi).store(to.add(4));
    }
}

/// `N` rows x `P` panels of 8 outputs over `inputs` inputs; the panels lie `step` f32 apart.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // over several arrays
unsafe fn multiply<const N: usize, const P: usize>(
    x: [*const f32; N],
    w: *const f32,
    step: usize,
    inputs: usize,
) -> [[(F32x4, F32x4); P]; N] {
    let mut sums = [[(F32x4::splat(0.0), F32x4::splat(0.0)); P]; N];
    for i in 0..inputs {
        for p in 0..P {
            let column = w.add(p * step + i * PANEL);
            let (w0, w1) = (F32x4::load(column), F32x4::load(column.add(4)));
            for n in 0..N {
                let xi = F32x4::load_splat(x[n].add(i));
                sums[n][p] = (xi.mul_add(w0, sums[n][p].0), xi.mul_add(w1, sums[n][p].1));
            }
        }
    }
    sums
}

/// Turns the first `seen` scores of a row into weights relative to the largest so far, which it brings up to date with
/// their total; returns the factor for what was summed before.
///
/// A score of -infinity weighs nothing; where there was no other yet, 0 stands for the maximum, as -infinity minus itself
/// is NaN. Behind the row's end, up to a whole vector, stand weights of 0.
unsafe fn weigh(row: *mut f32, seen: usize, scale: f32, top: &mut f32, total: &mut f32) -> f32 {
    if seen == 0 {
        return 1.0;
    }
    for s in seen..seen.next_multiple_of(4) {
        *row.add(s) = f32::NEG_INFINITY;
    }
    let mut largest = F32x4::splat(f32::NEG_INFINITY);
    for s in (0..seen).step_by(4) {
        largest = largest.at_least(F32x4::load(row.add(s)));
    }
    let mut lanes = [0f32; 4];
    largest.store(lanes.as_mut_ptr());
    let raised = lanes.iter().fold(f32::NEG_INFINITY, |max, &lane| max.max(lane)) * scale;
    let before = *top;
    *top = before.max(raised);
    let shift = if *top == f32::NEG_INFINITY { 0.0 } else { *top };
    let mut sum = F32x4::splat(0.0);
    for s in (0..seen).step_by(4) {
        let scaled = F32x4::load(row.add(s)).mul(F32x4::splat(scale));
        let weight = exp_clamped(scaled.sub(F32x4::splat(shift)));
        weight.store(row.add(s));
        sum = sum.add(weight);
    }
    let shrink = if before == *top { 1.0 } else { (before - shift).exp() };
    *total = *total * shrink + sum.sum();
    shrink
}

/// to = from / by.
unsafe fn divide(from: *const f32, by: f32, to: *mut f32, width: usize) {
    let divisor = F32x4::splat(by);
    let mut d = 0;
    while d + 4 <= width {
        F32x4::load(from.add(d)).div(divisor).store(to.add(d));
        d += 4;
    }
    while d < width {
        *to.add(d) = *from.add(d) / by;
        d += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar;

    #[test]
    fn simd_equals_scalar_within_1e_5_in_any_pieces() {
        for (heads, group, width) in [(1, 1, 1), (2, 1, 8), (2, 3, 7), (1, 4, 20), (3, 5, 16)] {
            for pieces in [vec![1, 1, 1], vec![5, 1, 2], vec![PAGE - 1, 2, 1], vec![PAGE, 1], vec![PAGE + 3, PAGE, 9]] {
                let value = |i: usize| ((i * 53 + 7) % 97) as f32 / 24.0 - 2.0;
                let v: Vec<f32> = (0..60000).map(value).collect();
                let row = heads * PAGE * (width + padded(width));
                let mut cache = [vec![0f32; 3 * row + 5], vec![0f32; 3 * row + 5]];
                let mut position = 0;
                for tokens in pieces {
                    let mut y =
                        [vec![0f32; tokens * heads * group * width], vec![0f32; tokens * heads * group * width]];
                    let mut scratch = vec![f32::NAN; scratch_len(width)];
                    for (simd, (y, cache)) in y.iter_mut().zip(cache.iter_mut()).enumerate() {
                        let pages: Vec<*mut f32> =
                            (0..3).map(|page| unsafe { cache.as_mut_ptr().add(page * row) }).collect();
                        let a = Attention {
                            q: v.as_ptr().wrapping_add(position),
                            q_stride: width + 2,
                            k: v.as_ptr().wrapping_add(31 + position),
                            k_stride: 2 * width + 1,
                            v: v.as_ptr().wrapping_add(47 + position),
                            v_stride: 2 * width + 1,
                            y: y.as_mut_ptr(),
                            pages: pages.as_ptr(),
                            keys: 5,
                            values: 5 + heads * PAGE * width,
                            heads,
                            group,
                            width,
                            position,
                            tokens,
                            scale: 0.3,
                        };
                        unsafe {
                            if simd == 1 {
                                attention(&a, scratch.as_mut_ptr())
                            } else {
                                scalar::attention::attention(&a)
                            }
                        }
                    }
                    for (a, b) in y[0].iter().zip(&y[1]) {
                        assert!((a - b).abs() <= 1e-5, "{heads} {group} {width} at {position} + {tokens}: {a} {b}");
                    }
                    assert_eq!(cache[0], cache[1]);
                    position += tokens;
                }
            }
        }
    }
}
