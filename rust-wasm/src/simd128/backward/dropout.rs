//! Dropout, whose random numbers are words of Philox4x32-10 (Salmon et al. 2011): see packages/tensor/src/philox.ts.
//!
//! ```text
//! for element e = t width + c:  y = x factor,  factor 0 where word e % 4 of block e / 4 is below the limit, else the scale
//! ```
//!
//! 1. Four blocks at once, one per lane, where 16 elements of a row begin with a block; they are turned to lie as the elements.
//! 2. The limit is a whole number rounded up: words are whole.

use crate::lanes::{F32x4, U32x4};

const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const STEPS: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
const ROUNDS: usize = 10;

/// The words of the block with counter `c`.
fn philox(mut c: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let a = MULTIPLIERS[0] as u64 * c[0] as u64;
        let b = MULTIPLIERS[1] as u64 * c[2] as u64;
        c = [(b >> 32) as u32 ^ c[1] ^ key[0], b as u32, (a >> 32) as u32 ^ c[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(STEPS[0]), key[1].wrapping_add(STEPS[1])];
    }
    c
}

/// The same words of four blocks, in the lanes.
#[inline(always)]
fn philox4(mut c: [U32x4; 4], mut key: [U32x4; 2]) -> [U32x4; 4] {
    let [m, n] = MULTIPLIERS.map(|m| U32x4::new([m; 4]));
    let [step, skip] = STEPS.map(|step| U32x4::new([step; 4]));
    for _ in 0..ROUNDS {
        let ((a_high, a), (b_high, b)) = (m.mul_wide(c[0]), n.mul_wide(c[2]));
        c = [b_high.xor(c[1]).xor(key[0]), b, a_high.xor(c[3]).xor(key[1]), a];
        key = [key[0].add(step), key[1].add(skip)];
    }
    c
}

/// `y = x factor` or `y += x factor` (`add`), factor 0 where the element's word is below `limit`, else `scale`. The counter is
/// (block, words[0], words[1], words[2]), the key (words[3], words[4]).
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
    let limit = limit.ceil() as u32;
    let (limits, scales) = (U32x4::new([limit; 4]), F32x4::splat(scale));
    let lanes = words.map(|word| U32x4::new([word; 4]));
    let fours = if width.is_multiple_of(4) { width / 16 * 16 } else { 0 };
    for t in 0..tokens {
        let (from, to) = (x.add(t * x_stride), y.add(t * y_stride));
        for c in (0..fours).step_by(16) {
            let block = ((t * width + c) / 4) as u32;
            let counter = U32x4::new([block, block.wrapping_add(1), block.wrapping_add(2), block.wrapping_add(3)]);
            let random = philox4([counter, lanes[0], lanes[1], lanes[2]], [lanes[3], lanes[4]]);
            let masks = F32x4::transpose(random.map(|words| words.at_least(limits)));
            for (k, mask) in masks.into_iter().enumerate() {
                let value = F32x4::load(from.add(c + 4 * k)).mul(scales).only(mask);
                let place = to.add(c + 4 * k);
                (if add { F32x4::load(place).add(value) } else { value }).store(place);
            }
        }
        let mut block = [0; 4];
        for c in fours..width {
            let e = t * width + c;
            if c == fours || e.is_multiple_of(4) {
                block = philox([(e / 4) as u32, words[0], words[1], words[2]], [words[3], words[4]]);
            }
            let value = if block[e % 4] >= limit { *from.add(c) * scale } else { 0.0 };
            *to.add(c) = if add { *to.add(c) + value } else { value };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_words() {
        // Random123's kat_vectors, philox4x32 with 10 rounds.
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let ones = u32::MAX;
        assert_eq!(philox([ones; 4], [ones; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }

    #[test]
    fn every_element_has_its_word_whatever_the_width() {
        let (words, limit) = ([3, 5, 7, 11, 13], 0.3 * 2f64.powi(32));
        for width in [1, 3, 4, 15, 16, 20, 33, 64] {
            let tokens = 5;
            let x: Vec<f32> = (0..tokens * width).map(|i| i as f32 + 1.0).collect();
            let mut y = vec![1f32; tokens * width];
            unsafe { dropout(x.as_ptr(), width, y.as_mut_ptr(), width, tokens, width, words, limit, 2.0, true) };
            for (e, &got) in y.iter().enumerate() {
                let block = philox([(e / 4) as u32, 3, 5, 7], [11, 13]);
                let kept = block[e % 4] as f64 >= limit;
                assert_eq!(got, 1.0 + if kept { 2.0 * x[e] } else { 0.0 }, "{width} {e}");
            }
        }
    }
}
