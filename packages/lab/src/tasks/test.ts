import type { LanguageModel } from '@mamba-ts/layers';
import { createPause } from '@mamba-ts/tensor';
import { NO_TARGET } from '@mamba-ts/train';
import type { TaskHooks } from './run.ts';
import { exampleOf, type SyntheticTask, TEST_EXAMPLES } from './tasks.ts';

/**
 * The share of right answers to `sequences` examples that no training has seen, each read from a fresh state in pieces: the
 * likeliest id of all, where the task asks for one.
 */
export async function rightAnswers(
  model: LanguageModel,
  task: SyntheticTask,
  length: number,
  seed: number,
  sequences: number,
  { signal, onTested }: Pick<TaskHooks, 'signal' | 'onTested'> = {},
): Promise<number> {
  const pause = createPause();
  let [right, asked] = [0, 0];
  for (let i = 0; i < sequences; i++) {
    const { ids, targets } = exampleOf(task, length, seed, TEST_EXAMPLES + i);
    const state = model.createState();
    try {
      for (let start = 0; start < ids.length; start += model.maxChunk) {
        await pause();
        signal?.throwIfAborted();
        onTested?.((i + start / ids.length) / sequences);
        const wanted = targets.subarray(start, start + model.maxChunk);
        const logits = await model.forward(
          ids.subarray(start, start + model.maxChunk),
          state,
          wanted.some((target) => target !== NO_TARGET) ? 'all' : 'none',
        );
        for (const [row, target] of wanted.entries()) {
          if (target === NO_TARGET) continue;
          asked++;
          if (likeliest(logits, row * model.vocabSize, model.vocabSize) === target) right++;
        }
      }
    } finally {
      state.dispose();
    }
  }
  return right / asked;
}

function likeliest(logits: Float32Array, start: number, count: number): number {
  let best = 0;
  for (let id = 1; id < count; id++) if (logits[start + id]! > logits[start + best]!) best = id;
  return best;
}
