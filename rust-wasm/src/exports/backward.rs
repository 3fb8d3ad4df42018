//! The backward passes.
#![allow(clippy::missing_safety_doc, clippy::too_many_arguments)]

use crate::scalar::conv::load_history;
use crate::scalar::conv::store_history;
use crate::scalar::mamba3::Mamba3;
use crate::scalar::scan::Scan;
use crate::scalar::ssd::Ssd;
use crate::simd128::backward::{attention, conv, dropout, elementwise, loss, mamba3, mimo, norm, product, scan, ssd};

#[no_mangle]
pub extern "C" fn weight_gradient_scratch_len() -> usize {
    product::SCRATCH
}

#[no_mangle]
pub unsafe extern "C" fn input_gradient(
    dy: *const f32,
    dy_stride: usize,
    w: *const f32,
    dx: *mut f32,
    dx_stride: usize,
    tokens: usize,
    inputs: usize,
    outputs: usize,
) {
    product::input_gradient(dy, dy_stride, w, dx, dx_stride, tokens, inputs, outputs)
}

#[no_mangle]
pub unsafe extern "C" fn weight_gradient(
    dy: *const f32,
    dy_stride: usize,
    x: *const f32,
    x_stride: usize,
    dw: *mut f32,
    tokens: usize,
    inputs: usize,
    outputs: usize,
    scratch: *mut f32,
) {
    product::weight_gradient(dy, dy_stride, x, x_stride, dw, tokens, inputs, outputs, scratch)
}

#[no_mangle]
pub unsafe extern "C" fn add_rows(
    from: *const f32,
    from_stride: usize,
    to: *mut f32,
    to_stride: usize,
    tokens: usize,
    width: usize,
) {
    elementwise::add_rows(from, from_stride, to, to_stride, tokens, width)
}

#[no_mangle]
pub unsafe extern "C" fn add_columns(from: *const f32, stride: usize, to: *mut f32, tokens: usize, width: usize) {
    elementwise::add_columns(from, stride, to, tokens, width)
}

#[no_mangle]
pub unsafe extern "C" fn embedding_backward(
    ids: *const u32,
    dy: *const f32,
    dy_stride: usize,
    dw: *mut f32,
    tokens: usize,
    width: usize,
) {
    elementwise::embedding(ids, dy, dy_stride, dw, tokens, width)
}

#[no_mangle]
pub unsafe extern "C" fn silu_gate_backward(
    x: *const f32,
    x_stride: usize,
    gate: *const f32,
    gate_stride: usize,
    dy: *const f32,
    dy_stride: usize,
    dx: *mut f32,
    dx_stride: usize,
    dgate: *mut f32,
    dgate_stride: usize,
    tokens: usize,
    width: usize,
) {
    elementwise::silu_gate(
        x,
        x_stride,
        gate,
        gate_stride,
        dy,
        dy_stride,
        dx,
        dx_stride,
        dgate,
        dgate_stride,
        tokens,
        width,
    )
}

#[no_mangle]
pub unsafe extern "C" fn rms_norm_backward(
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    w_len: usize,
    dy: *const f32,
    dy_stride: usize,
    dx: *mut f32,
    dx_stride: usize,
    dw: *mut f32,
    tokens: usize,
    width: usize,
    groups: usize,
    eps: f32,
) {
    norm::rms_norm(x, x_stride, w, w_len, dy, dy_stride, dx, dx_stride, dw, tokens, width, groups, eps)
}

#[no_mangle]
pub unsafe extern "C" fn cross_entropy(
    logits: *mut f32,
    targets: *const u32,
    losses: *mut f32,
    slopes: *const f32,
    rows: usize,
    vocabulary: usize,
) {
    loss::cross_entropy(logits, targets, losses, slopes, rows, vocabulary)
}

#[no_mangle]
pub unsafe extern "C" fn dropout(
    x: *const f32,
    x_stride: usize,
    y: *mut f32,
    y_stride: usize,
    tokens: usize,
    width: usize,
    site: u32,
    step_low: u32,
    step_high: u32,
    seed_low: u32,
    seed_high: u32,
    limit: f64,
    scale: f32,
    add: u32,
) {
    let words = [site, step_low, step_high, seed_low, seed_high];
    dropout::dropout(x, x_stride, y, y_stride, tokens, width, words, limit, scale, add != 0)
}

#[no_mangle]
pub extern "C" fn causal_conv_backward_scratch_len(tokens: usize, channels: usize, taps: usize) -> usize {
    conv::scratch_len(tokens, taps) + 3 * channels * taps
}

/// `w` is `[taps, channels]`, `dw` `[channels, taps]`; `state` and `gradient` are `[channels, taps - 1]`.
#[no_mangle]
pub unsafe extern "C" fn causal_conv_backward(
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    bias: *const f32,
    state: *const f32,
    dy: *const f32,
    dy_stride: usize,
    dx: *mut f32,
    dx_stride: usize,
    dw: *mut f32,
    dbias: *mut f32,
    gradient: *mut f32,
    tokens: usize,
    channels: usize,
    taps: usize,
    with_silu: u32,
    scratch: *mut f32,
) {
    let history = scratch.add(conv::scratch_len(tokens, taps));
    let slopes = history.add(channels * taps);
    let sums = slopes.add(channels * taps);
    load_history(state, history, channels, taps);
    load_history(gradient, slopes, channels, taps);
    core::ptr::write_bytes(sums, 0, channels * taps);
    conv::causal_conv(
        x,
        x_stride,
        w,
        bias,
        history,
        dy,
        dy_stride,
        dx,
        dx_stride,
        sums,
        dbias,
        slopes,
        tokens,
        channels,
        taps,
        with_silu != 0,
        scratch,
    );
    // With no row of x, the "last inputs" are the history itself.
    store_history(core::ptr::null(), 0, slopes, gradient, 0, channels, taps);
    if !dw.is_null() {
        for c in 0..channels {
            for k in 0..taps {
                *dw.add(c * taps + k) += *sums.add(k * channels + c);
            }
        }
    }
}

#[no_mangle]
pub extern "C" fn scan_backward_scratch_len(tokens: usize, states: usize) -> usize {
    scan::scratch_len(tokens, states)
}

#[no_mangle]
pub unsafe extern "C" fn selective_scan_backward(
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
    tokens: usize,
    channels: usize,
    states: usize,
    dy: *const f32,
    dy_stride: usize,
    du: *mut f32,
    du_stride: usize,
    ddelta: *mut f32,
    ddelta_stride: usize,
    db: *mut f32,
    db_stride: usize,
    dc: *mut f32,
    dc_stride: usize,
    dz: *mut f32,
    dz_stride: usize,
    da: *mut f32,
    dd: *mut f32,
    ddelta_bias: *mut f32,
    gradient: *mut f32,
    scratch: *mut f32,
) {
    let forward = Scan {
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
        y: core::ptr::null_mut(),
        tokens,
        channels,
        states,
    };
    let gradients = scan::Gradients {
        dy,
        dy_stride,
        u: du,
        u_stride: du_stride,
        delta: ddelta,
        delta_stride: ddelta_stride,
        b: db,
        b_stride: db_stride,
        c: dc,
        c_stride: dc_stride,
        z: dz,
        z_stride: dz_stride,
        a: da,
        d: dd,
        delta_bias: ddelta_bias,
        state: gradient,
    };
    scan::selective_scan(&forward, &gradients, scratch)
}

#[no_mangle]
pub unsafe extern "C" fn gelu_backward(
    x: *const f32,
    x_stride: usize,
    dy: *const f32,
    dy_stride: usize,
    dx: *mut f32,
    dx_stride: usize,
    tokens: usize,
    width: usize,
    tanh: u32,
) {
    elementwise::gelu(x, x_stride, dy, dy_stride, dx, dx_stride, tokens, width, tanh != 0)
}

#[no_mangle]
pub unsafe extern "C" fn layer_norm_backward(
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    dy: *const f32,
    dy_stride: usize,
    dx: *mut f32,
    dx_stride: usize,
    dw: *mut f32,
    dbias: *mut f32,
    tokens: usize,
    width: usize,
    eps: f32,
) {
    norm::layer_norm(x, x_stride, w, dy, dy_stride, dx, dx_stride, dw, dbias, tokens, width, eps)
}

#[no_mangle]
pub extern "C" fn attention_backward_scratch_len(tokens: usize) -> usize {
    attention::scratch_len(tokens)
}

#[no_mangle]
pub unsafe extern "C" fn attention_backward(
    q: *const f32,
    q_stride: usize,
    k: *const f32,
    k_stride: usize,
    v: *const f32,
    v_stride: usize,
    dy: *const f32,
    dy_stride: usize,
    dq: *mut f32,
    dq_stride: usize,
    dk: *mut f32,
    dk_stride: usize,
    dv: *mut f32,
    dv_stride: usize,
    tokens: usize,
    heads: usize,
    group: usize,
    width: usize,
    scale: f32,
    scratch: *mut f32,
) {
    let gradient = attention::AttentionGradient {
        q,
        q_stride,
        k,
        k_stride,
        v,
        v_stride,
        dy,
        dy_stride,
        dq,
        dq_stride,
        dk,
        dk_stride,
        dv,
        dv_stride,
        tokens,
        heads,
        group,
        width,
        scale,
    };
    attention::attention(&gradient, scratch)
}

#[no_mangle]
pub extern "C" fn ssd_backward_scratch_len(tokens: usize, width: usize, states: usize) -> usize {
    ssd::scratch_len(tokens, width, states)
}

#[no_mangle]
pub unsafe extern "C" fn ssd_backward(
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
    tokens: usize,
    heads: usize,
    width: usize,
    states: usize,
    groups: usize,
    dy: *const f32,
    dy_stride: usize,
    dx: *mut f32,
    dx_stride: usize,
    ddt: *mut f32,
    ddt_stride: usize,
    db: *mut f32,
    db_stride: usize,
    dc: *mut f32,
    dc_stride: usize,
    da: *mut f32,
    dd: *mut f32,
    ddt_bias: *mut f32,
    gradient: *mut f32,
    scratch: *mut f32,
) {
    let forward = Ssd {
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
        y: core::ptr::null_mut(),
        tokens,
        heads,
        width,
        states,
        groups,
    };
    let gradients = ssd::Gradients {
        dy,
        dy_stride,
        x: dx,
        x_stride: dx_stride,
        dt: ddt,
        dt_stride: ddt_stride,
        b: db,
        b_stride: db_stride,
        c: dc,
        c_stride: dc_stride,
        a: da,
        d: dd,
        dt_bias: ddt_bias,
        state: gradient,
    };
    ssd::ssd(&forward, &gradients, scratch)
}

#[no_mangle]
pub extern "C" fn mamba3_backward_scratch_len(
    tokens: usize,
    width: usize,
    states: usize,
    rank: usize,
    angles: usize,
) -> usize {
    mamba3::scratch_len(tokens, width, states, rank, angles)
}

#[no_mangle]
pub unsafe extern "C" fn mamba3_scan_backward(
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
    tokens: usize,
    heads: usize,
    width: usize,
    states: usize,
    groups: usize,
    rank: usize,
    angles: usize,
    dy: *const f32,
    dy_stride: usize,
    dx: *mut f32,
    dx_stride: usize,
    ddt: *mut f32,
    ddt_stride: usize,
    da: *mut f32,
    da_stride: usize,
    dtrap: *mut f32,
    dtrap_stride: usize,
    dangle: *mut f32,
    dangle_stride: usize,
    db: *mut f32,
    db_stride: usize,
    dc: *mut f32,
    dc_stride: usize,
    ddt_bias: *mut f32,
    db_bias: *mut f32,
    dc_bias: *mut f32,
    dd: *mut f32,
    dmimo_x: *mut f32,
    dtheta: *mut f32,
    dstate: *mut f32,
    dk_before: *mut f32,
    dx_before: *mut f32,
    scratch: *mut f32,
) {
    let forward = Mamba3 {
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
        y: core::ptr::null_mut(),
        tokens,
        heads,
        width,
        states,
        groups,
        rank,
        angles,
    };
    let gradients = mamba3::Gradients {
        dy,
        dy_stride,
        x: dx,
        x_stride: dx_stride,
        dt: ddt,
        dt_stride: ddt_stride,
        a: da,
        a_stride: da_stride,
        trap: dtrap,
        trap_stride: dtrap_stride,
        angle: dangle,
        angle_stride: dangle_stride,
        b: db,
        b_stride: db_stride,
        c: dc,
        c_stride: dc_stride,
        dt_bias: ddt_bias,
        b_bias: db_bias,
        c_bias: dc_bias,
        d: dd,
        mimo_x: dmimo_x,
        theta: dtheta,
        state: dstate,
        k_before: dk_before,
        x_before: dx_before,
    };
    mamba3::mamba3_scan(&forward, &gradients, scratch)
}

#[no_mangle]
pub unsafe extern "C" fn mimo_gate_backward(
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
    mimo::mimo_gate(
        y,
        y_stride,
        gate,
        gate_stride,
        w_gate,
        w_out,
        dout,
        dout_stride,
        dy,
        dy_stride,
        dgate,
        dgate_stride,
        dw_gate,
        dw_out,
        tokens,
        heads,
        rank,
        width,
    )
}
