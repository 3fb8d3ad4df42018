/// Rows of a page of the cache.
pub const PAGE: usize = 64;
/// Numbers side by side in a panel: keys of a page lie as a matrix that is packed for the product with queries,
/// `[64 / 8][width][8]` per head; values as one packed for the product with weights, `[width / 8][64][8]` per head, the
/// last panel filled up with zeros.
pub const PANEL: usize = crate::PANEL;

/// `width` filled up to whole panels.
pub const fn padded(width: usize) -> usize {
    width.next_multiple_of(PANEL)
}

/// The arguments of attention for one segment; q, k, v and y have a row per token and head.
#[derive(Clone, Copy)]
pub struct Attention {
    /// `[tokens * heads * group, width]`.
    pub q: *const f32,
    pub q_stride: usize,
    /// `[tokens * heads, width]`.
    pub k: *const f32,
    pub k_stride: usize,
    pub v: *const f32,
    pub v_stride: usize,
    /// `[tokens * heads * group, width]`.
    pub y: *mut f32,
    /// The pages of the sequence, enough for `position + tokens` rows.
    pub pages: *const *mut f32,
    /// f32 from the start of a page to the layer's keys and values.
    pub keys: usize,
    pub values: usize,
    /// Of keys and values.
    pub heads: usize,
    /// Query heads per head.
    pub group: usize,
    pub width: usize,
    /// Rows before the first token.
    pub position: usize,
    pub tokens: usize,
    pub scale: f32,
}

impl Attention {
    /// The keys of head `h` in a page, `[PAGE / 8][width][8]`.
    /// # Safety
    /// The page exists.
    #[inline(always)]
    pub unsafe fn keys_of(&self, page: usize, h: usize) -> *mut f32 {
        (*self.pages.add(page)).add(self.keys + h * PAGE * self.width)
    }
    /// The values of head `h` in a page, `[width / 8][PAGE][8]`.
    /// # Safety
    /// The page exists.
    #[inline(always)]
    pub unsafe fn values_of(&self, page: usize, h: usize) -> *mut f32 {
        (*self.pages.add(page)).add(self.values + h * PAGE * padded(self.width))
    }
}

/// Where key `row` of a page has element `d`.
#[inline(always)]
pub fn key_at(row: usize, d: usize, width: usize) -> usize {
    (row / PANEL * width + d) * PANEL + row % PANEL
}

/// Where value `row` of a page has element `d`.
#[inline(always)]
pub fn value_at(row: usize, d: usize) -> usize {
    (d / PANEL * PAGE + row) * PANEL + d % PANEL
}

/// Puts the keys and values of the segment's tokens into the cache.
/// # Safety
/// All pointers of `a` cover what its fields say.
pub unsafe fn append(a: &Attention) {
    for t in 0..a.tokens {
        let (page, row) = ((a.position + t) / PAGE, (a.position + t) % PAGE);
        for h in 0..a.heads {
            let (keys, values) = (a.keys_of(page, h), a.values_of(page, h));
            for d in 0..a.width {
                *keys.add(key_at(row, d, a.width)) = *a.k.add((t * a.heads + h) * a.k_stride + d);
                *values.add(value_at(row, d)) = *a.v.add((t * a.heads + h) * a.v_stride + d);
            }
        }
    }
}

/// y = softmax(scale q k) v over the rows up to the token's own.
/// # Safety
/// All pointers of `a` cover what its fields say.
pub unsafe fn attention(a: &Attention) {
    append(a);
    for row in 0..a.tokens * a.heads * a.group {
        let (t, h) = (row / (a.heads * a.group), row / a.group % a.heads);
        let visible = a.position + t + 1;
        let score = |s: usize| {
            let (q, keys) = (a.q.add(row * a.q_stride), a.keys_of(s / PAGE, h));
            (0..a.width).map(|d| *q.add(d) * *keys.add(key_at(s % PAGE, d, a.width))).sum::<f32>() * a.scale
        };
        let top = (0..visible).map(score).fold(f32::NEG_INFINITY, f32::max);
        let total: f32 = (0..visible).map(|s| (score(s) - top).exp()).sum();
        for d in 0..a.width {
            let value = |s: usize| *a.values_of(s / PAGE, h).add(value_at(s % PAGE, d));
            let sum: f32 = (0..visible).map(|s| (score(s) - top).exp() * value(s)).sum();
            *a.y.add(row * a.width + d) = sum / total;
        }
    }
}
