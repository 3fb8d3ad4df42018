/** The Euclidean norm of all gradients as one vector; the sum is f64, in the order given. */
export function globalNorm(gradients: Iterable<Float32Array>): number {
  let squares = 0;
  for (const gradient of gradients) {
    for (let i = 0; i < gradient.length; i++) squares += gradient[i]! * gradient[i]!;
  }
  return Math.sqrt(squares);
}

/**
 * What gradients of a global norm `norm` are multiplied by so that it is at most `max`. Source: Pascanu et al. 2013;
 * torch.nn.utils.clip_grad_norm_.
 */
export function clipScale(norm: number, max: number): number {
  return Math.min(1, max / (norm + 1e-6));
}
