//! Pseudocode: `scalar/rope.rs`. Departure: four pairs at once where their first elements lie side by side (`halves`).

use crate::lanes::F32x4;
use crate::scalar::rope::turn;

/// See [`crate::scalar::rope::rope`].
/// # Safety
/// As there.
#[allow(clippy::too_many_arguments)]
pub unsafe fn rope(
    x: *const f32,
    x_stride: usize,
    table: *const f32,
    y: *mut f32,
    tokens: usize,
    heads: usize,
    width: usize,
    turned: usize,
    pairs: bool,
) {
    if pairs {
        return crate::scalar::rope::rope(x, x_stride, table, y, tokens, heads, width, turned, pairs);
    }
    for row in 0..tokens * heads {
        let (from, to) = (x.add(row * x_stride), y.add(row * width));
        let cos = table.add(row / heads * 2 * turned);
        let sin = cos.add(turned);
        let mut i = 0;
        while i + 4 <= turned {
            let (one, other) = (F32x4::load(from.add(i)), F32x4::load(from.add(i + turned)));
            let (c, s) = (F32x4::load(cos.add(i)), F32x4::load(sin.add(i)));
            one.mul(c).sub(other.mul(s)).store(to.add(i));
            other.mul(c).add(one.mul(s)).store(to.add(i + turned));
            i += 4;
        }
        while i < turned {
            turn(from, to, i, i + turned, *cos.add(i), *sin.add(i));
            i += 1;
        }
        core::ptr::copy_nonoverlapping(from.add(2 * turned), to.add(2 * turned), width - 2 * turned);
    }
}

#[cfg(test)]
mod tests {
    use crate::scalar;

    #[test]
    fn simd_equals_scalar() {
        let x: Vec<f32> = (0..400).map(|i| ((i * 29) % 23) as f32 / 4.0 - 3.0).collect();
        for (width, turned) in [(2, 1), (8, 4), (13, 5), (16, 3), (5, 0), (24, 12)] {
            for pairs in [false, true] {
                let (mut a, mut b) = (vec![0.0; 6 * width], vec![0.0; 6 * width]);
                unsafe {
                    let table = x.as_ptr().add(40);
                    super::rope(x.as_ptr(), width + 3, table, a.as_mut_ptr(), 2, 3, width, turned, pairs);
                    scalar::rope::rope(x.as_ptr(), width + 3, table, b.as_mut_ptr(), 2, 3, width, turned, pairs);
                }
                assert_eq!(a, b);
            }
        }
    }
}
