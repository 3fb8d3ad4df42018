//! Exponentials on four lanes.

use crate::lanes::F32x4;

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
}
