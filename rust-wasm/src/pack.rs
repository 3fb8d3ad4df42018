//! Rows of a file into panels, in pieces that begin and end anywhere.

use crate::format::{Format, RaisedF16};
use crate::PANEL;

/// Puts elements `start .. start + count` of a row-major `[outputs, inputs]` matrix in their places.
/// # Safety
/// `source` points to `count` elements, `target` to the whole packed matrix.
pub unsafe fn pack<F: Format>(source: *const F::Bits, start: usize, count: usize, inputs: usize, target: *mut F::Bits) {
    let mut done = 0;
    while done < count {
        let (row, column) = ((start + done) / inputs, (start + done) % inputs);
        let length = (inputs - column).min(count - done);
        let to = target.add((row / PANEL) * inputs * PANEL + column * PANEL + F::position(row % PANEL));
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

/// [`RaisedF16::raise`] in place; false where one of the numbers does not fit, and then some are raised and some not.
/// # Safety
/// `elements` points to `count` elements.
pub unsafe fn raise_f16(elements: *mut u16, count: usize) -> bool {
    for i in 0..count {
        match RaisedF16::raise(*elements.add(i)) {
            Some(raised) => *elements.add(i) = raised,
            None => return false,
        }
    }
    true
}

/// [`RaisedF16::lower`] in place.
/// # Safety
/// `elements` points to `count` elements.
pub unsafe fn lower_f16(elements: *mut u16, count: usize) {
    for i in 0..count {
        *elements.add(i) = RaisedF16::lower(*elements.add(i));
    }
}

/// A packed matrix (`count` elements, whole panels) to f32; it stays packed.
/// # Safety
/// `source` and `target` point to `count` elements each.
pub unsafe fn widen<F: Format>(source: *const F::Bits, count: usize, target: *mut f32) {
    for i in 0..count {
        *target.add(i) = F::to_f32(*source.add(i / PANEL * PANEL + F::position(i % PANEL)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{F16, F32};

    #[test]
    fn pieces_of_any_length_fill_the_panels() {
        let (outputs, inputs) = (11, 5);
        let rows: Vec<f32> = (0..outputs * inputs).map(|i| i as f32).collect();
        for piece in 1..=rows.len() {
            let mut packed = vec![-1.0; 16 * inputs];
            for start in (0..rows.len()).step_by(piece) {
                let count = piece.min(rows.len() - start);
                unsafe { pack::<F32>(rows.as_ptr().add(start), start, count, inputs, packed.as_mut_ptr()) };
            }
            for (i, &value) in rows.iter().enumerate() {
                let (row, column) = (i / inputs, i % inputs);
                assert_eq!(packed[(row / 8) * inputs * 8 + column * 8 + row % 8], value);
            }
        }
    }

    #[test]
    fn f16_lies_in_pairs_and_widens_in_order() {
        let rows: Vec<u16> = (0..24).map(|i| 0x3c00 + i).collect();
        let (mut packed, mut wide) = (vec![0u16; 24], vec![0f32; 24]);
        unsafe {
            pack::<F16>(rows.as_ptr(), 0, 24, 3, packed.as_mut_ptr());
            widen::<F16>(packed.as_ptr(), 24, wide.as_mut_ptr());
        }
        assert_eq!(packed[..8], [0, 12, 3, 15, 6, 18, 9, 21].map(|i| 0x3c00 + i));
        for (i, &value) in wide.iter().enumerate() {
            assert_eq!(value, F16::to_f32(rows[i % 8 * 3 + i / 8]));
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
