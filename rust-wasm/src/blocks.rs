//! The quantised formats: blocks of GGUF files, and how eight outputs' blocks lie in memory.
//!
//! A panel is `[inputs / INPUTS]` blocks of `BYTES` bytes, each of which holds what 8 outputs have for `INPUTS` inputs:
//! the half-precision factors, the small scales, then the codes, as the kernels read them. A step is 4 inputs: one vector
//! of codes for outputs 0 to 3 and one for 4 to 7, byte `4 output + input`. Codes below 8 bits lie in planes (see
//! [`Plane`]), of which a step's two vectors are two places in the same 16 bytes.

use crate::format::{Format, RaisedF16, F16};
use crate::integers::I8x16;
use crate::lanes::{F32x4, ScaledF16};

/// Factors of the codes of 8 outputs, and what is subtracted from their product.
pub struct Scales {
    pub factor: (F32x4, F32x4),
    /// Only where [`Blocks::MINIMA`].
    pub minimum: (F32x4, F32x4),
}

pub trait Blocks {
    /// Of a block.
    const INPUTS: usize;
    /// Of a block in a file.
    const SOURCE: usize;
    /// Of 8 outputs' blocks in memory.
    const BYTES: usize;
    /// Inputs that share a scale.
    const GROUP: usize = 32;
    const MINIMA: bool = false;
    /// The half-precision factors of a block, made before its groups.
    type Factors: Copy;

    /// Puts one output's block of a file in its place in a block in memory that was zero. Factors are below 64.
    /// # Safety
    /// `source` points to `SOURCE` bytes, `block` to `BYTES`.
    unsafe fn pack(source: *const u8, output: usize, block: *mut u8);
    /// # Safety
    /// `block` points to `BYTES` bytes.
    unsafe fn factors(block: *const u8) -> Self::Factors;
    /// # Safety
    /// `block` points to `BYTES` bytes.
    unsafe fn scales(block: *const u8, factors: Self::Factors, group: usize) -> Scales;
    /// The codes of step `group * GROUP / 4 + k`, outputs 0 to 3 and 4 to 7.
    /// # Safety
    /// `block` points to `BYTES` bytes.
    unsafe fn load(block: *const u8, group: usize, k: usize) -> (I8x16, I8x16);
}

pub struct Q8_0;
pub struct Q4_0;
pub struct Q4K;
pub struct Q5K;
pub struct Q6K;

/// A row of 8 half-precision factors, raised, in the order of [`F16::position`].
const FACTORS: usize = 16;

unsafe fn pack_factor(source: *const u8, output: usize, row: *mut u8) {
    let bits = (source as *const u16).read_unaligned();
    *(row as *mut u16).add(F16::position(output)) = RaisedF16::raise(bits).unwrap_or(0);
}

#[inline(always)]
unsafe fn load_factors(row: *const u8) -> (F32x4, F32x4) {
    let (lo, hi) = ScaledF16::prepare().load8(row as *const u16);
    let scale = F32x4::splat(f32::from_bits((127 + RaisedF16::EXPONENT) << 23));
    (lo.mul(scale), hi.mul(scale))
}

#[inline(always)]
fn times(a: (F32x4, F32x4), b: (F32x4, F32x4)) -> (F32x4, F32x4) {
    (a.0.mul(b.0), a.1.mul(b.1))
}

unsafe fn word(source: *const u8, i: usize) -> u32 {
    (source as *const u32).add(i).read_unaligned()
}

/// The lowest bits of each byte.
const fn bytes(bits: u32) -> u32 {
    bits * 0x0101_0101
}

/// `BITS` of each code. 16 bytes hold 4 / BITS steps, from the lowest bits on; of each, first outputs 0 to 3.
struct Plane<const BITS: usize>;

impl<const BITS: usize> Plane<BITS> {
    const STEPS: usize = 4 / BITS;

    /// Puts the lowest bits of 4 codes in their place.
    unsafe fn put(plane: *mut u8, step: usize, output: usize, codes: u32) {
        let shift = (step % Self::STEPS) * 2 * BITS + output / 4 * BITS;
        let to = plane.add(step / Self::STEPS * 16 + output % 4 * 4) as *mut u32;
        *to |= (codes & bytes((1 << BITS) - 1)) << shift;
    }

    /// Both vectors of a step, the bits of each code from bit `at` on; `step` is `8 * eight + k`.
    #[inline(always)]
    unsafe fn load(plane: *const u8, eight: usize, k: usize, at: usize) -> (I8x16, I8x16) {
        let all = I8x16::load(plane.add((eight * (8 / Self::STEPS) + k / Self::STEPS) * 16));
        let shift = (k % Self::STEPS * 2 * BITS) as i32 - at as i32;
        let mask = ((1 << BITS) - 1) << at;
        (all.shift(shift).mask(mask as u8), all.shift(shift + BITS as i32).mask(mask as u8))
    }
}

#[inline(always)]
fn joined(a: (I8x16, I8x16), b: (I8x16, I8x16)) -> (I8x16, I8x16) {
    (a.0.or(b.0), a.1.or(b.1))
}

impl Blocks for Q8_0 {
    const INPUTS: usize = 32;
    const SOURCE: usize = 34;
    const BYTES: usize = FACTORS + 8 * 32;
    type Factors = (F32x4, F32x4);

    unsafe fn pack(source: *const u8, output: usize, block: *mut u8) {
        pack_factor(source, output, block);
        let to = block.add(FACTORS) as *mut u32;
        for step in 0..8 {
            *to.add(8 * step + output) = word(source.add(2), step);
        }
    }
    #[inline(always)]
    unsafe fn factors(block: *const u8) -> Self::Factors {
        load_factors(block)
    }
    #[inline(always)]
    unsafe fn scales(_: *const u8, factors: Self::Factors, _: usize) -> Scales {
        Scales { factor: factors, minimum: factors }
    }
    #[inline(always)]
    unsafe fn load(block: *const u8, _: usize, k: usize) -> (I8x16, I8x16) {
        let codes = block.add(FACTORS + 32 * k);
        (I8x16::load(codes), I8x16::load(codes.add(16)))
    }
}

/// Codes lie in two's complement; as the upper halves of bytes they are signed, and 16 times as large.
impl Blocks for Q4_0 {
    const INPUTS: usize = 32;
    const SOURCE: usize = 18;
    const BYTES: usize = FACTORS + 4 * 32;
    type Factors = (F32x4, F32x4);

    unsafe fn pack(source: *const u8, output: usize, block: *mut u8) {
        pack_factor(source, output, block);
        for step in 0..8 {
            let codes = word(source.add(2), step % 4) >> (step / 4 * 4);
            Plane::<4>::put(block.add(FACTORS), step, output, codes ^ bytes(8));
        }
    }
    #[inline(always)]
    unsafe fn factors(block: *const u8) -> Self::Factors {
        let sixteenth = F32x4::splat(1.0 / 16.0);
        times(load_factors(block), (sixteenth, sixteenth))
    }
    #[inline(always)]
    unsafe fn scales(_: *const u8, factors: Self::Factors, _: usize) -> Scales {
        Scales { factor: factors, minimum: factors }
    }
    #[inline(always)]
    unsafe fn load(block: *const u8, _: usize, k: usize) -> (I8x16, I8x16) {
        Plane::<4>::load(block.add(FACTORS), 0, k, 4)
    }
}

/// What Q4_K and Q5_K share: scales and minima as bytes, 8 of each per group, where a file has 6 bits of each.
mod k {
    use super::*;

    pub const GROUPS: usize = 2 * FACTORS;
    pub const CODES: usize = GROUPS + 8 * 16;

    pub unsafe fn pack_scales(source: *const u8, output: usize, block: *mut u8) {
        pack_factor(source, output, block);
        pack_factor(source.add(2), output, block.add(FACTORS));
        let packed = |i: usize| *source.add(4 + i);
        for j in 0..8 {
            let (scale, minimum) = if j < 4 {
                (packed(j) & 63, packed(j + 4) & 63)
            } else {
                (packed(j + 4) & 15 | packed(j - 4) >> 6 << 4, packed(j + 4) >> 4 | packed(j) >> 6 << 4)
            };
            let row = block.add(GROUPS + 16 * j + output);
            *row = scale;
            *row.add(8) = minimum;
        }
    }

    pub type Factors = ((F32x4, F32x4), (F32x4, F32x4));

    #[inline(always)]
    pub unsafe fn factors(block: *const u8) -> Factors {
        (load_factors(block), load_factors(block.add(FACTORS)))
    }
    #[inline(always)]
    pub unsafe fn scales(block: *const u8, (d, dmin): Factors, group: usize) -> Scales {
        let row = I8x16::load(block.add(GROUPS + 16 * group));
        Scales { factor: times(d, row.first8()), minimum: times(dmin, row.last8()) }
    }
    /// Four codes of a step, of which each byte of the file holds j and j + 32 of its 64.
    pub unsafe fn low(source: *const u8, step: usize) -> u32 {
        word(source, step / 16 * 8 + step % 8) >> (step / 8 % 2 * 4) & bytes(15)
    }
}

impl Blocks for Q4K {
    const INPUTS: usize = 256;
    const SOURCE: usize = 144;
    const BYTES: usize = k::CODES + 4 * 256;
    const MINIMA: bool = true;
    type Factors = k::Factors;

    unsafe fn pack(source: *const u8, output: usize, block: *mut u8) {
        k::pack_scales(source, output, block);
        for step in 0..64 {
            Plane::<4>::put(block.add(k::CODES), step, output, k::low(source.add(16), step));
        }
    }
    #[inline(always)]
    unsafe fn factors(block: *const u8) -> Self::Factors {
        k::factors(block)
    }
    #[inline(always)]
    unsafe fn scales(block: *const u8, factors: Self::Factors, group: usize) -> Scales {
        k::scales(block, factors, group)
    }
    #[inline(always)]
    unsafe fn load(block: *const u8, group: usize, k: usize) -> (I8x16, I8x16) {
        Plane::<4>::load(block.add(k::CODES), group, k, 0)
    }
}

impl Blocks for Q5K {
    const INPUTS: usize = 256;
    const SOURCE: usize = 176;
    const BYTES: usize = k::CODES + 5 * 256;
    const MINIMA: bool = true;
    type Factors = k::Factors;

    unsafe fn pack(source: *const u8, output: usize, block: *mut u8) {
        k::pack_scales(source, output, block);
        let codes = block.add(k::CODES);
        for step in 0..64 {
            Plane::<4>::put(codes, step, output, k::low(source.add(48), step));
            Plane::<1>::put(codes.add(4 * 256), step, output, word(source.add(16), step % 8) >> (step / 8));
        }
    }
    #[inline(always)]
    unsafe fn factors(block: *const u8) -> Self::Factors {
        k::factors(block)
    }
    #[inline(always)]
    unsafe fn scales(block: *const u8, factors: Self::Factors, group: usize) -> Scales {
        k::scales(block, factors, group)
    }
    #[inline(always)]
    unsafe fn load(block: *const u8, group: usize, k: usize) -> (I8x16, I8x16) {
        let codes = block.add(k::CODES);
        joined(Plane::<4>::load(codes, group, k, 0), Plane::<1>::load(codes.add(4 * 256), group, k, 4))
    }
}

const Q6K_CODES: usize = FACTORS + 16 * 8;

impl Blocks for Q6K {
    const INPUTS: usize = 256;
    const SOURCE: usize = 210;
    const BYTES: usize = Q6K_CODES + 6 * 256;
    const GROUP: usize = 16;
    type Factors = (F32x4, F32x4);

    unsafe fn pack(source: *const u8, output: usize, block: *mut u8) {
        pack_factor(source.add(208), output, block);
        for group in 0..16 {
            *block.add(FACTORS + 8 * group + output) = *source.add(192 + group);
        }
        let codes = block.add(Q6K_CODES);
        for step in 0..64 {
            let (half, rest) = (step / 32, step % 32);
            let low = word(source, half * 16 + rest % 16) >> (rest / 16 * 4);
            let high = word(source.add(128), half * 8 + rest % 8) >> (rest / 8 * 2);
            Plane::<4>::put(codes, step, output, low);
            Plane::<2>::put(codes.add(4 * 256), step, output, high);
        }
    }
    #[inline(always)]
    unsafe fn factors(block: *const u8) -> Self::Factors {
        load_factors(block)
    }
    #[inline(always)]
    unsafe fn scales(block: *const u8, factors: Self::Factors, group: usize) -> Scales {
        let small = I8x16::load8(block.add(FACTORS + 8 * group)).first8();
        Scales { factor: times(factors, small), minimum: factors }
    }
    #[inline(always)]
    unsafe fn load(block: *const u8, group: usize, k: usize) -> (I8x16, I8x16) {
        let codes = block.add(Q6K_CODES);
        // 4 steps of the 8 that a place in the planes counts.
        let low = Plane::<4>::load(codes.add(group * 64), 0, k, 0);
        let high = Plane::<2>::load(codes.add(4 * 256 + group * 32), 0, k, 4);
        let (lo, hi) = joined(low, high);
        (lo.minus(32), hi.minus(32))
    }
}
