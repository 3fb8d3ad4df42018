/**
 * Moves `average` to `values` by the share 1 - decay: an exponential moving average of weights (Polyak & Juditsky 1992;
 * torch.optim.swa_utils.get_ema_multi_avg_fn).
 */
export function updateAverage(average: Float32Array, values: Float32Array, decay: number): void {
  for (let i = 0; i < average.length; i++) average[i]! += (values[i]! - average[i]!) * (1 - decay);
}
