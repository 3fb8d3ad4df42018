import { generateText, PrefixCache } from '@mamba-ts/generate';
import type { LanguageModel, State } from '@mamba-ts/layers';
import { isMambaError, MambaError } from '@mamba-ts/tensor';
import type { Tokenizer } from '@mamba-ts/tokenizer';
import { checkNames } from '../check-options.ts';
import { DEFAULT_TEMPERATURE, randomSeed } from '../defaults.ts';
import { decodeSession } from './file.ts';
import { type Family, LocalSession } from './local-session.ts';
import type { LoadSessionOptions, SessionOptions, SessionSettings } from './types.ts';

const SETTINGS: Readonly<Record<keyof SessionSettings, true>> = {
  maxTokens: true,
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  repetitionPenalty: true,
  frequencyPenalty: true,
  presencePenalty: true,
  logitBias: true,
  seed: true,
  stop: true,
};

/** Throws `UNKNOWN_OPTION` or `INVALID_OPTION`, as a turn with these settings would. */
function checkSettings(model: LanguageModel, tokenizer: Tokenizer, settings: SessionSettings): void {
  checkNames(settings, SETTINGS, 'settings');
  // Checks all values at once; nothing runs before its first `next()`.
  generateText(model, [0], tokenizer.createDecoder(), settings);
}

const familyOf = (model: LanguageModel, tokenizer: Tokenizer, cacheBytes: number | undefined): Family => ({
  model,
  tokenizer,
  cache: new PrefixCache(model, cacheBytes === undefined ? {} : { maxBytes: cacheBytes }),
  members: 0,
});

export async function createSession(
  model: LanguageModel,
  tokenizer: Tokenizer,
  options: SessionOptions = {},
): Promise<LocalSession> {
  checkNames(options, { system: true, settings: true, cacheBytes: true }, 'createSession');
  const settings = { temperature: DEFAULT_TEMPERATURE, seed: randomSeed(), ...options.settings };
  checkSettings(model, tokenizer, settings);
  const session = new LocalSession(familyOf(model, tokenizer, options.cacheBytes), settings, [], null);
  try {
    if (options.system !== undefined) await session.appendSystem(options.system);
    return session;
  } catch (error) {
    await session.dispose();
    throw error;
  }
}

/** Throws `SESSION_FORMAT`, `SESSION_VERSION`, `UNKNOWN_OPTION`, `INVALID_OPTION`, and what `loadState` throws. */
export async function loadSession(
  model: LanguageModel,
  tokenizer: Tokenizer,
  bytes: Uint8Array,
  options: LoadSessionOptions = {},
): Promise<LocalSession> {
  checkNames(options, { settings: true, cacheBytes: true }, 'loadSession');
  const content = decodeSession(bytes, model.vocabSize);
  const family = familyOf(model, tokenizer, options.cacheBytes);
  const ids = Int32Array.from(content.turns.flatMap((turn) => [...turn.ids]));
  const states: State[] = [];
  try {
    try {
      checkSettings(model, tokenizer, content.settings);
    } catch (cause) {
      if (!isMambaError(cause)) throw cause;
      throw new MambaError('SESSION_FORMAT', `the saved session has a wrong setting: ${cause.message}`, {}, { cause });
    }
    for (const file of content.states) {
      const state = model.loadState(file);
      states.push(state);
      if (state.position > ids.length) {
        throw new MambaError(
          'SESSION_FORMAT',
          `the saved session has a state after ${state.position} tokens of ${ids.length}. Save the session again.`,
        );
      }
    }
    for (const kept of states.slice(0, -1)) {
      family.cache.put(ids.subarray(0, kept.position), kept);
      kept.dispose();
    }
    const settings = { ...content.settings, ...options.settings };
    checkSettings(model, tokenizer, settings);
    return new LocalSession(family, settings, content.turns, states.at(-1)!);
  } catch (error) {
    for (const state of states) state.dispose();
    throw error;
  }
}
