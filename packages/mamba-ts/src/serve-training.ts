import { type ConfigJson, findArchitecture } from '@mamba-ts/layers';
import { createTrainable, type Share, ShareRunner, type Tuning } from '@mamba-ts/train';
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

/** Computes shares of training steps for the other end of `port`. */
export function serveTraining(port: Port): void {
  let runner: ShareRunner | null = null;
  serve(port, {
    async begin({ config, backend, values, tuning }: TrainingWork) {
      const architecture = await findArchitecture(config);
      const definition = architecture.createModel(architecture.parseConfig(config));
      runner = new ShareRunner(await createTrainable(definition, values, await createTrainingBackend(backend), tuning));
    },
    async update(values: ReadonlyMap<string, Float32Array>) {
      runner!.update(values);
    },
    run: async (share: Share) => runner!.run(share),
  });
}
