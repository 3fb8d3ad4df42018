//! Kernels of Mamba for WebAssembly. `exports` is the only surface; it takes numbers alone. Every op exists twice
//! with one signature: `scalar`, to read, and `simd128`, to run. Arguments are checked by the TypeScript that calls.

mod alloc;
mod exports;
mod lanes;
mod limits;
mod math;
mod pack;
mod params;
#[cfg(any(test, not(target_arch = "wasm32")))]
pub mod scalar;
pub mod simd128;

pub use params::*;
