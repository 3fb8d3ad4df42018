/// y[t] = x[t] / sqrt(mean(x[t]^2) + eps) * w; `w` may be null.
/// # Safety
/// The pointers cover `[tokens, width]`, `[width]` or null, and `[tokens, width]`.
pub unsafe fn rms_norm(
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    y: *mut f32,
    tokens: usize,
    width: usize,
    eps: f32,
) {
    for t in 0..tokens {
        let (row, out) = (x.add(t * x_stride), y.add(t * width));
        let squares: f32 = (0..width).map(|i| *row.add(i) * *row.add(i)).sum();
        let scale = 1.0 / (squares / width as f32 + eps).sqrt();
        for i in 0..width {
            let weight = if w.is_null() { 1.0 } else { *w.add(i) };
            *out.add(i) = *row.add(i) * scale * weight;
        }
    }
}
