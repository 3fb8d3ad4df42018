export * from './backend.ts';
export * from './check.ts';
export * from './check-cache.ts';
export * from './check-ssm.ts';
export * from './dtype.ts';
export * from './errors.ts';
export { silu, softplus } from './reference/ops/scalar.ts';
export * from './tensor.ts';
export * from './weights.ts';
