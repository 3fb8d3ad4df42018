import { type Backend, MambaError, type Ops, type UpdateSkipping } from '@mamba-ts/tensor';
import type { Architecture } from './architecture.ts';

/**
 * Counts for a model of `architecture` that skips updates below `below`. Throws `INVALID_OPTION` for what is no number
 * above 0, `SKIP_MODEL` where the architecture has no such updates.
 */
export function startSkipping(architecture: Architecture, below: number): UpdateSkipping {
  if (!(typeof below === 'number' && below > 0)) {
    throw new MambaError('INVALID_OPTION', `skipBelow is ${below}, expected a number above 0, such as 1e-3`, {
      option: 'skipBelow',
      found: below,
    });
  }
  if (!architecture.skipsUpdates) {
    throw new MambaError(
      'SKIP_MODEL',
      `skipBelow: a model of type ${architecture.modelTypes[0]} has no updates that can be skipped; Mamba-1 and Mamba-2 ` +
        'have. Leave the option out',
      { modelType: architecture.modelTypes[0] },
    );
  }
  return { below, updates: 0, skipped: 0 };
}

/** The ops of a backend for a model that skips updates: the layers do not know. */
export function skippingOps(backend: Backend, skipping: UpdateSkipping): Ops {
  return {
    ...backend,
    selectiveScan: (u, delta, A, B, C, D, z, deltaBias, deltaSoftplus, state, segments) =>
      backend.selectiveScan(u, delta, A, B, C, D, z, deltaBias, deltaSoftplus, state, segments, skipping),
    ssd: (x, dt, A, B, C, D, dtBias, dtLimit, state, segments) =>
      backend.ssd(x, dt, A, B, C, D, dtBias, dtLimit, state, segments, skipping),
  };
}
