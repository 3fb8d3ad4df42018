import type { LanguageModel, State } from '@mamba-ts/layers';
import { MambaError } from '@mamba-ts/tensor';

/** A state that is one number: a hash of every id that was fed, so that any lost, doubled or swapped id shows. */
export interface FakeState extends State {
  hash: number;
  position: number;
}

export interface FakeModel extends LanguageModel {
  /** Ids of each forward call, in order. */
  readonly calls: number[][];
  /** What each forward call was asked for. */
  readonly wanted: string[];
  /** States made and not disposed. */
  alive: number;
}

export interface FakeOptions {
  vocabSize?: number;
  maxChunk?: number;
  eosTokenIds?: readonly number[];
  bosTokenId?: number | null;
  /** Writes the logits that follow `state`. Default: pseudo-random from the hash, within ±4. */
  fill?: (row: Float32Array, state: FakeState) => void;
  /** Runs inside each forward call, before its result. */
  onForward?: (call: number) => void | Promise<void>;
}

function randomLogits(row: Float32Array, state: FakeState): void {
  let x = state.hash;
  for (let i = 0; i < row.length; i++) {
    x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    row[i] = ((x >>> 8) / 2 ** 24) * 8 - 4;
  }
}

/** A model whose logits depend on the whole history; each call overwrites the result of the one before. */
export function fakeModel(options: FakeOptions = {}): FakeModel {
  const { vocabSize = 23, maxChunk = 8, eosTokenIds = [], bosTokenId = null, fill = randomLogits, onForward } = options;
  const buffer = new Float32Array(vocabSize * maxChunk);
  const makeState = (hash: number, position: number): FakeState => {
    model.alive++;
    return {
      hash,
      position,
      byteLength: 4,
      clone() {
        return makeState(this.hash, this.position);
      },
      save: () => Promise.reject(new MambaError('UNSUPPORTED', 'the fake saves nothing')),
      dispose() {
        model.alive--;
      },
    };
  };
  const model: FakeModel = {
    vocabSize,
    maxChunk,
    eosTokenIds,
    bosTokenId,
    calls: [],
    wanted: [],
    alive: 0,
    createState: () => makeState(2166136261, 0),
    loadState: () => {
      throw new MambaError('STATE_FORMAT', 'the fake loads nothing');
    },
    async forward(ids, state, logits) {
      if (ids.length === 0 || ids.length > maxChunk) throw new MambaError('SHAPE', `${ids.length} ids in one call`);
      const own = state as FakeState;
      model.calls.push([...ids]);
      model.wanted.push(logits);
      for (const [row, id] of ids.entries()) {
        own.hash = Math.imul(own.hash ^ id, 16777619);
        own.position++;
        fill(buffer.subarray(row * vocabSize, (row + 1) * vocabSize), own);
      }
      await onForward?.(model.calls.length);
      if (logits === 'none') return new Float32Array(0);
      return buffer.subarray(logits === 'all' ? 0 : (ids.length - 1) * vocabSize, ids.length * vocabSize);
    },
    forwardBatch: () => Promise.reject(new MambaError('UNSUPPORTED', 'the fake has no batches')),
    dispose() {},
  };
  return model;
}

/** A model that says `script` and then its end-of-sequence id, the last of the vocabulary, if chosen greedily. */
export function scriptedModel(script: readonly number[], vocabSize: number, promptLength = 1): FakeModel {
  return fakeModel({
    vocabSize: vocabSize + 1,
    eosTokenIds: [vocabSize],
    fill(row, state) {
      row.fill(0);
      row[script[state.position - promptLength] ?? vocabSize] = 1;
    },
  });
}

/** Everything that an iterator yields, and what it returns. */
export async function collect<T, R>(iterator: AsyncGenerator<T, R, void>): Promise<{ items: T[]; result: R }> {
  const items: T[] = [];
  for (;;) {
    const step = await iterator.next();
    if (step.done) return { items, result: step.value };
    items.push(step.value);
  }
}
