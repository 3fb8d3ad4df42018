//! The portable kernels: short loops that say what is computed.

pub mod attention;
pub mod conv;
pub mod elementwise;
pub mod linear;
pub mod mamba3;
pub mod math;
pub mod mimo;
pub mod norm;
pub mod rope;
pub mod scan;
pub mod ssd;
