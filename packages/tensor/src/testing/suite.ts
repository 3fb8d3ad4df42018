import type { Backend, OpName } from '../backend.ts';
import { createReferenceBackend } from '../reference/index.ts';
import type { OpCase } from './cases.ts';
import { contractTests } from './contract.ts';
import {
  EDGE_CASES,
  extremeScans,
  raggedAttention,
  raggedCases,
  replanned,
  SKIP_BELOW,
  skippingScans,
} from './edge-cases.ts';
import { QUANTISED_TOLERANCE, quantisedCases } from './quantised-cases.ts';
import { Random } from './random.ts';
import { RANDOM_CASES } from './random-cases.ts';
import { firstDifference, TOLERANCES } from './tolerance.ts';

/** What a value must be; both throw where it is not. */
export interface Expectation {
  /** By `Object.is`. */
  toBe(expected: unknown): void;
  /** By structure. */
  toEqual(expected: unknown): void;
}

/** What the suite needs of a test runner; vitest's own exports fit. Passed in, so that this package needs none. */
export interface TestApi {
  /** A group of tests; `body` runs at once. */
  describe(name: string, body: () => void): unknown;
  /** One test; it fails where `body` rejects. */
  test(name: string, body: () => Promise<void>): unknown;
  /** `message` names what is compared. */
  expect(value: unknown, message?: string): Expectation;
}

/** Which backend is tested, and how much. */
export interface ConformanceOptions {
  /** Names the backend in the titles. */
  readonly name: string;
  /** A fresh backend; called once per test, which disposes it. */
  readonly create: () => Promise<Backend>;
  /** Random cases per op; 1000 where left out. */
  readonly cases?: number;
  /** Seed of all cases; 1 where left out. A failure prints it. */
  readonly seed?: number;
  /** Ops to test; all where left out. */
  readonly ops?: readonly OpName[];
}

const OPS = Object.keys(TOLERANCES) as OpName[];

/** Runs `c` on both backends. Throws where they differ by more than the op's tolerance; `origin` says how to remake. */
export async function checkCase(backend: Backend, exact: Backend, c: OpCase, origin: string): Promise<void> {
  const tolerance = c.tolerance ?? TOLERANCES[c.op];
  const found = await c.run(backend);
  const expected = await c.run(exact);
  const bounds = await c.bounds(exact);
  for (const [name, values] of Object.entries(expected)) {
    const difference = firstDifference(found[name] ?? [], values, bounds[name] ?? null, tolerance);
    if (difference) throw new Error(`${c.op} (${c.label}): ${name}: ${difference}. ${origin}`);
  }
}

/**
 * Registers the tests that every backend must pass: each op against the f64 reference at the edge sizes and at random
 * shapes, the meaning of segments and states, and the rules of memory and errors.
 */
export function conformanceSuite(options: ConformanceOptions, api: TestApi): void {
  const { describe, test } = api;
  const seed = options.seed ?? 1;
  const cases = options.cases ?? 1000;
  const ops = options.ops ?? OPS;

  const compared = (title: string, body: (backend: Backend, exact: Backend) => Promise<void>): void => {
    test(title, async () => {
      const exact = createReferenceBackend({ precision: 'f64' });
      const backend = await options.create();
      try {
        await body(backend, exact);
      } finally {
        backend.dispose();
        exact.dispose();
      }
    });
  };
  const within = (op: OpName): string => (TOLERANCES[op] === 0 ? 'exactly' : `within ${TOLERANCES[op]} of the terms`);
  const all = async (backend: Backend, exact: Backend, list: Iterable<OpCase>): Promise<void> => {
    for (const c of list) await checkCase(backend, exact, c, `Seed ${seed}`);
  };

  describe(`${options.name} conforms to the f64 reference`, () => {
    for (const [index, op] of OPS.entries()) {
      if (!ops.includes(op)) continue;
      compared(`${op}: edge sizes, ${within(op)}`, (backend, exact) =>
        all(backend, exact, EDGE_CASES[op](new Random(seed, index))),
      );
      if (op === 'linear' || op === 'embedding') {
        const exactness = op === 'linear' ? `within ${QUANTISED_TOLERANCE} of the largest of 32` : 'exactly';
        compared(`${op}: quantised weights of every type, ${exactness}`, (backend, exact) =>
          all(backend, exact, quantisedCases(new Random(seed, index), op)),
        );
      }
      compared(
        `${op}: ${cases} random shapes, NaN and infinities among them, ${within(op)}`,
        async (backend, exact) => {
          for (let i = 0; i < cases; i++) {
            const origin = `Remake with RANDOM_CASES.${op}(new Random(${seed}, ${1000 * (index + 1) + i}))`;
            await checkCase(backend, exact, RANDOM_CASES[op](new Random(seed, 1000 * (index + 1) + i)), origin);
          }
        },
      );
    }

    const sequenceOps = (['causalConv1d', 'selectiveScan', 'ssd', 'mamba3Scan', 'rope', 'attention'] as const).filter(
      (op) => ops.includes(op),
    );
    const raggedOf = (op: OpName, stream: number) =>
      [...raggedCases(new Random(seed, stream)), ...raggedAttention(new Random(seed, stream))].filter(
        (c) => c.op === op,
      );
    for (const op of sequenceOps) {
      const ragged = (): OpCase[] => raggedOf(op, 101);
      compared(`${op}: ragged batches with resets and empty segments, ${within(op)}`, (backend, exact) =>
        all(backend, exact, ragged()),
      );
      compared(`${op}: row by row and in chunks as the whole, last state included, ${within(op)}`, (backend, exact) =>
        all(backend, exact, raggedOf(op, 102).flatMap(replanned)),
      );
    }
    for (const op of (['selectiveScan', 'ssd', 'mamba3Scan'] as const).filter((op) => ops.includes(op))) {
      const extreme = (): OpCase[] => extremeScans(new Random(seed, 103)).filter((c) => c.op === op);
      compared(`${op}: softplus at +-100 and around 20, ${within(op)}`, (backend, exact) =>
        all(backend, exact, extreme()),
      );
    }
    for (const op of (['selectiveScan', 'ssd'] as const).filter((op) => ops.includes(op))) {
      const skipping = (): OpCase[] =>
        skippingScans(new Random(seed, 104))
          .filter((c) => c.op === op)
          .flatMap((whole) => [whole, ...replanned(whole)]);
      compared(`${op}: the same updates skipped below ${SKIP_BELOW}, ${within(op)}`, (backend, exact) =>
        all(backend, exact, skipping()),
      );
    }
  });

  describe(`${options.name} keeps the contract`, () => contractTests(options.create, api));
}
