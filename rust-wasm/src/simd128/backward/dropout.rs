/// Philox4x32-10 (Salmon et al. 2011): see packages/tensor/src/philox.ts.
fn philox(mut c: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = 0xd251_1f53u64 * c[0] as u64;
        let b = 0xcd9e_8d57u64 * c[2] as u64;
        c = [(b >> 32) as u32 ^ c[1] ^ key[0], b as u32, (a >> 32) as u32 ^ c[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
    }
    c
}

/// `y = x factor` or `y += x factor` (`add`), factor 0 where word e % 4 of block e / 4, e = t width + c, is below `limit`,
/// else `scale`. The counter is (block, words[0], words[1], words[2]), the key (words[3], words[4]).
/// # Safety
/// The pointers cover `[tokens, width]` in rows as far apart as their strides.
#[allow(clippy::too_many_arguments)]
pub unsafe fn dropout(
    x: *const f32,
    x_stride: usize,
    y: *mut f32,
    y_stride: usize,
    tokens: usize,
    width: usize,
    words: [u32; 5],
    limit: f64,
    scale: f32,
    add: bool,
) {
    let mut block = [0; 4];
    let mut e = 0usize;
    for t in 0..tokens {
        for c in 0..width {
            if e.is_multiple_of(4) {
                block = philox([(e / 4) as u32, words[0], words[1], words[2]], [words[3], words[4]]);
            }
            let kept = block[e % 4] as f64 >= limit;
            let value = if kept { *x.add(t * x_stride + c) * scale } else { 0.0 };
            let to = y.add(t * y_stride + c);
            *to = if add { *to + value } else { value };
            e += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn philox_gives_the_published_words() {
        // Random123's kat_vectors, philox4x32 with 10 rounds.
        assert_eq!(super::philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let ones = u32::MAX;
        assert_eq!(super::philox([ones; 4], [ones; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }
}
