//! Four f32 lanes: thin wrappers over the WebAssembly instructions, and plain arrays elsewhere, so that `cargo test`
//! runs the SIMD kernels natively. `mul_add` is the seam for builds with relaxed SIMD.

#[cfg(target_arch = "wasm32")]
mod imp {
    use core::arch::wasm32::*;

    #[derive(Clone, Copy)]
    #[repr(transparent)]
    pub struct F32x4(v128);

    impl F32x4 {
        #[inline(always)]
        pub fn splat(x: f32) -> Self {
            Self(f32x4_splat(x))
        }

        /// # Safety
        /// Four f32 are readable at `p`, at any alignment.
        #[inline(always)]
        pub unsafe fn load(p: *const f32) -> Self {
            Self(unsafe { v128_load(p as *const v128) })
        }

        /// # Safety
        /// One f32 is readable at `p`.
        #[inline(always)]
        pub unsafe fn load_splat(p: *const f32) -> Self {
            Self(unsafe { v128_load32_splat(p as *const u32) })
        }

        /// # Safety
        /// Four f32 are writable at `p`, at any alignment.
        #[inline(always)]
        pub unsafe fn store(self, p: *mut f32) {
            unsafe { v128_store(p as *mut v128, self.0) }
        }

        /// Eight bf16 as `Matrix` packs them: outputs 0..3 and 4..7.
        ///
        /// # Safety
        /// Sixteen bytes are readable at `p`.
        #[inline(always)]
        pub unsafe fn load_bf16(p: *const u8) -> (Self, Self) {
            let words = unsafe { v128_load(p as *const v128) };
            (
                Self(i32x4_shl(words, 16)),
                Self(v128_and(words, u32x4_splat(0xffff_0000))),
            )
        }

        /// Eight f16 as `Matrix` packs them, times 2^-112: exponent and fraction are moved to their places in an f32,
        /// whose exponent bias is 112 larger. Exact for all finite values.
        ///
        /// # Safety
        /// Sixteen bytes are readable at `p`.
        #[inline(always)]
        pub unsafe fn load_f16_small(p: *const u8) -> (Self, Self) {
            let words = unsafe { v128_load(p as *const v128) };
            let mask = u32x4_splat(0x8fff_e000);
            (
                Self(v128_and(i32x4_shr(i32x4_shl(words, 16), 3), mask)),
                Self(v128_and(i32x4_shr(words, 3), mask)),
            )
        }

        #[inline(always)]
        pub fn floor(self) -> Self {
            Self(f32x4_floor(self.0))
        }

        #[inline(always)]
        pub fn abs(self) -> Self {
            Self(f32x4_abs(self.0))
        }

        /// `b < self ? b : self`: keeps a NaN in `self`.
        #[inline(always)]
        pub fn at_most(self, b: Self) -> Self {
            Self(f32x4_pmin(self.0, b.0))
        }

        /// `self < b ? b : self`: keeps a NaN in `self`.
        #[inline(always)]
        pub fn at_least(self, b: Self) -> Self {
            Self(f32x4_pmax(self.0, b.0))
        }

        /// `self > limit ? a : b`, lane by lane; a NaN chooses `b`.
        #[inline(always)]
        pub fn where_greater(self, limit: Self, a: Self, b: Self) -> Self {
            Self(v128_bitselect(a.0, b.0, f32x4_gt(self.0, limit.0)))
        }

        /// The bits of each lane, shifted left by 23: what stood in the low nine bits becomes sign and exponent.
        #[inline(always)]
        pub fn low_bits_to_exponent(self) -> Self {
            Self(i32x4_shl(self.0, 23))
        }

        /// The first `n` lanes; zeros in place of the others, whatever they held.
        #[inline(always)]
        pub fn first(self, n: usize) -> Self {
            let lanes = i32x4(0, 1, 2, 3);
            Self(v128_and(self.0, i32x4_lt(lanes, i32x4_splat(n as i32))))
        }

        #[inline(always)]
        pub fn sum(self) -> f32 {
            let pairs = f32x4_add(self.0, i32x4_shuffle::<2, 3, 0, 1>(self.0, self.0));
            let all = f32x4_add(pairs, i32x4_shuffle::<1, 0, 3, 2>(pairs, pairs));
            f32x4_extract_lane::<0>(all)
        }

        #[inline(always)]
        pub fn to_array(self) -> [f32; 4] {
            // SAFETY: both are sixteen bytes of plain data.
            unsafe { core::mem::transmute(self.0) }
        }

        #[inline(always)]
        pub fn from_array(a: [f32; 4]) -> Self {
            Self(f32x4(a[0], a[1], a[2], a[3]))
        }

        /// `self * b + c`, rounded twice, or once where relaxed SIMD has the instruction.
        #[inline(always)]
        pub fn mul_add(self, b: Self, c: Self) -> Self {
            #[cfg(target_feature = "relaxed-simd")]
            return Self(f32x4_relaxed_madd(self.0, b.0, c.0));
            #[cfg(not(target_feature = "relaxed-simd"))]
            Self(f32x4_add(f32x4_mul(self.0, b.0), c.0))
        }
    }

    macro_rules! operator {
        ($trait:ident, $method:ident, $instruction:ident) => {
            impl core::ops::$trait for F32x4 {
                type Output = Self;
                #[inline(always)]
                fn $method(self, b: Self) -> Self {
                    Self($instruction(self.0, b.0))
                }
            }
        };
    }
    operator!(Add, add, f32x4_add);
    operator!(Sub, sub, f32x4_sub);
    operator!(Mul, mul, f32x4_mul);
    operator!(Div, div, f32x4_div);
}

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    #[derive(Clone, Copy)]
    pub struct F32x4([f32; 4]);

    fn zip(a: F32x4, b: F32x4, f: impl Fn(f32, f32) -> f32) -> F32x4 {
        F32x4(core::array::from_fn(|i| f(a.0[i], b.0[i])))
    }

    /// The twins of the WebAssembly wrappers; what each promises is said there.
    #[allow(clippy::missing_safety_doc)]
    impl F32x4 {
        pub fn splat(x: f32) -> Self {
            Self([x; 4])
        }
        pub unsafe fn load(p: *const f32) -> Self {
            Self(unsafe { core::ptr::read_unaligned(p as *const [f32; 4]) })
        }
        pub unsafe fn load_splat(p: *const f32) -> Self {
            Self::splat(unsafe { *p })
        }
        pub unsafe fn store(self, p: *mut f32) {
            unsafe { core::ptr::write_unaligned(p as *mut [f32; 4], self.0) }
        }
        unsafe fn words(p: *const u8) -> [u32; 4] {
            unsafe { core::ptr::read_unaligned(p as *const [u32; 4]) }
        }
        pub unsafe fn load_bf16(p: *const u8) -> (Self, Self) {
            let words = unsafe { Self::words(p) };
            (
                Self(words.map(|w| f32::from_bits(w << 16))),
                Self(words.map(|w| f32::from_bits(w & 0xffff_0000))),
            )
        }
        pub unsafe fn load_f16_small(p: *const u8) -> (Self, Self) {
            let words = unsafe { Self::words(p) };
            let small = |w: u32| f32::from_bits(((w as i32) >> 3) as u32 & 0x8fff_e000);
            (Self(words.map(|w| small(w << 16))), Self(words.map(small)))
        }
        pub fn floor(self) -> Self {
            Self(self.0.map(f32::floor))
        }
        pub fn abs(self) -> Self {
            Self(self.0.map(f32::abs))
        }
        pub fn at_most(self, b: Self) -> Self {
            zip(self, b, |a, b| if b < a { b } else { a })
        }
        pub fn at_least(self, b: Self) -> Self {
            zip(self, b, |a, b| if a < b { b } else { a })
        }
        pub fn where_greater(self, limit: Self, a: Self, b: Self) -> Self {
            Self(core::array::from_fn(|i| {
                if self.0[i] > limit.0[i] {
                    a.0[i]
                } else {
                    b.0[i]
                }
            }))
        }
        pub fn low_bits_to_exponent(self) -> Self {
            Self(self.0.map(|x| f32::from_bits(x.to_bits() << 23)))
        }
        pub fn first(self, n: usize) -> Self {
            Self(core::array::from_fn(|i| if i < n { self.0[i] } else { 0.0 }))
        }
        pub fn sum(self) -> f32 {
            let [a, b, c, d] = self.0;
            (a + c) + (b + d)
        }
        pub fn to_array(self) -> [f32; 4] {
            self.0
        }
        pub fn from_array(a: [f32; 4]) -> Self {
            Self(a)
        }
        pub fn mul_add(self, b: Self, c: Self) -> Self {
            self * b + c
        }
    }

    macro_rules! operator {
        ($trait:ident, $method:ident, $operator:tt) => {
            impl core::ops::$trait for F32x4 {
                type Output = Self;
                fn $method(self, b: Self) -> Self {
                    zip(self, b, |a, b| a $operator b)
                }
            }
        };
    }
    operator!(Add, add, +);
    operator!(Sub, sub, -);
    operator!(Mul, mul, *);
    operator!(Div, div, /);
}

pub use imp::F32x4;

impl F32x4 {
    #[inline(always)]
    pub fn zero() -> Self {
        Self::splat(0.0)
    }

    /// `n` lanes from `p`, zeros in the others; at most four are read.
    ///
    /// # Safety
    /// The first `min(n, 4)` f32 are readable at `p`.
    #[inline(always)]
    pub unsafe fn load_first(p: *const f32, n: usize) -> Self {
        if n >= 4 {
            return unsafe { Self::load(p) };
        }
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate().take(n) {
            *lane = unsafe { *p.add(i) };
        }
        Self::from_array(lanes)
    }

    /// Writes the first `n` lanes; at most four.
    ///
    /// # Safety
    /// The first `min(n, 4)` f32 are writable at `p`.
    #[inline(always)]
    pub unsafe fn store_first(self, p: *mut f32, n: usize) {
        if n >= 4 {
            return unsafe { self.store(p) };
        }
        let lanes = self.to_array();
        for (i, lane) in lanes.iter().enumerate().take(n) {
            unsafe { *p.add(i) = *lane };
        }
    }
}
