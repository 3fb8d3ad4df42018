import type { LanguageModel, State } from '@mamba-ts/layers';
import { createPause, MambaError } from '@mamba-ts/tensor';
import {
  checkFunction,
  checkIds,
  checkKeys,
  checkSignal,
  integerOption,
  invalidOption,
  resolveSamplerOptions,
  SAMPLER_OPTIONS,
  type SamplerOptions,
} from './options.ts';
import { type LogitsProcessor, TokenHistory } from './processors.ts';
import { createSampler } from './sampler.ts';

/** How much of the prompt the model has read. */
export interface PrefillProgress {
  /** Tokens. */
  readonly done: number;
  /** Tokens. */
  readonly total: number;
}

/** Ids that lie in the past of a generation, oldest first. */
export interface PriorTokens {
  /** Given tokens that the state holds already. The repetition penalty counts them. */
  readonly prompt?: ArrayLike<number>;
  /** Tokens that an interrupted generation produced. All penalties count them, and draws go on after them. */
  readonly generated?: ArrayLike<number>;
}

/** Options of {@link generate}. */
export interface GenerateOptions extends SamplerOptions {
  /** Ends the text after so many tokens; 0 only reads the prompt. Default 256. */
  readonly maxTokens?: number;
  /** Ids that end the text, besides the model's own end-of-sequence ids. They are not part of the text. */
  readonly stopIds?: readonly number[];
  /** True lets the model's end-of-sequence ids pass as ordinary tokens (for measuring). Default false. */
  readonly ignoreEos?: boolean;
  /** Called once for each token before it is yielded; true ends the text after it, with the reason `stop`. */
  readonly stopWhen?: (token: GeneratedToken) => boolean;
  /** The id that stands for an empty prompt. Default: the model's `bosTokenId`, where it has one. */
  readonly bosId?: number;
  /**
   * The state to continue from, fed in place; it stays the caller's to dispose. Default: a fresh one, disposed at the
   * end. `state.position` always says how many tokens it holds, also after an abort.
   */
  readonly state?: State;
  /** What lies before the prompt when `state` is continued. */
  readonly prior?: PriorTokens;
  /** Most tokens that one prefill call reads: the longest time in which an abort goes unheard. Default: `maxChunk`. */
  readonly prefillChunk?: number;
  /** Further processors of the logits, run after the penalties. */
  readonly processors?: readonly LogitsProcessor[];
  /** Ends the generation: the iterator throws `signal.reason`, as `fetch` does, within one token or prefill piece. */
  readonly signal?: AbortSignal;
  /** Called after each piece of the prompt. */
  readonly onProgress?: (progress: PrefillProgress) => void;
  /** The clock for the timings, in milliseconds. Default: `performance.now`. */
  readonly now?: () => number;
}

/** One generated token. */
export interface GeneratedToken {
  readonly id: number;
  /** 0 for the first of this generation; after `prior.generated`, its length. */
  readonly index: number;
}

/** What a generation ended with; the return value of the iterator. */
export interface GenerationResult {
  /**
   * `length`: maxTokens reached, or the model's context is full. `stop`: `stopWhen` said so, or a stop string was found. `eos`: an end-of-sequence id,
   * the model's or one of `stopIds`, was chosen.
   */
  readonly stopReason: 'length' | 'stop' | 'eos';
  /** The id that ended the text with `eos`, else null. */
  readonly stopId: number | null;
  /** All generated ids, without the one that ended the text. */
  readonly ids: readonly number[];
  /**
   * Generated ids that were not fed into the state: the last one, or none. To go on from the same state, put them
   * before the next prompt.
   */
  readonly pendingIds: readonly number[];
  readonly prefillTokens: number;
  /** From the first `next()` to the logits that follow the prompt. */
  readonly prefillMs: number;
  /** Forward passes of one token after the prompt: one less than `ids` for `length`, since the prompt brings the first. */
  readonly decodeTokens: number;
  /** Spent on these; the time during which the consumer kept the iterator waiting does not count. */
  readonly decodeMs: number;
}

/** The names of all {@link GenerateOptions}. */
export const GENERATE_OPTIONS: readonly (keyof GenerateOptions)[] = [
  ...SAMPLER_OPTIONS,
  'maxTokens',
  'stopIds',
  'ignoreEos',
  'stopWhen',
  'bosId',
  'state',
  'prior',
  'prefillChunk',
  'processors',
  'signal',
  'onProgress',
  'now',
];

/**
 * Feeds a prompt and yields token after token: `for await (const { id } of generate(model, ids, { maxTokens: 20 }))`.
 * A token is yielded before it is fed, so that nobody waits for a forward pass that they may not need.
 *
 * Nothing runs before the first `next()`; wrong arguments throw at once: `INVALID_OPTION`, `UNKNOWN_OPTION`,
 * `TOKEN_ID`, `EMPTY_PROMPT`. While running: what `model.forward` throws, {@link Sampler.sample}'s errors, and the
 * signal's reason.
 */
export function generate(
  model: LanguageModel,
  promptIds: ArrayLike<number>,
  options: GenerateOptions = {},
): AsyncGenerator<GeneratedToken, GenerationResult, void> {
  checkKeys(options, GENERATE_OPTIONS, 'generate');
  const { vocabSize } = model;
  for (const name of ['stopWhen', 'onProgress', 'now'] as const) checkFunction(name, options[name]);
  if (options.ignoreEos !== undefined && typeof options.ignoreEos !== 'boolean') {
    throw invalidOption('ignoreEos', 'true or false', options.ignoreEos);
  }
  const processors: unknown = options.processors ?? [];
  if (!Array.isArray(processors)) throw invalidOption('processors', 'a list of functions', processors);
  for (const [i, processor] of processors.entries()) checkFunction(`processors[${i}]`, processor ?? null);
  checkSignal(options.signal);
  checkKeys(options.prior ?? {}, ['prompt', 'generated'], 'prior');
  const sampling = Object.fromEntries(
    SAMPLER_OPTIONS.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]),
  ) as SamplerOptions;
  resolveSamplerOptions(sampling, vocabSize);

  let prompt = checkIds(promptIds, vocabSize, 'the prompt');
  const bosId = options.bosId ?? model.bosTokenId;
  if (prompt.length === 0 && bosId !== null) prompt = checkIds([bosId], vocabSize, 'bosId');
  if (prompt.length === 0) {
    throw new MambaError(
      'EMPTY_PROMPT',
      'the prompt is empty, but a model predicts what follows at least one token; give a prompt, or a token that begins a text as `bosId`',
    );
  }
  const stops = new Set(checkIds(options.stopIds ?? [], vocabSize, 'stopIds'));
  if (!options.ignoreEos) for (const id of model.eosTokenIds) stops.add(id);

  return run(model, prompt, {
    options,
    sampling,
    stops,
    maxTokens: integerOption('maxTokens', options.maxTokens, 256, 0),
    chunk: Math.min(model.maxChunk, integerOption('prefillChunk', options.prefillChunk, model.maxChunk, 1)),
    priorPrompt: checkIds(options.prior?.prompt ?? [], vocabSize, 'prior.prompt'),
    priorGenerated: checkIds(options.prior?.generated ?? [], vocabSize, 'prior.generated'),
  });
}

interface Plan {
  readonly options: GenerateOptions;
  readonly sampling: SamplerOptions;
  readonly stops: ReadonlySet<number>;
  readonly maxTokens: number;
  readonly chunk: number;
  readonly priorPrompt: Int32Array;
  readonly priorGenerated: Int32Array;
}

async function* run(
  model: LanguageModel,
  prompt: Int32Array,
  plan: Plan,
): AsyncGenerator<GeneratedToken, GenerationResult, void> {
  const { options, maxTokens } = plan;
  const { signal, stopWhen } = options;
  const now = options.now ?? (() => performance.now());
  signal?.throwIfAborted();
  const pause = createPause();
  const state = options.state ?? model.createState();
  try {
    let began = now();
    let logits = await prefill(model, prompt, state, maxTokens > 0, plan, pause);
    const prefillMs = now() - began;

    const history = new TokenHistory(model.vocabSize);
    history.addPrompt(plan.priorPrompt);
    for (const id of plan.priorGenerated) history.addGenerated(id);
    history.addPrompt(prompt);
    const sampler = createSampler(plan.sampling, model.vocabSize, { processors: options.processors ?? [] });

    const ids: number[] = [];
    let decodeTokens = 0;
    let decodeMs = 0;
    const result = (stopReason: GenerationResult['stopReason'], stopId: number | null): GenerationResult => {
      const pendingIds = stopId === null ? ids.slice(-1) : [];
      const prefillTokens = prompt.length;
      return { stopReason, stopId, ids, pendingIds, prefillTokens, prefillMs, decodeTokens, decodeMs };
    };

    began = now();
    const fed = new Int32Array(1);
    while (ids.length < maxTokens) {
      if (ids.length > 0) {
        await pause();
        signal?.throwIfAborted();
        if (state.position >= (model.contextLength ?? Number.POSITIVE_INFINITY)) break;
        fed[0] = ids.at(-1)!;
        logits = await model.forward(fed, state, 'last');
        decodeTokens++;
        signal?.throwIfAborted();
      }
      const id = sampler.sample(logits, history);
      if (plan.stops.has(id)) {
        decodeMs += now() - began;
        return result('eos', id);
      }
      const token: GeneratedToken = { id, index: history.generated };
      history.addGenerated(id);
      ids.push(id);
      const stop = stopWhen?.(token) ?? false;
      decodeMs += now() - began;
      yield token;
      signal?.throwIfAborted();
      if (stop) return result('stop', null);
      began = now();
    }
    return result('length', null);
  } finally {
    if (state !== options.state) state.dispose();
  }
}

/** Feeds the prompt in pieces; the logits of its last token, or an empty array where they are not wanted. */
async function prefill(
  model: LanguageModel,
  prompt: Int32Array,
  state: State,
  wantLogits: boolean,
  plan: Plan,
  pause: () => Promise<void>,
): Promise<Float32Array> {
  const { signal, onProgress } = plan.options;
  const total = prompt.length;
  let logits: Float32Array = new Float32Array(0);
  for (let start = 0; start < total; start += plan.chunk) {
    signal?.throwIfAborted();
    const end = Math.min(total, start + plan.chunk);
    logits = await model.forward(prompt.subarray(start, end), state, wantLogits && end === total ? 'last' : 'none');
    onProgress?.({ done: end, total });
    await pause();
  }
  signal?.throwIfAborted();
  return logits;
}
