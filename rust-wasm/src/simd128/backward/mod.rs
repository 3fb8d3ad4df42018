//! The backward passes. Each adds to the gradients that it is given; the formulas are those of
//! packages/tensor/src/reference/ops, against which packages/kernels/test/training.test.ts compares them.

pub mod attention;
pub mod conv;
pub mod dropout;
pub mod elementwise;
pub mod loss;
pub mod mamba3;
pub mod mimo;
pub mod norm;
pub mod product;
pub mod scan;
pub mod ssd;
