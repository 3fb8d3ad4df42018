//! The fast kernels, on four lanes.

pub mod attention;
pub mod backward;
pub mod chunk;
pub mod conv;
pub mod elementwise;
pub mod integer_product;
pub mod linear;
pub mod mamba3;
pub mod math;
pub mod mimo;
pub mod norm;
pub mod quantised;
pub mod recurrence;
pub mod rope;
pub mod scan;
pub mod ssd;
pub mod tile;
