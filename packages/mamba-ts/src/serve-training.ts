import { type ConfigJson, findArchitecture } from '@mamba-ts/layers';
import { createTrainable, type Share, type ShareResult, ShareRunner, type Tuning } from '@mamba-ts/train';
import { createTrainingBackend } from './backends.ts';
import { type Port, serve } from './rpc.ts';
import type { BackendName } from './types.ts';

/** What a worker that trains is started with. */
export interface TrainingWork {
  readonly config: ConfigJson;
  readonly backend: BackendName;
  /** Weights to begin with. */
  readonly values: ReadonlyMap<string, Float32Array>;
  /** What of the model is trained; all of it where left out. */
  readonly tuning?: Tuning | undefined;
}

/** Numbers by name in shared memory: a message carries them to another thread without copying them. */
export type SharedNumbers = ReadonlyMap<string, Float32Array<SharedArrayBuffer>>;

/** Room for numbers of these names and lengths. */
export const shareNumbers = (like: ReadonlyMap<string, Float32Array>): SharedNumbers =>
  new Map([...like].map(([name, { byteLength }]) => [name, new Float32Array(new SharedArrayBuffer(byteLength))]));

/** Copies into shared room. */
export function copyNumbers(from: ReadonlyMap<string, Float32Array>, to: SharedNumbers): void {
  for (const [name, values] of to) values.set(from.get(name)!);
}

/** Computes shares of training steps for the other end of `port`. Gradients lie in shared memory, in a room that is used again. */
export function serveTraining(port: Port): void {
  let runner: ShareRunner | null = null;
  // One for each share of a pass that came here.
  const rooms: SharedNumbers[] = [];
  serve(port, {
    async begin({ config, backend, values, tuning }: TrainingWork) {
      const architecture = await findArchitecture(config);
      const definition = architecture.createModel(architecture.parseConfig(config));
      runner = new ShareRunner(await createTrainable(definition, values, await createTrainingBackend(backend), tuning));
    },
    async update(values: SharedNumbers) {
      runner!.update(values);
    },
    async run({ share, room }: { share: Share; room: number }): Promise<ShareResult> {
      const result = await runner!.run(share);
      rooms[room] ??= shareNumbers(result.gradients);
      const gradients = rooms[room]!;
      copyNumbers(result.gradients, gradients);
      return { ...result, gradients };
    },
  });
}
