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
