import { createWasmTrainingBackend } from '@mamba-ts/kernels';
import {
  type BackwardSegment,
  type ParameterSpec,
  type StateField,
  split,
  type Tensor,
  type TrainingBackend,
  type Weight,
} from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { describe, expect, test } from 'vitest';

/** Numbers from -1 to 1 that depend on a name. */
export function values(name: string, length: number, scale = 1): Float32Array {
  let state = [...name].reduce((hash, letter) => Math.imul(hash, 31) + letter.charCodeAt(0), 7);
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return scale * ((state >>> 0) / 2 ** 31 - 1);
  });
}

export const size = (shape: readonly number[]): number => shape.reduce((product, axis) => product * axis, 1);

/** One backend with what a case makes on it; `results` gathers all gradients by name. */
export class Bench {
  readonly backend: TrainingBackend;
  readonly results = new Map<string, Float32Array>();
  readonly #weights: Weight[] = [];

  constructor(backend: TrainingBackend) {
    this.backend = backend;
  }
  weight(spec: ParameterSpec, scale = 1, track = true): Weight {
    const writer = this.backend.createWeight(spec, 'f32');
    writer.write(new Uint8Array(values(spec.name, size(spec.shape), scale).buffer));
    const weight = writer.finish();
    if (track) this.backend.trackGradient(weight);
    if (track) this.#weights.push(weight);
    return weight;
  }
  /** A view into wider rows, so that strides matter. */
  tensor(name: string, rows: number, columns: number, scale = 1): Tensor {
    const wide = this.backend.upload(values(name, rows * (columns + 3), scale), [rows, columns + 3]);
    return split(wide, [2, columns, 1])[1];
  }
  /** Where a gradient is added to what is there already. */
  gradient(name: string, rows: number, columns: number): Tensor {
    return this.tensor(`d${name}`, rows, columns);
  }
  async keep(name: string, x: Tensor): Promise<void> {
    this.results.set(name, await this.backend.read(x));
  }
  async finish(): Promise<Map<string, Float32Array>> {
    for (const weight of this.#weights) this.results.set(weight.name, await this.backend.readGradient(weight));
    this.backend.endStep();
    return this.results;
  }
  /** Segments over two slots with states, one of them going on in a further segment, one reset in between. */
  segments(
    fields: readonly StateField[],
    lengths: readonly [number, number, number, number],
  ): { all: BackwardSegment[]; keep(): Promise<void> } {
    const { backend, results } = this;
    const slots = ['a', 'b', 'da', 'db'].map((name) => {
      const slot = backend.createSlot(Math.max(...fields.map((field) => field.offset + size(field.shape))));
      backend.writeSlot(slot, values(name, slot.length));
      return slot;
    });
    const [a, b, da, db] = slots as [(typeof slots)[0], (typeof slots)[0], (typeof slots)[0], (typeof slots)[0]];
    const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, length) => sum + length, 0));
    const all = lengths.map((length, i) => ({
      start: starts[i]!,
      length,
      slot: i < 2 ? a : b,
      gradient: i < 2 ? da : db,
      reset: i === 3,
    }));
    return {
      all,
      async keep() {
        for (const [i, slot] of slots.entries()) results.set(`slot ${i}`, await backend.readSlot(slot));
      },
    };
  }
}

/** What a backward op is given, on any backend. */
export type Case = (bench: Bench) => Promise<void>;

const BUILDS = ['simd', 'relaxed'] as const;

/** Compares all gradients of each case with those of the reference in f64. */
export function testCases(cases: Readonly<Record<string, Case>>): void {
  describe.each(BUILDS)(
    'backward kernels of the %s build equal the f64 reference within 1e-5 of the largest',
    (build) => {
      test.each(Object.keys(cases))('%s', async (name) => {
        const [own, exact] = [await createWasmTrainingBackend({ build }), createReferenceBackend({ precision: 'f64' })];
        const benches = [new Bench(own), new Bench(exact)] as const;
        for (const bench of benches) await cases[name]!(bench);
        const [found, expected] = await Promise.all(benches.map((bench) => bench.finish()));
        expect([...found!.keys()]).toEqual([...expected!.keys()]);
        for (const [key, want] of expected!) {
          const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
          const worst = want.reduce((most, value, i) => Math.max(most, Math.abs(value - found!.get(key)![i]!)), 0);
          expect(worst / largest, key).toBeLessThanOrEqual(1e-5);
        }
        own.dispose();
        exact.dispose();
      });
    },
  );
}
