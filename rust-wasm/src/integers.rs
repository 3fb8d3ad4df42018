//! Dot products of 8-bit weights and activations of 14 bits, exact in i32: the same on every machine and in every build.
//!
//! The relaxed dot product multiplies a signed byte by one of 7 bits, and an activation q goes as two of them. Where the
//! weights have 7 bits, q = 256 high + low, signed bytes, and the sum is 256 H + L. Where the weights are the signed bytes,
//! q + 8192 = 128 high + low, and the sum is 128 H + L - 8192 S, where S sums the weights alone (once for a block of
//! tokens). Two or three dot products for 16 weights are fewer instructions than any way to widen weights to f32 takes.
//! Without relaxed SIMD both go as i16. `SIGNED` is whether the weights are signed bytes.

// Methods, not operators, as in `lanes`.
#![allow(clippy::should_implement_trait)]

/// Bytes that 4 activations take.
pub const FOUR: usize = 8;
/// The largest magnitude of an activation.
pub const LARGEST: f32 = 8191.0;

#[cfg(target_arch = "wasm32")]
mod imp {
    use super::FOUR;
    use crate::lanes::F32x4;
    use core::arch::wasm32::*;

    /// 4 outputs x 4 inputs of weights: byte `4 output + input`.
    #[derive(Clone, Copy)]
    pub struct I8x16(v128);

    impl I8x16 {
        /// # Safety
        /// `p` points to 16 readable bytes.
        #[inline(always)]
        pub unsafe fn load(p: *const u8) -> Self {
            Self(v128_load(p as *const v128))
        }
        /// # Safety
        /// `p` points to 16 writable bytes.
        #[inline(always)]
        pub unsafe fn store(self, p: *mut u8) {
            v128_store(p as *mut v128, self.0)
        }
        /// # Safety
        /// `p` points to 8 readable bytes.
        #[inline(always)]
        pub unsafe fn load8(p: *const u8) -> Self {
            Self(v128_load64_zero(p as *const u64))
        }
        /// All bits by `places` to the right, or the left where it is negative; bytes mix, so mask afterwards.
        #[inline(always)]
        pub fn shift(self, places: i32) -> Self {
            match places {
                0 => self,
                1.. => Self(u16x8_shr(self.0, places as u32)),
                _ => Self(i16x8_shl(self.0, -places as u32)),
            }
        }
        /// A constant that is loaded from memory, as [`F32x4::constant`] says.
        #[inline(always)]
        pub fn constant(byte: &'static [u8; 16]) -> Self {
            // SAFETY: a reference can be read.
            Self(unsafe { core::ptr::read_volatile(byte as *const [u8; 16] as *const v128) })
        }
        #[inline(always)]
        pub fn and(self, b: Self) -> Self {
            Self(v128_and(self.0, b.0))
        }
        /// As [`I8x16::shift`], by places that are known as it runs.
        #[inline(always)]
        pub fn shift_right(self, places: u32) -> Self {
            Self(u16x8_shr(self.0, places))
        }
        #[inline(always)]
        pub fn or(self, b: Self) -> Self {
            Self(v128_or(self.0, b.0))
        }
        /// Bytes 0 to 7 as numbers.
        #[inline(always)]
        pub fn first8(self) -> (F32x4, F32x4) {
            widen(i16x8_extend_low_i8x16(self.0))
        }
        #[inline(always)]
        pub fn last8(self) -> (F32x4, F32x4) {
            widen(i16x8_extend_high_i8x16(self.0))
        }
        /// A vector of 4 outputs for each of the 4 inputs.
        #[inline(always)]
        pub fn columns(self) -> [F32x4; 4] {
            let turned = i8x16_shuffle::<0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15>(self.0, self.0);
            let ((a, b), (c, d)) = (Self(turned).first8(), Self(turned).last8());
            [a, b, c, d]
        }
    }

    #[inline(always)]
    fn widen(words: v128) -> (F32x4, F32x4) {
        (
            F32x4(f32x4_convert_i32x4(i32x4_extend_low_i16x8(words))),
            F32x4(f32x4_convert_i32x4(i32x4_extend_high_i16x8(words))),
        )
    }

    /// Four activations, beside themselves for 4 outputs.
    #[derive(Clone, Copy)]
    pub struct Four {
        #[cfg(target_feature = "relaxed-simd")]
        high: v128,
        #[cfg(target_feature = "relaxed-simd")]
        low: v128,
        #[cfg(not(target_feature = "relaxed-simd"))]
        all: v128,
    }

    impl Four {
        /// Rounds 4 numbers of at most `LARGEST` and stores them; gives them rounded (plus 8192, as integers).
        /// # Safety
        /// `to` points to `FOUR` writable bytes.
        #[inline(always)]
        pub unsafe fn store<const SIGNED: bool>(x: F32x4, to: *mut u8) -> Sum {
            // From 1.5 * 2^23 on, f32 are whole numbers, and these stand in the lowest bits.
            let whole = f32x4_add(x.0, f32x4_splat(12_582_912.0 + 8192.0));
            let q = v128_and(whole, i32x4_splat(0x3fff));
            #[cfg(target_feature = "relaxed-simd")]
            let packed = {
                // Without the offset, high is rounded to nearest, so that low is a signed byte.
                let (high, low) = if SIGNED {
                    (u32x4_shr(q, 7), v128_and(q, i32x4_splat(127)))
                } else {
                    (i32x4_shr(i32x4_sub(q, i32x4_splat(8192 - 128)), 8), q)
                };
                i8x16_shuffle::<0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0>(high, low)
            };
            #[cfg(not(target_feature = "relaxed-simd"))]
            let packed = {
                let signed = i32x4_sub(q, i32x4_splat(8192));
                i16x8_narrow_i32x4(signed, signed)
            };
            v128_store64_lane::<0>(packed, to as *mut u64);
            Sum(q)
        }
        /// # Safety
        /// `p` points to `FOUR` bytes that [`Four::store`] wrote.
        #[inline(always)]
        pub unsafe fn load(p: *const u8) -> Self {
            const { assert!(FOUR == 8) };
            #[cfg(target_feature = "relaxed-simd")]
            return Self { high: v128_load32_splat(p as *const u32), low: v128_load32_splat(p.add(4) as *const u32) };
            #[cfg(not(target_feature = "relaxed-simd"))]
            Self { all: v128_load64_splat(p as *const u64) }
        }
    }

    /// Whole numbers that are added up.
    #[derive(Clone, Copy)]
    pub struct Sum(v128);

    impl Sum {
        #[inline(always)]
        pub fn zero() -> Self {
            Self(i32x4_splat(0))
        }
        #[inline(always)]
        pub fn add(self, b: Self) -> Self {
            Self(i32x4_add(self.0, b.0))
        }
        /// Of the four lanes, as a number.
        #[inline(always)]
        pub fn total(self) -> i32 {
            let a = i32x4_add(self.0, i32x4_shuffle::<2, 3, 0, 1>(self.0, self.0));
            i32x4_extract_lane::<0>(a) + i32x4_extract_lane::<1>(a)
        }
        /// Adds the weights of 4 outputs, where [`Sum::offset`] needs them.
        #[cfg(target_feature = "relaxed-simd")]
        #[inline(always)]
        pub fn add_weights(self, w: I8x16, ones: I8x16) -> Self {
            Self(i32x4_relaxed_dot_i8x16_i7x16_add(w.0, ones.0, self.0))
        }
        #[cfg(not(target_feature = "relaxed-simd"))]
        #[inline(always)]
        pub fn add_weights(self, _: I8x16, _: I8x16) -> Self {
            self
        }
        /// What dot products of signed weights with this sum are off by, with the sign that makes them right.
        #[inline(always)]
        pub fn offset(self) -> Self {
            Self(i32x4_neg(i32x4_shl(self.0, 13)))
        }
        /// # Safety
        /// `p` points to 4 readable i32.
        #[inline(always)]
        pub unsafe fn load(p: *const i32) -> Self {
            Self(v128_load(p as *const v128))
        }
        /// # Safety
        /// `p` points to 4 writable i32.
        #[inline(always)]
        pub unsafe fn store(self, p: *mut i32) {
            v128_store(p as *mut v128, self.0)
        }
    }

    /// The running dot products of 4 outputs.
    #[derive(Clone, Copy)]
    pub struct Dots {
        a: v128,
        b: v128,
    }

    impl Dots {
        /// From nothing, or from an [`Sum::offset`] on.
        #[inline(always)]
        pub fn from(offset: Sum) -> Self {
            Self { a: i32x4_splat(0), b: offset.0 }
        }
        /// Puts an offset in afterwards.
        #[inline(always)]
        pub fn plus(self, offset: Sum) -> Self {
            Self { b: i32x4_add(self.b, offset.0), ..self }
        }
        #[cfg(target_feature = "relaxed-simd")]
        #[inline(always)]
        pub fn add<const SIGNED: bool>(self, w: I8x16, x: Four) -> Self {
            if SIGNED {
                return Self {
                    a: i32x4_relaxed_dot_i8x16_i7x16_add(w.0, x.high, self.a),
                    b: i32x4_relaxed_dot_i8x16_i7x16_add(w.0, x.low, self.b),
                };
            }
            Self {
                a: i32x4_relaxed_dot_i8x16_i7x16_add(x.high, w.0, self.a),
                b: i32x4_relaxed_dot_i8x16_i7x16_add(x.low, w.0, self.b),
            }
        }
        #[cfg(target_feature = "relaxed-simd")]
        #[inline(always)]
        pub fn finish<const SIGNED: bool>(self) -> F32x4 {
            F32x4(f32x4_convert_i32x4(i32x4_add(i32x4_shl(self.a, if SIGNED { 7 } else { 8 }), self.b)))
        }
        #[cfg(not(target_feature = "relaxed-simd"))]
        #[inline(always)]
        pub fn add<const SIGNED: bool>(self, w: I8x16, x: Four) -> Self {
            Self {
                a: i32x4_add(self.a, i32x4_dot_i16x8(i16x8_extend_low_i8x16(w.0), x.all)),
                b: i32x4_add(self.b, i32x4_dot_i16x8(i16x8_extend_high_i8x16(w.0), x.all)),
            }
        }
        #[cfg(not(target_feature = "relaxed-simd"))]
        #[inline(always)]
        pub fn finish<const SIGNED: bool>(self) -> F32x4 {
            let even = i32x4_shuffle::<0, 2, 4, 6>(self.a, self.b);
            F32x4(f32x4_convert_i32x4(i32x4_add(even, i32x4_shuffle::<1, 3, 5, 7>(self.a, self.b))))
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    use crate::lanes::F32x4;

    #[derive(Clone, Copy)]
    pub struct I8x16([u8; 16]);

    impl I8x16 {
        /// # Safety
        /// `p` points to 16 readable bytes.
        pub unsafe fn load(p: *const u8) -> Self {
            Self((p as *const [u8; 16]).read())
        }
        /// # Safety
        /// `p` points to 16 writable bytes.
        pub unsafe fn store(self, p: *mut u8) {
            (p as *mut [u8; 16]).write(self.0)
        }
        /// # Safety
        /// `p` points to 8 readable bytes.
        pub unsafe fn load8(p: *const u8) -> Self {
            Self(core::array::from_fn(|i| if i < 8 { *p.add(i) } else { 0 }))
        }
        pub fn shift(self, places: i32) -> Self {
            let all = u128::from_le_bytes(self.0);
            Self(if places < 0 { all << -places } else { all >> places }.to_le_bytes())
        }
        pub fn constant(bytes: &'static [u8; 16]) -> Self {
            Self(*bytes)
        }
        pub fn and(self, b: Self) -> Self {
            Self(core::array::from_fn(|i| self.0[i] & b.0[i]))
        }
        pub fn shift_right(self, places: u32) -> Self {
            self.shift(places as i32)
        }
        pub fn or(self, b: Self) -> Self {
            Self(core::array::from_fn(|i| self.0[i] | b.0[i]))
        }
        fn four(self, at: impl Fn(usize) -> usize) -> F32x4 {
            F32x4(core::array::from_fn(|i| self.0[at(i)] as i8 as f32))
        }
        pub fn first8(self) -> (F32x4, F32x4) {
            (self.four(|i| i), self.four(|i| i + 4))
        }
        pub fn last8(self) -> (F32x4, F32x4) {
            (self.four(|i| i + 8), self.four(|i| i + 12))
        }
        pub fn columns(self) -> [F32x4; 4] {
            core::array::from_fn(|input| self.four(|output| 4 * output + input))
        }
    }

    #[derive(Clone, Copy)]
    pub struct Four([i16; 4]);

    impl Four {
        /// # Safety
        /// `to` points to `FOUR` writable bytes.
        pub unsafe fn store<const SIGNED: bool>(x: F32x4, to: *mut u8) -> Sum {
            let q = x.0.map(|x| x.round_ties_even() as i16);
            (to as *mut [i16; 4]).write_unaligned(q);
            Sum(q.map(|q| q as i32 + 8192))
        }
        /// # Safety
        /// `p` points to `FOUR` bytes that [`Four::store`] wrote.
        pub unsafe fn load(p: *const u8) -> Self {
            Self((p as *const [i16; 4]).read_unaligned())
        }
    }

    #[derive(Clone, Copy)]
    pub struct Sum([i32; 4]);

    impl Sum {
        pub fn zero() -> Self {
            Self([0; 4])
        }
        pub fn add(self, b: Self) -> Self {
            Self(core::array::from_fn(|i| self.0[i] + b.0[i]))
        }
        pub fn total(self) -> i32 {
            self.0.iter().sum()
        }
        pub fn add_weights(self, _: I8x16, _: I8x16) -> Self {
            self
        }
        pub fn offset(self) -> Self {
            self
        }
        /// # Safety
        /// `p` points to 4 readable i32.
        pub unsafe fn load(p: *const i32) -> Self {
            Self((p as *const [i32; 4]).read_unaligned())
        }
        /// # Safety
        /// `p` points to 4 writable i32.
        pub unsafe fn store(self, p: *mut i32) {
            (p as *mut [i32; 4]).write_unaligned(self.0)
        }
    }

    #[derive(Clone, Copy)]
    pub struct Dots([i32; 4]);

    impl Dots {
        pub fn from(offset: Sum) -> Self {
            Self(offset.0)
        }
        pub fn plus(self, offset: Sum) -> Self {
            Self(core::array::from_fn(|o| self.0[o] + offset.0[o]))
        }
        pub fn add<const SIGNED: bool>(self, w: I8x16, x: Four) -> Self {
            let dot = |o: usize| (0..4).map(|i| w.0[4 * o + i] as i8 as i32 * x.0[i] as i32).sum::<i32>();
            Self(core::array::from_fn(|o| self.0[o] + dot(o)))
        }
        pub fn finish<const SIGNED: bool>(self) -> F32x4 {
            F32x4(self.0.map(|sum| sum as f32))
        }
    }
}

pub use imp::{Dots, Four, I8x16, Sum};
