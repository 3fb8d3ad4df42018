//! All that JavaScript sees: functions of plain numbers. Addresses are bytes; `dtype` is 0 f32, 1 f16, 2 bf16, 3 raised f16,
//! 4 q8_0, 5 q4_0, 6 q4_k, 7 q5_k, 8 q6_k.
//!
//! # Safety
//! Every function trusts its addresses and sizes: TypeScript has checked them.
#![allow(clippy::missing_safety_doc, clippy::too_many_arguments)]

mod backward;
#[cfg(target_feature = "atomics")]
mod pool;
mod recurrences;
mod transformer;

use crate::blocks::{Q4K, Q4_0, Q5K, Q6K, Q8_0};
use crate::format::{Bf16, Format, RaisedF16, F16, F32};
use crate::pool::split;
use crate::scalar::conv::{load_history, store_history};
use crate::scalar::scan::Scan;
use crate::simd128::linear::Shape;
use crate::simd128::quantised;
use crate::{alloc, limits, pack, scalar, simd128, PANEL};

/// Which build this is: 1 with relaxed SIMD, plus 2 with threads.
#[no_mangle]
pub extern "C" fn build() -> u32 {
    cfg!(target_feature = "relaxed-simd") as u32 + 2 * cfg!(target_feature = "atomics") as u32
}

#[no_mangle]
pub extern "C" fn allocate(bytes: usize) -> usize {
    alloc::allocate(bytes)
}

#[no_mangle]
pub unsafe extern "C" fn release(address: usize, bytes: usize) {
    alloc::free(address, bytes)
}

/// 1 where a piece holds a number that its format has no place for: nothing is packed then. For f16 these are infinities
/// and NaN, for raised f16 all from 64 up; raised f16 comes as f16, and `source` is overwritten.
/// Quantised matrices are counted in blocks, but for `inputs`.
#[no_mangle]
pub unsafe extern "C" fn pack_matrix(
    dtype: u32,
    source: *mut u8,
    start: usize,
    count: usize,
    inputs: usize,
    target: *mut u8,
) -> u32 {
    match dtype {
        0 => pack::pack::<F32>(source as _, start, count, inputs, target as _),
        1 if pack::has_non_finite_f16(source as _, count) => return 1,
        1 => pack::pack::<F16>(source as _, start, count, inputs, target as _),
        2 => pack::pack::<Bf16>(source as _, start, count, inputs, target as _),
        3 if !pack::raise_f16(source as _, count) => return 1,
        3 => pack::pack::<RaisedF16>(source as _, start, count, inputs, target as _),
        4 => quantised::pack::<Q8_0>(source, start, count, inputs, target),
        5 => quantised::pack::<Q4_0>(source, start, count, inputs, target),
        6 => quantised::pack::<Q4K>(source, start, count, inputs, target),
        7 => quantised::pack::<Q5K>(source, start, count, inputs, target),
        _ => quantised::pack::<Q6K>(source, start, count, inputs, target),
    }
    0
}

/// A packed matrix of raised f16 to f16, in place.
#[no_mangle]
pub unsafe extern "C" fn lower_f16(elements: *mut u16, count: usize) {
    pack::lower_f16(elements, count)
}

/// A packed matrix of f16 to f32.
#[no_mangle]
pub unsafe extern "C" fn widen_f16(source: *const u16, count: usize, target: *mut f32) {
    pack::widen::<F16>(source, count, target)
}

#[no_mangle]
pub unsafe extern "C" fn linear(
    dtype: u32,
    x: *const f32,
    x_stride: usize,
    w: *const u8,
    bias: *const f32,
    y: *mut f32,
    y_stride: usize,
    tokens: usize,
    inputs: usize,
    outputs: usize,
) {
    let shape = Shape { x_stride, y_stride, tokens, inputs, outputs };
    match dtype {
        0 => float_linear::<F32>(x, w, bias, y, &shape),
        1 => float_linear::<F16>(x, w, bias, y, &shape),
        2 => float_linear::<Bf16>(x, w, bias, y, &shape),
        3 => float_linear::<RaisedF16>(x, w, bias, y, &shape),
        4 => quantised::linear::<Q8_0>(x, w, bias, y, &shape),
        5 => quantised::linear::<Q4_0>(x, w, bias, y, &shape),
        6 => quantised::linear::<Q4K>(x, w, bias, y, &shape),
        7 => quantised::linear::<Q5K>(x, w, bias, y, &shape),
        _ => quantised::linear::<Q6K>(x, w, bias, y, &shape),
    }
}

unsafe fn float_linear<F: Format>(x: *const f32, w: *const u8, bias: *const f32, y: *mut f32, s: &Shape) {
    // Threads take whole panels of outputs.
    split(s.outputs.div_ceil(PANEL), PANEL * s.tokens * s.inputs, |_, from, to| {
        let o = from * PANEL;
        let (w, bias) = ((w as *const F::Bits).add(o * s.inputs), if bias.is_null() { bias } else { bias.add(o) });
        let outputs = (to * PANEL).min(s.outputs) - o;
        simd128::linear::linear::<F>(x, s.x_stride, w, bias, y.add(o), s.y_stride, s.tokens, s.inputs, outputs)
    })
}

#[no_mangle]
pub unsafe extern "C" fn embedding(
    dtype: u32,
    ids: *const u32,
    w: *const u8,
    y: *mut f32,
    tokens: usize,
    inputs: usize,
) {
    use scalar::linear::embedding;
    match dtype {
        0 => embedding::<F32>(ids, w as _, y, tokens, inputs),
        1 => embedding::<F16>(ids, w as _, y, tokens, inputs),
        2 => embedding::<Bf16>(ids, w as _, y, tokens, inputs),
        3 => embedding::<RaisedF16>(ids, w as _, y, tokens, inputs),
        4 => quantised::embedding::<Q8_0>(ids, w, y, tokens, inputs),
        5 => quantised::embedding::<Q4_0>(ids, w, y, tokens, inputs),
        6 => quantised::embedding::<Q4K>(ids, w, y, tokens, inputs),
        7 => quantised::embedding::<Q5K>(ids, w, y, tokens, inputs),
        _ => quantised::embedding::<Q6K>(ids, w, y, tokens, inputs),
    }
}

#[no_mangle]
pub unsafe extern "C" fn rms_norm(
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    w_len: usize,
    y: *mut f32,
    tokens: usize,
    width: usize,
    groups: usize,
    eps: f32,
) {
    simd128::norm::rms_norm(x, x_stride, w, w_len, y, tokens, width, groups, eps)
}

#[no_mangle]
pub unsafe extern "C" fn copy_rows(
    x: *const f32,
    x_stride: usize,
    y: *mut f32,
    y_stride: usize,
    tokens: usize,
    width: usize,
) {
    scalar::elementwise::copy_rows(x, x_stride, y, y_stride, tokens, width)
}

#[no_mangle]
pub unsafe extern "C" fn silu_gate(
    x: *const f32,
    x_stride: usize,
    gate: *const f32,
    gate_stride: usize,
    y: *mut f32,
    tokens: usize,
    width: usize,
) {
    simd128::elementwise::silu_gate(x, x_stride, gate, gate_stride, y, tokens, width)
}

#[no_mangle]
pub unsafe extern "C" fn add(
    a: *const f32,
    a_stride: usize,
    b: *const f32,
    b_stride: usize,
    y: *mut f32,
    tokens: usize,
    width: usize,
) {
    simd128::elementwise::add(a, a_stride, b, b_stride, y, tokens, width)
}

/// `w` is `[taps, channels]`, `state` `[channels, taps - 1]`, `history` working memory of as many f32.
#[no_mangle]
pub unsafe extern "C" fn causal_conv(
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    bias: *const f32,
    state: *mut f32,
    history: *mut f32,
    y: *mut f32,
    tokens: usize,
    channels: usize,
    taps: usize,
    with_silu: u32,
) {
    load_history(state, history, channels, taps);
    simd128::conv::causal_conv(x, x_stride, w, bias, history, y, tokens, channels, taps, with_silu != 0);
    store_history(x, x_stride, history, state, tokens, channels, taps);
}

/// Whether the engine joins pairs of 4 lanes to 8. Results have the same bits either way.
#[no_mangle]
pub extern "C" fn set_wide(wide: u32) {
    simd128::tile::set_wide(wide != 0)
}

/// `[rows, columns]` to `[columns, rows]`.
#[no_mangle]
pub unsafe extern "C" fn transpose(from: *const f32, to: *mut f32, rows: usize, columns: usize) {
    for r in 0..rows {
        for c in 0..columns {
            *to.add(c * rows + r) = *from.add(r * columns + c);
        }
    }
}

#[no_mangle]
pub extern "C" fn scan_scratch_len(states: usize) -> usize {
    simd128::scan::scratch_len(states)
}

/// Skips updates below `below`, none where it is 0, and gives how many.
#[no_mangle]
pub unsafe extern "C" fn selective_scan(
    u: *const f32,
    u_stride: usize,
    delta: *const f32,
    delta_stride: usize,
    a: *const f32,
    b: *const f32,
    b_stride: usize,
    c: *const f32,
    c_stride: usize,
    d: *const f32,
    z: *const f32,
    z_stride: usize,
    delta_bias: *const f32,
    softplus: u32,
    state: *mut f32,
    y: *mut f32,
    tokens: usize,
    channels: usize,
    states: usize,
    scratch: *mut f32,
    below: f32,
) -> u32 {
    let scan = Scan {
        u,
        u_stride,
        delta,
        delta_stride,
        a,
        b,
        b_stride,
        c,
        c_stride,
        d,
        z,
        z_stride,
        delta_bias,
        softplus: softplus != 0,
        state,
        y,
        tokens,
        channels,
        states,
    };
    simd128::scan::selective_scan(&scan, below, scratch)
}

#[no_mangle]
pub unsafe extern "C" fn limit_read(p: *const f32, bytes: usize, passes: usize) -> f32 {
    limits::read(p, bytes, passes)
}

#[no_mangle]
pub unsafe extern "C" fn limit_multiply_add(rounds: usize, p: *const f32) -> f32 {
    limits::multiply_add(rounds, p)
}

#[no_mangle]
pub unsafe extern "C" fn limit_dot(rounds: usize, p: *const u8) -> f32 {
    limits::dot(rounds, p)
}
