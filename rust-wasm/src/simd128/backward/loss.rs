use crate::lanes::F32x4;
use crate::simd128::math::exp_clamped;

/// Of each row of logits `[rows, vocabulary]` its loss `log(sum_v exp(l[v])) - l[target]`, where `losses` is not null; and
/// where `slopes` is not null, the gradient to the logits in their place: `slope (softmax(l) - onehot(target))`.
/// # Safety
/// The targets are below `vocabulary`; losses and slopes have one f32 per row.
pub unsafe fn cross_entropy(
    logits: *mut f32,
    targets: *const u32,
    losses: *mut f32,
    slopes: *const f32,
    rows: usize,
    vocabulary: usize,
) {
    for i in 0..rows {
        let row = logits.add(i * vocabulary);
        let target = *targets.add(i) as usize;
        let whole = vocabulary / 4 * 4;
        let mut top = f32::NEG_INFINITY;
        for v in 0..vocabulary {
            top = if *row.add(v) > top { *row.add(v) } else { top };
        }
        let shift = F32x4::splat(top);
        let mut sums = [F32x4::splat(0.0); 4];
        for v in (0..whole).step_by(4) {
            let e = exp_clamped(F32x4::load(row.add(v)).sub(shift));
            sums[v / 4 % 4] = sums[v / 4 % 4].add(e);
        }
        let mut sum = sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum();
        for v in whole..vocabulary {
            sum += (*row.add(v) - top).exp();
        }
        if !losses.is_null() {
            *losses.add(i) = top - *row.add(target) + sum.ln();
        }
        if !slopes.is_null() {
            let slope = *slopes.add(i);
            let factor = F32x4::splat(slope / sum);
            for v in (0..whole).step_by(4) {
                exp_clamped(F32x4::load(row.add(v)).sub(shift)).mul(factor).store(row.add(v));
            }
            for v in whole..vocabulary {
                *row.add(v) = (*row.add(v) - top).exp() * (slope / sum);
            }
            *row.add(target) -= slope;
        }
    }
}
