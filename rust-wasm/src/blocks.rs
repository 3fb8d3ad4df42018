//! The quantised formats: blocks of GGUF files, and how eight outputs' blocks lie in memory.
//!
//! A panel is `[inputs / INPUTS]` blocks of `BYTES` bytes, each of which holds what 8 outputs have for `INPUTS` inputs:
//! the half-precision factors, the small scales, then the codes, as the kernels read them. A step is 4 inputs: one vector
//! of codes for outputs 0 to 3 and one for 4 to 7, byte `4 output + input`. Of codes below 8 bits a step has 16 bytes with
//! the lowest 4 bits of both vectors; 16 bytes with the bits above stand before the steps that they serve, so that all is
//! read front to back (processors fetch nothing ahead otherwise: a third of the speed).

use crate::format::{Format, RaisedF16, F16};
use crate::integers::I8x16;
use crate::lanes::{F32x4, ScaledF16};

/// Factors of the codes of 8 outputs, and what is subtracted from their product.
pub struct Scales {
    pub factor: (F32x4, F32x4),
    pub minimum: Option<(F32x4, F32x4)>,
}

pub trait Blocks: Copy {
    /// Of a block.
    const INPUTS: usize;
    /// Of a block in a file.
    const SOURCE: usize;
    /// Of 8 outputs' blocks in memory.
    const BYTES: usize;
    /// Inputs that share a scale.
    const GROUP: usize = 32;
    /// Codes are signed bytes; else they are 0 to 127.
    const SIGNED: bool = false;
    /// The code of zero, where it is the same for all.
    const MIDDLE: f32 = 0.0;
    /// Whether [`Scales::minimum`] is there.
    const MINIMA: bool = false;
    /// Steps that are loaded together.
    const STRIDE: usize = 2;
    /// The half-precision factors of a block, made before its groups.
    type Factors: Copy;

    /// What reading needs, made before a loop.
    fn prepare() -> Self;
    /// Puts one output's block of a file in its place in a block in memory that was zero. Factors are below 64.
    /// # Safety
    /// `source` points to `SOURCE` bytes, `block` to `BYTES`.
    unsafe fn pack(source: *const u8, output: usize, block: *mut u8);
    /// # Safety
    /// `block` points to `BYTES` bytes.
    unsafe fn factors(self, block: *const u8) -> Self::Factors;
    /// # Safety
    /// `block` points to `BYTES` bytes.
    unsafe fn scales(self, block: *const u8, factors: Self::Factors, group: usize) -> Scales;
    /// The codes of step `first + k`, outputs 0 to 3 and 4 to 7; `first` is a multiple of `STRIDE`, and `k` below it.
    /// # Safety
    /// `block` points to `BYTES` bytes.
    unsafe fn load(self, block: *const u8, first: usize, k: usize) -> (I8x16, I8x16);
}

#[derive(Clone, Copy)]
pub struct Q8_0 {
    halves: Halves,
}
#[derive(Clone, Copy)]
pub struct Q4_0 {
    halves: Halves,
    low: I8x16,
}
#[derive(Clone, Copy)]
pub struct Q4K {
    halves: Halves,
    low: I8x16,
}
#[derive(Clone, Copy)]
pub struct Q5K {
    halves: Halves,
    low: I8x16,
    high: I8x16,
}
#[derive(Clone, Copy)]
pub struct Q6K {
    halves: Halves,
    low: I8x16,
    high: I8x16,
}

/// A row of 8 half-precision factors, raised, in the order of [`F16::position`].
const FACTORS: usize = 16;

unsafe fn pack_factor(source: *const u8, output: usize, row: *mut u8) {
    let bits = (source as *const u16).read_unaligned();
    *(row as *mut u16).add(F16::position(output)) = RaisedF16::raise(bits).unwrap_or(0);
}

/// Reads half-precision factors.
#[derive(Clone, Copy)]
struct Halves {
    halves: ScaledF16,
    scale: F32x4,
}

impl Halves {
    #[inline(always)]
    fn prepare() -> Self {
        Self { halves: ScaledF16::prepare(), scale: F32x4::constant(&[(127 + RaisedF16::EXPONENT) << 23; 4]) }
    }
    #[inline(always)]
    unsafe fn load(self, row: *const u8) -> (F32x4, F32x4) {
        let (lo, hi) = self.halves.load8(row as *const u16);
        (lo.mul(self.scale), hi.mul(self.scale))
    }
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

/// Codes of 4 + `HIGH` bits: of `STEPS` steps the highest bits in 16 bytes, from the lowest place on, of each step first
/// outputs 0 to 3; then 16 bytes per step.
struct Codes<const HIGH: usize>;

impl<const HIGH: usize> Codes<HIGH> {
    const STEPS: usize = [2, 4, 2][HIGH];
    const FIRST: usize = if HIGH == 0 { 0 } else { 16 };
    const BYTES: usize = Self::FIRST + 16 * Self::STEPS;

    /// Puts 4 codes in their place.
    unsafe fn put(codes: *mut u8, step: usize, output: usize, four: u32) {
        let steps = codes.add(step / Self::STEPS * Self::BYTES + output % 4 * 4);
        let half = output / 4;
        *(steps.add(Self::FIRST + step % Self::STEPS * 16) as *mut u32) |= (four & bytes(15)) << (4 * half);
        if HIGH > 0 {
            *(steps as *mut u32) |= (four >> 4 & bytes((1 << HIGH) - 1)) << ((step % Self::STEPS * 2 + half) * HIGH);
        }
    }

    /// See [`Blocks::load`]; a stride is 2 steps. `low` is 15 in each byte, `high` has the bits above.
    #[inline(always)]
    unsafe fn load(codes: *const u8, first: usize, k: usize, low: I8x16, high: I8x16) -> (I8x16, I8x16) {
        if HIGH == 0 {
            let both = I8x16::load(codes.add((first + k) * 16));
            return (both.and(low), both.shift(4).and(low));
        }
        let steps = codes.add(first / Self::STEPS * Self::BYTES);
        let both = I8x16::load(steps.add(Self::FIRST + (first % Self::STEPS + k) * 16));
        let (lo, hi) = (both.and(low), both.shift(4).and(low));
        let above = I8x16::load(steps);
        let above = if Self::STEPS == 2 { above } else { above.shift_right((first % Self::STEPS * 2 * HIGH) as u32) };
        let shift = (2 * k * HIGH) as i32 - 4;
        (lo.or(above.shift(shift).and(high)), hi.or(above.shift(shift + HIGH as i32).and(high)))
    }
}

impl Blocks for Q8_0 {
    const INPUTS: usize = 32;
    const SOURCE: usize = 34;
    const BYTES: usize = FACTORS + 8 * 32;
    const SIGNED: bool = true;
    const STRIDE: usize = 2;
    type Factors = (F32x4, F32x4);

    #[inline(always)]
    fn prepare() -> Self {
        Self { halves: Halves::prepare() }
    }
    unsafe fn pack(source: *const u8, output: usize, block: *mut u8) {
        pack_factor(source, output, block);
        let to = block.add(FACTORS) as *mut u32;
        for step in 0..8 {
            *to.add(8 * step + output) = word(source.add(2), step);
        }
    }
    #[inline(always)]
    unsafe fn factors(self, block: *const u8) -> Self::Factors {
        self.halves.load(block)
    }
    #[inline(always)]
    unsafe fn scales(self, _: *const u8, factors: Self::Factors, _: usize) -> Scales {
        Scales { factor: factors, minimum: None }
    }
    #[inline(always)]
    unsafe fn load(self, block: *const u8, first: usize, k: usize) -> (I8x16, I8x16) {
        let codes = block.add(FACTORS + 32 * (first + k));
        (I8x16::load(codes), I8x16::load(codes.add(16)))
    }
}

impl Blocks for Q4_0 {
    const INPUTS: usize = 32;
    const SOURCE: usize = 18;
    const BYTES: usize = FACTORS + 4 * 32;
    const MIDDLE: f32 = 8.0;
    type Factors = (F32x4, F32x4);

    #[inline(always)]
    fn prepare() -> Self {
        Self { halves: Halves::prepare(), low: I8x16::constant(&[15; 16]) }
    }
    unsafe fn pack(source: *const u8, output: usize, block: *mut u8) {
        pack_factor(source, output, block);
        for step in 0..8 {
            let codes = word(source.add(2), step % 4) >> (step / 4 * 4);
            Codes::<0>::put(block.add(FACTORS), step, output, codes);
        }
    }
    #[inline(always)]
    unsafe fn factors(self, block: *const u8) -> Self::Factors {
        self.halves.load(block)
    }
    #[inline(always)]
    unsafe fn scales(self, _: *const u8, factors: Self::Factors, _: usize) -> Scales {
        Scales { factor: factors, minimum: None }
    }
    #[inline(always)]
    unsafe fn load(self, block: *const u8, first: usize, k: usize) -> (I8x16, I8x16) {
        Codes::<0>::load(block.add(FACTORS), first, k, self.low, self.low)
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
    pub unsafe fn factors(halves: Halves, block: *const u8) -> Factors {
        (halves.load(block), halves.load(block.add(FACTORS)))
    }
    #[inline(always)]
    pub unsafe fn scales(block: *const u8, (d, dmin): Factors, group: usize) -> Scales {
        let row = I8x16::load(block.add(GROUPS + 16 * group));
        Scales { factor: times(d, row.first8()), minimum: Some(times(dmin, row.last8())) }
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

    #[inline(always)]
    fn prepare() -> Self {
        Self { halves: Halves::prepare(), low: I8x16::constant(&[0x0f; 16]) }
    }
    unsafe fn pack(source: *const u8, output: usize, block: *mut u8) {
        k::pack_scales(source, output, block);
        for step in 0..64 {
            Codes::<0>::put(block.add(k::CODES), step, output, k::low(source.add(16), step));
        }
    }
    #[inline(always)]
    unsafe fn factors(self, block: *const u8) -> Self::Factors {
        k::factors(self.halves, block)
    }
    #[inline(always)]
    unsafe fn scales(self, block: *const u8, factors: Self::Factors, group: usize) -> Scales {
        k::scales(block, factors, group)
    }
    #[inline(always)]
    unsafe fn load(self, block: *const u8, first: usize, k: usize) -> (I8x16, I8x16) {
        Codes::<0>::load(block.add(k::CODES), first, k, self.low, self.low)
    }
}

impl Blocks for Q5K {
    const INPUTS: usize = 256;
    const SOURCE: usize = 176;
    const BYTES: usize = k::CODES + 5 * 256;
    const MINIMA: bool = true;
    type Factors = k::Factors;

    #[inline(always)]
    fn prepare() -> Self {
        Self { halves: Halves::prepare(), low: I8x16::constant(&[0x0f; 16]), high: I8x16::constant(&[0x10; 16]) }
    }
    unsafe fn pack(source: *const u8, output: usize, block: *mut u8) {
        k::pack_scales(source, output, block);
        for step in 0..64 {
            let high = (word(source.add(16), step % 8) >> (step / 8) & bytes(1)) << 4;
            Codes::<1>::put(block.add(k::CODES), step, output, k::low(source.add(48), step) | high);
        }
    }
    #[inline(always)]
    unsafe fn factors(self, block: *const u8) -> Self::Factors {
        k::factors(self.halves, block)
    }
    #[inline(always)]
    unsafe fn scales(self, block: *const u8, factors: Self::Factors, group: usize) -> Scales {
        k::scales(block, factors, group)
    }
    #[inline(always)]
    unsafe fn load(self, block: *const u8, first: usize, k: usize) -> (I8x16, I8x16) {
        Codes::<1>::load(block.add(k::CODES), first, k, self.low, self.high)
    }
}

const Q6K_CODES: usize = FACTORS + 16 * 8;

impl Blocks for Q6K {
    const INPUTS: usize = 256;
    const SOURCE: usize = 210;
    const BYTES: usize = Q6K_CODES + 6 * 256;
    const GROUP: usize = 16;
    const MIDDLE: f32 = 32.0;
    type Factors = (F32x4, F32x4);

    #[inline(always)]
    fn prepare() -> Self {
        Self { halves: Halves::prepare(), low: I8x16::constant(&[0x0f; 16]), high: I8x16::constant(&[0x30; 16]) }
    }
    unsafe fn pack(source: *const u8, output: usize, block: *mut u8) {
        pack_factor(source.add(208), output, block);
        for group in 0..16 {
            *block.add(FACTORS + 8 * group + output) = *source.add(192 + group);
        }
        for step in 0..64 {
            let (half, rest) = (step / 32, step % 32);
            let low = word(source, half * 16 + rest % 16) >> (rest / 16 * 4);
            let high = word(source.add(128), half * 8 + rest % 8) >> (rest / 8 * 2);
            Codes::<2>::put(block.add(Q6K_CODES), step, output, low & bytes(15) | (high & bytes(3)) << 4);
        }
    }
    #[inline(always)]
    unsafe fn factors(self, block: *const u8) -> Self::Factors {
        self.halves.load(block)
    }
    #[inline(always)]
    unsafe fn scales(self, block: *const u8, factors: Self::Factors, group: usize) -> Scales {
        let small = I8x16::load8(block.add(FACTORS + 8 * group)).first8();
        Scales { factor: times(factors, small), minimum: None }
    }
    #[inline(always)]
    unsafe fn load(self, block: *const u8, first: usize, k: usize) -> (I8x16, I8x16) {
        Codes::<2>::load(block.add(Q6K_CODES), first, k, self.low, self.high)
    }
}
