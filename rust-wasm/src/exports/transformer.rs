//! The kernels of Transformers.
#![allow(clippy::missing_safety_doc, clippy::too_many_arguments)]

use crate::scalar::attention::Attention;
use crate::simd128;

#[no_mangle]
pub unsafe extern "C" fn layer_norm(
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    bias: *const f32,
    y: *mut f32,
    tokens: usize,
    width: usize,
    eps: f32,
) {
    simd128::norm::layer_norm(x, x_stride, w, bias, y, tokens, width, eps)
}

#[no_mangle]
pub unsafe extern "C" fn gelu(x: *const f32, x_stride: usize, y: *mut f32, tokens: usize, width: usize, tanh: u32) {
    simd128::elementwise::gelu(x, x_stride, y, tokens, width, tanh != 0)
}

#[no_mangle]
pub unsafe extern "C" fn rope(
    x: *const f32,
    x_stride: usize,
    table: *const f32,
    y: *mut f32,
    tokens: usize,
    heads: usize,
    width: usize,
    turned: usize,
    pairs: u32,
) {
    simd128::rope::rope(x, x_stride, table, y, tokens, heads, width, turned, pairs != 0)
}

#[no_mangle]
pub extern "C" fn attention_scratch_len(width: usize) -> usize {
    simd128::attention::scratch_len(width)
}

#[no_mangle]
pub unsafe extern "C" fn attention(
    q: *const f32,
    q_stride: usize,
    k: *const f32,
    k_stride: usize,
    v: *const f32,
    v_stride: usize,
    y: *mut f32,
    pages: *const *mut f32,
    keys: usize,
    values: usize,
    heads: usize,
    group: usize,
    width: usize,
    position: usize,
    tokens: usize,
    scale: f32,
    scratch: *mut f32,
) {
    let arguments = Attention {
        q,
        q_stride,
        k,
        k_stride,
        v,
        v_stride,
        y,
        pages,
        keys,
        values,
        heads,
        group,
        width,
        position,
        tokens,
        scale,
    };
    simd128::attention::attention(&arguments, scratch)
}
