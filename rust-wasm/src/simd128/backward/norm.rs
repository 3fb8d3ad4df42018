use crate::lanes::F32x4;

/// With r = 1 / sqrt(mean(x^2) + eps) of each part and g = dy w: `dx += r g - r^3 mean(g x) x`, `dw += dy x r`. w, dx and dw
/// may be null; w and dw repeat after `w_len` columns.
/// # Safety
/// As [`crate::simd128::norm::rms_norm`]; dw points to `w_len` f32.
#[allow(clippy::too_many_arguments)]
pub unsafe fn rms_norm(
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    w_len: usize,
    dy: *const f32,
    dy_stride: usize,
    dx: *mut f32,
    dx_stride: usize,
    dw: *mut f32,
    tokens: usize,
    width: usize,
    groups: usize,
    eps: f32,
) {
    let one = F32x4::splat(1.0);
    for part in 0..tokens * groups {
        let (t, g) = (part / groups, part % groups);
        let row = x.add(t * x_stride + g * width);
        let slopes = dy.add(t * dy_stride + g * width);
        let at = g * width % w_len;
        let (mut squares, mut dot) = (F32x4::splat(0.0), F32x4::splat(0.0));
        for c in (0..width).step_by(4) {
            let v = F32x4::load_first(row.add(c), width - c);
            let scale = if w.is_null() { one } else { F32x4::load_first(w.add(at + c), width - c) };
            squares = v.mul_add(v, squares);
            dot = v.mul_add(scale.mul(F32x4::load_first(slopes.add(c), width - c)), dot);
        }
        let r = 1.0 / (squares.sum() / width as f32 + eps).sqrt();
        let (factor, turn) = (F32x4::splat(r), F32x4::splat(-r * r * r * dot.sum() / width as f32));
        for c in (0..width).step_by(4) {
            let count = width - c;
            let v = F32x4::load_first(row.add(c), count);
            let slope = F32x4::load_first(slopes.add(c), count);
            if !dx.is_null() {
                let scale = if w.is_null() { one } else { F32x4::load_first(w.add(at + c), count) };
                let to = dx.add(t * dx_stride + g * width + c);
                let sum = factor.mul(slope.mul(scale)).add(turn.mul(v));
                sum.add(F32x4::load_first(to, count)).store_first(to, count);
            }
            if !dw.is_null() {
                let to = dw.add(at + c);
                slope.mul(v).mul_add(factor, F32x4::load_first(to, count)).store_first(to, count);
            }
        }
    }
}

/// With n the normed x and g = dy w: `dx += (g - mean(g) - n mean(g n)) / root`, `dw += dy n`, `dbias += dy`. dx, dw and dbias
/// may be null.
/// # Safety
/// The pointers cover `[tokens, width]` in rows as far apart as their strides, and `[width]`.
#[allow(clippy::too_many_arguments)]
pub unsafe fn layer_norm(
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    dy: *const f32,
    dy_stride: usize,
    dx: *mut f32,
    dx_stride: usize,
    dw: *mut f32,
    dbias: *mut f32,
    tokens: usize,
    width: usize,
    eps: f32,
) {
    for t in 0..tokens {
        let (row, slopes) = (x.add(t * x_stride), dy.add(t * dy_stride));
        let (mut sum, mut squares, mut mean_g, mut mean_gn) = (0f32, 0f32, 0f32, 0f32);
        for c in 0..width {
            sum += *row.add(c);
        }
        let mean = sum / width as f32;
        for c in 0..width {
            squares += (*row.add(c) - mean) * (*row.add(c) - mean);
        }
        let scale = 1.0 / (squares / width as f32 + eps).sqrt();
        for c in 0..width {
            let g = *slopes.add(c) * *w.add(c);
            mean_g += g;
            mean_gn += g * (*row.add(c) - mean) * scale;
        }
        let (mean_g, mean_gn) = (mean_g / width as f32, mean_gn / width as f32);
        for c in 0..width {
            let (slope, normed) = (*slopes.add(c), (*row.add(c) - mean) * scale);
            if !dx.is_null() {
                *dx.add(t * dx_stride + c) += (slope * *w.add(c) - mean_g - normed * mean_gn) * scale;
            }
            if !dw.is_null() {
                *dw.add(c) += slope * normed;
            }
            if !dbias.is_null() {
                *dbias.add(c) += slope;
            }
        }
    }
}
