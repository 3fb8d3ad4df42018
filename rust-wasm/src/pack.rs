//! Rows of a file into panels, in pieces that begin and end anywhere.

use crate::format::Format;
use crate::PANEL;

/// Puts elements `start .. start + count` of a row-major `[outputs, inputs]` matrix in their places.
/// # Safety
/// `source` points to `count` elements, `target` to the whole packed matrix.
pub unsafe fn pack<T: Copy>(source: *const T, start: usize, count: usize, inputs: usize, target: *mut T) {
    let mut done = 0;
    while done < count {
        let (row, column) = ((start + done) / inputs, (start + done) % inputs);
        let length = (inputs - column).min(count - done);
        let to = target.add((row / PANEL) * inputs * PANEL + column * PANEL + row % PANEL);
        for i in 0..length {
            *to.add(i * PANEL) = *source.add(done + i);
        }
        done += length;
    }
}

/// Whether one of `count` binary16 numbers is infinite or NaN: the kernels' conversion has no place for these.
/// # Safety
/// `source` points to `count` elements.
pub unsafe fn has_non_finite_f16(source: *const u16, count: usize) -> bool {
    let mut found = 0u16;
    for i in 0..count {
        // 0x7c00 + 0x0400 carries into bit 15 for the highest exponent only.
        found |= (*source.add(i) & 0x7c00).wrapping_add(0x0400);
    }
    found & 0x8000 != 0
}

/// Elements to f32, wherever they lie: a packed matrix stays packed.
/// # Safety
/// `source` and `target` point to `count` elements each.
pub unsafe fn widen<F: Format>(source: *const F::Bits, count: usize, target: *mut f32) {
    for i in 0..count {
        *target.add(i) = F::to_f32(*source.add(i));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_length_fill_the_panels() {
        let (outputs, inputs) = (11, 5);
        let rows: Vec<f32> = (0..outputs * inputs).map(|i| i as f32).collect();
        for piece in 1..=rows.len() {
            let mut packed = vec![-1.0; 16 * inputs];
            for start in (0..rows.len()).step_by(piece) {
                let count = piece.min(rows.len() - start);
                unsafe { pack(rows.as_ptr().add(start), start, count, inputs, packed.as_mut_ptr()) };
            }
            for (i, &value) in rows.iter().enumerate() {
                let (row, column) = (i / inputs, i % inputs);
                assert_eq!(packed[(row / 8) * inputs * 8 + column * 8 + row % 8], value);
            }
        }
    }

    #[test]
    fn infinities_and_nan_are_found() {
        for bits in 0..=u16::MAX {
            let found = unsafe { has_non_finite_f16([0x3c00, bits].as_ptr(), 2) };
            assert_eq!(found, bits & 0x7c00 == 0x7c00);
        }
    }
}
