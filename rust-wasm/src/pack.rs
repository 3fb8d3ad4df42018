//! From the row-major order of files to the panels of `Matrix`, piece by piece, and rows back out of them.

use crate::params::{DType, Matrix, PANEL, position};

#[inline(always)]
unsafe fn scatter<E: Copy>(w: &Matrix, first: usize, pieces: *const E, count: usize) {
    let mut done = 0;
    while done < count {
        let (row, start) = ((first + done) / w.inputs, (first + done) % w.inputs);
        let run = (w.inputs - start).min(count - done);
        unsafe {
            let panel = (w.data as *mut E).add(row / PANEL * PANEL * w.inputs);
            let to = panel.add(start * PANEL + position(w.dtype, row % PANEL));
            for i in 0..run {
                *to.add(i * PANEL) = *pieces.add(done + i);
            }
        }
        done += run;
    }
}

/// Packs `count` elements, of which the first is element `first` of the row-major matrix. A piece may begin and end
/// in the middle of a row.
///
/// # Safety
/// `w` is writable and `pieces` holds `count` elements of its dtype; `first + count` is within the matrix.
pub unsafe fn pack(w: &Matrix, first: usize, pieces: *const u8, count: usize) {
    match w.dtype {
        DType::F32 => unsafe { scatter(w, first, pieces as *const u32, count) },
        DType::F16 | DType::Bf16 => unsafe { scatter(w, first, pieces as *const u16, count) },
    }
}

/// Whether one of `count` f16 at `p` is infinite or NaN; the f16 kernels take finite values only.
///
/// # Safety
/// `count` f16 are readable at `p`.
pub unsafe fn has_non_finite_f16(p: *const u16, count: usize) -> bool {
    let values = unsafe { core::slice::from_raw_parts(p, count) };
    values.iter().fold(false, |found, v| found | (v & 0x7c00 == 0x7c00))
}

/// A finite f16 as f32: its bits in the places of an f32 are 2^-112 of the value.
#[inline(always)]
pub fn f16_to_f32(bits: u16) -> f32 {
    let small = (((bits as i16 as i32) << 13) as u32) & 0x8fff_e000;
    f32::from_bits(small) * f32::from_bits((127 + 112) << 23)
}

/// The element of a packed matrix at (`row`, `column`).
///
/// # Safety
/// Both lie within the padded matrix.
#[inline(always)]
pub unsafe fn element(w: &Matrix, row: usize, column: usize) -> f32 {
    let at = (row / PANEL * w.inputs + column) * PANEL + position(w.dtype, row % PANEL);
    unsafe {
        match w.dtype {
            DType::F32 => *(w.data as *const f32).add(at),
            DType::F16 => f16_to_f32(*(w.data as *const u16).add(at)),
            DType::Bf16 => f32::from_bits((*(w.data as *const u16).add(at) as u32) << 16),
        }
    }
}

/// Copies a packed f16 matrix of finite values to a packed f32 matrix of the same size.
///
/// # Safety
/// Both hold `outputs` rounded up to panels.
pub unsafe fn widen(to: &Matrix, from: &Matrix) {
    for row in 0..from.outputs.next_multiple_of(PANEL) {
        for column in 0..from.inputs {
            let at = (row / PANEL * to.inputs + column) * PANEL + position(to.dtype, row % PANEL);
            unsafe { *(to.data as *mut f32).add(at) = element(from, row, column) };
        }
    }
}

/// `y[t] = w[ids[t]]`, y `[T, inputs]` contiguous.
///
/// # Safety
/// Every id is a row of `w`; y is writable.
pub unsafe fn embedding(ids: *const i32, tokens: usize, w: &Matrix, y: *mut f32) {
    for t in 0..tokens {
        let row = unsafe { *ids.add(t) } as usize;
        for i in 0..w.inputs {
            unsafe { *y.add(t * w.inputs + i) = element(w, row, i) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_length_pack_to_the_same_panels_and_gather_back() {
        for dtype in [DType::F32, DType::F16, DType::Bf16] {
            for (outputs, inputs) in [(1, 1), (3, 5), (8, 4), (17, 9)] {
                let values: Vec<f32> = (0..outputs * inputs).map(|i| i as f32 - 7.0).collect();
                let bytes: Vec<u8> = values
                    .iter()
                    .flat_map(|&v| match dtype {
                        DType::F32 => v.to_le_bytes().to_vec(),
                        DType::F16 => crate::scalar::testing::to_f16(v).to_le_bytes().to_vec(),
                        DType::Bf16 => ((v.to_bits() >> 16) as u16).to_le_bytes().to_vec(),
                    })
                    .collect();
                for step in [1, 2, 7, values.len()] {
                    let mut packed = vec![0u32; outputs.next_multiple_of(PANEL) * inputs];
                    let w = Matrix { data: packed.as_mut_ptr() as *const u8, dtype, outputs, inputs };
                    let mut at = 0;
                    while at < values.len() {
                        let count = step.min(values.len() - at);
                        // Copied so that the piece is aligned, as the staging block is.
                        let piece: Vec<u8> = bytes[at * dtype.bytes()..(at + count) * dtype.bytes()].to_vec();
                        let mut aligned = vec![0u32; piece.len().div_ceil(4)];
                        unsafe {
                            core::ptr::copy_nonoverlapping(piece.as_ptr(), aligned.as_mut_ptr() as *mut u8, piece.len());
                            pack(&w, at, aligned.as_ptr() as *const u8, count);
                        }
                        at += count;
                    }
                    let ids: Vec<i32> = (0..outputs as i32).collect();
                    let mut rows = vec![0f32; outputs * inputs];
                    unsafe { embedding(ids.as_ptr(), outputs, &w, rows.as_mut_ptr()) };
                    assert_eq!(rows, values);
                    let mut wide = vec![0f32; packed.len()];
                    if dtype == DType::F16 {
                        let to = Matrix { data: wide.as_mut_ptr() as *const u8, dtype: DType::F32, ..w };
                        let mut rows = vec![0f32; outputs * inputs];
                        unsafe {
                            widen(&to, &w);
                            embedding(ids.as_ptr(), outputs, &to, rows.as_mut_ptr());
                        }
                        assert_eq!(rows, values);
                    }
                }
            }
        }
    }

    #[test]
    fn every_finite_f16_decodes() {
        assert_eq!(f16_to_f32(0x0001), 2f32.powi(-24));
        assert_eq!(f16_to_f32(0x83ff), -1023.0 * 2f32.powi(-24));
        assert_eq!(f16_to_f32(0x0400), 2f32.powi(-14));
        assert_eq!(f16_to_f32(0x3c00), 1.0);
        assert_eq!(f16_to_f32(0xfbff), -65504.0);
        assert!(f16_to_f32(0x8000).is_sign_negative());
        for (bits, found) in [(0x7bff, false), (0x7c00, true), (0xfc00, true), (0x7e01, true)] {
            assert_eq!(unsafe { has_non_finite_f16([0, bits, 1].as_ptr(), 3) }, found);
        }
    }
}
