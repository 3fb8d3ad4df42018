/// Pair i of every row turned: y_a = x_a cos - x_b sin, y_b = x_b cos + x_a sin; (a, b) = (i, i + turned), or
/// (2 i, 2 i + 1) with `pairs`. Columns past the pairs stay. `table` holds cos and sin per token, `[tokens][2][turned]`.
/// # Safety
/// The pointers cover `[tokens * heads, width]` each, x with its stride, and the table.
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
    for row in 0..tokens * heads {
        let (from, to) = (x.add(row * x_stride), y.add(row * width));
        let cos = table.add(row / heads * 2 * turned);
        for i in 0..turned {
            let (a, b) = if pairs { (2 * i, 2 * i + 1) } else { (i, i + turned) };
            turn(from, to, a, b, *cos.add(i), *cos.add(turned + i));
        }
        for c in 2 * turned..width {
            *to.add(c) = *from.add(c);
        }
    }
}

/// One pair.
/// # Safety
/// `a` and `b` lie within the rows.
#[inline(always)]
pub unsafe fn turn(from: *const f32, to: *mut f32, a: usize, b: usize, cos: f32, sin: f32) {
    let (one, other) = (*from.add(a), *from.add(b));
    *to.add(a) = one * cos - other * sin;
    *to.add(b) = other * cos + one * sin;
}
