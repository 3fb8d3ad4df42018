//! What the kernels take. Pointers are to f32 unless said otherwise; strides count elements. T tokens, C channels,
//! N states, K taps.

/// A `[rows, columns]` view: the last axis is contiguous.
#[derive(Clone, Copy)]
pub struct View {
    pub data: *const f32,
    /// Elements from one row to the next.
    pub stride: usize,
}

impl View {
    /// Row `t`.
    ///
    /// # Safety
    /// The view has more than `t` rows.
    #[inline(always)]
    pub unsafe fn row(&self, t: usize) -> *const f32 {
        unsafe { self.data.add(t * self.stride) }
    }
}

/// How the elements of a matrix lie in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DType {
    F32,
    F16,
    Bf16,
}

impl DType {
    pub fn bytes(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F16 | DType::Bf16 => 2,
        }
    }
}

/// Outputs of one panel.
pub const PANEL: usize = 8;

/// A weight matrix `[outputs, inputs]`, packed as `[outputs / 8][inputs][8]`; the last panel is padded with zeros.
///
/// The eight f32 of one input lie in order. Eight 16-bit values are four words, of which word `j` holds output `j`
/// in its low half and output `j + 4` in its high half: then a shift and a mask make two vectors of four.
#[derive(Clone, Copy)]
pub struct Matrix {
    pub data: *const u8,
    pub dtype: DType,
    pub outputs: usize,
    pub inputs: usize,
}

impl Matrix {
    /// Bytes of one panel.
    #[inline(always)]
    pub fn panel_bytes(&self) -> usize {
        self.inputs * PANEL * self.dtype.bytes()
    }
}

/// Where output `lane` of a panel lies among the eight values of one input.
#[inline(always)]
pub fn position(dtype: DType, lane: usize) -> usize {
    match dtype {
        DType::F32 => lane,
        DType::F16 | DType::Bf16 => (lane % 4) * 2 + lane / 4,
    }
}

/// `y[t, o] = sum_i x[t, i] w[o, i] + bias[o]`; y `[T, outputs]` contiguous; `bias` may be null.
pub struct Linear {
    pub x: View,
    pub tokens: usize,
    pub w: Matrix,
    pub bias: *const f32,
    pub y: *mut f32,
    /// `linear_scratch_bytes` of memory, 64-byte aligned.
    pub scratch: *mut f32,
}

/// `y[t] = x[t] / sqrt(mean(x[t]^2) + eps) * w`; `w` may be null; y contiguous.
pub struct RmsNorm {
    pub x: View,
    pub tokens: usize,
    pub channels: usize,
    pub w: *const f32,
    pub eps: f32,
    pub y: *mut f32,
}

/// One segment of `y[t, c] = act(bias[c] + sum_k w[c, k] x[t - K + 1 + k, c])`; state `[C, K-1]`; `bias` may be null.
pub struct CausalConv1d {
    pub x: View,
    pub tokens: usize,
    pub channels: usize,
    pub taps: usize,
    pub w: *const f32,
    pub bias: *const f32,
    pub silu: bool,
    pub state: *mut f32,
    pub y: *mut f32,
}

/// One segment of the selective scan; `d`, `z` (its data) and `delta_bias` may be null.
pub struct SelectiveScan {
    pub u: View,
    pub delta: View,
    pub a: *const f32,
    pub b: View,
    pub c: View,
    pub d: *const f32,
    pub z: View,
    pub delta_bias: *const f32,
    pub delta_softplus: bool,
    pub tokens: usize,
    pub channels: usize,
    pub states: usize,
    /// `[C, N]`, updated in place.
    pub state: *mut f32,
    pub y: *mut f32,
    /// `selective_scan_scratch_bytes` of memory, 64-byte aligned.
    pub scratch: *mut f32,
}
