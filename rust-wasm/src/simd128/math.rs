//! Exponentials on four lanes.

use crate::lanes::F32x4;
use crate::scalar::math::{ERF_A, ERF_P, GELU_TANH};

/// A constant in all lanes, from memory.
macro_rules! k {
    ($x:expr) => {
        F32x4::constant(const { &[($x as f32).to_bits(); 4] })
    };
}

/// Below this the result would be subnormal: it is 0.
const EXP_LOW: f32 = -87.336_55;
/// From here the scale 2^n would be infinite: so is the result (up to 88.72 f32 could still hold it).
const EXP_HIGH: f32 = 88.376_25;

/// e^x, relative error at most 2^-22 (2 ulp) from -87.33 to 88.37; 0 below, infinity above; NaN stays.
///
/// n = round(x / ln 2); r = x - n ln 2, ln 2 in two parts so that r keeps its bits; e^r by a polynomial of degree 6
/// (the coefficients of Cephes expf, Moshier 1987), |r| <= ln 2 / 2; times 2^n by the exponent bits.
#[inline(always)]
pub fn exp(x: F32x4) -> F32x4 {
    x.select_lt(k!(EXP_LOW), F32x4::splat(0.0), exp_above(x))
}

/// [`exp`], but below -87.33 the smallest normal number: for sums in which that is nothing.
#[inline(always)]
fn exp_above(x: F32x4) -> F32x4 {
    let y = exp_normal(x.at_most(k!(EXP_HIGH)));
    k!(EXP_HIGH).select_lt(x, k!(f32::INFINITY), y)
}

/// [`exp`] for arguments up to 88.37: without the test for infinity.
#[inline(always)]
pub fn exp_clamped(x: F32x4) -> F32x4 {
    x.select_lt(k!(EXP_LOW), F32x4::splat(0.0), exp_normal(x))
}

/// [`exp`] as a factor of a state, for arguments up to 88.37: below -87.33 the smallest normal number stands for the subnormal ones, so that an
/// infinite state stays infinite under any finite decay; 0 for -infinity alone.
#[inline(always)]
pub fn decay(x: F32x4) -> F32x4 {
    x.select_lt(k!(f32::MIN), F32x4::splat(0.0), exp_normal(x))
}

/// [`decay`] for any argument: without softplus a step size may be negative, and the state grows.
#[inline(always)]
pub fn growth(x: F32x4) -> F32x4 {
    k!(EXP_HIGH).select_lt(x, k!(f32::INFINITY), decay(x.at_most(k!(EXP_HIGH))))
}

/// e^max(x, -87.33) for x up to 88.37.
#[inline(always)]
fn exp_normal(x: F32x4) -> F32x4 {
    let x = x.at_least(k!(EXP_LOW));
    let (n, scale) = whole(x.mul(k!(core::f32::consts::LOG2_E)));
    let r = n.mul_add(k!(-0.693_359_4), x);
    let r = n.mul_add(k!(2.121_944_4e-4), r);
    // In pairs: half as long a chain as one by one.
    let r2 = r.mul(r);
    let p = k!(1.987_569_1e-4).mul_add(r, k!(1.398_2e-3));
    let p = p.mul_add(r2, k!(8.333_452e-3).mul_add(r, k!(4.166_579_6e-2)));
    let p = p.mul_add(r2, k!(1.666_666_5e-1).mul_add(r, k!(0.5)));
    let p = p.mul_add(r2, r).add(k!(1.0));
    p.mul(scale)
}

/// n = round(x) and 2^n, n from -126 to 127. Adding 1.5 * 2^23 leaves no bits below 1; 127 more is the bias of the
/// exponent.
#[inline(always)]
fn whole(x: F32x4) -> (F32x4, F32x4) {
    let sum = x.add(k!(12_583_039.0));
    (sum.sub(k!(12_583_039.0)), sum.shift_to_exponent())
}

/// [`exp2`] with its constants made before a loop, where there are registers for them or joined lanes.
#[derive(Clone, Copy)]
pub struct Exp2 {
    shift: F32x4,
    terms: [F32x4; 6],
}

impl Exp2 {
    #[allow(clippy::approx_constant)] // Near ln 2, but not it.
    #[inline(always)]
    pub fn prepare() -> Self {
        Self {
            shift: k!(12_582_912.0),
            terms: [k!(1.0), k!(0.693_147), k!(0.240_222_42), k!(5.550_733_6e-2), k!(9.671_513e-3), k!(1.326_472_7e-3)],
        }
    }
    /// See [`exp2`].
    #[inline(always)]
    pub fn of(&self, x: F32x4) -> F32x4 {
        // As in `whole`, but n is added to the exponent: multiplying is what the processor has most to do of.
        let sum = x.add(self.shift);
        let r = x.sub(sum.sub(self.shift));
        let [first, terms @ .., last] = self.terms;
        let p = terms.into_iter().rev().fold(last, |p, term| p.mul_add(r, term));
        p.mul_add(r, first).add_to_exponent(sum)
    }
}

/// 2^x for finite x from -126 to 127.49, relative error at most 2^-22. The polynomial is 1 at 0 and differs least from
/// 2^x in between: by 2^-23.4.
#[inline(always)]
pub fn exp2(x: F32x4) -> F32x4 {
    Exp2::prepare().of(x)
}

/// 2^x as a factor of a state, for any argument: below -126 the smallest normal number stands for the subnormal ones, so
/// that an infinite state stays infinite under any finite decay; 0 for -infinity alone; infinity above 127.49.
#[inline(always)]
pub fn growth2(x: F32x4) -> F32x4 {
    let y = exp2(x.at_least(k!(-126.0)).at_most(k!(127.49)));
    let y = y.or_nan(x);
    let y = x.select_lt(k!(f32::MIN), F32x4::splat(0.0), y);
    k!(127.49).select_lt(x, k!(f32::INFINITY), y)
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid(x: F32x4) -> F32x4 {
    k!(1.0).div(exp_above(x.neg()).add(k!(1.0)))
}

/// 1 + x right of 0, 1 / (1 - x) left of it.
#[inline(always)]
pub fn heavy_tail(x: F32x4) -> F32x4 {
    x.at_least(F32x4::splat(0.0)).add(k!(1.0).div(k!(1.0).sub(x.at_most(F32x4::splat(0.0)))))
}

/// Sine and cosine of x from 0 to 2 pi, absolute error at most 2^-23.
///
/// n = round(x / (pi / 2)); r = x - n pi / 2, pi / 2 in three parts so that r keeps its bits, |r| <= pi / 4; sin r and
/// cos r by polynomials of degree 7 and 8 (the coefficients of Cephes sinf and cosf, Moshier 1987); for odd n they change
/// places; the signs follow from n in 0..4.
#[inline(always)]
pub fn sin_cos(x: F32x4) -> (F32x4, F32x4) {
    let n = x.mul(k!(core::f32::consts::FRAC_2_PI)).nearest();
    let r = n.mul_add(k!(-1.570_312_5), x);
    let r = n.mul_add(k!(-4.837_513e-4), r);
    let r = n.mul_add(k!(-7.549_79e-8), r);
    let r2 = r.mul(r);
    let p = k!(-1.951_529_6e-4).mul_add(r2, k!(8.332_161e-3));
    let p = p.mul_add(r2, k!(-1.666_665_5e-1));
    let sine = p.mul_add(r2.mul(r), r);
    let q = k!(2.443_315_7e-5).mul_add(r2, k!(-1.388_731_6e-3));
    let q = q.mul_add(r2, k!(4.166_664_6e-2));
    let cosine = q.mul_add(r2.mul(r2), k!(-0.5).mul_add(r2, k!(1.0)));
    // 1 and 3 are at a distance of 1 from 2; the sine is negative for 2 and 3, the cosine for 1 and 2.
    let odd = n.sub(k!(2.0)).abs().sub(k!(1.0)).abs();
    let (a, b) = (odd.select_lt(k!(0.5), cosine, sine), odd.select_lt(k!(0.5), sine, cosine));
    (n.sub(k!(2.5)).abs().select_lt(k!(1.0), a.neg(), a), n.sub(k!(1.5)).abs().select_lt(k!(1.0), b.neg(), b))
}

/// x / (1 + e^-x).
#[inline(always)]
pub fn silu(x: F32x4) -> F32x4 {
    x.div(exp_above(x.neg()).add(k!(1.0)))
}

/// ln(1 + e^x) = max(x, 0) + ln(1 + e), e = e^-|x| in (0, 1]; x itself above 20.
///
/// ln(1 + e) = e p(e), p the polynomial of degree 8 that is 1 at 0 and differs least in between: with its rounding, a
/// relative error below 2^-21.
#[inline(always)]
pub fn softplus(x: F32x4) -> F32x4 {
    let e = exp_clamped(x.abs().neg());
    let e2 = e.mul(e);
    let e4 = e2.mul(e2);
    let a = k!(-0.248_571_63).mul_add(e, k!(0.333_213_24));
    let a = a.mul_add(e2, k!(-0.499_996_48).mul_add(e, k!(1.0)));
    let b = k!(-0.137_538_03).mul_add(e, k!(0.191_536_55));
    let b = k!(-3.006_579_5e-2).mul_add(e, k!(7.920_454e-2)).mul_add(e2, b);
    let p = k!(5.364_825e-3).mul_add(e4, b).mul_add(e4, a);
    let y = p.mul_add(e, x.at_least(F32x4::splat(0.0)));
    k!(20.0).select_lt(x, x, y)
}

/// x / 2 (1 + erf(x / sqrt 2)): see [`crate::scalar::math::erf`]. The sign of erf is put into x: x / 2 + |x| / 2 |erf|.
#[inline(always)]
pub fn gelu(x: F32x4) -> F32x4 {
    let s = F32x4::splat;
    let size = x.abs().mul(s(core::f32::consts::FRAC_1_SQRT_2));
    let t = s(1.0).div(size.mul_add(s(ERF_P), s(1.0)));
    let series = ERF_A.iter().rev().fold(s(0.0), |sum, &a| sum.add(s(a)).mul(t));
    let erf = s(1.0).sub(series.mul(exp_clamped(size.mul(size).neg())));
    x.mul(s(0.5)).add(x.abs().mul(s(0.5)).mul(erf))
}

/// The tanh form: x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3).
#[inline(always)]
pub fn gelu_tanh(x: F32x4) -> F32x4 {
    let s = F32x4::splat;
    let twice = x.mul(x).mul_add(s(GELU_TANH[1]), s(GELU_TANH[0])).mul(x);
    x.div(exp(twice.neg()).add(s(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(v: F32x4) -> f32 {
        let mut out = [0.0; 4];
        unsafe { v.store(out.as_mut_ptr()) };
        out[0]
    }

    #[test]
    fn exp_within_2_ulp_over_the_normal_range() {
        let mut worst = 0f64;
        let mut x = -87.33f32;
        while x < 88.37 {
            let expected = (x as f64).exp();
            worst = worst.max(((first(exp(F32x4::splat(x))) as f64 - expected) / expected).abs());
            x += 0.000_37;
        }
        assert!(worst <= 2f64.powi(-22), "relative error {worst:e}");
    }

    #[test]
    fn sin_cos_within_1_2e_7_from_0_to_2_pi() {
        let mut x = 0f32;
        while x <= 2.0 * core::f32::consts::PI {
            let (s, c) = sin_cos(F32x4::splat(x));
            let (es, ec) = (x as f64).sin_cos();
            assert!((first(s) as f64 - es).abs() <= 1.2e-7 && (first(c) as f64 - ec).abs() <= 1.2e-7, "{x}");
            x += 1.3e-4;
        }
        assert!(first(sin_cos(F32x4::splat(f32::NAN)).0).is_nan());
    }

    #[test]
    fn sigmoid_and_heavy_tail_equal_scalar_within_1e_6() {
        for i in -400..400 {
            let x = i as f32 * 0.2;
            let pairs = [
                (first(sigmoid(F32x4::splat(x))), crate::scalar::math::sigmoid(x)),
                (first(heavy_tail(F32x4::splat(x))), crate::scalar::math::heavy_tail(x)),
            ];
            assert!(pairs.iter().all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs() + 1e-37), "{x}");
        }
    }

    #[test]
    fn exp_at_the_edges() {
        let e = |x: f32| first(exp(F32x4::splat(x)));
        assert_eq!(e(0.0), 1.0);
        assert_eq!(e(f32::NEG_INFINITY), 0.0);
        assert_eq!(e(-1000.0), 0.0);
        assert_eq!(e(1000.0), f32::INFINITY);
        assert_eq!(e(f32::INFINITY), f32::INFINITY);
        assert!(e(f32::NAN).is_nan());
    }

    #[test]
    fn softplus_and_silu_within_2e_6() {
        for i in -4000..4000 {
            let x = i as f32 * 0.025;
            let v = F32x4::splat(x);
            let sp = if x > 20.0 { x as f64 } else { (x as f64).exp().ln_1p() };
            // Below e^-87.3 the result is 0.
            let error = (first(softplus(v)) as f64 - sp).abs() / sp.max(1e-32);
            assert!(error < 2e-6, "softplus({x}): {error:e}");
            let si = x as f64 / (1.0 + (-x as f64).exp());
            // Where e^-x passes 2^127.5 it is infinite, and the result 0.
            assert!((first(silu(v)) as f64 - si).abs() <= 2e-6 * si.abs() + 1e-35, "silu({x})");
        }
        assert_eq!(first(softplus(F32x4::splat(f32::INFINITY))), f32::INFINITY);
        assert!(first(softplus(F32x4::splat(f32::NAN))).is_nan());
    }

    #[test]
    fn gelu_within_4e_7_of_x() {
        // Gauss' error function by its series, as in packages/tensor.
        let erf = |x: f64| {
            let (mut term, mut sum, mut n) = (x, x, 0.0);
            while term.abs() > 1e-18 * sum.abs() {
                n += 1.0;
                term *= 2.0 * x * x / (2.0 * n + 1.0);
                sum += term;
            }
            if x.abs() > 6.0 {
                x.signum()
            } else {
                2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
            }
        };
        for i in -2000..2000 {
            let x = i as f32 * 0.01;
            let wide = x as f64;
            let exact = wide / 2.0 * (1.0 + erf(wide * std::f64::consts::FRAC_1_SQRT_2));
            let u = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044715 * wide.powi(3));
            let tanh = wide / 2.0 * (1.0 + u.tanh());
            let size = 4e-7 * wide.abs();
            for (found, expected) in [
                (first(gelu(F32x4::splat(x))), exact),
                (crate::scalar::math::gelu(x, false), exact),
                (first(gelu_tanh(F32x4::splat(x))), tanh),
                (crate::scalar::math::gelu(x, true), tanh),
            ] {
                assert!((found as f64 - expected).abs() <= size, "gelu({x}): {found} {expected}");
            }
        }
        assert!(first(gelu(F32x4::splat(f32::NEG_INFINITY))).is_nan());
        assert!(first(gelu_tanh(F32x4::splat(f32::NEG_INFINITY))).is_nan());
        assert_eq!(first(gelu(F32x4::splat(f32::INFINITY))), f32::INFINITY);
    }
}
