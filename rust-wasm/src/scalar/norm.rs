/// y[t] = x[t] / sqrt(mean(x[t]^2) + eps) * w, over each of `groups` parts of `width` columns; `w` may be null; its
/// `w_len` weights, whole parts, repeat along the columns.
/// # Safety
/// The pointers cover `[tokens, groups * width]`, `[w_len]` or null, and what x covers.
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
        let squares: f32 = (0..width).map(|i| *row.add(i) * *row.add(i)).sum();
        let scale = 1.0 / (squares / width as f32 + eps).sqrt();
        for i in 0..width {
            let weight = if w.is_null() { 1.0 } else { *w.add((g * width + i) % w_len) };
            *out.add(i) = *row.add(i) * scale * weight;
        }
    }
}

/// y[t] = (x[t] - mean) / sqrt(var + eps) * w + bias; `bias` may be null.
/// # Safety
/// The pointers cover `[tokens, width]` each, x with its stride, and `[width]`.
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
        let mean = (0..width).map(|i| *row.add(i)).sum::<f32>() / width as f32;
        let squares: f32 = (0..width).map(|i| (*row.add(i) - mean) * (*row.add(i) - mean)).sum();
        let scale = 1.0 / (squares / width as f32 + eps).sqrt();
        for i in 0..width {
            let offset = if bias.is_null() { 0.0 } else { *bias.add(i) };
            *out.add(i) = (*row.add(i) - mean) * scale * *w.add(i) + offset;
        }
    }
}
