//! The recurrences of Mamba-2 and Mamba-3.

use crate::scalar::mamba3::Mamba3;
use crate::scalar::ssd::Ssd;
use crate::simd128;

#[no_mangle]
pub extern "C" fn ssd_scratch_len(width: usize, states: usize) -> usize {
    simd128::ssd::scratch_len(width, states)
}

/// Skips updates below `below`, none where it is 0, and gives how many.
#[no_mangle]
pub unsafe extern "C" fn ssd(
    x: *const f32,
    x_stride: usize,
    dt: *const f32,
    dt_stride: usize,
    a: *const f32,
    b: *const f32,
    b_stride: usize,
    c: *const f32,
    c_stride: usize,
    d: *const f32,
    d_per_channel: u32,
    dt_bias: *const f32,
    low: f32,
    high: f32,
    state: *mut f32,
    y: *mut f32,
    tokens: usize,
    heads: usize,
    width: usize,
    states: usize,
    groups: usize,
    scratch: *mut f32,
    below: f32,
) -> u32 {
    let arguments = Ssd {
        x,
        x_stride,
        dt,
        dt_stride,
        a,
        b,
        b_stride,
        c,
        c_stride,
        d,
        d_per_channel: d_per_channel != 0,
        dt_bias,
        low,
        high,
        state,
        y,
        tokens,
        heads,
        width,
        states,
        groups,
    };
    simd128::ssd::ssd(&arguments, below, scratch)
}

#[no_mangle]
pub extern "C" fn mamba3_scratch_len(width: usize, states: usize, rank: usize, angles: usize) -> usize {
    simd128::mamba3::scratch_len(width, states, rank, angles)
}

#[no_mangle]
pub unsafe extern "C" fn mamba3_scan(
    x: *const f32,
    x_stride: usize,
    dt: *const f32,
    dt_stride: usize,
    a: *const f32,
    a_stride: usize,
    trap: *const f32,
    trap_stride: usize,
    angle: *const f32,
    angle_stride: usize,
    b: *const f32,
    b_stride: usize,
    c: *const f32,
    c_stride: usize,
    dt_bias: *const f32,
    b_bias: *const f32,
    c_bias: *const f32,
    d: *const f32,
    mimo_x: *const f32,
    halves: u32,
    softplus: u32,
    floor: f32,
    theta: *mut f32,
    state: *mut f32,
    k_before: *mut f32,
    x_before: *mut f32,
    y: *mut f32,
    tokens: usize,
    heads: usize,
    width: usize,
    states: usize,
    groups: usize,
    rank: usize,
    angles: usize,
    scratch: *mut f32,
) {
    let arguments = Mamba3 {
        x,
        x_stride,
        dt,
        dt_stride,
        a,
        a_stride,
        trap,
        trap_stride,
        angle,
        angle_stride,
        b,
        b_stride,
        c,
        c_stride,
        dt_bias,
        b_bias,
        c_bias,
        d,
        mimo_x,
        halves: halves != 0,
        softplus: softplus != 0,
        floor,
        theta,
        state,
        k_before,
        x_before,
        y,
        tokens,
        heads,
        width,
        states,
        groups,
        rank,
        angles,
    };
    simd128::mamba3::mamba3_scan(&arguments, scratch)
}

#[no_mangle]
pub unsafe extern "C" fn mimo_gate(
    y: *const f32,
    y_stride: usize,
    gate: *const f32,
    gate_stride: usize,
    w_gate: *const f32,
    w_out: *const f32,
    out: *mut f32,
    tokens: usize,
    heads: usize,
    rank: usize,
    width: usize,
) {
    simd128::mimo::mimo_gate(y, y_stride, gate, gate_stride, w_gate, w_out, out, tokens, heads, rank, width)
}
