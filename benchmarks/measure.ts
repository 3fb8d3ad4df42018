import { createWasmBackend } from '@mamba-ts/kernels';
import { type Backend, matrix, type Tensor, vector, type Weight } from '@mamba-ts/tensor';

/** A backend, and what the benchmarks of single ops feed it. */
export interface Bench {
  readonly backend: Backend;
  tensor(rows: number, columns: number, offset?: number): Tensor;
  matrix(outputs: number, inputs: number): Weight;
  vector(shape: readonly number[], valueAt: (i: number) => number): Weight;
}

/** Any numbers do, as long as none is subnormal: speed does not depend on them. */
export const valueAt = (i: number): number => ((i * 7919) % 1009) / 504.5 - 0.9995;

export async function createBench(): Promise<Bench> {
  const backend = await createWasmBackend();
  const made = new Map<string, Float32Array>();
  const weight = (values: Float32Array, spec: Parameters<Backend['createWeight']>[0]): Weight => {
    const writer = backend.createWeight(spec, 'f32');
    writer.write(new Uint8Array(values.buffer));
    return writer.finish();
  };
  return {
    backend,
    tensor: (rows, columns, offset = 0) => {
      const key = `${rows * columns} ${offset}`;
      if (!made.has(key))
        made.set(
          key,
          Float32Array.from({ length: rows * columns }, (_, i) => valueAt(i) + offset),
        );
      return backend.upload(made.get(key)!, [rows, columns]);
    },
    matrix: (outputs, inputs) =>
      weight(
        Float32Array.from({ length: outputs * inputs }, (_, i) => valueAt(i) / Math.sqrt(inputs)),
        matrix('w', [outputs, inputs]),
      ),
    vector: (shape, valueAt) =>
      weight(
        Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => valueAt(i)),
        vector('v', shape),
      ),
  };
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export const spread = (values: readonly number[]): Spread => {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: sorted[sorted.length >> 1]!, min: sorted[0]!, max: sorted.at(-1)! };
};

/**
 * Milliseconds of each task, which take turns, so that whatever else the machine does meets them alike. `prepare` makes the
 * inputs anew for each run, unmeasured, after the end of a step: as in a model, no run has to ask for memory. Each runs a
 * few times unmeasured first: the engine's optimising tier compiles the kernels meanwhile.
 */
export async function measure<Name extends string, Inputs>(
  backend: Backend,
  prepare: () => Inputs,
  tasks: Readonly<Record<Name, (inputs: Inputs) => void>>,
  repeats = 15,
): Promise<Record<Name, number[]>> {
  const entries = Object.entries(tasks) as [Name, (inputs: Inputs) => void][];
  const run = (task: (inputs: Inputs) => void): number => {
    backend.endStep();
    const inputs = prepare();
    const started = performance.now();
    task(inputs);
    return performance.now() - started;
  };
  for (let i = 0; i < 3; i++) {
    for (const [, task] of entries) run(task);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const times = Object.fromEntries(entries.map(([name]) => [name, []])) as unknown as Record<Name, number[]>;
  for (let i = 0; i < repeats; i++) {
    for (const [name, task] of entries) times[name].push(run(task));
  }
  return times;
}

/** One line per task: the median of its figures, and their range. */
export function report(title: string, unit: string, rates: Readonly<Record<string, readonly number[]>>): void {
  console.log(title);
  for (const [name, values] of Object.entries(rates)) {
    const { median, min, max } = spread(values);
    console.log(
      `  ${name.padEnd(28)} ${median.toFixed(1).padStart(8)} ${unit}  (${min.toFixed(1)} to ${max.toFixed(1)})`,
    );
  }
}
