import { generateText, type PrefixCache, read, resume, type StreamingDecoder } from '@mamba-ts/generate';
import type { LanguageModel, State } from '@mamba-ts/layers';
import { MambaError } from '@mamba-ts/tensor';
import type { Tokenizer } from '@mamba-ts/tokenizer';
import { drain } from '../drain.ts';
import { encodePrompt } from '../encode-prompt.ts';
import type { GenerateOptions } from '../types.ts';
import { encodeSession, type TurnWithIds } from './file.ts';
import type { ReadingOptions, Session, SessionResult, SessionStats, SessionStream, Turn } from './types.ts';

/** What a session and its forks have in common. */
export interface Family {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  readonly cache: PrefixCache;
  /** Sessions that are not disposed; the last one empties the cache. */
  members: number;
}

const NOTHING_WRITTEN = { answer: '', rest: '', answerTokens: 0, stopReason: null, seed: null } as const;

function concat(parts: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/**
 * A session in this thread. The ids are the truth: the state holds a beginning of them, as a rule all but the last,
 * whose logits begin the next answer. Where there is no state (after `undo`), it is read again when it is needed, from
 * the deepest one that the cache kept.
 */
export class LocalSession implements Session {
  readonly settings: Session['settings'];
  readonly #family: Family;
  #turns: readonly TurnWithIds[];
  #state: State | null;
  #busy = false;
  #disposed = false;

  constructor(family: Family, settings: Session['settings'], turns: readonly TurnWithIds[], state: State | null) {
    family.members++;
    this.#family = family;
    this.settings = settings;
    this.#turns = turns;
    this.#state = state;
  }

  get turns(): readonly Turn[] {
    return this.#turns.map(({ turn }) => turn);
  }

  append(text: string, options: ReadingOptions = {}): Promise<Turn> {
    return this.#append('text', text, options);
  }

  /** The text before all turns. */
  appendSystem(text: string): Promise<Turn> {
    return this.#append('system', text, {});
  }

  async *stream(text: string, options: GenerateOptions = {}): SessionStream {
    this.#begin();
    const before = this.#turns;
    let ended = false;
    const { signal } = options;
    try {
      const result = yield* this.#answer(text, options);
      ended = true;
      return result;
    } catch (error) {
      if (signal?.aborted) throw error;
      this.#rollBack(before);
      throw error;
    } finally {
      // Left early or aborted before the answer began.
      if (!ended) this.#keep();
      this.#busy = false;
    }
  }

  generate(text: string, options: GenerateOptions = {}): Promise<SessionResult> {
    return drain(this.stream(text, options));
  }

  async undo(): Promise<Turn | null> {
    this.#begin();
    this.#busy = false;
    const last = this.#turns.at(-1);
    if (!last || last.turn.kind === 'system') return null;
    this.#turns = this.#turns.slice(0, -1);
    this.#drop();
    return last.turn;
  }

  async fork(): Promise<Session> {
    return this.#alone(async () => {
      const { settings } = this;
      return new LocalSession(this.#family, settings, this.#turns, (await this.#ready()).clone());
    });
  }

  async save(): Promise<Uint8Array> {
    return this.#alone(async () => {
      const kept = this.#keptInLastTurn();
      try {
        const states = [];
        for (const state of [...kept, await this.#ready()]) states.push(await state.save());
        return encodeSession({ turns: this.#turns, settings: this.settings, states });
      } finally {
        for (const state of kept) state.dispose();
      }
    });
  }

  async ids(): Promise<number[]> {
    return [...this.#ids()];
  }

  async stats(): Promise<SessionStats> {
    const { size, bytes, maxBytes } = this.#family.cache;
    const tokens = this.#turns.reduce((sum, { ids }) => sum + ids.length, 0);
    return { tokens, stateBytes: this.#state?.byteLength ?? 0, cache: { states: size, bytes, maxBytes } };
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#begin();
    this.#disposed = true;
    this.#drop();
    if (--this.#family.members === 0) this.#family.cache.clear();
  }

  async #append(kind: 'system' | 'text', text: string, options: ReadingOptions): Promise<Turn> {
    return this.#alone(async () => {
      const promptIds = this.#encode(text);
      const turn: Turn = { kind, prompt: text, promptTokens: promptIds.length, ...NOTHING_WRITTEN };
      const before = this.#turns;
      this.#turns = [...before, { turn, ids: promptIds }];
      try {
        await this.#read(this.#ids(), options);
      } catch (error) {
        if (options.signal?.aborted) throw error;
        this.#rollBack(before);
        throw error;
      }
      return turn;
    });
  }

  async *#answer(text: string, options: GenerateOptions): SessionStream {
    const { model, tokenizer } = this.#family;
    const { signal, onProgress, ...rest } = { ...this.settings, ...options };
    const seed = rest.seed ?? this.settings.seed;
    signal?.throwIfAborted();
    let promptIds = this.#encode(text);
    const before = this.#ids();
    // An empty text at the very beginning stands for the id that begins texts, as in `generate`.
    if (before.length + promptIds.length === 0 && model.bosTokenId !== null) {
      promptIds = Int32Array.of(model.bosTokenId);
    }
    const ids = concat([before, promptIds]);
    const state = this.#resume(ids.subarray(0, -1));
    const decoder = tokenizer.createDecoder({ continues: this.#turns.length > 0 || text !== '' });
    let written = '';
    const listening: StreamingDecoder = {
      push: (id) => noting(decoder.push(id)),
      flush: () => noting(decoder.flush()),
    };
    const noting = (piece: string): string => {
      written += piece;
      return piece;
    };
    const answerIds: number[] = [];
    const stream = generateText(model, ids.subarray(-1), listening, {
      ...rest,
      seed,
      state,
      prior: this.#prior(promptIds.subarray(0, -1)),
      stopWhen: ({ id }) => answerIds.push(id) < 0,
      ...(signal ? { signal } : {}),
    });
    let answer = '';
    const turns = this.#turns;
    const note = (stopReason: Turn['stopReason']): void => {
      const turn: Turn = {
        kind: 'answer',
        prompt: text,
        answer,
        rest: written.slice(answer.length),
        promptTokens: promptIds.length,
        answerTokens: answerIds.length,
        stopReason,
        seed,
      };
      this.#turns = [...turns, { turn, ids: concat([promptIds, Int32Array.from(answerIds)]) }];
    };
    const began = performance.now();
    const reusedTokens = state.position;
    try {
      note('aborted');
      const readTokens = await this.#read(ids, {
        ...(signal ? { signal } : {}),
        ...(onProgress ? { onProgress } : {}),
      });
      const readMs = performance.now() - began;
      for (;;) {
        const step = await stream.next();
        if (!step.done) {
          answer += step.value;
          yield step.value;
          continue;
        }
        const {
          text: whole,
          ids: generated,
          stopReason,
          prefillTokens,
          prefillMs,
          decodeTokens,
          decodeMs,
        } = step.value;
        note(stopReason);
        this.#keep();
        return {
          text: whole,
          ids: generated,
          stopReason,
          seed,
          reusedTokens,
          prefillTokens: readTokens + prefillTokens,
          prefillMs: readMs + prefillMs,
          decodeTokens,
          decodeMs,
        };
      }
    } finally {
      await stream.return(undefined as never);
      if (this.#turns.at(-1)?.turn.stopReason === 'aborted') note('aborted');
    }
  }

  /** Its own tokens for each text; those that begin a text stand before the first one only. */
  #encode(text: string): Int32Array {
    const continues = this.#turns.length > 0;
    const { tokenizer } = this.#family;
    return Int32Array.from(
      continues ? tokenizer.encode(text, { addSpecialTokens: false, continues }) : encodePrompt(tokenizer, text),
    );
  }

  #ids(): Int32Array {
    return concat(this.#turns.map(({ ids }) => ids));
  }

  /** What penalties count: given ids and generated ones. Draws go on after the generated. */
  #prior(promptIds: Int32Array): { prompt: Int32Array; generated: Int32Array } {
    const parts = this.#turns.map(({ turn, ids }) => [
      ids.subarray(0, turn.promptTokens),
      ids.subarray(turn.promptTokens),
    ]);
    return {
      prompt: concat([...parts.map(([given]) => given!), promptIds]),
      generated: concat(parts.map(([, generated]) => generated!)),
    };
  }

  /** This session's state, or a deeper kept one, at or before the end of `ids`. */
  #resume(ids: Int32Array): State {
    if (this.#state && this.#state.position > ids.length) this.#drop();
    this.#state = resume(this.#family.model, ids, this.#state, this.#family.cache);
    return this.#state;
  }

  /** Reads all of `ids` but the last; returns how many were read. */
  async #read(ids: Int32Array, { signal, onProgress }: ReadingOptions): Promise<number> {
    const { model, cache } = this.#family;
    const known = ids.subarray(0, -1);
    const report =
      onProgress && ((progress: { done: number; total: number }) => onProgress({ phase: 'prompt', ...progress }));
    return read(model, known, this.#resume(known), { cache, signal, onProgress: report });
  }

  /** The state, read again where there is none. */
  async #ready(): Promise<State> {
    if (!this.#state) await this.#read(this.#ids(), {});
    return this.#state!;
  }

  /** Keeps the state where it stands, for turns that begin here. */
  #keep(): void {
    const state = this.#state;
    if (state) this.#family.cache.put(this.#ids().subarray(0, state.position), state);
  }

  /** Copies of what is kept at the beginning of the last turn and of its answer: what undoing and asking again need. */
  #keptInLastTurn(): State[] {
    const last = this.#turns.at(-1);
    if (!last) return [];
    const ids = this.#ids();
    const start = ids.length - last.ids.length;
    const states: State[] = [];
    for (const end of [start, start + last.turn.promptTokens - 1]) {
      const state = this.#family.cache.take(ids.subarray(0, Math.max(0, end)), states.at(-1)?.position ?? 0);
      if (state) states.push(state);
    }
    return states;
  }

  /** A turn has failed. Had it begun, its pass left the state useless: it is read again when it is needed. */
  #rollBack(before: readonly TurnWithIds[]): void {
    if (this.#turns === before) return;
    this.#turns = before;
    this.#drop();
  }

  #drop(): void {
    this.#state?.dispose();
    this.#state = null;
  }

  #begin(): void {
    if (this.#disposed) throw new MambaError('DISPOSED', 'this session was disposed');
    if (this.#busy) {
      throw new MambaError('SESSION_BUSY', 'this session is still at work: await the call before, or fork it first');
    }
    this.#busy = true;
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    this.#begin();
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }
}
