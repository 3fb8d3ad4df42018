//! Four f32 lanes. On WebAssembly each method is one instruction (or the two or three that stand in its comment);
//! elsewhere the same arithmetic on an array, so that `cargo test` runs the SIMD kernels natively.

// Methods, not operators: each call stands for an instruction.
#![allow(clippy::should_implement_trait)]

#[cfg(target_arch = "wasm32")]
mod imp {
    use core::arch::wasm32::*;

    #[derive(Clone, Copy)]
    pub struct F32x4(pub(crate) v128);

    impl F32x4 {
        #[inline(always)]
        pub fn splat(x: f32) -> Self {
            Self(f32x4_splat(x))
        }
        /// # Safety
        /// `p` points to 4 readable f32, of any alignment.
        #[inline(always)]
        pub unsafe fn load(p: *const f32) -> Self {
            Self(v128_load(p as *const v128))
        }
        /// # Safety
        /// `p` points to 4 writable f32, of any alignment.
        #[inline(always)]
        pub unsafe fn store(self, p: *mut f32) {
            v128_store(p as *mut v128, self.0)
        }
        /// All lanes from one f32.
        /// # Safety
        /// `p` points to a readable f32.
        #[inline(always)]
        pub unsafe fn load_splat(p: *const f32) -> Self {
            Self(v128_load32_splat(p as *const u32))
        }
        #[inline(always)]
        pub fn add(self, b: Self) -> Self {
            Self(f32x4_add(self.0, b.0))
        }
        #[inline(always)]
        pub fn sub(self, b: Self) -> Self {
            Self(f32x4_sub(self.0, b.0))
        }
        #[inline(always)]
        pub fn mul(self, b: Self) -> Self {
            Self(f32x4_mul(self.0, b.0))
        }
        #[inline(always)]
        pub fn div(self, b: Self) -> Self {
            Self(f32x4_div(self.0, b.0))
        }
        /// `self * b + c`: rounded twice, or once in the relaxed build. The only difference in
        /// results between the two builds.
        #[inline(always)]
        pub fn mul_add(self, b: Self, c: Self) -> Self {
            #[cfg(target_feature = "relaxed-simd")]
            return Self(f32x4_relaxed_madd(self.0, b.0, c.0));
            #[cfg(not(target_feature = "relaxed-simd"))]
            Self(f32x4_add(f32x4_mul(self.0, b.0), c.0))
        }
        #[inline(always)]
        pub fn abs(self) -> Self {
            Self(f32x4_abs(self.0))
        }
        #[inline(always)]
        pub fn neg(self) -> Self {
            Self(f32x4_neg(self.0))
        }
        #[inline(always)]
        pub fn nearest(self) -> Self {
            Self(f32x4_nearest(self.0))
        }
        #[inline(always)]
        pub fn floor(self) -> Self {
            Self(f32x4_floor(self.0))
        }
        /// `b < self ? b : self`: a NaN in `self` stays. In the relaxed build LLVM would make relaxed_min of pmin,
        /// which loses it.
        #[inline(always)]
        pub fn at_most(self, b: Self) -> Self {
            #[cfg(target_feature = "relaxed-simd")]
            return b.select_lt(self, b, self);
            #[cfg(not(target_feature = "relaxed-simd"))]
            Self(f32x4_pmin(self.0, b.0))
        }
        /// `self < b ? b : self`: a NaN in `self` stays, as above.
        #[inline(always)]
        pub fn at_least(self, b: Self) -> Self {
            #[cfg(target_feature = "relaxed-simd")]
            return self.select_lt(b, b, self);
            #[cfg(not(target_feature = "relaxed-simd"))]
            Self(f32x4_pmax(self.0, b.0))
        }
        /// The lowest 9 bits as sign and exponent of a power of two.
        #[inline(always)]
        pub fn shift_to_exponent(self) -> Self {
            Self(i32x4_shl(self.0, 23))
        }
        /// Times 2^n, n the lowest 9 bits of `whole`.
        #[inline(always)]
        pub fn add_to_exponent(self, whole: Self) -> Self {
            Self(i32x4_add(self.0, i32x4_shl(whole.0, 23)))
        }
        /// `x` where it is NaN.
        #[inline(always)]
        pub fn or_nan(self, x: Self) -> Self {
            Self(v128_bitselect(self.0, x.0, f32x4_eq(x.0, x.0)))
        }
        /// The larger magnitude; infinity is larger than any number, and NaN than infinity.
        #[inline(always)]
        pub fn larger_magnitude(self, b: Self) -> Self {
            Self(i32x4_max(f32x4_abs(self.0), f32x4_abs(b.0)))
        }
        /// The largest lane, NaN above all; lanes are not negative.
        #[inline(always)]
        pub fn largest(self) -> f32 {
            let a = i32x4_max(self.0, i32x4_shuffle::<2, 3, 0, 1>(self.0, self.0));
            f32x4_extract_lane::<0>(i32x4_max(a, i32x4_shuffle::<1, 0, 3, 2>(a, a)))
        }
        /// Whether `self < b` in all lanes.
        #[inline(always)]
        pub fn all_lt(self, b: Self) -> bool {
            i32x4_all_true(f32x4_lt(self.0, b.0))
        }
        /// Lane i: the sum of `v[i]`'s lanes, in the order of [`F32x4::sum`].
        #[inline(always)]
        pub fn sums(v: [Self; 4]) -> Self {
            let halves = |a: Self, b: Self| {
                let low = i32x4_shuffle::<0, 4, 1, 5>(a.0, b.0);
                f32x4_add(low, i32x4_shuffle::<2, 6, 3, 7>(a.0, b.0))
            };
            let (a, b) = (halves(v[0], v[1]), halves(v[2], v[3]));
            Self(f32x4_add(i64x2_shuffle::<0, 2>(a, b), i64x2_shuffle::<1, 3>(a, b)))
        }
        /// Four rows to four columns.
        #[inline(always)]
        pub fn transpose(v: [Self; 4]) -> [Self; 4] {
            let mixed =
                |a: Self, b: Self| (i32x4_shuffle::<0, 4, 1, 5>(a.0, b.0), i32x4_shuffle::<2, 6, 3, 7>(a.0, b.0));
            let ((a, b), (c, d)) = (mixed(v[0], v[1]), mixed(v[2], v[3]));
            let halves = |a: v128, b: v128| (Self(i64x2_shuffle::<0, 2>(a, b)), Self(i64x2_shuffle::<1, 3>(a, b)));
            let ((e, f), (g, h)) = (halves(a, c), halves(b, d));
            [e, f, g, h]
        }
        /// Per lane: `self < b ? yes : no`.
        #[inline(always)]
        pub fn select_lt(self, b: Self, yes: Self, no: Self) -> Self {
            let mask = f32x4_lt(self.0, b.0);
            // One instruction instead of three, and the same where each lane of the mask is all ones or all zeros.
            #[cfg(target_feature = "relaxed-simd")]
            return Self(i32x4_relaxed_laneselect(yes.0, no.0, mask));
            #[cfg(not(target_feature = "relaxed-simd"))]
            Self(v128_bitselect(yes.0, no.0, mask))
        }
        /// Lane 0 + lane 1 + lane 2 + lane 3, pairwise.
        #[inline(always)]
        pub fn sum(self) -> f32 {
            let a = f32x4_add(self.0, i32x4_shuffle::<2, 3, 0, 1>(self.0, self.0));
            f32x4_extract_lane::<0>(a) + f32x4_extract_lane::<1>(a)
        }
        /// 8 bfloat16 to 2 vectors: they are the upper halves of f32 (one interleaving each).
        /// # Safety
        /// `p` points to 16 readable bytes.
        #[inline(always)]
        pub unsafe fn load_bf16x8(p: *const u16) -> (Self, Self) {
            Self::interleave(i16x8_splat(0), v128_load(p as *const v128))
        }
        /// f32 from lower and upper halves. Engines know these two patterns as single instructions; others they do not.
        #[inline(always)]
        fn interleave(lower: v128, upper: v128) -> (Self, Self) {
            (
                Self(i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(lower, upper)),
                Self(i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(lower, upper)),
            )
        }
        /// A constant that is loaded from memory: V8 makes those that it can see anew at each use, in three
        /// instructions.
        #[inline(always)]
        pub fn constant(p: &'static [u32; 4]) -> Self {
            // SAFETY: a reference can be read.
            Self(unsafe { core::ptr::read_volatile(p as *const [u32; 4] as *const v128) })
        }
    }

    /// Four u32.
    #[derive(Clone, Copy)]
    pub struct U32x4(v128);

    impl U32x4 {
        #[inline(always)]
        pub fn new(lanes: [u32; 4]) -> Self {
            Self(u32x4(lanes[0], lanes[1], lanes[2], lanes[3]))
        }
        #[inline(always)]
        pub fn add(self, b: Self) -> Self {
            Self(i32x4_add(self.0, b.0))
        }
        #[inline(always)]
        pub fn xor(self, b: Self) -> Self {
            Self(v128_xor(self.0, b.0))
        }
        /// The upper and the lower halves of the products.
        #[inline(always)]
        pub fn mul_wide(self, b: Self) -> (Self, Self) {
            let (first, last) = (u64x2_extmul_low_u32x4(self.0, b.0), u64x2_extmul_high_u32x4(self.0, b.0));
            (Self(u32x4_shuffle::<1, 3, 5, 7>(first, last)), Self(u32x4_shuffle::<0, 2, 4, 6>(first, last)))
        }
        /// Per lane: all ones where `self >= b`, else 0.
        #[inline(always)]
        pub fn at_least(self, b: Self) -> F32x4 {
            F32x4(u32x4_ge(self.0, b.0))
        }
    }

    impl F32x4 {
        /// The lanes whose bits in `mask` are ones; 0 where they are zeros.
        #[inline(always)]
        pub fn only(self, mask: Self) -> Self {
            Self(v128_and(self.0, mask.0))
        }
    }

    /// Takes binary16 apart; made before a loop.
    #[derive(Clone, Copy)]
    pub struct ScaledF16 {
        mask: F32x4,
        shift: F32x4,
    }

    impl ScaledF16 {
        #[inline(always)]
        pub fn prepare() -> Self {
            Self { mask: F32x4::constant(&[0x8fff_e000; 4]), shift: F32x4::constant(&[1 << 13; 4]) }
        }
        /// 8 finite binary16, each times 2^-112, to 2 vectors: sign, exponent and fraction move to where f32 has them,
        /// and the exponent's bias then differs by 112, for subnormal numbers too. A word holds elements j and j + 4.
        /// Both are to be shifted to bit 13 with their sign before the mask: the upper one right by 3; the lower one by
        /// the dot product with (2^13, 0), which sign-extends and shifts at once (two instructions each).
        /// # Safety
        /// `p` points to 16 readable bytes.
        #[inline(always)]
        pub unsafe fn load8(self, p: *const u16) -> (F32x4, F32x4) {
            let words = v128_load(p as *const v128);
            let lower = i32x4_dot_i16x8(words, self.shift.0);
            (F32x4(v128_and(lower, self.mask.0)), F32x4(v128_and(i32x4_shr(words, 3), self.mask.0)))
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    use crate::format::{Bf16, Format, F16};

    #[derive(Clone, Copy)]
    pub struct F32x4(pub(crate) [f32; 4]);

    impl F32x4 {
        fn zip(self, b: Self, f: impl Fn(f32, f32) -> f32) -> Self {
            Self(core::array::from_fn(|i| f(self.0[i], b.0[i])))
        }
        pub fn splat(x: f32) -> Self {
            Self([x; 4])
        }
        /// # Safety
        /// `p` points to 4 readable f32.
        pub unsafe fn load(p: *const f32) -> Self {
            Self((p as *const [f32; 4]).read_unaligned())
        }
        /// # Safety
        /// `p` points to 4 writable f32.
        pub unsafe fn store(self, p: *mut f32) {
            (p as *mut [f32; 4]).write_unaligned(self.0)
        }
        /// # Safety
        /// `p` points to a readable f32.
        pub unsafe fn load_splat(p: *const f32) -> Self {
            Self([*p; 4])
        }
        pub fn add(self, b: Self) -> Self {
            self.zip(b, |a, b| a + b)
        }
        pub fn sub(self, b: Self) -> Self {
            self.zip(b, |a, b| a - b)
        }
        pub fn mul(self, b: Self) -> Self {
            self.zip(b, |a, b| a * b)
        }
        pub fn div(self, b: Self) -> Self {
            self.zip(b, |a, b| a / b)
        }
        pub fn mul_add(self, b: Self, c: Self) -> Self {
            self.mul(b).add(c)
        }
        pub fn abs(self) -> Self {
            Self(self.0.map(f32::abs))
        }
        pub fn neg(self) -> Self {
            Self(self.0.map(|a| -a))
        }
        pub fn nearest(self) -> Self {
            Self(self.0.map(f32::round_ties_even))
        }
        pub fn floor(self) -> Self {
            Self(self.0.map(f32::floor))
        }
        pub fn at_most(self, b: Self) -> Self {
            self.zip(b, |a, b| if b < a { b } else { a })
        }
        pub fn at_least(self, b: Self) -> Self {
            self.zip(b, |a, b| if a < b { b } else { a })
        }
        pub fn shift_to_exponent(self) -> Self {
            Self(self.0.map(|a| f32::from_bits(a.to_bits() << 23)))
        }
        pub fn add_to_exponent(self, whole: Self) -> Self {
            self.zip(whole, |a, n| f32::from_bits(a.to_bits().wrapping_add(n.to_bits() << 23)))
        }
        pub fn or_nan(self, x: Self) -> Self {
            self.zip(x, |a, x| if x.is_nan() { x } else { a })
        }
        pub fn larger_magnitude(self, b: Self) -> Self {
            self.zip(b, |a, b| f32::from_bits(a.abs().to_bits().max(b.abs().to_bits())))
        }
        pub fn largest(self) -> f32 {
            f32::from_bits(self.0.map(f32::to_bits).into_iter().fold(0, u32::max))
        }
        pub fn all_lt(self, b: Self) -> bool {
            (0..4).all(|i| self.0[i] < b.0[i])
        }
        pub fn sums(v: [Self; 4]) -> Self {
            Self(v.map(Self::sum))
        }
        pub fn transpose(v: [Self; 4]) -> [Self; 4] {
            core::array::from_fn(|i| Self(core::array::from_fn(|j| v[j].0[i])))
        }
        pub fn select_lt(self, b: Self, yes: Self, no: Self) -> Self {
            Self(core::array::from_fn(|i| if self.0[i] < b.0[i] { yes.0[i] } else { no.0[i] }))
        }
        pub fn sum(self) -> f32 {
            (self.0[0] + self.0[2]) + (self.0[1] + self.0[3])
        }
        pub(super) unsafe fn decode8<F: Format<Bits = u16>>(p: *const u16) -> (Self, Self) {
            let at = |i: usize| F::to_f32(*p.add(F::position(i)));
            (Self(core::array::from_fn(at)), Self(core::array::from_fn(|i| at(i + 4))))
        }
        /// # Safety
        /// `p` points to 8 readable u16.
        pub unsafe fn load_bf16x8(p: *const u16) -> (Self, Self) {
            Self::decode8::<Bf16>(p)
        }
        pub fn constant(p: &'static [u32; 4]) -> Self {
            Self(p.map(f32::from_bits))
        }
    }

    #[derive(Clone, Copy)]
    pub struct U32x4([u32; 4]);

    impl U32x4 {
        pub fn new(lanes: [u32; 4]) -> Self {
            Self(lanes)
        }
        pub fn add(self, b: Self) -> Self {
            Self(core::array::from_fn(|i| self.0[i].wrapping_add(b.0[i])))
        }
        pub fn xor(self, b: Self) -> Self {
            Self(core::array::from_fn(|i| self.0[i] ^ b.0[i]))
        }
        pub fn mul_wide(self, b: Self) -> (Self, Self) {
            let product = |i: usize| self.0[i] as u64 * b.0[i] as u64;
            let upper = core::array::from_fn(|i| (product(i) >> 32) as u32);
            (Self(upper), Self(core::array::from_fn(|i| product(i) as u32)))
        }
        pub fn at_least(self, b: Self) -> F32x4 {
            F32x4(core::array::from_fn(|i| f32::from_bits(if self.0[i] >= b.0[i] { u32::MAX } else { 0 })))
        }
    }

    impl F32x4 {
        pub fn only(self, mask: Self) -> Self {
            self.zip(mask, |a, m| f32::from_bits(a.to_bits() & m.to_bits()))
        }
    }

    #[derive(Clone, Copy)]
    pub struct ScaledF16;

    impl ScaledF16 {
        pub fn prepare() -> Self {
            Self
        }
        /// # Safety
        /// `p` points to 8 readable u16.
        pub unsafe fn load8(self, p: *const u16) -> (F32x4, F32x4) {
            let (lo, hi) = F32x4::decode8::<F16>(p);
            let scale = F32x4::splat(f32::from_bits((127 - 112) << 23));
            (lo.mul(scale), hi.mul(scale))
        }
    }
}

pub use imp::{F32x4, ScaledF16, U32x4};

/// A pointer that is a multiple of 32, as it is, but so that the compiler sees that 16 bytes further are an offset: engines
/// join only neighbours that have one base.
#[inline(always)]
pub fn aligned(p: *const f32) -> *mut f32 {
    (p as usize & !31) as *mut f32
}

impl F32x4 {
    /// The first `count` elements, or 4 where there are more; zeros after them.
    /// # Safety
    /// `p` points to as many readable f32.
    #[inline(always)]
    pub unsafe fn load_first(p: *const f32, count: usize) -> Self {
        if count >= 4 {
            return Self::load(p);
        }
        let mut all = [0f32; 4];
        core::ptr::copy_nonoverlapping(p, all.as_mut_ptr(), count);
        Self::load(all.as_ptr())
    }
    /// The first `count` lanes, or all where it is more.
    /// # Safety
    /// `p` points to as many writable f32.
    #[inline(always)]
    pub unsafe fn store_first(self, p: *mut f32, count: usize) {
        if count >= 4 {
            return self.store(p);
        }
        let mut all = [0f32; 4];
        self.store(all.as_mut_ptr());
        core::ptr::copy_nonoverlapping(all.as_ptr(), p, count);
    }
}
