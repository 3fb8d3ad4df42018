import { generate } from '@mamba-ts/generate';
import type { LanguageModel, State } from '@mamba-ts/layers';
import { expect, test } from 'vitest';

/** Takes 8 tokens and no more, as a Transformer does, and always goes on with id 3. */
function modelOfEight(): LanguageModel {
  const createState = (): State => ({ position: 0, byteLength: 0, dispose() {} }) as unknown as State;
  return {
    vocabSize: 5,
    eosTokenIds: [],
    bosTokenId: null,
    contextLength: 8,
    maxChunk: 4,
    createState,
    async forward(ids: Int32Array, state: State) {
      (state as { position: number }).position += ids.length;
      if (state.position > 8) throw new Error('past the context');
      return Float32Array.of(0, 0, 0, 9, 0);
    },
  } as unknown as LanguageModel;
}

test.each([
  [5, 100, 4, 'the context is full: one more than fits is chosen, and not fed'],
  [5, 2, 2, 'maxTokens comes first'],
  [8, 100, 1, 'the prompt fills the context'],
])('a prompt of %i with maxTokens %i gives %i tokens: %s', async (prompt, maxTokens, expected) => {
  const tokens = generate(modelOfEight(), new Int32Array(prompt), { maxTokens, temperature: 0 });
  let next = await tokens.next();
  while (!next.done) next = await tokens.next();
  expect(next.value).toMatchObject({ stopReason: 'length', ids: Array(expected).fill(3), pendingIds: [3] });
});
