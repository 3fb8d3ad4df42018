// Initial values that the generations of Mamba share.

/** A = -exp(A_log); its derivative is the same. */
export const negExp = (value: number): number => -Math.exp(value);

/** Inverse softplus of a log-uniform step size in [1e-3, 0.1], floor 1e-4 (Gu & Dao 2023, section 3.6). */
export function inverseSoftplusOfStep(uniform: () => number): number {
  const step = Math.max(Math.exp(uniform() * Math.log(100) + Math.log(1e-3)), 1e-4);
  return step + Math.log(-Math.expm1(-step));
}
