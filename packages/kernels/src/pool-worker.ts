// The browser's worker of the pool.
import { enterPool } from './enter-pool.ts';
import type { PoolStart } from './pool.ts';

addEventListener('message', ({ data }: MessageEvent<PoolStart>) => enterPool(data), { once: true });
