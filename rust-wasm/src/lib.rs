#![cfg_attr(target_feature = "atomics", feature(stdarch_wasm_atomic_wait))]
//! The kernels behind `@mamba-ts/kernels`.
//!
//! `scalar` is the portable form of each op: short loops that say what is computed. `simd128` is the fast form with the
//! same signatures, written on [`lanes`], so that it also runs (and is tested) natively. `exports` is all that
//! JavaScript sees. Arguments are checked in TypeScript: pointers are byte addresses of live, 4-byte aligned memory.
//!
//! Matrices are packed into panels of [`PANEL`] outputs: `[outputs / 8][inputs][8]`, the last panel filled up with
//! zeros. A matrix-vector product then reads its weights once, front to back, and a panel's column is two vectors.

pub mod alloc;
pub mod blocks;
pub mod exports;
pub mod format;
pub mod integers;
pub mod lanes;
pub mod limits;
pub mod pack;
pub mod pool;
pub mod scalar;
pub mod simd128;

/// Outputs that lie side by side in a packed matrix.
pub const PANEL: usize = 8;

// wasm-pack insists on the dependency; the builds with threads go without wasm-pack.
#[cfg(not(target_feature = "atomics"))]
use wasm_bindgen as _;
