//! The element formats of matrices.

use crate::lanes::F32x4;

/// How a matrix element is stored.
pub trait Format {
    type Bits: Copy;
    fn to_f32(bits: Self::Bits) -> f32;
    /// [`Format::load8`] gives the elements divided by 2^`EXPONENT`.
    const EXPONENT: u32;
    /// One column of a panel as two vectors.
    /// # Safety
    /// `p` points to 8 readable elements.
    unsafe fn load8(p: *const Self::Bits) -> (F32x4, F32x4);
}

pub struct F32;
pub struct F16;
pub struct Bf16;

impl Format for F32 {
    type Bits = f32;
    const EXPONENT: u32 = 0;
    #[inline(always)]
    fn to_f32(bits: f32) -> f32 {
        bits
    }
    #[inline(always)]
    unsafe fn load8(p: *const f32) -> (F32x4, F32x4) {
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
    #[inline(always)]
    unsafe fn load8(p: *const u16) -> (F32x4, F32x4) {
        F32x4::load_scaled_f16x8(p)
    }
}

impl Format for Bf16 {
    type Bits = u16;
    const EXPONENT: u32 = 0;
    #[inline(always)]
    fn to_f32(bits: u16) -> f32 {
        f32::from_bits((bits as u32) << 16)
    }
    #[inline(always)]
    unsafe fn load8(p: *const u16) -> (F32x4, F32x4) {
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
        }
    }
}
