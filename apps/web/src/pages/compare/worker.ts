// Measures models with random weights, each on a backend of its own. The page ends this worker to cancel.
import { type Contestant, compare, contestantOf } from '@mamba-ts/lab';
import { findArchitecture, findPreset, loadLanguageModel, randomWeights } from '@mamba-ts/layers';
import { createBackend } from 'mamba-ts';
import { tellError } from '../../problem.ts';
import type { CompareMessage, CompareRequest } from './messages.ts';
import type { Candidate } from './sizes.ts';

const say = (message: CompareMessage): void => self.postMessage(message);

async function load({ name, shape }: Candidate): Promise<Contestant> {
  say({ kind: 'loading', model: name });
  const { architecture, config } =
    typeof shape === 'string'
      ? await findPreset(shape)
      : { architecture: await findArchitecture(shape), config: shape };
  const tree = architecture.createModel(architecture.parseConfig(config)).parameters;
  const weights = randomWeights(tree, 'f16', 1);
  return contestantOf(name, await loadLanguageModel(architecture, config, weights, await createBackend()));
}

self.addEventListener('message', async ({ data }: MessageEvent<CompareRequest>) => {
  try {
    const contestants: Contestant[] = [];
    for (const candidate of data.candidates) contestants.push(await load(candidate));
    const report = await compare(contestants, {
      lengths: data.lengths,
      budgetSeconds: data.budgetSeconds,
      onProgress: (progress) => say({ kind: 'progress', progress }),
      onReport: (report) => say({ kind: 'report', report }),
    });
    say({ kind: 'done', report });
  } catch (error) {
    say(tellError(error));
  }
});
