import { MambaError } from '@mamba-ts/tensor';

/** How the learning rate goes over a training. */
export interface ScheduleOptions {
  /** Steps of the training. */
  readonly steps: number;
  /** Steps in which it rises from 0. */
  readonly warmup: number;
  /** `cosine`: falls from the peak on, by half a cosine; `wsd`: stays, and falls straight in the last `decay` steps. */
  readonly shape: 'cosine' | 'wsd';
  /** Of `wsd`. */
  readonly decay?: number;
  /** Where it ends, as a share of the peak. */
  readonly floor?: number;
}

/**
 * The learning rate of step 1 .. steps as a share of its peak: after `warmup` steps it is 1, after the last `floor`.
 * Sources: Loshchilov & Hutter 2017, equation 5; Hu et al. 2024 (warm-up, stable, decay);
 * transformers get_cosine_with_min_lr_schedule_with_warmup and get_wsd_schedule (decay_type "linear").
 */
export function schedule({ steps, warmup, shape, decay = 0, floor = 0 }: ScheduleOptions): (step: number) => number {
  const falling = shape === 'cosine' ? steps - warmup : decay;
  if (!(warmup >= 0 && falling >= 0 && warmup + falling <= steps)) {
    throw new MambaError(
      'ARGUMENT',
      `a training of ${steps} steps cannot have ${warmup} of warm-up and ${falling} of decay. Make them shorter`,
      { steps, warmup, decay: falling },
    );
  }
  return (step) => {
    if (step < warmup) return step / warmup;
    const progress = falling === 0 ? 0 : Math.min(1, Math.max(0, (step - (steps - falling)) / falling));
    const left = shape === 'cosine' ? (1 + Math.cos(Math.PI * progress)) / 2 : 1 - progress;
    return floor + (1 - floor) * left;
  };
}

/** Steps by whose time the number of all is fixed, where a run has minutes instead. */
export const TIMED_STEPS = 20;

/** As many steps of `secondsPerStep` as fit into so many minutes, but no fewer than were timed, or `least`. */
export function stepsFor(minutes: number, secondsPerStep: number, least: number): number {
  return Math.max(TIMED_STEPS, least, Math.round((60 * minutes) / secondsPerStep));
}
