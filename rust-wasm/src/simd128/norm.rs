use crate::lanes::F32x4;

/// See [`crate::scalar::norm::rms_norm`]; the squares go into 4 x 4 sums.
/// # Safety
/// As there.
#[allow(clippy::too_many_arguments)]
pub unsafe fn rms_norm(
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    w_len: usize,
    y: *mut f32,
    tokens: usize,
    width: usize,
    groups: usize,
    eps: f32,
) {
    for part in 0..tokens * groups {
        let (t, g) = (part / groups, part % groups);
        let (row, out) = (x.add(t * x_stride + g * width), y.add(part * width));
        let w = if w.is_null() { w } else { w.add(g * width % w_len) };
        let mut sums = [F32x4::splat(0.0); 4];
        let mut i = 0;
        while i + 16 <= width {
            for (k, sum) in sums.iter_mut().enumerate() {
                let v = F32x4::load(row.add(i + 4 * k));
                *sum = v.mul_add(v, *sum);
            }
            i += 16;
        }
        let mut squares = sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum();
        while i < width {
            squares += *row.add(i) * *row.add(i);
            i += 1;
        }
        let scale = 1.0 / (squares / width as f32 + eps).sqrt();
        let factor = F32x4::splat(scale);
        let mut i = 0;
        while i + 4 <= width {
            let v = F32x4::load(row.add(i)).mul(factor);
            let v = if w.is_null() { v } else { v.mul(F32x4::load(w.add(i))) };
            v.store(out.add(i));
            i += 4;
        }
        while i < width {
            *out.add(i) = *row.add(i) * scale * if w.is_null() { 1.0 } else { *w.add(i) };
            i += 1;
        }
    }
}

/// See [`crate::scalar::norm::layer_norm`]; the sums go into 4 lanes.
/// # Safety
/// As there.
#[allow(clippy::too_many_arguments)]
pub unsafe fn layer_norm(
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    bias: *const f32,
    y: *mut f32,
    tokens: usize,
    width: usize,
    eps: f32,
) {
    for t in 0..tokens {
        let (row, out) = (x.add(t * x_stride), y.add(t * width));
        let whole = width / 4 * 4;
        let mut sums = F32x4::splat(0.0);
        for i in (0..whole).step_by(4) {
            sums = sums.add(F32x4::load(row.add(i)));
        }
        let mut sum = sums.sum();
        for i in whole..width {
            sum += *row.add(i);
        }
        let mean = sum / width as f32;
        let center = F32x4::splat(mean);
        let mut sums = F32x4::splat(0.0);
        for i in (0..whole).step_by(4) {
            let v = F32x4::load(row.add(i)).sub(center);
            sums = v.mul_add(v, sums);
        }
        let mut squares = sums.sum();
        for i in whole..width {
            squares += (*row.add(i) - mean) * (*row.add(i) - mean);
        }
        let scale = 1.0 / (squares / width as f32 + eps).sqrt();
        for i in (0..whole).step_by(4) {
            let v = F32x4::load(row.add(i)).sub(center).mul(F32x4::splat(scale)).mul(F32x4::load(w.add(i)));
            if bias.is_null() { v } else { v.add(F32x4::load(bias.add(i))) }.store(out.add(i));
        }
        for i in whole..width {
            let offset = if bias.is_null() { 0.0 } else { *bias.add(i) };
            *out.add(i) = (*row.add(i) - mean) * scale * *w.add(i) + offset;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scalar;

    #[test]
    fn simd_equals_scalar_within_1e_6() {
        for width in [1, 3, 4, 15, 16, 17, 64, 67] {
            let x: Vec<f32> = (0..3 * (2 * width + 1)).map(|i| ((i * 29) % 23) as f32 - 11.0).collect();
            let w: Vec<f32> = (0..2 * width).map(|i| 0.5 + i as f32 * 0.1).collect();
            for (w, length) in [(core::ptr::null(), 1), (w.as_ptr(), width), (w.as_ptr(), 2 * width)] {
                let (mut a, mut b) = (vec![0.0; 6 * width], vec![0.0; 6 * width]);
                unsafe {
                    super::rms_norm(x.as_ptr(), 2 * width + 1, w, length, a.as_mut_ptr(), 3, width, 2, 1e-5);
                    scalar::norm::rms_norm(x.as_ptr(), 2 * width + 1, w, length, b.as_mut_ptr(), 3, width, 2, 1e-5);
                }
                for (a, b) in a.iter().zip(&b) {
                    assert!((a - b).abs() <= 1e-6 * b.abs() + 1e-6);
                }
            }
        }
    }

    #[test]
    fn simd_layer_norm_equals_scalar_within_2e_6() {
        for width in [1, 3, 4, 15, 16, 17, 67] {
            let x: Vec<f32> = (0..3 * (width + 1)).map(|i| ((i * 29) % 23) as f32 - 8.0).collect();
            let w: Vec<f32> = (0..2 * width).map(|i| 0.5 + i as f32 * 0.1).collect();
            for bias in [core::ptr::null(), w.as_ptr().wrapping_add(width)] {
                let (mut a, mut b) = (vec![0.0; 3 * width], vec![0.0; 3 * width]);
                unsafe {
                    super::layer_norm(x.as_ptr(), width + 1, w.as_ptr(), bias, a.as_mut_ptr(), 3, width, 1e-5);
                    scalar::norm::layer_norm(x.as_ptr(), width + 1, w.as_ptr(), bias, b.as_mut_ptr(), 3, width, 1e-5);
                }
                for (a, b) in a.iter().zip(&b) {
                    assert!((a - b).abs() <= 2e-6 * b.abs() + 2e-6, "{width}: {a} {b}");
                }
            }
        }
    }
}
