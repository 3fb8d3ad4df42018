//! The end of a MIMO layer of Mamba-3, four channels at a time.

use super::math::silu;
use crate::lanes::F32x4;
use crate::scalar;

/// See [`crate::scalar::mimo::mimo_gate`].
/// # Safety
/// As there.
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
        for h in 0..heads {
            let (z, to) = (gate.add(t * gate_stride + h * width), out.add(t * channels + h * width));
            let row = |r: usize| y.add(t * y_stride + r * channels + h * width);
            let weight = |w: *const f32, r: usize| w.add((h * rank + r) * width);
            let mut p = 0;
            while p + 4 <= width {
                let mut sum = F32x4::splat(0.0);
                for r in 0..rank {
                    let g = silu(F32x4::load(z.add(p)).mul(F32x4::load(weight(w_gate, r).add(p))));
                    let v = F32x4::load(row(r).add(p)).mul(g);
                    sum = v.mul_add(F32x4::load(weight(w_out, r).add(p)), sum);
                }
                sum.store(to.add(p));
                p += 4;
            }
            while p < width {
                let term = |r: usize| {
                    let g = scalar::math::silu(*z.add(p) * *weight(w_gate, r).add(p));
                    *row(r).add(p) * g * *weight(w_out, r).add(p)
                };
                *to.add(p) = (0..rank).map(term).sum();
                p += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simd_gate_equals_scalar_within_2e_6() {
        let v: Vec<f32> = (0..400).map(|i| ((i * 31) % 53) as f32 / 13.0 - 2.0).collect();
        for width in [1, 3, 4, 7] {
            for rank in [1, 4] {
                let (mut a, mut b) = (vec![0.0; 9 * width], vec![0.0; 9 * width]);
                let (y, gate, one, two) = (v.as_ptr(), v[3..].as_ptr(), v[5..].as_ptr(), v[9..].as_ptr());
                unsafe {
                    mimo_gate(y, 3 * rank * width + 1, gate, 22, one, two, a.as_mut_ptr(), 3, 3, rank, width);
                    let out = b.as_mut_ptr();
                    scalar::mimo::mimo_gate(y, 3 * rank * width + 1, gate, 22, one, two, out, 3, 3, rank, width);
                }
                assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 2e-6 * (20.0 + b.abs())));
            }
        }
    }
}
