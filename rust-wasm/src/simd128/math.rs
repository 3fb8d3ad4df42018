//! Exponentials on four lanes.

use crate::lanes::F32x4;
use crate::scalar::math::{ERF_A, ERF_P, GELU_TANH};

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
    let s = F32x4::splat;
    let y = exp_clamped(x.at_most(s(EXP_HIGH)));
    s(EXP_HIGH).select_lt(x, s(f32::INFINITY), y)
}

/// [`exp`] for arguments up to 88.37: without the test for infinity.
#[inline(always)]
pub fn exp_clamped(x: F32x4) -> F32x4 {
    let s = F32x4::splat;
    x.select_lt(s(EXP_LOW), s(0.0), exp_normal(x))
}

/// [`exp`] as a factor of a state, for arguments up to 88.37: below -87.33 the smallest normal number stands for the subnormal ones, so that an
/// infinite state stays infinite under any finite decay; 0 for -infinity alone.
#[inline(always)]
pub fn decay(x: F32x4) -> F32x4 {
    let s = F32x4::splat;
    x.select_lt(s(f32::MIN), s(0.0), exp_normal(x))
}

/// [`decay`] for any argument: without softplus a step size may be negative, and the state grows.
#[inline(always)]
pub fn growth(x: F32x4) -> F32x4 {
    let s = F32x4::splat;
    s(EXP_HIGH).select_lt(x, s(f32::INFINITY), decay(x.at_most(s(EXP_HIGH))))
}

/// e^max(x, -87.33) for x up to 88.37.
#[inline(always)]
fn exp_normal(x: F32x4) -> F32x4 {
    let s = F32x4::splat;
    let clamped = x.at_least(s(EXP_LOW));
    let n = clamped.mul(s(core::f32::consts::LOG2_E)).nearest();
    let r = n.mul_add(s(-0.693_359_4), clamped);
    let r = n.mul_add(s(2.121_944_4e-4), r);
    let p = s(1.987_569_1e-4).mul_add(r, s(1.398_2e-3));
    let p = p.mul_add(r, s(8.333_452e-3));
    let p = p.mul_add(r, s(4.166_579_6e-2));
    let p = p.mul_add(r, s(1.666_666_5e-1));
    let p = p.mul_add(r, s(0.5));
    let p = p.mul_add(r.mul(r), r).add(s(1.0));
    p.mul(n.exp2_whole())
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid(x: F32x4) -> F32x4 {
    F32x4::splat(1.0).div(exp(x.neg()).add(F32x4::splat(1.0)))
}

/// 1 + x right of 0, 1 / (1 - x) left of it.
#[inline(always)]
pub fn heavy_tail(x: F32x4) -> F32x4 {
    let s = F32x4::splat;
    x.at_least(s(0.0)).add(s(1.0).div(s(1.0).sub(x.at_most(s(0.0)))))
}

/// Sine and cosine of x from 0 to 2 pi, absolute error at most 2^-23.
///
/// n = round(x / (pi / 2)); r = x - n pi / 2, pi / 2 in three parts so that r keeps its bits, |r| <= pi / 4; sin r and
/// cos r by polynomials of degree 7 and 8 (the coefficients of Cephes sinf and cosf, Moshier 1987); for odd n they change
/// places; the signs follow from n in 0..4.
#[inline(always)]
pub fn sin_cos(x: F32x4) -> (F32x4, F32x4) {
    let s = F32x4::splat;
    let n = x.mul(s(core::f32::consts::FRAC_2_PI)).nearest();
    let r = n.mul_add(s(-1.570_312_5), x);
    let r = n.mul_add(s(-4.837_513e-4), r);
    let r = n.mul_add(s(-7.549_79e-8), r);
    let r2 = r.mul(r);
    let p = s(-1.951_529_6e-4).mul_add(r2, s(8.332_161e-3));
    let p = p.mul_add(r2, s(-1.666_665_5e-1));
    let sine = p.mul_add(r2.mul(r), r);
    let q = s(2.443_315_7e-5).mul_add(r2, s(-1.388_731_6e-3));
    let q = q.mul_add(r2, s(4.166_664_6e-2));
    let cosine = q.mul_add(r2.mul(r2), s(-0.5).mul_add(r2, s(1.0)));
    // 1 and 3 are at a distance of 1 from 2; the sine is negative for 2 and 3, the cosine for 1 and 2.
    let odd = n.sub(s(2.0)).abs().sub(s(1.0)).abs();
    let (a, b) = (odd.select_lt(s(0.5), cosine, sine), odd.select_lt(s(0.5), sine, cosine));
    (n.sub(s(2.5)).abs().select_lt(s(1.0), a.neg(), a), n.sub(s(1.5)).abs().select_lt(s(1.0), b.neg(), b))
}

/// x / (1 + e^-x).
#[inline(always)]
pub fn silu(x: F32x4) -> F32x4 {
    x.div(exp(x.neg()).add(F32x4::splat(1.0)))
}

/// ln(1 + e^x) = max(x, 0) + ln(1 + e), e = e^-|x| in (0, 1]; x itself above 20.
///
/// ln(1 + e) = 2 artanh(q), q = e / (2 + e) in (0, 1/3], by its series to q^15: relative error below 2^-21.
#[inline(always)]
pub fn softplus(x: F32x4) -> F32x4 {
    let s = F32x4::splat;
    let e = exp_clamped(x.abs().neg());
    let q = e.div(e.add(s(2.0)));
    let q2 = q.mul(q);
    let p = s(2.0 / 15.0).mul_add(q2, s(2.0 / 13.0));
    let p = p.mul_add(q2, s(2.0 / 11.0));
    let p = p.mul_add(q2, s(2.0 / 9.0));
    let p = p.mul_add(q2, s(2.0 / 7.0));
    let p = p.mul_add(q2, s(2.0 / 5.0));
    let p = p.mul_add(q2, s(2.0 / 3.0));
    let p = p.mul_add(q2, s(2.0));
    let y = p.mul_add(q, x.at_least(s(0.0)));
    s(20.0).select_lt(x, x, y)
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
