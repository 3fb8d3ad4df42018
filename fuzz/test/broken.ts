import { MambaError } from '../../packages/tensor/src/index.ts';
import type { Target } from '../fuzz.ts';

/** Everything that a reader must not do, by the first byte of the file: what the harness is for must be seen by it. */
const DEEDS: readonly (() => void)[] = [
  () => {},
  () => {
    throw new MambaError('EXPECTED', 'refused as it should be');
  },
  () => {
    while (true);
  },
  () => {
    const kept: object[] = [];
    while (true) kept.push(Array(1 << 16).fill(0.5));
  },
  () => {
    throw new TypeError('no code');
  },
  () => {
    throw new MambaError('UNEXPECTED', 'a code that is not declared');
  },
  () => {
    const before = process.threadCpuUsage().user;
    while (process.threadCpuUsage().user - before < 300_000);
  },
  () => {
    new Uint8Array(100 << 20).fill(1);
  },
];

export const DEED = { fine: 0, refused: 1, hang: 2, crash: 3, untyped: 4, undeclared: 5, slow: 6, greedy: 7 } as const;

export const target: Target = {
  name: import.meta.url,
  codes: ['EXPECTED'],
  seeds: [Uint8Array.of(0, 0)],
  mutate: (random) => Uint8Array.of(random.below(DEEDS.length), 1 + random.below(255)),
  large: [],
  structure: (file) => file.join(),
  fixture: /never/,
  declaredLength: (file) => file.length,
  async read(file) {
    if (file.length < 1) throw new MambaError('EXPECTED', 'empty');
    DEEDS[file[0]!]!();
  },
};
