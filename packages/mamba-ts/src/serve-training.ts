import { type ConfigJson, findArchitecture } from '@mamba-ts/layers';
import { type Share, ShareRunner, TrainableModel } from '@mamba-ts/train';
import { createTrainingBackend } from './backends.ts';
import { type Port, serve } from './rpc.ts';
import type { BackendName } from './types.ts';

/** What a worker that trains is started with. */
export interface TrainingWork {
  readonly config: ConfigJson;
  readonly backend: BackendName;
  readonly values: ReadonlyMap<string, Float32Array>;
}

/** Computes shares of training steps for the other end of `port`. */
export function serveTraining(port: Port): void {
  let runner: ShareRunner | null = null;
  serve(port, {
    async begin({ config, backend, values }: TrainingWork) {
      const architecture = await findArchitecture(config);
      const definition = architecture.createModel(architecture.parseConfig(config));
      const model = await TrainableModel.create(definition, values, await createTrainingBackend(backend));
      runner = new ShareRunner(model);
    },
    async update(values: ReadonlyMap<string, Float32Array>) {
      runner!.update(values);
    },
    run: async (share: Share) => runner!.run(share),
  });
}
