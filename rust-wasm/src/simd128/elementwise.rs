use super::math::{self, gelu_tanh, silu};
use crate::lanes::F32x4;
use crate::scalar;

/// See [`crate::scalar::elementwise::add`].
/// # Safety
/// As there.
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
        let (a, b, y) = (a.add(t * a_stride), b.add(t * b_stride), y.add(t * width));
        let mut i = 0;
        while i + 4 <= width {
            F32x4::load(a.add(i)).add(F32x4::load(b.add(i))).store(y.add(i));
            i += 4;
        }
        while i < width {
            *y.add(i) = *a.add(i) + *b.add(i);
            i += 1;
        }
    }
}

/// See [`crate::scalar::elementwise::silu_gate`].
/// # Safety
/// As there.
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
        let (x, gate, y) = (x.add(t * x_stride), gate.add(t * gate_stride), y.add(t * width));
        let mut i = 0;
        while i + 4 <= width {
            F32x4::load(x.add(i)).mul(silu(F32x4::load(gate.add(i)))).store(y.add(i));
            i += 4;
        }
        while i < width {
            *y.add(i) = *x.add(i) * scalar::math::silu(*gate.add(i));
            i += 1;
        }
    }
}

/// See [`crate::scalar::elementwise::gelu`].
/// # Safety
/// As there.
pub unsafe fn gelu(x: *const f32, x_stride: usize, y: *mut f32, tokens: usize, width: usize, tanh: bool) {
    for t in 0..tokens {
        let (x, y) = (x.add(t * x_stride), y.add(t * width));
        let mut i = 0;
        while i + 4 <= width {
            let value = F32x4::load(x.add(i));
            if tanh { gelu_tanh(value) } else { math::gelu(value) }.store(y.add(i));
            i += 4;
        }
        while i < width {
            *y.add(i) = scalar::math::gelu(*x.add(i), tanh);
            i += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scalar;

    #[test]
    fn simd_gate_equals_scalar_within_2e_6() {
        let x: Vec<f32> = (0..100).map(|i| (i as f32 - 50.0) * 0.37).collect();
        for width in [1, 3, 4, 5, 9] {
            let (mut a, mut b) = (vec![0.0; 3 * width], vec![0.0; 3 * width]);
            unsafe {
                super::silu_gate(x.as_ptr(), 11, x.as_ptr().add(5), 13, a.as_mut_ptr(), 3, width);
                scalar::elementwise::silu_gate(x.as_ptr(), 11, x.as_ptr().add(5), 13, b.as_mut_ptr(), 3, width);
            }
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 2e-6 * b.abs() + 1e-30));
        }
    }

    #[test]
    fn simd_equals_scalar() {
        let x: Vec<f32> = (0..100).map(|i| i as f32 * 0.37).collect();
        for width in [1, 3, 4, 5, 9] {
            let (mut a, mut b) = (vec![0.0; 3 * width], vec![0.0; 3 * width]);
            unsafe {
                super::add(x.as_ptr(), 11, x.as_ptr().add(5), 13, a.as_mut_ptr(), 3, width);
                scalar::elementwise::add(x.as_ptr(), 11, x.as_ptr().add(5), 13, b.as_mut_ptr(), 3, width);
            }
            assert_eq!(a, b);
        }
    }
}
