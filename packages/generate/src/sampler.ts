import { type IndexedRandom, MambaError, philoxRandom } from '@mamba-ts/tensor';
import { checkKeys, resolveSamplerOptions, SAMPLER_OPTIONS, type SamplerOptions } from './options.ts';
import { countPenalties, type LogitsProcessor, logitBias, repetitionPenalty, type TokenHistory } from './processors.ts';
import { Candidates, minP, temperature, topK, topP, type Warper } from './warpers.ts';

/** What a sampler is made of besides its options. */
export interface SamplerParts {
  /** Where draws come from. Default: `philoxRandom(options.seed)`. */
  readonly random?: IndexedRandom;
  /** Further processors (a grammar, a ban), run after the built-in ones. */
  readonly processors?: readonly LogitsProcessor[];
}

/** The tokens that may be drawn and how likely each is. */
export interface Distribution {
  /** In ascending order. */
  readonly ids: Int32Array;
  /** Of each of `ids`; their sum is 1. */
  readonly probabilities: Float64Array;
}

/** Chooses tokens. It holds buffers of the vocabulary's size and serves one generation at a time. */
export interface Sampler {
  /**
   * The next id for `logits` `[vocabSize]` (left as they are). The draw has the index `history.generated`, so that a
   * generation resumed after i tokens draws what an uninterrupted one would have drawn.
   * Throws `LOGITS_NOT_FINITE` for NaN or +Infinity, `NO_CANDIDATES` where every id is at -Infinity, `SHAPE`.
   */
  sample(logits: Float32Array, history: TokenHistory): number;
  /** The distribution that `sample` draws from, as copies. Errors as there. */
  distribution(logits: Float32Array, history: TokenHistory): Distribution;
}

/**
 * A sampler from options: logit bias, repetition penalty, count penalties, own processors, then temperature, top-k,
 * top-p, min-p (the order of transformers), then one draw. Throws `INVALID_OPTION` or `UNKNOWN_OPTION`.
 *
 * All sums run in f64 in the order of the ids, and exponentials use basic arithmetic only: equal logits and an equal
 * seed give equal tokens on every engine.
 */
export function createSampler(options: SamplerOptions, vocabSize: number, parts: SamplerParts = {}): Sampler {
  checkKeys(options, SAMPLER_OPTIONS, 'the sampler');
  const resolved = resolveSamplerOptions(options, vocabSize);

  const processors: LogitsProcessor[] = [];
  if (resolved.logitBias.length > 0) processors.push(logitBias(resolved.logitBias));
  if (resolved.repetitionPenalty !== 1) processors.push(repetitionPenalty(resolved.repetitionPenalty));
  if (resolved.frequencyPenalty !== 0 || resolved.presencePenalty !== 0) {
    processors.push(countPenalties(resolved.frequencyPenalty, resolved.presencePenalty));
  }
  processors.push(...(parts.processors ?? []));

  const greedy = resolved.temperature === 0;
  const warpers: Warper[] = [];
  if (!greedy) {
    if (resolved.temperature !== 1) warpers.push(temperature(resolved.temperature));
    if (resolved.topK > 0) warpers.push(topK(resolved.topK));
    if (resolved.topP < 1) warpers.push(topP(resolved.topP));
    if (resolved.minP > 0) warpers.push(minP(resolved.minP));
  }
  const random = parts.random ?? philoxRandom(resolved.seed);
  const work = new Float64Array(vocabSize);
  const candidates = new Candidates(greedy ? 0 : vocabSize);

  /** Runs the processors into `work`; the id of the greatest logit, of equals the lowest. */
  function process(logits: Float32Array, history: TokenHistory): number {
    if (logits.length !== vocabSize) {
      throw new MambaError('SHAPE', `${logits.length} logits for a vocabulary of ${vocabSize} tokens`);
    }
    work.set(logits);
    for (const processor of processors) processor(work, history);
    return argmax(work);
  }

  function narrow(logits: Float32Array, history: TokenHistory): void {
    const best = process(logits, history);
    candidates.load(work, work[best]!);
    for (const warp of warpers) warp(candidates);
  }

  return {
    sample(logits, history) {
      if (greedy) return process(logits, history);
      narrow(logits, history);
      return draw(candidates, random(history.generated));
    },
    distribution(logits, history) {
      if (greedy) return { ids: Int32Array.of(process(logits, history)), probabilities: Float64Array.of(1) };
      narrow(logits, history);
      const total = candidates.total();
      return {
        ids: candidates.ids.slice(0, candidates.count),
        probabilities: candidates
          .weights()
          .slice(0, candidates.count)
          .map((weight) => weight / total),
      };
    },
  };
}

/** The index of the greatest value, of equals the lowest. Throws for NaN, +Infinity, or nothing above -Infinity. */
function argmax(logits: Float64Array): number {
  let best = -1;
  let max = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (logit > max) {
      max = logit;
      best = id;
    } else if (Number.isNaN(logit)) {
      throw notFinite(id, logit);
    }
  }
  if (max === Number.POSITIVE_INFINITY) throw notFinite(best, max);
  if (best < 0) {
    throw new MambaError(
      'NO_CANDIDATES',
      `all ${logits.length} tokens are forbidden (their logits are -Infinity); allow at least one in logitBias or in the processors`,
    );
  }
  return best;
}

function notFinite(id: number, logit: number): MambaError {
  return new MambaError(
    'LOGITS_NOT_FINITE',
    `the logit of token ${id} is ${logit}, so no token can be chosen; the weights or a penalty overflow: check the checkpoint, or compare with another backend`,
    { id, logit },
  );
}

/** The first candidate at which the running sum of the weights passes `uniform` (in [0, 1)) times their total. */
function draw(candidates: Candidates, uniform: number): number {
  const target = uniform * candidates.total();
  const weights = candidates.weights();
  let sum = 0;
  let chosen = 0;
  for (let i = 0; i < candidates.count; i++) {
    if (weights[i] === 0) continue;
    chosen = i;
    sum += weights[i]!;
    if (sum > target) break;
  }
  return candidates.ids[chosen]!;
}
