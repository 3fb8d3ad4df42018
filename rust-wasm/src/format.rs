//! The element formats of matrices.

use crate::lanes::{F32x4, ScaledF16};

/// How a matrix element is stored.
pub trait Format {
    type Bits: Copy;
    fn to_f32(bits: Self::Bits) -> f32;
    /// [`Format::load8`] gives the elements divided by 2^`EXPONENT`.
    const EXPONENT: u32;
    /// What [`Format::load8`] needs, made before the loop.
    type Decoder: Copy;
    fn decoder() -> Self::Decoder;
    /// One column of a panel as two vectors.
    /// # Safety
    /// `p` points to 8 readable elements.
    unsafe fn load8(decoder: Self::Decoder, p: *const Self::Bits) -> (F32x4, F32x4);
    /// Where a panel's output lies in a column.
    #[inline(always)]
    fn position(output: usize) -> usize {
        output
    }
}

pub struct F32;
pub struct F16;
/// Binary16 times 2^[`RAISE`]: then the numbers that binary16 holds as subnormal ones are normal, and so are their bits
/// as f32, on which processors stumble otherwise (0.12 % of weights uniform in +-0.05, a sixth of the speed of decoding
/// on a Zen 5). For matrices whose elements are below 64, which is all but none.
pub struct RaisedF16;
pub struct Bf16;

impl Format for F32 {
    type Bits = f32;
    const EXPONENT: u32 = 0;
    #[inline(always)]
    fn to_f32(bits: f32) -> f32 {
        bits
    }
    type Decoder = ();
    #[inline(always)]
    fn decoder() {}
    #[inline(always)]
    unsafe fn load8(_: (), p: *const f32) -> (F32x4, F32x4) {
        (F32x4::load(p), F32x4::load(p.add(4)))
    }
}

impl Format for F16 {
    type Bits = u16;
    const EXPONENT: u32 = 112;
    /// Finite values only; loading refuses others.
    #[inline(always)]
    fn to_f32(bits: u16) -> f32 {
        let shifted = ((((bits as u32) << 16) as i32) >> 3) as u32 & 0x8fff_e000;
        f32::from_bits(shifted) * f32::from_bits((112 + 127) << 23)
    }
    type Decoder = ScaledF16;
    #[inline(always)]
    fn decoder() -> ScaledF16 {
        ScaledF16::prepare()
    }
    #[inline(always)]
    unsafe fn load8(decoder: ScaledF16, p: *const u16) -> (F32x4, F32x4) {
        decoder.load8(p)
    }
    /// Outputs j and j + 4 side by side: a word then gives two lanes.
    #[inline(always)]
    fn position(output: usize) -> usize {
        output % 4 * 2 + output / 4
    }
}

/// Powers of two by which [`RaisedF16`] is larger than the number it stands for.
pub const RAISE: u16 = 10;
const EXPONENT_BITS: u16 = 0x7c00;

impl RaisedF16 {
    /// The element for a binary16 number; `None` from 64 up, and for infinities and NaN.
    #[inline(always)]
    pub fn raise(bits: u16) -> Option<u16> {
        let (sign, exponent, fraction) = (bits & 0x8000, (bits & EXPONENT_BITS) >> 10, bits & 1023);
        match (exponent, fraction) {
            (0, 0) => Some(bits),
            (0, _) => {
                let top = 15 - fraction.leading_zeros() as u16;
                Some(sign | (top + 1) << 10 | (fraction << (10 - top)) & 1023)
            }
            (1..=20, _) => Some(bits + (RAISE << 10)),
            _ => None,
        }
    }

    /// Back again.
    pub fn lower(bits: u16) -> u16 {
        let (sign, exponent, fraction) = (bits & 0x8000, (bits & EXPONENT_BITS) >> 10, bits & 1023);
        match exponent {
            0 => bits,
            1..=RAISE => sign | (0x400 | fraction) >> (RAISE + 1 - exponent),
            _ => bits - (RAISE << 10),
        }
    }
}

impl Format for RaisedF16 {
    type Bits = u16;
    const EXPONENT: u32 = F16::EXPONENT - RAISE as u32;
    #[inline(always)]
    fn to_f32(bits: u16) -> f32 {
        F16::to_f32(bits) * f32::from_bits((127 - RAISE as u32) << 23)
    }
    type Decoder = ScaledF16;
    #[inline(always)]
    fn decoder() -> ScaledF16 {
        ScaledF16::prepare()
    }
    #[inline(always)]
    unsafe fn load8(decoder: ScaledF16, p: *const u16) -> (F32x4, F32x4) {
        decoder.load8(p)
    }
    #[inline(always)]
    fn position(output: usize) -> usize {
        F16::position(output)
    }
}

impl Format for Bf16 {
    type Bits = u16;
    const EXPONENT: u32 = 0;
    #[inline(always)]
    fn to_f32(bits: u16) -> f32 {
        f32::from_bits((bits as u32) << 16)
    }
    type Decoder = ();
    #[inline(always)]
    fn decoder() {}
    #[inline(always)]
    unsafe fn load8(_: (), p: *const u16) -> (F32x4, F32x4) {
        F32x4::load_bf16x8(p)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f16_is_exact_for_every_finite_pattern() {
        for bits in 0..=u16::MAX {
            let exponent = (bits >> 10) & 31;
            if exponent == 31 {
                continue;
            }
            let fraction = (bits & 1023) as f64;
            let magnitude = if exponent == 0 {
                fraction * 2f64.powi(-24)
            } else {
                (1.0 + fraction / 1024.0) * 2f64.powi(exponent as i32 - 15)
            };
            let expected = if bits >> 15 == 1 { -magnitude } else { magnitude };
            assert_eq!(F16::to_f32(bits) as f64, expected, "{bits:#06x}");
            let raised = RaisedF16::raise(bits);
            assert_eq!(raised.is_some(), magnitude < 64.0, "{bits:#06x}");
            if let Some(raised) = raised {
                assert_eq!(RaisedF16::to_f32(raised) as f64, expected, "{bits:#06x}");
                assert_eq!(RaisedF16::lower(raised), bits);
                assert!(raised & 0x7fff == 0 || raised & EXPONENT_BITS != 0, "{bits:#06x} is not normal");
            }
        }
    }
}
