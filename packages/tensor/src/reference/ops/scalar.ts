/** `1 / (1 + exp(-x))`. For large negative x the exponential is infinite and the quotient 0, as it should be. */
export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** `x sigmoid(x)`, also called swish. As in PyTorch, silu(-infinity) is NaN. */
export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

/**
 * `log(1 + exp(x))` without overflow. PyTorch (torch.nn.functional.softplus, threshold 20) takes the identity above
 * 20, where the difference is below 2.1e-9.
 */
export function softplus(x: number): number {
  return x > 20 ? x : Math.log1p(Math.exp(x));
}

/**
 * `2 / sqrt(pi) int_0^x exp(-t^2) dt`, by the series `2 / sqrt(pi) exp(-x^2) sum_n 2^n x^(2 n + 1) / (1 3 .. (2 n + 1))`,
 * whose terms all have one sign, so that nothing cancels. From 6 on, 1 - erf(x) < 2^-55.
 */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** The derivative of `silu`. */
export function siluSlope(x: number): number {
  const s = sigmoid(x);
  return s * (1 + x * (1 - s));
}

/** The derivative of `softplus` as it is computed: 1 above 20. */
export function softplusSlope(x: number): number {
  return x > 20 ? 1 : sigmoid(x);
}
