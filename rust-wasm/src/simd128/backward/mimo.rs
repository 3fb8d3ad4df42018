//! The gradient of what ends a MIMO layer of Mamba-3, four channels at a time.

use super::elementwise::silu_slope;
use crate::lanes::F32x4;
use crate::simd128::math::sigmoid;

/// See [`crate::scalar::mimo::mimo_gate`]; `dout` is `[tokens, heads, width]`, gradients that are null are not wanted.
/// # Safety
/// As there.
#[allow(clippy::too_many_arguments)]
pub unsafe fn mimo_gate(
    y: *const f32,
    y_stride: usize,
    gate: *const f32,
    gate_stride: usize,
    w_gate: *const f32,
    w_out: *const f32,
    dout: *const f32,
    dout_stride: usize,
    dy: *mut f32,
    dy_stride: usize,
    dgate: *mut f32,
    dgate_stride: usize,
    dw_gate: *mut f32,
    dw_out: *mut f32,
    tokens: usize,
    heads: usize,
    rank: usize,
    width: usize,
) {
    let add = |to: *mut f32, value: F32x4, count: usize| F32x4::load_first(to, count).add(value).store_first(to, count);
    for h in 0..heads {
        for r in 0..rank {
            for p in (0..width).step_by(4) {
                let (count, weight, column) = (width - p, (h * rank + r) * width + p, h * width + p);
                let ranked = (r * heads + h) * width + p;
                let inner = F32x4::load_first(w_gate.add(weight), count);
                let outer = F32x4::load_first(w_out.add(weight), count);
                let (mut dinner, mut douter) = (F32x4::splat(0.0), F32x4::splat(0.0));
                for t in 0..tokens {
                    let z = F32x4::load_first(gate.add(t * gate_stride + column), count);
                    let slope = F32x4::load_first(dout.add(t * dout_stride + column), count);
                    let input = slope.mul(F32x4::load_first(y.add(t * y_stride + ranked), count));
                    let x = z.mul(inner);
                    let s = sigmoid(x);
                    let open = x.mul(s);
                    let turn = input.mul(outer).mul(silu_slope(x, s));
                    douter = input.mul_add(open, douter);
                    dinner = turn.mul_add(z, dinner);
                    if !dy.is_null() {
                        add(dy.add(t * dy_stride + ranked), slope.mul(open).mul(outer), count);
                    }
                    if !dgate.is_null() {
                        add(dgate.add(t * dgate_stride + column), turn.mul(inner), count);
                    }
                }
                if !dw_gate.is_null() {
                    add(dw_gate.add(weight), dinner, count);
                }
                if !dw_out.is_null() {
                    add(dw_out.add(weight), douter, count);
                }
            }
        }
    }
}
